//! Aggregations of child events: what clients are told with an event of those that relate to it.
//!
//! Source: client-server API, "Aggregations of child events". State events get none.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{REFERENCE, REPLACE, Said, THREAD, memory::Recalled};
use crate::{
    rooms::{Rooms, StoredEvent, render::Beside, visibility::Ask},
    storage::{
        self, EventNr, Result, RoomNr, Sym, UserNr,
        relation::{EDITS, Kinds, Parent},
    },
};

/// Where the last edits are none that the reader may see, no more than about so many before them are looked at.
const OLDER_EDITS: usize = 2000;

/// What relates to one event, as far as it is summed up; the same for all readers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Related {
    edits: Vec<EventNr>,
    references: Vec<EventNr>,
    thread: Vec<Share>,
}

/// One sender's part in a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    sender: UserNr,
    count: i64,
    last: EventNr,
    last_ord: i64,
}

/// What goes with one event.
#[derive(Debug, Clone, Default)]
pub(in crate::rooms) struct Bundle {
    pub edit: Option<Arc<StoredEvent>>,
    pub references: Vec<Arc<str>>,
    pub thread: Option<Thread>,
}

/// A thread, as its root's reader sees it.
#[derive(Debug, Clone)]
pub(in crate::rooms) struct Thread {
    pub latest: Arc<StoredEvent>,
    pub count: i64,
    pub participated: bool,
}

/// What goes with events, by number.
#[derive(Debug, Default)]
pub struct Bundles(HashMap<EventNr, Bundle>);

impl Bundles {
    /// What goes with one event.
    pub(in crate::rooms) fn of(&self, event: EventNr) -> Option<&Bundle> {
        self.0.get(&event)
    }

    /// Whether the event is the root of a thread of which its reader may see an answer.
    pub(super) fn is_root(&self, event: EventNr) -> bool {
        self.0.get(&event).is_some_and(|bundle| bundle.thread.is_some())
    }

    pub(super) fn participated(&self, event: EventNr) -> bool {
        self.0.get(&event).and_then(|bundle| bundle.thread.as_ref()).is_some_and(|thread| thread.participated)
    }
}

impl Rooms {
    /// Puts beside `events` what `reader` is told of those that relate to them. Answers of users that the reader ignores
    /// are not counted. A query or two for all of them, and none where none has children.
    ///
    /// # Errors
    /// The database's own.
    pub async fn bundle(
        &self,
        beside: &mut Beside,
        events: impl IntoIterator<Item = &StoredEvent>,
        reader: UserNr,
        ignored: &HashSet<UserNr>,
    ) -> Result<()> {
        beside.bundles = self.bundles(events, reader, ignored).await?;
        Ok(())
    }

    /// As [`Rooms::bundle`], for who looks at the sums themselves.
    pub(super) async fn bundles(
        &self,
        events: impl IntoIterator<Item = &StoredEvent>,
        reader: UserNr,
        ignored: &HashSet<UserNr>,
    ) -> Result<Bundles> {
        let parents: Vec<&StoredEvent> = events.into_iter().filter(|event| event.state_key.is_none()).collect();
        let related = self.related(&parents).await?;
        if related.is_empty() {
            return Ok(Bundles::default());
        }
        // The last answer of a thread has been edited itself, perhaps.
        let latest = |related: &Related| related.latest(ignored).map(|share| share.last);
        let latest: Vec<EventNr> = related.values().filter_map(|(_, related)| latest(related)).collect();
        let latest = self.events(&latest).await?;
        let mut of_latest = self.related(&latest.iter().map(|event| &**event).collect::<Vec<_>>()).await?;
        of_latest.values_mut().for_each(|(_, related)| related.thread.clear());
        let mut all: Vec<(&StoredEvent, Related)> = of_latest.into_values().collect();
        all.extend(related.into_values());

        let mut numbers: Vec<EventNr> = all.iter().flat_map(|(_, related)| related.children(ignored)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut children = self.seen(reader, self.events(&numbers).await?).await?;
        for (parent, related) in &mut all {
            self.look_for_older_edits(parent, related, reader, ignored, &mut children).await?;
        }
        let bundles = all.iter().filter_map(|(parent, related)| {
            let bundle = bundle(parent, related, &children, reader, ignored);
            bundle.map(|bundle| (parent.nr, bundle))
        });
        Ok(Bundles(bundles.collect()))
    }

    /// Where none of the last edits is one that the reader may see: those before them, down to one that is.
    async fn look_for_older_edits(
        &self,
        parent: &StoredEvent,
        related: &mut Related,
        reader: UserNr,
        ignored: &HashSet<UserNr>,
        children: &mut HashMap<EventNr, Arc<StoredEvent>>,
    ) -> Result<()> {
        let shows_one = |related: &Related, children: &HashMap<EventNr, Arc<StoredEvent>>| {
            bundle(parent, related, children, reader, ignored).is_some_and(|bundle| bundle.edit.is_some())
        };
        let mut step = usize::try_from(EDITS).unwrap_or(0);
        if related.edits.len() < step || shows_one(related, children) {
            return Ok(());
        }
        let Some(replace) = self.0.interner.find(REPLACE).await? else { return Ok(()) };
        while related.edits.len() == step && step < OLDER_EDITS {
            let oldest = self.events(&related.edits).await?.iter().filter_map(|edit| edit.ord).min();
            let before = oldest.unwrap_or(i64::MIN);
            step *= 8;
            let asked = Parent { room: parent.room, id: &parent.id, kind: parent.kind, sender: parent.sender };
            let most = i64::try_from(step).unwrap_or(i64::MAX);
            related.edits = storage::relation::edits_before(&self.0.pool, asked, replace, before, most).await?;
            children.extend(self.seen(reader, self.events(&related.edits).await?).await?);
            if shows_one(related, children) {
                break;
            }
        }
        Ok(())
    }

    /// What relates to each of `parents`; those without children are left out.
    async fn related<'a>(&self, parents: &[&'a StoredEvent]) -> Result<HashMap<EventNr, (&'a StoredEvent, Related)>> {
        let memory = &self.0.caches.relations;
        let (mut found, mut open) = (HashMap::new(), Vec::new());
        for parent in parents {
            match memory.of(parent) {
                Recalled::Childless => {}
                Recalled::Sums(related) if *related == Related::default() => {}
                Recalled::Sums(related) => drop(found.insert(parent.nr, (*parent, (*related).clone()))),
                Recalled::Unknown { changes } => open.push((*parent, changes)),
            }
        }
        if open.is_empty() {
            return Ok(found);
        }
        let kinds = self.0.interner.numbers(&[REPLACE, THREAD, REFERENCE]).await?;
        let &[replace, thread, reference] = kinds.as_slice() else { return Ok(found) };
        let kinds = Kinds { replace, thread, reference };
        let asked: Vec<Parent<'_>> = open
            .iter()
            .map(|(event, _)| Parent { room: event.room, id: &event.id, kind: event.kind, sender: event.sender })
            .collect();
        let mut read: Vec<Related> = vec![Related::default(); open.len()];
        for child in storage::relation::summed_up(&self.0.pool, &asked, kinds).await? {
            let at = usize::try_from(child.parent).ok().and_then(|at| at.checked_sub(1));
            let Some(related) = at.and_then(|at| read.get_mut(at)) else { continue };
            match child.rel_type {
                kind if kind == replace => related.edits.push(child.nr),
                kind if kind == reference => related.references.push(child.nr),
                _ => related.thread.push(Share {
                    sender: child.sender,
                    count: child.count,
                    last: child.nr,
                    last_ord: child.ord,
                }),
            }
        }
        for ((parent, changes), related) in open.into_iter().zip(read) {
            let related = Arc::new(related);
            memory.keep(parent, &related, changes);
            if *related != Related::default() {
                found.insert(parent.nr, (parent, (*related).clone()));
            }
        }
        Ok(found)
    }

    /// Those of `events` that the reader may see, by number.
    pub(in crate::rooms) async fn seen(
        &self,
        reader: UserNr,
        events: Vec<Arc<StoredEvent>>,
    ) -> Result<HashMap<EventNr, Arc<StoredEvent>>> {
        let mut oldest: BTreeMap<RoomNr, i64> = BTreeMap::new();
        for (room, ord) in events.iter().filter_map(|event| Some((event.room, event.ord?))) {
            oldest.entry(room).and_modify(|oldest| *oldest = ord.min(*oldest)).or_insert(ord);
        }
        let rooms = self.find_many(&oldest.keys().copied().collect::<Vec<_>>()).await?;
        let mut asks = Vec::with_capacity(oldest.len());
        for (nr, oldest) in oldest.iter().filter(|(nr, _)| rooms.contains_key(nr)) {
            asks.push((*nr, Ask { state: self.current_state(&rooms[nr]).await?, oldest: *oldest }));
        }
        let sights = self.sights(Some(reader), &asks.iter().map(|(_, ask)| ask.clone()).collect::<Vec<_>>()).await?;
        let sights: HashMap<RoomNr, _> = asks.iter().map(|(nr, _)| *nr).zip(sights).collect();
        let seen = |event: Arc<StoredEvent>| {
            let sight = sights.get(&event.room).filter(|sight| sight.sees(&event))?;
            Some((event.nr, sight.shown(event).event))
        };
        Ok(events.into_iter().filter_map(seen).collect())
    }
}

impl Related {
    /// The last answer that counts.
    fn latest(&self, ignored: &HashSet<UserNr>) -> Option<&Share> {
        self.thread.iter().filter(|share| !ignored.contains(&share.sender)).max_by_key(|share| share.last_ord)
    }

    fn children(&self, ignored: &HashSet<UserNr>) -> impl Iterator<Item = EventNr> {
        let latest = self.latest(ignored).map(|share| share.last);
        self.edits.iter().chain(&self.references).copied().chain(latest)
    }
}

/// What `parent` gets of its `related` events, as far as they are among `children`.
fn bundle(
    parent: &StoredEvent,
    related: &Related,
    children: &HashMap<EventNr, Arc<StoredEvent>>,
    reader: UserNr,
    ignored: &HashSet<UserNr>,
) -> Option<Bundle> {
    let seen = |nr: &EventNr| children.get(nr);
    let is_edit = |event: &&Arc<StoredEvent>| {
        event.kind == Sym::ENCRYPTED || event.content_value("m.new_content").is_some_and(|new| new.starts_with('{'))
    };
    // An edit can't be edited; of what was redacted nothing is left to replace; and what ignored users say is not shown.
    let editable = parent.redacted_by.is_none()
        && !ignored.contains(&parent.sender)
        && Said::of(parent).is_none_or(|said| said.rel_type != REPLACE);
    let edits = related.edits.iter().filter(|_| editable).filter_map(seen).filter(is_edit);
    let edit = edits.max_by(|a, b| (a.ts, &a.id).cmp(&(b.ts, &b.id))).cloned();
    let references = related.references.iter().filter_map(seen);
    let references: Vec<Arc<str>> =
        references.filter(|event| !ignored.contains(&event.sender)).map(|event| Arc::clone(&event.id)).collect();
    let thread = related.latest(ignored).and_then(|share| seen(&share.last)).map(|latest| Thread {
        latest: Arc::clone(latest),
        count: related.thread.iter().filter(|share| !ignored.contains(&share.sender)).map(|share| share.count).sum(),
        participated: parent.sender == reader || related.thread.iter().any(|share| share.sender == reader),
    });
    let any = edit.is_some() || !references.is_empty() || thread.is_some();
    any.then_some(Bundle { edit, references, thread })
}

#[cfg(test)]
mod tests {
    use super::{super::super::stored::tests::stored, *};

    const READER: UserNr = Sym(1000);
    const BOB: UserNr = Sym(1001);

    fn event(nr: i64, content: &str) -> Arc<StoredEvent> {
        let json = format!(r#"{{"content":{content},"sender":"@u:s","type":"m.room.message"}}"#);
        Arc::new(stored(nr, Sym(17), None, &json))
    }

    fn sum(
        parent: &StoredEvent,
        related: &Related,
        children: &[Arc<StoredEvent>],
        ignored: &[UserNr],
    ) -> Option<Bundle> {
        let children = children.iter().map(|event| (event.nr, Arc::clone(event))).collect();
        bundle(parent, related, &children, READER, &ignored.iter().copied().collect())
    }

    #[test]
    fn the_last_valid_edit_counts_and_a_redacted_event_has_none() {
        let mut parent = stored(1, Sym(17), None, r#"{"content":{},"sender":"@u:s","type":"m.room.message"}"#);
        let edit = r#"{"m.new_content":{"body":"new"}}"#;
        let children = [event(2, edit), event(3, edit), event(4, r#"{"body":"no edit"}"#)];
        let related = Related { edits: [4, 3, 2].map(EventNr).to_vec(), ..Related::default() };
        // Of one moment: the greater ID counts.
        let shown = sum(&parent, &related, &children, &[]).and_then(|bundle| bundle.edit);
        assert_eq!(shown.map(|edit| edit.nr), Some(EventNr(3)));
        parent.redacted_by = Some(EventNr(9));
        assert!(sum(&parent, &related, &children, &[]).is_none());
    }

    #[test]
    fn ignored_users_neither_answer_nor_count() {
        let parent = event(1, "{}");
        let share = |sender, count, last| Share { sender, count, last: EventNr(last), last_ord: last };
        let related = Related { thread: vec![share(READER, 2, 3), share(BOB, 5, 4)], ..Related::default() };
        let children = [event(3, "{}"), event(4, "{}")];
        let thread = |ignored: &[UserNr]| {
            let thread = sum(&parent, &related, &children, ignored).and_then(|bundle| bundle.thread);
            thread.map(|thread| (thread.latest.nr.0, thread.count, thread.participated))
        };
        assert_eq!(thread(&[]), Some((4, 7, true)));
        assert_eq!(thread(&[BOB]), Some((3, 2, true)));
        // What the reader may not see is no answer.
        assert!(sum(&parent, &related, &children[..1], &[]).is_none());
    }
}
