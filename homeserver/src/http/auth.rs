//! Who is asking: the [`Requester`] of a request, from its access token, a [`Passer`] without one, or a [`Visitor`] with or
//! without.

use axum::{
    extract::{FromRef, FromRequestParts, MatchedPath, OptionalFromRequestParts},
    http::{Method, StatusCode, header::AUTHORIZATION, request::Parts},
};

use futures::FutureExt;

use super::{ApiError, ClientAddr, limited_routes, limits::Limits};
use crate::{
    log::Log,
    users::{AuthError, Requester, Token, Users},
};

/// What a locked user may still do.
const WHILE_LOCKED: &[&str] = &["/logout", "/logout/all"];

/// What a suspended user may not: parts of routes, with the methods that change something. What is sent into rooms is judged
/// there, by what it is: leaving and redacting stay open, whichever the endpoint.
const NOT_WHILE_SUSPENDED: &[(&str, &str)] = &[
    ("PUT", "/profile/"),
    ("DELETE", "/profile/"),
    ("PUT", "/directory/"),
    ("DELETE", "/directory/"),
    ("POST", "/createRoom/"),
    ("POST", "/join/"),
    ("POST", "/knock/"),
    ("POST", "/invite/"),
    ("POST", "/kick/"),
    ("POST", "/ban/"),
    ("POST", "/unban/"),
    ("POST", "/upgrade/"),
    ("POST", "/media/v3/upload/"),
    ("PUT", "/media/v3/upload/"),
    ("POST", "/media/v1/upload/"),
    ("POST", "/media/r0/upload/"),
    ("POST", "/media/v1/create/"),
];

impl<S: Send + Sync> FromRequestParts<S> for Requester
where
    Log: FromRef<S>,
    Users: FromRef<S>,
    Limits: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let token = token(parts).ok_or_else(|| {
            ApiError::new(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "This request needs an access token.")
        })?;
        requester(parts, &token, state).await
    }
}

/// For what may be asked with or without a token: a token that is shown must be good.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Requester
where
    Log: FromRef<S>,
    Users: FromRef<S>,
    Limits: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, ApiError> {
        let Some(token) = token(parts) else { return Ok(None) };
        requester(parts, &token, state).await.map(Some)
    }
}

/// Whoever asks for what is given without a token: known by their address, which is what limits count.
#[derive(Debug, Clone, Copy)]
pub struct Passer;

impl<S: Send + Sync> FromRequestParts<S> for Passer
where
    Limits: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let address = parts.extensions.get::<ClientAddr>();
        if let (Some(what), Some(ClientAddr(address))) = (limited_routes::open(&parts.method, path), address) {
            Limits::from_ref(state).take(what, *address)?;
        }
        Ok(Self)
    }
}

/// Whoever asks for what is given to all, and more of it to those who show a good token. Another token is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    Known,
    Passer,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor
where
    Log: FromRef<S>,
    Users: FromRef<S>,
    Limits: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if let Some(token) = token(parts) {
            match requester(parts, &token, state).await {
                Ok(_) => return Ok(Self::Known),
                Err(error) if error.status() == StatusCode::UNAUTHORIZED => {}
                Err(error) => return Err(error),
            }
        }
        Passer::from_request_parts(parts, state).await.map(|_| Self::Passer)
    }
}

async fn requester<S>(parts: &Parts, token: &Token, state: &S) -> Result<Requester, ApiError>
where
    Log: FromRef<S>,
    Users: FromRef<S>,
    Limits: FromRef<S>,
{
    let (log, users) = (Log::from_ref(state), Users::from_ref(state));
    // What is answered from memory, revoked tokens included, is a second old at most.
    log.fresh().await?;
    let session = users.authenticate(token).await?;
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if session.locked && !WHILE_LOCKED.iter().any(|end| path.ends_with(end)) {
        return Err(locked());
    }
    if session.requester.suspended && is_barred(&parts.method, path) {
        let message = "Your account is suspended: you can read, and not do this.";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "M_USER_SUSPENDED", message));
    }
    if let Some(what) = limited_routes::of(&parts.method, path) {
        Limits::from_ref(state).take(what, session.requester.user)?;
    }
    if let Some(ClientAddr(address)) = parts.extensions.get::<ClientAddr>() {
        users.note_seen(&session, *address);
    }
    Ok(session.requester.clone())
}

/// Waits for `work` as long as the requester may: a lock, a logout or another password ends it, before anything is told that
/// came after.
pub(super) async fn while_allowed<T>(
    users: &Users,
    requester: &Requester,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let watcher = users.watch(requester);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            () = watcher.changed() => Box::pin(users.check_again(requester)).await?,
            done = &mut work => {
                // What was told of first shows first: the work may have seen both.
                if watcher.changed().now_or_never().is_some() {
                    Box::pin(users.check_again(requester)).await?;
                }
                return done;
            }
        }
    }
}

/// 401 `M_USER_LOCKED`: the client keeps what it has, for the day when the account is unlocked.
pub(super) fn locked() -> ApiError {
    let message = "This account is locked. Its administrators can unlock it.";
    ApiError::new(StatusCode::UNAUTHORIZED, "M_USER_LOCKED", message).with("soft_logout", true)
}

fn is_barred(method: &Method, path: &str) -> bool {
    let path = format!("{path}/");
    NOT_WHILE_SUSPENDED.iter().any(|(barred, part)| method == barred && path.contains(part))
}

/// From the header, or from the query as older clients do.
fn token(parts: &Parts) -> Option<Token> {
    if let Some(header) = parts.headers.get(AUTHORIZATION) {
        let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| Token::shown(token.trim().to_owned()));
    }
    let mut pairs = parts.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, token) = pairs.find(|(key, _)| *key == "access_token")?;
    // Our tokens need no escapes; whatever has some is none of ours.
    Some(Token::shown(token.to_owned()))
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let unknown = |message: &'static str, soft: bool| {
            Self::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", message).with("soft_logout", soft)
        };
        match error {
            AuthError::Unknown => {
                unknown("The access token is unknown: its device is logged out, or never was.", false)
            }
            AuthError::Expired => unknown("The access token has expired: refresh it, or log in again.", true),
            AuthError::Locked => locked(),
            AuthError::Storage(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn shown(request: axum::http::request::Builder) -> Option<String> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        token(&parts).map(|token| token.expose().to_owned())
    }

    #[test]
    fn a_token_comes_in_the_header_or_the_query() {
        assert_eq!(shown(Request::get("/x").header("authorization", "Bearer abc")).as_deref(), Some("abc"));
        assert_eq!(shown(Request::get("/x?a=b&access_token=abc")).as_deref(), Some("abc"));
        let both = Request::get("/x?access_token=abc").header("authorization", "bearer def");
        assert_eq!(shown(both).as_deref(), Some("def"));
        assert_eq!(shown(Request::get("/x").header("authorization", "Basic abc")), None);
        assert_eq!(shown(Request::get("/x?access_tokens=abc")), None);
    }

    #[test]
    fn a_suspended_user_may_not_speak_and_may_leave() {
        let rooms = "/_matrix/client/v3/rooms/{roomId}";
        assert!(is_barred(&Method::POST, "/_matrix/client/v3/join/{roomIdOrAlias}"));
        assert!(is_barred(&Method::POST, &format!("{rooms}/join")));
        assert!(is_barred(&Method::PUT, "/_matrix/client/v3/profile/{userId}/{keyName}"));
        // The room judges these.
        assert!(!is_barred(&Method::PUT, &format!("{rooms}/send/{{eventType}}/{{txnId}}")));
        assert!(!is_barred(&Method::PUT, &format!("{rooms}/state/{{eventType}}")));
        assert!(!is_barred(&Method::POST, &format!("{rooms}/leave")));
        assert!(!is_barred(&Method::PUT, &format!("{rooms}/redact/{{eventId}}/{{txnId}}")));
        assert!(!is_barred(&Method::POST, "/_matrix/client/v3/keys/upload"));
    }
}
