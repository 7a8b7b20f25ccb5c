//! A device's encryption keys, made and signed as a client makes them.
//!
//! **Invariant:** every key object carries a valid signature, so that a server may check them.

use serde_json::{Map, Value, json};
use vodozemac::{Ed25519SecretKey, olm::Account};

use crate::user::User;

/// The Olm account of one device.
pub struct DeviceKeys {
    user: String,
    device: String,
    account: Account,
}

impl std::fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceKeys").field("user", &self.user).field("device", &self.device).finish_non_exhaustive()
    }
}

impl DeviceKeys {
    #[must_use]
    pub fn new(user: &User) -> Self {
        Self { user: user.id.clone(), device: user.device.clone(), account: Account::new() }
    }

    /// The value of `device_keys` in `/keys/upload`.
    #[must_use]
    pub fn identity(&self) -> Value {
        self.signed(json!({
            "user_id": self.user,
            "device_id": self.device,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                format!("curve25519:{}", self.device): self.account.curve25519_key().to_base64(),
                format!("ed25519:{}", self.device): self.account.ed25519_key().to_base64(),
            },
        }))
    }

    /// `count` new one-time keys: the value of `one_time_keys`.
    pub fn one_time_keys(&mut self, count: usize) -> Value {
        self.account.generate_one_time_keys(count);
        let keys: Map<String, Value> = self
            .account
            .one_time_keys()
            .into_iter()
            .map(|(id, key)| {
                (format!("signed_curve25519:{}", id.to_base64()), self.signed(json!({ "key": key.to_base64() })))
            })
            .collect();
        self.account.mark_keys_as_published();
        Value::Object(keys)
    }

    /// A new fallback key: the value of `fallback_keys`.
    pub fn fallback_key(&mut self) -> Value {
        self.account.generate_fallback_key();
        let keys: Map<String, Value> = self
            .account
            .fallback_key()
            .into_iter()
            .map(|(id, key)| {
                let key = self.signed(json!({ "key": key.to_base64(), "fallback": true }));
                (format!("signed_curve25519:{}", id.to_base64()), key)
            })
            .collect();
        Value::Object(keys)
    }

    /// `object` with this device's signature.
    #[must_use]
    pub fn signed(&self, object: Value) -> Value {
        let signature = self.account.sign(canonical(&object).as_bytes()).to_base64();
        with_signature(object, &self.user, &format!("ed25519:{}", self.device), &signature)
    }
}

/// A user's cross-signing keys.
pub struct CrossSigning {
    user: String,
    master: Ed25519SecretKey,
    self_signing: Ed25519SecretKey,
    user_signing: Ed25519SecretKey,
}

impl CrossSigning {
    #[must_use]
    pub fn new(user: &User) -> Self {
        Self {
            user: user.id.clone(),
            master: Ed25519SecretKey::new(),
            self_signing: Ed25519SecretKey::new(),
            user_signing: Ed25519SecretKey::new(),
        }
    }

    /// The body of `/keys/device_signing/upload`.
    #[must_use]
    pub fn upload(&self) -> Value {
        json!({
            "master_key": self.key("master", &self.master),
            "self_signing_key": self.signed_by_master(self.key("self_signing", &self.self_signing)),
            "user_signing_key": self.signed_by_master(self.key("user_signing", &self.user_signing)),
        })
    }

    /// The public master key, which is also its key id.
    #[must_use]
    pub fn master_id(&self) -> String {
        self.master.public_key().to_base64()
    }

    /// The key id of the self-signing key.
    #[must_use]
    pub fn self_signing_id(&self) -> String {
        self.self_signing.public_key().to_base64()
    }

    /// A device's keys with the self-signing key's signature: an entry of `/keys/signatures/upload`.
    #[must_use]
    pub fn sign_device(&self, device_keys: Value) -> Value {
        sign(device_keys, &self.user, &self.self_signing)
    }

    /// Another user's master key with our user-signing key's signature.
    #[must_use]
    pub fn sign_user(&self, master_key: Value) -> Value {
        sign(master_key, &self.user, &self.user_signing)
    }

    fn signed_by_master(&self, key: Value) -> Value {
        sign(key, &self.user, &self.master)
    }

    fn key(&self, usage: &str, secret: &Ed25519SecretKey) -> Value {
        let public = secret.public_key().to_base64();
        json!({ "user_id": self.user, "usage": [usage], "keys": { format!("ed25519:{public}"): public } })
    }
}

fn sign(object: Value, user: &str, key: &Ed25519SecretKey) -> Value {
    let signature = key.sign(canonical(&object).as_bytes()).to_base64();
    with_signature(object, user, &format!("ed25519:{}", key.public_key().to_base64()), &signature)
}

fn with_signature(mut object: Value, user: &str, key: &str, signature: &str) -> Value {
    object["signatures"][user][key] = json!(signature);
    object
}

/// Canonical JSON of an object without what signatures do not cover.
fn canonical(object: &Value) -> String {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("signatures");
        map.remove("unsigned");
    }
    let mut out = String::new();
    write_sorted(&object, &mut out);
    out
}

fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            // Not left to the map: a feature of serde_json decides its order.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (n, (key, value)) in entries.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                out.push_str(&json!(key).to_string());
                out.push(':');
                write_sorted(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_sorted(item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}
