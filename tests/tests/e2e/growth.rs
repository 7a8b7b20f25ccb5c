//! Every table of the database, and what ends its growth. A table that is new has to say so here.

use roost_tests::{shared, turn};
use sqlx::Row;

/// Why a table does not grow without a bound that somebody sees.
#[derive(Debug, Clone, Copy)]
enum End {
    /// One row, or a few that operators make.
    Few,
    /// So many rows or bytes a user or a device: what comes beyond is refused, or takes the place of the oldest.
    Quota,
    /// What is old or spent goes by itself.
    Swept,
    /// It goes with what it belongs to, which is bounded.
    With(&'static str),
    /// What was said in rooms is kept for good; how fast it comes is limited, and the database's size is what operators watch.
    History,
    /// Kept for good, a few rows a user at most, or as many an hour as a limit lets come.
    Limited,
}

use End::{Few, History, Limited, Quota, Swept, With};

const TABLES: &[(&str, End)] = &[
    ("_sqlx_migrations", Few),
    ("account", Limited),
    ("account_data", Quota),
    ("alias", Limited),
    ("claimed_key", Swept),
    ("count_change", History),
    ("counter", Few),
    ("cross_signing_key", With("account")),
    ("device", Quota),
    ("device_change", With("account")),
    ("device_key", With("device")),
    ("event", History),
    ("event_json", History),
    ("event_thread", History),
    ("fallback_key", Quota),
    ("filter", Quota),
    ("frame", History),
    ("generation", Few),
    ("intern", History),
    ("key_backup", Quota),
    ("key_backup_session", Quota),
    ("key_signature", With("device_key")),
    ("login_token", Swept),
    ("media", Quota),
    ("media_folder", Few),
    ("media_pending", Swept),
    ("member", History),
    ("mention", History),
    ("one_time_key", Quota),
    ("openid_token", Swept),
    ("profile", Quota),
    ("push_cursor", Swept),
    ("pusher", Quota),
    ("receipt", History),
    ("redaction", History),
    ("refresh_token", With("device")),
    ("registration_token", Few),
    ("relation", History),
    ("remains", Swept),
    ("remote_media", Swept),
    ("report", Limited),
    ("room", History),
    ("room_lock", History),
    ("schema_floor", Few),
    ("search", History),
    ("search_cursor", Few),
    ("sent", Swept),
    ("server", Few),
    ("signing_key", Few),
    ("slice", Swept),
    ("sliding_connection", Quota),
    ("thread", History),
    ("thread_answer", History),
    ("to_device", Quota),
    ("to_device_txn", Swept),
    ("token", With("device")),
    ("txn", Swept),
    ("uia_session", Swept),
    ("upgrade", Swept),
    ("user_word", With("profile")),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_table_says_what_ends_its_growth() {
    let _turn = turn::shared().await;
    let mut database = shared::cluster().await.postgres.connect().await;
    let sql = "select tablename from pg_tables where schemaname = 'public' order by 1";
    let rows = sqlx::query(sql).fetch_all(&mut database).await.expect("the tables");
    let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(tables.len() > 50, "{tables:?}");
    let silent: Vec<&String> = tables.iter().filter(|table| !TABLES.iter().any(|(name, _)| name == table)).collect();
    assert!(silent.is_empty(), "what ends the growth of {silent:?}?");
    for (table, end) in TABLES {
        if let With(other) = end {
            assert!(TABLES.iter().any(|(name, _)| name == other), "{table} goes with {other}, which is no table");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deleted_device_leaves_behind_is_cleared() {
    let _turn = turn::shared().await;
    let (one, _two) = shared::nodes().await;
    let mut database = shared::cluster().await.postgres.connect().await;
    let alice = one.user("alice").await;
    let device = alice.new_device().await;
    let mut keys = roost_tests::keys::DeviceKeys::new(&device);
    let upload = serde_json::json!({ "device_keys": keys.identity(), "one_time_keys": keys.one_time_keys(5) });
    let _ = device.post("keys/upload", upload).await.ok();
    for n in 0..5 {
        alice.to_device(&device, "org.example.x", serde_json::json!({ "n": n })).await;
    }
    let number = "select nr from device where device_id = $1 and usr = (select usr from account where localpart = $2)";
    let number = sqlx::query(number).bind(&device.device).bind(device.localpart());
    let number: i64 = number.fetch_one(&mut database).await.expect("the device").get(0);
    let left = "select (select count(*) from one_time_key where device = $1) + (select count(*) from to_device where device = $1)";
    let mut left =
        async || -> i64 { sqlx::query(left).bind(number).fetch_one(&mut database).await.expect("a count").get(0) };
    assert_eq!(left().await, 10);
    device.logout().await;
    let begin = std::time::Instant::now();
    while left().await > 0 {
        assert!(begin.elapsed() < std::time::Duration::from_secs(120), "never cleared");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}
