//! Whose keys a client follows: for any order of comings and goings it is who it meets in some room.

use std::collections::{BTreeMap, BTreeSet};

use roost_tests::{
    User,
    http::seg,
    seed::Seed,
    shared,
    sliding::Phone,
    sync::{list, strings},
    turn,
    user::at,
};
use serde_json::{Value, json};

/// What a client knows that follows what it is told.
#[derive(Default)]
struct Followed {
    who: BTreeSet<String>,
    /// Everybody that it was ever told of.
    ever: BTreeSet<String>,
}

impl Followed {
    fn take(&mut self, lists: &Value) {
        for user in strings(&lists["changed"]) {
            self.ever.insert(user.clone());
            self.who.insert(user);
        }
        for user in strings(&lists["left"]) {
            assert!(self.ever.contains(&user), "{user} is left, who was never met: {lists}");
            self.who.remove(&user);
        }
    }

    fn is(&self, expected: &BTreeSet<String>, me: &str, how: &str, history: &[String]) {
        let mut who = self.who.clone();
        who.remove(me);
        assert_eq!(who, *expected, "by {how}, after {history:#?}");
    }
}

/// The members of all rooms, by membership, as the rooms' creator (who stays) sees them.
async fn members(creator: &User, rooms: &[String]) -> Vec<BTreeMap<String, String>> {
    let mut all = Vec::new();
    for room in rooms {
        let members = list(&creator.get(&at(room, "members")).await.ok()["chunk"]);
        let of = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        all.push(members.iter().map(|it| (of(it, "state_key"), of(&it["content"], "membership"))).collect());
    }
    all
}

/// Whom `me` meets: who is joined or invited where `me` is joined.
fn met(members: &[BTreeMap<String, String>], me: &str) -> BTreeSet<String> {
    let mine = members.iter().filter(|room| room.get(me).is_some_and(|m| m == "join"));
    let others = mine.flat_map(|room| room.iter().filter(|(_, m)| *m == "join" || *m == "invite"));
    others.map(|(user, _)| user.clone()).filter(|user| user != me).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_follows_whom_it_meets_whoever_goes_first() {
    let _turn = turn::shared().await;
    let mut seed = Seed::announced("a_client_follows_whom_it_meets_whoever_goes_first");
    let (one, two) = shared::nodes().await;
    let creator = one.user("creator").await;
    let mut rooms = Vec::new();
    for name in ["one", "two", "three"] {
        rooms.push(creator.public_room(name).await);
    }
    let mut users = Vec::new();
    for n in 0..4 {
        users.push(if n % 2 == 0 { one.user("user").await } else { two.user("user").await });
    }
    let me = one.user("me").await;
    let phone = Phone::new(&me, json!({ "extensions": { "e2ee": { "enabled": true } } }));
    let (mut by_sync, mut by_filtered, mut by_phone, mut by_keys) =
        (Followed::default(), Followed::default(), Followed::default(), Followed::default());
    let filtered = me.on(&two);
    let nothing = "timeout=0&filter=".to_owned() + &seg(&json!({ "room": { "rooms": [] } }).to_string());
    let first = me.sync().await["next_batch"].clone();
    let mut keys_from = first.as_str().expect("a token").to_owned();
    filtered.sync_with(&nothing).await;
    phone.look().await;

    let mut history = Vec::new();
    for round in 0..25 {
        for _ in 0..=seed.below(4) {
            let (room, actor) = (seed.below(rooms.len()), seed.below(users.len() + 1));
            let (whom, node) = (users.get(actor).unwrap_or(&me), if seed.below(2) == 0 { &one } else { &two });
            let what = ["join", "join", "join", "leave", "leave", "kick", "ban", "unban", "invite"][seed.below(9)];
            let path = at(&rooms[room], what);
            // Whatever is refused changes nothing.
            let reply = match what {
                "join" => whom.on(node).post(&format!("join/{}", seg(&rooms[room])), json!({})).await,
                "leave" => whom.on(node).post(&path, json!({})).await,
                _ => creator.on(node).post(&path, json!({ "user_id": whom.id })).await,
            };
            history.push(format!("round {round}: {} {what} in {room}: {}", whom.id, reply.status));
        }
        // Every node has heard of all of it that shows what came last.
        let last = creator.say(&rooms[0], "settled").await;
        for server in [&*one, &*two] {
            let reader = creator.on(server);
            reader.start_over();
            reader.wait_for_event(&rooms[0], &last).await;
        }
        let expected = met(&members(&creator, &rooms).await, &me.id);
        // Some clients look seldom.
        if seed.below(2) == 0 {
            by_sync.take(&me.sync().await["device_lists"]);
            by_sync.is(&expected, &me.id, "sync", &history);
        }
        if seed.below(2) == 0 {
            by_filtered.take(&filtered.sync_with(&nothing).await["device_lists"]);
            by_filtered.is(&expected, &me.id, "a filtered sync", &history);
        }
        if seed.below(2) == 0 {
            by_phone.take(&phone.look().await["extensions"]["e2ee"]["device_lists"]);
            by_phone.is(&expected, &me.id, "sliding sync", &history);
        }
        if seed.below(2) == 0 {
            let fresh = me.on(&one);
            let now = fresh.sync().await["next_batch"].as_str().expect("a token").to_owned();
            let query = format!("keys/changes?from={}&to={}", seg(&keys_from), seg(&now));
            by_keys.take(&me.get(&query).await.ok());
            by_keys.is(&expected, &me.id, "/keys/changes", &history);
            keys_from = now;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_met_nowhere_is_left_whichever_of_the_two_went_first_and_how() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    for mine in ["leave", "kick", "ban"] {
        for theirs in ["leave", "kick", "ban"] {
            for i_go_first in [true, false] {
                let (creator, me, other) =
                    (server.user("creator").await, server.user("me").await, server.user("other").await);
                let room = creator.public_room("left").await;
                me.join(&room).await;
                other.join(&room).await;
                let phone = Phone::new(&me, json!({ "extensions": { "e2ee": { "enabled": true } } }));
                phone.look().await;
                let from = me.sync().await["next_batch"].as_str().expect("a token").to_owned();
                let order = if i_go_first { [(&me, mine), (&other, theirs)] } else { [(&other, theirs), (&me, mine)] };
                for (who, how) in order {
                    match how {
                        "leave" => who.leave(&room).await,
                        how => drop(creator.moderate(how, &room, who).await.ok()),
                    }
                }
                let mut expected = vec![creator.id.clone(), other.id.clone()];
                expected.sort();
                let case = format!("me by {mine}, other by {theirs}, me first: {i_go_first}");
                let answer = me.sync().await;
                let to = answer["next_batch"].as_str().expect("a token").to_owned();
                let changes = me.get(&format!("keys/changes?from={}&to={}", seg(&from), seg(&to))).await.ok();
                for lists in
                    [&answer["device_lists"], &changes, &phone.look().await["extensions"]["e2ee"]["device_lists"]]
                {
                    let mut left = strings(&lists["left"]);
                    left.sort();
                    assert_eq!((left, strings(&lists["changed"])), (expected.clone(), vec![]), "{case}");
                }
            }
        }
    }
}
