//! The server as other servers find it by its name, and whether it is the one that answers there.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use roost_federation::discovery::{Discovery, Endpoint, Internet, Network as _, Service, Step};
use ruma::ServerName;

use super::{
    finding::Finding,
    web::{USER_AGENT, client, json},
};
use crate::config::Config;

/// For all questions to name servers and web servers.
const PATIENCE: Duration = Duration::from_secs(30);
const ABOUT: &str = "for servers";
const HOW: &str = "set `federation.delegate` to where the server is reached with TLS (like \"matrix.example.org:443\"), and pass \
                   /.well-known/matrix and /_matrix on to this server; or open port 8448 with `http.tls.listen`";

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let internet = match Internet::new(&config.federation.name_servers, USER_AGENT) {
        Ok(internet) => internet,
        Err(error) => {
            let advice = "mend /etc/resolv.conf, or set `federation.name_servers`; install the package ca-certificates";
            return vec![Finding::wrong(ABOUT, error.to_string(), advice)];
        }
    };
    match tokio::time::timeout(PATIENCE, found(config, &internet)).await {
        Ok(findings) => findings,
        Err(_) => {
            let advice = "look at the name servers of this machine and at those of the name's domain";
            vec![Finding::wrong(ABOUT, "looking the name up takes too long", advice)]
        }
    }
}

async fn found(config: &Config, internet: &Internet) -> Vec<Finding> {
    let name = &config.server_name;
    let discovery = Discovery::new(internet.clone());
    let mut findings = Vec::new();
    let endpoint = match discovery.find(name, SystemTime::now(), 0).await {
        Ok(endpoint) => endpoint,
        Err(error) => return vec![Finding::wrong(ABOUT, error.to_string(), HOW)],
    };
    if name.port().is_none() && !name.is_ip_literal() {
        findings.extend(file(config, internet, &endpoint).await);
    }
    if endpoint.step == Step::Srv(Service::Matrix) {
        let host = endpoint.delegated.as_deref().unwrap_or(name).host();
        let (old, new) = (Service::Matrix.record(host), Service::MatrixFed.record(host));
        let advice = format!("add the same record as {new}, or serve a well-known file");
        findings.push(Finding::advice("SRV record", format!("{old} leads on, a deprecated name"), advice));
    }
    findings.push(answers(name, &endpoint).await);
    findings
}

/// A well-known file that should lead on and does not.
async fn file(config: &Config, internet: &Internet, endpoint: &Endpoint) -> Option<Finding> {
    let url = format!("https://{}/.well-known/matrix/server", config.server_name.host());
    let leads = endpoint.delegated.as_ref().map(|name| name.as_str());
    let wanted = config.federation.delegate.as_deref();
    let how = |to: &str| format!("serve {url} with {{\"m.server\":\"{to}\"}}: pass the path on to this server");
    match (leads, wanted) {
        (Some(leads), Some(wanted)) if leads != wanted => {
            let found = format!("{url} leads to {leads:?}, and `federation.delegate` is {wanted:?}");
            Some(Finding::wrong(ABOUT, found, how(wanted)))
        }
        (Some(_), _) => None,
        (None, wanted) => {
            let found = match internet.well_known(config.server_name.host()).await {
                Ok(answer) if answer.status == 200 => format!("{url} holds no valid `m.server`"),
                // Without a file all is well as long as none is wanted.
                _ if wanted.is_none() => return None,
                Ok(answer) => format!("{url} is answered with {}", answer.status),
                Err(error) => format!("{url}: {error}"),
            };
            let delegate = wanted.map_or_else(|| format!("{}:443", config.server_name.host()), str::to_owned);
            Some(Finding::wrong(ABOUT, found, how(&delegate)))
        }
    }
}

/// The keys that are served there, with a certificate for the right name.
async fn answers(name: &ServerName, endpoint: &Endpoint) -> Finding {
    let way = way(name, endpoint);
    let host = &endpoint.certificate_name;
    let client = client().no_proxy().http1_only().resolve_to_addrs(host, &endpoint.addresses).build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return Finding::wrong(ABOUT, error.to_string(), "install the package ca-certificates"),
    };
    // Without a port in the address, those that were found are used; an IP address has none but its own.
    let place = match (endpoint.step, &endpoint.addresses[..]) {
        (Step::Literal, [address, ..]) => address.to_string(),
        _ => endpoint.host.clone(),
    };
    match json(&client, &format!("https://{place}/_matrix/key/v2/server")).await {
        Ok(answer) if answer.value["server_name"] == name.as_str() => {
            let found = format!("{way}, which answers as {name}");
            match answer.certificate {
                Some(age) => age.tell(ABOUT, found),
                None => Finding::good(ABOUT, found),
            }
        }
        Ok(answer) => {
            let found = format!("{way}, which answers as {}", answer.value["server_name"]);
            Finding::wrong(ABOUT, found, "another server stands there: set `federation.delegate` right")
        }
        Err(failure) => {
            let found = format!("{way}, which does not answer: {}", failure.words);
            Finding::wrong(ABOUT, found, failure.remedy.unwrap_or_else(|| HOW.to_owned()))
        }
    }
}

/// The steps that led there.
fn way(name: &ServerName, endpoint: &Endpoint) -> String {
    let host = endpoint.delegated.as_deref().unwrap_or(name).host();
    let mut steps = match &endpoint.delegated {
        Some(delegated) => format!("the well-known file leads to {delegated}"),
        None => format!("no well-known file leads on from {name}"),
    };
    match endpoint.step {
        Step::Literal | Step::Port => {}
        Step::Srv(service) => steps += &format!(", its record {}", service.record(host)),
        Step::Default => steps += ", no SRV record either",
    }
    let addresses: Vec<_> = endpoint.addresses.iter().map(SocketAddr::to_string).collect();
    format!("{steps}, to {}", addresses.join(" and "))
}
