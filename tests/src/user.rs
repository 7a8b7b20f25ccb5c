//! One logged-in device of a user, and what it does in rooms.
//!
//! **Invariant:** a helper that returns a value has asserted success; what may fail is asked for with the plain
//! methods ([`User::get`], [`User::put`], …), whose [`Reply`] the test judges.

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::{
    http::{Reply, Server, seg, text},
    scratch,
};

#[derive(Debug)]
pub struct User {
    pub server: Server,
    pub id: String,
    pub device: String,
    pub token: String,
    pub password: String,
    /// The token of the last sync.
    pub(crate) since: Mutex<Option<String>>,
}

impl User {
    /// From the answer of `/register` or `/login`.
    #[must_use]
    pub fn from_login(server: Server, answer: &Value, password: &str) -> Self {
        Self {
            server,
            id: text(&answer["user_id"]),
            device: text(&answer["device_id"]),
            token: text(&answer["access_token"]),
            password: password.to_owned(),
            since: Mutex::new(None),
        }
    }

    /// The same device, speaking to another node from the same place in its sync.
    #[must_use]
    pub fn on(&self, server: &Server) -> Self {
        Self {
            server: server.clone(),
            id: self.id.clone(),
            device: self.device.clone(),
            token: self.token.clone(),
            password: self.password.clone(),
            since: Mutex::new(self.since.lock().expect("sync token").clone()),
        }
    }

    /// The part of the user id between `@` and `:`.
    #[must_use]
    pub fn localpart(&self) -> &str {
        self.id[1..].split(':').next().unwrap_or_default()
    }

    /// A further device of this user.
    pub async fn new_device(&self) -> Self {
        let answer = self.server.login(self.localpart(), &self.password, None).await.ok();
        Self::from_login(self.server.clone(), &answer, &self.password)
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.server.call("GET", path, Some(&self.token), None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.server.call("PUT", path, Some(&self.token), Some(&body)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.server.call("POST", path, Some(&self.token), Some(&body)).await
    }

    pub async fn delete(&self, path: &str, body: Option<Value>) -> Reply {
        self.server.call("DELETE", path, Some(&self.token), body.as_ref()).await
    }

    /// Asks once without and once with the password, as user-interactive authentication wants it.
    pub async fn with_password(&self, method: &str, path: &str, mut body: Value) -> Reply {
        let first = self.server.call(method, path, Some(&self.token), Some(&body)).await.unauthorized();
        body["auth"] = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": self.id },
            "password": self.password,
            "session": first["session"],
        });
        self.server.call(method, path, Some(&self.token), Some(&body)).await
    }

    /// Creates a room and returns its id.
    pub async fn create_room(&self, request: Value) -> String {
        text(&self.post("createRoom", request).await.ok()["room_id"])
    }

    /// A public room with a name.
    pub async fn public_room(&self, name: &str) -> String {
        self.create_room(json!({ "preset": "public_chat", "name": name })).await
    }

    pub async fn join(&self, room: &str) {
        let _ = self.post(&format!("join/{}", seg(room)), json!({})).await.ok();
    }

    pub async fn leave(&self, room: &str) {
        let _ = self.post(&at(room, "leave"), json!({})).await.ok();
    }

    pub async fn invite(&self, room: &str, whom: &Self) {
        let _ = self.post(&at(room, "invite"), json!({ "user_id": whom.id })).await.ok();
    }

    /// Kick, ban or unban.
    pub async fn moderate(&self, how: &str, room: &str, whom: &Self) -> Reply {
        self.post(&at(room, how), json!({ "user_id": whom.id })).await
    }

    /// Sends a text message and returns its event id.
    pub async fn say(&self, room: &str, words: &str) -> String {
        self.send(room, "m.room.message", json!({ "msgtype": "m.text", "body": words })).await
    }

    /// Sends any event under a fresh transaction id.
    pub async fn send(&self, room: &str, kind: &str, content: Value) -> String {
        text(&self.send_as(room, kind, &txn(), content).await.ok()["event_id"])
    }

    /// Sends under a chosen transaction id.
    pub async fn send_as(&self, room: &str, kind: &str, txn: &str, content: Value) -> Reply {
        self.put(&at(room, &format!("send/{}/{}", seg(kind), seg(txn))), content).await
    }

    pub async fn set_state(&self, room: &str, kind: &str, key: &str, content: Value) -> Reply {
        self.put(&at(room, &format!("state/{}/{}", seg(kind), seg(key))), content).await
    }

    pub async fn state(&self, room: &str, kind: &str, key: &str) -> Reply {
        self.get(&at(room, &format!("state/{}/{}", seg(kind), seg(key)))).await
    }

    pub async fn redact(&self, room: &str, event: &str) -> String {
        let path = at(room, &format!("redact/{}/{}", seg(event), txn()));
        text(&self.put(&path, json!({})).await.ok()["event_id"])
    }

    pub async fn event(&self, room: &str, event: &str) -> Reply {
        self.get(&at(room, &format!("event/{}", seg(event)))).await
    }

    /// `/messages` with a query such as `dir=b&limit=10`.
    pub async fn messages(&self, room: &str, query: &str) -> Value {
        self.get(&at(room, &format!("messages?{query}"))).await.ok()
    }

    /// Global account data.
    pub async fn account_data(&self, kind: &str) -> Reply {
        self.get(&self.own(&format!("account_data/{}", seg(kind)))).await
    }

    /// A path below `user/{userId}`.
    #[must_use]
    pub fn own(&self, rest: &str) -> String {
        format!("user/{}/{rest}", seg(&self.id))
    }

    /// Sends one to-device message to one device.
    pub async fn to_device(&self, to: &Self, kind: &str, content: Value) {
        self.to_device_as(&txn(), to, kind, content).await;
    }

    pub async fn to_device_as(&self, txn: &str, to: &Self, kind: &str, content: Value) {
        let path = format!("sendToDevice/{}/{}", seg(kind), seg(txn));
        let body = json!({ "messages": { &to.id: { &to.device: content } } });
        let _ = self.put(&path, body).await.ok();
    }

    pub async fn logout(&self) {
        let _ = self.post("logout", json!({})).await.ok();
    }
}

/// A path below `rooms/{roomId}`.
#[must_use]
pub fn at(room: &str, rest: &str) -> String {
    format!("rooms/{}/{rest}", seg(room))
}

/// A transaction id that was not used before.
#[must_use]
pub fn txn() -> String {
    scratch::numbered("txn")
}
