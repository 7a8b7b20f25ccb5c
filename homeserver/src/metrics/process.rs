//! What the system says of this process, under the names that Prometheus' own libraries use.

use std::{fmt::Write, fs};

use nix::sys::resource::{Resource, getrlimit};

/// What can't be read is left out.
pub(super) fn render(out: &mut String) {
    let memory = status("VmRSS:").map(|kib| kib * 1024);
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64);
    let most = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft);
    let figures = [
        ("process_resident_memory_bytes", "Memory that the process takes.", memory),
        ("process_open_fds", "Files and sockets that the process has open.", open),
        ("process_max_fds", "Files and sockets that the process may have open.", most),
        ("process_threads", "Threads of the process.", status("Threads:")),
    ];
    for (name, help, figure) in figures {
        if let Some(figure) = figure {
            // Writing into a text can't fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {figure}");
        }
    }
}

/// A number out of `/proc/self/status`.
fn status(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}
