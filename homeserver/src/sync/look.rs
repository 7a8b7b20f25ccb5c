//! A look at rooms: their newest events, and the states around them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Sync,
    filter::Section,
    plan::{Job, Wanted},
    reader::{Reader, StateAfter},
    state,
    timeline::{Shape, Span, TimelineSieve},
};
use crate::{
    rooms::{Room, StateKey, StateMap, StoredEvent, Timeline, visibility},
    storage::{EventNr, FrameNr, Pos, Result, RoomNr, Sym, UserNr},
};

/// A job with its timeline and the states around it.
pub(super) struct Looked {
    pub job: Job,
    pub room: Arc<Room>,
    pub shape: Shape,
    pub start: StateMap,
    pub end: StateMap,
    pub end_frame: FrameNr,
    /// The state that the client knows, as far as it knows one; `None` where the state did not change.
    pub known: Option<StateMap>,
    /// Members that changed while the reader was inside: user, event before, event after.
    pub members: Vec<(UserNr, Option<EventNr>, EventNr)>,
    /// Something may have been redacted.
    pub redacted: bool,
}

impl Sync {
    /// Reads the timelines of all jobs, and the states at their ends.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn look(
        &self,
        reader: &Reader,
        jobs: Vec<Job>,
        rooms: &HashMap<RoomNr, Arc<Room>>,
        ignored: &HashSet<UserNr>,
        until: Pos,
    ) -> Result<Vec<Looked>> {
        let filter = &reader.filter.timeline;
        let spans: Vec<Span> = jobs.iter().map(|job| job.span).collect();
        let raws = self.newest(&spans, until, filter, ignored).await?;
        let ends = self.end_frames(&jobs, &raws).await?;
        let known = self.known_frames(&jobs, &raws, &ends).await?;
        let states = self.states(&raws, ends.iter().copied().chain(known.iter().flatten().copied())).await?;
        let state = |frame: FrameNr| states.get(&frame).cloned().unwrap_or_default();

        let sights = self.sights(reader.user, &jobs, &raws, &ends, &state).await?;
        let own = self.told_more(&jobs).await?;
        let texts = self.texts_for(filter, raws.iter().flat_map(|raw| &raw.events).chain(own.values())).await?;
        let sieve = TimelineSieve { filter, ignored, texts: &texts };

        let mut looked = Vec::with_capacity(jobs.len());
        for ((((job, raw), end_frame), known), sight) in jobs.into_iter().zip(raws).zip(ends).zip(known).zip(sights) {
            let Some(room) = rooms.get(&job.own.room) else { continue };
            let own = own.get(&room.nr);
            let found = Found { raw, sight, own, end_frame, known: known.map(state) };
            looked.push(found.looked(Arc::clone(room), job, reader, &sieve, &state));
        }
        Ok(looked)
    }

    /// All states at once: those of `frames`, and what lies between where a timeline may begin.
    async fn states(
        &self,
        raws: &[Timeline],
        frames: impl Iterator<Item = FrameNr>,
    ) -> Result<HashMap<FrameNr, StateMap>> {
        let starts = raws.iter().flat_map(|raw| raw.events.iter().map(|event| event.frame));
        let mut wanted: Vec<FrameNr> = frames.chain(starts).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let found = self.0.rooms.state_many(&wanted).await?;
        Ok(found.iter().map(|frame| (frame.nr, frame.state.clone())).collect())
    }

    /// The reader's own memberships that came after what they see of the rooms.
    async fn told_more(&self, jobs: &[Job]) -> Result<HashMap<RoomNr, Arc<StoredEvent>>> {
        let numbers: Vec<EventNr> = jobs.iter().filter(|job| job.is_told_more()).map(|job| job.own.nr).collect();
        if numbers.is_empty() {
            return Ok(HashMap::new());
        }
        Ok(self.0.rooms.events(&numbers).await?.into_iter().map(|event| (event.room, event)).collect())
    }

    /// The texts of types and senders, where the filter asks for them.
    async fn texts_for(
        &self,
        filter: &Section,
        events: impl Iterator<Item = &Arc<StoredEvent>>,
    ) -> Result<HashMap<Sym, Arc<str>>> {
        if filter.takes_all() {
            return Ok(HashMap::new());
        }
        let mut symbols: Vec<Sym> = events.flat_map(|event| [event.kind, event.sender]).collect();
        symbols.sort_unstable();
        symbols.dedup();
        self.0.rooms.interner().texts(&symbols).await
    }

    /// The frame of each job's room at the end of its span.
    async fn end_frames(&self, jobs: &[Job], raws: &[Timeline]) -> Result<Vec<FrameNr>> {
        let unknown =
            |(job, raw): &(&Job, &Timeline)| raw.events.is_empty() && (job.state.looks_at_all() || raw.limited);
        let without = jobs.iter().zip(raws).filter(unknown);
        let points: Vec<(RoomNr, Pos)> = without.map(|(job, _)| (job.span.room, job.span.until)).collect();
        let found = if points.is_empty() { HashMap::new() } else { self.0.rooms.last_before(&points).await? };
        let last = |room| found.get(&room).map_or(FrameNr(0), |place| place.frame);
        Ok(jobs
            .iter()
            .zip(raws)
            .map(|(job, raw)| raw.events.last().map_or_else(|| last(job.span.room), |e| e.frame))
            .collect())
    }

    /// The frame that the client of each job knows, where the state has changed since.
    async fn known_frames(&self, jobs: &[Job], raws: &[Timeline], ends: &[FrameNr]) -> Result<Vec<Option<FrameNr>>> {
        let may_differ = |job: &Job, raw: &Timeline| match job.state {
            Wanted::Nothing => false,
            Wanted::Whole => job.span.known > Pos(0),
            Wanted::Changes | Wanted::More => !raw.events.is_empty() || raw.limited,
        };
        let asked = jobs.iter().zip(raws).filter(|(job, raw)| may_differ(job, raw));
        let points: Vec<(RoomNr, Pos)> = asked.map(|(job, _)| (job.span.room, job.span.known)).collect();
        if points.is_empty() {
            return Ok(vec![None; jobs.len()]);
        }
        let found = self.0.rooms.last_before(&points).await?;
        let known = |((job, raw), end): ((&Job, &Timeline), &FrameNr)| {
            may_differ(job, raw)
                .then(|| found.get(&job.span.room).map_or(FrameNr(0), |place| place.frame))
                .filter(|known| known != end)
        };
        Ok(jobs.iter().zip(raws).zip(ends).map(known).collect())
    }

    /// What the reader may see of each room; `None` where they see all of its timeline.
    async fn sights(
        &self,
        user: UserNr,
        jobs: &[Job],
        raws: &[Timeline],
        ends: &[FrameNr],
        state: &impl Fn(FrameNr) -> StateMap,
    ) -> Result<Vec<Option<visibility::Sight>>> {
        let asks: Vec<Option<visibility::Ask>> = jobs
            .iter()
            .zip(raws)
            .zip(ends)
            .map(|((job, raw), end)| {
                let oldest = raw.events.first()?;
                // Whoever is in the room and came before its oldest event sees it all.
                let inside = !job.left && oldest.pos.is_some_and(|pos| job.own.pos < pos);
                (!job.sure && !inside)
                    .then(|| visibility::Ask { state: state(*end), oldest: oldest.ord.unwrap_or(i64::MIN) })
            })
            .collect();
        let wanted: Vec<visibility::Ask> = asks.iter().flatten().cloned().collect();
        if wanted.is_empty() {
            return Ok(vec![None; jobs.len()]);
        }
        let mut sights = self.0.rooms.sights(Some(user), &wanted).await?.into_iter();
        Ok(asks.into_iter().map(|ask| ask.and_then(|_| sights.next())).collect())
    }
}

/// What was found of a room.
struct Found<'a> {
    raw: Timeline,
    sight: Option<visibility::Sight>,
    /// The reader's own membership, where that came after the rest.
    own: Option<&'a Arc<StoredEvent>>,
    end_frame: FrameNr,
    known: Option<StateMap>,
}

impl Found<'_> {
    fn looked(
        self,
        room: Arc<Room>,
        job: Job,
        reader: &Reader,
        sieve: &TimelineSieve<'_>,
        state: &impl Fn(FrameNr) -> StateMap,
    ) -> Looked {
        let Found { raw, sight, own, end_frame, known } = self;
        let mut shape = if sieve.filter.takes_room(&room.id) {
            sieve.shape(&raw, sight.as_ref(), own, job.span)
        } else {
            sieve.shape(&Timeline::default(), None, None, job.span)
        };
        let last_seen = if job.state == Wanted::Nothing { StateMap::new() } else { state(end_frame) };
        let end = match own {
            Some(own) => last_seen.update(StateKey::member(reader.user), own.nr),
            None => last_seen.clone(),
        };
        if reader.state_after == StateAfter::No {
            shape.begin_behind_what_is_overtaken(&end, job.span.until);
        }
        // The client may hold an older part of the timeline that does not meet this one.
        shape.limited |= job.newly;
        let start = match shape.shown.first() {
            Some(first) if own.is_some_and(|own| own.nr == first.event.nr) => last_seen,
            Some(first) => state::before(&first.event, &state(first.event.frame)),
            None => end.clone(),
        };
        let members = match &known {
            Some(known) if job.is_inside_since() => member_changes(known, &end),
            _ => Vec::new(),
        };
        let redacted = raw.limited || raw.events.iter().any(|event| event.kind == Sym::REDACTION);
        Looked { job, room, shape, start, end, end_frame, known, members, redacted }
    }
}

/// The members that differ between two states: user, event before, event after.
pub(super) fn member_changes(known: &StateMap, end: &StateMap) -> Vec<(UserNr, Option<EventNr>, EventNr)> {
    let members = state::changes(known, end).into_iter().filter(|(key, ..)| key.kind == Sym::MEMBER);
    members.map(|(key, old, new)| (key.key, old, new)).collect()
}
