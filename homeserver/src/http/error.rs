//! The protocol's error object, and how the errors of shared rooms map to it.

use std::{borrow::Cow, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use crate::{
    log,
    storage::{self, disk},
};

/// What a request is refused with: status, `errcode` and a sentence that helps.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    errcode: &'static str,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    extra: Map<String, Value>,
}

impl ApiError {
    /// An error with its status, code and sentence.
    pub fn new(status: StatusCode, errcode: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, errcode, message: message.into(), retry_after: None, extra: Map::new() }
    }

    /// 401 without a code: more has to be shown before the request is done.
    pub fn challenge(body: Map<String, Value>) -> Self {
        Self { extra: body, ..Self::new(StatusCode::UNAUTHORIZED, "", "") }
    }

    /// Gives a challenge the reason why the last answer did not help.
    #[must_use]
    pub fn because(mut self, errcode: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        self.errcode = errcode;
        self.message = message.into();
        self
    }

    /// The status that it answers with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Adds a key beside `errcode` and `error`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    /// Says when to come back (`Retry-After`, and `retry_after_ms` for older clients).
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// 403 `M_FORBIDDEN`
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", message)
    }

    /// 404 `M_NOT_FOUND`
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", message)
    }

    /// 400 `M_INVALID_PARAM`
    pub fn invalid_param(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", message)
    }

    /// 400 `M_MISSING_PARAM`
    pub fn missing_param(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_MISSING_PARAM", message)
    }

    /// 400 `M_BAD_JSON`
    pub fn bad_json(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_BAD_JSON", message)
    }

    /// 400 `M_NOT_JSON`
    pub fn not_json(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_NOT_JSON", message)
    }

    /// 429 `M_LIMIT_EXCEEDED`
    pub fn limited(after: Duration) -> Self {
        let message = "Too many requests of this kind. Wait a little before the next.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", message).retry_after(after)
    }

    /// 413 `M_TOO_LARGE`
    pub fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", message)
    }

    /// 503: something that this server needs is away.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", message).retry_after(Duration::from_secs(2))
    }

    /// 500 for what must not happen; the cause is logged here, once.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "a request failed inside");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN", "The server met an unexpected condition.")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = self.extra;
        if !self.errcode.is_empty() {
            body.insert("errcode".to_owned(), self.errcode.into());
            body.insert("error".to_owned(), self.message.into_owned().into());
        }
        let mut retry = None;
        if let Some(after) = self.retry_after {
            if self.status == StatusCode::TOO_MANY_REQUESTS {
                body.insert("retry_after_ms".to_owned(), u64::try_from(after.as_millis()).unwrap_or(u64::MAX).into());
            }
            retry = HeaderValue::from_str(&after.as_secs_f64().ceil().to_string()).ok();
        }
        let mut response = (self.status, axum::Json(Value::Object(body))).into_response();
        if let Some(value) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}

/// The log has said so, once.
fn full() -> ApiError {
    ApiError::unavailable("The disk of the server's database is full: nothing can be stored at the moment.")
}

impl From<storage::Error> for ApiError {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Unavailable(_) if disk::is_full() => full(),
            storage::Error::Unavailable(cause) => {
                tracing::warn!(error = %cause, "the database is away");
                Self::unavailable("The server's database is not reachable at the moment. Please try again soon.")
            }
            other => Self::internal(other),
        }
    }
}

impl From<log::Error> for ApiError {
    fn from(error: log::Error) -> Self {
        match error {
            log::Error::Unavailable if disk::is_full() => full(),
            log::Error::Unavailable => {
                Self::unavailable("The server's database did not answer. Repeat the request; it takes effect once.")
            }
            log::Error::Overloaded => {
                Self::unavailable("The server has more to write than it can take on. Try again soon.")
            }
            log::Error::ShuttingDown => Self::unavailable("The server is restarting. Please try again soon."),
            log::Error::Refused(cause) => Self::internal(cause),
        }
    }
}
