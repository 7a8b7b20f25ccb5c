//! Current memberships, by user and by room.

use sqlx::PgPool;

use super::{EventNr, Membership, Pos, Result, RoomNr, UserNr};

/// A user's current membership of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct OfUser {
    pub room: RoomNr,
    pub membership: Membership,
    /// The membership event.
    pub nr: EventNr,
    pub pos: Pos,
    /// The user has left and does not want to see the room any more.
    pub forgotten: bool,
}

/// A room's current member, invited, banned or former ones among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct OfRoom {
    #[sqlx(rename = "usr")]
    pub user: UserNr,
    pub membership: Membership,
    /// The membership event.
    pub nr: EventNr,
    pub pos: Pos,
}

/// All memberships of `user`, by room.
pub async fn of_user(pool: &PgPool, user: UserNr) -> Result<Vec<OfUser>> {
    let sql = "select room, membership, nr, pos, forgotten from member where usr = $1 order by room";
    Ok(sqlx::query_as(sql).bind(user).fetch_all(pool).await?)
}

/// All memberships of `room`, by user.
pub async fn of_room(pool: &PgPool, room: RoomNr) -> Result<Vec<OfRoom>> {
    let sql = "select usr, membership, nr, pos from member where room = $1 order by usr";
    Ok(sqlx::query_as(sql).bind(room).fetch_all(pool).await?)
}

/// Hides rooms that `user` has left from what they see. Returns how many there were.
pub async fn forget(pool: &PgPool, user: UserNr, room: RoomNr) -> Result<u64> {
    let sql = "update member set forgotten = true where room = $2 and usr = $1 and membership in (0, 3)";
    Ok(sqlx::query(sql).bind(user).bind(room).execute(pool).await?.rows_affected())
}

/// The rooms that `user` is joined to.
pub async fn joined_rooms(pool: &PgPool, user: UserNr) -> Result<Vec<RoomNr>> {
    let sql = "select room from member where usr = $1 and membership = 1 order by room";
    Ok(sqlx::query_scalar(sql).bind(user).fetch_all(pool).await?)
}

/// How many are joined to each of `rooms`; rooms without anybody are left out.
pub async fn joined_counts(pool: &PgPool, rooms: &[RoomNr]) -> Result<Vec<(RoomNr, i64)>> {
    let sql = "select room, count(*) from member where room = any($1) and membership = 1 group by room";
    Ok(sqlx::query_as(sql).bind(rooms).fetch_all(pool).await?)
}

/// Who is joined to `room` or invited.
pub async fn present(pool: &PgPool, room: RoomNr) -> Result<Vec<UserNr>> {
    let sql = "select usr from member where room = $1 and membership in (1, 2)";
    Ok(sqlx::query_scalar(sql).bind(room).fetch_all(pool).await?)
}
