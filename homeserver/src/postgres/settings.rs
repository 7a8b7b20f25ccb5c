//! PostgreSQL's settings, given on its command line: they win over every file in the cluster.

use std::path::Path;

use super::folders::Folders;

/// Connections beyond the pool: the notification listener, the log's writer, commands, an operator's `psql`.
const SPARE_CONNECTIONS: u32 = 16;

/// How large the cluster is made.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// What the caller's pool may open; a few more are allowed for.
    pub connections: u32,
    /// Memory for pages, in bytes.
    pub shared_buffers: u64,
}

/// `postgres` and its arguments for this cluster.
pub(super) fn arguments(folders: &Folders, sizes: Sizes, lz4: bool) -> Vec<String> {
    let socket = folders.socket.display().to_string();
    let connections = (sizes.connections + SPARE_CONNECTIONS).to_string();
    let buffers = format!("{}kB", sizes.shared_buffers >> 10);
    let settings = [
        // Only the socket, only its owner.
        ("listen_addresses", ""),
        ("port", "5432"),
        ("unix_socket_directories", &socket),
        ("unix_socket_permissions", "0700"),
        ("max_connections", &connections),
        // What is acknowledged is on disk.
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        // A chat server's rows are small and its reads are by index.
        ("shared_buffers", &buffers),
        ("wal_buffers", if sizes.shared_buffers < 64 << 20 { "1MB" } else { "16MB" }),
        ("jit", "off"),
        ("random_page_cost", "1.1"),
        ("max_parallel_workers_per_gather", "0"),
        // Fewer checkpoints write fewer full pages; replaying this much after a crash takes seconds.
        ("max_wal_size", "1GB"),
        ("min_wal_size", "160MB"),
        ("wal_compression", if lz4 { "lz4" } else { "on" }),
        ("default_toast_compression", if lz4 { "lz4" } else { "pglz" }),
        ("cluster_name", "roost"),
        ("log_min_messages", "warning"),
        ("log_checkpoints", "off"),
        ("log_line_prefix", "%m [%p] "),
        ("log_timezone", "UTC"),
        ("timezone", "UTC"),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
    ];
    let mut arguments = vec!["-D".to_owned(), folders.cluster.display().to_string()];
    for (name, value) in settings {
        arguments.push("-c".to_owned());
        arguments.push(format!("{name}={value}"));
    }
    arguments
}

/// What PostgreSQL writes into `postmaster.opts` when it is started so: tells whether a running one has our settings.
pub(super) fn recorded(program: &Path, arguments: &[String]) -> String {
    let mut line = program.display().to_string();
    for argument in arguments {
        line.push_str(&format!(" \"{argument}\""));
    }
    line
}
