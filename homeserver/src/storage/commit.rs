//! The commit: one call of `commit_v3` for all that a node has to write; what changes about users goes before it, in the same
//! statement.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::{FromRow, PgConnection};

use super::{
    DeviceNr, EventNr, FrameNr, Membership, Pos, Result, RoomNr, Sym, UserNr,
    user_change::{Became, UserWrite},
};

/// A room that an event of the batch creates.
#[derive(Debug, Clone)]
pub struct NewRoom {
    pub id: Arc<str>,
    pub version: Arc<str>,
    /// Listed in the public directory.
    pub public: bool,
}

/// Events for one room, built one on top of another.
#[derive(Debug, Clone)]
pub struct RoomWrite {
    pub room: RoomNr,
    pub new: Option<NewRoom>,
    /// The tail and the state that the first event was built on; 0 in a new room.
    pub built_on: EventNr,
    pub built_frame: FrameNr,
    /// The extremities that the first event consumes.
    pub consumed: Vec<EventNr>,
    /// A change of state that was refused before: where it is refused again, others wait a moment.
    pub hold: bool,
    /// Never empty.
    pub events: Vec<EventWrite>,
}

/// One event with what comes with it.
#[derive(Debug, Clone)]
pub struct EventWrite {
    pub nr: EventNr,
    pub id: Arc<str>,
    pub kind: Sym,
    pub sender: Sym,
    pub state_key: Option<Sym>,
    /// `origin_server_ts`.
    pub ts: i64,
    pub depth: i64,
    /// The state after this event.
    pub frame: FrameNr,
    /// The state event that this one takes the place of.
    pub replaces: Option<EventNr>,
    pub flags: i16,
    /// The signed event as it goes over federation (canonical JSON, without `unsigned`).
    pub json: Arc<str>,
    /// The new frame, where the event changes the state.
    pub new_frame: Option<FrameWrite>,
    /// The membership, where the event is an `m.room.member`. The user is the state key.
    pub membership: Option<Membership>,
    /// Idempotency key of the request.
    pub txn: Option<Txn>,
    /// What this event redacts, where its sender may.
    pub redacts: Option<Redacted>,
    /// Whom it notifies.
    pub noted: Noted,
    /// What it relates to.
    pub relates: Option<Relates>,
}

/// Whom an event notifies: everybody whose rules are the predefined ones as far as its room goes, and who otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    pub notify: bool,
    pub highlight: bool,
    /// The root of the thread that it is in.
    pub thread: Option<Arc<str>>,
    /// Members whom it concerns in another way than their rules as a whole say.
    pub exceptions: Arc<[Exception]>,
}

/// What an event is to one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    pub user: UserNr,
    pub notify: bool,
    pub highlight: bool,
}

impl Noted {
    /// As the database has it.
    pub fn bits(&self) -> i16 {
        i16::from(self.notify) | i16::from(self.notify && self.highlight) << 1
    }
}

/// A relation to another event of the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relates {
    /// The other's event ID, whether there is such an event or not.
    pub target: Arc<str>,
    pub rel_type: Sym,
    /// `rel_type` is `m.thread`.
    pub thread: bool,
}

/// A frame row.
#[derive(Debug, Clone)]
pub struct FrameWrite {
    pub nr: FrameNr,
    pub n: i32,
    pub base: FrameNr,
    pub delta: Vec<u8>,
}

/// A redacted event's new text.
#[derive(Debug, Clone)]
pub struct Redacted {
    pub target: EventNr,
    pub json: Arc<str>,
}

/// Names one request of one device: a hash over method, room, type and transaction ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TxnKey {
    pub device: DeviceNr,
    pub key: [u8; 16],
}

impl TxnKey {
    /// The key of a request: what it does and where, and the client's word for it.
    pub fn new(device: DeviceNr, parts: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            // Lengths keep ("a", "bc") and ("ab", "c") apart.
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize()[..16]);
        Self { device, key }
    }

    /// As the table `sent` has it (`sent_key_v1`): the event that it leads to tells whose key it is.
    pub(super) fn short(&self) -> i64 {
        let [a, b, c, d, e, f, g, h, ..] = self.key;
        i64::from_be_bytes([a, b, c, d, e, f, g, h]) ^ self.device.0
    }
}

/// A client's transaction.
#[derive(Debug, Clone)]
pub struct Txn {
    pub key: TxnKey,
    /// The client's word for it, shown to the sending device alone.
    pub id: Arc<str>,
}

/// A receipt. `thread` is empty (unthreaded), `main`, or the thread root's event ID.
#[derive(Debug, Clone)]
pub struct ReceiptWrite {
    pub room: RoomNr,
    pub user: UserNr,
    pub private: bool,
    pub thread: Arc<str>,
    pub event_id: Arc<str>,
    /// The event's place in the log.
    pub event_pos: Option<Pos>,
    pub ts: i64,
}

/// Account data; `room` is `RoomNr(0)` where it is global.
#[derive(Debug, Clone)]
pub struct AccountDataWrite {
    pub user: UserNr,
    pub room: RoomNr,
    pub kind: Arc<str>,
    pub json: Arc<str>,
}

/// The messages of one `sendToDevice`, queued together once for `txn`.
#[derive(Debug, Clone, Default)]
pub struct ToDeviceWrite {
    pub txn: Option<TxnKey>,
    /// Recipient, its device, the event as sync shows it.
    pub messages: Vec<(UserNr, DeviceNr, Arc<str>)>,
}

/// All that one call commits. A room occurs once at most.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    pub rooms: Vec<RoomWrite>,
    pub receipts: Vec<ReceiptWrite>,
    pub account_data: Vec<AccountDataWrite>,
    pub to_device: Vec<ToDeviceWrite>,
    pub device_changes: Vec<UserNr>,
    pub wake_rooms: Vec<RoomNr>,
    pub wake_users: Vec<UserNr>,
    pub notices: Vec<String>,
    pub users: Vec<UserWrite>,
}

/// What became of a room's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// Another writer was first: re-read the room and rebuild.
    Stale,
    /// One of the transactions is known; nothing of the room was stored.
    Known,
    /// Stored, beside another tail that this node has not seen.
    Beside,
    /// The room is held for another writer: come again in a moment.
    Held,
}

/// The database's answer to a batch.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub generation: i64,
    /// First and last position; both 0 where nothing was stored.
    pub first: Pos,
    pub last: Pos,
    /// A room each, in the batch's order.
    pub outcomes: Vec<Outcome>,
    /// The `ord` of each room's first event; events follow `ORD_STEP` apart. Empty for a resubmitted batch.
    pub ord_base: Vec<i64>,
    /// Known transactions and the events that they created.
    pub known: Vec<(TxnKey, Arc<str>)>,
    /// What became of each of the batch's changes of users, in its order.
    pub changed: Vec<Became>,
    /// What the changes of users tell.
    pub told: Told,
    /// Which of the batch's receipts stand now: not those that would have gone back.
    pub received: Vec<usize>,
}

/// What changes of users tell, beside what the batch tells anyway.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The batch was committed before, and the rest here is what its slice says.
    pub again: bool,
    pub device_changes: Vec<UserNr>,
    pub rooms: Vec<RoomNr>,
    pub users: Vec<UserNr>,
    pub notices: Vec<String>,
}

/// How far apart the `ord` of live events lie: backfill goes between.
pub const ORD_STEP: i64 = 1 << 20;

#[derive(FromRow)]
struct Row {
    generation: Option<i64>,
    first: Pos,
    last: Pos,
    outcome: Vec<i16>,
    ord_base: Option<Vec<i64>>,
    known_event: Option<Vec<i32>>,
    known_event_id: Option<Vec<String>>,
    changed: Vec<i16>,
    again: bool,
    told_devices: Vec<UserNr>,
    told_rooms: Vec<RoomNr>,
    told_users: Vec<UserNr>,
    told_notices: Vec<String>,
    received: Option<Vec<i32>>,
}

/// Relations and receipts are written in the commit's own statement, beside the function: it knows nothing of what events
/// say, nor which of two events stands before the other. Users are changed before it, as locks go, and what that tells is told
/// by it.
const CALL: &str = "select c.*, u.outcome as changed, u.again, u.devices as told_devices, u.rooms as told_rooms, \
    u.users as told_users, u.notices as told_notices, \
    case when cardinality($73::integer[]) + cardinality($49::integer[]) > 0 then \
    relate_v2(c.outcome, c.ord_base, $4, $73, $74, $75, $76, $77, $78, $79, $80, $49, $50) end as related, \
    case when cardinality($53::bigint[]) > 0 then receive_v1(c.last, $53, $54, $55, $56, $57, $58) end as received from \
    change_users_v1($1, $2, $3, $81, $82) as u cross join lateral \
    commit_v3($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, \
    $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, \
    $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, '{}', '{}', '{}', '{}', '{}', '{}', $59, $60, $61, $62, \
    $63, $64, $65, $66, $67, $68, $69 || u.devices, $70 || u.rooms, $71 || u.users, $72 || u.notices) as c";

/// Commits `batch` under (`writer`, `number`); the same pair again gets the first answer.
///
/// Receipts, account data and to-device messages of equal keys within a batch: the last one stays.
pub async fn call(conn: &mut PgConnection, writer: i64, number: i64, now: i64, batch: &Batch) -> Result<Answer> {
    let rooms = &batch.rooms;
    // Owners are 1-based, as PostgreSQL counts.
    let owned: Vec<(i32, &EventWrite)> =
        (1..).zip(rooms).flat_map(|(i, room)| room.events.iter().map(move |e| (i, e))).collect();
    let frames: Vec<(i32, &FrameWrite)> = owned.iter().filter_map(|(i, e)| Some((*i, e.new_frame.as_ref()?))).collect();
    let txns: Vec<(i32, TxnKey)> =
        (1..).zip(&owned).filter_map(|(at, (_, e))| Some((at, e.txn.as_ref()?.key))).collect();
    let redactions: Vec<(i32, &EventWrite, &Redacted)> =
        owned.iter().filter_map(|(i, e)| Some((*i, *e, e.redacts.as_ref()?))).collect();
    let members: Vec<(i32, &EventWrite, Membership)> =
        (1..).zip(&owned).filter_map(|(at, (_, e))| Some((at, *e, e.membership?))).collect();
    let consumed: Vec<EventNr> = rooms.iter().flat_map(|room| room.consumed.iter().copied()).collect();
    let queued: Vec<(i32, &_)> =
        (1..).zip(&batch.to_device).flat_map(|(i, w)| w.messages.iter().map(move |m| (i, m))).collect();

    let exceptions: Vec<(i32, &Exception)> =
        (1..).zip(&owned).flat_map(|(at, (_, e))| e.noted.exceptions.iter().map(move |x| (at, x))).collect();
    let running = Running::of(rooms);
    let related: Vec<(i32, i32, &EventWrite, &Relates)> = (1..)
        .zip(rooms)
        .flat_map(|(i, room)| (0..).zip(&room.events).filter_map(move |(at, e)| Some((i, at, e, e.relates.as_ref()?))))
        .collect();

    // One order for all: two batches that change the same users don't wait for each other crosswise.
    let mut users: Vec<(usize, &UserWrite)> = batch.users.iter().enumerate().collect();
    users.sort_by_key(|(_, write)| write.user);
    let changes = users.iter().map(|(_, write)| write.change.to_json()).collect::<Result<Vec<String>>>()?;

    let receipts = batch.receipts.iter().map(|receipt| receipt.room);
    let wake_rooms: Vec<RoomNr> = batch.wake_rooms.iter().copied().chain(receipts).collect();

    let mut row: Row = sqlx::query_as(CALL)
        .bind(writer)
        .bind(number)
        .bind(now)
        .bind(list(rooms, |r| r.room))
        .bind(list(rooms, |r| r.new.as_ref().map(|n| &*n.id)))
        .bind(list(rooms, |r| r.new.as_ref().map(|n| &*n.version)))
        .bind(list(rooms, |r| r.new.as_ref().is_some_and(|n| n.public)))
        .bind(list(rooms, |r| r.built_on))
        .bind(list(rooms, |r| r.built_frame))
        .bind(list(rooms, |r| r.events.iter().any(|e| e.new_frame.is_some())))
        .bind(list(rooms, |r| r.events.last().map_or(r.built_on, |e| e.nr)))
        .bind(list(rooms, |r| i32::try_from(r.events.len()).unwrap_or(i32::MAX)))
        .bind(list(rooms, |r| r.hold))
        .bind(consumed)
        .bind(list(&owned, |(i, _)| *i))
        .bind(list(&owned, |(_, e)| e.nr))
        .bind(list(&owned, |(_, e)| &*e.id))
        .bind(list(&owned, |(_, e)| e.kind))
        .bind(list(&owned, |(_, e)| e.sender))
        .bind(list(&owned, |(_, e)| e.state_key))
        .bind(list(&owned, |(_, e)| e.ts))
        .bind(list(&owned, |(_, e)| e.depth))
        .bind(list(&owned, |(_, e)| e.frame))
        .bind(list(&owned, |(_, e)| e.replaces))
        .bind(list(&owned, |(_, e)| e.flags))
        .bind(list(&owned, |(_, e)| &*e.json))
        .bind(list(&owned, |(_, e)| e.txn.as_ref().map(|t| t.key.device)))
        .bind(list(&owned, |(_, e)| e.txn.as_ref().map(|t| &*t.id)))
        .bind(running.places)
        .bind(list(&owned, |(_, e)| e.noted.bits()))
        .bind(running.main)
        .bind(list(&running.threads, |t| t.0))
        .bind(list(&running.threads, |t| t.1))
        .bind(list(&running.threads, |t| t.2))
        .bind(list(&exceptions, |(at, _)| *at))
        .bind(list(&exceptions, |(_, x)| x.user))
        .bind(list(&exceptions, |(_, x)| i16::from(x.notify)))
        .bind(list(&exceptions, |(_, x)| i16::from(x.highlight)))
        .bind(list(&frames, |(i, _)| *i))
        .bind(list(&frames, |(_, f)| f.nr))
        .bind(list(&frames, |(_, f)| f.n))
        .bind(list(&frames, |(_, f)| f.base))
        .bind(list(&frames, |(_, f)| f.delta.as_slice()))
        .bind(list(&members, |(at, ..)| *at))
        .bind(list(&members, |(_, e, _)| e.state_key))
        .bind(list(&members, |(.., m)| *m as i16))
        .bind(list(&txns, |(at, _)| *at))
        .bind(list(&txns, |(_, key)| key.short()))
        .bind(list(&redactions, |(i, ..)| *i))
        .bind(list(&redactions, |(.., r)| r.target))
        .bind(list(&redactions, |(_, e, _)| e.nr))
        .bind(list(&redactions, |(.., r)| &*r.json))
        .bind(list(&batch.receipts, |r| r.room))
        .bind(list(&batch.receipts, |r| r.user))
        .bind(list(&batch.receipts, |r| if r.private { 2_i16 } else { 1 }))
        .bind(list(&batch.receipts, |r| &*r.thread))
        .bind(list(&batch.receipts, |r| &*r.event_id))
        .bind(list(&batch.receipts, |r| r.ts))
        .bind(list(&batch.account_data, |a| a.user))
        .bind(list(&batch.account_data, |a| a.room))
        .bind(list(&batch.account_data, |a| &*a.kind))
        .bind(list(&batch.account_data, |a| &*a.json))
        .bind(list(&batch.to_device, |w| w.txn.map(|t| t.device)))
        .bind(list(&batch.to_device, |w| w.txn.as_ref().map(|t| t.key.to_vec())))
        .bind(list(&queued, |(i, _)| *i))
        .bind(list(&queued, |(_, m)| m.0))
        .bind(list(&queued, |(_, m)| m.1))
        .bind(list(&queued, |(_, m)| &*m.2))
        .bind(&batch.device_changes)
        .bind(wake_rooms)
        .bind(&batch.wake_users)
        .bind(&batch.notices)
        .bind(list(&related, |(i, ..)| *i))
        .bind(list(&related, |(_, at, ..)| *at))
        .bind(list(&related, |(_, _, e, _)| e.nr))
        .bind(list(&related, |(.., r)| &*r.target))
        .bind(list(&related, |(.., r)| r.rel_type))
        .bind(list(&related, |(.., r)| r.thread))
        .bind(list(&related, |(_, _, e, _)| e.kind))
        .bind(list(&related, |(_, _, e, _)| e.sender))
        .bind(list(&users, |(_, write)| write.user))
        .bind(changes)
        .fetch_one(conn)
        .await?;
    let known = row.known_event.take().unwrap_or_default().into_iter().map(|at| {
        let event = usize::try_from(at).ok().and_then(|at| owned.get(at.checked_sub(1)?));
        event
            .and_then(|(_, e)| Some(e.txn.as_ref()?.key))
            .ok_or_else(|| super::Error::Inconsistent(format!("commit_v3 knows event {at}")))
    });
    let known = known.collect::<Result<_>>()?;
    row.answer(known, &users)
}

/// What needs no lock to be counted.
#[derive(Default)]
struct Running<'a> {
    /// An event each: its place in its room's part of the batch, and how many of that part notify in the main timeline, up
    /// to it.
    places: Vec<i32>,
    main: Vec<i64>,
    /// Events in threads, by their 1-based index, with how many of the thread notify, up to each.
    threads: Vec<(i32, &'a str, i64)>,
}

impl<'a> Running<'a> {
    fn of(rooms: &'a [RoomWrite]) -> Self {
        let (mut running, mut index) = (Self::default(), 0);
        for room in rooms {
            let mut main = 0;
            let mut threads: HashMap<&str, i64> = HashMap::new();
            for (place, event) in (0..).zip(&room.events) {
                index += 1;
                let counts = i64::from(event.noted.notify);
                match event.noted.thread.as_deref() {
                    None => main += counts,
                    Some(thread) => {
                        let count = threads.entry(thread).or_default();
                        *count += counts;
                        running.threads.push((index, thread, *count));
                    }
                }
                running.places.push(place);
                running.main.push(main);
            }
        }
        running
    }
}

fn list<'a, T, U>(items: &'a [T], field: impl FnMut(&'a T) -> U) -> Vec<U> {
    items.iter().map(field).collect()
}

impl Row {
    /// `known`: the keys of the transactions that were known.
    fn answer(self, known: Vec<TxnKey>, users: &[(usize, &UserWrite)]) -> Result<Answer> {
        let mut changed = vec![Became::Absent; users.len()];
        for ((place, _), code) in users.iter().zip(self.changed) {
            changed[*place] = Became::from_code(code)?;
        }
        let outcomes = self
            .outcome
            .into_iter()
            .map(|o| match o {
                0 => Ok(Outcome::Stored),
                1 => Ok(Outcome::Stale),
                2 => Ok(Outcome::Known),
                3 => Ok(Outcome::Beside),
                4 => Ok(Outcome::Held),
                other => Err(super::Error::Inconsistent(format!("commit_v3 answered outcome {other}"))),
            })
            .collect::<Result<_>>()?;
        let ids = self.known_event_id.unwrap_or_default();
        let known = known.into_iter().zip(ids).map(|(key, id)| (key, Arc::from(id))).collect();
        Ok(Answer {
            generation: self.generation.unwrap_or(0),
            first: self.first,
            last: self.last,
            outcomes,
            ord_base: self.ord_base.unwrap_or_default(),
            known,
            changed,
            told: Told {
                again: self.again,
                device_changes: self.told_devices,
                rooms: self.told_rooms,
                users: self.told_users,
                notices: self.told_notices,
            },
            received: self
                .received
                .unwrap_or_default()
                .into_iter()
                .filter_map(|i| usize::try_from(i - 1).ok())
                .collect(),
        })
    }
}
