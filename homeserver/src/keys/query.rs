//! `POST /keys/query`

use std::collections::{BTreeMap, HashMap};

use ruma::{OwnedServerName, OwnedUserId};
use serde_json::value::RawValue;

use super::{Keys, signed::Signed};
use crate::{
    storage::{self, UserNr, device_key, device_key::KeySignature},
    users::Requester,
};

/// Keys by user.
pub type KeysByUser = BTreeMap<OwnedUserId, Box<RawValue>>;

/// What is known of the users asked for.
#[derive(Debug, Default)]
pub struct QueriedKeys {
    /// By user and device, with the device's name in `unsigned`.
    pub devices: BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>,
    pub master: KeysByUser,
    pub self_signing: KeysByUser,
    /// The requester's own only.
    pub user_signing: KeysByUser,
    /// Servers that could not be asked.
    pub unreachable: Vec<OwnedServerName>,
}

/// Signatures by (whose key, which key).
type Added = HashMap<(UserNr, String), Vec<KeySignature>>;

impl Keys {
    /// The device and cross-signing keys of users; an empty list of devices means all. Three queries, however many users.
    ///
    /// # Errors
    /// The database's own.
    pub async fn query(
        &self,
        requester: &Requester,
        wanted: &BTreeMap<OwnedUserId, Vec<String>>,
    ) -> storage::Result<QueriedKeys> {
        let mut answer = QueriedKeys { unreachable: self.foreign_servers(wanted.keys()), ..QueriedKeys::default() };
        let users = self.local_numbers(wanted.keys().map(AsRef::as_ref)).await?;
        let numbers: Vec<UserNr> = users.iter().map(|u| u.0).collect();
        let names: HashMap<UserNr, &ruma::UserId> = users.into_iter().collect();
        let pool = &self.0.pool;
        let (devices, cross, signatures) = tokio::try_join!(
            device_key::of_users(pool, &numbers),
            device_key::cross_signing(pool, &numbers),
            device_key::signatures(pool, &numbers, requester.user),
        )?;
        let signers = self.0.interner.texts(&signatures.iter().map(|s| s.signer).collect::<Vec<_>>()).await?;
        let mut added: Added = HashMap::new();
        for signature in signatures {
            added.entry((signature.user, signature.target.clone())).or_default().push(signature);
        }

        for user_id in names.values() {
            answer.devices.insert((*user_id).to_owned(), BTreeMap::new());
        }
        for key in devices {
            let Some(user_id) = names.get(&key.user) else { continue };
            let asked = wanted.get(*user_id).is_none_or(|list| list.is_empty() || list.contains(&key.device_id));
            if asked && let Some(devices) = answer.devices.get_mut(*user_id) {
                let json = merge(key.json, added.remove(&(key.user, key.device_id.clone())), &signers)?;
                devices.insert(key.device_id, raw(with_name(json, key.display_name.as_deref())?)?);
            }
        }
        for key in cross {
            let Some(user_id) = names.get(&key.user) else { continue };
            let list = match key.usage.as_str() {
                "master" => &mut answer.master,
                "self_signing" => &mut answer.self_signing,
                "user_signing" if key.user == requester.user => &mut answer.user_signing,
                _ => continue,
            };
            let public = Signed::parse(&key.json).and_then(|s| s.ed25519().map(|(_, public)| public.to_owned()));
            let extra = public.and_then(|public| added.remove(&(key.user, public)));
            list.insert((*user_id).to_owned(), raw(merge(key.json, extra, &signers)?)?);
        }
        Ok(answer)
    }
}

/// Adds later signatures. Most keys have none, and stay the text they are.
fn merge(
    json: String,
    added: Option<Vec<KeySignature>>,
    signers: &HashMap<UserNr, std::sync::Arc<str>>,
) -> storage::Result<String> {
    let Some(added) = added else { return Ok(json) };
    let mut key =
        Signed::parse(&json).ok_or_else(|| storage::Error::Inconsistent("a stored key is no object".to_owned()))?;
    for signature in added {
        if let Some(signer) = signers.get(&signature.signer) {
            key.sign(signer, &signature.key_id, &signature.signature);
        }
    }
    Ok(key.to_text())
}

/// Puts the device's name into `unsigned`, at the end of the object's text.
fn with_name(mut json: String, name: Option<&str>) -> storage::Result<String> {
    if let Some(name) = name
        && json.pop() == Some('}')
    {
        let name = serde_json::to_string(name).map_err(|e| storage::Error::Inconsistent(e.to_string()))?;
        json.push_str(",\"unsigned\":{\"device_display_name\":");
        json.push_str(&name);
        json.push_str("}}");
    }
    Ok(json)
}

fn raw(json: String) -> storage::Result<Box<RawValue>> {
    RawValue::from_string(json).map_err(|e| storage::Error::Inconsistent(format!("a stored key: {e}")))
}
