//! Many messages into many rooms for as long as it takes: whether the last ones cost what the first ones did.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use hdrhistogram::Histogram;
use serde_json::json;

use crate::{
    client::User,
    cost,
    scenarios::{Figures, higher, histogram, lower, micros, ms},
};

/// How much is done, and what is charged for it.
pub struct Soak {
    pub messages: usize,
    pub rooms: usize,
    pub pids: Vec<u32>,
    /// The database's folder, to see how it grows.
    pub disk: Option<PathBuf>,
}

/// So many messages are under way at once.
const SENDERS: usize = 256;
/// What is compared: so many seconds at the beginning and at the end, or a fifth of the whole where that is less.
const WINDOW: Duration = Duration::from_secs(60);
const WORDS: [&str; 24] = [
    "meeting", "tomorrow", "server", "please", "review", "the", "branch", "again", "coffee", "where", "is", "document",
    "thanks", "later", "today", "train", "release", "number", "nobody", "answers", "lunch", "weather", "question",
    "and",
];

/// What was sent in one second, and what it cost.
struct Second {
    sent: usize,
    cpu_s: f64,
    times: Histogram<u64>,
}

/// Runs the soak with `users`, who share the rooms out among them.
pub async fn run(users: &[User], soak: &Soak) -> Result<Figures> {
    let rooms: Vec<(&User, String)> = stream::iter((0..soak.rooms).map(|n| &users[n % users.len()]))
        .map(|user| async move { anyhow::Ok((user, user.create_room(json!({"preset": "public_chat"})).await?)) })
        .buffered(16)
        .try_collect()
        .await?;
    let before = after_work("soak.before", users, &rooms).await?;
    let (disk_before, begin) = (soak.disk.as_deref().map(size).transpose()?, Instant::now());
    let (next, text) = (AtomicUsize::new(0), AtomicU64::new(0));
    let current = Mutex::new(histogram());
    let send = async {
        try_join_all((0..SENDERS).map(|_| async {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= soak.messages {
                    return anyhow::Ok(());
                }
                let (user, room) = &rooms[n % rooms.len()];
                let (body, at) = (body(n), Instant::now());
                user.send(room, &body).await?;
                text.fetch_add(body.len() as u64, Ordering::Relaxed);
                current.lock().unwrap_or_else(PoisonError::into_inner).record(micros(at.elapsed()))?;
            }
        }))
        .await
    };
    let mut seconds: Vec<Second> = Vec::new();
    let watch = async {
        let mut cpu = cost::of_trees(&soak.pids).cpu_s;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let times = std::mem::replace(&mut *current.lock().unwrap_or_else(PoisonError::into_inner), histogram());
            let now = cost::of_trees(&soak.pids).cpu_s;
            seconds.push(Second { sent: times.len() as usize, cpu_s: now - cpu, times });
            cpu = now;
            if seconds.len().is_multiple_of(60) {
                let sent: usize = seconds.iter().map(|second| second.sent).sum();
                eprintln!("soak: {sent} of {} messages after {} s", soak.messages, seconds.len());
            }
        }
    };
    tokio::select! {
        sent = send => drop(sent?),
        () = watch => {}
    }
    let took = begin.elapsed();
    let caught_up = until_found(&rooms, soak.messages).await?;
    let mut figures = figures(&seconds, soak.messages, took)?;
    figures.push(lower("soak.words_behind", caught_up.as_secs_f64(), "s"));
    if let (Some(disk), Some(before)) = (&soak.disk, disk_before) {
        let grown = size(disk)?.saturating_sub(before).saturating_sub(text.load(Ordering::Relaxed));
        figures.push(lower("soak.disk_each", grown as f64 / soak.messages as f64, "B"));
    }
    figures.extend(before);
    figures.extend(after_work("soak.after", users, &rooms).await?);
    Ok(figures)
}

fn figures(seconds: &[Second], messages: usize, took: Duration) -> Result<Figures> {
    ensure!(seconds.len() >= 5, "over in {} s: send more", seconds.len());
    let window = seconds.len().div_ceil(5).min(WINDOW.as_secs() as usize);
    let (first, last) = (Part::of(&seconds[..window])?, Part::of(&seconds[seconds.len() - window..])?);
    let whole = Part::of(seconds)?;
    Ok(vec![
        higher("soak.send", messages as f64 / took.as_secs_f64(), "msg/s"),
        lower("soak.cpu_each", whole.cpu_each, "µs"),
        lower("soak.p99", ms(&whole.times, 0.99), "ms"),
        higher("soak.first.send", first.each_second, "msg/s"),
        lower("soak.first.cpu_each", first.cpu_each, "µs"),
        lower("soak.first.p99", ms(&first.times, 0.99), "ms"),
        higher("soak.last.send", last.each_second, "msg/s"),
        lower("soak.last.cpu_each", last.cpu_each, "µs"),
        lower("soak.last.p99", ms(&last.times, 0.99), "ms"),
    ])
}

struct Part {
    each_second: f64,
    cpu_each: f64,
    times: Histogram<u64>,
}

impl Part {
    fn of(seconds: &[Second]) -> Result<Self> {
        let (mut sent, mut cpu_s, mut times) = (0, 0.0, histogram());
        for second in seconds {
            sent += second.sent;
            cpu_s += second.cpu_s;
            times.add(&second.times)?;
        }
        let each_second = sent as f64 / seconds.len() as f64;
        Ok(Self { each_second, cpu_each: cpu_s * 1e6 / sent.max(1) as f64, times })
    }
}

/// What a user does afterwards: the first sync, a join, a page of history. Medians of five.
async fn after_work(when: &'static str, users: &[User], rooms: &[(&User, String)]) -> Result<Figures> {
    let names = match when {
        "soak.before" => ["soak.before.sync", "soak.before.join", "soak.before.history"],
        _ => ["soak.after.sync", "soak.after.join", "soak.after.history"],
    };
    let (mut syncs, mut joins, mut pages) = (histogram(), histogram(), histogram());
    for n in 0..5 {
        let (owner, room) = &rooms[n * rooms.len() / 5];
        let filter = format!(r#"{{"room":{{"timeline":{{"limit":{}}}}}}}"#, 8 + n);
        syncs.record(micros(owner.sync(None, 0, Some(&filter)).await?.1))?;
        let at = Instant::now();
        // Each time somebody who is not inside yet.
        users[(n * rooms.len() / 5 + 1 + usize::from(when == "soak.after")) % users.len()].join(room).await?;
        joins.record(micros(at.elapsed()))?;
        let at = Instant::now();
        owner.messages(room, None, 50).await?;
        pages.record(micros(at.elapsed()))?;
    }
    Ok([syncs, joins, pages].iter().zip(names).map(|(times, name)| lower(name, ms(times, 0.5), "ms")).collect())
}

/// How long it takes until the last message is found by its words.
async fn until_found(rooms: &[(&User, String)], messages: usize) -> Result<Duration> {
    let begin = Instant::now();
    let (user, _) = &rooms[(messages - 1) % rooms.len()];
    while user.search(&format!("n{}", messages - 1)).await? == 0 {
        ensure!(begin.elapsed() < Duration::from_secs(1800), "the last message is not found by its words");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(begin.elapsed())
}

/// Ten words, one of them in no other message.
fn body(n: usize) -> String {
    let words: Vec<&str> = (0..9).map(|at| WORDS[(n.wrapping_mul(31) + at * 7 + n / 24) % WORDS.len()]).collect();
    format!("n{n} {}", words.join(" "))
}

/// Bytes in the files of a folder. The write-ahead log is no part of it: it is bounded, and written over.
fn size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Files come and go meanwhile.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            sum += if entry.file_name() == "pg_wal" { 0 } else { size(&entry.path())? };
        } else {
            sum += meta.len();
        }
    }
    Ok(sum)
}
