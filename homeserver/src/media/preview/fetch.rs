//! Asking a page's server, as a stranger told us to.
//!
//! Names are looked up by [`Reach`], which gives only addresses that may be connected to; redirects are followed here, each
//! checked like the first. No cookie, no referrer and no credentials go along, and nothing that came compressed is opened.

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, LOCATION},
    redirect::Policy,
};
use url::Url;

use super::{PATIENCE, PreviewError};
use crate::reach::{OutOfReach, Reach};

pub(super) struct Fetcher {
    client: Client,
    reach: Reach,
}

/// What came, its body yet to be read.
pub(super) struct Answer {
    /// Where it came from in the end.
    pub url: Url,
    pub kind: Kind,
    /// As the server says.
    pub charset: Option<String>,
    response: Response,
}

/// What it is, as the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Page,
    Picture,
    /// Nothing that is previewed.
    Other,
}

const MAX_REDIRECTS: usize = 5;
const MAX_URL: usize = 4096;
const USER_AGENT: &str = concat!("Roost/", env!("CARGO_PKG_VERSION"), " (bot; previews of links in Matrix)");

impl Fetcher {
    pub fn new(allowed: Vec<IpNet>) -> reqwest::Result<Self> {
        // An error means that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reach = Reach::new(allowed);
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE / 2)
            // A kept connection may be closed just when the next request goes out, and these servers are asked once.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(reach.clone()))
            .user_agent(USER_AGENT)
            .build()?;
        Ok(Self { client, reach })
    }

    /// Asks for a page or picture, and follows where it leads.
    pub async fn get(&self, mut url: Url) -> Result<Answer, PreviewError> {
        for _ in 0..=MAX_REDIRECTS {
            if self.reach.refuses(&url) {
                return Err(PreviewError::Refused);
            }
            let request = self
                .client
                .get(url.clone())
                .header(ACCEPT, "text/html,application/xhtml+xml,image/*;q=0.9,*/*;q=0.5")
                .header(ACCEPT_ENCODING, "identity");
            let response = request.send().await.map_err(|error| failure(&error))?;
            match response.status() {
                status if status.is_success() => return Ok(Answer::of(url, response)),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                    url = location.and_then(|to| beside(&url, to)).ok_or(PreviewError::Redirects)?;
                }
                status => return Err(PreviewError::Status(status.as_u16())),
            }
        }
        Err(PreviewError::Redirects)
    }
}

impl Answer {
    fn of(url: Url, response: Response) -> Self {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let (kind, charset) = described(header(CONTENT_TYPE));
        let plain = header(CONTENT_ENCODING).is_none_or(|encoding| encoding.trim().eq_ignore_ascii_case("identity"));
        Self { url, kind: if plain { kind } else { Kind::Other }, charset, response }
    }

    /// The first bytes, `limit` at most.
    pub async fn beginning(self, limit: usize) -> Result<Vec<u8>, PreviewError> {
        let mut bytes = Vec::new();
        let mut body = self.body();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| failure(&error))?;
            let room = limit - bytes.len();
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if bytes.len() == limit {
                break;
            }
        }
        Ok(bytes)
    }

    pub fn body(self) -> impl Stream<Item = reqwest::Result<Bytes>> + Send + Unpin {
        Box::pin(self.response.bytes_stream())
    }
}

/// The page that a user asks about, without what its server need not know.
pub(super) fn page(url: &str) -> Option<Url> {
    if url.len() > MAX_URL {
        return None;
    }
    cleaned(Url::parse(url.trim()).ok()?)
}

/// What `to` means on the page at `url`.
pub(super) fn beside(url: &Url, to: &str) -> Option<Url> {
    if to.len() > MAX_URL {
        return None;
    }
    cleaned(url.join(to.trim()).ok()?)
}

fn cleaned(mut url: Url) -> Option<Url> {
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    url.set_fragment(None);
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url)
}

/// The file that a URL seems to name.
pub(super) fn file_name(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back().filter(|last| !last.is_empty())?;
    Some(percent_decode_str(last).decode_utf8().ok()?.into_owned())
}

/// What a `Content-Type` says. Without one it may be a page.
fn described(content_type: Option<&str>) -> (Kind, Option<String>) {
    let Some(content_type) = content_type else { return (Kind::Page, None) };
    let mut parts = content_type.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = match essence.as_str() {
        "" | "text/html" | "application/xhtml+xml" => Kind::Page,
        other if other.starts_with("image/") => Kind::Picture,
        _ => Kind::Other,
    };
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
    });
    (kind, charset)
}

fn failure(error: &reqwest::Error) -> PreviewError {
    if error.is_timeout() {
        return PreviewError::TooSlow;
    }
    let mut cause = error.source();
    while let Some(found) = cause {
        if found.is::<OutOfReach>() {
            return PreviewError::Refused;
        }
        cause = found.source();
    }
    PreviewError::Unreachable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_web_are_asked_for_and_without_credentials() {
        assert_eq!(page("https://a:b@Example.ORG/x?y#z").unwrap().as_str(), "https://example.org/x?y");
        for bad in ["", "/x", "example.org", "ftp://example.org/", "file:///etc/passwd", "http://", "data:text/html,x"]
        {
            assert!(page(bad).is_none(), "{bad}");
        }
        let at = Url::parse("https://example.org/a/b").unwrap();
        assert_eq!(beside(&at, "c.png").unwrap().as_str(), "https://example.org/a/c.png");
        assert_eq!(beside(&at, "//cdn.example/c.png").unwrap().as_str(), "https://cdn.example/c.png");
        assert!(beside(&at, "javascript:alert(1)").is_none());
        assert!(beside(&at, "gopher://10.0.0.1/").is_none());
    }

    #[test]
    fn a_content_type_says_what_it_is() {
        let latin = Some("ISO-8859-1".to_owned());
        assert_eq!(described(Some("Text/HTML; Charset=\"ISO-8859-1\"")), (Kind::Page, latin));
        assert_eq!(described(Some("image/png")), (Kind::Picture, None));
        assert_eq!(described(Some("application/pdf")), (Kind::Other, None));
        assert_eq!(described(None), (Kind::Page, None));
    }

    #[test]
    fn a_picture_is_called_like_its_file() {
        let name = |url: &str| file_name(&Url::parse(url).unwrap());
        assert_eq!(name("https://example.org/a/Gr%C3%BC%C3%9Fe.png?x").as_deref(), Some("Grüße.png"));
        assert_eq!(name("https://example.org/"), None);
        assert_eq!(name("https://example.org/%FF"), None);
    }
}
