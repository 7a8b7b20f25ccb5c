//! Users by the words of their names.

use sqlx::PgPool;

use super::{Result, UserNr};

/// Of more users than these, only some are looked at; each by their name first, and then in each of their rooms until one
/// shows them.
const CANDIDATES: i64 = 500;

/// Up to `limit` local users other than `seeker` whose name has a word that begins with each of `words`, or whose localpart
/// begins with `localpart`; and who share a room with the seeker, or are in one that is listed, that anybody may join, or
/// that is open to the world.
pub async fn find(pool: &PgPool, seeker: UserNr, words: &[String], localpart: &str, limit: i64) -> Result<Vec<UserNr>> {
    let sql = "with found as materialized (
                   (select a.usr from account a where a.localpart like $3 and not a.deactivated
                     order by a.localpart limit $5)
                   union
                   (select w.usr from user_word w join account a on a.usr = w.usr and not a.deactivated
                     where w.word like $2[1]
                       and not exists (select from unnest($2::text[]) as t (word)
                                        where not exists (select from user_word o
                                                           where o.usr = w.usr and o.word like t.word))
                     order by w.word limit $5))
               select f.usr from found f
                cross join lateral (
                      select from member m
                       where m.usr = f.usr and m.membership = 1
                         and (exists (select from member o where o.room = m.room and o.usr = $1 and o.membership = 1)
                              or (select r.public from room r where r.nr = m.room) or is_open_v1(m.room))
                       limit 1) as seen
                where f.usr <> $1 limit $4";
    let words: Vec<String> = words.iter().map(|word| prefix(word)).collect();
    Ok(sqlx::query_scalar(sql)
        .bind(seeker)
        .bind(words)
        .bind(prefix(localpart))
        .bind(limit)
        .bind(CANDIDATES)
        .fetch_all(pool)
        .await?)
}

/// What begins with `text`, as a pattern of LIKE. Nothing begins with nothing.
fn prefix(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut pattern = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if matches!(c, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_themselves() {
        assert_eq!((prefix("a_b%").as_str(), prefix("").as_str()), (r"a\_b\%%", ""));
    }
}
