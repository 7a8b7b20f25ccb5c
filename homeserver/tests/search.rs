//! What a search costs, whatever others have said.

mod common;
mod node;

use std::time::{Duration, Instant};

use common::Bench;
use roost::{
    bell::Bell,
    rooms::{
        filter::EventFilter,
        search_page::{SearchAsk, SearchPage},
    },
    storage::{Sym, UserNr},
};

impl node::Node {
    async fn search(&self, user: UserNr, by_rank: bool) -> SearchPage {
        let filter = EventFilter::default();
        let ask = SearchAsk {
            term: "Hello",
            kinds: &[Sym::MESSAGE],
            filter: &filter,
            by_rank,
            grouped: false,
            from: None,
            limit: 10,
        };
        self.rooms.search(user, &ask).await.expect("found")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_all_others_say_costs_no_more_than_a_rare_one() {
    let bench = Bench::new().await;
    let node = bench.node(Bell::alone()).await;
    let (alice, bob) = (node.user("alice").await, node.user("bob").await);
    let room = node.public_room(&alice).await;
    node.join(&bob, &room).await.expect("joined");
    for txn in ["1", "2", "3"] {
        node.say(&alice, &room, txn).await.expect("said");
    }
    assert_eq!(node.search(alice.user, true).await.hits.len(), 3);

    // Fifty other rooms speak of nothing else, in the same stretch of the log.
    assert!(node.log.watermark().0 < 8000);
    let pool = bench.pool();
    let others = "insert into search (nr, room, pos, ord, sender, type, words)
                  select -n, n % 50, 1 + n % 8000, n, 1, 17, array_to_tsvector(array['hello'])
                    from generate_series(1, 100000) n";
    sqlx::query(others).execute(&pool).await.expect("others");
    sqlx::query("vacuum analyze search").execute(&pool).await.expect("figures");
    let read = async || {
        let sql = "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables where relname = 'search'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.expect("figures")
    };
    // What was read before is told a second later at most.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = read().await;
    for (user, by_rank) in [(alice.user, true), (bob.user, false)] {
        let page = node.search(user, by_rank).await;
        assert_eq!((page.hits.len(), page.count, page.next), (3, 3, None));
    }
    let begun = Instant::now();
    while read().await - before < 6 && begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let rows = read().await - before;
    assert!((6..1000).contains(&rows), "{rows} rows were read for six results");
}
