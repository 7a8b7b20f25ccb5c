//! The log against a real PostgreSQL: what one commit promises to two nodes that share a database.

mod common;
#[path = "log/sustained.rs"]
mod sustained;

use std::{sync::Arc, time::Duration};

use roost::{
    bell::Bell,
    log::{Log, Submitted, Writes},
    storage::{
        self, DeviceNr, EventNr, FrameNr, Pos, RoomNr, Sym,
        commit::{
            self, AccountDataWrite, Batch, EventWrite, FrameWrite, NewRoom, Outcome, RoomWrite, ToDeviceWrite, Txn,
            TxnKey,
        },
    },
};
use sqlx::ConnectOptions;

use common::Bench;

const SOON: Duration = Duration::from_secs(5);

impl Bench {
    async fn node(&self) -> Log {
        self.log(Bell::alone(), vec![]).await.0
    }

    async fn room(&self, log: &Log) -> (RoomNr, EventNr, FrameNr) {
        let mut numbers = log.numbers(3).await.expect("numbers");
        let (room, nr, frame) =
            (numbers.room().expect("room"), numbers.event().expect("event"), numbers.frame().expect("frame"));
        let mut write = message(room, EventNr(0), FrameNr(0), nr);
        write.new = Some(NewRoom { id: format!("!{}", room.0).into(), version: "12".into(), public: false });
        change_state(&mut write, frame);
        stored(submit(log, write).await);
        (room, nr, frame)
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool()).await.expect(sql)
    }
}

fn message(room: RoomNr, built_on: EventNr, frame: FrameNr, nr: EventNr) -> RoomWrite {
    let event = EventWrite {
        nr,
        id: format!("${}", nr.0).into(),
        kind: Sym(17),
        sender: Sym(1000),
        state_key: None,
        ts: 0,
        depth: 1,
        frame,
        replaces: None,
        flags: 0,
        json: "{}".into(),
        new_frame: None,
        membership: None,
        txn: None,
        redacts: None,
        noted: Default::default(),
        relates: None,
    };
    RoomWrite {
        room,
        new: None,
        built_on,
        built_frame: frame,
        consumed: vec![built_on],
        hold: false,
        events: vec![event],
    }
}

fn change_state(write: &mut RoomWrite, frame: FrameNr) {
    let event = &mut write.events[0];
    event.state_key = Some(Sym::EMPTY);
    event.frame = frame;
    event.new_frame = Some(FrameWrite { nr: frame, n: 1, base: FrameNr(0), delta: vec![] });
}

async fn submit(log: &Log, write: RoomWrite) -> Submitted {
    log.submit(write).expect("queued").outcome().await.expect("answered")
}

fn stored(submitted: Submitted) -> Pos {
    match submitted {
        Submitted::Stored { pos, .. } => pos,
        other => panic!("not stored: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_change_lands_on_the_exact_tail_or_not_at_all() {
    let bench = Bench::new().await;
    let log = bench.node().await;
    let (room, tail, frame) = bench.room(&log).await;
    let mut numbers = log.numbers(6).await.expect("numbers");
    let mut event = || numbers.event().expect("number");

    let first = message(room, tail, frame, event());
    stored(submit(&log, first).await);
    // A message on the older tail lands beside it; a state change there is refused.
    let beside = submit(&log, message(room, tail, frame, event())).await;
    assert!(matches!(beside, Submitted::Stored { beside: true, .. }), "{beside:?}");
    let mut stale = message(room, tail, frame, event());
    change_state(&mut stale, FrameNr(event().0));
    assert!(matches!(submit(&log, stale).await, Submitted::Stale));
    // A message built on another state is refused too.
    let elsewhere = message(room, tail, FrameNr(event().0), event());
    assert!(matches!(submit(&log, elsewhere).await, Submitted::Stale));

    let extremities: Vec<i64> = sqlx::query_scalar("select extremities from room_head where room = $1")
        .bind(room)
        .fetch_one(&bench.pool())
        .await
        .expect("head");
    assert_eq!(extremities.len(), 2, "both messages are extremities, and the creation is none");
    assert_eq!(bench.count("select count(*) from event").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_creates_one_event_whichever_node_it_reaches() {
    let bench = Bench::new().await;
    let (one, two) = (bench.node().await, bench.node().await);
    let (room, tail, frame) = bench.room(&one).await;
    let key = TxnKey::new(DeviceNr(1), &["send", "t1"]);
    let mut write = message(room, tail, frame, one.numbers(1).await.expect("n").event().expect("n"));
    write.events[0].txn = Some(Txn { key, id: "t1".into() });
    let id = Arc::clone(&write.events[0].id);
    let new_tail = write.events[0].nr;
    stored(submit(&one, write).await);

    let mut again = message(room, new_tail, frame, two.numbers(1).await.expect("n").event().expect("n"));
    again.events[0].txn = Some(Txn { key, id: "t1".into() });
    match submit(&two, again).await {
        Submitted::Known(known) => assert_eq!(known, id),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.count("select count(*) from event").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resubmitted_batch_gets_its_first_outcome() {
    let bench = Bench::new().await;
    let mut conn = bench.connect.connect().await.expect("connection");
    let data = AccountDataWrite { user: Sym(1), room: RoomNr(0), kind: "m.x".into(), json: "{}".into() };
    let batch = Batch { account_data: vec![data], ..Batch::default() };
    let first = commit::call(&mut conn, 7, 1, 0, &batch).await.expect("commit");
    let again = commit::call(&mut conn, 7, 1, 0, &batch).await.expect("commit");
    assert_eq!((first.first, first.last), (again.first, again.last));
    assert_eq!(bench.count("select count(*) from slice").await, 1);
    assert_eq!(bench.count("select last from slice").await, first.last.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_room_leaves_its_neighbours_alone() {
    let bench = Bench::new().await;
    let log = bench.node().await;
    let (one, tail, frame) = bench.room(&log).await;
    let (two, other_tail, other_frame) = bench.room(&log).await;
    let mut numbers = log.numbers(2).await.expect("numbers");
    let good = message(one, tail, frame, numbers.event().expect("n"));
    let stale = message(two, other_tail, FrameNr(other_frame.0 + 1), numbers.event().expect("n"));
    let stale = RoomWrite { built_on: EventNr(1), ..stale };
    let batch = Batch { rooms: vec![good, stale], ..Batch::default() };
    let mut conn = bench.connect.connect().await.expect("connection");
    let answer = commit::call(&mut conn, 9, 1, 0, &batch).await.expect("commit");
    assert_eq!(answer.outcomes, [Outcome::Stored, Outcome::Stale]);
    assert_eq!(bench.count("select count(*) from event").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn send_to_device_is_queued_once_and_both_nodes_see_it() {
    let bench = Bench::new().await;
    let (one, two) = (bench.node().await, bench.node().await);
    let rooms = Arc::from(vec![]);
    let watch = two.watch(Sym(5), &rooms);
    let txn = Some(TxnKey::new(DeviceNr(1), &["to-device", "t"]));
    let message = (Sym(5), DeviceNr(2), Arc::from("{}"));
    let writes =
        || Writes { to_device: vec![ToDeviceWrite { txn, messages: vec![message.clone()] }], ..Writes::default() };
    let pos = one.write(writes()).await.expect("written");
    one.write(writes()).await.expect("repeated");
    assert_eq!(bench.count("select count(*) from to_device").await, 1);

    // Without a bell between them, the second node finds it when it has to answer.
    two.reach(pos).await.expect("reach");
    assert!(two.watermark() >= pos);
    tokio::time::timeout(Duration::from_secs(1), watch.touched()).await.expect("the recipient is woken");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_get_positions_without_gaps() {
    let bench = Bench::new().await;
    let (one, two) = (bench.node().await, bench.node().await);
    let (room, mut tail, frame) = bench.room(&one).await;
    let mut pending = Vec::new();
    for n in 0..300 {
        let nr = one.numbers(1).await.expect("n").event().expect("n");
        pending.push(one.submit(message(room, tail, frame, nr)).expect("queued"));
        tail = nr;
        let data = AccountDataWrite { user: Sym(n), room: RoomNr(0), kind: "m.x".into(), json: "{}".into() };
        two.write(Writes { account_data: vec![data], ..Writes::default() }).await.expect("written");
    }
    for p in pending {
        stored(p.outcome().await.expect("answered"));
    }
    assert_eq!(bench.count("select count(*) from event").await, 301);
    let gaps = "select count(*) from (select first, lag(last) over (order by last) as before from slice) s
                 where before is not null and first <> before + 1";
    assert_eq!(bench.count(gaps).await, 0);
    let last = bench.count("select max(last) from slice").await;
    for log in [&one, &two] {
        log.reach(Pos(last)).await.expect("reach");
        assert_eq!(log.watermark(), Pos(last));
    }
    let out_of_order = "select count(*) from (select pos, lag(pos) over (order by ord) as before from event) e
                         where before is not null and pos <= before";
    assert_eq!(bench.count(out_of_order).await, 0, "a chain's order of history is its order of sync");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_twin_is_stored_is_to_be_built_anew() {
    let bench = Bench::new().await;
    let log = bench.node().await;
    let (room, tail, frame) = bench.room(&log).await;
    let mut numbers = log.numbers(2).await.expect("numbers");
    let (first, second) = (numbers.event().expect("event"), numbers.event().expect("event"));
    let write = message(room, tail, frame, first);
    let id = write.events[0].id.clone();
    stored(submit(&log, write).await);

    let mut twin = message(room, first, frame, second);
    twin.events[0].id = id;
    assert!(matches!(submit(&log, twin).await, Submitted::Stale));

    stored(submit(&log, message(room, first, frame, second)).await);
    assert_eq!(bench.count("select count(*) from event").await, 3);
}

/// Writes something, so that there is a slice more.
async fn write(log: &Log) -> Pos {
    let data = AccountDataWrite { user: Sym(1), room: RoomNr(0), kind: "m.x".into(), json: "{}".into() };
    log.write(Writes { account_data: vec![data], ..Writes::default() }).await.expect("written")
}

async fn execute(bench: &Bench, sql: &'static str) {
    sqlx::query(sql).execute(&bench.pool()).await.expect(sql);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_slices_go_unless_somebody_has_yet_to_read_them() {
    let bench = Bench::new().await;
    let (log, asleep) = (bench.node().await, bench.node().await);
    write(&log).await;
    asleep.reach(Pos(1)).await.expect("reach");
    for _ in 0..9 {
        write(&log).await;
    }
    let slices = "select count(*) from slice";
    let prune = async || storage::slice::prune(&bench.pool(), 1_000).await.expect("pruned");
    assert_eq!((prune().await, bench.count(slices).await), (0, 10), "nothing is old");
    execute(&bench, "update slice set ts = 0").await;
    assert_eq!(prune().await, 0, "their words are not taken in");
    execute(&bench, "update search_cursor set pos = 1000").await;
    execute(&bench, "insert into push_cursor (writer, pos) select writer, 6 from slice limit 1").await;
    assert_eq!((prune().await, bench.count("select min(last) from slice").await), (6, 7), "the rest is not pushed");
    execute(&bench, "delete from push_cursor").await;
    assert_eq!((prune().await, bench.count(slices).await), (3, 1), "the newest stays");

    // A node that knows where the log stands goes on; one that slept through it does not pretend to have seen all.
    let last = write(&log).await;
    assert_eq!((log.watermark(), last), (Pos(11), Pos(11)));
    assert!(asleep.reach(last).await.is_err());
    tokio::time::timeout(SOON, asleep.turned()).await.expect("it begins anew");
    let standing = asleep.standing();
    let mut conn = bench.connect.connect().await.expect("connection");
    let (stands, _) = storage::generation::stand(&mut conn, Some(standing)).await.expect("stand");
    assert_eq!((stands.newest, stands.generation), (Pos(11), 1), "nothing is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_goes_back_begins_a_generation() {
    let bench = Bench::new().await;
    let (log, other) = (bench.node().await, bench.node().await);
    for _ in 0..10 {
        write(&log).await;
    }
    other.reach(Pos(10)).await.expect("reach");
    // As a disk that was set back, without a word from PostgreSQL.
    execute(&bench, "delete from slice where last > 4").await;
    execute(&bench, "insert into one_time_key (device, algorithm, key_id, json) values (1, 'a', 'b', '{}')").await;
    assert!(log.reach(Pos(i64::MAX)).await.is_err());
    tokio::time::timeout(SOON, log.turned()).await.expect("it begins anew");
    assert!(log.write(Writes::default()).await.is_err(), "nothing is built on what is gone");

    let mut conn = bench.connect.connect().await.expect("connection");
    let (stands, _) = storage::generation::stand(&mut conn, Some(log.standing())).await.expect("stand");
    assert_eq!(stands.newest, Pos(4));
    assert!(stands.generation > 1);
    assert_eq!(bench.count("select count(*) from one_time_key").await, 0, "they may have been given out");
    let ends = async |generation| storage::generation::end(&bench.pool(), generation).await.expect("end");
    assert_eq!((ends(1).await, ends(stands.generation).await), (Some(Pos(4)), None));
    // Whoever comes second finds it begun; new keys stay.
    execute(&bench, "insert into one_time_key (device, algorithm, key_id, json) values (1, 'a', 'b', '{}')").await;
    let (again, _) = storage::generation::stand(&mut conn, Some(other.standing())).await.expect("stand");
    assert_eq!((again, bench.count("select count(*) from one_time_key").await), (stands, 1));
    let anew = bench.node().await;
    assert_eq!((write(&anew).await, anew.generation()), (Pos(5), stands.generation));
}
