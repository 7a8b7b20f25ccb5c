//! How refusals of the rooms' write side read to clients.

use axum::http::StatusCode;
use roost_spec::event::FormatError;

use crate::{
    http::ApiError,
    rooms::{AliasError, CreateError, WriteError},
};

fn bad_request(errcode: &'static str, error: &impl ToString) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, errcode, sentence(error))
}

fn sentence(error: &impl ToString) -> String {
    let mut text = error.to_string();
    if let Some(first) = text.get(..1) {
        let first = first.to_uppercase();
        text.replace_range(..1, &first);
    }
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Storage(error) => error.into(),
            WriteError::Log(error) => error.into(),
            WriteError::UnknownRoom
            | WriteError::Rejected(_)
            | WriteError::Membership(_)
            | WriteError::NotAdmitted
            | WriteError::NotRedactable => Self::forbidden(sentence(&error)),
            WriteError::InviteBlocked { by_list } => {
                let code = if by_list { "ORG.MATRIX.MSC4155.M_INVITE_BLOCKED" } else { "M_INVITE_BLOCKED" };
                Self::new(StatusCode::FORBIDDEN, code, sentence(&error))
            }
            WriteError::Suspended => Self::new(StatusCode::FORBIDDEN, "M_USER_SUSPENDED", sentence(&error)),
            WriteError::TooMany { .. } => Self::too_large(sentence(&error)),
            WriteError::UnreachableRoom | WriteError::UnknownEvent => Self::not_found(sentence(&error)),
            WriteError::RemoteUser(_) | WriteError::BadThread => bad_request("M_UNKNOWN", &error),
            WriteError::DuplicateAnnotation => bad_request("M_DUPLICATE_ANNOTATION", &error),
            WriteError::Format(FormatError::TooLarge(_) | FormatError::TooLong(_)) => Self::too_large(sentence(&error)),
            WriteError::Format(_) | WriteError::Content(_) | WriteError::BadContent(_) => {
                Self::bad_json(sentence(&error))
            }
            WriteError::BadAlias(_) => bad_request("M_BAD_ALIAS", &error),
            WriteError::InvalidAlias(_) => Self::invalid_param(sentence(&error)),
            WriteError::Contended => Self::unavailable(sentence(&error)),
        }
    }
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::UnsupportedVersion(_) => bad_request("M_UNSUPPORTED_ROOM_VERSION", &error),
            CreateError::InvalidAlias(_) => Self::invalid_param(sentence(&error)),
            CreateError::AliasTaken(_) => bad_request("M_ROOM_IN_USE", &error),
            CreateError::InvalidState(_) => bad_request("M_INVALID_ROOM_STATE", &error),
            CreateError::Write(error) => error.into(),
        }
    }
}

impl From<AliasError> for ApiError {
    fn from(error: AliasError) -> Self {
        match error {
            AliasError::NotOurs(_) => Self::invalid_param(sentence(&error)),
            AliasError::Taken(_) => Self::new(StatusCode::CONFLICT, "M_UNKNOWN", sentence(&error)),
            AliasError::Unknown(_) => Self::not_found(sentence(&error)),
            AliasError::UnknownRoom | AliasError::Forbidden(_) => Self::forbidden(sentence(&error)),
            AliasError::Write(error) => error.into(),
            AliasError::Log(error) => error.into(),
            AliasError::Storage(error) => error.into(),
        }
    }
}
