//! The one operation that writes events: build on the room's head, authorize, sign, commit.
//!
//! What a draft needs is loaded before the room's lock; under it nothing waits. A refused commit is built anew on the room
//! as it then is, under the same idempotency key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use roost_spec::{
    auth::{self, Action, Power, PowerLevel, Rejection, StateView},
    event::{self, EventRef, FormatError, Pdu},
    push::SenderPower,
};

use super::{
    Author, Draft, Extremity, Frame, Head, Room, Rooms, WriteError,
    door::Destination,
    draft::{RedactionTarget, Step, Steps},
    heads::Live,
    unread::{Audience, NewEvent},
};
use crate::{
    backoff::spread,
    clock::now_ms,
    log::{MAX_BYTES, MAX_EVENTS, Pending, Submitted, Taken},
    metrics,
    storage::{
        Error, EventNr, Pos,
        commit::{EventWrite, NewRoom, Noted, Redacted, RoomWrite},
        event::WITHHELD,
    },
};

/// How often a draft is built anew because others were first.
const ATTEMPTS: u32 = 14;
/// So often at once; then with pauses that double.
const AT_ONCE: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(8);
/// From this attempt on a change of state has the room held for it: messages need no exact tail, and another node's would
/// else be always first.
const HOLD_AFTER: u32 = 2;
/// How long whoever meets a held room waits, and how often for one attempt.
const HELD_PAUSE: Duration = Duration::from_millis(25);
const HELD_FOR_ONE: u32 = 10;

/// Events in the making, one on top of another.
pub(super) struct Built {
    pub write: RoomWrite,
    pub head: Head,
    pub ids: Vec<Arc<str>>,
    /// The states that they make, and the state events, for the caches.
    frames: Vec<Arc<Frame>>,
    fresh: HashMap<EventNr, Pdu>,
}

impl Built {
    /// Refuses what is more than a whole batch: it would hold up what everybody else writes.
    pub fn check_size(&self) -> Result<(), WriteError> {
        let bytes: usize = self.write.events.iter().map(|event| event.json.len()).sum();
        if self.write.events.len() > MAX_EVENTS {
            return Err(WriteError::TooMany { what: "events", most: MAX_EVENTS });
        }
        match bytes <= MAX_BYTES {
            true => Ok(()),
            false => Err(WriteError::TooMany { what: "bytes of events", most: MAX_BYTES }),
        }
    }
}

/// Why nothing was built.
pub(super) enum Obstacle {
    /// The head was overtaken.
    Dead,
    /// State events that must be loaded first.
    Missing(Vec<EventNr>),
    /// Strings that must be numbered first.
    Unnumbered,
    Refused(WriteError),
}

impl<E: Into<WriteError>> From<E> for Obstacle {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl Rooms {
    /// Writes `drafts` into `room`, one after another and all or none. Returns their IDs when they are on disk; for a
    /// transaction that is known, the ID of the event that it created.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn append(
        &self,
        room: &Room,
        author: &Author,
        mut drafts: Vec<Draft>,
    ) -> Result<Vec<Arc<str>>, WriteError> {
        self.examine(Destination::Room(room), author, &mut drafts).await?;
        let mut steps = self.steps(room.rules, author, drafts).await?;
        for step in &mut steps.list {
            step.thread = self.thread_of_content(room.nr, &step.draft.content).await?;
        }
        let audience = self.audience(room).await?;
        let count = steps.list.len() + steps.list.iter().filter(|step| step.key.is_some()).count();
        let mut loaded = HashMap::new();
        let (mut attempt, mut doubted, mut held) = (0, false, 0);
        while attempt < ATTEMPTS {
            let live = self.live(room).await?;
            let mut numbers = self.0.log.numbers(count).await?;
            let (pending, ids) =
                match self.submit(room, author, &steps, &live, &loaded, &mut numbers, &audience, attempt) {
                    Ok(submitted) => submitted,
                    Err(Obstacle::Dead) => {
                        self.0.caches.heads.kill(room.nr, &live);
                        attempt += 1;
                        continue;
                    }
                    Err(Obstacle::Missing(numbers)) => {
                        // What is built meanwhile stays in the cache, so that this ends.
                        loaded.extend(self.pdus(room, &numbers).await?);
                        continue;
                    }
                    // All that is to be written is allowed, so that its strings may have their numbers.
                    Err(Obstacle::Unnumbered) => {
                        steps.number(&self.0.interner).await?;
                        continue;
                    }
                    // Another node may just have changed what forbids it: nobody is refused for what this node has not heard.
                    Err(Obstacle::Refused(WriteError::Rejected(_))) if !doubted => {
                        doubted = true;
                        self.0.log.reach(Pos(i64::MAX)).await?;
                        continue;
                    }
                    Err(Obstacle::Refused(error)) => return Err(error),
                };
            let outcome = pending.outcome().await;
            if !matches!(outcome, Ok(Submitted::Stored { beside: false, .. })) {
                self.0.caches.heads.kill(room.nr, &live);
            }
            match outcome? {
                Submitted::Stored { pos, .. } => {
                    self.see(pos).await;
                    return Ok(ids);
                }
                Submitted::Known(id) => return Ok(vec![id]),
                Submitted::Stale => {
                    // What overtook it may have redacted what was read.
                    loaded.clear();
                    metrics::COMMIT_CONFLICTS.add(1);
                    pause(attempt).await;
                    attempt += 1;
                }
                // Another node's writer is let pass. It has its own attempts; this one keeps what it has left of them.
                Submitted::Held => {
                    held += 1;
                    tokio::time::sleep(spread(HELD_PAUSE)).await;
                    attempt += u32::from(held % HELD_FOR_ONE == 0);
                }
            }
        }
        Err(WriteError::Contended)
    }

    /// Whoever is told of what they wrote finds it in every cache of this node.
    pub(super) async fn see(&self, pos: Pos) {
        if let Err(error) = self.0.log.reach(pos).await {
            tracing::warn!(%error, "an event is on disk before this node could read the log up to it");
        }
    }

    /// Builds under the room's lock, and submits under it, so that the order of submission is the order of building.
    #[expect(clippy::too_many_arguments, reason = "a step of `append`: all that it depends on is passed in")]
    fn submit(
        &self,
        room: &Room,
        author: &Author,
        steps: &Steps,
        live: &Live,
        loaded: &HashMap<EventNr, Pdu>,
        numbers: &mut Taken,
        audience: &Mutex<Audience>,
        attempt: u32,
    ) -> Result<(Pending<Submitted>, Vec<Arc<str>>), Obstacle> {
        let mut state = live.lock();
        if state.dead {
            return Err(Obstacle::Dead);
        }
        let mut built = {
            let audience = audience.lock().unwrap_or_else(PoisonError::into_inner);
            self.build(room, author, &steps.list, &state.newest, loaded, numbers, now_ms(), Some(&audience))?
        };
        built.check_size()?;
        if steps.are_unnumbered() {
            return Err(Obstacle::Unnumbered);
        }
        self.keep(&built);
        built.write.hold = attempt >= HOLD_AFTER && steps.list.iter().any(|step| step.key.is_some());
        let pending = self.0.log.submit(built.write)?;
        state.advance(built.head);
        Ok((pending, built.ids))
    }

    /// Builds, authorizes and signs `steps` on top of `head`. Waits for nothing.
    #[expect(clippy::too_many_arguments, reason = "a pure step: all that it depends on is passed in")]
    pub(super) fn build(
        &self,
        room: &Room,
        author: &Author,
        steps: &[Step],
        head: &Head,
        loaded: &HashMap<EventNr, Pdu>,
        numbers: &mut Taken,
        now: i64,
        audience: Option<&Audience>,
    ) -> Result<Built, Obstacle> {
        let mut head = head.clone();
        let mut write = RoomWrite {
            room: room.nr,
            new: None,
            built_on: head.tail,
            built_frame: head.frame.nr,
            consumed: head.extremities.iter().map(|e| e.nr).collect(),
            hold: false,
            events: Vec::with_capacity(steps.len()),
        };
        let (mut fresh, mut frames): (HashMap<EventNr, Pdu>, Vec<Arc<Frame>>) = Default::default();
        let mut ids = Vec::with_capacity(steps.len());
        for step in steps {
            let view = self.view(step, &head, |nr| fresh.get(&nr).or_else(|| loaded.get(&nr)).cloned())?;
            let pdu = self.sign(room, author, step, &head, &view, now)?;
            auth::check(room.rules, &pdu, &view)?;
            let redacts = redacts(room, author, step, &view)?;
            let noted = audience.map_or_else(Noted::default, |audience| noted(room, author, step, &view, audience));

            let nr = numbers.event().ok_or_else(out_of_numbers)?;
            let replaces = step.key.and_then(|key| head.frame.state.get(&key).copied());
            let mut new_frame = None;
            if let Some(key) = step.key {
                let (frame, row) = head.frame.child(numbers.frame().ok_or_else(out_of_numbers)?, vec![(key, nr)]);
                head.frame = Arc::new(frame);
                frames.push(Arc::clone(&head.frame));
                new_frame = Some(row);
            }
            let depth = i64::try_from(pdu.depth()).unwrap_or(i64::MAX);
            let id: Arc<str> = pdu.event_id().into();
            write.events.push(EventWrite {
                nr,
                id: Arc::clone(&id),
                kind: step.kind,
                sender: author.nr,
                state_key: step.key.map(|key| key.key),
                ts: now,
                depth,
                frame: head.frame.nr,
                replaces,
                // Without a target there is nothing by which to judge it.
                flags: if step.draft.redaction.is_some() && redacts.is_none() { WITHHELD } else { 0 },
                json: pdu.json().into(),
                new_frame,
                membership: step.membership,
                txn: step.draft.txn.clone(),
                redacts,
                noted,
                relates: step.relates.clone(),
            });
            head.tail = nr;
            head.extremities = Arc::new([Extremity { nr, reference: reference(&pdu), depth }]);
            if step.key.is_some() {
                fresh.insert(nr, pdu);
            }
            ids.push(id);
        }
        Ok(Built { write, head, ids, frames, fresh })
    }

    /// Lets others find what is about to be committed.
    pub(super) fn keep(&self, built: &Built) {
        built.frames.iter().for_each(|frame| self.0.caches.frames.insert(frame));
        for event in built.write.events.iter().filter(|event| event.state_key.is_some()) {
            if let Some(pdu) = built.fresh.get(&event.nr) {
                self.0.caches.pdus.insert(event.nr, event.kind, pdu);
            }
        }
    }

    /// The create event of a room that has no event yet.
    pub(super) fn first(&self, room: &Room, author: &Author, create: &Step, now: i64) -> Result<Pdu, FormatError> {
        self.sign(room, author, create, &no_head(), &[], now)
    }

    /// The state as far as one draft needs it.
    fn view(&self, step: &Step, head: &Head, known: impl Fn(EventNr) -> Option<Pdu>) -> Result<Vec<Pdu>, Obstacle> {
        let (mut view, mut missing) = (Vec::with_capacity(step.needs.len()), Vec::new());
        for need in &step.needs {
            let Some(nr) = head.frame.state.get(&need.at).copied() else { continue };
            match known(nr).or_else(|| self.0.caches.pdus.get(nr)) {
                Some(pdu) => view.push(pdu),
                None => missing.push(nr),
            }
        }
        if missing.is_empty() { Ok(view) } else { Err(Obstacle::Missing(missing)) }
    }

    fn sign(
        &self,
        room: &Room,
        author: &Author,
        step: &Step,
        head: &Head,
        view: &[Pdu],
        now: i64,
    ) -> Result<Pdu, FormatError> {
        let cited = |kind: &str| step.needs.iter().any(|need| need.kind == kind && need.cited);
        let deepest = head.extremities.iter().map(|e| e.depth).max().unwrap_or(0);
        let draft = event::Draft {
            room_id: Some(room.id.as_str().to_owned()),
            kind: step.draft.kind.clone(),
            sender: author.id.as_str().to_owned(),
            state_key: step.draft.state_key.clone(),
            content: step.draft.content.clone(),
            prev_events: head.extremities.iter().map(|e| e.reference.clone()).collect(),
            auth_events: view.iter().filter(|pdu| cited(pdu.kind())).map(reference).collect(),
            depth: u64::try_from(deepest).unwrap_or(0).saturating_add(1),
            origin_server_ts: now,
            redacts: step.draft.redaction.as_ref().map(|redaction| redaction.event_id.clone()),
        };
        draft.sign(room.rules, &self.0.signer)
    }
}

/// The write that creates a room.
pub(super) fn creating(mut write: RoomWrite, room: &Room, public: bool) -> RoomWrite {
    write.new = Some(NewRoom { id: room.id.as_str().into(), version: room.rules.version.as_str().into(), public });
    write
}

/// The head of a room that has no event yet.
pub(super) fn no_head() -> Head {
    Head { tail: EventNr(0), frame: Arc::default(), extremities: Arc::new([]), last_pos: Pos(0) }
}

/// Only room versions 1 and 2 need the hash, which costs reading the event again.
fn reference(pdu: &Pdu) -> EventRef {
    if pdu.rules().references_carry_hashes() { pdu.reference() } else { pdu.event_id().into() }
}

/// What of the target is left, if the sender may redact it: their own event, or with the power to redact those of others.
fn redacts(room: &Room, author: &Author, step: &Step, view: &[Pdu]) -> Result<Option<Redacted>, WriteError> {
    let Some(redaction) = &step.draft.redaction else { return Ok(None) };
    let power = Power::of(room.rules, &view)?;
    let has = power.of_user(author.id.as_str())?;
    let needs = power.needed(Action::Redact)?;
    match &redaction.target {
        Some(RedactionTarget { nr, sender, redacted }) if *sender == author.nr || has.reaches(needs) => {
            Ok(Some(Redacted { target: *nr, json: Arc::clone(redacted) }))
        }
        None if has.reaches(needs) => Ok(None),
        None => Err(WriteError::UnknownEvent),
        Some(_) => Err(Rejection::Power { action: Action::Redact, needs, has }.into()),
    }
}

/// Whom the event notifies.
fn noted(room: &Room, author: &Author, step: &Step, view: &[Pdu], audience: &Audience) -> Noted {
    let level = Power::of(room.rules, &view).and_then(|power| power.of_user(author.id.as_str()));
    let levels = view.event("m.room.power_levels", "").and_then(Pdu::power_levels);
    let power = level.ok().map(|level| SenderPower {
        level: match level {
            PowerLevel::Finite(level) => level,
            PowerLevel::Infinite => i64::MAX,
        },
        notifications: levels.and_then(|levels| levels.notifications.present()),
    });
    audience.evaluate(&NewEvent {
        kind: &step.draft.kind,
        sender: author.nr,
        sender_id: author.id.as_str(),
        state_key: step.draft.state_key.as_deref(),
        content: &step.draft.content,
        power,
        thread: step.thread.clone(),
    })
}

fn out_of_numbers() -> WriteError {
    Error::Inconsistent("fewer numbers were taken than events built".to_owned()).into()
}

async fn pause(attempt: u32) {
    if attempt < AT_ONCE {
        return;
    }
    tokio::time::sleep(spread(FIRST_PAUSE * (1 << (attempt - AT_ONCE).min(6)))).await;
}
