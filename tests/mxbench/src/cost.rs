//! What the server's processes cost: CPU seconds and resident memory, read from /proc.

use std::{collections::HashMap, fs};

const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds used and bytes held (proportional set size), summed over process trees.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    pub cpu_s: f64,
    pub rss_bytes: u64,
}

struct Process {
    parent: u32,
    ticks: u64,
    rss_pages: u64,
}

/// Sums the trees that start at `roots`. Children that have ended count through their parent.
pub fn of_trees(roots: &[u32]) -> Cost {
    let processes: HashMap<u32, Process> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, read(pid)?)))
        .collect();
    let mut sum = Cost::default();
    for (pid, process) in &processes {
        if descends(*pid, roots, &processes) {
            sum.cpu_s += process.ticks as f64 / TICKS_PER_SECOND;
            // Proportional memory: pages that processes share (a database's buffers) are counted once in all.
            sum.rss_bytes += proportional_bytes(*pid).unwrap_or(process.rss_pages * 4096);
        }
    }
    sum
}

fn descends(mut pid: u32, roots: &[u32], processes: &HashMap<u32, Process>) -> bool {
    while let Some(process) = processes.get(&pid) {
        if roots.contains(&pid) {
            return true;
        }
        pid = process.parent;
    }
    false
}

fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat[stat.rfind(')')? + 2..].split(' ').collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    Some(Process {
        parent: number(1)? as u32,
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
        rss_pages: number(21)?,
    })
}

fn proportional_bytes(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kilobytes: u64 =
        rollup.lines().find(|line| line.starts_with("Pss:"))?.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
