//! What changes about a user together with its notice, in one commit: see `change_user_v1`.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer};

use super::{DeviceNr, Error, Result, UserNr, device_key::KeySignature, token::Hash};

/// One change of one user.
#[derive(Debug, Clone)]
pub struct UserWrite {
    pub user: UserNr,
    pub change: UserChange,
}

/// What changes.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum UserChange {
    /// Deletes the devices named, or all but `keep` where none are, with what belongs to them.
    LogOut { named: Option<Vec<String>>, keep: Option<DeviceNr> },
    /// Logs a device in, if the account's password is still `password`.
    LogIn {
        password: Option<Hidden>,
        /// A token for `m.login.token`, which is used up.
        login_token: Option<Hex>,
        #[serde(flatten)]
        issue: Issue,
    },
    /// Makes an account, counts its registration token and ends its session, all or nothing.
    Register {
        localpart: String,
        password: Option<Hidden>,
        admin: bool,
        registration_token: Option<String>,
        session: Option<String>,
        log_in: Option<Issue>,
    },
    /// Ends the account with its devices, keys, tokens and profile, and notes that its rooms are to be left.
    Deactivate { erase: bool },
    /// Sets the password; logs out all devices but `keep` where that is asked for.
    Password { password: Hidden, log_out: bool, keep: Option<DeviceNr> },
    /// What administrators set.
    Standing { admin: Option<bool>, locked: Option<bool>, suspended: Option<bool> },
    /// A successor of the refresh token `old` was used: `old` and the access tokens issued with it are out of service.
    Refreshed { old: Hex },
    /// Sets a profile's field, or removes it. `words`: those of the name, where it is the name.
    Profile { key: String, value: Option<String>, words: Option<Vec<String>> },
    /// Names a device.
    DeviceName { device_id: String, name: String },
    /// Stores a device's keys.
    DeviceKeys { device: DeviceNr, device_id: String, json: String },
    /// Stores cross-signing keys, by usage.
    CrossSigning { keys: BTreeMap<&'static str, String> },
    /// Stores signatures that the user made, each in the place of an earlier one of the same key over the same target.
    Signatures { list: Vec<KeySignature> },
}

/// Tokens for a device.
#[derive(Debug, Clone, Serialize)]
pub struct Issue {
    pub device_id: String,
    /// What a new device is called.
    pub display_name: Option<String>,
    /// How many devices a user may have, this one included: of more, the one unseen for the longest time goes.
    pub most_devices: i64,
    pub access: Hex,
    pub expires_ts: Option<i64>,
    pub refresh: Option<Hex>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// There is no such account, device or session, or it is not as it was.
    Absent,
    Done,
    /// It was so already, and nobody is told.
    Same,
    NameTaken,
    /// A registration token or a token for a log-in.
    TokenSpent,
    SessionGone,
}

/// A hash, written in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hex(Vec<u8>);

/// A password's hash, which no log shows.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl UserChange {
    /// As the database's function reads it.
    pub(super) fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::Inconsistent(error.to_string()))
    }

    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        const USUAL: usize = 512;
        match self {
            Self::LogOut { named: Some(named), .. } => USUAL + named.iter().map(String::len).sum::<usize>(),
            Self::DeviceKeys { json, .. } => json.len(),
            Self::CrossSigning { keys } => keys.values().map(String::len).sum(),
            Self::Signatures { list } => list.len() * USUAL,
            Self::Profile { value: Some(value), .. } => value.len(),
            _ => USUAL,
        }
    }
}

impl Became {
    pub(super) fn from_code(code: i16) -> Result<Self> {
        Ok(match code {
            0 => Self::Absent,
            1 => Self::Done,
            2 => Self::Same,
            3 => Self::NameTaken,
            4 => Self::TokenSpent,
            5 => Self::SessionGone,
            other => return Err(Error::Inconsistent(format!("change_user_v1 answered {other}"))),
        })
    }
}

impl From<&Hash> for Hex {
    fn from(hash: &Hash) -> Self {
        Self(hash.to_vec())
    }
}

impl From<Vec<u8>> for Hex {
    fn from(hash: Vec<u8>) -> Self {
        Self(hash)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let digits = self.0.iter().map(|byte| format!("{byte:02x}"));
        serializer.serialize_str(&digits.collect::<String>())
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_written_flat_and_a_password_never_shows() {
        let issue = Issue {
            device_id: "D".to_owned(),
            display_name: None,
            most_devices: 9,
            access: Hex::from(&[0xab; 32]),
            expires_ts: None,
            refresh: None,
        };
        let change = UserChange::LogIn { password: Some(Hidden("$argon2".to_owned())), login_token: None, issue };
        let json: serde_json::Value = serde_json::from_str(&change.to_json().unwrap()).unwrap();
        assert_eq!(json["what"], "log_in");
        assert_eq!(json["access"], "ab".repeat(32));
        assert_eq!((&json["password"], &json["device_id"]), (&"$argon2".into(), &"D".into()));
        assert!(!format!("{change:?}").contains("argon2"));
    }
}
