//! The slice that a commit's answer makes of its batch.

use std::sync::Arc;

use super::{Beside, LogEvent, LogReceipt, Notice, Slice};
use crate::storage::{
    Pos, RoomNr,
    commit::{Answer, Batch, ORD_STEP, Outcome},
};

/// Account data that decides about notifications.
const DECIDING: [&str; 2] = ["m.push_rules", "m.ignored_user_list"];

/// What this node, and others by the bell, are told of the commit.
pub(super) fn slice(batch: &Batch, answer: &Answer, writer: i64) -> Slice {
    let stored = |i: usize| matches!(answer.outcomes.get(i), Some(Outcome::Stored | Outcome::Beside));
    let rooms = batch.rooms.iter().enumerate().filter(|(i, _)| stored(*i));
    let mut users: Vec<_> = batch.wake_users.clone();
    users.extend(batch.account_data.iter().map(|a| a.user));
    users.extend(batch.to_device.iter().flat_map(|w| w.messages.iter().map(|m| m.0)));
    users.extend(&batch.device_changes);
    users.extend(answer.told.users.iter().chain(&answer.told.device_changes));
    users.extend(
        rooms.clone().flat_map(|(_, r)| &r.events).filter(|e| e.membership.is_some()).filter_map(|e| e.state_key),
    );
    users.sort_unstable();
    users.dedup();
    let mut touched: Vec<RoomNr> = rooms.clone().map(|(_, r)| r.room).collect();
    touched.extend(batch.wake_rooms.iter().chain(&answer.told.rooms));
    touched.extend(batch.receipts.iter().map(|r| r.room));
    touched.sort_unstable();
    touched.dedup();
    // A resubmitted batch does not say where its events lie; readers take them from the database.
    let is_first = !answer.told.again && (!answer.ord_base.is_empty() || batch.rooms.is_empty());
    let placed = is_first.then(|| {
        let mut pos = answer.first.0;
        let mut events = Vec::new();
        for (i, room) in rooms {
            let base = answer.ord_base.get(i).copied().unwrap_or(0);
            for (ord, e) in (base..).step_by(usize::try_from(ORD_STEP).unwrap_or(1)).zip(&room.events) {
                events.push(Arc::new(LogEvent {
                    pos: Pos(pos),
                    ord,
                    room: room.room,
                    nr: e.nr,
                    id: Arc::clone(&e.id),
                    kind: e.kind,
                    sender: e.sender,
                    state_key: e.state_key,
                    ts: e.ts,
                    frame: e.frame,
                    replaces: e.replaces,
                    membership: e.membership,
                    json: Arc::clone(&e.json),
                    txn: e.txn.as_ref().map(|t| (t.key.device, Arc::clone(&t.id))),
                    redacts: e.redacts.as_ref().map(|r| r.target),
                    noted: e.noted.clone(),
                    flags: e.flags,
                }));
                pos += 1;
            }
        }
        (events, beside(batch, answer))
    });
    let (events, beside) = placed.unzip();
    Slice {
        generation: answer.generation,
        first: answer.first,
        last: answer.last,
        writer,
        rooms: touched,
        users,
        notices: batch.notices.iter().chain(&answer.told.notices).filter_map(|text| Notice::parse(text)).collect(),
        events,
        beside,
    }
}

/// What `batch` holds besides events. All receipts lie at the commit's last position.
fn beside(batch: &Batch, answer: &Answer) -> Beside {
    let receipts = answer.received.iter().filter_map(|i| batch.receipts.get(*i)).map(|r| LogReceipt {
        pos: answer.last,
        room: r.room,
        user: r.user,
        private: r.private,
        thread: Arc::clone(&r.thread),
        event_id: Arc::clone(&r.event_id),
        event_pos: r.event_pos,
        ts: r.ts,
    });
    let push_rules = batch.account_data.iter().filter(|a| DECIDING.contains(&&*a.kind) && a.room == RoomNr(0));
    Beside {
        receipts: receipts.collect(),
        account_data: batch.account_data.iter().map(|a| a.user).collect(),
        push_rules: Some(push_rules.map(|a| a.user).collect()),
        to_device: batch.to_device.iter().flat_map(|w| w.messages.iter().map(|m| m.1)).collect(),
        device_changes: batch.device_changes.iter().chain(&answer.told.device_changes).copied().collect(),
    }
}
