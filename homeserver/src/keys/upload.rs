//! `POST /keys/upload`

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{AnnounceError, Keys, signed::Signed};
use crate::{
    clock::now_ms,
    storage::{
        self, one_time_key,
        one_time_key::{NewKey, Uploaded},
    },
    users::Requester,
};

/// What a device uploads.
#[derive(Debug, Deserialize)]
pub struct KeyUpload {
    pub device_keys: Option<Box<RawValue>>,
    /// By `algorithm:key_id`.
    #[serde(default)]
    pub one_time_keys: BTreeMap<String, Box<RawValue>>,
    #[serde(default, alias = "org.matrix.msc2732.fallback_keys")]
    pub fallback_keys: BTreeMap<String, Box<RawValue>>,
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
    #[error("the device keys are not a JSON object with `algorithms`, `keys` and `signatures`")]
    MalformedDeviceKeys,
    #[error("the device keys name another user or device than the access token")]
    ForeignDeviceKeys,
    #[error("{0:?} is not of the form algorithm:key_id")]
    MalformedKeyId(String),
    #[error("the key {0} is neither a string nor an object")]
    MalformedKey(String),
    #[error("One time key {algorithm}:{key_id} already exists. Old key: {old}; new key: {new}")]
    Exists { algorithm: String, key_id: String, old: String, new: String },
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Announce(#[from] AnnounceError),
}

/// At most this many keys of a kind in one upload.
const MAX_KEYS: usize = 1000;

impl Keys {
    /// Stores what a device uploads, all or nothing, and returns what it has then. Repeating an upload changes nothing.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn upload(&self, requester: &Requester, upload: KeyUpload) -> Result<KeyCounts, UploadError> {
        let device_keys = upload.device_keys.map(|json| device_keys(requester, json.get())).transpose()?;
        let one_time = keys(upload.one_time_keys)?;
        let fallback = keys(upload.fallback_keys)?;

        let upload = one_time_key::Upload {
            user: requester.user,
            device: requester.device,
            device_id: requester.device_id.as_str(),
            device_keys: device_keys.as_deref(),
            one_time: &one_time,
            fallback: &fallback,
            now: now_ms(),
        };
        let counts = match one_time_key::upload(&self.0.pool, upload).await? {
            Uploaded::Stored(counts) => KeyCounts::new(counts),
            Uploaded::Exists(old) => {
                let new = one_time.into_iter().find(|k| k.algorithm == old.algorithm && k.key_id == old.key_id);
                let new = new.map(|k| k.json).unwrap_or_default();
                return Err(UploadError::Exists { algorithm: old.algorithm, key_id: old.key_id, old: old.json, new });
            }
        };
        self.counts_changed(&[requester.device]).await;
        if device_keys.is_some() {
            // Also when they are stored already: a client that sends them again was never told that they are, and
            // perhaps nobody else was.
            self.announce(requester.user).await?;
        }
        Ok(counts)
    }
}

fn device_keys(requester: &Requester, json: &str) -> Result<String, UploadError> {
    let keys = Signed::parse(json).ok_or(UploadError::MalformedDeviceKeys)?;
    let complete = keys.has_array("algorithms") && keys.keys().next().is_some() && keys.has_object("signatures");
    if !complete {
        return Err(UploadError::MalformedDeviceKeys);
    }
    if keys.str("user_id") != Some(requester.user_id.as_str())
        || keys.str("device_id") != Some(requester.device_id.as_str())
    {
        return Err(UploadError::ForeignDeviceKeys);
    }
    Ok(keys.to_text())
}

/// Reads keys by `algorithm:key_id`. A key is a string or a signed object; its text is canonical, so that the same key
/// written another way is the same key.
fn keys(keys: BTreeMap<String, Box<RawValue>>) -> Result<Vec<NewKey>, UploadError> {
    if keys.len() > MAX_KEYS {
        return Err(UploadError::MalformedKey(format!("number {MAX_KEYS} and those after it (too many)")));
    }
    keys.into_iter()
        .map(|(name, json)| {
            let (algorithm, key_id) = match name.split_once(':') {
                Some((algorithm, key_id)) if !algorithm.is_empty() && !key_id.is_empty() && name.len() <= 255 => {
                    (algorithm, key_id)
                }
                _ => return Err(UploadError::MalformedKeyId(name)),
            };
            let text = if json.get().starts_with('"') {
                json.get().to_owned()
            } else {
                Signed::parse(json.get()).ok_or_else(|| UploadError::MalformedKey(name.clone()))?.to_text()
            };
            Ok(NewKey { algorithm: algorithm.to_owned(), key_id: key_id.to_owned(), json: text })
        })
        .collect()
}
