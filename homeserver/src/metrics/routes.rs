//! Requests by method, route and status.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    LATENCY_MICROS,
    scalar::{Buckets, head, line},
};

/// Figures for each route; a route is a pattern of ours, never a path that was asked for.
#[derive(Debug)]
pub struct Routes {
    seen: RwLock<Option<HashMap<Box<str>, Arc<Route>>>>,
}

#[derive(Debug)]
struct Route {
    latency: Buckets,
    /// By status less 100.
    statuses: [AtomicU64; 500],
}

impl Routes {
    pub(super) const fn new() -> Self {
        Self { seen: RwLock::new(None) }
    }

    /// Counts one answered request.
    pub fn observe(&self, method: &'static str, route: &str, status: u16, latency: Duration) {
        // One look-up by one text: `GET /path`.
        let mut key = String::with_capacity(method.len() + 1 + route.len());
        key.push_str(method);
        key.push(' ');
        key.push_str(route);
        let route = self.route(key);
        route.latency.observe(LATENCY_MICROS, u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        if let Some(count) = route.statuses.get(usize::from(status.saturating_sub(100))) {
            count.fetch_add(1, Relaxed);
        }
    }

    fn route(&self, key: String) -> Arc<Route> {
        // The map only grows: what a panicking writer left is whole.
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = seen.as_ref().and_then(|map| map.get(key.as_str())) {
            return Arc::clone(route);
        }
        drop(seen);
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Route { latency: Buckets::new(), statuses: [const { AtomicU64::new(0) }; 500] });
        Arc::clone(seen.get_or_insert_default().entry(key.into()).or_insert_with(new))
    }

    pub(super) fn render(&self, out: &mut String) {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let sorted: BTreeMap<_, _> = seen.iter().flatten().collect();
        head(out, "roost_http_requests_total", "Answered requests.", "counter");
        for (key, route) in &sorted {
            for (status, count) in (100u16..).zip(&route.statuses) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let labels = labels(key);
                    line(out, format_args!("roost_http_requests_total{{{labels}status=\"{status}\"}} {count}"));
                }
            }
        }
        head(out, "roost_http_request_seconds", "Time to the head of a response.", "histogram");
        for (key, route) in &sorted {
            route.latency.render(out, "roost_http_request_seconds", &labels(key), LATENCY_MICROS, 1_000_000);
        }
    }
}

fn labels(key: &str) -> String {
    let (method, route) = key.split_once(' ').unwrap_or(("", key));
    format!("method=\"{method}\",route=\"{route}\",")
}
