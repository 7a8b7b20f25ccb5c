//! What the server counts, and how Prometheus reads it.
//!
//! Each figure is a static that any room may touch for the price of an atomic addition; [`render`] writes all of them.
//!
//! **Invariant:** a figure that is not listed in [`render`] does not exist, and no label is ever taken from what a client
//! sends.

mod cache;
mod process;
mod routes;
mod scalar;

pub use self::{
    cache::Cache,
    routes::Routes,
    scalar::{Counter, Gauge, Histogram},
};

/// Requests by method, route and status, with latency up to the response's head.
pub static REQUESTS: Routes = Routes::new();
/// Open connections of clients.
pub static CONNECTIONS: Gauge = Gauge::new("roost_http_connections", "Open client connections.");
/// Requests whose handler panicked: each one is a bug.
pub static PANICS: Counter = Counter::new("roost_http_panics_total", "Requests whose handler panicked.");

/// Group commits.
pub static COMMITS: Counter = Counter::new("roost_commits_total", "Group commits.");
/// Items in one group commit.
pub static COMMIT_ITEMS: Histogram = Histogram::new(
    "roost_commit_items",
    "Items in one group commit.",
    &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000],
    1,
);
/// From sending a group commit to its answer.
pub static COMMIT_SECONDS: Histogram =
    Histogram::new("roost_commit_seconds", "Time of one group commit.", LATENCY_MICROS, 1_000_000);
/// Items refused because another writer was first; they are rebuilt and sent again.
pub static COMMIT_CONFLICTS: Counter =
    Counter::new("roost_commit_conflicts_total", "Items built anew because another writer was first.");
/// Notifications that push gateways took, and those that they did not take at once.
pub static PUSHES: Counter = Counter::new("roost_pushes_total", "Notifications that push gateways took.");
/// See [`PUSHES`].
pub static PUSH_FAILURES: Counter =
    Counter::new("roost_push_failures_total", "Notifications that push gateways did not take; they are sent again.");

/// Items that wait for the next group commit.
pub static COMMIT_QUEUE: Gauge = Gauge::new("roost_commit_queue", "Items that wait for the next group commit.");

/// Long-polls that wait for news.
pub static WAITERS: Gauge = Gauge::new("roost_waiters", "Long-polls that wait for news.");
/// The log's newest position that this node has seen.
pub static WATERMARK: Gauge =
    Gauge::new("roost_log_position", "The newest position of the log that this node has seen.");
/// What was said and is not found by its words yet.
pub static WORDS_BEHIND: Gauge =
    Gauge::new("roost_words_behind", "Positions of the log whose words are not taken in yet.");
/// Whether rings reach the other nodes.
pub static BELL_UP: Gauge = Gauge::new("roost_bell_up", "1 while the bell between nodes works or none is needed.");

/// Connections of the database pool.
pub static POOL_SIZE: Gauge = Gauge::new("roost_pool_connections", "Connections of the database pool.");
/// Those that nobody uses.
pub static POOL_IDLE: Gauge = Gauge::new("roost_pool_idle", "Connections of the database pool that nobody uses.");

/// The oldest snapshot in PostgreSQL.
pub static SNAPSHOT_SECONDS: Gauge = Gauge::new(
    "roost_oldest_snapshot_seconds",
    "Age of the oldest snapshot in PostgreSQL, which keeps it from clearing rows away.",
);
/// What pushes have left to read.
pub static PUSHES_BEHIND: Gauge =
    Gauge::new("roost_pushes_behind", "Positions of the log that the slowest pushing process has yet to look at.");

/// Rooms' heads.
pub static CACHE_ROOMS: Cache = Cache::new("rooms");
/// Access tokens.
pub static CACHE_TOKENS: Cache = Cache::new("tokens");
/// Interned names.
pub static CACHE_INTERN: Cache = Cache::new("intern");
/// Events.
pub static CACHE_EVENTS: Cache = Cache::new("events");
/// Users' public keys.
pub static CACHE_KEYS: Cache = Cache::new("keys");

/// Bytes that are free where media lie.
pub static MEDIA_FREE: Gauge = Gauge::new("roost_media_free_bytes", "Bytes that are free on the media folder's disk.");
/// Whether uploads are taken.
pub static MEDIA_WRITABLE: Gauge = Gauge::new(
    "roost_media_writable",
    "1 while the media folder takes uploads: it is the one of all nodes, and its disk has room.",
);
/// Whether the database can be written.
pub static DATABASE_FULL: Gauge =
    Gauge::new("roost_database_disk_full", "1 while the database's disk is full, as far as this node has seen.");

/// Bounds for times, in microseconds.
const LATENCY_MICROS: &[u64] = &[
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    30_000_000,
];

/// All figures in Prometheus' text format.
pub fn render() -> String {
    let mut out = String::with_capacity(16 << 10);
    REQUESTS.render(&mut out);
    for counter in [&PANICS, &COMMITS, &COMMIT_CONFLICTS, &PUSHES, &PUSH_FAILURES] {
        counter.render(&mut out);
    }
    for histogram in [&COMMIT_ITEMS, &COMMIT_SECONDS] {
        histogram.render(&mut out);
    }
    let gauges = [
        &CONNECTIONS,
        &COMMIT_QUEUE,
        &WAITERS,
        &WATERMARK,
        &WORDS_BEHIND,
        &PUSHES_BEHIND,
        &SNAPSHOT_SECONDS,
        &BELL_UP,
        &POOL_SIZE,
        &POOL_IDLE,
        &MEDIA_FREE,
        &MEDIA_WRITABLE,
        &DATABASE_FULL,
    ];
    for gauge in gauges {
        gauge.render(&mut out);
    }
    process::render(&mut out);
    Cache::render_all(&[&CACHE_ROOMS, &CACHE_TOKENS, &CACHE_INTERN, &CACHE_EVENTS, &CACHE_KEYS], &mut out);
    out.push_str("# HELP roost_build_info The running version.\n# TYPE roost_build_info gauge\n");
    out.push_str(concat!("roost_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n"));
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        super::COMMIT_SECONDS.observe(1_500);
        super::REQUESTS.observe("GET", "/_matrix/client/versions", 200, std::time::Duration::from_micros(700));
        let text = super::render();
        for line in text.lines() {
            let sample = line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok());
            assert!(line.starts_with("# ") || sample, "{line}");
        }
        assert!(text.contains("roost_commit_seconds_bucket{le=\"0.002\"} 1"), "{text}");
    }
}
