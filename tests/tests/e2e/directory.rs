//! What is found from outside: the public directory, aliases, users, and words.

use roost_tests::{
    http::{seg, text},
    scratch, shared,
    sync::{ids, list, strings},
    turn,
    user::{User, at},
};
use serde_json::{Value, json};

async fn found(user: &User, body: Value) -> Value {
    user.post("publicRooms", body).await.ok()
}

fn room_ids(page: &Value) -> Vec<String> {
    list(&page["chunk"]).iter().map(|room| text(&room["room_id"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_directory_lists_searches_and_pages() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    // A word that no other test's rooms have.
    let word = scratch::name("Wombles");
    let localpart = scratch::name("walk");
    let full = alice
        .create_room(json!({ "visibility": "public", "name": format!("The {word}"), "topic": "à la française",
                             "room_alias_name": localpart }))
        .await;
    let space = alice
        .create_room(json!({ "visibility": "public", "topic": format!("about {word}"),
                             "creation_content": { "type": "m.space" } }))
        .await;
    let hidden = alice.create_room(json!({ "preset": "public_chat", "name": word })).await;
    bob.join(&full).await;

    // The other node finds them, the fullest first, whatever the case.
    let ask = |more: Value| {
        let mut body = json!({ "filter": { "generic_search_term": word.to_lowercase() } });
        for (key, value) in more.as_object().into_iter().flatten() {
            if key == "room_types" { body["filter"][key] = value.clone() } else { body[key] = value.clone() }
        }
        body
    };
    let page = found(&bob, ask(json!({}))).await;
    assert_eq!(room_ids(&page), [full.as_str(), space.as_str()]);
    let card = &page["chunk"][0];
    assert_eq!(card["canonical_alias"], format!("#{localpart}:localhost"));
    assert_eq!((&card["num_joined_members"], &card["topic"]), (&json!(2), &json!("à la française")));
    assert_eq!((&card["world_readable"], &card["guest_can_join"]), (&json!(false), &json!(false)));
    assert_eq!((&card["join_rule"], card.get("room_type")), (&json!("public"), None));
    assert_eq!(page["chunk"][1].get("name"), None);
    assert_eq!(page["total_room_count_estimate"], 2);

    let first = found(&bob, ask(json!({ "limit": 1 }))).await;
    assert_eq!(room_ids(&first), [full.as_str()]);
    let second = found(&bob, ask(json!({ "limit": 1, "since": first["next_batch"] }))).await;
    assert_eq!((room_ids(&second), second.get("next_batch")), (vec![space.clone()], None));
    let back = found(&bob, ask(json!({ "limit": 1, "since": second["prev_batch"] }))).await;
    assert_eq!(room_ids(&back), [full.as_str()]);
    assert_eq!(room_ids(&found(&bob, ask(json!({ "room_types": ["m.space"] }))).await), [space.as_str()]);
    assert_eq!(room_ids(&found(&bob, ask(json!({ "room_types": [null] }))).await), [full.as_str()]);

    // Anybody may look, and a change shows at once.
    let open = two.call("GET", "publicRooms", None, None).await.ok();
    assert!(room_ids(&open).contains(&full) && !room_ids(&open).contains(&hidden));
    let _ = alice.set_state(&full, "m.room.name", "", json!({ "name": "renamed" })).await.ok();
    assert_eq!(room_ids(&found(&alice, ask(json!({}))).await), [space.as_str()]);
    let listed = format!("directory/list/room/{}", seg(&space));
    bob.put(&listed, json!({ "visibility": "private" })).await.is(403, "M_FORBIDDEN");
    let _ = alice.put(&listed, json!({ "visibility": "private" })).await.ok();
    assert_eq!(room_ids(&found(&bob, ask(json!({}))).await), [] as [String; 0]);
    alice.post("publicRooms", json!({ "since": "nonsense" })).await.is(400, "M_INVALID_PARAM");

    // A room that everybody has left is no use to anybody.
    let lonely = alice.create_room(json!({ "visibility": "public" })).await;
    alice.leave(&lonely).await;
    let open = one.call("GET", "publicRooms", None, None).await.ok();
    assert!(!room_ids(&open).contains(&lonely));
}

async fn users(user: &User, term: &str) -> Vec<Value> {
    let answer = user.post("user_directory/search", json!({ "search_term": term })).await.ok();
    list(&answer["results"])
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_found_by_name_where_they_can_be_met() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, eve) = (server.user("alice").await, server.user("bob").await, server.user("eve").await);
    let name = scratch::name("Cooper");
    let _ = alice
        .put(&format!("profile/{}/displayname", seg(&alice.id)), json!({ "displayname": format!("Alice {name}") }))
        .await
        .ok();

    // Nobody meets her anywhere.
    assert_eq!(users(&eve, &name).await, [] as [Value; 0]);
    alice.create_room(json!({ "visibility": "public" })).await;
    for term in [name.to_lowercase(), format!("alice {name}"), alice.id.clone(), alice.localpart().to_owned()] {
        let results = users(&eve, &term).await;
        assert_eq!(results.len(), 1, "{term}: {results:?}");
        assert_eq!(
            (&results[0]["user_id"], &results[0]["display_name"]),
            (&json!(alice.id), &json!(format!("Alice {name}")))
        );
    }

    // A name that she bears in one room only is nobody else's business.
    let secret = scratch::name("Freddy");
    let room = bob.create_room(json!({ "invite": [alice.id] })).await;
    alice.join(&room).await;
    let _ = alice
        .set_state(&room, "m.room.member", &alice.id, json!({ "membership": "join", "displayname": secret }))
        .await
        .ok();
    assert_eq!(users(&eve, &secret).await, [] as [Value; 0]);
    // Who shares a room is found without a public one.
    let hermit = scratch::name("Hermit");
    let _ = bob.put(&format!("profile/{}/displayname", seg(&bob.id)), json!({ "displayname": hermit })).await.ok();
    assert_eq!(users(&alice, &hermit).await.len(), 1);
    assert_eq!(users(&eve, &hermit).await.len(), 0);

    // Rooms in common.
    let path = |user: &User| format!("/_matrix/client/v1/mutual_rooms?user_id={}", seg(&user.id));
    let mutual = alice.get(&path(&bob)).await.ok();
    assert_eq!((strings(&mutual["joined"]), &mutual["count"]), (vec![room.clone()], &json!(1)));
    assert_eq!(eve.get(&path(&bob)).await.ok()["joined"], json!([]));
    alice.get(&path(&alice)).await.is(400, "M_INVALID_PARAM");
    let old = format!("/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id={}", seg(&bob.id));
    assert_eq!(strings(&alice.get(&old).await.ok()["joined"]), [room]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_in_an_open_room_is_found_listed_or_not() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let eve = server.user("eve").await;
    for (kind, open, shut) in [
        ("m.room.join_rules", json!({ "join_rule": "public" }), json!({ "join_rule": "invite" })),
        (
            "m.room.history_visibility",
            json!({ "history_visibility": "world_readable" }),
            json!({ "history_visibility": "shared" }),
        ),
    ] {
        let (alice, name) = (server.user("alice").await, scratch::name("Open"));
        let path = format!("profile/{}/displayname", seg(&alice.id));
        let _ = alice.put(&path, json!({ "displayname": name })).await.ok();
        let room = alice.create_room(json!({ "preset": "private_chat" })).await;
        assert_eq!(users(&eve, &name).await.len(), 0, "{kind}: a closed room");
        let _ = alice.set_state(&room, kind, "", open).await.ok();
        assert_eq!(users(&eve, &name).await.len(), 1, "{kind}: open, and not listed");
        let _ = alice.set_state(&room, kind, "", shut).await.ok();
        assert_eq!(users(&eve, &name).await.len(), 0, "{kind}: closed again");
        let _ = alice.set_state(&room, "m.room.join_rules", "", json!({ "join_rule": "public" })).await.ok();
        alice.leave(&room).await;
        assert_eq!(users(&eve, &name).await.len(), 0, "{kind}: left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_holds_its_pages_while_rooms_come_and_go() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let word = scratch::name("page");
    let list =
        async |n: usize| alice.create_room(json!({ "visibility": "public", "name": format!("{word} {n}") })).await;
    let mut rooms = Vec::new();
    for n in 0..7 {
        rooms.push(list(n).await);
    }
    let first = found(&bob, json!({ "limit": 3, "filter": { "generic_search_term": word } })).await;
    let mut seen = room_ids(&first);
    assert_eq!((seen.len(), &first["total_room_count_estimate"]), (3, &json!(7)));
    // One that was shown goes, another comes before all of them: it has two members.
    let hide = format!("directory/list/room/{}", seg(&seen[1]));
    let _ = alice.put(&hide, json!({ "visibility": "private" })).await.ok();
    let new = list(7).await;
    bob.join(&new).await;
    let mut next = first["next_batch"].clone();
    while next.is_string() {
        let page = found(&bob, json!({ "limit": 2, "since": next, "filter": { "generic_search_term": word } })).await;
        seen.extend(room_ids(&page));
        next = page["next_batch"].clone();
    }
    let mut expected = rooms.clone();
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected, "each once");
    let again = found(&bob, json!({ "limit": 1, "filter": { "generic_search_term": word } })).await;
    assert_eq!(room_ids(&again), [new], "the fullest first");
}

async fn search(user: &User, criteria: Value, from: Option<&str>) -> Value {
    let query = from.map_or(String::new(), |from| format!("?next_batch={}", seg(from)));
    let body = json!({ "search_categories": { "room_events": criteria } });
    user.post(&format!("search{query}"), body).await.ok()["search_categories"]["room_events"].clone()
}

fn results(found: &Value) -> Vec<Value> {
    list(&found["results"]).iter().map(|it| it["result"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_found_in_the_rooms_that_one_is_in() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.create_room(json!({ "preset": "private_chat", "name": "Plans" })).await;
    let mut said = Vec::new();
    for i in 0..8 {
        said.push(alice.say(&room, &format!("Message number {i}")).await);
    }
    let ask = |more: Value| {
        let mut body = json!({ "keys": ["content.body"], "order_by": "recent", "filter": { "rooms": [room] } });
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        body
    };

    let first =
        search(&alice, ask(json!({ "search_term": "message", "filter": { "rooms": [room], "limit": 5 } })), None).await;
    assert_eq!((&first["count"], ids(&results(&first))[0].as_str()), (&json!(8), &*said[7]));
    assert_eq!(results(&first)[0]["room_id"], room);
    let from = text(&first["next_batch"]);
    let rest = search(
        &alice,
        ask(json!({ "search_term": "message", "filter": { "rooms": [room], "limit": 5 } })),
        Some(&from),
    )
    .await;
    assert_eq!(ids(&results(&rest)), [&*said[2], &*said[1], &*said[0]]);

    let around = ask(
        json!({ "search_term": "Message 4", "event_context": { "before_limit": 2, "after_limit": 1, "include_profile": true },
                             "include_state": true, "groupings": { "group_by": [{ "key": "room_id" }] } }),
    );
    let found = search(&alice, around, None).await;
    assert_eq!(ids(&results(&found)), [said[4].as_str()]);
    let context = &found["results"][0]["context"];
    assert_eq!(ids(&list(&context["events_before"])), [&*said[3], &*said[2]]);
    assert_eq!(ids(&list(&context["events_after"])), [said[5].as_str()]);
    assert!(context["profile_info"][&alice.id].is_object(), "{context}");
    assert!(!list(&found["state"][&room]).is_empty());
    assert_eq!(strings(&found["groups"]["room_id"][&room]["results"]), [said[4].as_str()]);
    let name = search(
        &alice,
        json!({ "search_term": "plans", "keys": ["content.name"], "filter": { "rooms": [room] } }),
        None,
    )
    .await;
    assert_eq!(results(&name)[0]["type"], "m.room.name");

    // Redacted words are gone; who is not in the room finds nothing; who came late what was said
    // while the room's history was shared, and what came after.
    alice.redact(&room, &said[4]).await;
    assert_eq!(search(&alice, ask(json!({ "search_term": "Message 4" })), None).await["count"], 0);
    assert_eq!(search(&bob, ask(json!({ "search_term": "message" })), None).await["count"], 0);
    let _ =
        alice.set_state(&room, "m.room.history_visibility", "", json!({ "history_visibility": "joined" })).await.ok();
    alice.invite(&room, &bob).await;
    bob.join(&room).await;
    let new = alice.say(&room, "Message for Bob").await;
    bob.wait_for_event(&room, &new).await;
    let found = search(&bob, ask(json!({ "search_term": "message" })), None).await;
    let shared = said.iter().enumerate().filter(|(n, _)| *n != 4).map(|(_, event)| event.clone());
    let mut expected: Vec<String> = shared.chain([new]).collect();
    expected.reverse();
    assert_eq!((&found["count"], ids(&results(&found))), (&json!(8), expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_taken_and_days_are_jumped_to() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("reported").await;
    let event = alice.say(&room, "bad").await;

    bob.post(&at(&room, &format!("report/{}", seg(&event))), json!({ "reason": "no" })).await.is(404, "M_NOT_FOUND");
    bob.join(&room).await;
    for (path, body) in [
        (at(&room, &format!("report/{}", seg(&event))), json!({ "reason": "rude", "score": -100 })),
        (at(&room, &format!("report/{}", seg(&event))), json!({})),
        (at(&room, "report"), json!({ "reason": "a bad place" })),
        (format!("users/{}/report", seg(&alice.id)), json!({ "reason": "" })),
    ] {
        assert_eq!(bob.post(&path, body).await.ok(), json!({}), "{path}");
    }
    bob.post(&at(&room, &format!("report/{}", seg(&event))), json!({ "score": "high" })).await.is(400, "M_BAD_JSON");
    bob.post(&at("!nowhere:localhost", "report"), json!({ "reason": "x" })).await.is(404, "M_NOT_FOUND");

    let sent = alice.event(&room, &event).await.ok()["origin_server_ts"].as_i64().expect("a time");
    let created = alice.state(&room, "m.room.create", "?format=event").await;
    assert_eq!(created.status, 404);
    let path =
        |ts: i64, dir: &str| format!("/_matrix/client/v1/rooms/{}/timestamp_to_event?ts={ts}&dir={dir}", seg(&room));
    assert_eq!(alice.get(&path(sent, "f")).await.ok()["event_id"], event);
    assert_eq!(alice.get(&path(sent, "b")).await.ok()["event_id"], event);
    let found = alice.get(&path(sent + 1, "f")).await.ok();
    assert!(found["origin_server_ts"].as_i64() > Some(sent), "{found}");
    alice.get(&path(sent + 3_600_000, "f")).await.is(404, "M_NOT_FOUND");
    alice.get(&path(1, "b")).await.is(404, "M_NOT_FOUND");
    assert_eq!(alice.get(&path(1, "f")).await.ok()["origin_server_ts"].as_i64().map(|ts| ts <= sent), Some(true));
    server.user("eve").await.get(&path(sent, "f")).await.is(403, "M_FORBIDDEN");
}
