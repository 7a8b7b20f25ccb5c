//! What others see: the bell, the server itself, and its name on the network as clients and other servers look it up.

use reqwest::{Client, redirect};
use rustls::crypto::ring;

use super::{
    finding::{Finding, in_time},
    servers,
    web::{Answer, client, json},
};
use crate::{
    bell::{Bell, Refusal},
    config::Config,
};

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![bell(config).await];
    // An error means that one is installed already.
    drop(ring::default_provider().install_default());
    match client().redirect(redirect::Policy::limited(5)).build() {
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
    if config.nats.url.is_empty() {
        return Finding::good("nats", "not set: this is the only node");
    }
    let refusal = match in_time(Bell::try_out(&config.nats)).await {
        Some(Ok(())) => return Finding::good("nats", "answers"),
        Some(Err(refusal @ Refusal::Away(_))) => {
            let advice =
                "look whether nats-server runs at `nats.url`; until then nodes hear of each other's writes 50 ms later";
            return Finding::wrong("nats", refusal.to_string(), advice);
        }
        None => return Finding::wrong("nats", "does not answer", "look whether nats-server runs at `nats.url`"),
        Some(Err(refusal)) => refusal,
    };
    let remedy = match &refusal {
        Refusal::Unauthorized => "set user and password, or a token, in `nats.url`, or `nats.credentials`",
        Refusal::Tls(_) => {
            "`nats.tls.authority` names who signed the server's certificate, which must hold the host's name"
        }
        _ => "mend it, then ask again",
    };
    Finding::wrong("nats", refusal.to_string(), remedy)
}

/// The server, asked where it listens.
async fn itself(client: &Client, config: &Config) -> Finding {
    let Some(address) = config.http.listen.first() else { return Finding::good("server", "listens with TLS only") };
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    match json(client, &format!("http://{host}:{}/health/ready", address.port())).await {
        Ok(Answer { value: answer, .. }) if answer["ready"] == true => {
            Finding::good("server", format!("ready at {address}"))
        }
        Ok(Answer { value: answer, .. }) => {
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
        findings.extend(servers::look(config).await);
    }
    findings
}

async fn clients(client: &Client, config: &Config) -> Finding {
    let (about, wanted) = ("for clients", config.public_url());
    let url = format!("https://{}/.well-known/matrix/client", config.server_name.host());
    let how =
        format!("serve {url} with {{\"m.homeserver\":{{\"base_url\":\"{wanted}\"}}}}: pass the path on to this server");
    let answer = match json(client, &url).await {
        Ok(answer) => answer.value,
        Err(failure) => {
            return Finding::advice(about, format!("{url}: {}", failure.words), failure.remedy.unwrap_or(how));
        }
    };
    let told = answer["m.homeserver"]["base_url"].as_str().unwrap_or_default().trim_end_matches('/');
    if told != wanted {
        return Finding::wrong(about, format!("{url} leads to {told:?}, and `http.public_url` is {wanted:?}"), how);
    }
    let pass = "pass /_matrix on to this server, at port 443";
    match json(client, &format!("{told}/_matrix/client/versions")).await {
        Ok(answer) if answer.value["versions"].is_array() => {
            let found = format!("{url} leads to {told}, which answers");
            match answer.certificate {
                Some(age) => age.tell(about, found),
                None => Finding::good(about, found),
            }
        }
        Ok(_) => Finding::wrong(about, format!("{told} answers with something else"), pass),
        Err(failure) => Finding::wrong(
            about,
            format!("{told}: {}", failure.words),
            failure.remedy.unwrap_or_else(|| pass.to_owned()),
        ),
    }
}
