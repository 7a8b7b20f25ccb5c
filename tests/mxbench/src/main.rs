//! Runs the same work against a Matrix homeserver and prints figures, or compares saved results.
//!
//! `mxbench run --base http://127.0.0.1:8008 --name ours --pids 123,456 --out ours.json`
//! `mxbench compare ours.json synapse.json`   ratios: above 1 means the first is better
//! `mxbench table ours.json synapse.json`     the same in Markdown
//! `mxbench soak --base … --name … --pids … --disk DIR`   two million messages into 2,000 rooms
//! `mxbench median --out all.json 1.json 2.json 3.json`   of several rounds
//! `mxbench flush --dir DIR`                  what one durable write costs on this disk

mod client;
mod cost;
mod flush;
mod report;
mod scenarios;
mod soak;

use std::{collections::BTreeMap, future::Future, path::PathBuf, time::Instant};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    report::{Saved, SavedFigure},
    scenarios::{Better, Figure, Figures, Size},
};

#[derive(Parser)]
#[command(about = "Load generator for any Matrix homeserver")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every scenario (or those named with --only) against one server.
    Run {
        #[arg(long)]
        base: String,
        #[arg(long)]
        name: String,
        /// Root processes of the server and its database: their trees are charged.
        #[arg(long, value_delimiter = ',')]
        pids: Vec<u32>,
        #[arg(long)]
        registration_token: Option<String>,
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Multiplies how much work is done.
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Send many messages into many rooms, and compare the first with the last.
    Soak {
        #[arg(long)]
        base: String,
        #[arg(long)]
        name: String,
        /// Root processes of the server and its database: their trees are charged.
        #[arg(long, value_delimiter = ',')]
        pids: Vec<u32>,
        /// The database's folder.
        #[arg(long)]
        disk: Option<PathBuf>,
        /// Multiplies how many messages and rooms there are.
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Print the ratio of the first result to each other one, figure by figure.
    Compare { results: Vec<PathBuf> },
    /// Print the same as a Markdown table.
    Table { results: Vec<PathBuf> },
    /// Join results of several runs of one server into one file; a later file's figures stand.
    Merge {
        #[arg(long)]
        out: PathBuf,
        results: Vec<PathBuf>,
    },
    /// Join results of several rounds into one file: each figure's median.
    Median {
        #[arg(long)]
        out: PathBuf,
        results: Vec<PathBuf>,
    },
    /// Print the median time of a durable write of 8 KiB in a folder.
    Flush {
        #[arg(long)]
        dir: PathBuf,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Args::parse().command {
        Command::Run { base, name, pids, registration_token, only, scale, out } => {
            let saved = Run::new(&base, registration_token, pids, only, scale).await?.all(name).await;
            finish(&saved, out.as_deref())
        }
        Command::Soak { base, name, pids, disk, scale, out } => {
            let scaled = |n: usize| ((n as f64 * scale) as usize).max(64);
            let users = scenarios::register(&client::Server::new(&base, None)?, 64, &tag()?).await?;
            let soak = soak::Soak { messages: scaled(2_000_000), rooms: scaled(2_000), pids, disk };
            let (figures, failed) = match soak::run(&users, &soak).await {
                Ok(figures) => (figures, BTreeMap::new()),
                Err(error) => (Vec::new(), BTreeMap::from([("soak".to_owned(), format!("{error:#}"))])),
            };
            finish(&Saved { name, figures: saved(figures), failed }, out.as_deref())
        }
        Command::Compare { results } => report::compare(&Saved::read_all(&results)?),
        Command::Table { results } => report::table(&Saved::read_all(&results)?),
        Command::Merge { out, results } => report::merge(Saved::read_all(&results)?)?.write(&out),
        Command::Median { out, results } => report::median(Saved::read_all(&results)?)?.write(&out),
        Command::Flush { dir } => {
            println!("{:.2} ms", flush::median_ms(&dir)?);
            Ok(())
        }
    }
}

fn finish(saved: &Saved, out: Option<&std::path::Path>) -> Result<()> {
    saved.print();
    if let Some(out) = out {
        saved.write(out)?;
    }
    if !saved.failed.is_empty() {
        std::process::exit(1);
    }
    Ok(())
}

/// Keeps the names of one run apart from another's.
fn tag() -> Result<String> {
    Ok(format!("{:x}", std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs()))
}

fn saved(figures: Figures) -> BTreeMap<String, SavedFigure> {
    let saved = |f: Figure| {
        let higher_is_better = f.better == Better::Higher;
        (f.name.to_owned(), SavedFigure { value: f.value, unit: f.unit.to_owned(), higher_is_better })
    };
    figures.into_iter().map(saved).collect()
}

struct Run {
    users: Vec<client::User>,
    size: Size,
    pids: Vec<u32>,
    only: Vec<String>,
    figures: Figures,
    failed: BTreeMap<String, String>,
}

impl Run {
    async fn new(base: &str, token: Option<String>, pids: Vec<u32>, only: Vec<String>, scale: f64) -> Result<Self> {
        let scaled = |n: usize| ((n as f64 * scale) as usize).max(1);
        let size = Size {
            users: scaled(120).max(24),
            senders: scaled(32).min(scaled(120).max(24)),
            messages_each: scaled(60),
            receivers: scaled(100).min(scaled(120).max(24)),
            deliveries: 30,
            rooms: scaled(100),
            idle: scaled(1000),
        };
        let before = cost::of_trees(&pids).cpu_s;
        let users = scenarios::register(&client::Server::new(base, token)?, size.users, &tag()?).await?;
        let mut figures = Figures::new();
        if !pids.is_empty() {
            let spent = cost::of_trees(&pids).cpu_s - before;
            figures.push(Figure { name: "register.cpu", value: spent, unit: "cpu s", better: Better::Lower });
        }
        Ok(Self { users, size, pids, only, figures, failed: BTreeMap::new() })
    }

    /// How many of the waiting requests `open` still wait, and what each takes, under the names of step, number and memory.
    fn waiting(
        &mut self,
        before: u64,
        open: Result<Vec<tokio::task::JoinHandle<()>>>,
        size: Size,
        [step, held, each]: [&'static str; 3],
    ) {
        let open = match open {
            Ok(open) => open,
            Err(error) => return drop(self.failed.insert(step.into(), format!("{error:#}"))),
        };
        let alive = open.iter().filter(|handle| !handle.is_finished()).count();
        let after = cost::of_trees(&self.pids).rss_bytes;
        self.figures.push(Figure { name: held, value: alive as f64, unit: "conn", better: Better::Higher });
        if !self.pids.is_empty() {
            let grown = after.saturating_sub(before) as f64 / 1024.0 / size.idle as f64;
            self.figures.push(Figure { name: each, value: grown, unit: "KiB", better: Better::Lower });
        }
        open.iter().for_each(tokio::task::JoinHandle::abort);
    }

    fn wanted(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// Runs one scenario, charging it the server's CPU time.
    async fn step(&mut self, name: &'static str, cpu_name: &'static str, work: impl Future<Output = Result<Figures>>) {
        if !self.wanted(name) {
            return;
        }
        let (before, start) = (cost::of_trees(&self.pids), Instant::now());
        match work.await {
            Ok(figures) => self.figures.extend(figures),
            Err(error) => drop(self.failed.insert(name.to_owned(), format!("{error:#}"))),
        }
        if !self.pids.is_empty() {
            let spent = cost::of_trees(&self.pids).cpu_s - before.cpu_s;
            self.figures.push(Figure { name: cpu_name, value: spent, unit: "cpu s", better: Better::Lower });
        }
        eprintln!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    }

    async fn all(mut self, name: String) -> Saved {
        let (users, size) = (self.users.clone(), self.size);
        let mut room = None;
        match scenarios::join(&users).await {
            Ok((id, figures)) => {
                room = Some(id);
                if self.wanted("join") {
                    self.figures.extend(figures);
                }
            }
            Err(error) => drop(self.failed.insert("join".into(), format!("{error:#}"))),
        }
        self.step("send", "send.many_rooms.cpu", scenarios::send(&users, size)).await;
        if let Some(room) = &room {
            self.step("send_one_room", "send.one_room.cpu", scenarios::send_one_room(&users, room, size)).await;
            self.step("delivery", "delivery.cpu", scenarios::delivery(&users, room, size)).await;
            self.step("history", "history.cpu", scenarios::history(&users[0], room, size)).await;
        }
        self.step("sync", "sync.cpu", scenarios::sync(&users, size)).await;
        self.step("sliding", "sliding.cpu", scenarios::sliding(&users[0])).await;
        self.step("e2ee", "e2ee.cpu", scenarios::e2ee(&users)).await;
        if self.wanted("idle") {
            let before = cost::of_trees(&self.pids).rss_bytes;
            let open = scenarios::idle(&users, size).await;
            self.waiting(before, open, size, ["idle", "idle.held", "idle.memory_each"]);
        }
        if self.wanted("idle_sliding") {
            let before = cost::of_trees(&self.pids).rss_bytes;
            let open = scenarios::idle_sliding(&users, size).await;
            self.waiting(before, open, size, ["idle_sliding", "idle.sliding_held", "idle.sliding_memory_each"]);
        }
        if !self.pids.is_empty() {
            let rss = cost::of_trees(&self.pids).rss_bytes as f64 / 1_048_576.0;
            self.figures.push(Figure { name: "memory.after", value: rss, unit: "MiB", better: Better::Lower });
        }
        Saved { name, figures: saved(self.figures), failed: self.failed }
    }
}
