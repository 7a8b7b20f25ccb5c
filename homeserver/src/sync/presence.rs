//! `presence`: who of those that the reader shares a room with is online, from memory; and the task that wakes those
//! who wait for it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Sync, Token, answer::push_string, poll::Reader};
use crate::{
    clock::now_ms,
    presence::{State, Status},
    storage::{Result, RoomNr, UserNr},
};

/// Users in one answer; those who were active last.
const MOST: usize = 2_000;
/// What one woken long-poll costs, twenty times over: presence takes a twentieth of a core at most.
const FOR_EACH_WOKEN: Duration = Duration::from_millis(4);
/// And it is never later than this.
const LATEST: Duration = Duration::from_secs(15);
/// Users whose rooms are looked up in one step.
const AT_ONCE: usize = 500;

/// The section of one answer.
#[derive(Debug, Default)]
pub(super) struct PresenceNews {
    /// Whole events, as JSON.
    pub events: Vec<String>,
    /// There is more in it than the reader's own.
    pub of_others: bool,
    /// There is the reader's own in it.
    pub of_own: bool,
}

impl Sync {
    /// What was published after the client's token, of those who share a room with the reader; all there is where that
    /// came from another node, or there is none. And all there is of `met`, whom the reader has come together with.
    pub(super) async fn presence(
        &self,
        reader: &Reader,
        joined: &[RoomNr],
        since: Option<&Token>,
        met: impl IntoIterator<Item = UserNr>,
    ) -> Result<PresenceNews> {
        if !self.wants_presence(reader) {
            return Ok(PresenceNews::default());
        }
        let mut users: Vec<UserNr> = self.0.presence.published_after(self.own_stamp(since));
        users.retain(|user| *user == reader.user || self.shares_a_room(*user, joined));
        let known: HashSet<UserNr> = users.iter().copied().collect();
        let met: HashSet<UserNr> = met.into_iter().filter(|user| !known.contains(user)).collect();
        users.extend(met);
        let mut published = self.0.presence.published(&users);
        published.sort_unstable_by_key(|(user, status)| (*user != reader.user, -status.active_ts));
        published.truncate(MOST);
        let users: Vec<UserNr> = published.iter().map(|(user, _)| *user).collect();
        let names = self.0.rooms.interner().texts(&users).await?;
        let (mut news, now) = (PresenceNews::default(), now_ms());
        let filter = &reader.filter.presence;
        for (user, status) in &published {
            let Some(name) = names.get(user) else { continue };
            if !<&ruma::UserId>::try_from(&**name).is_ok_and(|name| filter.senders.takes(name)) {
                continue;
            }
            if *user == reader.user {
                news.of_own = true;
            } else {
                news.of_others = true;
            }
            news.events.push(event(name, status, now));
        }
        Ok(news)
    }

    /// Whether there may be something for the reader after `token`. Their own alone is no reason to answer: it rides along.
    pub(super) fn is_presence_touched(&self, reader: &Reader, joined: &[RoomNr], token: &Token) -> bool {
        if !self.wants_presence(reader) {
            return false;
        }
        match self.own_stamp(Some(token)) {
            None => true,
            Some(stamp) if self.0.presence.stamp() == stamp => false,
            Some(stamp) => {
                let changed = self.0.presence.published_after(Some(stamp));
                changed.into_iter().any(|user| user != reader.user && self.shares_a_room(user, joined))
            }
        }
    }

    fn wants_presence(&self, reader: &Reader) -> bool {
        let filter = &reader.filter.presence;
        self.0.presence.is_enabled() && filter.types.takes("m.presence") && !filter.takes_nothing()
    }

    /// The token's stamp, if it is one of this node's.
    fn own_stamp(&self, since: Option<&Token>) -> Option<u64> {
        since.filter(|token| token.node == self.0.presence.node()).map(|token| token.ephemeral)
    }

    /// From memory: who changed had their rooms looked up when those who wait were woken.
    fn shares_a_room(&self, user: UserNr, joined: &[RoomNr]) -> bool {
        self.0.rooms.known_rooms(user).is_some_and(|rooms| have_common(&rooms, joined))
    }

    /// Wakes those who wait for presence, until `shutdown`. The more it wakes, the longer it waits before the next time:
    /// what changes meanwhile goes in one.
    pub async fn carry_presence(self, shutdown: CancellationToken) {
        let mut publications = self.0.presence.publications();
        let mut carried = self.0.presence.stamp();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = publications.changed() => if changed.is_err() {
                    return;
                },
            }
            let stamp = self.0.presence.stamp();
            let changed = self.0.presence.published_after(Some(carried));
            carried = stamp;
            let mut woken = 0;
            for users in changed.chunks(AT_ONCE) {
                let mut rooms: HashSet<RoomNr> = HashSet::new();
                for user in users {
                    match self.0.rooms.joined_rooms(*user).await {
                        Ok(joined) => rooms.extend(joined.iter()),
                        Err(error) => tracing::debug!(%error, "presence waits for the next change"),
                    }
                }
                let rooms: Vec<RoomNr> = rooms.into_iter().collect();
                woken += self.0.log.wake_once(&rooms);
            }
            let pause = FOR_EACH_WOKEN.saturating_mul(u32::try_from(woken).unwrap_or(u32::MAX)).min(LATEST);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }
}

/// Whether two sorted lists have something in common.
fn have_common(one: &Arc<[RoomNr]>, other: &[RoomNr]) -> bool {
    let (small, large): (&[RoomNr], &[RoomNr]) = if one.len() < other.len() { (one, other) } else { (other, one) };
    small.iter().any(|room| large.binary_search(room).is_ok())
}

fn event(name: &str, status: &Status, now: i64) -> String {
    let mut out = String::with_capacity(160);
    out.push_str("{\"type\":\"m.presence\",\"sender\":");
    push_string(&mut out, name);
    out.push_str(",\"content\":");
    out.push_str(&content(status, now));
    out.push('}');
    out
}

/// The content of `m.presence`.
fn content(status: &Status, now: i64) -> String {
    let mut out = String::with_capacity(96);
    out.push_str(match status.state {
        State::Online => "{\"presence\":\"online\",\"currently_active\":true",
        State::Unavailable => "{\"presence\":\"unavailable\",\"currently_active\":false",
        State::Offline => "{\"presence\":\"offline\"",
    });
    if status.active_ts > 0 {
        out.push_str(",\"last_active_ago\":");
        out.push_str(&(now - status.active_ts).max(0).to_string());
    }
    if let Some(message) = &status.message {
        out.push_str(",\"status_msg\":");
        push_string(&mut out, message);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_rooms_are_found() {
        let rooms = |numbers: &[i64]| numbers.iter().map(|nr| RoomNr(*nr)).collect::<Arc<[RoomNr]>>();
        assert!(have_common(&rooms(&[1, 5, 9]), &rooms(&[2, 9])));
        assert!(!have_common(&rooms(&[1, 5, 9]), &rooms(&[2, 3, 4, 8])));
        assert!(!have_common(&rooms(&[]), &rooms(&[2])));
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let status = Status { state: State::Online, message: Some("a \"b\"".into()), active_ts: 5 };
        let expected = r#"{"presence":"online","currently_active":true,"last_active_ago":2,"status_msg":"a \"b\""}"#;
        assert_eq!(content(&status, 7), expected);
        assert_eq!(content(&Status::default(), 7), r#"{"presence":"offline"}"#);
    }
}
