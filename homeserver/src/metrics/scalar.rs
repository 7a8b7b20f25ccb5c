//! Counters, gauges and histograms: atomics with a name.

use std::{
    fmt::Write,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Only rises.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    help: &'static str,
    value: AtomicU64,
}

impl Counter {
    pub(super) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, value: AtomicU64::new(0) }
    }

    /// Counts `count` more.
    pub fn add(&self, count: u64) {
        self.value.fetch_add(count, Relaxed);
    }

    pub(super) fn render(&self, out: &mut String) {
        head(out, self.name, self.help, "counter");
        line(out, format_args!("{} {}", self.name, self.value.load(Relaxed)));
    }
}

/// Rises and falls.
#[derive(Debug)]
pub struct Gauge {
    name: &'static str,
    help: &'static str,
    value: AtomicI64,
}

impl Gauge {
    pub(super) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, value: AtomicI64::new(0) }
    }

    /// Adds a number that may be negative.
    pub fn add(&self, count: i64) {
        self.value.fetch_add(count, Relaxed);
    }

    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.value.store(value, Relaxed);
    }

    pub(super) fn render(&self, out: &mut String) {
        head(out, self.name, self.help, "gauge");
        line(out, format_args!("{} {}", self.name, self.value.load(Relaxed)));
    }
}

/// The most bounds that a histogram has.
const MOST: usize = 16;

/// How often a value fell under each bound.
#[derive(Debug)]
pub struct Histogram {
    name: &'static str,
    help: &'static str,
    bounds: &'static [u64],
    /// A shown value is the stored one divided by this: times are stored in microseconds and shown in seconds.
    scale: u64,
    buckets: Buckets,
}

/// The counts of a histogram, apart from its name.
#[derive(Debug)]
pub(super) struct Buckets {
    counts: [AtomicU64; MOST],
    sum: AtomicU64,
}

impl Buckets {
    pub const fn new() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; MOST], sum: AtomicU64::new(0) }
    }

    pub fn observe(&self, bounds: &[u64], value: u64) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        self.counts[bucket.min(MOST - 1)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// `labels` is empty or ends with a comma.
    pub fn render(&self, out: &mut String, name: &str, labels: &str, bounds: &[u64], scale: u64) {
        let mut total = 0;
        let shown = |value: u64| value as f64 / scale as f64;
        for (bound, count) in bounds.iter().zip(&self.counts) {
            total += count.load(Relaxed);
            line(out, format_args!("{name}_bucket{{{labels}le=\"{}\"}} {total}", shown(*bound)));
        }
        total += self.counts[bounds.len().min(MOST - 1)].load(Relaxed);
        line(out, format_args!("{name}_bucket{{{labels}le=\"+Inf\"}} {total}"));
        let labels = labels.trim_end_matches(',');
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        line(out, format_args!("{name}_sum{labels} {}", shown(self.sum.load(Relaxed))));
        line(out, format_args!("{name}_count{labels} {total}"));
    }
}

impl Histogram {
    pub(super) const fn new(name: &'static str, help: &'static str, bounds: &'static [u64], scale: u64) -> Self {
        assert!(bounds.len() < MOST);
        Self { name, help, bounds, scale, buckets: Buckets::new() }
    }

    /// Takes a value in the unit of the bounds (microseconds for times).
    pub fn observe(&self, value: u64) {
        self.buckets.observe(self.bounds, value);
    }

    /// Takes a time.
    pub fn observe_time(&self, time: Duration) {
        self.observe(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn render(&self, out: &mut String) {
        head(out, self.name, self.help, "histogram");
        self.buckets.render(out, self.name, "", self.bounds, self.scale);
    }
}

pub(super) fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    line(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

pub(super) fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = writeln!(out, "{text}");
}
