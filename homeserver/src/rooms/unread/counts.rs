//! What users have not read: from memory where the newest notes say it, in one query for all other rooms.

use std::{collections::HashMap, sync::Arc};

use super::notes::{Note, Window};
use crate::{
    rooms::Rooms,
    storage::{self, Pos, Result, RoomNr, UserNr, unread::UnreadLine},
};

/// How much of a timeline is unread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Events that notify.
    pub notify: u64,
    /// Those of them that do so loudly.
    pub highlight: u64,
}

/// How much of a room is unread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    /// What is in no thread.
    pub main: Count,
    /// By the root's event ID; only threads with something unread.
    pub threads: Vec<(Arc<str>, Count)>,
}

impl Unread {
    /// All timelines together.
    pub fn total(&self) -> Count {
        self.threads.iter().fold(self.main, |sum, (_, count)| Count {
            notify: sum.notify + count.notify,
            highlight: sum.highlight + count.highlight,
        })
    }
}

/// A user's counts of a room at a position, with what is needed to take them on.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Up to here the whole room is read.
    base: Pos,
    /// The main timeline, whose thread is empty, is the first.
    lines: Vec<Line>,
    quiet: bool,
    as_of: Pos,
    /// A receipt moved: the counts must be made anew.
    stale: bool,
}

#[derive(Debug, Clone)]
struct Line {
    thread: Arc<str>,
    /// Up to here the timeline is read, where that is further than `base`: by a receipt, or because the user wrote there.
    point: Pos,
    count: Count,
}

/// From how far behind a count is brought up to date though nothing was added to it.
const STEP: i64 = 1000;

impl Seen {
    fn new(quiet: bool, as_of: Pos) -> Self {
        let main = Line { thread: "".into(), point: Pos(0), count: Count::default() };
        Self { base: Pos(0), lines: vec![main], quiet, as_of, stale: false }
    }

    /// Of a user who came at `pos`.
    pub(super) fn of_newcomer(pos: Pos) -> Self {
        Self { base: pos, ..Self::new(false, pos) }
    }

    /// As a receipt leaves it, which tells up to where a timeline (or all of them) is read.
    pub(super) fn read_up_to(&self, thread: &str, pos: Pos) -> Self {
        let mut seen = Self { stale: true, ..self.clone() };
        match thread {
            "" => seen.base = seen.base.max(pos),
            thread => {
                let line = seen.line(if thread == "main" { "" } else { thread });
                line.point = line.point.max(pos);
            }
        }
        seen
    }

    fn line(&mut self, thread: &str) -> &mut Line {
        let at = self.lines.iter().position(|line| *line.thread == *thread).unwrap_or_else(|| {
            self.lines.push(Line { thread: thread.into(), point: Pos(0), count: Count::default() });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }

    /// The same at `until`; `None` where the window does not reach far enough.
    fn advance(&self, user: UserNr, window: &Window, quiet: bool, until: Pos) -> Option<Self> {
        let newer = || window.items.iter().rev().take_while(|note| note.pos > self.as_of);
        let anew = self.stale || self.quiet != quiet || newer().any(Note::is_redaction);
        let from = if anew { self.base } else { self.as_of };
        if window.floor > from {
            return None;
        }
        let mut seen = Self { quiet, as_of: self.as_of.max(until), stale: false, ..self.clone() };
        if anew {
            seen.lines.iter_mut().for_each(|line| line.count = Count::default());
        }
        let first = window.items.partition_point(|note| note.pos <= from);
        let end = seen.as_of;
        for note in window.items.range(first..).take_while(|note| note.pos <= end) {
            seen.add(user, note);
        }
        let base = seen.base;
        let mut main = true;
        // The main timeline stays, and what is read further than the room, or not at all.
        seen.lines.retain(|line| std::mem::take(&mut main) || line.count != Count::default() || line.point > base);
        Some(seen)
    }

    fn add(&mut self, user: UserNr, note: &Note) {
        if note.pos <= self.base {
            return;
        }
        if note.sender == user {
            if note.reads {
                let line = self.line(note.noted.thread.as_deref().unwrap_or_default());
                *line =
                    Line { point: line.point.max(note.pos), count: Count::default(), thread: Arc::clone(&line.thread) };
            }
            return;
        }
        if note.undone.is_some_and(|at| at <= self.as_of) {
            return;
        }
        let exception = note.noted.exceptions.iter().find(|exception| exception.user == user);
        let (notify, highlight) = match exception {
            Some(exception) => (exception.notify, exception.highlight),
            None if self.quiet => return,
            None => (note.noted.notify, note.noted.highlight),
        };
        let line = self.line(note.noted.thread.as_deref().unwrap_or_default());
        if note.pos > line.point {
            line.count.notify += u64::from(notify);
            line.count.highlight += u64::from(highlight);
        }
    }

    /// Up to where the timeline is read.
    fn point(&self, thread: &str) -> Pos {
        let line = self.lines.iter().find(|line| *line.thread == *thread);
        line.map_or(self.base, |line| line.point.max(self.base))
    }

    fn unread(&self) -> Unread {
        let mut unread = Unread::default();
        for line in &self.lines {
            if line.thread.is_empty() {
                unread.main = line.count;
            } else if line.count != Count::default() {
                unread.threads.push((Arc::clone(&line.thread), line.count));
            }
        }
        unread
    }

    fn take_in(&mut self, row: &UnreadLine) {
        self.base = row.base;
        let line = self.line(&row.thread);
        line.point = row.point;
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        line.count = Count { notify: count(row.notify), highlight: count(row.highlight) };
    }
}

impl Rooms {
    /// What `user` has not read in each of `rooms`, those that they are joined to: from memory in the common case, else in
    /// one query for all.
    ///
    /// # Errors
    /// The database's own.
    pub async fn counts(&self, user: UserNr, rooms: &[RoomNr]) -> Result<HashMap<RoomNr, Unread>> {
        let caches = &self.0.caches.unread;
        let mut found = HashMap::with_capacity(rooms.len());
        if rooms.is_empty() {
            return Ok(found);
        }
        let quiet = self.quiet_rooms(user, rooms).await?;
        let is_quiet = |room: &RoomNr| quiet.get(room).copied().unwrap_or(false);
        let until = self.0.log.watermark();
        let ticket = caches.journal().seen.next;
        let mut missing = Vec::new();
        for room in rooms {
            let known = caches.seen.get(&(user, *room));
            let advanced = known
                .as_ref()
                .and_then(|seen| caches.notes.look(*room, |window| seen.advance(user, window, is_quiet(room), until)));
            match (known, advanced) {
                (Some(known), Some(advanced)) => {
                    found.insert(*room, advanced.unread());
                    let moved = known.stale || known.quiet != advanced.quiet || known.unread() != advanced.unread();
                    if moved || advanced.as_of.0 - known.as_of.0 > STEP {
                        self.keep_seen(user, ticket, *room, advanced);
                    }
                }
                _ => missing.push((*room, is_quiet(room))),
            }
        }
        if !missing.is_empty() {
            let mut loaded: HashMap<RoomNr, Seen> = HashMap::with_capacity(missing.len());
            for row in storage::unread::lines(&self.0.pool, user, &missing, until).await? {
                loaded.entry(row.room).or_insert_with(|| Seen::new(is_quiet(&row.room), until)).take_in(&row);
            }
            for (room, seen) in loaded {
                found.insert(room, seen.unread());
                self.keep_seen(user, ticket, room, seen);
            }
        }
        Ok(found)
    }

    /// Up to where the user has read the main timeline, or the thread of a root, if memory knows it.
    pub(super) fn read_point(&self, user: UserNr, room: RoomNr, thread: Option<&str>) -> Option<Pos> {
        Some(self.0.caches.unread.seen.get(&(user, room))?.point(thread.unwrap_or_default()))
    }

    /// Keeps counts, unless a receipt or a membership has come since they were looked at.
    fn keep_seen(&self, user: UserNr, ticket: u64, room: RoomNr, seen: Seen) {
        let caches = &self.0.caches.unread;
        let journal = caches.journal();
        if journal.seen.since(ticket).is_some_and(|mut changed| !changed.any(|c| *c == (user, room))) {
            caches.seen.insert((user, room), Arc::new(seen));
        }
    }

    /// In which of `rooms` ordinary messages do not notify the user. No room is named where they do.
    async fn quiet_rooms(&self, user: UserNr, rooms: &[RoomNr]) -> Result<HashMap<RoomNr, bool>> {
        let rules = self.rules_of(user).await?;
        if rules.is_default() {
            return Ok(HashMap::new());
        }
        let rooms = self.find_many(rooms).await?;
        Ok(rooms.into_iter().map(|(nr, room)| (nr, rules.is_quiet_in(room.id.as_str()))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{LogEvent, Slice};
    use crate::{
        rooms::unread::notes::Notes,
        storage::{
            EventNr, Sym,
            commit::{Exception, Noted},
        },
    };

    const ROOM: RoomNr = RoomNr(1);
    const ME: UserNr = Sym(1);

    fn event(pos: i64, sender: i32, thread: Option<&str>, mentions_me: bool, redacts: Option<i64>) -> Arc<LogEvent> {
        let exception = Exception { user: ME, notify: true, highlight: true };
        let noted = Noted {
            notify: redacts.is_none(),
            highlight: false,
            thread: thread.map(Arc::from),
            exceptions: mentions_me.then_some(exception).into_iter().collect(),
        };
        Arc::new(LogEvent { sender: Sym(sender), redacts: redacts.map(EventNr), noted, ..LogEvent::of_test(ROOM, pos) })
    }

    fn notes(events: Vec<Arc<LogEvent>>) -> Notes {
        let notes = Notes::new();
        notes.apply(&Slice::of_test(1, 100, vec![ROOM], Some(events)));
        notes
    }

    fn count(notify: u64, highlight: u64) -> Count {
        Count { notify, highlight }
    }

    #[test]
    fn a_newcomers_counts_begin_with_their_join() {
        let notes = notes(vec![event(10, 2, None, true, None), event(12, 2, None, false, None)]);
        let seen = Seen::of_newcomer(Pos(11));
        let at = |until| notes.look(ROOM, |w| seen.advance(ME, w, false, Pos(until))).unwrap();
        assert_eq!(at(11).unread().main, count(0, 0));
        assert_eq!(at(12).unread().main, count(1, 0), "what was said before is not theirs");
    }

    #[test]
    fn counts_follow_messages_receipts_and_redactions() {
        let notes = notes(vec![
            event(10, 2, None, false, None),
            event(11, 2, Some("$t"), true, None),
            event(12, 1, None, false, None),
            event(13, 2, None, true, None),
            event(14, 2, None, false, Some(13)),
        ]);
        let at = |seen: &Seen, until| notes.look(ROOM, |w| seen.advance(ME, w, false, Pos(until))).unwrap();
        let seen = at(&Seen::new(false, Pos(0)), 11);
        assert_eq!(seen.unread(), Unread { main: count(1, 0), threads: vec![("$t".into(), count(1, 1))] });
        let seen = at(&seen, 12);
        let spoke = Unread { main: count(0, 0), threads: vec![("$t".into(), count(1, 1))] };
        assert_eq!(seen.unread(), spoke, "who speaks has read what stands before, in that timeline");
        let seen = at(&seen, 13);
        assert_eq!((seen.unread().main, seen.unread().total()), (count(1, 1), count(2, 2)));
        let after = at(&seen, 14);
        assert_eq!(after.unread().main, count(0, 0), "what was redacted does not count");
        let read = at(&after.read_up_to("main", Pos(13)), 14);
        assert_eq!((read.unread().main, read.unread().threads.len()), (count(0, 0), 1));
        let read = at(&read.read_up_to("$t", Pos(11)), 14);
        assert_eq!(read.unread(), Unread::default());
        let all = at(&seen.read_up_to("", Pos(13)), 14);
        assert_eq!(all.unread(), Unread::default());
        let quiet = notes.look(ROOM, |w| seen.advance(ME, w, true, Pos(13))).unwrap();
        assert_eq!(quiet.unread().total(), count(2, 2), "only exceptions count");
    }
}
