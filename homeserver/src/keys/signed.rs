//! Signed key objects: reading them, and checking who signed.

use roost_spec::{
    canonical_json::{Numbers, Object, Value, parse_object},
    signature::VerifyKey,
};

use super::upload::key_name;

/// A key object (device keys or a cross-signing key) as it was uploaded.
#[derive(Debug, Clone)]
pub(super) struct Signed(Object);

/// A signature that an object carries.
pub(super) struct Carried<'a> {
    pub user: &'a str,
    pub key_id: &'a str,
    pub signature: &'a str,
}

impl Signed {
    /// Reads an uploaded object. `None` if it is no JSON object that can be signed.
    pub fn parse(json: &str) -> Option<Self> {
        parse_object(json.as_bytes(), Numbers::Lenient).ok().map(Self)
    }

    /// The text under which it is stored: equal objects have equal texts.
    pub fn to_text(&self) -> String {
        self.0.to_canonical()
    }

    pub fn str(&self, key: &str) -> Option<&str> {
        self.0.get_str(key)
    }

    /// Whether `key` is a list of texts.
    pub fn has_texts(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_array).is_some_and(|list| list.iter().all(|it| it.as_str().is_some()))
    }

    /// Whether `keys` are texts by names, and at least one.
    pub fn has_public_keys(&self) -> bool {
        let is_text = |key: &Value| key.as_str().is_some_and(|key| !key.chars().any(char::is_control));
        let named = |(name, key): (&str, &Value)| key_name(name).is_some() && is_text(key);
        self.0.get_object("keys").is_some_and(|keys| keys.iter().next().is_some() && keys.iter().all(named))
    }

    /// Whether `signatures` are texts by user and key.
    pub fn has_signatures(&self) -> bool {
        let texts = |by: &Object| by.iter().all(|(_, signature)| signature.as_str().is_some());
        let of_user = |(_, by): (&str, &Value)| by.as_object().is_some_and(texts);
        self.0.get_object("signatures").is_some_and(|users| users.iter().all(of_user))
    }

    /// The public keys: (`ed25519:NAME`, base64).
    pub fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .get_object("keys")
            .into_iter()
            .flat_map(|keys| keys.iter().filter_map(|(id, key)| Some((id, key.as_str()?))))
    }

    /// The first public ed25519 key.
    pub fn ed25519(&self) -> Option<(&str, &str)> {
        self.keys().find(|(id, _)| id.starts_with("ed25519:"))
    }

    pub fn has_usage(&self, usage: &str) -> bool {
        self.0
            .get("usage")
            .and_then(|u| u.as_array())
            .is_some_and(|list| list.iter().any(|v| v.as_str() == Some(usage)))
    }

    /// Every signature, of whomever.
    pub fn signatures(&self) -> impl Iterator<Item = Carried<'_>> {
        let users = self.0.get_object("signatures").into_iter().flat_map(Object::iter);
        users.flat_map(|(user, list)| {
            let list = list.as_object().into_iter().flat_map(Object::iter);
            list.filter_map(move |(key_id, signature)| Some(Carried { user, key_id, signature: signature.as_str()? }))
        })
    }

    /// Whether the two are the same but for signatures and unsigned data.
    pub fn same_as(&self, other: &Self) -> bool {
        self.signed_text() == other.signed_text()
    }

    /// Whether `signature` over this object was made with the public key `key`, in base64.
    pub fn is_signed_with(&self, key: &str, signature: &str) -> bool {
        VerifyKey::from_base64(key).is_some_and(|key| key.verify_base64(self.signed_text().as_bytes(), signature))
    }

    /// Whether it carries a right signature of `user` with the key `key_id`, whose public half is `key`.
    pub fn is_signed_by(&self, user: &str, key_id: &str, key: &str) -> bool {
        self.signatures().any(|s| s.user == user && s.key_id == key_id && self.is_signed_with(key, s.signature))
    }

    /// Adds a signature.
    pub fn sign(&mut self, user: &str, key_id: &str, signature: &str) {
        let mut all = self.0.take_object("signatures");
        let mut own = all.take_object(user);
        own.insert(key_id, signature);
        all.insert(user, own);
        self.0.insert("signatures", all);
    }

    /// The object without what only the server says.
    #[must_use]
    pub fn without_unsigned(mut self) -> Self {
        self.0.remove("unsigned");
        self
    }

    fn signed_text(&self) -> String {
        let mut text = String::with_capacity(512);
        self.0.write_without(&["signatures", "unsigned"], &mut text);
        text
    }
}
