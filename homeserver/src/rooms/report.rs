//! What users report: a room, an event, another user.

use ruma::{EventId, RoomId, UserId};

use super::{Rooms, access::ReadError};
use crate::{
    clock::now_ms,
    storage::{self, Membership, UserNr, report::Report},
};

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("there is no such room here")]
    UnknownRoom,
    #[error("there is no such event in a room that you are in")]
    UnknownEvent,
    #[error("the reason is too long")]
    TooLong,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// In bytes.
const MAX_REASON: usize = 4096;

impl Rooms {
    /// Reports an event of a room that the reporter is in.
    ///
    /// # Errors
    /// See [`ReportError`].
    pub async fn report_event(
        &self,
        reporter: UserNr,
        room: &RoomId,
        event: &EventId,
        reason: &str,
        score: Option<i64>,
    ) -> Result<(), ReportError> {
        let unknown = |error| match error {
            ReadError::Storage(error) => ReportError::Storage(error),
            ReadError::Forbidden | ReadError::NotFound => ReportError::UnknownEvent,
        };
        let reading = self.open(reporter, room).await.map_err(unknown)?;
        if reading.membership != Some(Membership::Join) {
            return Err(ReportError::UnknownEvent);
        }
        self.visible(&reading, event.as_str()).await.map_err(unknown)?;
        let event_id = Some(event.as_str());
        let report = Report { room: Some(reading.room.nr), event_id, score, ..report(reporter, reason)? };
        Ok(storage::report::add(&self.0.pool, &report).await?)
    }

    /// Reports a room, which the reporter need not be in.
    ///
    /// # Errors
    /// See [`ReportError`].
    pub async fn report_room(&self, reporter: UserNr, room: &RoomId, reason: &str) -> Result<(), ReportError> {
        let room = self.find(room).await?.ok_or(ReportError::UnknownRoom)?;
        let report = Report { room: Some(room.nr), ..report(reporter, reason)? };
        Ok(storage::report::add(&self.0.pool, &report).await?)
    }

    /// Reports a user. Whether there is one is told to nobody this way: of others than those that this server has heard
    /// of nothing is kept.
    ///
    /// # Errors
    /// See [`ReportError`].
    pub async fn report_user(&self, reporter: UserNr, user: &UserId, reason: &str) -> Result<(), ReportError> {
        let report = report(reporter, reason)?;
        if let Some(target) = self.0.interner.find(user.as_str()).await? {
            storage::report::add(&self.0.pool, &Report { target: Some(target), ..report }).await?;
        }
        Ok(())
    }
}

fn report(reporter: UserNr, reason: &str) -> Result<Report<'_>, ReportError> {
    if reason.len() > MAX_REASON {
        return Err(ReportError::TooLong);
    }
    Ok(Report { ts: now_ms(), reporter, room: None, event_id: None, target: None, reason, score: None })
}
