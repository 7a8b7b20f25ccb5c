//! `roost doctor`: looks at everything that a server needs, from the configuration to what other servers see of it.
//!
//! Exit code 0: nothing is wrong (there may be advice); 1: something is.

mod certificate;
mod database;
mod machine;
mod network;
mod servers;

use std::{fmt, future::Future, time::Duration};

use serde::Serialize;

use super::{
    arguments::Place,
    open::{block_on, load},
    output::{Failure, print},
};

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    /// Works, and could be better.
    Advice,
    Wrong,
}

/// One look.
#[derive(Debug, Serialize)]
struct Finding {
    about: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn good(about: &'static str, found: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Good, found: found.into(), advice: None }
    }

    fn advice(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Advice, found: found.into(), advice: Some(advice.into()) }
    }

    fn wrong(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Wrong, found: found.into(), advice: Some(advice.into()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Good => "good",
            Verdict::Advice => "advice",
            Verdict::Wrong => "WRONG",
        };
        write!(f, "{verdict:7} {:14} {}", self.about, self.found)?;
        match &self.advice {
            Some(advice) => write!(f, "\n{:22} -> {advice}", ""),
            None => Ok(()),
        }
    }
}

pub(super) fn run(place: &Place) -> Result<(), Failure> {
    let config = match load(place) {
        Ok(config) => config,
        Err(Failure::Refused(problem) | Failure::Usage(problem)) => {
            return report(place, vec![Finding::wrong("configuration", problem, "mend it, then ask again")]);
        }
    };
    let findings = block_on(async {
        let mut findings = vec![Finding::good("configuration", format!("server_name is {}", config.server_name))];
        findings.extend(machine::look(&config));
        findings.extend(database::look(&config).await);
        findings.extend(network::look(&config).await);
        Ok(findings)
    })?;
    report(place, findings)
}

fn report(place: &Place, findings: Vec<Finding>) -> Result<(), Failure> {
    let text: Vec<_> = findings.iter().map(ToString::to_string).collect();
    print(place.json, &findings, text.join("\n"))?;
    match findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).count() {
        0 => Ok(()),
        1 => Err(Failure::refused("one thing is wrong")),
        count => Err(Failure::refused(format_args!("{count} things are wrong"))),
    }
}

/// The answer, or `None` where it takes too long.
async fn in_time<T>(look: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, look).await.ok()
}
