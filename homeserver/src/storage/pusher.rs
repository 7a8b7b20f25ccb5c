//! Pushers: where pushes go, and how far each node is with what it committed.

use sqlx::{FromRow, PgConnection, PgPool};

use super::{DeviceNr, EventNr, Pos, Result, UserNr};

/// A pusher.
#[derive(Debug, Clone, FromRow)]
pub struct Pusher {
    pub nr: i64,
    #[sqlx(rename = "usr")]
    pub user: UserNr,
    pub app_id: String,
    pub pushkey: String,
    pub device: DeviceNr,
    /// The device's ID.
    pub device_id: String,
    pub created_ts: i64,
    pub enabled: bool,
    /// The rest, as the API shows it.
    pub json: String,
    /// Everything up to here is done with, while the gateway takes nothing.
    pub behind: Option<Pos>,
}

/// The pushers of `users`.
pub async fn of_users(pool: &PgPool, users: &[UserNr]) -> Result<Vec<Pusher>> {
    let sql =
        "select p.nr, p.usr, p.app_id, p.pushkey, p.device, d.device_id, p.created_ts, p.enabled, p.json, p.behind
                 from pusher p join device d on d.nr = p.device where p.usr = any($1) order by p.nr";
    Ok(sqlx::query_as(sql).bind(users).fetch_all(pool).await?)
}

/// Everybody who has a pusher.
pub async fn holders(pool: &PgPool) -> Result<Vec<UserNr>> {
    Ok(sqlx::query_scalar("select distinct usr from pusher").fetch_all(pool).await?)
}

/// Sets a pusher: a new one, or in the place of the user's own of the same app and key. With `alone` those of other users with
/// this app and key go. Returns whose pushers changed; none where the user has `most` already.
pub async fn set(pool: &PgPool, pusher: &Pusher, alone: bool, most: i64) -> Result<Vec<UserNr>> {
    let sql = "with gone as (delete from pusher where $7 and app_id = $2 and pushkey = $3 and usr <> $1 returning usr),
                    kept as (insert into pusher (usr, app_id, pushkey, device, created_ts, enabled, json)
                             select $1, $2, $3, $4, $5, $6, $8
                              where (select count(*) from pusher where usr = $1) < $9
                                 or exists (select from pusher where usr = $1 and app_id = $2 and pushkey = $3)
                             on conflict (usr, app_id, pushkey) do update
                                set device = excluded.device, created_ts = excluded.created_ts,
                                    enabled = excluded.enabled, json = excluded.json, behind = null, holder = null
                             returning usr)
               select usr from kept union select usr from gone where exists (select from kept)";
    Ok(sqlx::query_scalar(sql)
        .bind(pusher.user)
        .bind(&pusher.app_id)
        .bind(&pusher.pushkey)
        .bind(pusher.device)
        .bind(pusher.created_ts)
        .bind(pusher.enabled)
        .bind(alone)
        .bind(&pusher.json)
        .bind(most)
        .fetch_all(pool)
        .await?)
}

/// Deletes a user's pusher.
pub async fn delete(pool: &PgPool, user: UserNr, app_id: &str, pushkey: &str) -> Result<u64> {
    let sql = "delete from pusher where usr = $1 and app_id = $2 and pushkey = $3";
    Ok(sqlx::query(sql).bind(user).bind(app_id).bind(pushkey).execute(pool).await?.rows_affected())
}

/// Notes that a pusher's gateway takes nothing after `behind`. `true`: it is `holder` that sees to it from now on.
pub async fn fall_behind(pool: &PgPool, nr: i64, behind: Pos, holder: i64) -> Result<bool> {
    let sql = "with old as (select nr, holder from pusher where nr = $1 for update)
               update pusher p set behind = least(p.behind, $2), holder = coalesce(p.holder, $3)
                 from old where p.nr = old.nr returning old.holder is null";
    Ok(sqlx::query_scalar(sql).bind(nr).bind(behind).bind(holder).fetch_optional(pool).await?.unwrap_or(false))
}

/// Of a pusher that is behind: it has got everything up to `behind` since.
pub async fn moved_on(pool: &PgPool, nr: i64, behind: Pos) -> Result<()> {
    let sql = "update pusher set behind = greatest(behind, $2) where nr = $1 and behind is not null";
    sqlx::query(sql).bind(nr).bind(behind).execute(pool).await?;
    Ok(())
}

/// A pusher is behind no longer.
pub async fn caught_up(pool: &PgPool, nr: i64) -> Result<()> {
    let sql = "update pusher set behind = null, holder = null where nr = $1";
    sqlx::query(sql).bind(nr).execute(pool).await?;
    Ok(())
}

/// Takes the lock that says that the process `writer` lives, for as long as the connection does.
pub async fn live(conn: &mut PgConnection, writer: i64, pos: Pos) -> Result<()> {
    let sql = "with locked as (select pg_advisory_lock(hashtextextended('roost push ' || $1::text, 0)))
               insert into push_cursor (writer, pos) select $1, $2 from locked
               on conflict (writer) do update set pos = greatest(push_cursor.pos, excluded.pos)";
    sqlx::query(sql).bind(writer).bind(pos).execute(conn).await?;
    Ok(())
}

/// Notes that `writer` is done with everything that it committed up to `pos`.
pub async fn advance(conn: &mut PgConnection, writer: i64, pos: Pos) -> Result<()> {
    let sql = "update push_cursor set pos = greatest(pos, $2) where writer = $1";
    sqlx::query(sql).bind(writer).bind(pos).execute(conn).await?;
    Ok(())
}

/// The processes that have ended without being done, with how far they are; the connection holds their locks from now on.
pub async fn orphans(conn: &mut PgConnection, writer: i64) -> Result<Vec<(i64, Pos)>> {
    let sql = "select writer, pos from push_cursor
                where writer <> $1 and pg_try_advisory_lock(hashtextextended('roost push ' || writer::text, 0))";
    Ok(sqlx::query_as(sql).bind(writer).fetch_all(conn).await?)
}

/// What `writer` committed after `pos`, oldest first: up to `limit` events that are younger than `ts`.
pub async fn left(pool: &PgPool, writer: i64, after: Pos, ts: i64, limit: i64) -> Result<Vec<(EventNr, Pos)>> {
    let sql = "select e.nr, e.pos
                 from slice s
                cross join lateral unnest(s.rooms) as r (room)
                 join event e on e.room = r.room and e.pos between s.first and s.last
                where s.writer = $1 and s.last > $2 and e.pos > $2 and e.ts > $3 order by e.pos limit $4";
    Ok(sqlx::query_as(sql).bind(writer).bind(after).bind(ts).bind(limit).fetch_all(pool).await?)
}

/// Ends what `writer` left: its pushers that are behind are those of `heir`, whom they are given to.
pub async fn inherit(conn: &mut PgConnection, writer: i64, heir: i64) -> Result<Vec<UserNr>> {
    let sql = "with gone as (delete from push_cursor where writer = $1),
                    done as (select pg_advisory_unlock(hashtextextended('roost push ' || $1::text, 0))),
                    taken as (update pusher set holder = $2 where holder = $1 and behind is not null returning usr)
               select t.usr from taken t, done";
    Ok(sqlx::query_scalar(sql).bind(writer).bind(heir).fetch_all(conn).await?)
}
