//! The words of events. Filled behind the log, in its order: the cursor says how far.

use sqlx::{Arguments, PgPool, postgres::PgArguments};

use super::{EventNr, Pos, Result, RoomNr, Sym, UserNr, event::Sieve};

/// An event whose words are to be taken in.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Text {
    pub nr: EventNr,
    pub room: RoomNr,
    pub pos: Pos,
    pub ord: i64,
    pub sender: UserNr,
    pub kind: Sym,
    pub json: String,
}

/// How far the words of the log are taken in.
pub async fn cursor(pool: &PgPool) -> Result<Pos> {
    Ok(sqlx::query_scalar("select pos from search_cursor where only_row").fetch_one(pool).await?)
}

/// The messages, names and topics of the next commits after `after` and up to `until`, and how far they reach. `slices`
/// commits are looked at.
pub async fn next(pool: &PgPool, after: Pos, until: Pos, slices: i64) -> Result<(Pos, Vec<Text>)> {
    let sql = "select max(last) from (select last from slice where last > $1 and last <= $2 order by last limit $3) s";
    let end: Option<Pos> = sqlx::query_scalar(sql).bind(after).bind(until).bind(slices).fetch_one(pool).await?;
    let Some(end) = end else { return Ok((until, Vec::new())) };
    let sql = "select e.nr, e.room, e.pos, e.ord, e.sender, e.type as kind, j.json
                 from slice s cross join lateral unnest(s.rooms) as t (room)
                 join event e on e.room = t.room and e.pos between s.first and s.last
                 join event_json j on j.nr = e.nr
                where s.last > $1 and s.last <= $2 and e.type in (8, 11, 17) and e.ord is not null
                  and not exists (select from redaction d where d.target = e.nr)";
    Ok((end, sqlx::query_as(sql).bind(after).bind(end).fetch_all(pool).await?))
}

/// Takes in events, each with its words, and moves the cursor from `from` to `to`. Does nothing where another node has
/// moved it meanwhile.
pub async fn take_in(pool: &PgPool, from: Pos, to: Pos, texts: &[(Text, String)]) -> Result<()> {
    let sql = "with moved as (update search_cursor set pos = $2 where only_row and pos = $1 returning 1)
               insert into search (nr, room, pos, ord, sender, type, words)
               select u.nr, u.room, u.pos, u.ord, u.sender, u.type, array_to_tsvector(string_to_array(u.words, ' '))
                 from moved cross join unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::integer[],
                                              $8::integer[], $9::text[]) as u (nr, room, pos, ord, sender, type, words)
               on conflict (nr) do nothing";
    sqlx::query(sql)
        .bind(from)
        .bind(to)
        .bind(texts.iter().map(|(t, _)| t.nr).collect::<Vec<_>>())
        .bind(texts.iter().map(|(t, _)| t.room).collect::<Vec<_>>())
        .bind(texts.iter().map(|(t, _)| t.pos).collect::<Vec<_>>())
        .bind(texts.iter().map(|(t, _)| t.ord).collect::<Vec<_>>())
        .bind(texts.iter().map(|(t, _)| t.sender).collect::<Vec<_>>())
        .bind(texts.iter().map(|(t, _)| t.kind).collect::<Vec<_>>())
        .bind(texts.iter().map(|(_, words)| words.as_str()).collect::<Vec<_>>())
        .execute(pool)
        .await?;
    Ok(())
}

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// All of them occur; letters and digits in lower case.
    pub words: &'a [String],
    /// In these rooms, each from some place of its history on.
    pub rooms: &'a [(RoomNr, i64)],
    pub kinds: &'a [Sym],
    pub sieve: &'a Sieve,
    pub until: Pos,
}

/// How many events fit.
pub async fn count(pool: &PgPool, query: &Query<'_>) -> Result<i64> {
    let sql = "select count(*) from unnest($2::bigint[], $3::bigint[]) as r (room, first)
                 join search s on s.room = r.room and s.ord >= r.first
                where s.words @@ $1::tsquery and s.type = any($4) and s.pos <= $5
                  and ($6::integer[] is null or s.type = any($6)) and s.type <> all($7)
                  and ($8::integer[] is null or s.sender = any($8)) and s.sender <> all($9)
                  and not exists (select from redaction d where d.target = s.nr)";
    Ok(sqlx::query_scalar_with(sql, query.arguments()?).fetch_one(pool).await?)
}

/// Some of the events that fit, the best or the newest first, with their ranks.
pub async fn find(
    pool: &PgPool,
    query: &Query<'_>,
    by_rank: bool,
    skip: i64,
    limit: i64,
) -> Result<Vec<(EventNr, f32)>> {
    let sql = "select s.nr, ts_rank(s.words, $1::tsquery) as rank
                 from unnest($2::bigint[], $3::bigint[]) as r (room, first)
                 join search s on s.room = r.room and s.ord >= r.first
                where s.words @@ $1::tsquery and s.type = any($4) and s.pos <= $5
                  and ($6::integer[] is null or s.type = any($6)) and s.type <> all($7)
                  and ($8::integer[] is null or s.sender = any($8)) and s.sender <> all($9)
                  and not exists (select from redaction d where d.target = s.nr)
                order by case when $10 then ts_rank(s.words, $1::tsquery) end desc, s.pos desc offset $11 limit $12";
    let mut arguments = query.arguments()?;
    for added in [arguments.add(by_rank), arguments.add(skip), arguments.add(limit)] {
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(sqlx::query_as_with(sql, arguments).fetch_all(pool).await?)
}

impl Query<'_> {
    fn arguments(&self) -> Result<PgArguments> {
        let words: Vec<String> = self.words.iter().map(|word| format!("'{word}'")).collect();
        let mut arguments = PgArguments::default();
        for added in [
            arguments.add(words.join(" & ")),
            arguments.add(self.rooms.iter().map(|(room, _)| *room).collect::<Vec<_>>()),
            arguments.add(self.rooms.iter().map(|(_, first)| *first).collect::<Vec<_>>()),
            arguments.add(self.kinds),
            arguments.add(self.until),
            arguments.add(self.sieve.kinds.as_deref()),
            arguments.add(self.sieve.not_kinds.as_slice()),
            arguments.add(self.sieve.senders.as_deref()),
            arguments.add(self.sieve.not_senders.as_slice()),
        ] {
            added.map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }
}
