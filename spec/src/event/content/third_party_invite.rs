//! `m.room.third_party_invite`

use crate::{
    canonical_json::{Object, Value},
    signature::VerifyKey,
};

/// The content of an invitation to someone who is known by an e-mail address or the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThirdPartyInvite {
    /// The keys with which the identity server may sign: `public_key`, and each in `public_keys`.
    pub public_keys: Vec<VerifyKey>,
}

impl ThirdPartyInvite {
    /// Reads a content; keys that are none are passed over.
    pub fn read(content: &Object) -> Self {
        let listed = content.get("public_keys").and_then(Value::as_array).unwrap_or_default();
        let listed = listed.iter().filter_map(|entry| entry.as_object()?.get_str("public_key"));
        let keys = content.get_str("public_key").into_iter().chain(listed);
        Self { public_keys: keys.filter_map(VerifyKey::from_base64_any).collect() }
    }
}
