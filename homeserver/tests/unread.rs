//! Counting what is unread, in a large room and against a real PostgreSQL.

mod common;
mod node;

use std::time::Duration;

use futures::{StreamExt as _, stream};
use roost::bell::Bell;

use common::Bench;

/// Transactions begun so far, and rows written.
async fn work(bench: &Bench) -> (i64, i64) {
    // The statistics of a connection are there when it has rested for ten seconds.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let sql = "select (xact_commit + xact_rollback)::int8, (tup_inserted + tup_updated)::int8
                 from pg_stat_database where datname = 'roost'";
    sqlx::query_as(sql).fetch_one(&bench.pool()).await.expect("statistics")
}

const MEMBERS: usize = 5_000;
const MESSAGES: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_five_thousand_members_costs_no_query_and_no_row_each() {
    let bench = Bench::new().await;
    for sql in ["alter system set autovacuum = off", "select pg_reload_conf()"] {
        sqlx::query(sql).execute(&bench.pool()).await.expect(sql);
    }
    let node = bench.node(Bell::alone()).await;
    let owner = node.user("owner").await;
    let room = node.public_room(&owner).await;
    let mut members = Vec::with_capacity(MEMBERS);
    for n in 0..MEMBERS {
        members.push(node.user(&format!("user{n}")).await);
    }
    stream::iter(&members)
        .for_each_concurrent(64, |user| async { node.join(user, &room).await.expect("joined") })
        .await;
    node.say(&owner, &room, "warm").await.expect("sent");
    let nr = node.rooms.find(&room).await.expect("read").expect("room").nr;
    let reader = &members[17];
    node.rooms.counts(reader.user, &[nr]).await.expect("counts");

    let before = work(&bench).await;
    for n in 0..MESSAGES {
        node.say(&owner, &room, &format!("{n}")).await.expect("sent");
        let unread = node.rooms.counts(reader.user, &[nr]).await.expect("counts");
        assert_eq!(unread[&nr].main.notify, n as u64 + 2);
    }
    let after = work(&bench).await;
    let (transactions, rows) = (after.0 - before.0, after.1 - before.1);
    println!("{MESSAGES} messages to {MEMBERS} members: {transactions} transactions, {rows} rows written");
    assert!(transactions <= MESSAGES as i64 * 2, "{transactions} transactions");
    assert!(rows <= MESSAGES as i64 * 8, "{rows} rows");
    // Another node, which remembers nothing, counts the same from the rows.
    let other = bench.node(Bell::alone()).await;
    assert!(other.log.watermark() >= node.log.watermark());
    let unread = other.rooms.counts(reader.user, &[nr]).await.expect("counts");
    assert_eq!(unread[&nr].main.notify, MESSAGES as u64 + 1);
}
