//! Random histories: what clients fold from what they are told is what the specification lets their users know.
//!
//! Sequences of deeds come from a printed seed. A failing one is made shorter by playing it again without some of its deeds.

use std::sync::atomic::{AtomicUsize, Ordering};

use roost_tests::{
    Server,
    http::{seg, text},
    seed::Seed,
    shared,
    sliding::UNSTABLE,
    sync::{filter, ids, list},
    timeline::history,
    turn,
    user::{User, at, txn},
};
use serde_json::{Value, json};

use super::{
    clients::{Client, Names, Told, Wish},
    oracle::History,
};

/// Besides the one who keeps the room.
const GUESTS: usize = 3;
const CLIENTS: usize = 9;
const DEEDS: usize = 45;
const LANES: usize = 3;

/// What happens. Numbers name guests, from 1, or clients.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Say(usize),
    Rename(usize),
    Name,
    Topic,
    Visibility(&'static str),
    Rule(&'static str),
    Invite(usize),
    Join(usize),
    Leave(usize),
    Knock(usize),
    /// Kick, ban or unban.
    Moderate(&'static str, usize),
    Redact,
    /// A client asks, and may lose the answer.
    Look {
        client: usize,
        lost: bool,
        full_state: bool,
    },
    BeginAnew(usize),
}

/// A sequence, and what its clients ask for.
#[derive(Clone, Debug)]
struct Play {
    wishes: Vec<Wish>,
    deeds: Vec<Deed>,
    /// Which node each deed goes to.
    nodes: u64,
}

struct Cast {
    /// The keeper of the room first.
    users: Vec<User>,
    /// Each client's device.
    devices: Vec<User>,
    nodes: Vec<Server>,
}

fn deed(seed: &mut Seed) -> Deed {
    const VISIBILITIES: [&str; 5] = ["joined", "invited", "shared", "world_readable", "joined"];
    const RULES: [&str; 3] = ["public", "knock", "invite"];
    let guest = 1 + seed.below(GUESTS);
    match seed.below(32) {
        0..=3 => Deed::Say(seed.below(GUESTS + 1)),
        4 => Deed::Rename(seed.below(GUESTS + 1)),
        5..=6 => Deed::Name,
        7 => Deed::Topic,
        8 => Deed::Visibility(VISIBILITIES[seed.below(5)]),
        9 => Deed::Rule(RULES[seed.below(3)]),
        10..=11 => Deed::Invite(guest),
        12..=14 => Deed::Join(guest),
        15..=16 => Deed::Leave(guest),
        17 => Deed::Knock(guest),
        18 => Deed::Moderate("kick", guest),
        19 => Deed::Moderate("ban", guest),
        20 => Deed::Moderate("unban", guest),
        21 => Deed::Redact,
        22 => Deed::BeginAnew(seed.below(CLIENTS)),
        _ => Deed::Look { client: seed.below(CLIENTS), lost: seed.below(6) == 0, full_state: seed.below(8) == 0 },
    }
}

fn play(seed: &mut Seed) -> Play {
    let wish = |i: usize, seed: &mut Seed| {
        let limit = [1, 2, 4, 10][seed.below(4)];
        if i % 3 == 2 {
            return Wish::Sliding { limit, stable: seed.below(2) == 0 };
        }
        let names = [Names::Everywhere, Names::Everywhere, Names::NotInTimelines, Names::Nowhere][seed.below(4)];
        let mut toss = || seed.below(2) == 0;
        Wish::Sync { limit, lazy: toss(), state_after: toss(), names, with_left: toss() }
    };
    Play {
        wishes: (0..CLIENTS).map(|i| wish(i, seed)).collect(),
        deeds: (0..DEEDS).map(|_| deed(seed)).collect(),
        nodes: seed.draw(),
    }
}

/// One play on the stage: a room, its clients, and what they were told.
struct Stage<'a> {
    cast: &'a Cast,
    play: &'a Play,
    room: String,
    /// Where each client stands.
    tokens: Vec<Option<String>>,
    told: Vec<Told>,
    count: usize,
}

impl Cast {
    async fn new(nodes: &[Server]) -> Self {
        let mut cast = Self { users: Vec::new(), devices: Vec::new(), nodes: nodes.to_vec() };
        for name in ["keeper", "bob", "carol", "dave"] {
            cast.users.push(nodes[0].user(name).await);
        }
        for client in 0..CLIENTS {
            cast.devices.push(cast.users[client % cast.users.len()].new_device().await);
        }
        cast
    }

    /// A device, as it speaks to the node at turn `n`.
    fn on_stage(&self, play: &Play, device: &User, n: usize) -> User {
        device.on(&self.nodes[usize::try_from(play.nodes >> (n % 60)).unwrap_or(0) % self.nodes.len()])
    }

    async fn perform(&self, play: &Play) -> Result<(), String> {
        let content = json!({ "history_visibility": "joined" });
        let visibility = json!({ "type": "m.room.history_visibility", "state_key": "", "content": content });
        let keeper = &self.users[0];
        let room = keeper
            .create_room(json!({ "preset": "public_chat", "name": "0", "topic": "0", "initial_state": [visibility] }))
            .await;
        let tokens = vec![None; CLIENTS];
        let mut stage = Stage { cast: self, play, room, tokens, told: Vec::new(), count: 0 };
        for deed in &play.deeds {
            stage.count += 1;
            stage.act(*deed).await;
        }
        if self.nodes.len() > 1 {
            // By then every node has looked for what it did not hear.
            tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        }
        let last = stage.told.len();
        for client in 0..CLIENTS {
            stage.look(client, false, false).await;
        }
        let events = history(keeper, &stage.room, "b").await;
        let history = History { room: stage.room.clone(), events };
        stage.judge(&history, last)?;
        stage.read_back(&history).await
    }
}

impl Stage<'_> {
    fn user(&self, who: usize) -> User {
        self.cast.on_stage(self.play, &self.cast.users[who], self.count)
    }

    async fn act(&mut self, deed: Deed) {
        let (room, count, keeper) = (self.room.clone(), self.count.to_string(), self.user(0));
        let cast = self.cast;
        let whom = |guest: usize| json!({ "user_id": cast.users[guest].id });
        let state = async |kind: &str, content: Value| {
            let _ = keeper.set_state(&room, kind, "", content).await;
        };
        match deed {
            Deed::Look { client, lost, full_state } => self.look(client, lost, full_state).await,
            Deed::BeginAnew(client) => self.tokens[client] = None,
            Deed::Name => state("m.room.name", json!({ "name": count })).await,
            Deed::Topic => state("m.room.topic", json!({ "topic": count })).await,
            Deed::Visibility(which) => {
                state("m.room.history_visibility", json!({ "history_visibility": which })).await;
            }
            Deed::Rule(which) => state("m.room.join_rules", json!({ "join_rule": which })).await,
            Deed::Redact => {
                let newest = self.newest(&keeper).await;
                let _ = keeper.put(&at(&room, &format!("redact/{}/{}", seg(&newest), txn())), json!({})).await;
            }
            Deed::Invite(guest) => drop(keeper.post(&at(&room, "invite"), whom(guest)).await),
            Deed::Moderate(how, guest) => drop(keeper.post(&at(&room, how), whom(guest)).await),
            Deed::Say(who) => {
                let content = json!({ "msgtype": "m.text", "body": count });
                drop(self.user(who).send_as(&room, "m.room.message", &txn(), content).await);
            }
            Deed::Rename(who) => {
                let user = self.user(who);
                let inside = user.state(&room, "m.room.member", &user.id).await;
                if inside.status == 200 && inside.body["membership"] == "join" {
                    let content = json!({ "membership": "join", "displayname": count });
                    drop(user.set_state(&room, "m.room.member", &user.id, content).await);
                }
            }
            Deed::Join(guest) => drop(self.user(guest).post(&format!("join/{}", seg(&room)), json!({})).await),
            Deed::Leave(guest) => drop(self.user(guest).post(&at(&room, "leave"), json!({})).await),
            Deed::Knock(guest) => drop(self.user(guest).post(&format!("knock/{}", seg(&room)), json!({})).await),
        }
    }

    /// The newest event, as the keeper sees it.
    async fn newest(&self, keeper: &User) -> String {
        text(&keeper.messages(&self.room, "dir=b&limit=1").await["chunk"][0]["event_id"])
    }

    async fn look(&mut self, client: usize, lost: bool, full_state: bool) {
        let user = self.cast.on_stage(self.play, &self.cast.devices[client], self.count);
        let token = self.tokens[client].clone();
        let (begins, room) = (token.is_none(), &self.room);
        let (answer, next) = match self.play.wishes[client] {
            Wish::Sync { limit, lazy, state_after, names, with_left } => {
                let without = |hidden: bool| if hidden { json!(["m.room.name"]) } else { json!([]) };
                let wish = json!({ "room": {
                    "rooms": [room],
                    "include_leave": with_left,
                    "timeline": { "limit": limit, "not_types": without(names != Names::Everywhere) },
                    "state": { "lazy_load_members": lazy, "not_types": without(names == Names::Nowhere) },
                }});
                let since = token.map_or_else(String::new, |token| format!("&since={}", seg(&token)));
                let wish = filter(&wish);
                let path = format!(
                    "sync?timeout=0&full_state={full_state}&use_state_after={state_after}&filter={wish}{since}"
                );
                let answer = user.get(&path).await.ok();
                let next = text(&answer["next_batch"]);
                (answer, next)
            }
            Wish::Sliding { limit, stable } => {
                let (path, mut ask) = sliding(room, client, limit, stable);
                let path = match (stable, &token) {
                    (false, Some(token)) => format!("{path}?timeout=0&pos={}", seg(token)),
                    _ => path.to_owned(),
                };
                if let (true, Some(token)) = (stable, token) {
                    ask["pos"] = json!(token);
                }
                let answer = user.post(&path, ask).await.ok();
                let next = text(&answer["pos"]);
                (answer, next)
            }
        };
        let newest = self.newest(&self.user(0)).await;
        let full_state = full_state && matches!(self.play.wishes[client], Wish::Sync { .. });
        self.told.push(Told { client, newest, answer, lost, begins, full_state });
        if !lost {
            self.tokens[client] = Some(next);
        }
    }

    /// Lets the clients fold what they were told. What nodes tell while they are apart may be late: then only the last
    /// answers must be exact.
    fn judge(&self, history: &History, last: usize) -> Result<(), String> {
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::default()).collect();
        let apart = self.cast.nodes.len() > 1;
        for (n, told) in self.told.iter().enumerate() {
            let (wish, user) = (self.play.wishes[told.client], &self.cast.devices[told.client].id);
            let exact = !apart || n >= last;
            clients[told.client].take(history, user, wish, told, exact).map_err(|error| {
                format!("{user}, client {} {wish:?}, answer {n}: {error}\n{:#}", told.client, told.answer["rooms"])
            })?;
        }
        Ok(())
    }

    /// What users find when they read the room otherwise.
    async fn read_back(&self, oracle: &History) -> Result<(), String> {
        let now = oracle.events.len();
        for who in 0..=GUESTS {
            let user = &self.user(who);
            let standing = oracle.standing(&user.id, now);
            let tellable = oracle.tellable(&user.id, now);
            let all = user.get(&at(&self.room, "state")).await;
            let expected: Option<Vec<String>> = standing.map(|moment| oracle.state(moment).into_values().collect());
            same(&user.id, "the state", sorted(ids(&list(&all.body))), sorted(expected.unwrap_or_default()))?;
            same(&user.id, "its status", all.status, if standing.is_some() { 200 } else { 403 })?;
            if standing.is_none() {
                continue;
            }
            let seen: Vec<usize> = (0..now).filter(|i| oracle.sees(&user.id, *i, now)).collect();
            let id = |i: usize| text(&oracle.events[i]["event_id"]);
            let read = ids(&history(user, &self.room, "b").await);
            same(&user.id, "the history", read, seen.iter().map(|i| id(*i)).collect::<Vec<_>>())?;
            for i in (0..now).filter(|i| i % 3 == self.count % 3) {
                let context = user.get(&at(&self.room, &format!("context/{}?limit=2", seg(&id(i))))).await;
                same(
                    &user.id,
                    &format!("the status of event {i}"),
                    context.status,
                    if seen.contains(&i) { 200 } else { 404 },
                )?;
                if context.status == 200 {
                    let last = ids(&list(&context.body["events_after"])).last().cloned().unwrap_or_else(|| id(i));
                    let moment = oracle.after(&last).unwrap_or_default();
                    let expected = oracle.state(moment).into_values().collect();
                    same(
                        &user.id,
                        "the state around an event",
                        sorted(ids(&list(&context.body["state"]))),
                        sorted(expected),
                    )?;
                }
                let token = text(&user.messages(&self.room, "dir=b&limit=1").await["start"]);
                let from = context.body["start"].as_str().map_or(token, str::to_owned);
                let members = user.get(&at(&self.room, &format!("members?at={}", seg(&from)))).await;
                let strange = ids(&list(&members.body["chunk"])).into_iter().find(|id| !tellable.contains(id));
                same(&user.id, "a member that is not theirs to know", strange, None)?;
            }
        }
        Ok(())
    }
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

fn same<T: PartialEq + std::fmt::Debug>(user: &str, what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{user}: {what} is {found:?}, not {expected:?}")) }
}

/// Path and body of a request that subscribes to the room and wants all of its state.
fn sliding(room: &str, client: usize, limit: usize, stable: bool) -> (&'static str, Value) {
    let connection = format!("{room}{client}");
    if stable {
        let wanted = json!({ "timeline_limit": limit, "required_state": { "include": [{}] } });
        ("/_matrix/client/v4/sync", json!({ "conn_id": connection, "room_subscriptions": { room: wanted } }))
    } else {
        let wanted = json!({ "timeline_limit": limit, "required_state": [["*", "*"]] });
        (UNSTABLE, json!({ "conn_id": connection, "room_subscriptions": { room: wanted } }))
    }
}

/// Plays until it fails; then again and again without some of the deeds, as long as it fails.
async fn play_all(test: &str, nodes: Vec<Server>, plays: usize) {
    let mut seed = Seed::announced(test);
    let next = AtomicUsize::new(0);
    let all: Vec<Play> = (0..plays).map(|_| play(&mut seed.branch())).collect();
    let lane = async || {
        let cast = Cast::new(&nodes).await;
        while let Some(play) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = cast.perform(play).await {
                // Let nobody else go on.
                next.store(plays, Ordering::Relaxed);
                let (play, error) = shorter(&cast, play.clone(), error).await;
                let deeds: Vec<String> = play.deeds.iter().map(|deed| format!("{deed:?}")).collect();
                panic!("{test}:\n{}\n{error}", deeds.join("\n"));
            }
        }
    };
    let lanes: Vec<_> = (0..LANES).map(|_| lane()).collect();
    futures::future::join_all(lanes).await;
}

async fn shorter(cast: &Cast, mut play: Play, mut error: String) -> (Play, String) {
    let begin = std::time::Instant::now();
    let mut step = DEEDS / 4;
    while step > 0 && begin.elapsed().as_secs() < 90 {
        let mut from = 0;
        while from < play.deeds.len() && begin.elapsed().as_secs() < 90 {
            let mut less = play.clone();
            less.deeds.drain(from..(from + step).min(less.deeds.len()));
            match cast.perform(&less).await {
                Err(again) => (play, error) = (less, again),
                Ok(()) => from += step,
            }
        }
        step /= 2;
    }
    (play, error)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_fold_is_what_their_users_may_know() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    play_all("sight on one node", vec![server.clone()], 24).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_fold_is_the_same_on_two_nodes() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    play_all("sight on two nodes", vec![one.clone(), two.clone()], 12).await;
}
