//! A room's head: where its history ends at this moment.

use sqlx::PgPool;

use super::{Error, EventNr, FrameNr, Pos, Result, RoomNr};

/// The head, with what is needed to build on it.
#[derive(Debug, Clone)]
pub struct Head {
    pub tail: EventNr,
    pub frame: FrameNr,
    /// No event of the room has a greater position.
    pub last_pos: Pos,
    /// Never empty.
    pub extremities: Vec<Extremity>,
}

/// An event that no other follows yet.
#[derive(Debug, Clone)]
pub struct Extremity {
    pub nr: EventNr,
    pub id: String,
    pub depth: i64,
    /// The event itself, where another names it by its hash too (room versions 1 and 2).
    pub json: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    tail: EventNr,
    frame: FrameNr,
    last_pos: Pos,
    nr: Option<EventNr>,
    id: Option<String>,
    depth: Option<i64>,
    json: Option<String>,
}

/// The head of `room` in one query. `with_json`: the extremities' text is wanted.
pub async fn load(pool: &PgPool, room: RoomNr, with_json: bool) -> Result<Option<Head>> {
    let sql = "select h.tail, h.frame, h.last_pos, e.nr, e.id, e.depth,
                      case when $2 then (select j.json from event_json j where j.nr = e.nr) end as json
                 from room_head h
                 left join lateral unnest(h.extremities) as x (nr) on true
                 left join event e on e.nr = x.nr
                where h.room = $1";
    let rows: Vec<Row> = sqlx::query_as(sql).bind(room).bind(with_json).fetch_all(pool).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let (tail, frame, last_pos) = (first.tail, first.frame, first.last_pos);
    let extremities: Vec<Extremity> = rows
        .into_iter()
        .filter_map(|r| Some(Extremity { nr: r.nr?, id: r.id?, depth: r.depth?, json: r.json }))
        .collect();
    if extremities.is_empty() {
        return Err(Error::Inconsistent(format!("room {} has no extremities", room.0)));
    }
    Ok(Some(Head { tail, frame, last_pos, extremities }))
}
