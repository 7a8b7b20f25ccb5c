//! Account data: the user's own notes, global and for each room.

use std::collections::HashMap;

use super::{Sync, filter::Section, reader::Reader};
use crate::{
    storage::{self, Pos, Result, RoomNr, UserNr, sync::AccountData},
    users::PUSH_RULES,
};

/// What is new of it.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub global: Vec<AccountData>,
    pub rooms: HashMap<RoomNr, Vec<AccountData>>,
}

impl Sync {
    /// What the reader wrote with `since < pos <= until`; from the beginning where there is no `since`: then push rules too that
    /// were never changed.
    pub(super) async fn account_data(&self, reader: &Reader, since: Option<Pos>, until: Pos) -> Result<Notes> {
        let (since, initial) = (since.unwrap_or_default(), since.is_none());
        if !initial && !self.0.caches.touched.account_data(reader.user, since) {
            return Ok(Notes::default());
        }
        let mut notes = sort(storage::sync::account_data(&self.0.pool, reader.user, since, until).await?);
        let stored = notes.global.iter().position(|note| note.kind == PUSH_RULES);
        if initial || stored.is_some() {
            let json = self.0.push_rules.content(reader.user, reader.user_id.as_str()).await?;
            match stored {
                Some(at) => notes.global[at].json = json,
                None => notes.global.push(AccountData { room: RoomNr(0), kind: PUSH_RULES.to_owned(), json }),
            }
        }
        Ok(notes)
    }

    /// All that `user` wrote about one room: type and content.
    ///
    /// # Errors
    /// The database's own.
    pub async fn room_account_data(&self, user: UserNr, room: RoomNr) -> Result<Vec<(String, String)>> {
        let notes = storage::sync::account_data_of_rooms(&self.0.pool, user, &[room], self.0.log.watermark()).await?;
        Ok(notes.into_iter().map(|note| (note.kind, note.json)).collect())
    }

    /// All that `user` wrote about `rooms`, for rooms that are new to the device.
    pub(super) async fn account_data_of(&self, user: UserNr, rooms: &[RoomNr], until: Pos) -> Result<Notes> {
        if rooms.is_empty() {
            return Ok(Notes::default());
        }
        Ok(sort(storage::sync::account_data_of_rooms(&self.0.pool, user, rooms, until).await?))
    }
}

fn sort(rows: Vec<AccountData>) -> Notes {
    let mut notes = Notes::default();
    for row in rows {
        if row.room == RoomNr(0) {
            notes.global.push(row);
        } else {
            notes.rooms.entry(row.room).or_default().push(row);
        }
    }
    notes
}

/// Keeps what the filter takes. Account data has no sender.
pub(super) fn keep(notes: &mut Vec<AccountData>, filter: &Section) {
    if !filter.types.takes_all() {
        notes.retain(|note| filter.types.takes(&note.kind));
    }
}
