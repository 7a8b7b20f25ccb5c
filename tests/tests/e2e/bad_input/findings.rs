//! What is expected of an answer, and all the answers that fell short.
//!
//! **Invariant:** a test runs to its end and names everything that it found, not the first thing alone.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use roost_tests::http::Reply;

/// Nothing may take longer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What an answer must be, beside never being a failure of the server's.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// Any answer.
    NoFailure,
    /// 400 with any code.
    BadRequest,
    /// Any 4xx.
    Refused,
    NotJson,
    WrongType,
    Missing,
    /// One of these.
    One(&'static [(u16, &'static str)]),
}

#[derive(Default)]
pub struct Findings(Mutex<Vec<String>>);

impl Findings {
    pub fn judge(&self, case: &str, answer: Result<Reply, String>, expect: Expect) {
        let complaint = match &answer {
            Ok(reply) => complaint(reply, expect).map(|why| {
                let text: String = reply.text().chars().take(200).collect();
                format!("{}: {case}: {why}: {} {text}", shorten(&reply.asked), reply.status)
            }),
            Err(error) => Some(format!("{case}: no answer: {error}")),
        };
        if let Some(complaint) = complaint {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(complaint);
        }
    }

    #[track_caller]
    pub fn end(self) {
        let found = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
    }
}

fn shorten(asked: &str) -> String {
    asked.chars().take(160).collect()
}

fn complaint(reply: &Reply, expect: Expect) -> Option<String> {
    let (status, code) = (reply.status, reply.body["errcode"].as_str().unwrap_or_default());
    if reply.took > PATIENCE {
        return Some(format!("took {:?}", reply.took));
    }
    if status >= 500 {
        return Some("a failure of the server's".into());
    }
    // What asks for proof of identity says which, instead of an error.
    let challenge = status == 401 && reply.body["flows"].is_array();
    if status >= 400 && !challenge {
        let sentence = reply.body["error"].as_str().unwrap_or_default();
        if code.is_empty() || sentence.len() <= 8 || !reply.header("content-type").starts_with("application/json") {
            return Some("no error object with a code and a sentence".into());
        }
    }
    let fits = match expect {
        Expect::NoFailure => true,
        Expect::BadRequest => status == 400,
        Expect::Refused => status >= 400,
        Expect::NotJson => (status, code) == (400, "M_NOT_JSON"),
        Expect::WrongType => status == 400 && ["M_BAD_JSON", "M_INVALID_PARAM"].contains(&code),
        Expect::Missing => status == 400 && ["M_BAD_JSON", "M_MISSING_PARAM"].contains(&code),
        Expect::One(list) => list.contains(&(status, code)),
    };
    (!fits).then(|| format!("expected {expect:?}"))
}
