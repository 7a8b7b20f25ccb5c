//! Writes `deploy/complement/RESULTS.md` out of what `go test -json` printed.
//!
//! ```text
//! go test -json ./tests/... | complement-results SUITE_CHECKOUT
//! ```
//!
//! The file is written by this program alone, but for one line of reason behind each failure, which stays when it is
//! written again.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead as _, stdin},
    path::Path,
    process::{Command, ExitCode},
};

use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/complement/RESULTS.md");
/// What stands behind a failure that nobody has looked at yet.
const UNKNOWN: &str = "not looked into yet";

/// How each test of a package ended, subtests included.
type Outcomes = BTreeMap<String, BTreeMap<String, Outcome>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

fn main() -> ExitCode {
    let Some(suite) = std::env::args().nth(1) else {
        eprintln!("usage: go test -json ./tests/… | complement-results SUITE_CHECKOUT");
        return ExitCode::from(2);
    };
    let outcomes = read(stdin().lock().lines().map_while(Result::ok));
    if outcomes.is_empty() {
        eprintln!("standard input holds no test of `go test -json`");
        return ExitCode::FAILURE;
    }
    let reasons = reasons(&fs::read_to_string(FILE).unwrap_or_default());
    let commits = [image_commit(), commit(&suite)];
    if let Err(error) = fs::write(FILE, render(&outcomes, &reasons, &commits)) {
        eprintln!("{FILE}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn read(lines: impl Iterator<Item = String>) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for line in lines {
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        let (Some(package), Some(test)) = (event["Package"].as_str(), event["Test"].as_str()) else { continue };
        let outcome = match event["Action"].as_str() {
            Some("pass") => Outcome::Passed,
            Some("fail") => Outcome::Failed,
            Some("skip") => Outcome::Skipped,
            _ => continue,
        };
        let package = package.rsplit_once("complement/").map_or(package, |(_, package)| package);
        outcomes.entry(package.to_owned()).or_default().insert(test.to_owned(), outcome);
    }
    outcomes
}

/// By the test's name: what somebody wrote behind it.
fn reasons(file: &str) -> BTreeMap<String, String> {
    let lines = file.lines().filter_map(|line| line.strip_prefix("- `")?.split_once("`: "));
    lines.filter(|(_, reason)| *reason != UNKNOWN).map(|(test, reason)| (test.to_owned(), reason.to_owned())).collect()
}

fn render(outcomes: &Outcomes, reasons: &BTreeMap<String, String>, commits: &[String; 2]) -> String {
    let mut out = format!(
        "# Complement\n\nRoost at `{}`, [the suite](https://github.com/matrix-org/complement) at `{}`. Written by \
         `complement-results`;\nonly what stands behind a failure's name is written by hand.\n\n\
         | package | passed | failed | skipped |\n|---|---|---|---|\n",
        commits[0], commits[1],
    );
    let count = |tests: &BTreeMap<String, Outcome>, what| tests.values().filter(|outcome| **outcome == what).count();
    for (package, tests) in outcomes {
        let [passed, failed, skipped] = [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(|it| count(tests, it));
        let _ = writeln!(out, "| {package} | {passed} | {failed} | {skipped} |");
    }
    for (package, tests) in outcomes {
        let failed = failures(tests);
        if failed.is_empty() {
            continue;
        }
        let _ = write!(out, "\n## What fails in {package}\n\n");
        for test in failed {
            let _ = writeln!(out, "- `{test}`: {}", reasons.get(test).map_or(UNKNOWN, String::as_str));
        }
    }
    out
}

/// Failed tests, without those that failed only because a part of them did.
fn failures(tests: &BTreeMap<String, Outcome>) -> Vec<&str> {
    let failed: Vec<&str> =
        tests.iter().filter(|(_, it)| **it == Outcome::Failed).map(|(test, _)| test.as_str()).collect();
    let has_failed_part =
        |test: &str| failed.iter().any(|it| it.strip_prefix(test).is_some_and(|rest| rest.starts_with('/')));
    failed.iter().copied().filter(|test| !has_failed_part(test)).collect()
}

/// What the tested image was built from, as it says itself: the checkout may have moved on since.
fn image_commit() -> String {
    let image = std::env::var("COMPLEMENT_BASE_IMAGE").unwrap_or_else(|_| "roost-complement".to_owned());
    let label = r#"{{index .Config.Labels "org.opencontainers.image.revision"}}"#;
    let asked = Command::new("docker").args(["image", "inspect", "--format", label, &image]).output();
    let found = asked.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let name = found.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| format!("unknown (image {image})"))
}

fn commit(checkout: &str) -> String {
    let asked = Command::new("git").args(["-C", checkout, "rev-parse", "--short=12", "HEAD"]).output();
    let found = asked.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let name = found.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    name.unwrap_or_else(|| format!("unknown ({})", Path::new(checkout).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_stays_when_the_file_is_written_again() {
        let line = |test: &str, action: &str| {
            format!(
                r#"{{"Action":"{action}","Package":"github.com/matrix-org/complement/tests/csapi","Test":"{test}"}}"#
            )
        };
        let lines = [
            line("A", "pass"),
            line("B", "fail"),
            line("B/c", "fail"),
            line("B/d", "pass"),
            line("E", "skip"),
            line("F", "fail"),
        ];
        let outcomes = read(lines.into_iter());
        let commits = ["1".to_owned(), "2".to_owned()];
        let first = render(&outcomes, &BTreeMap::new(), &commits);
        assert!(first.contains("| tests/csapi | 2 | 3 | 1 |"), "{first}");
        assert!(first.contains("- `B/c`: not looked into yet") && !first.contains("- `B`"), "{first}");
        let by_hand = first.replace("- `B/c`: not looked into yet", "- `B/c`: needs a second server");
        let second = render(&outcomes, &reasons(&by_hand), &commits);
        assert_eq!(second, by_hand);
    }
}
