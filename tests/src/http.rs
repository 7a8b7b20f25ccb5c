//! Plain HTTP to one server, with answers that assert.
//!
//! **Invariant:** nothing is retried here: a test sees every failure.

use std::{
    fmt::Write as _,
    sync::Once,
    time::{Duration, Instant},
};

use reqwest::{
    Client, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap},
};
use serde_json::{Value, json};

use crate::{scratch, user::User};

/// A server's address and a connection pool; cheap to clone.
#[derive(Clone, Debug)]
pub struct Server {
    base: String,
    http: Client,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Method and path, for messages.
    pub asked: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    pub bytes: Vec<u8>,
    /// From the request's start to the end of its body.
    pub took: Duration,
}

impl Server {
    /// The server at `base` (`http://127.0.0.1:PORT`).
    #[must_use]
    pub fn at(base: &str) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error means that one is installed already.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let http = Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(180))
            .build()
            .expect("an HTTP client");
        Self { base: base.to_owned(), http }
    }

    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// One request. Paths are absolute (`/health/ready`) or relative to `/_matrix/client/v3` (`rooms/…`).
    ///
    /// # Errors
    /// If no complete answer came.
    pub async fn try_call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> reqwest::Result<Reply> {
        let bytes = body.map(|body| ("application/json", body.to_string().into_bytes()));
        self.try_bytes(method, path, token, bytes).await
    }

    /// As [`Server::try_call`], for a test that expects an answer.
    ///
    /// # Panics
    /// If no complete answer came.
    pub async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Reply {
        self.try_call(method, path, token, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// A request with any body.
    ///
    /// # Errors
    /// If no complete answer came.
    pub async fn try_bytes(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<(&str, Vec<u8>)>,
    ) -> reqwest::Result<Reply> {
        self.try_with(method, path, token, &[], body).await
    }

    /// A request with any body and more headers.
    ///
    /// # Errors
    /// If no complete answer came.
    pub async fn try_with(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<(&str, Vec<u8>)>,
    ) -> reqwest::Result<Reply> {
        let url = match path.strip_prefix('/') {
            Some(_) => format!("{}{path}", self.base),
            None => format!("{}/_matrix/client/v3/{path}", self.base),
        };
        let mut request = self.http.request(Method::from_bytes(method.as_bytes()).expect("a method"), url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some((kind, bytes)) = body {
            request = request.header(CONTENT_TYPE, kind).body(bytes);
        }
        let begin = Instant::now();
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await?.to_vec();
        let took = begin.elapsed();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Reply { asked: format!("{method} {path}"), status, headers, body, bytes, took })
    }

    /// Registers a user whose name starts with `name` and is used by nobody else, and logs in on a first device.
    pub async fn user(&self, name: &str) -> User {
        let localpart = scratch::name(name);
        self.register(&localpart).await
    }

    /// Registers exactly `localpart` (registration is open).
    pub async fn register(&self, localpart: &str) -> User {
        let password = format!("correct horse {localpart}");
        let mut ask = json!({ "username": localpart, "password": password });
        let session = self.call("POST", "register", None, Some(&ask)).await.unauthorized();
        ask["auth"] = json!({ "type": "m.login.dummy", "session": session["session"] });
        let made = self.call("POST", "register", None, Some(&ask)).await.ok();
        User::from_login(self.clone(), &made, &password)
    }

    /// Logs in with a password; a new device unless `device` names one.
    pub async fn login(&self, localpart: &str, password: &str, device: Option<&str>) -> Reply {
        let mut ask = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": localpart },
            "password": password,
        });
        if let Some(device) = device {
            ask["device_id"] = json!(device);
        }
        self.call("POST", "login", None, Some(&ask)).await
    }
}

impl Reply {
    /// The body of a 200.
    ///
    /// # Panics
    /// On every other status.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}: {}", self.asked, self.text());
        self.body
    }

    /// The body of a 401 that asks for user-interactive authentication.
    ///
    /// # Panics
    /// If it is something else.
    #[track_caller]
    #[must_use]
    pub fn unauthorized(self) -> Value {
        assert_eq!(self.status, 401, "{}: {}", self.asked, self.text());
        assert!(self.body["session"].is_string() && self.body["flows"].is_array(), "{}: {}", self.asked, self.text());
        self.body
    }

    /// An error with this status and code, and a sentence.
    ///
    /// # Panics
    /// If it is something else.
    #[track_caller]
    pub fn is(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.body["errcode"].as_str()),
            (status, Some(code)),
            "{}: {}",
            self.asked,
            self.text()
        );
        let sentence = self.body["error"].as_str().unwrap_or_default();
        assert!(sentence.len() > 3, "{}: an error needs a helpful sentence: {}", self.asked, self.text());
    }

    /// A header's text, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(2_000)]).into_owned()
    }
}

/// Percent-encodes one path segment or query value.
#[must_use]
pub fn seg(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A string out of an answer.
///
/// # Panics
/// If it is not there.
#[track_caller]
#[must_use]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string is missing: {value}")).to_owned()
}
