//! Whom events notify: what is not in memory of the counts, and what members' rules and names are.

use std::collections::HashMap;

use sqlx::PgPool;

use super::{EventNr, Pos, Result, RoomNr, Sym, UserNr};

/// One timeline of a room as a user has it: the main one, or a thread that was written to after the room was read.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct UnreadLine {
    pub room: RoomNr,
    /// The root's event ID; empty for the main timeline.
    pub thread: String,
    /// Up to here the whole room is read, or the user was not in it.
    pub base: Pos,
    /// Up to here this timeline is.
    pub point: Pos,
    pub notify: i64,
    pub highlight: i64,
}

/// So many unread events are looked through at most for one of the user's own.
const OWN: i64 = 10_000;

/// The counts of `user` in those of `rooms` that they are joined to, up to `until`; where a room is quiet only exceptions
/// count. Whoever wrote into a timeline has read what stands before. One query, whose steps stay apart: folded into one, PostgreSQL would plan and ask each inner question many times.
pub async fn lines(pool: &PgPool, user: UserNr, rooms: &[(RoomNr, bool)], until: Pos) -> Result<Vec<UnreadLine>> {
    let sql = "
        with p as materialized (
            select t.room, t.quiet,
                   greatest(coalesce(m.since, m.pos),
                            (select max(e.pos) from receipt r join event e on e.id = r.event_id
                              where r.room = t.room and r.usr = $1 and r.thread = '')) as base
              from unnest($2::bigint[], $3::boolean[]) as t (room, quiet)
              join member m on m.room = t.room and m.usr = $1 and m.membership = 1),
        l as materialized (
            select p.*, '' as thread from p
            union all
            select p.*, t.root from p join thread t on t.room = p.room and t.last_pos > p.base),
        x as materialized (
            select l.*, greatest(l.base,
                   (select max(e.pos) from receipt r join event e on e.id = r.event_id
                     where r.room = l.room and r.usr = $1 and r.kind in (1, 2)
                       and r.thread = case l.thread when '' then 'main' else l.thread end)) as point
              from l),
        n as materialized (
            select x.*,
                   case when x.quiet then 0
                        when x.thread = '' then
                             coalesce((select e.main_count from event e
                                        where e.room = x.room and e.pos <= $4 and e.main_count is not null
                                        order by e.pos desc limit 1), 0)
                        else coalesce((select e.count from event_thread e
                                        where e.room = x.room and e.thread = x.thread and e.pos <= $4
                                        order by e.pos desc limit 1), 0)
                   end as newest,
                   case when x.quiet then 0
                        when x.thread = '' then
                             coalesce((select e.main_count from event e
                                        where e.room = x.room and e.pos <= x.point and e.main_count is not null
                                        order by e.pos desc limit 1), 0)
                        else coalesce((select e.count from event_thread e
                                        where e.room = x.room and e.thread = x.thread and e.pos <= x.point
                                        order by e.pos desc limit 1), 0)
                   end as known
              from x),
        w as materialized (
            select n.*,
                   case when n.newest > n.known
                          or exists (select from mention m
                                      where m.usr = $1 and m.room = n.room and m.pos > n.point and m.pos <= $4)
                        then (select array[e.pos, coalesce(case when n.thread = '' then e.main_count else t.count end,
                                                           n.newest)]
                                from (select e.nr, e.pos, e.sender, e.type, e.main_count from event e
                                       where e.room = n.room and e.pos > n.point and e.pos <= $4
                                       order by e.pos desc limit $5) e
                                left join event_thread t on t.nr = e.nr
                               where e.sender = $1 and e.type <> $6 and coalesce(t.thread, '') = n.thread
                               order by e.pos desc limit 1)
                   end as wrote
              from n),
        o as materialized (
            select w.room, w.quiet, w.thread, w.base, greatest(w.point, w.wrote[1]) as point,
                   case when w.quiet then 0 else w.newest - coalesce(w.wrote[2], w.known) end as everybody
              from w)
        select o.room, o.thread, o.base, o.point,
               greatest(o.everybody + fixes.notify + exceptions.notify, 0)::bigint as notify,
               greatest(fixes.highlight + exceptions.highlight, 0)::bigint as highlight
          from o
         cross join lateral (
               select coalesce(sum(c.notify), 0) as notify, coalesce(sum(c.highlight), 0) as highlight
                 from count_change c
                where c.room = o.room and c.pos > o.point and c.at <= $4 and c.thread = o.thread and c.sender <> $1
                  and not o.quiet) fixes
         cross join lateral (
               select coalesce(sum(m.notify - case when o.quiet then 0 else m.counted & 1 end), 0) as notify,
                      coalesce(sum(m.highlight - case when o.quiet then 0 else m.counted >> 1 end), 0) as highlight
                 from mention m
                where m.usr = $1 and m.room = o.room and m.pos > o.point and m.pos <= $4 and m.thread = o.thread
                  and not exists (select from count_change c
                                   where c.room = m.room and c.pos = m.pos and c.dead and c.at <= $4)) exceptions";
    Ok(sqlx::query_as(sql)
        .bind(user)
        .bind(rooms.iter().map(|r| r.0).collect::<Vec<_>>())
        .bind(rooms.iter().map(|r| r.1).collect::<Vec<_>>())
        .bind(until)
        .bind(OWN)
        .bind(Sym::MEMBER)
        .fetch_all(pool)
        .await?)
}

/// A joined member, as far as notifications go.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Member {
    #[sqlx(rename = "usr")]
    pub user: UserNr,
    /// The user ID.
    pub id: Vec<u8>,
    /// The membership event.
    #[sqlx(rename = "nr")]
    pub event: EventNr,
    pub json: String,
    #[sqlx(flatten)]
    pub settings: Settings,
}

/// What a user has set that decides about notifications, where they have.
#[derive(Debug, Clone, Default, sqlx::FromRow)]
pub struct Settings {
    /// The content of `m.push_rules`.
    pub rules: Option<String>,
    /// The content of `m.ignored_user_list`.
    pub ignored: Option<String>,
}

/// The joined members of `room`.
pub async fn members(pool: &PgPool, room: RoomNr) -> Result<Vec<Member>> {
    let sql = "select m.usr, i.value as id, m.nr, j.json, a.json as rules, g.json as ignored
                 from member m
                 join intern i on i.nr = m.usr
                 join event_json j on j.nr = m.nr
                 left join account_data a on a.usr = m.usr and a.room = 0 and a.type = 'm.push_rules'
                 left join account_data g on g.usr = m.usr and g.room = 0 and g.type = 'm.ignored_user_list'
                where m.room = $1 and m.membership = 1";
    Ok(sqlx::query_as(sql).bind(room).fetch_all(pool).await?)
}

/// Everybody who has settings.
pub async fn all_with_settings(pool: &PgPool) -> Result<Vec<UserNr>> {
    let sql = "select distinct usr from account_data
                where room = 0 and type in ('m.push_rules', 'm.ignored_user_list')";
    Ok(sqlx::query_scalar(sql).fetch_all(pool).await?)
}

/// The settings of those of `users` who have any.
pub async fn settings(pool: &PgPool, users: &[UserNr]) -> Result<HashMap<UserNr, Settings>> {
    let sql = "select usr, type = 'm.push_rules', json from account_data
                where usr = any($1) and room = 0 and type in ('m.push_rules', 'm.ignored_user_list')";
    let mut found: HashMap<UserNr, Settings> = HashMap::new();
    let rows: Vec<(UserNr, bool, String)> = sqlx::query_as(sql).bind(users).fetch_all(pool).await?;
    for (user, is_rules, json) in rows {
        let settings = found.entry(user).or_default();
        *(if is_rules { &mut settings.rules } else { &mut settings.ignored }) = Some(json);
    }
    Ok(found)
}

/// Which notifications are wanted.
#[derive(Debug, Clone)]
pub struct Asked {
    /// With whether only exceptions count.
    pub rooms: Vec<(RoomNr, bool)>,
    pub after: Pos,
    pub before: Pos,
    pub limit: i64,
    pub only_highlights: bool,
}

/// Events that notified `user`, the last first.
pub async fn notifications(pool: &PgPool, user: UserNr, asked: &Asked) -> Result<Vec<EventNr>> {
    let sql = "
        with r as (
            select t.room, t.quiet, greatest(coalesce(m.since, m.pos), $4) as after
              from unnest($2::bigint[], $3::boolean[]) as t (room, quiet)
              join member m on m.room = t.room and m.usr = $1),
        x as materialized (
            select e.room, e.pos from r
             cross join lateral (
                   select e.room, e.pos from event e
                    where e.room = r.room and e.pos > r.after and e.pos < $5 and e.sender <> $1
                      and e.noted & $7 = $7 and not r.quiet
                      and not exists (select from mention m
                                       where m.usr = $1 and m.room = e.room and m.pos = e.pos)
                    order by e.pos desc limit $6) e
            union all
            select m.room, m.pos from r join mention m on m.usr = $1 and m.room = r.room
             where m.pos > r.after and m.pos < $5 and m.notify = 1 and m.highlight >= $7 >> 1)
        select e.nr from x join event e on e.room = x.room and e.pos = x.pos
         where not exists (select from count_change c where c.room = x.room and c.pos = x.pos and c.dead)
         order by x.pos desc limit $6";
    Ok(sqlx::query_scalar(sql)
        .bind(user)
        .bind(asked.rooms.iter().map(|r| r.0).collect::<Vec<_>>())
        .bind(asked.rooms.iter().map(|r| r.1).collect::<Vec<_>>())
        .bind(asked.after)
        .bind(asked.before)
        .bind(asked.limit)
        .bind(if asked.only_highlights { 3_i16 } else { 1 })
        .fetch_all(pool)
        .await?)
}
