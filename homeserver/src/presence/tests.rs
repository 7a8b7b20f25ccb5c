//! Nodes whose rings travel at random speeds, and clients that ask now this one and now that one: in the end each client
//! shows what is, and with nothing new nobody is told anything.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::*;
use crate::storage::{DeviceNr, Sym, UserNr};

const ROOMS: [RoomNr; 2] = [RoomNr(1), RoomNr(2)];
const USERS: [UserNr; 3] = [Sym(1), Sym(2), Sym(3)];

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

struct World {
    nodes: Vec<(Node, mpsc::Receiver<Ring>)>,
    /// What is under way from one to another, in its order.
    ways: BTreeMap<(usize, usize), VecDeque<String>>,
    now: Instant,
    now_ms: i64,
    chance: Chance,
}

/// A client that shows what it was told.
#[derive(Default)]
struct Client {
    /// Node, stamp and positions of the last answer.
    token: Option<(i64, u64, Positions)>,
    typing: BTreeMap<RoomNr, Vec<UserNr>>,
    statuses: BTreeMap<UserNr, (State, Option<Arc<str>>)>,
}

impl World {
    fn new(count: usize, seed: u64) -> Self {
        let mut world = Self {
            nodes: Vec::new(),
            ways: BTreeMap::new(),
            now: Instant::now(),
            now_ms: 1_000_000,
            chance: Chance(seed),
        };
        world.nodes.extend(std::iter::repeat_with(begin).take(count));
        world
    }

    /// What was rung sets out.
    fn post(&mut self) {
        let count = self.nodes.len();
        for from in 0..count {
            while let Ok(ring) = self.nodes[from].1.try_recv() {
                for to in (0..count).filter(|to| *to != from) {
                    self.ways.entry((from, to)).or_default().push_back(serde_json::to_string(&ring).unwrap());
                }
            }
        }
    }

    /// One ring arrives; `false` where none is under way.
    fn deliver(&mut self) -> bool {
        self.post();
        let under_way: Vec<_> = self.ways.iter().filter(|(_, way)| !way.is_empty()).map(|(way, _)| *way).collect();
        if under_way.is_empty() {
            return false;
        }
        let way = under_way[self.chance.below(under_way.len())];
        let ring = self.ways.get_mut(&way).and_then(VecDeque::pop_front).unwrap();
        self.nodes[way.1].0.hear(&serde_json::from_str(&ring).unwrap(), self.now, self.now_ms);
        true
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.now_ms += i64::try_from(time.as_millis()).unwrap();
        for (node, _) in &self.nodes {
            node.expire_typing(self.now);
            node.online.lock().expire(self.now_ms);
            node.publish_statuses(self.now_ms);
        }
    }

    /// Somebody does something at some node.
    fn act(&mut self) {
        let (at, user) = (self.chance.below(self.nodes.len()), USERS[self.chance.below(USERS.len())]);
        let (room, device) = (ROOMS[self.chance.below(ROOMS.len())], DeviceNr(user.0.into()));
        let state = [State::Online, State::Unavailable, State::Offline][self.chance.below(3)];
        let act = self.chance.below(6);
        let (node, now) = (&self.nodes[at].0, self.now_ms);
        let told = |for_ms| typing::Told { room, user, for_ms, nr: 0 };
        match act {
            0 | 1 => drop(node.say_typing(told(8_000), true, self.now)),
            2 => drop(node.say_typing(told(0), true, self.now)),
            3 => drop(node.online.lock().poll(user, device, State::Online, now)),
            4 => node.online.lock().end_poll(user, device, now),
            _ => drop(node.online.lock().set(user, device, state, Some(format!("{now}").into()), now)),
        }
        if self.chance.below(2) == 0 {
            self.nodes[at].0.publish_statuses(now);
        }
    }

    /// All that is under way arrives, and what it causes.
    fn settle(&mut self) {
        // Longer than presence and typing hold without a word, and not so long that it is forgotten that somebody typed.
        for _ in 0..10 {
            self.pass(Duration::from_secs(10));
            self.nodes.iter().for_each(|(node, _)| node.tell_again(self.now_ms));
            while self.deliver() {}
        }
    }

    /// Whether the client is told anything by this node.
    fn ask(&self, client: &mut Client, at: usize) -> bool {
        let node = &self.nodes[at].0;
        let (stamp, positions) = (node.order.stamps.newest(), node.order.positions(self.now));
        let since = match &client.token {
            None => Since::Nothing,
            Some((node_then, stamp, positions)) => node.order.since(*node_then, *stamp, positions),
        };
        let typing = node.typing.changes(&ROOMS, &since);
        let statuses = node.online.lock();
        let users: Vec<UserNr> = match &since {
            Since::All => Vec::new(),
            Since::Nothing => statuses.known(),
            Since::Stamp(stamp) => statuses.published_after(*stamp).into_iter().map(|(_, user)| user).collect(),
            Since::Positions(positions) => statuses.published_beyond(positions),
        };
        let users = statuses.published(&users);
        if typing.is_empty() && users.is_empty() && client.token.is_some() {
            return false;
        }
        client.typing.extend(typing);
        client.statuses.extend(users.into_iter().map(|(user, it)| (user, (it.state, it.message))));
        client.token = Some((node.node(), stamp, positions));
        true
    }
}

impl Node {
    fn node(&self) -> i64 {
        self.order.node
    }
}

fn begin() -> (Node, mpsc::Receiver<Ring>) {
    let (node, rings) = Node::new(true, true);
    (node, rings.unwrap())
}

/// Who types where, and who is how.
type Shown = (Vec<(RoomNr, Vec<UserNr>)>, Vec<(UserNr, State)>);

/// What is shown, without those of whom nothing needs to be shown.
fn shown(client: &Client) -> Shown {
    let sorted = |users: &Vec<UserNr>| {
        let mut users = users.clone();
        users.sort_unstable();
        users
    };
    let typing = client.typing.iter().filter(|(_, users)| !users.is_empty());
    let statuses = client.statuses.iter().filter(|(_, (state, _))| *state != State::Offline);
    (typing.map(|(room, users)| (*room, sorted(users))).collect(), statuses.map(|(user, it)| (*user, it.0)).collect())
}

fn play(seed: u64, count: usize) {
    let mut world = World::new(count, seed);
    let mut clients: Vec<Client> = std::iter::repeat_with(Client::default).take(4).collect();
    for _ in 0..120 {
        match world.chance.below(10) {
            0..=2 => world.act(),
            3..=5 => drop(world.deliver()),
            6 => world.pass(Duration::from_millis(1_500)),
            _ => {
                let (at, client) = (world.chance.below(count), world.chance.below(clients.len()));
                world.ask(&mut clients[client], at);
            }
        }
    }
    world.settle();
    // Whatever is true by now, a newcomer is told it, by each node the same.
    let views = (0..count).map(|at| {
        let mut newcomer = Client::default();
        world.ask(&mut newcomer, at);
        shown(&newcomer)
    });
    let views: Vec<_> = views.collect();
    assert!(views.iter().all(|view| *view == views[0]), "seed {seed}: nodes differ: {views:?}");
    for client in clients.iter_mut().filter(|client| client.token.is_some()) {
        let at = world.chance.below(count);
        world.ask(client, at);
        assert_eq!(shown(client), views[0], "seed {seed}: missed at node {at}");
        for _ in 0..2 * count {
            let at = world.chance.below(count);
            assert!(!world.ask(client, at), "seed {seed}: told by node {at} though nothing is new");
        }
    }
}

#[test]
fn nothing_is_missed_and_nothing_told_without_news_whichever_node_is_asked() {
    let seed = std::env::var("ROOST_SEED").ok().and_then(|seed| seed.parse().ok());
    let first = seed.unwrap_or_else(|| u64::try_from(now_ms()).unwrap());
    println!("ROOST_SEED={first}");
    for seed in first..first + if seed.is_some() { 1 } else { 1_500 } {
        play(seed, 1 + usize::try_from(seed % 4).unwrap());
    }
}
