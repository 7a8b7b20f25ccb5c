//! A minimal Matrix client-server API client: just the calls the scenarios need.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

static TXN: AtomicU64 = AtomicU64::new(0);

/// The server under test and how accounts are made on it.
#[derive(Clone)]
pub struct Server {
    pub base: String,
    pub http: reqwest::Client,
    pub registration_token: Option<String>,
}

/// A logged-in account.
#[derive(Clone)]
pub struct User {
    server: Server,
    pub user_id: String,
    pub device_id: String,
    token: String,
}

impl Server {
    pub fn new(base: &str, registration_token: Option<String>) -> Result<Self> {
        let http = reqwest::Client::builder().pool_max_idle_per_host(4096).timeout(Duration::from_secs(180)).build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http, registration_token })
    }

    /// Registers `name`, answering the dummy (or token) stage of user-interactive auth.
    pub async fn register(&self, name: &str) -> Result<User> {
        let url = format!("{}/_matrix/client/v3/register", self.base);
        let mut body =
            json!({"username": name, "password": format!("pw-{name}-Aa1!"), "initial_device_display_name": "bench"});
        let first = self.http.post(&url).json(&body).send().await?;
        let mut answer: Value = first.json().await?;
        // One stage a round: servers may ask for a token first and the dummy stage after it.
        for _ in 0..3 {
            let Some(session) = answer.get("session").cloned() else { break };
            let completed = answer["completed"].as_array().cloned().unwrap_or_default();
            let stage = answer["flows"][0]["stages"]
                .as_array()
                .and_then(|stages| stages.iter().find(|s| !completed.contains(s)))
                .and_then(Value::as_str)
                .unwrap_or("m.login.dummy")
                .to_owned();
            let mut auth = json!({"type": stage, "session": session});
            if let Some(token) = &self.registration_token {
                auth["token"] = json!(token);
            }
            body["auth"] = auth;
            answer = self.http.post(&url).json(&body).send().await?.json().await?;
        }
        let Some(token) = answer["access_token"].as_str() else {
            bail!("registration of {name} failed: {answer}");
        };
        Ok(User {
            server: self.clone(),
            user_id: answer["user_id"].as_str().context("user_id")?.to_owned(),
            device_id: answer["device_id"].as_str().context("device_id")?.to_owned(),
            token: token.to_owned(),
        })
    }
}

impl User {
    async fn call(&self, method: Method, path: &str, query: &[(&str, &str)], body: Option<Value>) -> Result<Value> {
        let url = format!("{}{path}", self.server.base);
        let mut request = self.server.http.request(method, &url).bearer_auth(&self.token).query(query);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.with_context(|| url.clone())?;
        let status = response.status();
        let bytes = response.bytes().await?;
        let value: Value = serde_json::from_slice(&bytes).with_context(|| format!("{url}: not JSON ({status})"))?;
        if !status.is_success() {
            bail!("{url}: {status}: {value}");
        }
        Ok(value)
    }

    pub async fn create_room(&self, extra: Value) -> Result<String> {
        let mut body = json!({"preset": "public_chat"});
        if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
            body.extend(extra.clone());
        }
        let answer = self.call(Method::POST, "/_matrix/client/v3/createRoom", &[], Some(body)).await?;
        Ok(answer["room_id"].as_str().context("room_id")?.to_owned())
    }

    pub async fn join(&self, room: &str) -> Result<()> {
        let path = format!("/_matrix/client/v3/rooms/{}/join", escape(room));
        self.call(Method::POST, &path, &[], Some(json!({}))).await.map(drop)
    }

    /// Sends a text message and returns its event ID.
    pub async fn send(&self, room: &str, text: &str) -> Result<String> {
        let txn = TXN.fetch_add(1, Ordering::Relaxed);
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/b{txn}", escape(room));
        let answer = self.call(Method::PUT, &path, &[], Some(json!({"msgtype": "m.text", "body": text}))).await?;
        Ok(answer["event_id"].as_str().context("event_id")?.to_owned())
    }

    /// One `/sync`; returns the body and how long it took.
    pub async fn sync(&self, since: Option<&str>, timeout_ms: u64, filter: Option<&str>) -> Result<(Value, Duration)> {
        let timeout = timeout_ms.to_string();
        let mut query = vec![("timeout", timeout.as_str())];
        query.extend(since.map(|s| ("since", s)));
        query.extend(filter.map(|f| ("filter", f)));
        let start = Instant::now();
        let body = self.call(Method::GET, "/_matrix/client/v3/sync", &query, None).await?;
        Ok((body, start.elapsed()))
    }

    /// One simplified sliding sync (the dialect that deployed clients speak), as a phone opening its room list sends it.
    pub async fn sliding_sync(
        &self,
        connection: &str,
        pos: Option<&str>,
        timeout_ms: u64,
    ) -> Result<(Value, Duration)> {
        let timeout = timeout_ms.to_string();
        let mut query = vec![("timeout", timeout.as_str())];
        query.extend(pos.map(|p| ("pos", p)));
        let body = json!({
            "conn_id": connection,
            "lists": {"all": {
                "ranges": [[0, 19]],
                "timeline_limit": 1,
                "required_state": [["m.room.create", ""], ["m.room.name", ""], ["m.room.avatar", ""], ["m.room.encryption", ""], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"], ["m.room.power_levels", ""]],
            }},
            "extensions": {"account_data": {"enabled": true}, "receipts": {"enabled": true}, "typing": {"enabled": true}},
        });
        let start = Instant::now();
        let answer = self
            .call(Method::POST, "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", &query, Some(body))
            .await?;
        Ok((answer, start.elapsed()))
    }

    pub async fn messages(&self, room: &str, from: Option<&str>, limit: u32) -> Result<Value> {
        let limit = limit.to_string();
        let mut query = vec![("dir", "b"), ("limit", limit.as_str())];
        query.extend(from.map(|f| ("from", f)));
        self.call(Method::GET, &format!("/_matrix/client/v3/rooms/{}/messages", escape(room)), &query, None).await
    }

    /// How many messages are found by `term`.
    pub async fn search(&self, term: &str) -> Result<u64> {
        let body = json!({"search_categories": {"room_events": {"search_term": term}}});
        let answer = self.call(Method::POST, "/_matrix/client/v3/search", &[], Some(body)).await?;
        answer["search_categories"]["room_events"]["count"].as_u64().context("count")
    }

    pub async fn members(&self, room: &str) -> Result<usize> {
        let path = format!("/_matrix/client/v3/rooms/{}/joined_members", escape(room));
        let answer = self.call(Method::GET, &path, &[], None).await?;
        Ok(answer["joined"].as_object().map_or(0, |m| m.len()))
    }

    /// Uploads `count` fake one-time keys; the signatures are opaque to a homeserver.
    pub async fn upload_keys(&self, count: u32) -> Result<()> {
        let signed = |n: u32| {
            let mut signatures = serde_json::Map::new();
            signatures
                .insert(self.user_id.clone(), json!({format!("ed25519:{}", self.device_id): "c2lnbmF0dXJl".repeat(7)}));
            json!({"key": format!("{n:043}"), "signatures": signatures})
        };
        let keys: serde_json::Map<_, _> =
            (0..count).map(|n| (format!("signed_curve25519:AAAA{n:04}"), signed(n))).collect();
        let mut device = signed(0);
        device["user_id"] = json!(self.user_id);
        device["device_id"] = json!(self.device_id);
        device["algorithms"] = json!(["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"]);
        device["keys"] = json!({format!("ed25519:{}", self.device_id): "A".repeat(43), format!("curve25519:{}", self.device_id): "B".repeat(43)});
        device.as_object_mut().map(|d| d.remove("key"));
        let body = json!({"device_keys": device, "one_time_keys": keys});
        self.call(Method::POST, "/_matrix/client/v3/keys/upload", &[], Some(body)).await.map(drop)
    }

    /// Claims one key for each device; returns how many keys came back.
    pub async fn claim_keys(&self, targets: &[User]) -> Result<usize> {
        let wanted: serde_json::Map<_, _> =
            targets.iter().map(|u| (u.user_id.clone(), json!({u.device_id.clone(): "signed_curve25519"}))).collect();
        let answer = self
            .call(Method::POST, "/_matrix/client/v3/keys/claim", &[], Some(json!({"one_time_keys": wanted})))
            .await?;
        Ok(answer["one_time_keys"].as_object().map_or(0, |m| m.len()))
    }

    pub async fn query_keys(&self, targets: &[User]) -> Result<usize> {
        let wanted: serde_json::Map<_, _> = targets.iter().map(|u| (u.user_id.clone(), json!([]))).collect();
        let answer =
            self.call(Method::POST, "/_matrix/client/v3/keys/query", &[], Some(json!({"device_keys": wanted}))).await?;
        Ok(answer["device_keys"].as_object().map_or(0, |m| m.len()))
    }

    /// Sends one to-device message to every target, as sharing a room key does.
    pub async fn to_device(&self, targets: &[User]) -> Result<()> {
        let txn = TXN.fetch_add(1, Ordering::Relaxed);
        let content = json!({"algorithm": "m.olm.v1.curve25519-aes-sha2", "ciphertext": "x".repeat(600)});
        let messages: serde_json::Map<_, _> =
            targets.iter().map(|u| (u.user_id.clone(), json!({u.device_id.clone(): content}))).collect();
        let path = format!("/_matrix/client/v3/sendToDevice/m.room.encrypted/t{txn}");
        self.call(Method::PUT, &path, &[], Some(json!({"messages": messages}))).await.map(drop)
    }
}

/// Percent-encodes a path segment.
pub fn escape(segment: &str) -> String {
    segment
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                (b as char).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}
