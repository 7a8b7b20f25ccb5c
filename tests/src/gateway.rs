//! A push gateway as pushes find it: a small HTTP server that notes what it is sent, and behaves as it is told.
//!
//! **Invariant:** it notes a notification whatever it answers.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// 200.
    Take,
    /// 200, and no key is known.
    Reject,
    /// 502.
    Fail,
    /// Nothing, and the connection stays open.
    Hang,
    /// 200 with what is no answer.
    Lie,
}

#[derive(Clone, Debug)]
pub struct Gateway {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    sent: Vec<Value>,
}

/// How long a test waits for a push.
const PATIENCE: Duration = Duration::from_secs(20);

impl Gateway {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("address").port();
        let state = Arc::new(Mutex::new(State { manner: Manner::Take, sent: Vec::new() }));
        let gateway = Self { port, state };
        let serving = gateway.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let gateway = serving.clone();
                tokio::spawn(async move { gateway.serve(stream).await });
            }
        });
        gateway
    }

    /// Where pushes go.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/_matrix/push/v1/notify", self.port)
    }

    /// The body of `/pushers/set` for a pusher of this gateway.
    #[must_use]
    pub fn pusher(&self, pushkey: &str) -> Value {
        json!({
            "app_id": "org.example.app", "pushkey": pushkey, "kind": "http", "app_display_name": "App",
            "device_display_name": "Phone", "lang": "en", "data": { "url": self.url(), "brand": "b" },
        })
    }

    pub fn behave(&self, manner: Manner) {
        self.state.lock().expect("state").manner = manner;
    }

    /// What it was sent so far.
    #[must_use]
    pub fn sent(&self) -> Vec<Value> {
        self.state.lock().expect("state").sent.clone()
    }

    /// The event IDs of what it was sent so far.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        self.sent().iter().filter_map(|it| it["event_id"].as_str().map(str::to_owned)).collect()
    }

    /// The counts that it was sent by themselves.
    #[must_use]
    pub fn badges(&self) -> Vec<u64> {
        let alone = self.sent().into_iter().filter(|it| it["event_id"].is_null());
        alone.filter_map(|it| it["counts"]["unread"].as_u64()).collect()
    }

    /// Waits until the last count that it was sent by itself is `unread`, and returns that notification.
    ///
    /// # Panics
    /// If it does not come in time.
    pub async fn wait_for_badge(&self, unread: u64) -> Value {
        let begin = Instant::now();
        loop {
            let last = self.sent().into_iter().rfind(|it| it["event_id"].is_null());
            if let Some(found) = last.filter(|it| it["counts"]["unread"] == unread) {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "no count of {unread}; there were {:#?}", self.sent());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it was sent `event`, and returns that notification.
    ///
    /// # Panics
    /// If it does not come in time.
    pub async fn wait_for(&self, event: &str) -> Value {
        let begin = Instant::now();
        loop {
            if let Some(found) = self.sent().into_iter().find(|it| it["event_id"] == event) {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "no push of {event}; there were {:#?}", self.sent());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some(body) = request(&mut stream).await {
            let manner = {
                let mut state = self.state.lock().expect("state");
                state.sent.push(body["notification"].clone());
                state.manner
            };
            let keys: Vec<&Value> =
                body["notification"]["devices"].as_array().into_iter().flatten().map(|d| &d["pushkey"]).collect();
            let (status, answer) = match manner {
                Manner::Take => ("200 OK", json!({ "rejected": [] }).to_string()),
                Manner::Reject => ("200 OK", json!({ "rejected": keys }).to_string()),
                Manner::Fail => ("502 Bad Gateway", "{}".to_owned()),
                Manner::Lie => ("200 OK", "<html>all is well</html>".to_owned()),
                Manner::Hang => return tokio::time::sleep(Duration::from_secs(3600)).await,
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            if stream.write_all(format!("{head}{answer}").as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// One request's body; `None` at the end of the connection.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}
