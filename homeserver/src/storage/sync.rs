//! What a sync reads besides events: many rooms in one query each.

use sqlx::PgPool;

use super::{EventNr, FrameNr, Pos, Result, RoomNr, Sym, UserNr};

/// A receipt.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Receipt {
    pub room: RoomNr,
    #[sqlx(rename = "usr")]
    pub user: UserNr,
    /// 1 `m.read`, 2 `m.read.private`.
    pub kind: i16,
    /// Empty (unthreaded), `main`, or the thread root's event ID.
    pub thread: String,
    pub event_id: String,
    pub ts: i64,
    pub pos: Pos,
}

/// The receipts of `rooms` that `reader` may see: for each room those with `since < pos <= until`.
pub async fn receipts(pool: &PgPool, rooms: &[(RoomNr, Pos)], until: Pos, reader: UserNr) -> Result<Vec<Receipt>> {
    let sql = "select r.room, r.usr, r.kind, r.thread, r.event_id, r.ts, r.pos
                 from unnest($1::bigint[], $2::bigint[]) as t (room, since)
                 join receipt r on r.room = t.room and r.pos > t.since
                where r.pos <= $3 and (r.kind = 1 or r.usr = $4)
                order by r.room, r.pos";
    Ok(sqlx::query_as(sql)
        .bind(rooms.iter().map(|r| r.0).collect::<Vec<_>>())
        .bind(rooms.iter().map(|r| r.1).collect::<Vec<_>>())
        .bind(until)
        .bind(reader)
        .fetch_all(pool)
        .await?)
}

/// Account data; `room` is 0 where it is global.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AccountData {
    pub room: RoomNr,
    pub kind: String,
    /// The content.
    pub json: String,
}

/// The account data of `user` with `since < pos <= until`. From the beginning (`since` 0) what was removed is left out.
pub async fn account_data(pool: &PgPool, user: UserNr, since: Pos, until: Pos) -> Result<Vec<AccountData>> {
    let sql = "select room, type as kind, json from account_data
                where usr = $1 and pos > $2 and pos <= $3 and ($2 > 0 or json <> '{}') order by pos";
    Ok(sqlx::query_as(sql).bind(user).bind(since).bind(until).fetch_all(pool).await?)
}

/// All account data of `user` for one of `rooms`, up to `until`.
pub async fn account_data_of_rooms(
    pool: &PgPool,
    user: UserNr,
    rooms: &[RoomNr],
    until: Pos,
) -> Result<Vec<AccountData>> {
    let sql = "select room, type as kind, json from account_data
                where usr = $1 and room = any($2) and pos <= $3 and json <> '{}' order by pos";
    Ok(sqlx::query_as(sql).bind(user).bind(rooms).bind(until).fetch_all(pool).await?)
}

/// The content of one piece of account data.
pub async fn account_data_of(pool: &PgPool, user: UserNr, room: RoomNr, kind: &str) -> Result<Option<String>> {
    let sql = "select json from account_data where usr = $1 and room = $2 and type = $3";
    Ok(sqlx::query_scalar(sql).bind(user).bind(room).bind(kind).fetch_optional(pool).await?)
}

/// Users whose device lists changed with `since < pos <= until`.
pub async fn device_changes(pool: &PgPool, since: Pos, until: Pos) -> Result<Vec<UserNr>> {
    let sql = "select usr from device_change where pos > $1 and pos <= $2";
    Ok(sqlx::query_scalar(sql).bind(since).bind(until).fetch_all(pool).await?)
}

/// Those of `others` who are joined or invited to a room to which `user` is joined.
pub async fn sharing_a_room(pool: &PgPool, user: UserNr, others: &[UserNr]) -> Result<Vec<UserNr>> {
    let sql = "select o.usr from unnest($2::integer[]) as o (usr)
                where exists (select from member theirs join member ours on ours.room = theirs.room
                               where theirs.usr = o.usr and theirs.membership in (1, 2)
                                 and ours.usr = $1 and ours.membership = 1)";
    Ok(sqlx::query_scalar(sql).bind(user).bind(others).fetch_all(pool).await?)
}

/// Those of `rooms` in which something happened after `since`: events or receipts.
pub async fn touched_rooms(pool: &PgPool, rooms: &[RoomNr], since: Pos) -> Result<Vec<RoomNr>> {
    let sql = "select h.room from room_head h
                where h.room = any($1)
                  and (h.last_pos > $2 or exists (select from receipt r where r.room = h.room and r.pos > $2))";
    Ok(sqlx::query_scalar(sql).bind(rooms).bind(since).fetch_all(pool).await?)
}

/// How many are in a room, and who stands for it where it has no name.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Summary {
    pub room: RoomNr,
    pub joined: i64,
    pub invited: i64,
    /// The first six who are joined or invited; none unless asked for.
    pub present: Vec<UserNr>,
    /// The first six who left or were banned, where fewer than two are joined or invited.
    pub former: Vec<UserNr>,
}

/// The summaries of `rooms`, each with heroes or without.
pub async fn summaries(pool: &PgPool, rooms: &[(RoomNr, bool)]) -> Result<Vec<Summary>> {
    let sql = "select t.room, c.joined, c.invited,
                      case when t.heroes
                           then array(select m.usr from member m where m.room = t.room and m.membership in (1, 2)
                                       order by m.pos limit 6)
                           else '{}' end as present,
                      case when t.heroes and c.joined + c.invited < 2
                           then array(select m.usr from member m where m.room = t.room and m.membership in (0, 3)
                                       order by m.pos limit 6)
                           else '{}' end as former
                 from unnest($1::bigint[], $2::boolean[]) as t (room, heroes)
                cross join lateral (
                      select count(*) filter (where m.membership = 1) as joined,
                             count(*) filter (where m.membership = 2) as invited
                        from member m where m.room = t.room) c";
    Ok(sqlx::query_as(sql)
        .bind(rooms.iter().map(|r| r.0).collect::<Vec<_>>())
        .bind(rooms.iter().map(|r| r.1).collect::<Vec<_>>())
        .fetch_all(pool)
        .await?)
}

/// For each of (room, since, until, limit) the newest events, newest first, with the index of what was asked.
pub async fn newest_until(pool: &PgPool, asked: &[(RoomNr, Pos, Pos, i64)]) -> Result<Vec<(usize, EventNr)>> {
    let sql = "select t.i, e.nr
                 from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
                      with ordinality as t (room, since, until, most, i)
                cross join lateral (
                      select nr, pos from event
                       where room = t.room and pos > t.since and pos <= t.until order by pos desc limit t.most) e
                order by t.i, e.pos desc";
    let rows: Vec<(i64, EventNr)> = sqlx::query_as(sql)
        .bind(asked.iter().map(|a| a.0).collect::<Vec<_>>())
        .bind(asked.iter().map(|a| a.1).collect::<Vec<_>>())
        .bind(asked.iter().map(|a| a.2).collect::<Vec<_>>())
        .bind(asked.iter().map(|a| a.3).collect::<Vec<_>>())
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().filter_map(|(i, nr)| Some((usize::try_from(i).ok()?.checked_sub(1)?, nr))).collect())
}

/// For each of `rooms` the position of its last event, and of the last one that has one of `kinds` (0 where there is none).
pub async fn stamps(pool: &PgPool, rooms: &[RoomNr], kinds: &[Sym]) -> Result<Vec<(RoomNr, Pos, Pos)>> {
    let sql = "select h.room, h.last_pos,
                      coalesce((select e.pos from event e where e.room = h.room and e.type = any($2) and e.pos > 0
                                 order by e.pos desc limit 1), 0)
                 from room_head h where h.room = any($1)";
    Ok(sqlx::query_as(sql).bind(rooms).bind(kinds).fetch_all(pool).await?)
}

/// The current states of `rooms`.
pub async fn frames(pool: &PgPool, rooms: &[RoomNr]) -> Result<Vec<(RoomNr, FrameNr)>> {
    let sql = "select room, frame from room_head where room = any($1)";
    Ok(sqlx::query_as(sql).bind(rooms).fetch_all(pool).await?)
}

/// Of the receipts in `rooms` up to `until` that `reader` may see, the reader's own and those on one of `events`.
pub async fn receipts_on(
    pool: &PgPool,
    rooms: &[RoomNr],
    events: &[&str],
    until: Pos,
    reader: UserNr,
) -> Result<Vec<Receipt>> {
    let sql = "select room, usr, kind, thread, event_id, ts, pos from receipt
                where room = any($1) and pos <= $3 and (usr = $4 or kind = 1 and event_id = any($2)) order by room, pos";
    Ok(sqlx::query_as(sql).bind(rooms).bind(events).bind(until).bind(reader).fetch_all(pool).await?)
}

/// All that `user` noted under `kind`, for whichever rooms.
pub async fn account_data_of_kind(pool: &PgPool, user: UserNr, kind: &str) -> Result<Vec<AccountData>> {
    let sql = "select room, type as kind, json from account_data where usr = $1 and type = $2 and json <> '{}'";
    Ok(sqlx::query_as(sql).bind(user).bind(kind).fetch_all(pool).await?)
}
