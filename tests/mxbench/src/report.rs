//! Results: saved, printed, compared.

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What one server did.
#[derive(Serialize, Deserialize)]
pub struct Saved {
    pub name: String,
    pub figures: BTreeMap<String, SavedFigure>,
    pub failed: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
pub struct SavedFigure {
    pub value: f64,
    pub unit: String,
    pub higher_is_better: bool,
}

impl SavedFigure {
    /// How many times as good as `other`.
    fn ratio(&self, other: &Self) -> f64 {
        if self.higher_is_better { self.value / other.value } else { other.value / self.value }
    }
}

impl Saved {
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>> {
        paths
            .iter()
            .map(|path| {
                Ok(serde_json::from_str(&fs::read_to_string(path).with_context(|| path.display().to_string())?)?)
            })
            .collect()
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)?).with_context(|| path.display().to_string())
    }

    pub fn print(&self) {
        println!("{}", self.name);
        for (name, figure) in &self.figures {
            println!("  {name:<26} {:>12.2} {}", figure.value, figure.unit);
        }
        for (name, why) in &self.failed {
            println!("  {name:<26} FAILED: {why}");
        }
    }
}

/// One result of several runs of one server.
pub fn merge(results: Vec<Saved>) -> Result<Saved> {
    let mut results = results.into_iter();
    let mut all = results.next().context("name at least one result")?;
    for more in results {
        all.figures.extend(more.figures);
        all.failed.extend(more.failed);
    }
    Ok(all)
}

/// One result of several rounds: each figure's median.
pub fn median(results: Vec<Saved>) -> Result<Saved> {
    let mut rounds: BTreeMap<String, Vec<SavedFigure>> = BTreeMap::new();
    let (mut name, mut failed) = (None, BTreeMap::new());
    for result in results {
        name.get_or_insert(result.name);
        failed.extend(result.failed);
        for (figure, value) in result.figures {
            rounds.entry(figure).or_default().push(value);
        }
    }
    let figures = rounds.into_iter().filter_map(|(figure, mut values)| {
        values.sort_by(|a, b| a.value.total_cmp(&b.value));
        let middle = values.len() / 2;
        Some((figure, values.into_iter().nth(middle)?))
    });
    Ok(Saved { name: name.context("name at least one result")?, figures: figures.collect(), failed })
}

/// Prints the first result and how many times as good it is as each other one: above 1 it is better.
pub fn compare(results: &[Saved]) -> Result<()> {
    let (ours, peers) = results.split_first().context("name at least one result")?;
    print!("{:<26} {:>14}", "", ours.name);
    peers.iter().for_each(|peer| print!(" {:>12} {:>7}", peer.name, "ratio"));
    println!();
    for (name, figure) in &ours.figures {
        print!("{name:<26} {:>8.2} {:<5}", figure.value, figure.unit);
        for peer in peers {
            match peer.figures.get(name) {
                Some(other) => print!(" {:>12.2} {:>6.1}x", other.value, figure.ratio(other)),
                None => print!(" {:>12} {:>7}", "-", "-"),
            }
        }
        println!();
    }
    Ok(())
}

/// The same in Markdown.
pub fn table(results: &[Saved]) -> Result<()> {
    let (ours, peers) = results.split_first().context("name at least one result")?;
    print!("| figure | unit | {} |", ours.name);
    peers.iter().for_each(|peer| print!(" {} | times as good |", peer.name));
    print!("\n|---|---|--:|");
    peers.iter().for_each(|_| print!("--:|--:|"));
    println!();
    for (name, figure) in &ours.figures {
        print!("| {name} | {} | {} |", figure.unit, short(figure.value));
        for peer in peers {
            match peer.figures.get(name) {
                Some(other) => print!(" {} | {} |", short(other.value), short(figure.ratio(other))),
                None => print!(" - | - |"),
            }
        }
        println!();
    }
    Ok(())
}

/// As many digits as say something.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
