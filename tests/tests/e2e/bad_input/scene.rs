//! What path variables stand for: a room that the asker is in, things in it, and things of the asker's.

use roost_tests::{
    Server,
    http::{Reply, seg, text},
    shared,
    user::User,
};
use serde_json::{Value, json};

use super::{
    findings::PATIENCE,
    kind::{Kind, fresh},
    table::Takes,
};

/// One route as `roost routes --json` lists it.
#[derive(Clone, Debug)]
pub struct Route {
    pub method: String,
    pub path: String,
}

impl Route {
    /// Older names of the same handlers have their tokens and methods checked, and no more.
    pub fn is_alias(&self) -> bool {
        self.path.contains("/r0/")
    }

    pub fn variables(&self) -> Vec<&str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
    }

    /// Whether a request that goes through ends the session that it was asked in.
    pub fn ends_the_session(&self) -> bool {
        self.path.ends_with("/logout") || self.path.ends_with("/logout/all")
    }
}

pub struct Scene {
    pub user: User,
    /// Somebody else, who is in the room too.
    pub other: User,
    pub room: String,
    pub event: String,
    /// A room that no case names, for the message at the end.
    home: String,
    backup: String,
    filter: String,
    since: String,
    media: String,
}

impl Scene {
    pub async fn new(server: &Server) -> Self {
        let (user, other) = (server.user("alice").await, server.user("bob").await);
        let room = user.public_room("bad input").await;
        other.join(&room).await;
        let event = user.say(&room, "good").await;
        let home = user.public_room("home").await;
        let backup = json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {} });
        let backup = text(&user.post("room_keys/version", backup).await.ok()["version"]);
        let filter = text(&user.post(&user.own("filter"), json!({})).await.ok()["filter_id"]);
        let rule = json!({ "actions": ["notify"], "conditions": [] });
        let _ = user.put("pushrules/global/override/sample", rule).await.ok();
        let _ = user.sync().await;
        let since = user.since().unwrap_or_default();
        let upload = Some(("text/plain", b"sample".to_vec()));
        let upload = server.try_bytes("POST", "/_matrix/media/v3/upload", Some(&user.token), upload).await;
        let uri = text(&upload.expect("an answer").ok()["content_uri"]);
        let media = uri.rsplit('/').next().unwrap_or_default().to_owned();
        Self { user, other, room, event, home, backup, filter, since, media }
    }

    /// A well-formed value of a path variable.
    fn value(&self, variable: &str) -> String {
        match variable {
            "roomId" | "room_id" | "roomIdOrAlias" => self.room.clone(),
            "userId" | "user_id" => self.user.id.clone(),
            "eventId" => self.event.clone(),
            "deviceId" => self.user.device.clone(),
            "roomAlias" => "#nobody:localhost".to_owned(),
            "eventType" | "event_type" | "type" => "org.example.bad".to_owned(),
            "receiptType" => "m.read".to_owned(),
            "keyName" => "displayname".to_owned(),
            "server_name" => "localhost".to_owned(),
            "media_id" => self.media.clone(),
            "kind" => "override".to_owned(),
            "version" => self.backup.clone(),
            "filter_id" => self.filter.clone(),
            "txnId" | "txn_id" => fresh(),
            _ => "sample".to_owned(),
        }
    }

    /// The route's path with samples, or with `value` as it is for the variable number `at`; and what its query must have.
    pub fn path(&self, route: &Route, takes: &Takes, swap: Option<(usize, &str)>) -> String {
        let mut seen = 0;
        let parts = route.path.split('/').map(|part| {
            let Some(variable) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
                return part.to_owned();
            };
            seen += 1;
            match swap {
                Some((at, value)) if at + 1 == seen => value.to_owned(),
                _ => seg(&self.value(variable)),
            }
        });
        let path = parts.collect::<Vec<_>>().join("/");
        self.query(&path, takes, None)
    }

    /// `path` with the parameters that must be there, but for the one named `without`.
    pub fn query(&self, path: &str, takes: &Takes, without: Option<&str>) -> String {
        let path = path.split('?').next().unwrap_or_default();
        let wanted = takes.query.iter().filter(|field| field.required && Some(field.name) != without);
        let pairs: Vec<String> = wanted
            .map(|field| {
                let value = match (field.name, field.kind) {
                    ("version", _) => self.backup.clone(),
                    (_, Kind::Token) => self.since.clone(),
                    (_, kind) => {
                        let sample = kind.sample(self);
                        sample.as_str().map_or_else(|| sample.to_string(), str::to_owned)
                    }
                };
                format!("{}={}", field.name, seg(&value))
            })
            .collect();
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
    }

    /// One request; whatever is no answer within the time is an error.
    pub async fn ask(
        &self,
        route: &Route,
        path: &str,
        token: Option<&str>,
        body: Option<Vec<u8>>,
    ) -> Result<Reply, String> {
        let body = body.map(|bytes| ("application/json", bytes));
        let call = self.user.server.try_bytes(&route.method, path, token, body);
        let named = |why: String| format!("{} {path}: {why}", route.method);
        match tokio::time::timeout(PATIENCE * 2, call).await {
            Ok(answer) => answer.map_err(|error| named(format!("{error:?}"))),
            Err(_) => Err(named("nothing in time".to_owned())),
        }
    }

    /// After all cases: ready, without a panic in its log, and a message goes through.
    pub async fn is_sound(&self) {
        let _ = self.user.server.call("GET", "/health/ready", None, None).await.ok();
        let log = std::fs::read_to_string(shared::quickstart().await.log()).expect("the server's log");
        assert!(!log.contains("panicked"), "a part of the server panicked:\n{log}");
        self.user.say(&self.home, "still here").await;
    }
}

/// Every route of the server under test.
pub async fn routes() -> Vec<Route> {
    let listed = shared::quickstart().await.cli().run(&["routes", "--json"]).await.json();
    let field = |value: &Value| text(value);
    let list = listed.as_array().expect("a list");
    list.iter().map(|route| Route { method: field(&route["method"]), path: field(&route["path"]) }).collect()
}
