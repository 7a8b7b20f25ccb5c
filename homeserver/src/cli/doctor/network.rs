//! What others see: the bell, the server itself, and its name on the network as clients and other servers look it up.

use std::time::Duration;

use reqwest::{Client, redirect};
use rustls::crypto::ring;
use serde_json::Value;

use super::{Finding, in_time};
use crate::{bell::Bell, config::Config};

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![bell(config).await];
    // An error means that one is installed already.
    drop(ring::default_provider().install_default());
    let client = Client::builder()
        .timeout(Duration::from_secs(5))
        .redirect(redirect::Policy::limited(5))
        .user_agent(concat!("roost-doctor/", env!("CARGO_PKG_VERSION")))
        .build();
    match client {
        Ok(client) => {
            findings.push(itself(&client, config).await);
            findings.extend(name(&client, config).await);
        }
        Err(error) => {
            findings.push(Finding::wrong("network", error.to_string(), "install the package ca-certificates"))
        }
    }
    findings
}

async fn bell(config: &Config) -> Finding {
    let Some(url) = &config.nats.url else { return Finding::good("nats", "not set: this is the only node") };
    let opened = Bell::nats(url.expose(), config.server_name.as_str()).await;
    let up = async {
        let Ok(bell) = &opened else { return false };
        while !bell.is_up() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    };
    if in_time(up).await == Some(true) {
        Finding::good("nats", "answers")
    } else {
        let advice =
            "look whether nats-server runs at `nats.url`; until then nodes hear of each other's writes 50 ms later";
        Finding::wrong("nats", "does not answer", advice)
    }
}

/// The server, asked where it listens.
async fn itself(client: &Client, config: &Config) -> Finding {
    let Some(address) = config.http.listen.first() else { return Finding::good("server", "listens with TLS only") };
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    match json(client, &format!("http://{host}:{}/health/ready", address.port())).await {
        Ok(answer) if answer["ready"] == true => Finding::good("server", format!("ready at {address}")),
        Ok(answer) => {
            let reason = answer["reason"].as_str().unwrap_or("something else listens there");
            Finding::wrong("server", format!("not ready at {address}"), reason.to_owned())
        }
        Err(_) => Finding::advice(
            "server",
            format!("nothing listens at {address}"),
            "start it: `roost serve` or `roost quickstart`",
        ),
    }
}

/// The server's name, looked up as clients and other servers do.
async fn name(client: &Client, config: &Config) -> Vec<Finding> {
    let name = &config.server_name;
    if name.host() == "localhost" || name.is_ip_literal() && name.host().starts_with("127.") {
        return vec![Finding::good(
            "name",
            format!("{name}: on this machine only; other servers and phones can't reach it"),
        )];
    }
    let mut findings = vec![clients(client, config).await];
    if config.federation.enabled {
        findings.push(servers(client, config).await);
    }
    findings
}

async fn clients(client: &Client, config: &Config) -> Finding {
    let (about, wanted) = ("for clients", config.public_url());
    let url = format!("https://{}/.well-known/matrix/client", config.server_name.host());
    let how =
        format!("serve {url} with {{\"m.homeserver\":{{\"base_url\":\"{wanted}\"}}}}: pass the path on to this server");
    let told = match json(client, &url).await {
        Ok(answer) => answer["m.homeserver"]["base_url"].as_str().unwrap_or_default().trim_end_matches('/').to_owned(),
        Err(error) => return Finding::advice(about, format!("{url}: {error}"), how),
    };
    if told != wanted {
        return Finding::wrong(about, format!("{url} leads to {told:?}, and `http.public_url` is {wanted:?}"), how);
    }
    match json(client, &format!("{told}/_matrix/client/versions")).await {
        Ok(answer) if answer["versions"].is_array() => {
            Finding::good(about, format!("{url} leads to {told}, which answers"))
        }
        Ok(_) => {
            Finding::wrong(about, format!("{told} answers with something else"), "pass /_matrix on to this server")
        }
        Err(error) => Finding::wrong(about, format!("{told}: {error}"), "pass /_matrix on to this server, at port 443"),
    }
}

/// As a peer does: the well-known file, else the name itself at port 8448; then the keys that are served there.
async fn servers(client: &Client, config: &Config) -> Finding {
    let (about, name) = ("for servers", &config.server_name);
    let url = format!("https://{}/.well-known/matrix/server", name.host());
    let told = match (name.port(), json(client, &url).await) {
        (None, Ok(answer)) => answer["m.server"].as_str().map(str::to_owned),
        _ => None,
    };
    let place = told.clone().unwrap_or_else(|| name.to_string());
    let has_port = place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = if has_port { place } else { format!("{place}:8448") };
    let way = if told.is_some() {
        format!("{url} leads to {place}")
    } else {
        format!("no well-known file leads on from {place}")
    };
    let how = "set `federation.delegate` to where the server is reached with TLS (like \"matrix.example.org:443\"), and pass \
               /.well-known/matrix and /_matrix on to this server; or open port 8448 with `http.tls.listen`";
    match json(client, &format!("https://{place}/_matrix/key/v2/server")).await {
        Ok(answer) if answer["server_name"] == name.as_str() => {
            Finding::good(about, format!("{way}, which answers as {name}"))
        }
        Ok(answer) => {
            let found = format!("{way}, which answers as {}", answer["server_name"]);
            Finding::wrong(about, found, "another server stands there: set `federation.delegate` right")
        }
        Err(error) => Finding::wrong(about, format!("{way}, which does not answer: {error}"), how),
    }
}

async fn json(client: &Client, url: &str) -> Result<Value, String> {
    let asked = async {
        let answer = client.get(url).send().await?;
        let status = answer.status();
        // Readiness says in its body why there is none.
        let body = answer.json::<Value>().await;
        if status.is_success() || status.as_u16() == 503 { body } else { body.map(|_| Value::Null) }
    };
    match asked.await {
        Ok(Value::Null) => Err("an error".to_owned()),
        Ok(value) => Ok(value),
        Err(error) => Err(words(&error)),
    }
}

/// The innermost cause: the outer ones repeat the address.
fn words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
