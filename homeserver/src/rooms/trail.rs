//! A user's trail through a room: the memberships that they had there, one after the other.
//!
//! Who is outside of a room may still know it as it was when they last went out; this is what says when that was.

use std::sync::Arc;

use super::{Rooms, StoredEvent};
use crate::storage::{EventNr, Membership, Pos, Result, event::Chain};

/// Membership events of one user in one room, the newest first, down to the first one.
#[derive(Debug, Clone, Default)]
pub struct Trail(Vec<Arc<StoredEvent>>);

impl Trail {
    /// The event with which the user last went out; `None` where they are inside, or never were.
    pub fn leaving(&self) -> Option<&Arc<StoredEvent>> {
        let joined = self.0.iter().position(|event| event.membership == Some(Membership::Join))?;
        self.0.get(joined.checked_sub(1)?)
    }

    /// Whether the user was joined when the log stood at `pos`.
    pub fn was_inside(&self, pos: Pos) -> bool {
        let then = self.0.iter().find(|event| event.pos.is_some_and(|at| at <= pos));
        then.is_some_and(|event| event.membership == Some(Membership::Join))
    }
}

impl Rooms {
    /// The trails that end with these membership events, in their order; one query at most besides loading them.
    ///
    /// # Errors
    /// The database's own.
    pub async fn trails(&self, newest: &[EventNr]) -> Result<Vec<Trail>> {
        let chains: Vec<Chain> = newest.iter().map(|nr| Chain { newest: *nr, down_to: i64::MIN }).collect();
        Ok(self.histories(&chains).await?.into_iter().map(Trail).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::stored::tests::stored, *};
    use crate::storage::Sym;

    /// Memberships at the positions 1, 2, ….
    fn trail(memberships: &[&str]) -> Trail {
        let event = |(i, membership): (usize, &&str)| {
            let json = format!(
                r#"{{"content":{{"membership":"{membership}"}},"sender":"@u:s","state_key":"@u:s","type":"m.room.member"}}"#
            );
            Arc::new(stored(1 + i64::try_from(i).unwrap(), Sym::MEMBER, Some(Sym(1000)), &json))
        };
        let mut events: Vec<_> = memberships.iter().enumerate().map(event).collect();
        events.reverse();
        Trail(events)
    }

    #[test]
    fn who_went_out_did_so_where_their_last_stay_ended() {
        for (memberships, expected) in [
            (&["invite", "join"][..], None),
            (&["invite", "leave"], None),
            (&["join", "leave"], Some(2)),
            (&["join", "ban", "leave"], Some(2)),
            (&["join", "leave", "join", "join", "leave", "invite", "leave", "ban"], Some(5)),
            (&["join", "leave", "invite"], Some(2)),
        ] {
            assert_eq!(trail(memberships).leaving().map(|event| event.nr.0), expected, "{memberships:?}");
        }
    }

    #[test]
    fn who_was_inside_when() {
        let trail = trail(&["invite", "join", "leave"]);
        assert_eq!([0, 1, 2, 3, 9].map(|pos| trail.was_inside(Pos(pos))), [false, false, true, false, false]);
    }
}
