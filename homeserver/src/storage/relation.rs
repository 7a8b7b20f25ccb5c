//! Which events relate to which, and the threads that this makes.

use sqlx::PgPool;

use super::{EventNr, Result, RoomNr, Sym, UserNr};

/// The relation types that are summed up for clients, as numbers.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    pub replace: Sym,
    pub thread: Sym,
    pub reference: Sym,
}

/// An event that others may relate to.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    pub room: RoomNr,
    pub id: &'a str,
    pub kind: Sym,
    pub sender: UserNr,
}

/// What relates to a parent.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Child {
    /// The parent's place in the question, from 1.
    pub parent: i64,
    pub rel_type: Sym,
    /// The child; of a thread the last answer of this sender.
    pub nr: EventNr,
    pub sender: UserNr,
    pub ord: i64,
    /// How many answers of a thread are this sender's.
    pub count: i64,
}

/// Of more edits than these only the last are looked at. What says nothing new is no edit, however many there are: so many
/// are looked through.
pub const EDITS: i64 = 8;
const PASSED: i64 = 10_000;
const REFERENCES: i64 = 100;

/// What is summed up for each of `parents`: the last edits by the same sender and of the same type, the last answer of each
/// sender in a thread, and references.
pub async fn summed_up(pool: &PgPool, parents: &[Parent<'_>], kinds: Kinds) -> Result<Vec<Child>> {
    let sql = "with parent as materialized (
                   select p.room, p.id, p.type, p.sender, p.i
                     from unnest($1::bigint[], $2::text[], $3::integer[], $4::integer[]) with ordinality
                       as p (room, id, type, sender, i)
                    where exists (select from relation r where r.target = p.id))
               select p.i as parent, $5 as rel_type, r.nr, p.sender, r.ord, 1::bigint as count
                 from parent p cross join lateral (
                      select r.nr, r.ord
                        from (select nr, ord, type from relation
                               where target = p.id and rel_type = $5 and room = p.room and sender = p.sender
                                 and type = p.type
                               order by ord desc limit $10) r
                        join event_json j on j.nr = r.nr
                       where r.type = $11 or position('\"m.new_content\":{' in j.json) > 0
                       order by r.ord desc limit $8) r
               union all
               select p.i, $6, r.nr, r.sender, r.ord, r.count
                 from parent p cross join lateral (
                      select sender, max(ord) as ord, (array_agg(nr order by ord desc))[1] as nr, count(*) as count
                        from relation where target = p.id and rel_type = $6 and room = p.room group by sender) r
               union all
               select p.i, $7, r.nr, r.sender, r.ord, 1
                 from parent p cross join lateral (
                      select nr, sender, ord from relation
                       where target = p.id and rel_type = $7 and room = p.room order by ord limit $9) r";
    Ok(sqlx::query_as(sql)
        .bind(parents.iter().map(|p| p.room).collect::<Vec<_>>())
        .bind(parents.iter().map(|p| p.id).collect::<Vec<_>>())
        .bind(parents.iter().map(|p| p.kind).collect::<Vec<_>>())
        .bind(parents.iter().map(|p| p.sender).collect::<Vec<_>>())
        .bind(kinds.replace)
        .bind(kinds.thread)
        .bind(kinds.reference)
        .bind(EDITS)
        .bind(REFERENCES)
        .bind(PASSED)
        .bind(Sym::ENCRYPTED)
        .fetch_all(pool)
        .await?)
}

/// Of what may be edits of `parent` those that stand before `before`, the last first, so many at most.
pub async fn edits_before(
    pool: &PgPool,
    parent: Parent<'_>,
    replace: Sym,
    before: i64,
    limit: i64,
) -> Result<Vec<EventNr>> {
    let sql = "select r.nr
                 from (select nr, ord, type from relation
                        where target = $1 and rel_type = $2 and room = $3 and sender = $4 and type = $5 and ord < $6
                        order by ord desc limit $8) r
                 join event_json j on j.nr = r.nr
                where r.type = $9 or position('\"m.new_content\":{' in j.json) > 0
                order by r.ord desc limit $7";
    Ok(sqlx::query_scalar(sql)
        .bind(parent.id)
        .bind(replace)
        .bind(parent.room)
        .bind(parent.sender)
        .bind(parent.kind)
        .bind(before)
        .bind(limit)
        .bind(PASSED)
        .bind(Sym::ENCRYPTED)
        .fetch_all(pool)
        .await?)
}

/// Which children of an event are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub room: RoomNr,
    pub target: &'a str,
    pub rel_type: Option<Sym>,
    pub kind: Option<Sym>,
    /// Children's children too, so many generations in all.
    pub depth: i32,
}

/// Up to `limit` children with `low <= ord < high`, the last first where `backwards`: their numbers and places.
pub async fn children(
    pool: &PgPool,
    wanted: &Wanted<'_>,
    (low, high): (i64, i64),
    backwards: bool,
    limit: i64,
) -> Result<Vec<(EventNr, i64)>> {
    let sql = match (wanted.depth, backwards) {
        (..=1, true) => {
            "select nr, ord from relation
              where room = $1 and target = $2 and ($3::integer is null or rel_type = $3)
                and ($4::integer is null or type = $4) and ord >= $5 and ord < $6
              order by ord desc limit $7"
        }
        (..=1, false) => {
            "select nr, ord from relation
              where room = $1 and target = $2 and ($3::integer is null or rel_type = $3)
                and ($4::integer is null or type = $4) and ord >= $5 and ord < $6
              order by ord limit $7"
        }
        // All of the tree is read and sorted anyway.
        (..) => {
            "with recursive tree as (
                 select nr, rel_type, type, ord, 1 as depth from relation where room = $1 and target = $2
                 union all
                 select r.nr, r.rel_type, r.type, r.ord, t.depth + 1
                   from tree t join event e on e.nr = t.nr join relation r on r.target = e.id and r.room = $1
                  where t.depth < $8)
             select nr, ord from tree
              where ($3::integer is null or rel_type = $3) and ($4::integer is null or type = $4)
                and ord >= $5 and ord < $6
              group by nr, ord order by case when $9 then -ord else ord end limit $7"
        }
    };
    let mut query = sqlx::query_as(sql).bind(wanted.room).bind(wanted.target).bind(wanted.rel_type).bind(wanted.kind);
    query = query.bind(low).bind(high).bind(limit);
    if wanted.depth > 1 {
        query = query.bind(wanted.depth).bind(backwards);
    }
    Ok(query.fetch_all(pool).await?)
}

/// The events of `sender` that relate to `target` so.
pub async fn of_sender(
    pool: &PgPool,
    room: RoomNr,
    target: &str,
    rel_type: Sym,
    sender: UserNr,
) -> Result<Vec<EventNr>> {
    let sql = "select nr from relation where target = $1 and rel_type = $2 and room = $3 and sender = $4";
    Ok(sqlx::query_scalar(sql).bind(target).bind(rel_type).bind(room).bind(sender).fetch_all(pool).await?)
}

/// Those of `targets` to which somebody relates so: one of `senders` and by one of `rel_types`, where these are given.
pub async fn related_by(
    pool: &PgPool,
    targets: &[&str],
    rel_types: Option<&[Sym]>,
    senders: Option<&[UserNr]>,
) -> Result<Vec<String>> {
    let sql = "select t.id from unnest($1::text[]) as t (id)
                where exists (select from relation r where r.target = t.id
                                 and ($2::integer[] is null or r.rel_type = any($2))
                                 and ($3::integer[] is null or r.sender = any($3)))";
    Ok(sqlx::query_scalar(sql).bind(targets).bind(rel_types).bind(senders).fetch_all(pool).await?)
}

/// Up to `limit` threads of the room, the latest first, as they stood when `until` was the room's last place: of each the root
/// and the place of its last answer by then, which is before `before`.
pub async fn threads(
    pool: &PgPool,
    room: RoomNr,
    thread: Sym,
    (before, until): (i64, i64),
    limit: i64,
) -> Result<Vec<(String, i64)>> {
    let sql = "(select root, last_ord as ord from thread_answer
                 where room = $1 and last_ord < $2 and last_ord <= $3 order by last_ord desc limit $4)
               union all
               select t.root, r.ord
                 from thread_answer t cross join lateral (
                      select max(ord) as ord from relation
                       where target = t.root and rel_type = $5 and room = $1 and ord <= $3) r
                where t.room = $1 and t.last_ord > $3 and r.ord < $2
               order by ord desc limit $4";
    Ok(sqlx::query_as(sql).bind(room).bind(before).bind(until).bind(limit).bind(thread).fetch_all(pool).await?)
}
