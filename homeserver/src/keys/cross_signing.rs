//! `POST /keys/device_signing/upload`

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Keys, signed::Signed};
use crate::{
    log,
    storage::{self, device_key, user_change::UserChange},
    users::Requester,
};

/// The cross-signing keys that a user uploads, each optional.
#[derive(Debug, Default, Deserialize)]
pub struct CrossSigningUpload {
    pub master_key: Option<Box<RawValue>>,
    pub self_signing_key: Option<Box<RawValue>>,
    pub user_signing_key: Option<Box<RawValue>>,
}

/// Why cross-signing keys were refused.
#[derive(Debug, thiserror::Error)]
pub enum CrossSigningError {
    #[error("the {0} key is not an object with `user_id`, `usage` and exactly one ed25519 key")]
    Malformed(&'static str),
    #[error("the {0} key names another user")]
    Foreign(&'static str),
    #[error("there is no master key: upload one first, or together with the others")]
    NoMasterKey,
    #[error("the {0} key is not signed with the master key")]
    BadSignature(&'static str),
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
}

impl Keys {
    /// Whether `upload` changes nothing, or is the user's first master key: then no further proof of identity is asked.
    ///
    /// # Errors
    /// The database's own.
    pub async fn needs_no_proof(&self, requester: &Requester, upload: &CrossSigningUpload) -> storage::Result<bool> {
        let stored = device_key::cross_signing(&self.0.pool, &[requester.user]).await?;
        if !stored.iter().any(|k| k.usage == "master") {
            return Ok(true);
        }
        Ok(upload.list().into_iter().all(|(usage, json)| {
            let new = json.map(|json| Signed::parse(json.get()));
            let old = stored.iter().find(|k| k.usage == usage).and_then(|k| Signed::parse(&k.json));
            match (new, old) {
                (None, _) => true,
                (Some(Some(new)), Some(old)) => new.same_as(&old),
                _ => false,
            }
        }))
    }

    /// Stores cross-signing keys whose signatures are right, and tells others.
    ///
    /// # Errors
    /// See [`CrossSigningError`].
    pub async fn upload_cross_signing(
        &self,
        requester: &Requester,
        upload: &CrossSigningUpload,
    ) -> Result<(), CrossSigningError> {
        let user_id = requester.user_id.as_str();
        let mut keys: Vec<(&'static str, Signed)> = Vec::new();
        for (usage, json) in upload.list() {
            if let Some(json) = json {
                keys.push((usage, key(user_id, usage, json.get())?));
            }
        }
        if keys.is_empty() {
            return Ok(());
        }
        let stored = device_key::cross_signing(&self.0.pool, &[requester.user]).await?;
        let master = match keys.first() {
            Some(("master", key)) => Some(key.clone()),
            _ => stored.iter().find(|k| k.usage == "master").and_then(|k| Signed::parse(&k.json)),
        };
        let master = master.ok_or(CrossSigningError::NoMasterKey)?;
        let (master_id, master_public) = master.ed25519().ok_or(CrossSigningError::Malformed("master"))?;
        for (usage, key) in keys.iter().filter(|(usage, _)| *usage != "master") {
            if !key.is_signed_by(user_id, master_id, master_public) {
                return Err(CrossSigningError::BadSignature(usage));
            }
        }
        let keys = keys.iter().map(|(usage, key)| (*usage, key.to_text())).collect();
        self.change(requester.user, UserChange::CrossSigning { keys }).await?;
        Ok(())
    }
}

impl CrossSigningUpload {
    /// By usage, the master key first.
    fn list(&self) -> [(&'static str, Option<&RawValue>); 3] {
        [
            ("master", self.master_key.as_deref()),
            ("self_signing", self.self_signing_key.as_deref()),
            ("user_signing", self.user_signing_key.as_deref()),
        ]
    }
}

/// What a cross-signing key may take, signatures included.
const MAX_BYTES: usize = 16 << 10;

fn key(user_id: &str, usage: &'static str, json: &str) -> Result<Signed, CrossSigningError> {
    let key = Signed::parse(json).ok_or(CrossSigningError::Malformed(usage))?;
    let is_whole = key.has_usage(usage) && key.has_public_keys() && key.ed25519().is_some() && key.keys().count() == 1;
    if !is_whole || json.len() > MAX_BYTES {
        return Err(CrossSigningError::Malformed(usage));
    }
    if key.str("user_id") != Some(user_id) {
        return Err(CrossSigningError::Foreign(usage));
    }
    Ok(key)
}
