//! Parsing at the edge: what comes out of here is well-formed, and what is not gets the protocol's code.

use std::{sync::Arc, time::Duration};

use axum::{
    RequestExt,
    body::{Bytes, HttpBody},
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::ApiError;

/// How deep a body may nest.
const MAX_DEPTH: usize = 100;
/// The largest body, as axum has it.
const MAX_SIZE: u64 = 2 << 20;
/// A body must be whole within this: who sends a byte now and then would hold a connection for good.
const BODY_PATIENCE: Duration = Duration::from_secs(60);

/// A JSON body that must be there, and a JSON response.
///
/// Strings with U+0000 are refused: what may hold them (event contents, account data) is a [`RawObject`].
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

/// A JSON body that may be missing or empty: then it is `{}`.
#[derive(Debug, Clone, Copy)]
pub struct OptionalJson<T>(pub T);

/// A body that is any JSON object, as the client wrote it. Event contents and other people's data travel as this.
#[derive(Debug, Clone)]
pub struct RawObject(pub Arc<str>);

impl RawObject {
    /// Reads it as a type whose free-form parts stay raw.
    ///
    /// # Errors
    /// `M_BAD_JSON` where it does not fit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_str(&self.0).map_err(|e| misfit(&e))
    }
}

/// Path parameters, percent-decoded and typed.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

/// Query parameters.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

async fn body(request: Request) -> Result<Bytes, ApiError> {
    if request.body().size_hint().lower() > MAX_SIZE {
        // Said before the bytes are read, so that nobody sends them for nothing.
        return Err(too_large());
    }
    let (parts, body) = request.with_limited_body().into_parts();
    let whole = timeout(BODY_PATIENCE, Bytes::from_request(Request::from_parts(parts, body), &())).await;
    let whole = whole.map_err(|_| {
        let message = "The request's body did not arrive in time.";
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "M_UNKNOWN", message)
    })?;
    whole.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(e) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => ApiError::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", "The request's body ended before it was complete."),
    })
}

fn too_large() -> ApiError {
    ApiError::too_large("The request's body is larger than this endpoint takes.")
}

/// Bounds the nesting and refuses lone surrogates and text that is not UTF-8, with the right code, before serde sees it.
fn check(bytes: &[u8]) -> Result<&str, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ApiError::not_json("The request's body is not UTF-8."))?;
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(ApiError::bad_json(format!(
                        "The request's body nests deeper than {MAX_DEPTH} levels."
                    )));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(text)
}

/// Reads the whole text: a wrong type early must not hide that the rest is no JSON at all, lone surrogates included,
/// which only those who build the strings notice.
fn check_syntax(text: &str) -> Result<(), ApiError> {
    let whole: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| ApiError::not_json(format!("The request's body is not JSON: {error}.")))?;
    if !whole.is_object() {
        // A list would pass for a struct's fields in their order.
        return Err(ApiError::bad_json("The request's body must be a JSON object."));
    }
    Ok(())
}

/// Of a text whose syntax is known to be good: what serde has against it can be only that it does not fit. Where it
/// looks for one of several words, it calls a number a mistake in the syntax.
fn misfit(error: &serde_json::Error) -> ApiError {
    ApiError::bad_json(format!("The request's body does not fit this endpoint: {error}."))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = check(bytes)?;
    check_syntax(text)?;
    if text.contains("\\u0000") {
        return Err(ApiError::bad_json("The request's body holds the character U+0000, which is not allowed here."));
    }
    serde_json::from_str(text).map_err(|e| misfit(&e))
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = body(request).await?;
        if bytes.is_empty() {
            return Err(ApiError::not_json("The request needs a JSON body."));
        }
        parse(&bytes).map(Json)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = body(request).await?;
        parse(if bytes.is_empty() { b"{}" } else { &bytes }).map(OptionalJson)
    }
}

impl<S: Send + Sync> FromRequest<S> for RawObject {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = body(request).await?;
        let text = check(&bytes)?;
        check_syntax(text)?;
        Ok(Self(text.trim().into()))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = parts.uri.path();
        if path.contains("%00") {
            return Err(ApiError::invalid_param("The path holds the character U+0000, which no identifier may."));
        }
        if !is_percent_encoded(path) {
            return Err(ApiError::invalid_param("The path holds a `%` without two hexadecimal digits behind it."));
        }
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(path) => Ok(Self(path.0)),
            Err(rejection) => {
                Err(ApiError::invalid_param(format!("The path is not valid: {}.", rejection.body_text())))
            }
        }
    }
}

/// Whether each `%` begins an escape. What decodes the path would take the others for themselves.
fn is_percent_encoded(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = parts.uri.query().unwrap_or_default();
        if text.contains("%00") {
            return Err(ApiError::invalid_param("The query holds the character U+0000, which no parameter may."));
        }
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(query) => Ok(Self(query.0)),
            Err(rejection) => {
                let text = rejection.body_text();
                let message = format!("The query does not fit this endpoint: {text}.");
                if text.contains("missing field") {
                    Err(ApiError::missing_param(message))
                } else {
                    Err(ApiError::invalid_param(message))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file of the program's source, with its text.
    fn sources(folder: &std::path::Path, found: &mut Vec<(std::path::PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }

    /// serde takes an alias beside the name itself for a field that came twice, and clients send both. An older name is a
    /// field of its own, of which the stable one comes first.
    #[test]
    fn no_older_name_is_an_alias() {
        let mut files = Vec::new();
        for folder in ["homeserver/src", "spec/src", "federation/src"] {
            sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder), &mut files);
        }
        assert!(files.len() > 200);
        for (path, text) in files {
            for attribute in text.split("#[serde(").skip(1).filter_map(|rest| rest.split(")]").next()) {
                assert!(!attribute.contains(concat!("ali", "as")), "{}: {attribute}", path.display());
            }
        }
    }

    #[test]
    fn a_percent_sign_begins_an_escape() {
        assert!(is_percent_encoded("/a/%21b%3Ac/%ff"));
        assert!(!is_percent_encoded("/a/%ZZ"));
        assert!(!is_percent_encoded("/a/%2"));
        assert!(!is_percent_encoded("/%2%41"));
        assert!(!is_percent_encoded("/%"));
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        assert!(check(br#"{"a":"[[[[","b":"\"","c":[[1]]}"#).is_ok());
        assert!(check("[".repeat(MAX_DEPTH).as_bytes()).is_ok());
        assert!(check("[".repeat(MAX_DEPTH + 1).as_bytes()).is_err());
    }
}
