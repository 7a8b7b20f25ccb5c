//! `POST /keys/query`

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedServerName, OwnedUserId, UserId};
use serde_json::value::RawValue;

use super::{
    Keys,
    known::{self, UserKeys},
};
use crate::{
    storage::{self, UserNr},
    users::Requester,
};

/// What is known of one of the users asked for.
#[derive(Debug)]
pub struct Queried {
    pub user_id: OwnedUserId,
    keys: Arc<UserKeys>,
    /// The master key with what the requester signed of it, where that is more than what all see.
    signed_master: Option<Box<RawValue>>,
    is_requester: bool,
}

impl Queried {
    /// Device keys by device ID, with the device's name in `unsigned`. None `wanted` means all.
    pub fn devices(&self, wanted: &[String]) -> BTreeMap<&str, &RawValue> {
        let all = self.keys.devices.iter().map(|(id, json)| (id.as_str(), &**json));
        all.filter(|(id, _)| wanted.is_empty() || wanted.iter().any(|name| name == id)).collect()
    }

    /// The master key.
    pub fn master(&self) -> Option<&RawValue> {
        self.signed_master.as_deref().or_else(|| self.keys.cross_signing.get("master").map(|json| &**json))
    }

    /// The self-signing key.
    pub fn self_signing(&self) -> Option<&RawValue> {
        self.keys.cross_signing.get("self_signing").map(|json| &**json)
    }

    /// The user-signing key, which only its owner sees.
    pub fn user_signing(&self) -> Option<&RawValue> {
        let key = self.keys.cross_signing.get("user_signing").filter(|_| self.is_requester)?;
        Some(key)
    }
}

impl Keys {
    /// The device and cross-signing keys of local users, and the servers of the others, which can't be asked. A few queries
    /// however many users, and none for those who were asked for lately.
    ///
    /// # Errors
    /// The database's own.
    pub async fn query(
        &self,
        requester: &Requester,
        wanted: impl Iterator<Item = &OwnedUserId> + Clone,
    ) -> storage::Result<(Vec<Queried>, Vec<OwnedServerName>)> {
        let unreachable = self.foreign_servers(wanted.clone());
        let users = self.local_numbers(wanted.map(AsRef::as_ref)).await?;
        let mut numbers: Vec<UserNr> = users.iter().map(|u| u.0).collect();
        numbers.push(requester.user);
        self.0.log.caught_up().await?;
        let known = self.0.known.of(&self.0.pool, &self.0.interner, &numbers).await?;
        let made = known.get(&requester.user).map_or(&[][..], |own| &own.made);
        let requester_id: Arc<str> = requester.user_id.as_str().into();

        let queried = |(user, user_id): (UserNr, &UserId)| {
            let keys = Arc::clone(known.get(&user)?);
            let by_requester: Vec<_> = made.iter().filter(|signature| signature.user == user).collect();
            let master = keys.cross_signing.get("master").filter(|_| !by_requester.is_empty());
            let signed_master = master.map(|json| {
                let public = known::public_key(json.get()).unwrap_or_default();
                let over_it = by_requester.into_iter().filter(|signature| signature.target == public);
                known::raw(known::sign(json.get().to_owned(), Some(&requester_id), over_it)?)
            });
            let is_requester = user == requester.user;
            let whole = |signed_master| Queried { user_id: user_id.to_owned(), keys, signed_master, is_requester };
            Some(signed_master.transpose().map(whole))
        };
        let answer = users.into_iter().filter_map(queried).collect::<storage::Result<Vec<Queried>>>()?;
        Ok((answer, unreachable))
    }
}
