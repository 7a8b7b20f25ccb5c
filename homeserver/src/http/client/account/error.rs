//! How refusals about accounts read to clients.

use axum::http::StatusCode;

use crate::{
    account::SetProfileError,
    http::{ApiError, auth::locked},
    users::{AccountError, LoginError, NameError, ProfileError, RefreshError, RegisterError, SharedSecretError},
};

fn bad_request(errcode: &'static str, error: &impl ToString) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, errcode, sentence(error))
}

fn sentence(error: &impl ToString) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Refused | LoginError::OtherUser | LoginError::UnknownToken => Self::forbidden(sentence(&error)),
            LoginError::Deactivated => Self::new(StatusCode::FORBIDDEN, "M_USER_DEACTIVATED", sentence(&error)),
            LoginError::Locked => locked(),
            LoginError::DeviceId | LoginError::DeviceName => Self::invalid_param(sentence(&error)),
            LoginError::Storage(error) => error.into(),
            LoginError::Log(error) => error.into(),
        }
    }
}

impl From<RefreshError> for ApiError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Unknown => {
                Self::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", sentence(&error)).with("soft_logout", false)
            }
            RefreshError::Locked => locked(),
            RefreshError::Storage(error) => error.into(),
            RefreshError::Log(error) => error.into(),
        }
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        bad_request("M_INVALID_USERNAME", &error)
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NotFound | AccountError::NoDevice(_) => Self::not_found(sentence(&error)),
            AccountError::Deactivated => Self::new(StatusCode::FORBIDDEN, "M_USER_DEACTIVATED", sentence(&error)),
            AccountError::Name(error) => error.into(),
            AccountError::Password => bad_request("M_WEAK_PASSWORD", &error),
            AccountError::Hash => Self::internal(error),
            AccountError::Storage(error) => error.into(),
            AccountError::Log(error) => error.into(),
        }
    }
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::InUse => bad_request("M_USER_IN_USE", &error),
            RegisterError::Name(error) => error.into(),
            RegisterError::RegistrationToken | RegisterError::Session => Self::forbidden(sentence(&error)),
            RegisterError::Account(error) => error.into(),
            RegisterError::Login(error) => error.into(),
            RegisterError::Storage(error) => error.into(),
        }
    }
}

impl From<SharedSecretError> for ApiError {
    fn from(error: SharedSecretError) -> Self {
        match error {
            SharedSecretError::Off | SharedSecretError::Nonce => bad_request("M_UNKNOWN", &error),
            SharedSecretError::Mac => Self::forbidden(sentence(&error)),
            SharedSecretError::Register(error) => error.into(),
            SharedSecretError::Storage(error) => error.into(),
        }
    }
}

impl From<ProfileError> for ApiError {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Key | ProfileError::Name | ProfileError::Address => Self::invalid_param(sentence(&error)),
            ProfileError::KeyTooLarge => bad_request("M_KEY_TOO_LARGE", &error),
            ProfileError::TooLarge => bad_request("M_PROFILE_TOO_LARGE", &error),
            ProfileError::Storage(error) => error.into(),
            ProfileError::Log(error) => error.into(),
        }
    }
}

impl From<SetProfileError> for ApiError {
    fn from(error: SetProfileError) -> Self {
        match error {
            SetProfileError::Profile(error) => error.into(),
            SetProfileError::Rooms(error) => error.into(),
        }
    }
}
