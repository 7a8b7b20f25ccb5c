//! Receipts: how far users have read.

use sqlx::PgPool;

use super::{Pos, Result, RoomNr, UserNr};

/// The receipts of a user that a new one could take the place of.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Own {
    /// 2 where it is private.
    pub kind: i16,
    /// Empty (unthreaded), `main`, or the thread root's event ID.
    pub thread: String,
    pub event_id: String,
    /// The event's place in the room's history, where it is known.
    pub ord: Option<i64>,
    pub pos: Pos,
}

/// All receipts of `user` in `room`.
pub async fn of_user(pool: &PgPool, room: RoomNr, user: UserNr) -> Result<Vec<Own>> {
    let sql = "select r.kind, r.thread, r.event_id, e.ord, r.pos
                 from receipt r left join event e on e.id = r.event_id and e.room = r.room
                where r.room = $1 and r.usr = $2";
    Ok(sqlx::query_as(sql).bind(room).bind(user).fetch_all(pool).await?)
}
