//! What well-known files said, for as long as it holds.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use ruma_common::OwnedServerName;

use super::well_known::LONGEST;

/// So many hosts are remembered.
const MOST: usize = 10_000;
/// After the first failure; twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LAST_RETRY: Duration = Duration::from_secs(60 * 60);

/// By host.
#[derive(Debug, Default)]
pub(super) struct Remembered(HashMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    /// Where the last valid answer led, and when it came.
    delegate: Option<(OwnedServerName, SystemTime)>,
    /// Not asked again before.
    until: SystemTime,
    /// In a row.
    failures: u32,
}

impl Remembered {
    /// `Some` while a host need not be asked: where it leads, if anywhere.
    pub fn of(&self, host: &str, now: SystemTime) -> Option<Option<OwnedServerName>> {
        let entry = self.0.get(host)?;
        (now < entry.until).then(|| entry.delegate(now))
    }

    /// A valid answer.
    pub fn answered(&mut self, host: &str, server: OwnedServerName, keep: Duration, now: SystemTime) {
        self.put(host, Entry { delegate: Some((server, now)), until: now + keep, failures: 0 }, now);
    }

    /// No valid answer: what came before it holds on for a while, since servers are down now and then.
    pub fn failed(&mut self, host: &str, now: SystemTime) -> Option<OwnedServerName> {
        let before = self.0.remove(host);
        let failures = before.as_ref().map_or(0, |entry| entry.failures) + 1;
        let wait = FIRST_RETRY.saturating_mul(1 << (failures - 1).min(10)).min(LAST_RETRY);
        let entry = Entry { delegate: before.and_then(|entry| entry.delegate), until: now + wait, failures };
        let delegate = entry.delegate(now);
        self.put(host, entry, now);
        delegate
    }

    fn put(&mut self, host: &str, entry: Entry, now: SystemTime) {
        if self.0.len() >= MOST && !self.0.contains_key(host) {
            self.0.retain(|_, entry| entry.until > now);
        }
        if self.0.len() >= MOST && !self.0.contains_key(host) {
            let mut until: Vec<_> = self.0.values().map(|entry| entry.until).collect();
            let (_, &mut soon, _) = until.select_nth_unstable(MOST / 4);
            self.0.retain(|_, entry| entry.until > soon);
        }
        self.0.insert(host.to_owned(), entry);
    }
}

impl Entry {
    fn delegate(&self, now: SystemTime) -> Option<OwnedServerName> {
        let (server, told) = self.delegate.as_ref()?;
        let fresh = self.failures == 0 || now.duration_since(*told).is_ok_and(|age| age < LONGEST);
        fresh.then(|| server.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn name(text: &str) -> OwnedServerName {
        text.try_into().unwrap()
    }

    #[test]
    fn an_answer_holds_until_its_time_is_over() {
        let mut known = Remembered::default();
        assert_eq!(known.of("a", START), None);
        known.answered("a", name("b"), HOUR, START);
        assert_eq!(known.of("a", START + HOUR / 2), Some(Some(name("b"))));
        assert_eq!(known.of("a", START + HOUR), None);
    }

    #[test]
    fn failures_are_asked_again_later_and_later_and_what_came_before_holds_for_two_days() {
        let mut known = Remembered::default();
        assert_eq!(known.failed("a", START), None);
        assert_eq!(known.of("a", START + Duration::from_secs(59)), Some(None));
        assert_eq!(known.of("a", START + Duration::from_secs(60)), None);
        assert_eq!(known.failed("a", START), None);
        assert_eq!(known.of("a", START + Duration::from_secs(119)), Some(None));
        for _ in 0..100 {
            known.failed("a", START);
        }
        assert_eq!(known.of("a", START + HOUR - Duration::from_secs(1)), Some(None));
        assert_eq!(known.of("a", START + HOUR), None);

        known.answered("a", name("b"), HOUR, START);
        let later = START + 2 * HOUR;
        assert_eq!(known.failed("a", later), Some(name("b")));
        assert_eq!(known.of("a", later), Some(Some(name("b"))));
        assert_eq!(known.failed("a", START + 48 * HOUR), None, "too long ago");
    }

    #[test]
    fn it_stays_small() {
        let mut known = Remembered::default();
        for n in 0..3 * MOST {
            known.answered(&n.to_string(), name("b"), HOUR + Duration::from_secs(n as u64), START);
        }
        assert!(known.0.len() <= MOST);
        assert!(known.of(&(3 * MOST - 1).to_string(), START).is_some(), "the newest is there");
    }
}
