//! Users' public keys in memory: whoever joins an encrypted room asks for the same ones, and they hardly change.
//!
//! What is here was true when the log last told of a change, or a few minutes ago where a change was stored and its telling
//! failed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use moka::sync::Cache;
use serde_json::value::RawValue;
use sqlx::PgPool;

use super::signed::Signed;
use crate::{
    log::{Apply, Notice, Slice},
    metrics,
    storage::{self, Interner, UserNr, device_key, device_key::KeySignature},
};

/// What is known of one user's keys.
#[derive(Debug, Default)]
pub(super) struct UserKeys {
    /// By device ID, with the device's name in `unsigned`.
    pub devices: BTreeMap<String, Box<RawValue>>,
    /// By usage.
    pub cross_signing: BTreeMap<String, Box<RawValue>>,
    /// The signatures that this user made over others' keys: shown to this user only.
    pub made: Vec<KeySignature>,
}

/// Keys by user, bounded by bytes. Follows the log.
pub struct KnownKeys {
    users: Cache<UserNr, Arc<UserKeys>>,
    /// How many times something was dropped: what was read before a drop is not kept after it.
    drops: Mutex<u64>,
}

/// In bytes.
const CAPACITY: u64 = 32 << 20;
/// How long something is believed of which the log says nothing.
const BELIEVED: Duration = Duration::from_secs(300);

impl Default for KnownKeys {
    fn default() -> Self {
        let users = Cache::builder().max_capacity(CAPACITY).time_to_live(BELIEVED);
        let users = users.weigher(|_, keys: &Arc<UserKeys>| u32::try_from(keys.size()).unwrap_or(u32::MAX));
        Self { users: users.build(), drops: Mutex::new(0) }
    }
}

impl KnownKeys {
    fn drops(&self) -> MutexGuard<'_, u64> {
        self.drops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what is known of `users`.
    fn forget<'a>(&self, users: impl IntoIterator<Item = &'a UserNr>) {
        let mut drops = self.drops();
        for user in users {
            *drops += 1;
            self.users.invalidate(user);
        }
    }

    /// The keys of `users`; what is not known is read, in three queries at most.
    pub(super) async fn of(
        &self,
        pool: &PgPool,
        interner: &Interner,
        users: &[UserNr],
    ) -> storage::Result<HashMap<UserNr, Arc<UserKeys>>> {
        let ticket = *self.drops();
        let (mut known, mut missing) = (HashMap::with_capacity(users.len()), Vec::new());
        for user in users {
            let found = self.users.get(user);
            metrics::CACHE_KEYS.looked_up(found.is_some());
            match found {
                Some(keys) => drop(known.insert(*user, keys)),
                None => missing.push(*user),
            }
        }
        if !missing.is_empty() {
            // Boxed: what a query needs would take room in every request.
            let read = Box::pin(read(pool, interner, &missing)).await?;
            let drops = self.drops();
            for (user, keys) in read {
                if *drops == ticket {
                    self.users.insert(user, Arc::clone(&keys));
                }
                known.insert(user, keys);
            }
            metrics::CACHE_KEYS.set_entries(usize::try_from(self.users.entry_count()).unwrap_or(usize::MAX));
        }
        Ok(known)
    }
}

impl Apply for KnownKeys {
    fn apply(&self, slice: &Slice, _own: bool) {
        self.forget(slice.notices.iter().filter_map(|notice| match notice {
            Notice::User(user) => Some(user),
            Notice::Room(_) | Notice::Settings => None,
        }));
        match &slice.beside {
            Some(beside) => self.forget(&beside.device_changes),
            None => self.forget(&slice.users),
        }
    }
}

impl UserKeys {
    fn size(&self) -> usize {
        let texts =
            self.devices.iter().chain(&self.cross_signing).map(|(name, json)| name.len() + json.get().len() + 64);
        let made = self.made.iter().map(|made| made.target.len() + made.key_id.len() + made.signature.len() + 96);
        128 + texts.sum::<usize>() + made.sum::<usize>()
    }
}

async fn read(pool: &PgPool, interner: &Interner, users: &[UserNr]) -> storage::Result<HashMap<UserNr, Arc<UserKeys>>> {
    let (devices, cross, signatures) = tokio::try_join!(
        device_key::of_users(pool, users),
        device_key::cross_signing(pool, users),
        device_key::signatures(pool, users),
    )?;
    let names = interner.texts(users).await?;
    let mut keys: HashMap<UserNr, UserKeys> = users.iter().map(|user| (*user, UserKeys::default())).collect();
    let mut own: HashMap<(UserNr, String), Vec<KeySignature>> = HashMap::new();
    for signature in signatures {
        if signature.user == signature.signer {
            own.entry((signature.user, signature.target.clone())).or_default().push(signature);
        } else if let Some(keys) = keys.get_mut(&signature.signer) {
            keys.made.push(signature);
        }
    }
    for key in devices {
        let Some(keys) = keys.get_mut(&key.user) else { continue };
        let added = own.remove(&(key.user, key.device_id.clone())).unwrap_or_default();
        let json = with_name(sign(key.json, names.get(&key.user), &added)?, key.display_name.as_deref())?;
        keys.devices.insert(key.device_id, raw(json)?);
    }
    for key in cross {
        let Some(keys) = keys.get_mut(&key.user) else { continue };
        let added = public_key(&key.json).and_then(|public| own.remove(&(key.user, public))).unwrap_or_default();
        keys.cross_signing.insert(key.usage, raw(sign(key.json, names.get(&key.user), &added)?)?);
    }
    Ok(keys.into_iter().map(|(user, keys)| (user, Arc::new(keys))).collect())
}

/// The public part of a cross-signing key, which names it as a signature's target.
pub(super) fn public_key(json: &str) -> Option<String> {
    Signed::parse(json)?.ed25519().map(|(_, public)| public.to_owned())
}

/// Adds signatures of `signer`. Most keys have none, and stay the text they are.
pub(super) fn sign<'a>(
    json: String,
    signer: Option<&Arc<str>>,
    added: impl IntoIterator<Item = &'a KeySignature>,
) -> storage::Result<String> {
    let (Some(signer), mut added) = (signer, added.into_iter().peekable()) else { return Ok(json) };
    if added.peek().is_none() {
        return Ok(json);
    }
    let mut key =
        Signed::parse(&json).ok_or_else(|| storage::Error::Inconsistent("a stored key is no object".to_owned()))?;
    for signature in added {
        key.sign(signer, &signature.key_id, &signature.signature);
    }
    Ok(key.to_text())
}

/// Puts `unsigned` at the end of the object's text, with the device's name where it has one.
fn with_name(mut json: String, name: Option<&str>) -> storage::Result<String> {
    // Older uploads may have brought one of their own.
    if json.contains("\"unsigned\":")
        && let Some(key) = Signed::parse(&json)
    {
        json = key.without_unsigned().to_text();
    }
    let named = name.map(serde_json::to_string).transpose().map_err(|e| storage::Error::Inconsistent(e.to_string()))?;
    let unsigned = named.map_or_else(String::new, |name| format!("\"device_display_name\":{name}"));
    if json.pop() == Some('}') {
        json.push_str(",\"unsigned\":{");
        json.push_str(&unsigned);
        json.push_str("}}");
    }
    Ok(json)
}

pub(super) fn raw(json: String) -> storage::Result<Box<RawValue>> {
    RawValue::from_string(json).map_err(|e| storage::Error::Inconsistent(format!("a stored key: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Pos, Sym};

    fn slice(notices: Vec<Notice>, beside: Option<crate::log::Beside>) -> Slice {
        let users = vec![Sym(1), Sym(2)];
        let (first, last) = (Pos(1), Pos(1));
        Slice { generation: 1, first, last, writer: 1, rooms: vec![], users, notices, events: None, beside }
    }

    fn known() -> KnownKeys {
        let known = KnownKeys::default();
        (1..=3).for_each(|user| known.users.insert(Sym(user), Arc::default()));
        known
    }

    fn left(known: &KnownKeys) -> Vec<i32> {
        (1..=3).filter(|user| known.users.contains_key(&Sym(*user))).collect()
    }

    #[test]
    fn a_change_drops_the_one_who_changed() {
        let changed = crate::log::Beside { device_changes: vec![Sym(2)], ..Default::default() };
        let known = known();
        known.apply(&slice(vec![], Some(changed)), false);
        assert_eq!(left(&known), [1, 3]);
        known.apply(&slice(vec![Notice::User(Sym(3))], Some(Default::default())), true);
        assert_eq!((left(&known), *known.drops()), (vec![1], 2));
    }

    #[test]
    fn every_device_key_has_its_unsigned_and_no_second_one() {
        let key = r#"{"keys":{},"unsigned":{"device_display_name":"mine"}}"#.to_owned();
        assert_eq!(with_name(key.clone(), None).unwrap(), r#"{"keys":{},"unsigned":{}}"#);
        assert_eq!(
            with_name(key, Some("a \"b\"")).unwrap(),
            r#"{"keys":{},"unsigned":{"device_display_name":"a \"b\""}}"#
        );
    }

    #[test]
    fn a_slice_without_words_drops_all_whom_it_touched() {
        let known = known();
        known.apply(&slice(vec![], None), false);
        assert_eq!(left(&known), [3]);
    }
}
