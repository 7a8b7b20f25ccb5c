//! What happens to every request before and after its handler: an id, the client's address, a log line, figures, and an
//! answer even where a handler panics.

use std::{
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    response::Response,
};
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use hyper::body::Incoming;
use ipnet::IpNet;
use tower::ServiceExt;
use tracing::Instrument;

use super::{Served, compress, cors, federation, patience, unread};
use crate::metrics;

/// The header that names a request, in our answers and log lines.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// Where a request came from: the peer, or what a trusted proxy says. An extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub IpAddr);

/// The pattern that a request matched, told by [`Named`] to [`Front`].
#[derive(Clone, Debug, Default)]
struct Route(Arc<OnceLock<MatchedPath>>);

/// The service of one connection.
#[derive(Clone, Debug)]
pub(super) struct Front {
    served: Served,
    peer: IpAddr,
}

impl Front {
    pub fn new(served: Served, peer: IpAddr) -> Self {
        Self { served, peer: peer.to_canonical() }
    }
}

impl hyper::service::Service<http::Request<Incoming>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let begun = Instant::now();
        let id = next_request_id();
        let method = method_name(request.method());
        let route = Route::default();
        let span = tracing::info_span!("request", request_id = id, method, path = request.uri().path());
        let (covered, asks_leave) = (cors::covers(request.uri().path()), request.method() == Method::OPTIONS);
        let closed = !self.served.federates && federation::is_theirs(request.uri().path());
        let encoding = compress::accepted(request.headers());
        let speaks_http1 = request.version() < Version::HTTP_2;
        let (wait, pulse) = (patience::asked(request.uri()), self.served.pulse.clone());
        let (parts, body) = request.into_parts();
        let (body, read) = unread::watch(body);
        let mut request = Request::from_parts(parts, body);
        let address = client_address(self.peer, &self.served.proxies, request.headers());
        request.extensions_mut().insert(ClientAddr(address));
        request.extensions_mut().insert(route.clone());

        // On the heap once, instead of in each future around it.
        let answer = Box::pin(AssertUnwindSafe(self.served.router.clone().oneshot(request)).catch_unwind());
        let answered = async move {
            let answered = match (covered && asks_leave, closed) {
                (true, _) => Ok(Ok(Ok(cors::preflight()))),
                (_, true) => Ok(Ok(Ok(federation::closed()))),
                _ => patience::await_answer(answer, wait, pulse.as_ref()).await,
            };
            let mut response = match answered {
                Ok(Ok(Ok(response))) | Err(response) => response,
                // The panic's message is already in the log, from the hook.
                Ok(Err(_)) => {
                    metrics::PANICS.add(1);
                    internal_error()
                }
            };
            if let Some(encoding) = encoding
                && compress::is_worthwhile(&response)
            {
                // On the heap: what waits for an answer must not carry room for this.
                response = Box::pin(compress::apply(response, encoding)).await;
            }
            if covered {
                cors::allow(response.headers_mut());
            }
            if let Ok(id) = HeaderValue::from_str(&id) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            if speaks_http1 && read.is_some_and(|read| !read.yet()) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            let (status, took) = (response.status().as_u16(), begun.elapsed());
            metrics::REQUESTS.observe(method, route.0.get().map_or("none", MatchedPath::as_str), status, took);
            let millis = took.as_millis();
            if status >= 500 {
                tracing::warn!(status, millis, "answered with an error");
            } else {
                tracing::debug!(status, millis, "answered");
            }
            Ok(response)
        };
        Box::pin(answered.instrument(span))
    }
}

/// Lets [`Front`] know which route a request matched. To be the innermost layer of the router.
#[derive(Clone, Debug)]
pub(super) struct Named<S>(pub S);

impl<S: tower::Service<Request>> tower::Service<Request> for Named<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        let extensions = request.extensions();
        if let (Some(route), Some(path)) = (extensions.get::<Route>(), extensions.get::<MatchedPath>()) {
            // A request is routed once; a nested router's longer pattern would come first.
            let _ = route.0.set(path.clone());
        }
        self.0.call(request)
    }
}

/// Unique over the life of this process, and with luck beyond.
pub(super) fn next_request_id() -> String {
    static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}{count:08x}", *SEED >> 32)
}

/// The last address in `X-Forwarded-For` that no trusted proxy wrote about another trusted proxy.
fn client_address(peer: IpAddr, proxies: &[IpNet], headers: &HeaderMap) -> IpAddr {
    let trusted = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    let mut client = peer;
    let forwarded = headers.get_all("x-forwarded-for");
    let hops: Vec<_> = forwarded.iter().filter_map(|v| v.to_str().ok()).flat_map(|text| text.split(',')).collect();
    for hop in hops.into_iter().rev() {
        if !trusted(&client) {
            break;
        }
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
    }
    client
}

fn internal_error() -> Response {
    let body = r#"{"errcode":"M_UNKNOWN","error":"the server made a mistake; its log says which"}"#;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A label for figures: a client may invent methods.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        Method::PATCH => "PATCH",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&'static str]) -> String {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        client_address(peer.parse().unwrap(), &proxies, &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(address("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(address("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(address("10.0.0.1", &["203.0.113.9, 198.51.100.7", "10.0.0.2"]), "198.51.100.7");
        assert_eq!(address("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn request_ids_differ() {
        assert_ne!(next_request_id(), next_request_id());
    }
}
