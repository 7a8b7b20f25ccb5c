//! Counting what is unread, in a large room and against a real PostgreSQL.

mod common;
mod node;

use futures::{StreamExt as _, stream};
use roost::bell::Bell;

use common::Bench;

const MEMBERS: usize = 5_000;
const MESSAGES: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_five_thousand_members_costs_no_query_and_no_row_each() {
    let bench = Bench::new().await;
    let node = bench.node(Bell::alone()).await;
    let owner = node.user("owner").await;
    let room = node.public_room(&owner).await;
    let members: Vec<_> = stream::iter(0..MEMBERS).then(|n| node.user(&format!("user{n}"))).collect::<Vec<_>>().await;
    stream::iter(&members)
        .for_each_concurrent(64, |user| async { node.join(user, &room).await.expect("joined") })
        .await;
    node.say(&owner, &room, "warm").await.expect("sent");
    let nr = node.rooms.find(&room).await.expect("read").expect("room").nr;
    let reader = &members[17];
    node.rooms.counts(reader.user, &[nr]).await.expect("counts");

    let (transactions, rows) = bench.work().await;
    for n in 0..MESSAGES {
        node.say(&owner, &room, &format!("{n}")).await.expect("sent");
        let unread = node.rooms.counts(reader.user, &[nr]).await.expect("counts");
        assert_eq!(unread[&nr].main.notify, n as u64 + 2);
    }
    let (transactions, rows) = (bench.work().await.0 - transactions, bench.work().await.1 - rows);
    println!("{MESSAGES} messages to {MEMBERS} members: {transactions} transactions, {rows} rows written");
    assert!(transactions <= MESSAGES as i64 * 2, "{transactions} transactions");
    assert!(rows <= MESSAGES as i64 * 8, "{rows} rows");
    // Another node, which remembers nothing, counts the same from the rows.
    let other = bench.node(Bell::alone()).await;
    let unread = other.rooms.counts(reader.user, &[nr]).await.expect("counts");
    assert_eq!(unread[&nr].main.notify, MESSAGES as u64 + 1);
}
