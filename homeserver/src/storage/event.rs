//! Events: bodies by number, and numbers by ID, by place in the log and by place in the room's history.

use sqlx::PgPool;

use super::{DeviceNr, EventNr, FrameNr, Pos, Result, RoomNr, Sym, UserNr};

/// An event as the tables keep it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Stored {
    pub nr: EventNr,
    pub room: RoomNr,
    pub id: String,
    /// Place in the log; `None` for an outlier, a rejected or a soft-failed event.
    pub pos: Option<Pos>,
    /// Place in the room's history; absent where `pos` is.
    pub ord: Option<i64>,
    pub kind: Sym,
    pub sender: UserNr,
    pub state_key: Option<Sym>,
    /// `origin_server_ts`.
    pub ts: i64,
    pub depth: i64,
    /// The room's state after the event.
    pub frame: FrameNr,
    /// The state event that this one took the place of.
    pub replaces: Option<EventNr>,
    pub flags: i16,
    pub device: Option<DeviceNr>,
    pub txn_id: Option<String>,
    /// As it goes over federation; redacted where it was redacted.
    pub json: String,
    pub redacted_by: Option<EventNr>,
}

/// In `flags`: a redaction of which it is not known yet whether it is right, because its target is not known. It is shown to
/// nobody.
pub const WITHHELD: i16 = 1;

/// The events with these numbers, in no order.
pub async fn by_nrs(pool: &PgPool, numbers: &[EventNr]) -> Result<Vec<Stored>> {
    let sql = "select e.nr, e.room, e.id, e.pos, e.ord, e.type as kind, e.sender, e.state_key, e.ts, e.depth, e.frame,
                      e.replaces, e.flags, e.device, e.txn_id, j.json,
                      (select r.by_event from redaction r where r.target = e.nr) as redacted_by
                 from event e join event_json j on j.nr = e.nr where e.nr = any($1)";
    Ok(sqlx::query_as(sql).bind(numbers).fetch_all(pool).await?)
}

/// The numbers of the events with these IDs, of whatever room.
pub async fn nrs_by_ids(pool: &PgPool, ids: &[&str]) -> Result<Vec<(String, EventNr)>> {
    Ok(sqlx::query_as("select id, nr from event where id = any($1)").bind(ids).fetch_all(pool).await?)
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Place {
    pub room: RoomNr,
    pub nr: EventNr,
    pub pos: Pos,
    pub ord: i64,
    /// The room's state after it.
    pub frame: FrameNr,
}

/// Which part of a room's log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    pub room: RoomNr,
    /// Only what lies after this position.
    pub since: Pos,
    /// At most so many, the newest.
    pub limit: i64,
}

/// For each of `tails` the newest events up to `until`, newest first.
pub async fn newest(pool: &PgPool, tails: &[Tail], until: Pos) -> Result<Vec<Place>> {
    let sql = "select e.room, e.nr, e.pos, e.ord, e.frame
                 from unnest($1::bigint[], $2::bigint[], $3::bigint[]) with ordinality as t (room, since, most, i)
                cross join lateral (
                      select room, nr, pos, ord, frame from event
                       where room = t.room and pos > t.since and pos <= $4 order by pos desc limit t.most) e
                order by t.i, e.pos desc";
    Ok(sqlx::query_as(sql)
        .bind(tails.iter().map(|t| t.room).collect::<Vec<_>>())
        .bind(tails.iter().map(|t| t.since).collect::<Vec<_>>())
        .bind(tails.iter().map(|t| t.limit).collect::<Vec<_>>())
        .bind(until)
        .fetch_all(pool)
        .await?)
}

/// For each of `points` the last event of the room up to the position; rooms without one are left out.
pub async fn last_before(pool: &PgPool, points: &[(RoomNr, Pos)]) -> Result<Vec<Place>> {
    let sql = "select e.room, e.nr, e.pos, e.ord, e.frame
                 from unnest($1::bigint[], $2::bigint[]) as t (room, pos)
                cross join lateral (
                      select room, nr, pos, ord, frame from event
                       where room = t.room and pos <= t.pos order by pos desc limit 1) e";
    Ok(sqlx::query_as(sql)
        .bind(points.iter().map(|p| p.0).collect::<Vec<_>>())
        .bind(points.iter().map(|p| p.1).collect::<Vec<_>>())
        .fetch_all(pool)
        .await?)
}

/// Which events of a room's history are wanted. Absent lists restrict nothing.
#[derive(Debug, Clone, Default)]
pub struct Sieve {
    pub kinds: Option<Vec<Sym>>,
    pub not_kinds: Vec<Sym>,
    pub senders: Option<Vec<UserNr>>,
    pub not_senders: Vec<UserNr>,
}

/// Up to `limit` events with `stop <= ord < before`, the last first, of those that the log shows up to `until`.
pub async fn backwards(
    pool: &PgPool,
    room: RoomNr,
    (before, stop): (i64, i64),
    until: Pos,
    sieve: &Sieve,
    limit: i64,
) -> Result<Vec<Place>> {
    let sql = "select room, nr, pos, ord, frame from event
                where room = $1 and ord < $2 and ord >= $3 and pos <= $4
                  and ($5::integer[] is null or type = any($5)) and type <> all($6)
                  and ($7::integer[] is null or sender = any($7)) and sender <> all($8)
                order by ord desc limit $9";
    page(sqlx::query_as(sql).bind(room).bind(before).bind(stop), until, sieve, limit)
        .fetch_all(pool)
        .await
        .map_err(Into::into)
}

/// Up to `limit` events with `from <= ord < stop`, the first first, of those that the log shows up to `until`.
pub async fn forwards(
    pool: &PgPool,
    room: RoomNr,
    (from, stop): (i64, i64),
    until: Pos,
    sieve: &Sieve,
    limit: i64,
) -> Result<Vec<Place>> {
    let sql = "select room, nr, pos, ord, frame from event
                where room = $1 and ord >= $2 and ord < $3 and pos <= $4
                  and ($5::integer[] is null or type = any($5)) and type <> all($6)
                  and ($7::integer[] is null or sender = any($7)) and sender <> all($8)
                order by ord limit $9";
    page(sqlx::query_as(sql).bind(room).bind(from).bind(stop), until, sieve, limit)
        .fetch_all(pool)
        .await
        .map_err(Into::into)
}

/// The first and the last place in the room's history; `None` where it has none.
pub async fn extent(pool: &PgPool, room: RoomNr) -> Result<Option<(i64, i64)>> {
    let sql = "select min(ord), max(ord) from event where room = $1";
    let (first, last): (Option<i64>, Option<i64>) = sqlx::query_as(sql).bind(room).fetch_one(pool).await?;
    Ok(first.zip(last))
}

/// Place and time of the first event that stands at `ord` or later.
pub async fn time_at(pool: &PgPool, room: RoomNr, ord: i64) -> Result<Option<(i64, i64)>> {
    let sql = "select ord, ts from event where room = $1 and ord >= $2 order by ord limit 1";
    Ok(sqlx::query_as(sql).bind(room).bind(ord).fetch_optional(pool).await?)
}

type PageQuery<'q> = sqlx::query::QueryAs<'q, sqlx::Postgres, Place, sqlx::postgres::PgArguments>;

fn page<'q>(query: PageQuery<'q>, until: Pos, sieve: &'q Sieve, limit: i64) -> PageQuery<'q> {
    query
        .bind(until)
        .bind(&sieve.kinds)
        .bind(&sieve.not_kinds)
        .bind(&sieve.senders)
        .bind(&sieve.not_senders)
        .bind(limit)
}

/// A state event and those whose place it took, one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    pub newest: EventNr,
    /// The chain ends with the first event whose `ord` is not above this.
    pub down_to: i64,
}

/// The events of each chain, newest first, with the chain's index.
pub async fn replaced(pool: &PgPool, chains: &[Chain]) -> Result<Vec<(usize, EventNr)>> {
    let sql = "with recursive chain as (
                   select t.i, 0 as depth, e.nr, e.replaces, coalesce(e.ord, 0) as ord, t.down_to
                     from unnest($1::bigint[], $2::bigint[]) with ordinality as t (newest, down_to, i)
                     join event e on e.nr = t.newest
                   union all
                   select c.i, c.depth + 1, e.nr, e.replaces, coalesce(e.ord, 0), c.down_to
                     from chain c join event e on e.nr = c.replaces
                    where c.ord > c.down_to and c.depth < 10000
               )
               select i, nr from chain order by i, depth";
    let rows: Vec<(i64, EventNr)> = sqlx::query_as(sql)
        .bind(chains.iter().map(|c| c.newest).collect::<Vec<_>>())
        .bind(chains.iter().map(|c| c.down_to).collect::<Vec<_>>())
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().filter_map(|(i, nr)| Some((usize::try_from(i).ok()?.checked_sub(1)?, nr))).collect())
}

/// The membership events of `user` after `since` and up to `until`, in all rooms, in the order that sync shows them.
pub async fn memberships(pool: &PgPool, user: UserNr, since: Pos, until: Pos) -> Result<Vec<Place>> {
    let sql = "select room, nr, pos, ord, frame from event
                where type = 3 and state_key = $1 and pos > $2 and pos <= $3 order by pos";
    Ok(sqlx::query_as(sql).bind(user).bind(since).bind(until).fetch_all(pool).await?)
}
