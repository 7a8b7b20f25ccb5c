//! The request to a push gateway, and which addresses it may go to.
//!
//! Whoever sets a pusher chooses where this server connects to: without a limit that would be a way into the operator's
//! own network.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use ipnet::IpNet;
use reqwest::{Client, Url, redirect::Policy};
use serde::Deserialize;

use super::notification::Body;
use crate::reach::{Reach, literal};

/// The path that every gateway has.
pub(super) const PATH: &str = "/_matrix/push/v1/notify";
/// For the whole request.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer is a list of our own keys: more is none.
const MAX_ANSWER: usize = 64 << 10;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    /// It is to be tried again.
    Failed,
    /// The gateway does not know the key any more: the pusher goes.
    Gone,
}

pub(super) struct Gateway {
    client: Client,
    reach: Reach,
}

#[derive(Deserialize)]
struct Answer {
    rejected: Vec<String>,
}

impl Gateway {
    pub fn new(allowed: Vec<IpNet>) -> reqwest::Result<Self> {
        // An error means that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reach = Reach::new(allowed);
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE / 2)
            .pool_max_idle_per_host(8)
            .dns_resolver(Arc::new(reach.clone()))
            .user_agent(concat!("Roost/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, reach })
    }

    /// Whether a pusher may name this address: HTTPS, or in one of the allowed networks plain HTTP, and the path that every
    /// gateway has.
    pub fn takes(&self, url: &str) -> Result<(), &'static str> {
        let url = Url::parse(url).map_err(|_| "`data.url` must be a URL.")?;
        if url.path() != PATH {
            return Err("The path of `data.url` must be /_matrix/push/v1/notify.");
        }
        let inside = literal(&url).is_some_and(|ip| self.reach.lists(ip));
        match url.scheme() {
            "https" => Ok(()),
            "http" if inside => Ok(()),
            _ => Err("`data.url` must be an HTTPS URL."),
        }
    }

    /// Sends one notification for the device with `pushkey`.
    pub async fn notify(&self, url: &str, body: &Body, pushkey: &str) -> Outcome {
        let Ok(url) = Url::parse(url) else { return Outcome::Failed };
        if self.reach.refuses(&url) {
            tracing::debug!("a push gateway lies in a private network that is not allowed");
            return Outcome::Failed;
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        match self.ask(url, body).await {
            Ok(Some(answer)) if answer.rejected.iter().any(|key| key == pushkey) => Outcome::Gone,
            Ok(Some(_)) => Outcome::Taken,
            Ok(None) => {
                tracing::debug!(host, "a push gateway refused a notification");
                Outcome::Failed
            }
            Err(error) => {
                tracing::debug!(host, error = %error.without_url(), "a push gateway is not reached");
                Outcome::Failed
            }
        }
    }

    async fn ask(&self, url: Url, body: &Body) -> reqwest::Result<Option<Answer>> {
        let answer = self.client.post(url).json(body).send().await?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut stream = answer.bytes_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk?);
            if bytes.len() > MAX_ANSWER {
                return Ok(None);
            }
        }
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_named_by_https_and_its_path() {
        let gateway = Gateway::new(vec!["127.0.0.1/32".parse().unwrap()]).unwrap();
        assert!(gateway.takes("https://push.example/_matrix/push/v1/notify").is_ok());
        assert!(gateway.takes("http://127.0.0.1:9/_matrix/push/v1/notify").is_ok());
        for bad in [
            "http://push.example/_matrix/push/v1/notify",
            "https://push.example/",
            "https://push.example/x/_matrix/push/v1/notify",
            "ftp://push.example/_matrix/push/v1/notify",
            "/_matrix/push/v1/notify",
            "",
        ] {
            assert!(gateway.takes(bad).is_err(), "{bad}");
        }
    }
}
