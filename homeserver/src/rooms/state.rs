//! State as a structurally shared map, and the frames that keep it small on disk.
//!
//! A room's n-th frame holds the difference to the frame whose count is n minus its lowest bit, as in a binary counter:
//! any state is at most one delta for each bit away from the empty one, and n joins cost n·log n entries.

use std::sync::Arc;

use imbl::OrdMap;

use crate::storage::{Error, EventNr, FrameNr, Result, Sym, commit::FrameWrite, frame::Row};

/// What a state event is state of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey {
    pub kind: Sym,
    pub key: Sym,
}

impl StateKey {
    pub const fn new(kind: Sym, key: Sym) -> Self {
        Self { kind, key }
    }

    /// The event of type `kind` with an empty state key.
    pub const fn of(kind: Sym) -> Self {
        Self { kind, key: Sym::EMPTY }
    }

    /// The user's membership.
    pub const fn member(user: Sym) -> Self {
        Self { kind: Sym::MEMBER, key: user }
    }
}

/// A room's state. Clones share their structure.
pub type StateMap = OrdMap<StateKey, EventNr>;

/// All state events of one type: state key and event.
pub fn of_kind(state: &StateMap, kind: Sym) -> impl Iterator<Item = (Sym, EventNr)> {
    let bounds = StateKey::new(kind, Sym(i32::MIN))..=StateKey::new(kind, Sym(i32::MAX));
    state.range(bounds).map(|(key, nr)| (key.key, *nr))
}

/// Changed entries in the order of their keys; event 0 removes one.
type Delta = Arc<[(StateKey, EventNr)]>;

/// A state with its number, and the deltas that lead to it.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    pub nr: FrameNr,
    pub state: StateMap,
    /// A level for each bit of the frame's count, the greatest first.
    levels: Vec<Level>,
}

#[derive(Debug, Clone)]
struct Level {
    nr: FrameNr,
    n: i32,
    delta: Delta,
}

impl Frame {
    /// The next frame of the room, with `changes` made, and the row that keeps it.
    pub fn child(&self, nr: FrameNr, mut changes: Vec<(StateKey, EventNr)>) -> (Self, FrameWrite) {
        changes.sort_unstable_by_key(|(key, _)| *key);
        let mut state = self.state.clone();
        apply(&mut state, &changes);
        let n = self.levels.last().map_or(0, |level| level.n) + 1;
        let mut levels = self.levels.clone();
        let base_n = n & (n - 1);
        while let Some(level) = levels.pop_if(|level| level.n > base_n) {
            changes = merge(&level.delta, &changes);
        }
        let base = levels.last().map_or(FrameNr(0), |level| level.nr);
        if base_n == 0 {
            changes.retain(|(_, event)| *event != EventNr(0));
        }
        let write = FrameWrite { nr, n, base, delta: encode(&changes) };
        levels.push(Level { nr, n, delta: changes.into() });
        (Self { nr, state, levels }, write)
    }

    /// From the rows that lead to it, in their order.
    pub fn from_rows(nr: FrameNr, rows: impl IntoIterator<Item = Row>) -> Result<Self> {
        let mut frame = Self { nr, ..Self::default() };
        for row in rows {
            let delta = decode(&row.delta)
                .ok_or_else(|| Error::Inconsistent(format!("the delta of frame {} is damaged", row.nr.0)))?;
            apply(&mut frame.state, &delta);
            frame.levels.push(Level { nr: row.nr, n: row.n, delta: delta.into() });
        }
        if frame.levels.last().map_or(FrameNr(0), |level| level.nr) != nr {
            return Err(Error::Inconsistent(format!("frame {} is missing", nr.0)));
        }
        Ok(frame)
    }
}

fn apply(state: &mut StateMap, changes: &[(StateKey, EventNr)]) {
    for (key, event) in changes {
        if *event == EventNr(0) {
            state.remove(key);
        } else {
            state.insert(*key, *event);
        }
    }
}

/// Both deltas in one; where both change an entry, `newer` counts.
fn merge(older: &[(StateKey, EventNr)], newer: &[(StateKey, EventNr)]) -> Vec<(StateKey, EventNr)> {
    let mut merged = Vec::with_capacity(older.len() + newer.len());
    let (mut older, mut newer) = (older.iter().copied().peekable(), newer.iter().copied().peekable());
    while let (Some(a), Some(b)) = (older.peek(), newer.peek()) {
        match a.0.cmp(&b.0) {
            std::cmp::Ordering::Less => merged.extend(older.next()),
            std::cmp::Ordering::Greater => merged.extend(newer.next()),
            std::cmp::Ordering::Equal => drop(older.next()),
        }
    }
    merged.extend(older);
    merged.extend(newer);
    merged
}

/// Variable-length integers: how far the type is from the entry before, the state key, the event.
fn encode(delta: &[(StateKey, EventNr)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(delta.len() * 8);
    let mut kind = 0_i64;
    for (key, event) in delta {
        put(&mut out, i64::from(key.kind.0) - kind);
        kind = i64::from(key.kind.0);
        put(&mut out, i64::from(key.key.0));
        put(&mut out, event.0);
    }
    out
}

fn decode(mut bytes: &[u8]) -> Option<Vec<(StateKey, EventNr)>> {
    let mut delta = Vec::with_capacity(bytes.len() / 6);
    let mut kind = 0_i64;
    while !bytes.is_empty() {
        kind += take(&mut bytes)?;
        let key = take(&mut bytes)?;
        let event = take(&mut bytes)?;
        delta.push((StateKey::new(Sym(kind.try_into().ok()?), Sym(key.try_into().ok()?)), EventNr(event)));
    }
    Some(delta)
}

fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = value.cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn take(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value.cast_signed());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(i: i64) -> (StateKey, EventNr) {
        let kind = if i % 3 == 0 { Sym::MEMBER } else { Sym(1000 + i as i32 % 2) };
        (StateKey::new(kind, Sym(i as i32 % 97)), EventNr(if i % 11 == 0 { 0 } else { i }))
    }

    #[test]
    fn every_frame_is_read_back_from_its_few_rows() {
        let (mut frame, mut rows, mut expected) = (Frame::default(), Vec::<FrameWrite>::new(), StateMap::new());
        for i in 1..=600 {
            let (child, write) = frame.child(FrameNr(i), vec![change(i)]);
            apply(&mut expected, &[change(i)]);
            frame = child;
            assert_eq!(frame.state, expected);
            rows.push(write);
            let (mut chain, mut nr) = (Vec::new(), FrameNr(i));
            while nr != FrameNr(0) {
                let row = &rows[nr.0 as usize - 1];
                chain.push(Row { wanted: FrameNr(i), nr: row.nr, n: row.n, delta: row.delta.clone() });
                nr = row.base;
            }
            assert!(chain.len() <= 10);
            chain.reverse();
            let read = Frame::from_rows(FrameNr(i), chain).unwrap();
            assert_eq!(read.state, expected);
            // What is built on a frame that was read is what would have been built on the original.
            let (next, again) =
                (frame.child(FrameNr(i + 1), vec![change(i + 1)]), read.child(FrameNr(i + 1), vec![change(i + 1)]));
            assert_eq!((next.1.base, next.1.delta), (again.1.base, again.1.delta));
        }
    }

    #[test]
    fn ten_thousand_joins_cost_about_a_megabyte() {
        let (mut frame, mut bytes) = (Frame::default(), 0);
        for i in 1..=10_000 {
            let (child, write) =
                frame.child(FrameNr(i), vec![(StateKey::member(Sym(1000 + i as i32)), EventNr(5000 + i))]);
            bytes += write.delta.len();
            frame = child;
        }
        assert!(bytes < 1_000_000, "{bytes}");
    }

    #[test]
    fn one_type_is_a_range() {
        let state: StateMap = (1..=100).filter(|i| i % 11 != 0).map(change).collect();
        let members: Vec<_> = of_kind(&state, Sym::MEMBER).collect();
        assert!(!members.is_empty() && members.iter().all(|(_, nr)| nr.0 % 3 == 0));
    }

    #[test]
    fn damaged_deltas_are_told() {
        assert!(decode(&[0x80]).is_none());
        assert!(decode(&[0x06, 0x01]).is_none());
        assert!(Frame::from_rows(FrameNr(7), []).is_err());
    }
}
