//! `timeline`: the newest events of a room, as far as the reader may and wants to see them.

use std::{collections::HashSet, sync::Arc};

use super::{Sync, filter::Section};
use crate::{
    rooms::{PageToken, StateKey, StateMap, StoredEvent, Timeline, render::Shown, visibility::Sight},
    storage::{self, Membership, Pos, Result, RoomNr, Sym, UserNr, event::Tail, member::OfUser},
};

/// Which part of a room's log is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub room: RoomNr,
    pub since: Pos,
    pub until: Pos,
    /// The client knows the state as of here: `since`, or before it where the timeline begins anew.
    pub known: Pos,
    /// So many events at most.
    pub limit: usize,
}

impl Span {
    /// Nothing of the room but what `own` tells.
    pub fn nothing_of(self, own: &OfUser) -> Self {
        Self { since: own.pos, until: own.pos, known: own.pos, ..self }
    }
}

/// The section, with what the state beside it is derived from.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Oldest first.
    pub shown: Vec<Shown>,
    /// Events between the last sync and the first shown one are left out.
    pub limited: bool,
    /// From here a client reads backwards.
    pub prev_batch: PageToken,
}

/// What sorts events out.
pub(super) struct TimelineSieve<'a> {
    pub filter: &'a Section,
    pub ignored: &'a HashSet<UserNr>,
    /// The texts of the types and senders that occur; needed where the filter asks.
    pub texts: &'a std::collections::HashMap<Sym, Arc<str>>,
}

impl Sync {
    /// The newest events of each span, unsifted: as many as the filter may need.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn newest(
        &self,
        spans: &[Span],
        until: Pos,
        filter: &Section,
        ignored: &HashSet<UserNr>,
    ) -> Result<Vec<Timeline>> {
        let tail =
            |span: &Span| Tail { room: span.room, since: span.since, limit: how_many(filter, ignored, span.limit) };
        if spans.iter().all(|span| span.until >= until) {
            let tails: Vec<Tail> = spans.iter().map(tail).collect();
            return self.0.rooms.timelines(&tails, until).await;
        }
        let (now, past): (Vec<&Span>, Vec<&Span>) = spans.iter().partition(|span| span.until >= until);
        let tails: Vec<Tail> = now.into_iter().map(tail).collect();
        let mut current = self.0.rooms.timelines(&tails, until).await?.into_iter();
        let past: Vec<(Tail, Pos)> = past.into_iter().map(|span| (tail(span), span.until)).collect();
        let mut ended = self.ended(&past).await?.into_iter();
        let next = |span: &Span| if span.until >= until { current.next() } else { ended.next() };
        Ok(spans.iter().map(next).map(Option::unwrap_or_default).collect())
    }

    /// The newest events of spans that end at different positions in the past.
    async fn ended(&self, tails: &[(Tail, Pos)]) -> Result<Vec<Timeline>> {
        let asked: Vec<_> = tails.iter().map(|(t, until)| (t.room, t.since, *until, t.limit + 1)).collect();
        let rows = storage::sync::newest_until(&self.0.pool, &asked).await?;
        let numbers: Vec<_> = rows.iter().map(|(_, nr)| *nr).collect();
        let mut timelines = vec![Timeline::default(); tails.len()];
        for ((i, _), event) in rows.iter().zip(self.0.rooms.events(&numbers).await?) {
            let (Some(timeline), Some((tail, _))) = (timelines.get_mut(*i), tails.get(*i)) else { continue };
            if timeline.events.len() < usize::try_from(tail.limit).unwrap_or(0) {
                timeline.events.push(event);
            } else {
                timeline.limited = true;
            }
        }
        for timeline in &mut timelines {
            timeline.events.reverse();
        }
        Ok(timelines)
    }
}

/// How many events are read so that the filter finds enough.
fn how_many(filter: &Section, ignored: &HashSet<UserNr>, limit: usize) -> i64 {
    let limit = i64::try_from(limit).unwrap_or(0);
    if filter.takes_nothing() {
        0
    } else if filter.takes_all() && ignored.is_empty() {
        limit
    } else {
        (limit * 4).clamp(50, 300)
    }
}

impl TimelineSieve<'_> {
    fn takes(&self, event: &StoredEvent) -> bool {
        if event.withheld {
            return false;
        }
        if event.state_key.is_none() && self.ignored.contains(&event.sender) {
            return false;
        }
        if self.filter.takes_all() {
            return true;
        }
        let text = |sym| self.texts.get(&sym).map_or("", |text| &**text);
        self.filter.types.takes(text(event.kind))
            && (self.filter.senders.takes_all()
                || <&ruma::UserId>::try_from(text(event.sender)).is_ok_and(|sender| self.filter.senders.takes(sender)))
            && self.filter.url.is_none_or(|with| event.content_value("url").is_some() == with)
    }

    /// Makes the section of `raw`. `sight` is absent where the reader was joined all the time: they see everything. `own`
    /// is their membership event, where that came after the rest and must be told.
    pub fn shape(&self, raw: &Timeline, sight: Option<&Sight>, own: Option<&Arc<StoredEvent>>, span: Span) -> Shape {
        let Span { until, limit, .. } = span;
        let mut limited = raw.limited;
        let mut shown: Vec<Shown> = Vec::with_capacity(raw.events.len().min(limit));
        let seen = raw.events.iter().filter(|event| sight.is_none_or(|sight| sight.sees(event)));
        let seen = seen.map(|event| match sight {
            Some(sight) => sight.shown(Arc::clone(event)),
            None => Shown { event: Arc::clone(event), membership: Some(Membership::Join) },
        });
        let own = own.map(|event| Shown {
            event: Arc::clone(event),
            membership: Some(event.membership.unwrap_or(Membership::Leave)),
        });
        for entry in seen.chain(own).rev() {
            if !self.takes(&entry.event) {
                continue;
            }
            if shown.len() == limit {
                limited = true;
                break;
            }
            shown.push(entry);
        }
        shown.reverse();
        let full = shown.len() == limit;
        let first = if full { None } else { raw.events.first() };
        let first = first.or_else(|| shown.first().map(|shown| &shown.event));
        let prev_batch = first.and_then(|event| event.ord).map_or(PageToken::Synced(until), PageToken::Before);
        Shape { shown, limited, prev_batch }
    }
}

impl Shape {
    /// Lets the section begin behind the last state event whose place was taken by one that is not in it, hidden or filtered:
    /// a client that goes through it would end with the old one. `end`: the state at its end.
    pub fn begin_behind_what_is_overtaken(&mut self, end: &StateMap, until: Pos) {
        let mut later: HashSet<StateKey> = HashSet::new();
        let overtaken = |shown: &Shown| {
            let key = shown.event.state();
            key.is_some_and(|key| later.insert(key) && end.get(&key) != Some(&shown.event.nr))
        };
        let Some(last) = self.shown.iter().rposition(overtaken) else { return };
        self.shown.drain(..=last);
        self.limited = true;
        let first = self.shown.first().and_then(|shown| shown.event.ord);
        self.prev_batch = first.map_or(PageToken::Synced(until), PageToken::Before);
    }

    /// What the section tells the state of.
    pub fn state_keys(&self) -> HashSet<StateKey> {
        self.shown.iter().filter_map(|shown| shown.event.state()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use ruma::api::client::filter::FilterDefinition;
    use serde_json::json;

    use super::*;
    use crate::storage::{EventNr, FrameNr, event::Stored};

    fn message(nr: i64, sender: i32, kind: i32) -> Arc<StoredEvent> {
        Arc::new(StoredEvent::from_row(stored(nr, sender, kind)).unwrap())
    }

    fn state_event(nr: i64, kind: Sym) -> Arc<StoredEvent> {
        let row = Stored { state_key: Some(Sym::EMPTY), ..stored(nr, 1, kind.0) };
        Arc::new(StoredEvent::from_row(row).unwrap())
    }

    fn stored(nr: i64, sender: i32, kind: i32) -> Stored {
        Stored {
            nr: EventNr(nr),
            room: RoomNr(1),
            id: format!("${nr}"),
            pos: Some(Pos(nr)),
            ord: Some(nr * 10),
            kind: Sym(kind),
            sender: Sym(sender),
            state_key: None,
            ts: 0,
            depth: nr,
            frame: FrameNr(1),
            replaces: None,
            flags: 0,
            device: None,
            txn_id: None,
            json: r#"{"content":{},"sender":"@a:s","type":"m.x"}"#.to_owned(),
            redacted_by: None,
        }
    }

    /// Shapes events of senders 1 and 2 by turns with types 17 and 18 by turns.
    fn shape(timeline: serde_json::Value, ignored: &[i32], count: i64, limited: bool) -> (Vec<i64>, bool, PageToken) {
        let filter: FilterDefinition = serde_json::from_value(json!({"room": {"timeline": timeline}})).unwrap();
        let filter = super::super::Filter::from(filter);
        let ignored = ignored.iter().map(|nr| Sym(*nr)).collect();
        let texts = HashMap::from([
            (Sym(17), "m.room.message".into()),
            (Sym(18), "m.room.encrypted".into()),
            (Sym(1), "@a:s".into()),
            (Sym(2), "@b:s".into()),
        ]);
        let raw = Timeline {
            events: (1..=count).map(|nr| message(nr, 1 + nr as i32 % 2, 17 + nr as i32 % 2)).collect(),
            limited,
        };
        let sieve = TimelineSieve { filter: &filter.timeline, ignored: &ignored, texts: &texts };
        let limit = filter.timeline.timeline_limit();
        let span = Span { room: RoomNr(1), since: Pos(0), until: Pos(99), known: Pos(0), limit };
        let shape = sieve.shape(&raw, None, None, span);
        (shape.shown.iter().map(|s| s.event.nr.0).collect(), shape.limited, shape.prev_batch)
    }

    #[test]
    fn the_newest_are_shown_and_the_rest_is_told_of() {
        assert_eq!(shape(json!({"limit": 3}), &[], 3, false), (vec![1, 2, 3], false, PageToken::Before(10)));
        assert_eq!(shape(json!({"limit": 3}), &[], 3, true), (vec![1, 2, 3], true, PageToken::Before(10)));
        assert_eq!(shape(json!({"limit": 2}), &[], 5, false), (vec![4, 5], true, PageToken::Before(40)));
        assert_eq!(shape(json!({"limit": 2}), &[], 0, false), (vec![], false, PageToken::Synced(Pos(99))));
    }

    #[test]
    fn what_the_filter_leaves_out_does_not_count() {
        let only_messages = json!({"limit": 2, "types": ["m.room.message"]});
        assert_eq!(shape(only_messages.clone(), &[], 4, false), (vec![2, 4], false, PageToken::Before(20)));
        assert_eq!(shape(only_messages, &[], 6, false), (vec![4, 6], true, PageToken::Before(40)));
        assert_eq!(shape(json!({"not_senders": ["@b:s"]}), &[], 4, true), (vec![2, 4], true, PageToken::Before(10)));
        assert_eq!(shape(json!({}), &[2], 4, false).0, [2, 4]);
        assert_eq!(shape(json!({"contains_url": true}), &[], 4, false).0, [0; 0]);
    }

    #[test]
    fn a_timeline_begins_behind_what_is_overtaken_unseen() {
        let name = |nr: i64| Shown { event: state_event(nr, Sym::NAME), membership: None };
        let topic = |nr: i64| Shown { event: state_event(nr, Sym::TOPIC), membership: None };
        let said = |nr: i64| Shown { event: message(nr, 1, 17), membership: None };
        let cut = |shown: Vec<Shown>, end: &[(Sym, i64)]| {
            let end = end.iter().map(|(kind, nr)| (StateKey::of(*kind), EventNr(*nr))).collect();
            let mut shape = Shape { shown, limited: false, prev_batch: PageToken::Before(0) };
            shape.begin_behind_what_is_overtaken(&end, Pos(99));
            (shape.shown.iter().map(|s| s.event.nr.0).collect::<Vec<_>>(), shape.limited, shape.prev_batch)
        };
        let whole = || vec![said(1), name(2), topic(3), said(4), name(5)];
        assert_eq!(
            cut(whole(), &[(Sym::NAME, 5), (Sym::TOPIC, 3)]),
            (vec![1, 2, 3, 4, 5], false, PageToken::Before(0))
        );
        assert_eq!(cut(whole(), &[(Sym::NAME, 5), (Sym::TOPIC, 7)]), (vec![4, 5], true, PageToken::Before(40)));
        assert_eq!(cut(whole(), &[(Sym::NAME, 7), (Sym::TOPIC, 3)]), (vec![], true, PageToken::Synced(Pos(99))));
    }
}
