//! `POST /keys/signatures/upload`

use std::collections::BTreeMap;

use ruma::OwnedUserId;
use serde_json::value::RawValue;

use super::{Keys, signed::Signed};
use crate::{
    log,
    storage::{self, UserNr, device_key, device_key::KeySignature, user_change::UserChange},
    users::Requester,
};

/// Signed objects, by user and by device ID or public key.
pub type SignatureUpload = BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>;

/// Why signatures were not stored.
#[derive(Debug, thiserror::Error)]
pub enum SignaturesError {
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// Why one of the signatures was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFailure {
    #[error("there is no such key")]
    UnknownKey,
    #[error("the object is not the key that is stored")]
    Altered,
    #[error("it carries no signature with a key that may sign this")]
    NoSignature,
    #[error("the signature is wrong")]
    Wrong,
}

/// One user's keys as they are stored.
struct Stored {
    devices: Vec<(String, Signed)>,
    cross: Vec<(String, Signed)>,
}

impl Keys {
    /// Stores signatures: of the own self-signing key over own devices, of own devices over the own master key, of the own
    /// user-signing key over others' master keys. Returns what was not taken.
    ///
    /// # Errors
    /// The database's own, or the log's.
    pub async fn upload_signatures(
        &self,
        requester: &Requester,
        upload: &SignatureUpload,
    ) -> Result<BTreeMap<OwnedUserId, BTreeMap<String, SignatureFailure>>, SignaturesError> {
        let users = self.local_numbers(upload.keys().map(AsRef::as_ref)).await?;
        let mut numbers: Vec<UserNr> = users.iter().map(|u| u.0).collect();
        numbers.push(requester.user);
        let devices = device_key::of_users(&self.0.pool, &numbers).await?;
        let cross = device_key::cross_signing(&self.0.pool, &numbers).await?;
        let stored = |user: UserNr| Stored {
            devices: devices
                .iter()
                .filter(|k| k.user == user)
                .filter_map(|k| Some((k.device_id.clone(), Signed::parse(&k.json)?)))
                .collect(),
            cross: cross
                .iter()
                .filter(|k| k.user == user)
                .filter_map(|k| Some((k.usage.clone(), Signed::parse(&k.json)?)))
                .collect(),
        };
        let own = stored(requester.user);

        let mut failures: BTreeMap<OwnedUserId, BTreeMap<String, SignatureFailure>> = BTreeMap::new();
        let mut good: Vec<KeySignature> = Vec::new();
        for (user_id, objects) in upload {
            let nr = users.iter().find(|(_, id)| *id == user_id).map(|(nr, _)| *nr);
            let theirs = nr.map(stored);
            for (target, json) in objects {
                let taken = match (nr, &theirs) {
                    (Some(nr), Some(theirs)) => check(requester, &own, nr, theirs, target, json.get()),
                    _ => Err(SignatureFailure::UnknownKey),
                };
                match taken {
                    Ok(signatures) => good.extend(signatures),
                    Err(failure) => drop(failures.entry(user_id.clone()).or_default().insert(target.clone(), failure)),
                }
            }
        }
        if !good.is_empty() {
            self.change(requester.user, UserChange::Signatures { list: good }).await?;
        }
        Ok(failures)
    }
}

fn check(
    requester: &Requester,
    own: &Stored,
    user: UserNr,
    theirs: &Stored,
    target: &str,
    json: &str,
) -> Result<Vec<KeySignature>, SignatureFailure> {
    let object = Signed::parse(json).ok_or(SignatureFailure::Altered)?;
    let is_master =
        |usage: &str, key: &Signed| usage == "master" && key.ed25519().is_some_and(|(_, public)| public == target);
    let device = theirs.devices.iter().find(|(id, _)| user == requester.user && id == target).map(|(_, key)| key);
    let master = theirs.cross.iter().find(|(usage, key)| is_master(usage, key)).map(|(_, key)| key);
    let key = device.or(master).ok_or(SignatureFailure::UnknownKey)?;
    if !object.same_as(key) {
        return Err(SignatureFailure::Altered);
    }
    // Which of the requester's keys may sign this one.
    let signers: Vec<(&str, &str)> = match (device.is_some(), user == requester.user) {
        (true, _) => own.with_usage("self_signing"),
        (false, true) => {
            own.devices.iter().flat_map(|(_, key)| key.keys()).filter(|(id, _)| id.starts_with("ed25519:")).collect()
        }
        (false, false) => own.with_usage("user_signing"),
    };
    let mut taken = Vec::new();
    for carried in object.signatures().filter(|s| s.user == requester.user_id.as_str()) {
        let Some((_, public)) = signers.iter().find(|(id, _)| *id == carried.key_id) else { continue };
        if !object.is_signed_with(public, carried.signature) {
            return Err(SignatureFailure::Wrong);
        }
        taken.push(KeySignature {
            user,
            target: target.to_owned(),
            signer: requester.user,
            key_id: carried.key_id.to_owned(),
            signature: carried.signature.to_owned(),
        });
    }
    if taken.is_empty() { Err(SignatureFailure::NoSignature) } else { Ok(taken) }
}

impl Stored {
    fn with_usage(&self, usage: &str) -> Vec<(&str, &str)> {
        self.cross.iter().filter(|(u, _)| u == usage).filter_map(|(_, key)| key.ed25519()).collect()
    }
}
