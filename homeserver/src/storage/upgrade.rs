//! Upgrades of rooms under way. One works on each at a time: whoever holds it, until its time is over.

use sqlx::PgPool;

use super::{FrameNr, Result, RoomNr, UserNr};

/// An upgrade that began.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Upgrade {
    /// The room that is replaced.
    pub room: RoomNr,
    /// The one that takes its place; it exists when its first events are on disk.
    pub successor: RoomNr,
    pub usr: UserNr,
    pub version: String,
    pub creators: Vec<String>,
    /// The old room's state from which the new one is made.
    pub frame: FrameNr,
    /// Whether the directory lists the room.
    pub public: bool,
    /// When it was done; in milliseconds since the Unix epoch, as all times here.
    pub done_ts: Option<i64>,
}

/// Who works on an upgrade, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    pub holder: i64,
    pub until: i64,
}

/// Notes that an upgrade begins. `false` where one of this room is under way.
pub async fn begin(pool: &PgPool, upgrade: &Upgrade, hold: Hold) -> Result<bool> {
    let sql = "insert into upgrade as u (room, successor, usr, version, creators, frame, public, holder, held_until)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
               on conflict (room) do update
                  set successor = excluded.successor, usr = excluded.usr, version = excluded.version,
                      creators = excluded.creators, frame = excluded.frame, public = excluded.public,
                      holder = excluded.holder, held_until = excluded.held_until, done_ts = null
                where u.done_ts is not null";
    let done = sqlx::query(sql)
        .bind(upgrade.room)
        .bind(upgrade.successor)
        .bind(upgrade.usr)
        .bind(&upgrade.version)
        .bind(&upgrade.creators)
        .bind(upgrade.frame)
        .bind(upgrade.public)
        .bind(hold.holder)
        .bind(hold.until)
        .execute(pool)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The upgrade of `room` that is under way, or was done lately.
pub async fn of_room(pool: &PgPool, room: RoomNr) -> Result<Option<Upgrade>> {
    let sql = "select room, successor, usr, version, creators, frame, public, done_ts from upgrade where room = $1";
    Ok(sqlx::query_as(sql).bind(room).fetch_optional(pool).await?)
}

/// Takes an upgrade that nobody works on: the one of `room`, or any.
pub async fn take(pool: &PgPool, room: Option<RoomNr>, hold: Hold, now: i64) -> Result<Option<Upgrade>> {
    let sql = "update upgrade set holder = $2, held_until = $3
                where room = (select room from upgrade
                               where done_ts is null and held_until < $4 and ($1::bigint is null or room = $1)
                               limit 1 for update skip locked)
               returning room, successor, usr, version, creators, frame, public, done_ts";
    Ok(sqlx::query_as(sql).bind(room).bind(hold.holder).bind(hold.until).bind(now).fetch_optional(pool).await?)
}

/// Holds it longer. `false` where another has taken it.
pub async fn keep(pool: &PgPool, room: RoomNr, hold: Hold) -> Result<bool> {
    let sql = "update upgrade set held_until = $3 where room = $1 and holder = $2 and done_ts is null";
    let done = sqlx::query(sql).bind(room).bind(hold.holder).bind(hold.until).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

/// Notes that it is done.
pub async fn finish(pool: &PgPool, room: RoomNr, holder: i64, now: i64) -> Result<()> {
    let sql = "update upgrade set done_ts = $3 where room = $1 and holder = $2";
    sqlx::query(sql).bind(room).bind(holder).bind(now).execute(pool).await?;
    Ok(())
}

/// Takes back that it began.
pub async fn give_up(pool: &PgPool, room: RoomNr, holder: i64) -> Result<()> {
    sqlx::query("delete from upgrade where room = $1 and holder = $2").bind(room).bind(holder).execute(pool).await?;
    Ok(())
}

/// Forgets those that were done before `before`.
pub async fn forget(pool: &PgPool, before: i64) -> Result<()> {
    sqlx::query("delete from upgrade where done_ts < $1").bind(before).execute(pool).await?;
    Ok(())
}
