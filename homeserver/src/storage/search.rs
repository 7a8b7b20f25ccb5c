//! The words of events. Filled behind the log, in its order: the cursor says how far.

use std::collections::HashSet;

use sqlx::{PgPool, Postgres, Transaction};

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

/// A step of the intake under way. Of all nodes one takes a step at a time: the cursor is locked until the step ends.
#[derive(Debug)]
pub struct Step {
    transaction: Transaction<'static, Postgres>,
    /// How far the words of the log were taken in before.
    pub reached: Pos,
}

/// So long a node waits for another one's step.
const LOCK_PATIENCE: &str = "set local lock_timeout = '2s'";

/// Begins a step. `None`: another node is at one, and `wait` was not asked for.
pub async fn begin(pool: &PgPool, wait: bool) -> Result<Option<Step>> {
    let mut transaction = pool.begin().await?;
    let sql = if wait {
        sqlx::query(LOCK_PATIENCE).execute(&mut *transaction).await?;
        "select pos from search_cursor where only_row for update"
    } else {
        "select pos from search_cursor where only_row for update skip locked"
    };
    let reached: Option<Pos> = sqlx::query_scalar(sql).fetch_optional(&mut *transaction).await?;
    Ok(reached.map(|reached| Step { transaction, reached }))
}

impl Step {
    /// The messages, names and topics of the next commits up to `until`, and how far they reach: commits of `positions` at
    /// most, or one that is larger.
    pub async fn next(&mut self, until: Pos, positions: i64) -> Result<(Pos, Vec<Text>)> {
        let sql = "select coalesce(
                          (select last from slice where last > $1 and last <= least($2, $1 + $3) order by last desc limit 1),
                          (select last from slice where last > $1 and last <= $2 order by last limit 1), $2)";
        let conn = &mut *self.transaction;
        let end: Pos =
            sqlx::query_scalar(sql).bind(self.reached).bind(until).bind(positions).fetch_one(&mut *conn).await?;
        let sql = "select nr, room, pos, ord, sender, kind, json from said_v1($1, $2)";
        Ok((end, sqlx::query_as(sql).bind(self.reached).bind(end).fetch_all(conn).await?))
    }

    /// Takes in events, each with its words, and moves the cursor to `to`.
    pub async fn take_in(mut self, to: Pos, texts: &[(Text, String)]) -> Result<()> {
        let sql = "with moved as (update search_cursor set pos = $1 where only_row)
                   insert into search (nr, room, pos, ord, sender, type, words)
                   select u.nr, u.room, u.pos, u.ord, u.sender, u.type, array_to_tsvector(string_to_array(u.words, ' '))
                     from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::integer[],
                                 $8::text[]) as u (nr, room, pos, ord, sender, type, words)
                   on conflict (nr) do nothing";
        sqlx::query(sql)
            .bind(to)
            .bind(texts.iter().map(|(t, _)| t.nr).collect::<Vec<_>>())
            .bind(texts.iter().map(|(t, _)| t.room).collect::<Vec<_>>())
            .bind(texts.iter().map(|(t, _)| t.pos).collect::<Vec<_>>())
            .bind(texts.iter().map(|(t, _)| t.ord).collect::<Vec<_>>())
            .bind(texts.iter().map(|(t, _)| t.sender).collect::<Vec<_>>())
            .bind(texts.iter().map(|(t, _)| t.kind).collect::<Vec<_>>())
            .bind(texts.iter().map(|(_, words)| words.as_str()).collect::<Vec<_>>())
            .execute(&mut *self.transaction)
            .await?;
        Ok(self.transaction.commit().await?)
    }
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
