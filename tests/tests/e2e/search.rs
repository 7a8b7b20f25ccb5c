//! What is found by its words: exactly what one may see, on pages that hold while others write and redact.

use std::collections::BTreeSet;

use roost_tests::{
    http::{Server, seg, text},
    scratch,
    seed::Seed,
    shared,
    sync::{bodies, ids, list, strings},
    timeline::history,
    turn,
    user::User,
};
use serde_json::{Value, json};

async fn search(user: &User, criteria: &Value, from: Option<&str>) -> Value {
    let query = from.map_or(String::new(), |from| format!("?next_batch={}", seg(from)));
    let body = json!({ "search_categories": { "room_events": criteria } });
    user.post(&format!("search{query}"), body).await.ok()["search_categories"]["room_events"].clone()
}

fn results(found: &Value) -> Vec<Value> {
    list(&found["results"]).iter().map(|it| it["result"].clone()).collect()
}

/// All pages from `from` on.
async fn all(user: &User, criteria: &Value, from: Option<&str>) -> Vec<Value> {
    let (mut events, mut from) = (Vec::new(), from.map(str::to_owned));
    loop {
        let page = search(user, criteria, from.as_deref()).await;
        events.extend(results(&page));
        assert!(events.len() < 1000, "pages without end");
        match page["next_batch"].as_str() {
            Some(next) => from = Some(next.to_owned()),
            None => return events,
        }
    }
}

async fn visibility(user: &User, room: &str, to: &str) {
    let _ = user.set_state(room, "m.room.history_visibility", "", json!({ "history_visibility": to })).await.ok();
}

async fn rename(user: &User, room: &str, name: &str) {
    let content = json!({ "membership": "join", "displayname": name });
    let _ = user.set_state(room, "m.room.member", &user.id, content).await.ok();
}

/// What `user` finds, and what they see: in a room, of messages that hold `word`.
async fn found_and_seen(user: &User, room: &str, word: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let criteria =
        json!({ "search_term": word, "keys": ["content.body"], "order_by": "recent", "filter": { "rooms": [room] } });
    let found = bodies(&all(user, &criteria, None).await).into_iter().collect();
    let seen = bodies(&history(user, room, "b").await).into_iter().filter(|it| it.contains(word)).collect();
    (found, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_may_see_is_found() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, carol) = (server.user("alice").await, server.user("bob").await, server.user("carol").await);
    let room = alice.public_room("a room").await;
    let found = async |user: &User| found_and_seen(user, &room, "tale").await.0.into_iter().collect::<Vec<_>>();

    alice.say(&room, "tale 1: shared with all who come").await;
    visibility(&alice, &room, "joined").await;
    alice.say(&room, "tale 2: before bob came").await;
    bob.join(&room).await;
    alice.say(&room, "tale 3: bob is there").await;
    rename(&bob, &room, "Robert").await;
    alice.say(&room, "tale 4: and has another name").await;
    assert_eq!(found(&bob).await.iter().map(|it| &it[..6]).collect::<Vec<_>>(), ["tale 1", "tale 3", "tale 4"]);

    // Away for a while, and looked up from outside and inside.
    bob.leave(&room).await;
    alice.say(&room, "tale 5: bob is away").await;
    assert_eq!(found(&bob).await.len(), 3, "what was seen is found after leaving");
    bob.join(&room).await;
    assert_eq!(found(&bob).await.len(), 3, "and after coming back");

    visibility(&alice, &room, "invited").await;
    alice.invite(&room, &carol).await;
    alice.say(&room, "tale 6: carol is invited").await;
    carol.join(&room).await;
    assert_eq!(found(&carol).await.iter().map(|it| &it[..6]).collect::<Vec<_>>(), ["tale 1", "tale 6"]);
}

/// Whatever happens in a room: everybody finds what `/messages` shows them, no more and no less.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_messages_show_is_found_and_nothing_else() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let mut seed = Seed::announced("search and messages");
    let users = [server.user("alice").await, server.user("bob").await, server.user("carol").await];
    for round in 0..6 {
        let room = users[0].public_room("a room").await;
        let word = scratch::name("word").to_lowercase();
        let mut said = Vec::new();
        for step in 0..30 {
            let who = &users[1 + seed.below(2)];
            match seed.below(9) {
                0 => {
                    let to = ["shared", "joined", "invited", "world_readable"][seed.below(4)];
                    visibility(&users[0], &room, to).await;
                }
                1 => drop(who.post(&format!("join/{}", seg(&room)), json!({})).await),
                2 => drop(who.post(&format!("rooms/{}/leave", seg(&room)), json!({})).await),
                3 => drop(users[0].post(&format!("rooms/{}/invite", seg(&room)), json!({ "user_id": who.id })).await),
                4 => drop(users[0].moderate("kick", &room, who).await),
                5 => {
                    let content = json!({ "membership": "join", "displayname": format!("name {step}") });
                    drop(who.set_state(&room, "m.room.member", &who.id, content).await);
                }
                6 if !said.is_empty() => {
                    let gone: String = said.swap_remove(seed.below(said.len()));
                    users[0].redact(&room, &gone).await;
                }
                _ => said.push(users[0].say(&room, &format!("{word} {step}")).await),
            }
        }
        for user in &users {
            if user.get(&format!("rooms/{}/messages?dir=b", seg(&room))).await.status != 200 {
                continue;
            }
            let (found, seen) = found_and_seen(user, &room, &word).await;
            // Who has nothing to do with the room may read it where it is open to the world, and finds nothing: search is for
            // one's own rooms.
            let was_in =
                user.get(&format!("rooms/{}/state/m.room.member/{}", seg(&room), seg(&user.id))).await.status == 200;
            if was_in || !found.is_empty() {
                assert_eq!(found, seen, "round {round}: {}", user.id);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_results_hold_while_some_come_and_go() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let mut seed = Seed::announced("pages of results");
    let alice = server.user("alice").await;
    for order in ["recent", "rank"] {
        let room = alice.create_room(json!({ "preset": "private_chat" })).await;
        let mut said = Vec::new();
        for n in 0..14 {
            said.push(alice.say(&room, &format!("berry {} {n}", "berry pie ".repeat(n % 3))).await);
        }
        let criteria = json!({ "search_term": "berry", "keys": ["content.body"], "order_by": order,
                               "filter": { "rooms": [room], "limit": 3 } });
        let (mut seen, mut gone, mut from) = (Vec::new(), Vec::new(), None);
        loop {
            let page = search(&alice, &criteria, from.as_deref()).await;
            assert_eq!(page["count"], 14, "what the first page said");
            seen.extend(ids(&results(&page)));
            let Some(next) = page["next_batch"].as_str() else { break };
            from = Some(next.to_owned());
            // One that was shown goes, and one that was not; a new one comes.
            for shown in [true, false] {
                let left: Vec<&String> =
                    said.iter().filter(|it| seen.contains(it) == shown && !gone.contains(*it)).collect();
                if let Some(id) = left.get(seed.below(left.len())).map(|id| (*id).clone()) {
                    alice.redact(&room, &id).await;
                    gone.push(id);
                }
            }
            alice.say(&room, "berry, the newest").await;
        }
        let once: BTreeSet<&String> = seen.iter().collect();
        assert_eq!(once.len(), seen.len(), "{order}: repeated");
        for id in said.iter().filter(|it| !gone.contains(it)) {
            assert!(seen.contains(id), "{order}: skipped");
        }
        assert!(seen.iter().all(|it| said.contains(it)), "{order}: what came later is on no later page");
    }
    alice_refused(&alice).await;
}

async fn alice_refused(alice: &User) {
    let body = json!({ "search_categories": { "room_events": { "search_term": "x" } } });
    for token in ["n", "n1", "n-1_2", "m1_2", "n1_2~x"] {
        alice.post(&format!("search?next_batch={}", seg(token)), body.clone()).await.is(400, "M_INVALID_PARAM");
    }
    // Far beyond the log, and nowhere.
    let far = format!("search?next_batch=n{}_{}", i64::MAX, i64::MAX);
    assert_eq!(alice.post(&far, body).await.ok()["search_categories"]["room_events"]["results"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_go_on_by_themselves_and_profiles_are_those_of_then() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let word = scratch::name("quill").to_lowercase();
    let rooms = [alice.public_room("one").await, alice.public_room("two").await];
    let mut said = [Vec::new(), Vec::new()];
    bob.join(&rooms[0]).await;
    rename(&bob, &rooms[0], "Bob of then").await;
    for n in 0..8 {
        said[n % 2].push(alice.say(&rooms[n % 2], &format!("{word} {n}")).await);
    }
    let bobs = bob.say(&rooms[0], &format!("{word} of bob")).await;
    rename(&bob, &rooms[0], "Bob of now").await;

    let criteria = json!({ "search_term": word, "keys": ["content.body"], "order_by": "recent",
                           "filter": { "limit": 3 }, "event_context": { "include_profile": true },
                           "groupings": { "group_by": [{ "key": "room_id" }, { "key": "sender" }] } });
    let first = search(&alice, &criteria, None).await;
    assert_eq!((&first["count"], ids(&results(&first))[0].as_str()), (&json!(9), &*bobs));
    let shown = &first["results"][0]["context"]["profile_info"][&bob.id];
    assert_eq!(shown["displayname"], "Bob of then", "{}", first["results"][0]["context"]);

    for (at, room) in rooms.iter().enumerate() {
        let group = &first["groups"]["room_id"][room];
        let mut events = strings(&group["results"]);
        let next = text(&group["next_batch"]);
        events.extend(ids(&all(&alice, &criteria, Some(&next)).await));
        let mut expected = said[at].clone();
        expected.extend((at == 0).then(|| bobs.clone()));
        expected.reverse();
        assert_eq!(events, expected, "all of the one room, and nothing of the other");
    }
    let of_bob = &first["groups"]["sender"][&bob.id];
    assert_eq!((strings(&of_bob["results"]), of_bob.get("next_batch")), (vec![bobs], None), "nothing is left of bob");
    let of_alice = text(&first["groups"]["sender"][&alice.id]["next_batch"]);
    assert_eq!(all(&alice, &criteria, Some(&of_alice)).await.len(), 6);
    knows_only_its_own(&server, &criteria, &of_alice).await;
}

/// A token shows nobody what is not theirs.
async fn knows_only_its_own(server: &Server, criteria: &Value, token: &str) {
    let eve = server.user("eve").await;
    assert_eq!(results(&search(&eve, criteria, Some(token)).await), [] as [Value; 0]);
}
