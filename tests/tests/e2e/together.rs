//! What must happen together does, or not at all: wherever the client is cut off or the node is killed, a token that is gone is
//! refused on every node and those who share rooms were told; and where they were not, nothing has changed.

use std::time::Duration;

use roost_tests::{
    Cluster, Server, User,
    keys::{CrossSigning, DeviceKeys},
    seed::Seed,
    sync::strings,
    turn,
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const ROUNDS: usize = 10;
/// In each round that many are cut off, each somewhere else.
const TRIES: usize = 14;
/// The node is killed in one round of so many.
const KILL_EVERY: usize = 3;
/// A request takes about so long here: it is cut off before that, mostly.
const LONGEST_MICROS: usize = 25_000;
/// By then what was on its way is done, and every node has heard of it.
const SETTLED: Duration = Duration::from_secs(2);

/// What is cut off.
#[derive(Debug, Clone, Copy)]
enum Act {
    LogOut,
    LogOutAll,
    Delete,
    Password,
    Deactivate,
    DeviceKeys,
    CrossSigning,
}

const ACTS: [Act; 7] =
    [Act::LogOut, Act::LogOutAll, Act::Delete, Act::Password, Act::Deactivate, Act::DeviceKeys, Act::CrossSigning];

/// One user who is in a room with the watcher, and what they are about to do.
struct Try {
    act: Act,
    main: User,
    second: User,
    request: String,
}

impl Try {
    async fn new(act: Act, one: &Server, two: &Server, room: &str) -> Self {
        let main = one.user("cut").await;
        main.join(room).await;
        let second = main.new_device().await;
        // Both nodes know both tokens well.
        for node in [one, two] {
            for user in [&main, &second] {
                let _ = user.on(node).get("account/whoami").await.ok();
            }
        }
        let request = request(act, &main, &second).await;
        Self { act, main, second, request }
    }

    /// Sends the request and resets the connection after `delay`.
    async fn cut(&self, delay: Duration) {
        let address = self.main.server.base().trim_start_matches("http://").to_owned();
        let Ok(mut stream) = TcpStream::connect(address).await else { return };
        stream.set_zero_linger().expect("a socket that resets");
        if stream.write_all(self.request.as_bytes()).await.is_ok() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Whether it happened, as every node and every sign of it says.
    async fn happened(&self, nodes: [&Server; 2], watcher: &User) -> bool {
        let mut signs = Vec::new();
        for node in nodes {
            let tokens: &[&User] = match self.act {
                Act::LogOut | Act::Delete | Act::Password => &[&self.second],
                Act::LogOutAll | Act::Deactivate => &[&self.main, &self.second],
                Act::DeviceKeys | Act::CrossSigning => &[],
            };
            for user in tokens {
                signs.push(user.on(node).get("account/whoami").await.status == 401);
            }
            let ask = json!({ "device_keys": { &self.main.id: [] } });
            let keys = watcher.on(node).post("keys/query", ask).await.ok();
            match self.act {
                Act::DeviceKeys => signs.push(keys["device_keys"][&self.main.id][&self.main.device].is_object()),
                Act::CrossSigning => signs.push(keys["master_keys"][&self.main.id].is_object()),
                _ => {}
            }
        }
        let login = |password: &str| {
            let (server, name, password) = (nodes[1].clone(), self.main.localpart().to_owned(), password.to_owned());
            async move { server.login(&name, &password, None).await.status == 200 }
        };
        match self.act {
            Act::Password => signs.push(login("another one").await),
            Act::Deactivate => signs.push(!login(&self.main.password).await),
            _ => {}
        }
        assert!(signs.windows(2).all(|two| two[0] == two[1]), "{:?} is half-done: {signs:?}", self.act);
        signs[0]
    }
}

/// The request as text.
async fn request(act: Act, main: &User, second: &User) -> String {
    let device = format!("devices/{}", second.device);
    let proved = async |method: &str, path: &str, mut body: Value| {
        let begun = main.server.call(method, path, Some(&main.token), Some(&body)).await.unauthorized();
        body["auth"] = json!({
            "type": "m.login.password", "identifier": { "type": "m.id.user", "user": main.id },
            "password": main.password, "session": begun["session"],
        });
        body
    };
    let (method, path, token, body) = match act {
        Act::LogOut => ("POST", "logout", &second.token, json!({})),
        Act::LogOutAll => ("POST", "logout/all", &main.token, json!({})),
        Act::Delete => ("DELETE", device.as_str(), &main.token, proved("DELETE", &device, json!({})).await),
        Act::Password => {
            let body = proved("POST", "account/password", json!({ "new_password": "another one" })).await;
            ("POST", "account/password", &main.token, body)
        }
        Act::Deactivate => {
            ("POST", "account/deactivate", &main.token, proved("POST", "account/deactivate", json!({})).await)
        }
        Act::DeviceKeys => {
            ("POST", "keys/upload", &main.token, json!({ "device_keys": DeviceKeys::new(main).identity() }))
        }
        Act::CrossSigning => ("POST", "keys/device_signing/upload", &main.token, CrossSigning::new(main).upload()),
    };
    let body = body.to_string();
    format!(
        "{method} /_matrix/client/v3/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_happen_together_does_or_not_at_all() {
    let _turn = turn::alone().await;
    let mut seed = Seed::announced("what_must_happen_together_does_or_not_at_all");
    let mut cluster = Cluster::start(2).await;
    let (one, two) = (cluster.server(0), cluster.server(1));
    let watcher = two.user("watcher").await;
    let room = watcher.public_room("a room").await;
    let (mut happened, mut not) = (0, 0);
    for round in 0..ROUNDS {
        let mut tries = Vec::new();
        for n in 0..TRIES {
            tries.push(Try::new(ACTS[(round * TRIES + n) % ACTS.len()], &one, &two, &room).await);
        }
        watcher.sync().await;
        watcher.sync().await;
        let delays: Vec<Duration> =
            tries.iter().map(|_| Duration::from_micros(seed.below(LONGEST_MICROS) as u64)).collect();
        let cuts = futures::future::join_all(tries.iter().zip(&delays).map(|(it, delay)| it.cut(*delay)));
        if round % KILL_EVERY == 0 {
            let kill = Duration::from_micros(seed.below(LONGEST_MICROS) as u64);
            let killed = async {
                tokio::time::sleep(kill).await;
                cluster.nodes[0].kill();
            };
            tokio::join!(cuts, killed);
            cluster.nodes[0].up();
            cluster.nodes[0].ready(Duration::from_secs(60)).await;
        } else {
            cuts.await;
        }
        tokio::time::sleep(SETTLED).await;
        let lists = watcher.sync().await["device_lists"].clone();
        // Whoever is deactivated also leaves the room.
        let told = [strings(&lists["changed"]), strings(&lists["left"])].concat();
        for it in &tries {
            let is = it.happened([&one, &two], &watcher).await;
            assert_eq!(is, told.contains(&it.main.id), "{:?}: happened, and told?", it.act);
            if is { happened += 1 } else { not += 1 }
        }
    }
    println!("{happened} happened, {not} did not");
    assert!(happened >= ROUNDS, "cut off too early to show anything");
}
