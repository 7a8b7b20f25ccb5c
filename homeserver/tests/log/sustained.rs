//! What a commit costs when much was committed before, or while somebody looks at the database as it was; and an older
//! node's commits beside ours.

use std::time::{Duration, Instant};

use roost::storage::{
    EventNr, FrameNr, RoomNr, Sym,
    commit::{self, Batch, EventWrite, NewRoom, Outcome, RoomWrite},
    search,
};
use roost_tests::seed::Seed;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use crate::common::Bench;

/// Rooms that messages go to, each built on its last one.
struct Rooms {
    tails: Vec<i64>,
    next: i64,
    batch: i64,
}

const FRAME: FrameNr = FrameNr(1);

impl Rooms {
    /// Makes `count` rooms, in one commit.
    async fn create(conn: &mut PgConnection, count: i64) -> Self {
        let mut rooms = Self { tails: vec![0; count as usize], next: 1000, batch: 0 };
        let new = |at: usize| Some(NewRoom { id: format!("!{at}").into(), version: "12".into(), public: false });
        let all: Vec<usize> = (0..count as usize).collect();
        let mut batch = rooms.messages(&all);
        for (at, write) in batch.rooms.iter_mut().enumerate() {
            (write.new, write.built_frame, write.consumed) = (new(at), FrameNr(0), vec![]);
        }
        rooms.commit(conn, &batch).await;
        rooms
    }

    /// One message for each of the rooms.
    fn messages(&mut self, rooms: &[usize]) -> Batch {
        let write = |at: &usize| {
            self.next += 1;
            let (tail, nr) = (EventNr(self.tails[*at]), EventNr(self.next));
            self.tails[*at] = nr.0;
            let json = format!(r#"{{"content":{{"body":"word{} again"}}}}"#, nr.0);
            let event = EventWrite {
                nr,
                id: format!("${}", nr.0).into(),
                kind: Sym(17),
                sender: Sym(1000),
                state_key: None,
                ts: 0,
                depth: 1,
                frame: FRAME,
                replaces: None,
                flags: 0,
                json: json.into(),
                new_frame: None,
                membership: None,
                txn: None,
                redacts: None,
                noted: Default::default(),
                relates: None,
            };
            let room = RoomNr(*at as i64 + 1);
            let (built_on, consumed, events) = (tail, vec![tail], vec![event]);
            RoomWrite { room, new: None, built_on, built_frame: FRAME, consumed, hold: false, events }
        };
        Batch { rooms: rooms.iter().map(write).collect(), ..Batch::default() }
    }

    async fn commit(&mut self, conn: &mut PgConnection, batch: &Batch) -> Duration {
        self.batch += 1;
        let begin = Instant::now();
        let answer = commit::call(conn, 1, self.batch, 0, batch).await.expect("commit");
        assert!(answer.outcomes.iter().all(|outcome| *outcome == Outcome::Stored), "{:?}", answer.outcomes);
        begin.elapsed()
    }

    /// The shortest time of `count` commits to the first 20 rooms: what else the machine does makes none shorter.
    async fn pace(&mut self, conn: &mut PgConnection, count: usize) -> Duration {
        let rooms: Vec<usize> = (0..20).collect();
        let mut shortest = Duration::MAX;
        for _ in 0..count {
            let batch = self.messages(&rooms);
            shortest = shortest.min(self.commit(conn, &batch).await);
        }
        shortest
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_costs_the_same_however_long_a_snapshot_is_open() {
    let bench = Bench::new().await;
    let mut conn = bench.connect.connect().await.expect("connection");
    // What a flush takes is the disk's.
    sqlx::query("set synchronous_commit = off").execute(&mut conn).await.expect("set");
    let mut rooms = Rooms::create(&mut conn, 20).await;
    rooms.pace(&mut conn, 100).await;

    let mut backup = bench.connect.connect().await.expect("connection");
    let mut snapshot = backup.begin_with("begin isolation level repeatable read").await.expect("begin");
    sqlx::query("select count(*) from event").execute(&mut *snapshot).await.expect("snapshot");
    let first = rooms.pace(&mut conn, 100).await;
    rooms.pace(&mut conn, 2000).await;
    let last = rooms.pace(&mut conn, 100).await;
    println!("a commit took {first:?} at first, and {last:?} after 2,000 more");
    // With heads and counter updated in place the last took about eight times as long.
    assert!(last < first * 3, "{first:?} at first, {last:?} at last");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_taken_in_by_steps_that_cost_the_same_however_far_behind() {
    const ROOMS: i64 = 400;
    const COMMITS: i64 = 60;
    let bench = Bench::new().await;
    let (pool, mut conn) = (bench.pool(), bench.connect.connect().await.expect("connection"));
    let mut rooms = Rooms::create(&mut conn, ROOMS).await;
    let all: Vec<usize> = (0..ROOMS as usize).collect();
    for _ in 0..COMMITS {
        let batch = rooms.messages(&all);
        rooms.commit(&mut conn, &batch).await;
    }
    let until = roost::storage::slice::newest(&pool).await.expect("newest");
    let (mut found, mut reached) = (0, roost::storage::Pos(0));
    while reached < until {
        let mut step = search::begin(&pool, true).await.expect("begin").expect("a step");
        assert_eq!(step.reached, reached);
        let begin = Instant::now();
        let (end, texts) = step.next(until, 1000).await.expect("next");
        assert!(begin.elapsed() < Duration::from_secs(1), "one step took {:?}", begin.elapsed());
        assert!(end > reached && texts.len() <= 1000, "{} texts up to {}", texts.len(), end.0);
        // Meanwhile nobody else begins one.
        assert!(search::begin(&pool, false).await.expect("asked").is_none());
        found += texts.len();
        let texts: Vec<_> = texts.into_iter().map(|text| (text, "word".to_owned())).collect();
        step.take_in(end, &texts).await.expect("taken in");
        reached = end;
    }
    assert_eq!(found as i64, ROOMS * (COMMITS + 1), "each message once");
    let kept: i64 = sqlx::query_scalar("select count(*) from search").fetch_one(&pool).await.expect("count");
    assert_eq!(kept, ROOMS * (COMMITS + 1));
}

/// As a node of the version before commits one message: what it calls, and the head that it reads.
async fn older_node(
    conn: &mut PgConnection,
    batch: i64,
    room: i64,
    nr: i64,
    txn: &str,
) -> (Vec<i16>, Option<Vec<String>>) {
    let head = sqlx::query("select tail, frame, extremities from room_head where room = $1").bind(room);
    let head = head.fetch_one(&mut *conn).await.expect("head");
    let (tail, frame, extremities): (i64, i64, Vec<i64>) = (head.get(0), head.get(1), head.get(2));
    let sql = "select outcome, known_event_id from commit_v2(2, $1, 0, array[$2], array[null], array[null], array[false],
        array[$3], array[$4], array[false], array[$5], array[$4], array[1], array[0], array[false],
        array_fill(1, array[cardinality($6)]), $6,
        array[1], array[$5], array['$' || $5], array[17], array[1000], array[null::integer], array[0], array[1], array[$4],
        array[null::bigint], array[0]::smallint[], array['{}'], array[7], array[$7], array[0], array[0]::smallint[], array[0],
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
        array[1], array[7], array[sha256(convert_to($7, 'UTF8'))], array['$' || $5], '{}', '{}', '{}', '{}',
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')";
    let row = sqlx::query(sql).bind(batch).bind(room).bind(tail).bind(frame).bind(nr).bind(extremities).bind(txn);
    let row = row.fetch_one(conn).await.expect("commit_v2");
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_node_commits_beside_ours() {
    let bench = Bench::new().await;
    let (pool, mut ours) = (bench.pool(), bench.connect.connect().await.expect("connection"));
    let mut theirs = bench.connect.connect().await.expect("connection");
    let mut rooms = Rooms::create(&mut ours, 3).await;
    let (mut random, mut sent) = (Seed::announced("older node"), 3);
    for n in 0..200 {
        let room = random.below(3);
        if random.below(2) == 0 {
            let batch = rooms.messages(&[room]);
            rooms.commit(&mut ours, &batch).await;
        } else {
            let nr = 1_000_000 + n;
            let (outcome, _) = older_node(&mut theirs, n, room as i64 + 1, nr, &format!("t{n}")).await;
            assert_eq!(outcome, [0]);
            rooms.tails[room] = nr;
            // The same transaction once more: the first event, and nothing written.
            let (outcome, known) =
                older_node(&mut theirs, 1000 + n, room as i64 + 1, nr + 500_000, &format!("t{n}")).await;
            assert_eq!((outcome, known), (vec![2], Some(vec![format!("${nr}")])));
        }
        sent += 1;
    }
    let count = async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.expect(sql);
    assert_eq!(count("select count(*) from event").await, sent);
    assert_eq!(count("select max(last) from slice").await, sent);
    assert_eq!(count("select count(distinct pos) from event").await, sent);
    assert_eq!(count("select count(*) from room_head where cardinality(extremities) = 1").await, 3);
    let order =
        "select count(*) from (select pos, lag(pos) over (partition by room order by ord) as before from event) e
                  where pos <= before";
    assert_eq!(count(order).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_functions_before_is_made_again() {
    let bench = Bench::new().await;
    for sql in ["update counter set pos = pos + 1", "insert into room_head (room, tail) values (1, 0)"] {
        let error = sqlx::query(sql).execute(&bench.pool()).await.expect_err(sql);
        let error = roost::storage::Error::from(error);
        assert!(matches!(error, roost::storage::Error::Unavailable(_)), "{error}");
    }
}
