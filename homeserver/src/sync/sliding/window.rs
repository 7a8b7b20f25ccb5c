//! Which rooms a request is about, what is new of them, and what the client knows of all rooms afterwards.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    super::{
        plan::{Job, Wanted},
        scope::Change,
        timeline::Span,
    },
    RoomConfig, SlidingRequest,
    connection::{Sent, SentRoom},
    lists::Entry,
};
use crate::{
    rooms::{Room, trail::Trail},
    storage::{Membership, Pos, RoomNr},
};

/// A room that some list or subscription names.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub entry: Entry,
    pub room: Arc<Room>,
    /// All that any list or the subscription wants.
    pub config: Arc<RoomConfig>,
    pub lists: Vec<String>,
    pub subscribed: bool,
}

/// What the client knows of a room, and what it is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    /// It knows all up to here; `None`: nothing.
    pub since: Option<Pos>,
    /// It wants more events than it was given.
    pub expanded: bool,
    /// The config under which it was given the room, where that asked for other state.
    pub grown_from: Option<Arc<RoomConfig>>,
    /// Something happened since.
    pub news: bool,
    /// The reader has read on: there are other counts.
    pub read: bool,
}

impl Due {
    /// Whether the room is in the answer.
    pub fn is_due(&self) -> bool {
        self.since.is_none() || self.expanded || self.grown_from.is_some() || self.news || self.read
    }
}

/// How many rooms each list holds, and the rooms that are in a window or subscribed to.
pub(super) fn named(
    request: &SlidingRequest,
    entries: &[Entry],
    rooms: &HashMap<RoomNr, Arc<Room>>,
    sifted: &[Vec<usize>],
) -> (BTreeMap<String, usize>, Vec<Named>) {
    let mut counts = BTreeMap::new();
    let mut by_place: BTreeMap<usize, (Option<RoomConfig>, Vec<String>, bool)> = BTreeMap::new();
    let mut add = |place: usize, config: &RoomConfig, list: Option<&String>| {
        let named = by_place.entry(place).or_default();
        named.0 = Some(named.0.take().map_or_else(|| config.clone(), |before| before.and(config)));
        named.1.extend(list.cloned());
        named.2 |= list.is_none();
    };
    for ((name, list), places) in request.lists.iter().zip(sifted) {
        counts.insert(name.clone(), places.len());
        let inside = |i: usize| {
            list.ranges.as_ref().is_none_or(|ranges| ranges.iter().any(|(first, last)| (*first..=*last).contains(&i)))
        };
        for (_, place) in places.iter().enumerate().filter(|(i, _)| inside(*i)) {
            add(*place, &list.config, Some(name));
        }
    }
    if !request.subscriptions.is_empty() {
        for (place, entry) in entries.iter().enumerate() {
            let Some(room) = rooms.get(&entry.own.room) else { continue };
            if let Some(config) = request.subscriptions.get(&room.id) {
                add(place, config, None);
            }
        }
    }
    // Rooms that want the same share one config.
    let mut configs: BTreeMap<RoomConfig, Arc<RoomConfig>> = BTreeMap::new();
    let named = by_place.into_iter().filter_map(|(place, (config, lists, subscribed))| {
        let entry = *entries.get(place)?;
        let room = Arc::clone(rooms.get(&entry.own.room)?);
        let config = config.unwrap_or_default();
        let config = Arc::clone(configs.entry(config.clone()).or_insert_with(|| Arc::new(config)));
        Some(Named { entry, room, config, lists, subscribed })
    });
    (counts, named.collect())
}

/// What the client that knows `sent` up to `from` is owed of a room.
pub(super) fn due(named: &Named, sent: &Sent, from: Pos, moved: Option<Change>) -> Due {
    let own = named.entry.own;
    let known = sent.rooms.get(&own.room);
    let since = known.map(|known| known.until.unwrap_or(from));
    // Whoever came back, or of whom it is not known, begins the room anew.
    let since = since.filter(|since| match own.membership {
        Membership::Join => own.pos <= *since || (*since >= from && moved == Some(Change::Stayed)),
        _ => true,
    });
    let Some((known, since)) = known.zip(since) else {
        return Due { since: None, expanded: false, grown_from: None, news: true, read: false };
    };
    let inside = own.membership == Membership::Join;
    Due {
        since: Some(since),
        expanded: inside && named.config.timeline_limit > known.config.timeline_limit,
        grown_from: (inside && named.config.required_state != known.config.required_state)
            .then(|| Arc::clone(&known.config)),
        news: named.entry.order > since,
        read: false,
    }
}

/// The looks at rooms that are due, apart from invitations and knocks. `trails`: those of the reader through the rooms that
/// they are outside of.
pub(super) fn jobs(named: &[(Named, Due)], trails: &HashMap<RoomNr, Trail>, until: Pos) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (named, due) in named.iter().filter(|(_, due)| due.is_due()) {
        let own = named.entry.own;
        let left = match own.membership {
            Membership::Join => false,
            Membership::Leave | Membership::Ban => true,
            Membership::Invite | Membership::Knock => continue,
        };
        let since = due.since.unwrap_or_default();
        let span = Span {
            room: own.room,
            since: if due.expanded { Pos(0) } else { since },
            until,
            known: since,
            limit: named.config.timeline_limit,
        };
        let state = match due.since {
            None => Wanted::Whole,
            Some(_) if due.grown_from.is_some() => Wanted::More,
            Some(_) => Wanted::Changes,
        };
        let leaving = || trails.get(&own.room).and_then(Trail::leaving).and_then(|event| event.pos);
        let (state, span) = match left {
            false => (state, span),
            true => match leaving().filter(|leaving| *leaving > since) {
                Some(leaving) => (state, Span { until: leaving, ..span }),
                None => (Wanted::Nothing, span.nothing_of(&own)),
            },
        };
        let sure = !left && !due.expanded && due.since.is_some();
        jobs.push(Job { own, left, newly: false, state, span, sure });
    }
    jobs
}

/// Whoever was outside as far as the client knows the room, and came in and went out since, begins it anew.
pub(super) fn begin_anew(named: &mut [(Named, Due)], trails: &HashMap<RoomNr, Trail>) {
    for (named, due) in named {
        if let (Some(since), Some(trail)) = (due.since, trails.get(&named.entry.own.room))
            && trail.leaving().is_some_and(|event| event.pos.is_some_and(|leaving| leaving > since))
            && !trail.was_inside(since)
        {
            due.since = None;
        }
    }
}

/// What the client knows once it has the answer to a request of `from`. `touched`: rooms in which something happened since.
pub(super) fn afterwards(
    sent: &Sent,
    named: &[(Named, Due)],
    entries: &[Entry],
    touched: &BTreeSet<RoomNr>,
    from: Pos,
) -> Sent {
    let orders: HashMap<RoomNr, Pos> = entries.iter().map(|entry| (entry.own.room, entry.order)).collect();
    let mut after = Sent::default();
    for (room, known) in &sent.rooms {
        // Left and forgotten.
        let Some(order) = orders.get(room) else { continue };
        let missed = known.until.is_none() && (*order > from || touched.contains(room));
        let until = if missed { Some(from) } else { known.until };
        after.rooms.insert(*room, SentRoom { until, config: Arc::clone(&known.config) });
    }
    for (named, _) in named {
        // The same config stays the same one, so that it is kept once.
        let known = sent.rooms.get(&named.entry.own.room).map(|known| &known.config);
        let config = known.filter(|known| **known == named.config).unwrap_or(&named.config);
        after.rooms.insert(named.entry.own.room, SentRoom { until: None, config: Arc::clone(config) });
    }
    after
}

#[cfg(test)]
mod tests {
    use roost_spec::room_version::RoomVersion;

    use super::{
        super::{Dialect, Extensions, Filters, List, RequiredState},
        *,
    };
    use crate::storage::{EventNr, member::OfUser};

    fn entry(room: i64, order: i64) -> Entry {
        let own =
            OfUser { room: RoomNr(room), membership: Membership::Join, nr: EventNr(1), pos: Pos(1), forgotten: false };
        Entry { own, order: Pos(order), bump: Pos(order) }
    }

    fn room(nr: i64) -> (RoomNr, Arc<Room>) {
        let id = format!("!{nr}:s").try_into().unwrap();
        let rules = RoomVersion::parse("11").unwrap().rules();
        (RoomNr(nr), Arc::new(Room { nr: RoomNr(nr), id, rules }))
    }

    fn config(limit: usize) -> RoomConfig {
        RoomConfig { timeline_limit: limit, required_state: RequiredState::default() }
    }

    fn request(ranges: &[(usize, usize)], subscribed: Option<(i64, usize)>) -> SlidingRequest {
        let list = List { ranges: Some(ranges.to_vec()), config: config(1), filters: Filters::default() };
        SlidingRequest {
            dialect: Dialect::Stable,
            connection: None,
            txn_id: None,
            pos: None,
            timeout: std::time::Duration::ZERO,
            lists: [("all".to_owned(), list)].into(),
            subscriptions: subscribed
                .map(|(nr, limit)| (format!("!{nr}:s").try_into().unwrap(), config(limit)))
                .into_iter()
                .collect(),
            extensions: Extensions::default(),
        }
    }

    fn named_in(request: &SlidingRequest) -> Vec<Named> {
        let entries: Vec<Entry> = (1..=5).map(|nr| entry(nr, 100 - nr)).collect();
        let rooms = (1..=5).map(room).collect();
        let (counts, named) = named(request, &entries, &rooms, &[vec![0, 1, 2, 3, 4]]);
        assert_eq!(counts["all"], 5);
        named
    }

    fn summary(named: &[Named]) -> Vec<(i64, usize, usize, bool)> {
        let one = |n: &Named| (n.room.nr.0, n.config.timeline_limit, n.lists.len(), n.subscribed);
        named.iter().map(one).collect()
    }

    #[test]
    fn a_room_is_named_by_windows_and_subscriptions_and_gets_what_either_wants() {
        assert_eq!(summary(&named_in(&request(&[(0, 1)], None))), [(1, 1, 1, false), (2, 1, 1, false)]);
        assert_eq!(
            summary(&named_in(&request(&[(0, 0), (3, 9)], Some((1, 20))))),
            [(1, 20, 1, true), (4, 1, 1, false), (5, 1, 1, false)]
        );
        assert_eq!(summary(&named_in(&request(&[], Some((3, 20))))), [(3, 20, 0, true)]);
        assert_eq!(summary(&named_in(&request(&[], Some((9, 20))))), []);
    }

    #[test]
    fn a_room_goes_out_of_the_window_and_comes_back_with_what_was_missed() {
        let first = named_in(&request(&[(0, 1)], None));
        let nothing = Sent::default();
        let dues: Vec<(Named, Due)> = first.into_iter().map(|n| (n.clone(), due(&n, &nothing, Pos(0), None))).collect();
        assert!(dues.iter().all(|(_, due)| due.since.is_none() && due.is_due()));
        let entries = [entry(1, 99), entry(2, 98)];
        let sent = afterwards(&nothing, &dues, &entries, &BTreeSet::new(), Pos(0));
        assert!(sent.rooms.values().all(|room| room.until.is_none()));

        // Nothing new: nothing is due, and nothing changes.
        let again = due(&dues[0].0, &sent, Pos(100), None);
        assert!(!again.is_due() && again.since == Some(Pos(100)));
        assert_eq!(afterwards(&sent, &[(dues[0].0.clone(), again)], &entries, &BTreeSet::new(), Pos(100)), sent);

        // Room 1 is out of the window while something happens, and comes back.
        let later = afterwards(&sent, &[], &[entry(1, 150), entry(2, 98)], &BTreeSet::new(), Pos(100));
        assert_eq!(later.rooms[&RoomNr(1)].until, Some(Pos(100)));
        assert_eq!(later.rooms[&RoomNr(2)].until, None);
        let back = Named { entry: entry(1, 150), ..dues[0].0.clone() };
        let back = due(&back, &later, Pos(200), None);
        assert_eq!((back.since, back.news), (Some(Pos(100)), true));
    }

    #[test]
    fn whoever_wants_more_gets_more_and_whoever_came_back_begins_anew() {
        let named = &named_in(&request(&[(0, 0)], None))[0];
        let sent = Sent { rooms: [(RoomNr(1), SentRoom { until: None, config: Arc::new(config(1)) })].into() };
        let more = Named { config: Arc::new(config(20)), ..named.clone() };
        assert!(due(&more, &sent, Pos(200), None).expanded);
        let less = Named { config: Arc::new(config(0)), ..named.clone() };
        assert!(!due(&less, &sent, Pos(200), None).is_due());

        let mut rejoined = named.clone();
        rejoined.entry.own.pos = Pos(150);
        assert_eq!(due(&rejoined, &sent, Pos(100), Some(Change::Joined { held: None })).since, None);
        assert_eq!(due(&rejoined, &sent, Pos(100), Some(Change::Stayed)).since, Some(Pos(100)));
    }
}
