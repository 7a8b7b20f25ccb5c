//! Which routes are limited by user, and as what; and which by address. The extractors of who asks look here; no handler has to.
//! Whatever changes something has a limit: what no line names counts as [`Limited::Changes`].

use axum::http::Method;

use super::limits::Limited;

/// Method, what the route's pattern ends with, and what it counts as. The first line that fits holds.
const TABLE: &[(&str, &str, Limited)] = &[
    ("PUT", "/send/{eventType}/{txnId}", Limited::Messages),
    ("PUT", "/redact/{eventId}/{txnId}", Limited::Messages),
    ("PUT", "/state/{eventType}", Limited::Messages),
    ("PUT", "/state/{eventType}/", Limited::Messages),
    ("PUT", "/state/{eventType}/{stateKey}", Limited::Messages),
    ("POST", "/createRoom", Limited::Rooms),
    ("POST", "/upgrade", Limited::Rooms),
    ("PUT", "/directory/room/{roomAlias}", Limited::Rooms),
    ("POST", "/join", Limited::Joins),
    ("POST", "/join/{roomIdOrAlias}", Limited::Joins),
    ("POST", "/knock/{roomIdOrAlias}", Limited::Joins),
    ("POST", "/invite", Limited::Invites),
    ("PUT", "/profile/{userId}/{keyName}", Limited::Profile),
    ("DELETE", "/profile/{userId}/{keyName}", Limited::Profile),
    ("POST", "/search", Limited::Search),
    ("POST", "/publicRooms", Limited::Search),
    ("POST", "/report", Limited::Reports),
    ("POST", "/report/{eventId}", Limited::Reports),
    ("GET", "/publicRooms", Limited::Search),
];

/// What is asked with a body and changes nothing.
const READS: &[&str] = &["/sync", "/keys/query"];

/// What a request to the route `pattern` counts as.
pub(super) fn of(method: &Method, pattern: &str) -> Option<Limited> {
    // What answers GET answers HEAD, and works as much for it.
    let get = Method::GET;
    let method = if *method == Method::HEAD { &get } else { method };
    if pattern.contains("/media/")
        && let Some(what) = media(method, pattern)
    {
        return Some(what);
    }
    let fits = |(of, end, _): &&(&str, &str, Limited)| method == of && pattern.ends_with(end);
    let named = TABLE.iter().find(fits).map(|(_, _, what)| *what);
    // Most requests are GET: syncs, histories, profiles.
    let is_read = *method == Method::GET || READS.iter().any(|end| pattern.ends_with(end));
    named.or((!is_read).then_some(Limited::Changes))
}

/// What a request without an access token counts as, by address.
pub(super) fn open(method: &Method, pattern: &str) -> Option<Limited> {
    match of(method, pattern) {
        Some(Limited::Downloads) => Some(Limited::OpenDownloads),
        Some(Limited::Search) => Some(Limited::OpenDirectory),
        _ => None,
    }
}

fn media(method: &Method, pattern: &str) -> Option<Limited> {
    let (download, upload) = (["/download/", "/thumbnail/"], ["/upload", "/create"]);
    match *method {
        Method::GET if download.iter().any(|part| pattern.contains(part)) => Some(Limited::Downloads),
        Method::GET if pattern.ends_with("/preview_url") => Some(Limited::Previews),
        Method::POST | Method::PUT if upload.iter().any(|part| pattern.contains(part)) => Some(Limited::Uploads),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes;

    /// A route that is renamed must not lose its limit silently.
    #[test]
    fn every_line_fits_a_route() {
        let routes = routes().list();
        for (method, end, what) in TABLE {
            // What other parts bring may come later.
            if ["/search", "/publicRooms", "/report", "/report/{eventId}", "/state/{eventType}/"].contains(end)
                || *method == "DELETE"
            {
                continue;
            }
            let fits = routes.iter().any(|route| route.method == *method && route.path.ends_with(end));
            assert!(fits, "{method} …{end}: no route counts as {what:?}");
        }
    }

    /// Those without a requester, whose handlers count by address.
    const BY_ADDRESS: [&str; 4] = ["/login", "/register", "/refresh", "/_synapse/admin/v1/register"];

    #[test]
    fn whatever_changes_something_has_a_limit() {
        for route in routes().list() {
            let method = Method::from_bytes(route.method.as_bytes()).unwrap();
            let is_read = method == Method::GET || READS.iter().any(|end| route.path.ends_with(end));
            let by_address = BY_ADDRESS.iter().any(|end| route.path.ends_with(end));
            assert!(is_read || by_address || of(&method, &route.path).is_some(), "{} {}", route.method, route.path);
            if method == Method::GET {
                assert_eq!(of(&Method::HEAD, &route.path), of(&method, &route.path), "HEAD {}", route.path);
                assert_eq!(open(&Method::HEAD, &route.path), open(&method, &route.path), "HEAD {}", route.path);
            }
        }
    }

    #[test]
    fn reading_is_free_and_media_is_not() {
        let rooms = "/_matrix/client/v3/rooms/{roomId}";
        assert_eq!(of(&Method::PUT, &format!("{rooms}/send/{{eventType}}/{{txnId}}")), Some(Limited::Messages));
        assert_eq!(of(&Method::POST, &format!("{rooms}/invite")), Some(Limited::Invites));
        assert_eq!(of(&Method::GET, "/_matrix/client/v3/sync"), None);
        assert_eq!(of(&Method::POST, "/_matrix/media/v3/upload"), Some(Limited::Uploads));
        let download = "/_matrix/client/v1/media/download/{serverName}/{mediaId}";
        assert_eq!(of(&Method::GET, download), Some(Limited::Downloads));
        assert_eq!(of(&Method::GET, "/_matrix/client/v1/media/preview_url"), Some(Limited::Previews));
        assert_eq!(of(&Method::GET, "/_matrix/client/v1/media/config"), None);
        let older = "/_matrix/media/r0/thumbnail/{serverName}/{mediaId}";
        assert_eq!(open(&Method::GET, older), Some(Limited::OpenDownloads));
        assert_eq!(open(&Method::GET, "/_matrix/client/v3/publicRooms"), Some(Limited::OpenDirectory));
        assert_eq!(open(&Method::GET, "/_matrix/client/v3/profile/{userId}"), None);
        assert_eq!(of(&Method::POST, "/_matrix/client/v3/keys/upload"), Some(Limited::Changes));
        assert_eq!(of(&Method::POST, &format!("{rooms}/typing")), Some(Limited::Changes));
    }
}
