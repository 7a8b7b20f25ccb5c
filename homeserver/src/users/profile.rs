//! Profiles: names, pictures and whatever else people say of themselves.

use ruma::UserId;
use serde_json::value::RawValue;

use super::{Users, words};
use crate::{
    log,
    storage::{
        self, UserNr,
        user_change::{Became, UserChange},
    },
};

/// The longest key, in bytes.
const MAX_KEY: usize = 255;
/// What a whole profile may take as JSON.
const MAX_PROFILE: usize = 64 << 10;
/// The longest name, in characters.
const MAX_NAME: usize = 256;
/// The longest address of a picture, in bytes.
const MAX_ADDRESS: usize = 1000;

/// A profile: its fields by key.
#[derive(Debug)]
pub struct Profile(pub Vec<(String, Box<RawValue>)>);

/// Why a field was not set.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("a profile key is `displayname`, `avatar_url` or a namespaced identifier such as `org.example.key`")]
    Key,
    #[error("a profile key has {MAX_KEY} bytes at most")]
    KeyTooLarge,
    #[error("a profile takes {MAX_PROFILE} bytes at most")]
    TooLarge,
    #[error("a display name is a string of {MAX_NAME} characters at most")]
    Name,
    #[error("an avatar's address is a URI of {MAX_ADDRESS} bytes at most")]
    Address,
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// A key that is well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field(String);

impl Field {
    /// Reads a key.
    ///
    /// # Errors
    /// [`ProfileError::Key`], [`ProfileError::KeyTooLarge`].
    pub fn parse(key: String) -> Result<Self, ProfileError> {
        if key.len() > MAX_KEY {
            return Err(ProfileError::KeyTooLarge);
        }
        if Self::NAMES.contains(&key.as_str()) || is_namespaced(&key) { Ok(Self(key)) } else { Err(ProfileError::Key) }
    }

    /// The fields that memberships show.
    const NAMES: [&'static str; 2] = ["displayname", "avatar_url"];

    /// The key itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether rooms show it with the user's membership.
    pub fn is_shown_in_rooms(&self) -> bool {
        Self::NAMES.contains(&self.0.as_str())
    }
}

/// The common namespaced identifier grammar.
fn is_namespaced(key: &str) -> bool {
    key.contains('.')
        && key.split('.').all(|part| {
            part.starts_with(|c: char| c.is_ascii_lowercase())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
}

impl Users {
    /// The profile of a user of this server. `None`: there is no such user.
    ///
    /// # Errors
    /// The database's own.
    pub async fn profile(&self, user_id: &UserId) -> storage::Result<Option<Profile>> {
        let Some(user) = self.local(user_id).await? else { return Ok(None) };
        let fields = storage::profile::get(&self.0.pool, user).await?;
        let fields = fields.into_iter().map(|(key, value)| {
            let value = RawValue::from_string(value).map_err(|e| storage::Error::Inconsistent(e.to_string()))?;
            Ok((key, value))
        });
        fields.collect::<storage::Result<_>>().map(|fields| Some(Profile(fields)))
    }

    /// Sets a field, or removes it with `None`. An empty name or address removes it too. Returns whether anything is
    /// different now.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub async fn set_profile(
        &self,
        user: UserNr,
        field: &Field,
        value: Option<&RawValue>,
    ) -> Result<bool, ProfileError> {
        let value = match value {
            Some(value) => checked(field, value)?,
            None => None,
        };
        if let Some(value) = &value {
            // A key, a value, and what JSON puts around them.
            let size = |key: &str, value: &str| key.len() + value.len() + 4;
            let fields = storage::profile::get(&self.0.pool, user).await?;
            let others = fields.iter().filter(|(key, _)| key != field.as_str());
            let whole: usize = others.map(|(key, value)| size(key, value)).sum();
            if whole + size(field.as_str(), value) + 1 > MAX_PROFILE {
                return Err(ProfileError::TooLarge);
            }
        }
        let name = || value.as_deref().and_then(|value| serde_json::from_str::<String>(value).ok()).unwrap_or_default();
        let is_name = field.as_str() == "displayname";
        let words = is_name.then(|| words(&name(), super::directory::WORDS));
        let change = UserChange::Profile { key: field.as_str().to_owned(), value, words };
        Ok(self.change(user, change).await? == Became::Done)
    }
}

/// The value as it is kept; `None` where it says that there is none.
fn checked(field: &Field, value: &RawValue) -> Result<Option<String>, ProfileError> {
    let text = |error: fn() -> ProfileError| serde_json::from_str::<Option<String>>(value.get()).map_err(|_| error());
    match field.as_str() {
        "displayname" => match text(|| ProfileError::Name)? {
            Some(name) if name.chars().count() > MAX_NAME || name.contains('\0') => Err(ProfileError::Name),
            name => Ok(name.filter(|name| !name.is_empty()).map(|name| serde_json::Value::from(name).to_string())),
        },
        "avatar_url" => match text(|| ProfileError::Address)? {
            Some(uri) if uri.is_empty() => Ok(None),
            Some(uri) if uri.len() > MAX_ADDRESS || uri.contains('\0') => Err(ProfileError::Address),
            uri => Ok(uri.map(|uri| serde_json::Value::from(uri).to_string())),
        },
        _ => Ok(Some(value.get().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(key: &str) -> Field {
        Field::parse(key.to_owned()).unwrap()
    }

    fn kept(key: &str, json: &str) -> Option<Option<String>> {
        checked(&field(key), &RawValue::from_string(json.to_owned()).unwrap()).ok()
    }

    #[test]
    fn keys_keep_to_the_grammar() {
        for key in ["displayname", "avatar_url", "m.tz", "org.example.a_1"] {
            assert!(Field::parse(key.to_owned()).is_ok(), "{key}");
        }
        for key in ["", "tz", "m.", ".m", "m..tz", "m.Tz", "m.1tz", "m.tz-x"] {
            assert!(matches!(Field::parse(key.to_owned()), Err(ProfileError::Key)), "{key}");
        }
        assert!(matches!(Field::parse(format!("m.{}", "a".repeat(254))), Err(ProfileError::KeyTooLarge)));
    }

    #[test]
    fn names_and_pictures_are_checked_and_other_fields_are_not() {
        assert_eq!(kept("displayname", r#""\u0041lice""#), Some(Some(r#""Alice""#.to_owned())));
        assert_eq!(kept("displayname", r#""""#), Some(None));
        assert_eq!(kept("displayname", "null"), Some(None));
        assert_eq!(kept("displayname", "1"), None);
        assert_eq!(kept("avatar_url", r#""https://example.org/""#), Some(Some(r#""https://example.org/""#.to_owned())));
        assert_eq!(kept("avatar_url", r#""mxc://a/b""#), Some(Some(r#""mxc://a/b""#.to_owned())));
        assert_eq!(kept("org.example.key", "null"), Some(Some("null".to_owned())));
    }
}
