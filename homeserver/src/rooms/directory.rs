//! The public directory: the rooms that are listed, the fullest first.
//!
//! **Invariant:** a place in the list is named by the room that stands there, never by how many stand before it: rooms that come
//! or go between two pages make no other come twice or never.

use std::{
    cmp::Reverse,
    ops::{Bound, RangeTo},
    str::FromStr,
    sync::Arc,
};

use super::{
    NotAToken, Rooms,
    card::Card,
    listing::{Directory, Entry, Standing},
};
use crate::storage::Result;

/// Which rooms of the directory are wanted.
#[derive(Debug, Clone, Default)]
pub struct DirectoryAsk {
    /// Occurs in the name, the topic or the alias, whatever its case.
    pub term: Option<String>,
    /// Of these types; `None` among them stands for rooms without one.
    pub types: Option<Vec<Option<String>>>,
    pub since: Option<Since>,
    pub limit: usize,
}

/// A place in the list: beside a room that may be gone, or elsewhere, by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    beside: Standing,
    /// What comes before it is wanted, not what comes after it.
    backwards: bool,
}

impl std::fmt::Display for Since {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Standing { members: Reverse(members), room } = &self.beside;
        write!(f, "d{}{members}_{room}", if self.backwards { 'b' } else { 'f' })
    }
}

impl FromStr for Since {
    type Err = NotAToken;

    fn from_str(text: &str) -> std::result::Result<Self, NotAToken> {
        let text = text.strip_prefix('d').ok_or(NotAToken)?;
        let (backwards, text) = match text.strip_prefix('b') {
            Some(text) => (true, text),
            None => (false, text.strip_prefix('f').ok_or(NotAToken)?),
        };
        let (members, room) = text.split_once('_').ok_or(NotAToken)?;
        let members = Reverse(members.parse().map_err(|_| NotAToken)?);
        Ok(Self { beside: Standing { members, room: room.parse().map_err(|_| NotAToken)? }, backwards })
    }
}

/// A page of the directory.
#[derive(Debug, Clone)]
pub struct DirectoryPage {
    pub chunk: Vec<Arc<Card>>,
    pub next: Option<Since>,
    pub previous: Option<Since>,
    /// How many rooms fit, among those that were looked at.
    pub total: usize,
}

/// So many rooms are looked at for a page, for its place, and for their number. A page that has found too few by then is short,
/// and the next one goes on.
const LOOKED_AT: usize = 10_000;

impl Rooms {
    /// A page of the public directory. Rooms that nobody is in are not shown.
    ///
    /// # Errors
    /// The database's own.
    pub async fn directory(&self, ask: &DirectoryAsk) -> Result<DirectoryPage> {
        Ok(page(&self.listed_rooms().await?, ask))
    }
}

fn page(directory: &Directory, ask: &DirectoryAsk) -> DirectoryPage {
    let wanted = Wanted {
        term: ask.term.as_deref().map(str::to_lowercase).filter(|term| !term.is_empty()),
        types: ask.types.as_deref(),
    };
    let after = |at: &Standing| {
        directory.range::<(Bound<&Standing>, Bound<&Standing>), Standing>((Bound::Excluded(at), Bound::Unbounded))
    };
    let before = |at: &Standing| directory.range::<RangeTo<&Standing>, Standing>(..at).rev();
    let (mut found, backwards) = match &ask.since {
        None => (take(directory.iter(), &wanted, ask.limit), false),
        Some(Since { beside, backwards: false }) => (take(after(beside), &wanted, ask.limit), false),
        Some(Since { beside, backwards: true }) => (take(before(beside), &wanted, ask.limit), true),
    };
    if backwards {
        found.rooms.reverse();
    }
    let first = found.rooms.first().map(|(at, _)| (*at).clone());
    let last = found.rooms.last().map(|(at, _)| (*at).clone());
    // What lies in the page's own direction is known; behind it, somebody must be looked for.
    let onwards = |backwards| found.goes_on_from.clone().map(|beside| Since { beside, backwards });
    let (next, previous) = if backwards {
        let next = last.filter(|last| after(last).take(LOOKED_AT).any(|(_, room)| wanted.fits(room)));
        (next.map(|beside| Since { beside, backwards: false }), onwards(true))
    } else {
        let previous = first.filter(|_| ask.since.is_some());
        let previous = previous.filter(|first| before(first).take(LOOKED_AT).any(|(_, room)| wanted.fits(room)));
        (onwards(false), previous.map(|beside| Since { beside, backwards: true }))
    };
    let total = match wanted.takes_all() {
        true => directory.len(),
        false => directory.values().take(LOOKED_AT).filter(|room| wanted.fits(room)).count(),
    };
    DirectoryPage { chunk: found.rooms.iter().map(|(_, room)| Arc::clone(&room.card)).collect(), next, previous, total }
}

/// What a look along the list found.
struct Taken<'a> {
    rooms: Vec<(&'a Standing, &'a Arc<Entry>)>,
    /// The last room that needs not be looked at again; `None` where the list has ended.
    goes_on_from: Option<Standing>,
}

fn take<'a>(
    rooms: impl Iterator<Item = (&'a Standing, &'a Arc<Entry>)>,
    wanted: &Wanted<'_>,
    limit: usize,
) -> Taken<'a> {
    let (mut found, mut last) = (Vec::new(), None::<&Standing>);
    for (looked_at, (at, room)) in rooms.enumerate() {
        if looked_at == LOOKED_AT {
            return Taken { rooms: found, goes_on_from: last.cloned() };
        }
        if wanted.fits(room) {
            if found.len() == limit {
                return Taken {
                    goes_on_from: found.last().map(|(at, _): &(&Standing, _)| (*at).clone()),
                    rooms: found,
                };
            }
            found.push((at, room));
        }
        last = Some(at);
    }
    Taken { rooms: found, goes_on_from: None }
}

/// Which rooms are wanted.
struct Wanted<'a> {
    /// In lower case.
    term: Option<String>,
    types: Option<&'a [Option<String>]>,
}

impl Wanted<'_> {
    fn takes_all(&self) -> bool {
        self.term.is_none() && self.types.is_none()
    }

    fn fits(&self, room: &Entry) -> bool {
        let names = |term: &String| room.text.contains(term) || room.card.room_id.as_str().eq_ignore_ascii_case(term);
        self.term.as_ref().is_none_or(names) && self.types.is_none_or(|types| types.contains(&room.card.room_type))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use roost_tests::seed::Seed;

    use super::*;

    fn put(directory: &mut Directory, room: usize, members: i64) {
        let json = serde_json::json!({ "room_id": format!("!{room}:s"), "num_joined_members": members,
                                       "room_type": if room.is_multiple_of(3) { Some("m.space") } else { None } });
        let card = Arc::new(Card::of_test(&json));
        let standing = Standing { members: Reverse(members), room: card.room_id.clone() };
        directory.insert(standing, Arc::new(Entry { card, text: format!("room {room} of {}", room % 2) }));
    }

    #[test]
    fn places_are_read_back() {
        for backwards in [true, false] {
            let since = Since { beside: Standing { members: Reverse(7), room: "!a_b:s".parse().unwrap() }, backwards };
            assert_eq!(since.to_string().parse(), Ok(since));
        }
        for text in ["", "d", "7", "d1", "df", "df1_", "df1_x", "dx1_!a:s", "df_!a:s", "df99999999999999999999_!a:s"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }

    #[test]
    fn rooms_that_come_or_go_between_pages_make_no_other_skipped_or_repeated() {
        let mut seed = Seed::announced("directory pages");
        for round in 0..300 {
            let mut directory = Directory::new();
            let count = seed.below(40);
            for room in 0..count {
                put(&mut directory, room, 1 + i64::try_from(seed.below(5)).unwrap());
            }
            let mut ask = DirectoryAsk { limit: 1 + seed.below(6), ..DirectoryAsk::default() };
            match round % 3 {
                1 => ask.term = Some("OF 1".to_owned()),
                2 => ask.types = Some(vec![None]),
                _ => {}
            }
            let whole = DirectoryAsk { limit: 1000, ..ask.clone() };
            let all = |directory: &Directory| {
                let all = page(directory, &whole);
                all.chunk.iter().map(|card| card.room_id.to_string()).collect::<Vec<_>>()
            };
            let (begun, mut steady) = (directory.clone(), all(&directory));
            let ids = |page: &DirectoryPage| page.chunk.iter().map(|card| card.room_id.to_string()).collect::<Vec<_>>();
            let (mut seen, mut pages) = (Vec::new(), Vec::new());
            loop {
                let shown = page(&directory, &ask);
                assert!(shown.chunk.len() == ask.limit || shown.next.is_none());
                seen.extend(ids(&shown));
                pages.push(shown.clone());
                let Some(next) = shown.next else { break };
                ask.since = Some(next.to_string().parse().unwrap());
                // One goes, one comes.
                let at = seed.below(directory.len());
                let gone = directory.keys().nth(at).cloned().unwrap();
                directory.remove(&gone);
                steady.retain(|room| *room != gone.room.as_str());
                put(&mut directory, 100 + pages.len(), 1 + i64::try_from(seed.below(5)).unwrap());
            }
            assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "round {round}: repeated");
            assert!(steady.iter().all(|room| seen.contains(room)), "round {round}: skipped");

            // Where nothing changes, the way back leads over the same rooms.
            ask.since = None;
            let expected = all(&begun);
            let (mut back, mut last) = (Vec::new(), page(&begun, &ask));
            while let Some(next) = last.next.clone() {
                last = page(&begun, &DirectoryAsk { since: Some(next), ..ask.clone() });
            }
            back.splice(0..0, ids(&last));
            while let Some(previous) = last.previous.clone() {
                last = page(&begun, &DirectoryAsk { since: Some(previous), ..ask.clone() });
                back.splice(0..0, ids(&last));
            }
            assert_eq!((back, last.total), (expected.clone(), expected.len()), "round {round}");
        }
    }
}
