//! What came of one look, and how long it may take.

use std::{fmt, future::Future, time::Duration};

use serde::Serialize;

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Good,
    /// Works, and could be better.
    Advice,
    Wrong,
}

/// One look.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub about: &'static str,
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    pub fn good(about: &'static str, found: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Good, found: found.into(), advice: None }
    }

    pub fn advice(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Advice, found: found.into(), advice: Some(advice.into()) }
    }

    pub fn wrong(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
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

/// The answer, or `None` where it takes too long.
pub(super) async fn in_time<T>(look: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, look).await.ok()
}
