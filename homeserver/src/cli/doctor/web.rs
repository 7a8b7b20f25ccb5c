//! Web servers, asked as a client does, and their certificates.

use std::time::{Duration, SystemTime};

use reqwest::{Client, ClientBuilder, Url, tls::TlsInfo};
use serde_json::Value;

use super::certificate::{Age, remedy};

pub(super) const USER_AGENT: &str = concat!("roost-doctor/", env!("CARGO_PKG_VERSION"));

pub(super) fn client() -> ClientBuilder {
    Client::builder().timeout(Duration::from_secs(5)).tls_info(true).user_agent(USER_AGENT)
}

/// What was answered, and with which certificate.
pub(super) struct Answer {
    pub value: Value,
    pub certificate: Option<Age>,
}

/// Why nothing usable was, and what to do where it was the certificate's fault.
pub(super) struct Failure {
    pub words: String,
    pub remedy: Option<String>,
}

pub(super) async fn json(client: &Client, url: &str) -> Result<Answer, Failure> {
    let asked = async {
        let answer = client.get(url).send().await?;
        let status = answer.status();
        let peer = answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
        let certificate = peer.and_then(|der| Age::of(der, SystemTime::now()));
        // Readiness says in its body why there is none.
        let body = answer.json::<Value>().await;
        let value = if status.is_success() || status.as_u16() == 503 { body? } else { body.map(|_| Value::Null)? };
        Ok(Answer { value, certificate })
    };
    match asked.await {
        Ok(Answer { value: Value::Null, .. }) => Err(Failure { words: "an error".to_owned(), remedy: None }),
        Ok(answer) => Ok(answer),
        Err(error) => {
            let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
            Err(Failure { words: words(&error), remedy: remedy(&error, &host) })
        }
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
