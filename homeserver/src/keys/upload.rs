//! `POST /keys/upload`

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Keys, signed::Signed};
use crate::{
    clock::now_ms,
    log,
    storage::{
        self, one_time_key,
        one_time_key::{NewKey, Uploaded},
        user_change::{Became, UserChange},
    },
    users::Requester,
};

/// What a device uploads.
#[derive(Debug, Default, Deserialize)]
pub struct KeyUpload {
    pub device_keys: Option<Box<RawValue>>,
    /// By `algorithm:key_id`.
    #[serde(default)]
    pub one_time_keys: BTreeMap<String, Box<RawValue>>,
    pub fallback_keys: Option<BTreeMap<String, Box<RawValue>>>,
    /// Before v1.2. Clients send both: the stable one counts.
    #[serde(rename = "org.matrix.msc2732.fallback_keys")]
    pub older_fallback_keys: Option<BTreeMap<String, Box<RawValue>>>,
}

/// What is left of a device's one-time keys.
#[derive(Debug, Default, Clone)]
pub struct KeyCounts {
    /// Unclaimed keys by algorithm; `signed_curve25519` is always named.
    pub one_time: BTreeMap<String, i64>,
    /// Algorithms with a fallback key that nobody was given yet.
    pub unused_fallback: Vec<String>,
}

impl KeyCounts {
    pub(super) fn new(by_algorithm: Vec<(String, Option<i64>)>) -> Self {
        let mut counts = Self::default();
        counts.one_time.insert("signed_curve25519".to_owned(), 0);
        for (algorithm, count) in by_algorithm {
            match count {
                Some(count) => drop(counts.one_time.insert(algorithm, count)),
                None => counts.unused_fallback.push(algorithm),
            }
        }
        counts
    }
}

/// Why an upload was refused.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(
        "the device keys are not a JSON object with `algorithms` (texts), `keys` (texts by `algorithm:id`) and `signatures` (texts \
         by user and key)"
    )]
    MalformedDeviceKeys,
    #[error("the device keys name another user or device than the access token")]
    ForeignDeviceKeys,
    #[error("{0:?} is not of the form algorithm:key_id")]
    MalformedKeyId(String),
    #[error("the key {0} is neither a text nor an object with `key`, a text, and `signatures`, texts by user and key")]
    MalformedKey(String),
    #[error("the key {0} takes more than {MAX_KEY_BYTES} bytes")]
    LargeKey(String),
    #[error("device keys take {MAX_DEVICE_KEYS_BYTES} bytes at most")]
    LargeDeviceKeys,
    #[error(
        "a device uploads {MAX_KEYS} keys at once at most, and has {MOST_KEYS} one-time keys at most that nobody claimed"
    )]
    TooMany,
    #[error("One time key {algorithm}:{key_id} already exists. Old key: {old}; new key: {new}")]
    Exists { algorithm: String, key_id: String, old: String, new: String },
    #[error("the device was logged out")]
    NoDevice,
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// At most this many keys of a kind in one upload.
const MAX_KEYS: usize = 1000;
/// So many one-time keys that nobody claimed a device has at most. Clients keep fifty or a hundred.
const MOST_KEYS: i64 = 2000;
/// What one key may take. Those in use take a quarter of it.
const MAX_KEY_BYTES: usize = 1024;
/// What a device's identity keys may take, signatures of others included.
const MAX_DEVICE_KEYS_BYTES: usize = 16 << 10;

impl Keys {
    /// Stores what a device uploads and returns what it has then. Repeating an upload changes nothing, and tells nobody anything.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn upload(&self, requester: &Requester, upload: KeyUpload) -> Result<KeyCounts, UploadError> {
        let device_keys = upload.device_keys.map(|json| device_keys(requester, json.get())).transpose()?;
        let one_time = keys(upload.one_time_keys)?;
        let fallback = keys(upload.fallback_keys.or(upload.older_fallback_keys).unwrap_or_default())?;

        let counts = self.store(requester, one_time, &fallback).await?;
        // Last: whoever hears of the device finds keys to claim.
        if let Some(json) = device_keys {
            let device_id = requester.device_id.to_string();
            let change = UserChange::DeviceKeys { device: requester.device, device_id, json };
            if self.change(requester.user, change).await? == Became::Absent {
                return Err(UploadError::NoDevice);
            }
        }
        Ok(counts)
    }

    /// Stores one-time and fallback keys, all or nothing.
    async fn store(
        &self,
        requester: &Requester,
        one_time: Vec<NewKey>,
        fallback: &[NewKey],
    ) -> Result<KeyCounts, UploadError> {
        let upload = one_time_key::Upload {
            user: requester.user,
            device: requester.device,
            device_id: requester.device_id.as_str(),
            one_time: &one_time,
            fallback,
            most: MOST_KEYS,
            now: now_ms(),
        };
        let counts = match one_time_key::upload(&self.0.pool, upload).await? {
            Uploaded::Stored(counts) => KeyCounts::new(counts),
            Uploaded::TooMany => return Err(UploadError::TooMany),
            Uploaded::Exists(old) => {
                let new = one_time.into_iter().find(|k| k.algorithm == old.algorithm && k.key_id == old.key_id);
                let new = new.map(|k| k.json).unwrap_or_default();
                return Err(UploadError::Exists { algorithm: old.algorithm, key_id: old.key_id, old: old.json, new });
            }
        };
        if !one_time.is_empty() || !fallback.is_empty() {
            self.counts_changed(&[requester.device]).await;
        }
        Ok(counts)
    }
}

fn device_keys(requester: &Requester, json: &str) -> Result<String, UploadError> {
    if json.len() > MAX_DEVICE_KEYS_BYTES {
        return Err(UploadError::LargeDeviceKeys);
    }
    let keys = Signed::parse(json).ok_or(UploadError::MalformedDeviceKeys)?;
    let complete = keys.has_texts("algorithms") && keys.has_public_keys() && keys.has_signatures();
    if !complete {
        return Err(UploadError::MalformedDeviceKeys);
    }
    if keys.str("user_id") != Some(requester.user_id.as_str())
        || keys.str("device_id") != Some(requester.device_id.as_str())
    {
        return Err(UploadError::ForeignDeviceKeys);
    }
    Ok(keys.without_unsigned().to_text())
}

/// Reads keys by `algorithm:key_id`. A key is a text or a signed object; its own text is canonical, so that the same key written
/// another way is the same key.
fn keys(keys: BTreeMap<String, Box<RawValue>>) -> Result<Vec<NewKey>, UploadError> {
    if keys.len() > MAX_KEYS {
        return Err(UploadError::TooMany);
    }
    keys.into_iter()
        .map(|(name, json)| {
            if json.get().len() > MAX_KEY_BYTES {
                return Err(UploadError::LargeKey(name));
            }
            let Some((algorithm, key_id)) = key_name(&name) else { return Err(UploadError::MalformedKeyId(name)) };
            let text = if json.get().starts_with('"') && !algorithm.starts_with("signed_") {
                json.get().to_owned()
            } else {
                let key = Signed::parse(json.get()).filter(|key| key.str("key").is_some() && key.has_signatures());
                key.ok_or_else(|| UploadError::MalformedKey(name.clone()))?.to_text()
            };
            Ok(NewKey { algorithm: algorithm.to_owned(), key_id: key_id.to_owned(), json: text })
        })
        .collect()
}

/// The two parts of a key's name.
pub(super) fn key_name(name: &str) -> Option<(&str, &str)> {
    let (algorithm, key_id) = name.split_once(':')?;
    let is_good =
        !algorithm.is_empty() && !key_id.is_empty() && name.len() <= 255 && !name.chars().any(char::is_control);
    is_good.then_some((algorithm, key_id))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn taken(name: &str, key: &Value) -> bool {
        keys(BTreeMap::from([(name.to_owned(), RawValue::from_string(key.to_string()).unwrap())])).is_ok()
    }

    #[test]
    fn a_signed_key_has_a_text_and_signatures() {
        let signatures = json!({ "@a:b": { "ed25519:D": "x" } });
        let good = json!({ "key": "k", "signatures": signatures, "fallback": true });
        assert!(taken("signed_curve25519:AAAA", &good));
        assert!(taken("curve25519:AAAA", &json!("k")));
        for bad in [
            json!("k"),
            json!(4),
            json!({}),
            json!({ "key": "k" }),
            json!({ "signatures": signatures }),
            json!({ "key": 4, "signatures": signatures }),
            json!({ "key": "k", "signatures": [] }),
            json!({ "key": "k", "signatures": { "@a:b": "x" } }),
            json!({ "key": "k", "signatures": { "@a:b": { "ed25519:D": 4 } } }),
            json!({ "key": "k".repeat(MAX_KEY_BYTES), "signatures": signatures }),
        ] {
            assert!(!taken("signed_curve25519:AAAA", &bad), "{bad}");
        }
        for name in ["", "a", "a:", ":a", "a:\u{0}"] {
            assert!(!taken(name, &good), "{name:?}");
        }
    }

    #[test]
    fn the_stable_name_counts_where_both_come() {
        let text =
            json!({ "fallback_keys": { "a:1": "x" }, "org.matrix.msc2732.fallback_keys": { "a:2": "y" } }).to_string();
        let upload: KeyUpload = serde_json::from_str(&text).unwrap();
        assert!(upload.fallback_keys.is_some_and(|keys| keys.contains_key("a:1")));
        assert!(upload.older_fallback_keys.is_some_and(|keys| keys.contains_key("a:2")));
    }
}
