//! `presence`: who of those that the reader shares a room with is online, from memory; and the task that wakes those
//! who wait for it.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Sync, Token, reader::Reader};
use crate::{
    clock::now_ms,
    presence::{Since, State, Status},
    rooms::render::push_string,
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

/// Changes that are kept with their rooms.
const LATELY: usize = 10_000;

/// Who changed lately, with their rooms at that time: these are looked up once for all who wait.
#[derive(Default)]
pub(super) struct Carried(RwLock<Arc<Lately>>);

/// All changes with stamps after `after` and up to `upto`, a user's newest each.
#[derive(Default)]
struct Lately {
    after: u64,
    upto: u64,
    /// The oldest first.
    changes: Vec<(u64, UserNr, Arc<[RoomNr]>)>,
}

impl Carried {
    fn get(&self) -> Arc<Lately> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nothing is known of what came up to `stamp`.
    fn begin(&self, stamp: u64) {
        self.set(Lately { after: stamp, upto: stamp, changes: Vec::new() });
    }

    fn set(&self, lately: Lately) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lately);
    }

    /// Takes in `new`, which are all that came after what is known, up to `upto`.
    fn put(&self, new: Vec<(u64, UserNr, Arc<[RoomNr]>)>, upto: u64) {
        let before = self.get();
        let again: HashSet<UserNr> = new.iter().map(|(_, user, _)| *user).collect();
        let old = before.changes.iter().filter(|(_, user, _)| !again.contains(user)).cloned();
        let mut changes: Vec<_> = old.chain(new).collect();
        let dropped = changes.len().saturating_sub(LATELY);
        let after = changes.drain(..dropped).next_back().map_or(before.after, |(stamp, ..)| stamp);
        self.set(Lately { after, upto, changes });
    }
}

impl Lately {
    /// The reader, if they changed after `stamp`, and who of those that did is in one of the rooms.
    fn after(&self, stamp: u64, reader: UserNr, joined: &[RoomNr]) -> Vec<UserNr> {
        let first = self.changes.partition_point(|(changed, ..)| *changed <= stamp);
        let shared = |(_, user, rooms): &&(u64, UserNr, Arc<[RoomNr]>)| *user == reader || have_common(rooms, joined);
        self.changes[first..].iter().filter(shared).map(|(_, user, _)| *user).collect()
    }
}

impl Sync {
    /// What the client, whose token it is, does not know of those who share a room with the reader; and all there is of
    /// `met`, whom the reader has come together with.
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
        let mut users = match self.known(since) {
            // Who is offline is no news to somebody who knows nobody.
            Since::Nothing if since.is_none() => self.0.presence.present(),
            known => self.unknown(reader.user, joined, &known),
        };
        self.keep_met(reader.user, joined, &mut users).await?;
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
        match self.known(Some(token)) {
            Since::Nothing => true,
            Since::Stamp(stamp) if self.0.presence.stamp() == stamp => false,
            known => self.unknown(reader.user, joined, &known).into_iter().any(|user| user != reader.user),
        }
    }

    /// Of whom there is news to a client that knows this, if they share a room with the reader or may do so; the reader, too.
    fn unknown(&self, reader: UserNr, joined: &[RoomNr], known: &Since) -> Vec<UserNr> {
        let mut users = match known {
            Since::All => return Vec::new(),
            Since::Stamp(stamp) => return self.changed(reader, joined, *stamp),
            Since::Positions(positions) => self.0.presence.published_beyond(positions),
            Since::Nothing => self.0.presence.known(),
        };
        users.sort_unstable();
        users.dedup();
        users.retain(|user| *user == reader || self.shares_a_room(*user, joined) != Some(false));
        users
    }

    /// Keeps the reader and those who share a room with them. What memory does not know is looked up: it would be missed
    /// otherwise, because the answer's token covers it.
    async fn keep_met(&self, reader: UserNr, joined: &[RoomNr], users: &mut Vec<UserNr>) -> Result<()> {
        for user in std::mem::take(users) {
            let meets = match self.shares_a_room(user, joined) {
                _ if user == reader => true,
                Some(meets) => meets,
                None => have_common(&self.0.rooms.joined_rooms(user).await?, joined),
            };
            if meets {
                users.push(user);
            }
        }
        Ok(())
    }

    /// The reader, if they changed after `stamp`, and who of those that share a room with them, or may do so, did.
    fn changed(&self, reader: UserNr, joined: &[RoomNr], stamp: u64) -> Vec<UserNr> {
        let lately = self.0.carried.get();
        let (mut users, known) = if lately.after <= stamp {
            (lately.after(stamp, reader, joined), stamp.max(lately.upto))
        } else {
            (Vec::new(), stamp)
        };
        // What was not carried yet.
        let rest = self.0.presence.published_after(known).into_iter().map(|(_, user)| user);
        users.extend(rest.filter(|user| *user == reader || self.shares_a_room(*user, joined) != Some(false)));
        users.sort_unstable();
        users.dedup();
        users
    }

    fn wants_presence(&self, reader: &Reader) -> bool {
        let filter = &reader.filter.presence;
        self.0.presence.is_enabled() && filter.types.takes("m.presence") && !filter.takes_nothing()
    }

    /// From memory; `None` where it does not know.
    fn shares_a_room(&self, user: UserNr, joined: &[RoomNr]) -> Option<bool> {
        self.0.rooms.known_rooms(user).map(|rooms| have_common(&rooms, joined))
    }

    /// Wakes those who wait for presence, until `shutdown`. The more it wakes, the longer it waits before the next time:
    /// what changes meanwhile goes in one.
    pub async fn carry_presence(self, shutdown: CancellationToken) {
        let mut publications = self.0.presence.publications();
        let mut carried = self.0.presence.stamp();
        self.0.carried.begin(carried);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = publications.changed() => if changed.is_err() {
                    return;
                },
            }
            let stamp = self.0.presence.stamp();
            let mut changed = self.0.presence.published_after(carried);
            changed.retain(|(changed, _)| *changed <= stamp);
            carried = stamp;
            let mut changes = Vec::with_capacity(changed.len());
            for (stamp, user) in changed {
                match self.0.rooms.joined_rooms(user).await {
                    Ok(joined) => changes.push((stamp, user, joined)),
                    Err(error) => tracing::debug!(%error, "presence waits for the next change"),
                }
            }
            let wakes: Vec<HashSet<RoomNr>> = changes
                .chunks(AT_ONCE)
                .map(|users| users.iter().flat_map(|(.., rooms)| rooms.iter().copied()).collect())
                .collect();
            self.0.carried.put(changes, stamp);
            let mut woken = 0;
            for rooms in wakes {
                woken += self.0.log.wake_once(&rooms.into_iter().collect::<Vec<RoomNr>>());
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
    use crate::storage::Sym;

    #[test]
    fn common_rooms_are_found() {
        let rooms = |numbers: &[i64]| numbers.iter().map(|nr| RoomNr(*nr)).collect::<Arc<[RoomNr]>>();
        assert!(have_common(&rooms(&[1, 5, 9]), &rooms(&[2, 9])));
        assert!(!have_common(&rooms(&[1, 5, 9]), &rooms(&[2, 3, 4, 8])));
        assert!(!have_common(&rooms(&[]), &rooms(&[2])));
    }

    #[test]
    fn what_was_carried_lately_is_found_by_stamp_and_room() {
        let rooms = |numbers: &[i64]| numbers.iter().map(|nr| RoomNr(*nr)).collect::<Arc<[RoomNr]>>();
        let (reader, alice, bob) = (Sym(1), Sym(2), Sym(3));
        let carried = Carried::default();
        carried.begin(5);
        carried.put(vec![(6, alice, rooms(&[1])), (7, bob, rooms(&[2])), (8, reader, rooms(&[]))], 9);
        carried.put(vec![(10, alice, rooms(&[1, 2]))], 12);
        let lately = carried.get();
        assert_eq!((lately.after, lately.upto), (5, 12));
        assert_eq!(lately.after(5, reader, &rooms(&[2])), [bob, reader, alice]);
        assert_eq!(lately.after(7, reader, &rooms(&[1])), [reader, alice]);
        let many = (0..LATELY).map(|n| (20 + n as u64, Sym(100 + n as i32), rooms(&[1])));
        carried.put(many.collect(), 20 + LATELY as u64);
        assert_eq!((carried.get().after, carried.get().changes.len()), (10, LATELY));
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let status = Status { state: State::Online, message: Some("a \"b\"".into()), active_ts: 5 };
        let expected = r#"{"presence":"online","currently_active":true,"last_active_ago":2,"status_msg":"a \"b\""}"#;
        assert_eq!(content(&status, 7), expected);
        assert_eq!(content(&Status::default(), 7), r#"{"presence":"offline"}"#);
    }
}
