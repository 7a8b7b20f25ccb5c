//! The words of events. Filled behind the log, in its order: the cursor says how far.

use std::collections::HashSet;

use sqlx::PgPool;

use super::{EventNr, Pos, Result, RoomNr, Sym, UserNr};

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

/// An event that holds what is looked for.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Holding {
    pub nr: EventNr,
    pub room: RoomNr,
    pub pos: Pos,
    pub kind: Sym,
    pub sender: UserNr,
    pub rank: f32,
    pub redacted: bool,
}

/// Stretches of the log by which entries are found: the width of each kind, in positions, and its sign. The index merges all
/// keys of a question for each entry that it meets, so that few wide ones are far cheaper than many narrow ones.
const STRETCHES: [(i64, char); 4] = [(1 << 22, '^'), (1 << 19, '>'), (1 << 16, '='), (NARROW, '<')];

/// The width of the narrowest stretch.
pub const NARROW: i64 = 1 << 13;
/// How many of one kind make up one of the next wider kind.
pub const WIDER: i64 = 8;
/// Of a few rooms the index says which entries are theirs; of more, whoever asks.
pub const FEW_ROOMS: usize = 8;

/// Up to `most` of the events that hold all `words` (letters and digits in lower case), in one of `rooms` (in any room, where
/// more than [`FEW_ROOMS`] are named) and between two positions of the log, multiples of [`NARROW`]. In no order.
pub async fn holding(
    pool: &PgPool,
    words: &[String],
    rooms: &HashSet<RoomNr>,
    (from, to): (i64, i64),
    most: i64,
) -> Result<Vec<Holding>> {
    let sql = "select nr, room, pos, kind, sender, rank, redacted from holding_v1($1, $2, $3)";
    let words = all_of(words);
    Ok(sqlx::query_as(sql)
        .bind(format!("{words} & ({}){}", stretches(from, to), of_rooms(rooms)))
        .bind(words)
        .bind(most)
        .fetch_all(pool)
        .await?)
}

fn all_of(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" & ")
}

fn of_rooms(rooms: &HashSet<RoomNr>) -> String {
    if rooms.len() > FEW_ROOMS {
        return String::new();
    }
    let rooms: Vec<String> = rooms.iter().map(|room| format!("'#{}'", room.0)).collect();
    format!(" & ({})", rooms.join(" | "))
}

/// The fewest stretches that make up `from..to`.
fn stretches(from: i64, to: i64) -> String {
    let (mut at, mut keys) = (from, Vec::new());
    while at < to {
        let widest = STRETCHES.iter().find(|(width, _)| at % width == 0 && at + width <= to);
        let (width, sign) = widest.unwrap_or(&STRETCHES[3]);
        keys.push(format!("'{sign}{}'", at / width));
        at += width;
    }
    keys.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_name_the_fewest_stretches() {
        assert_eq!(stretches(0, NARROW), "'<0'");
        assert_eq!(stretches(7 * NARROW, 17 * NARROW), "'<7' | '=1' | '<16'");
        assert_eq!(stretches(1 << 19, 3 << 22), "'>1' | '>2' | '>3' | '>4' | '>5' | '>6' | '>7' | '^1' | '^2'");
        assert_eq!(all_of(&["a".to_owned(), "é1".to_owned()]), "'a' & 'é1'");
        assert_eq!(of_rooms(&HashSet::from([RoomNr(7)])), " & ('#7')");
        assert_eq!(of_rooms(&(0..9).map(RoomNr).collect()), "");
    }
}
