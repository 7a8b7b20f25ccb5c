//! Which events of a room a user may see.
//!
//! Source: client-server API, "Room history visibility", server behaviour. The rules ask for the state at each event. It
//! is read off two short chains, of history visibilities and of the user's memberships: the state's own events, each with
//! the one whose place it took, down to the oldest event asked about. As a rule both chains are one cached event long.
//!
//! **Invariant:** whoever is not found in a room's state has left it, and an event without a place in history is not seen.

use std::{collections::HashSet, sync::Arc};

pub use roost_spec::event::content::HistoryVisibility;
use serde::Deserialize;

use super::{Rooms, StateKey, StateMap, StoredEvent};
use crate::storage::{self, EventNr, Membership, Result, Sym, UserNr, event::Chain};

/// Of an `m.room.history_visibility` event. What is missing or not understood means `shared`.
pub fn visibility_of(event: &StoredEvent) -> HistoryVisibility {
    #[derive(Deserialize)]
    struct Content {
        history_visibility: String,
    }
    let content = event.read_content::<Content>();
    content.and_then(|it| HistoryVisibility::parse(&it.history_visibility)).unwrap_or(HistoryVisibility::Shared)
}

/// What one user may see of one room's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    user: Option<UserNr>,
    /// With the places from which they hold, newest first.
    visibilities: Vec<(i64, HistoryVisibility)>,
    memberships: Vec<(i64, Membership)>,
    /// Whose messages are shown to those who were there alone.
    pub(super) erased: Arc<HashSet<UserNr>>,
}

/// A room's current state, and the place in its history down to which events will be asked about.
#[derive(Debug, Clone)]
pub struct Ask {
    pub state: StateMap,
    pub oldest: i64,
}

impl Rooms {
    /// What `user` (nobody in particular: a stranger) may see in each of the rooms; a query or two at most for all.
    ///
    /// # Errors
    /// The database's own.
    pub async fn sights(&self, user: Option<UserNr>, asks: &[Ask]) -> Result<Vec<Sight>> {
        let mut chains = Vec::with_capacity(asks.len() * 2);
        let mut starts = Vec::with_capacity(asks.len());
        for ask in asks {
            // One further down: what held before the oldest event counts too.
            let chain = |newest: Option<&EventNr>| newest.map(|nr| Chain { newest: *nr, down_to: ask.oldest - 1 });
            let visibility = chain(ask.state.get(&StateKey::of(Sym::HISTORY_VISIBILITY)));
            let membership = user.and_then(|user| chain(ask.state.get(&StateKey::member(user))));
            starts.push((visibility.is_some(), membership.is_some()));
            chains.extend(visibility.into_iter().chain(membership));
        }
        let mut histories = self.histories(&chains).await?.into_iter();
        let mut next = |there: bool| if there { histories.next().unwrap_or_default() } else { Vec::new() };
        let place = |event: &StoredEvent| event.ord.unwrap_or(i64::MIN);
        let erased = self.erased().await?;
        Ok(starts
            .into_iter()
            .map(|(visibility, membership)| Sight {
                user,
                visibilities: next(visibility).iter().map(|e| (place(e), visibility_of(e))).collect(),
                memberships: next(membership)
                    .iter()
                    .map(|e| (place(e), e.membership.unwrap_or(Membership::Leave)))
                    .collect(),
                erased: Arc::clone(&erased),
            })
            .collect())
    }

    /// The events of each chain, newest first; one query at most besides loading them.
    pub(super) async fn histories(&self, chains: &[Chain]) -> Result<Vec<Vec<Arc<StoredEvent>>>> {
        let newest = self.events(&chains.iter().map(|c| c.newest).collect::<Vec<_>>()).await?;
        let mut histories: Vec<Vec<Arc<StoredEvent>>> = newest.into_iter().map(|event| vec![event]).collect();
        let (mut open, mut owners) = (Vec::new(), Vec::new());
        for (i, (history, chain)) in histories.iter_mut().zip(chains).enumerate() {
            while let Some(last) = history.last()
                && last.ord.is_some_and(|ord| ord > chain.down_to)
                && let Some(replaced) = last.replaces
            {
                match self.0.caches.events.get(replaced) {
                    Some(event) => history.push(event),
                    None => {
                        open.push(Chain { newest: replaced, down_to: chain.down_to });
                        owners.push(i);
                        break;
                    }
                }
            }
        }
        if !open.is_empty() {
            let rest = storage::event::replaced(&self.0.pool, &open).await?;
            let events = self.events(&rest.iter().map(|(_, nr)| *nr).collect::<Vec<_>>()).await?;
            for ((i, _), event) in rest.iter().zip(events) {
                if let Some(history) = owners.get(*i).and_then(|owner| histories.get_mut(*owner)) {
                    history.push(event);
                }
            }
        }
        Ok(histories)
    }
}

impl Sight {
    /// Whether the user may see `event`, which is not older than was asked for.
    ///
    /// Who sees an event may know the room's state after it: they may look at that moment, or at the one before, from which
    /// it differs by nothing but what they see.
    pub fn sees(&self, event: &StoredEvent) -> bool {
        let Some(ord) = event.ord.filter(|_| !event.withheld) else { return false };
        let joined_later = self.memberships.iter().any(|(at, m)| *at > ord && *m == Membership::Join);
        let allows = |visibility: HistoryVisibility, membership: Membership| match (visibility, membership) {
            (HistoryVisibility::WorldReadable, _) | (_, Membership::Join) => true,
            (HistoryVisibility::Shared, _) => joined_later,
            (HistoryVisibility::Invited, Membership::Invite) => true,
            (HistoryVisibility::Invited | HistoryVisibility::Joined, _) => false,
        };
        // Of an event that changes the one or the other, the better of before and after counts.
        let changes_visibility = event.kind == Sym::HISTORY_VISIBILITY && event.state_key == Some(Sym::EMPTY);
        let changes_membership = event.kind == Sym::MEMBER && event.state_key.is_some() && event.state_key == self.user;
        let visibility = |at| since(&self.visibilities, at).unwrap_or(HistoryVisibility::Shared);
        let membership = |at| since(&self.memberships, at).unwrap_or(Membership::Leave);
        let visibilities = [visibility(ord), if changes_visibility { visibility(ord - 1) } else { visibility(ord) }];
        let memberships = [membership(ord), if changes_membership { membership(ord - 1) } else { membership(ord) }];
        visibilities.iter().any(|v| memberships.iter().any(|m| allows(*v, *m)))
    }

    /// The user's membership at `event`, changes by it included.
    pub fn membership_at(&self, event: &StoredEvent) -> Membership {
        event.ord.and_then(|ord| since(&self.memberships, ord)).unwrap_or(Membership::Leave)
    }
}

/// What holds at `ord`.
fn since<T: Copy>(newest_first: &[(i64, T)], ord: i64) -> Option<T> {
    newest_first.iter().find(|(at, _)| *at <= ord).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::{super::stored::tests::stored, *};

    const ALICE: Sym = Sym(1000);

    fn sight(visibilities: &[(i64, HistoryVisibility)], memberships: &[(i64, Membership)]) -> Sight {
        let newest_first = |(at, _): &(i64, _)| std::cmp::Reverse(*at);
        let (mut visibilities, mut memberships) = (visibilities.to_vec(), memberships.to_vec());
        visibilities.sort_by_key(newest_first);
        memberships.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Sight { user: Some(ALICE), visibilities, memberships, erased: Arc::default() }
    }

    /// Which of the messages at 1000, 2000, … are seen.
    fn seen(sight: &Sight, up_to: i64) -> Vec<i64> {
        let message = r#"{"content":{},"room_id":"!r:s","sender":"@u:s","type":"m.room.message"}"#;
        (1..=up_to).filter(|nr| sight.sees(&stored(*nr, Sym(17), None, message))).collect()
    }

    #[test]
    fn shared_history_is_open_to_who_joined_and_ends_where_they_left() {
        use Membership::{Invite, Join, Leave};
        assert_eq!(seen(&sight(&[], &[(2500, Invite), (3500, Join), (5500, Leave)]), 7), [1, 2, 3, 4, 5]);
        assert_eq!(seen(&sight(&[], &[(2500, Invite), (3500, Leave)]), 5), [0; 0]);
        assert_eq!(seen(&sight(&[], &[]), 3), [0; 0]);
    }

    #[test]
    fn invited_history_begins_with_the_invitation_and_joined_history_with_the_join() {
        use Membership::{Invite, Join, Leave};
        let memberships = [(2500, Invite), (4500, Join), (6500, Leave), (8500, Join)];
        assert_eq!(seen(&sight(&[(1, HistoryVisibility::Invited)], &memberships), 9), [3, 4, 5, 6, 9]);
        assert_eq!(seen(&sight(&[(1, HistoryVisibility::Joined)], &memberships), 9), [5, 6, 9]);
    }

    #[test]
    fn each_event_is_judged_by_the_visibility_at_its_time() {
        let changes = [(1, HistoryVisibility::WorldReadable), (3500, HistoryVisibility::Joined)];
        assert_eq!(seen(&sight(&changes, &[]), 6), [1, 2, 3]);
        assert_eq!(seen(&sight(&changes, &[(5500, Membership::Join)]), 6), [1, 2, 3, 6]);
    }

    #[test]
    fn a_change_of_visibility_is_seen_by_who_saw_before_or_sees_after() {
        let json = r#"{"content":{"history_visibility":"joined"},"sender":"@u:s","state_key":"","type":"m.room.history_visibility"}"#;
        let event = stored(3, Sym::HISTORY_VISIBILITY, Some(Sym::EMPTY), json);
        assert_eq!(visibility_of(&event), HistoryVisibility::Joined);
        use HistoryVisibility::{Joined, WorldReadable};
        assert!(sight(&[(1, WorldReadable), (3000, Joined)], &[]).sees(&event));
        assert!(sight(&[(1, Joined), (3000, WorldReadable)], &[]).sees(&event));
        assert!(!sight(&[(1, Joined), (3000, Joined)], &[]).sees(&event));
    }

    #[test]
    fn what_an_erased_user_said_is_empty_for_those_who_were_not_there() {
        let json = r#"{"content":{"body":"x"},"room_id":"!r:s","sender":"@u:s","type":"m.room.message"}"#;
        let mut sight = sight(&[], &[(2500, Membership::Join)]);
        let said =
            |sight: &Sight, nr| sight.shown(Arc::new(stored(nr, Sym(17), None, json))).event.content().to_owned();
        assert_eq!(said(&sight, 2), r#"{"body":"x"}"#);
        sight.erased = Arc::new(HashSet::from([stored(1, Sym(17), None, json).sender]));
        assert_eq!((said(&sight, 2), said(&sight, 3)), ("{}".to_owned(), r#"{"body":"x"}"#.to_owned()));
    }

    #[test]
    fn what_was_done_to_somebody_is_theirs_to_see_if_they_might_look_before_or_after() {
        use HistoryVisibility::{Invited, Joined, Shared};
        use Membership::{Ban, Invite, Join, Leave};
        let json = r#"{"content":{"membership":"ban"},"sender":"@u:s","state_key":"@a:s","type":"m.room.member"}"#;
        let own = stored(3, Sym::MEMBER, Some(ALICE), json);
        let sees =
            |visibility, before, after, event| sight(&[(1, visibility)], &[(2000, before), (3000, after)]).sees(event);
        assert!(sees(Joined, Join, Ban, &own) && sees(Joined, Leave, Join, &own) && sees(Invited, Leave, Invite, &own));
        assert!(
            !sees(Joined, Leave, Ban, &own) && !sees(Shared, Leave, Invite, &own) && !sees(Shared, Invite, Leave, &own)
        );
        let other = stored(3, Sym::MEMBER, Some(Sym(1001)), json);
        assert!(!sees(Joined, Join, Ban, &other));
        assert_eq!(sight(&[], &[(3000, Ban)]).membership_at(&own), Ban);
    }
}
