//! What each route takes.

use serde_json::{Map, Value, json};

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// An identifier of the asker.
    Id,
    Flag,
    Number,
    List,
    Object,
}
use Kind::{Flag, List, Number, Object, Text};

/// Fields of a body, by name.
pub type Fields = &'static [(&'static str, Kind)];

/// What a route takes.
#[derive(Clone, Copy, Debug)]
pub struct Takes {
    /// An access token.
    pub token: bool,
    /// A JSON object with these fields.
    pub body: Option<Fields>,
}

/// A body whose fields all fit.
pub fn sample(fields: Fields) -> Value {
    let value = |kind: Kind| match kind {
        Text => json!("sample"),
        Kind::Id => json!("@sample:localhost"),
        Flag => json!(false),
        Number => json!(1),
        List => json!([]),
        Object => json!({}),
    };
    Value::Object(fields.iter().map(|(name, kind)| ((*name).to_owned(), value(*kind))).collect::<Map<_, _>>())
}

/// `None`: the route is not in the table.
pub fn takes(method: &str, path: &str) -> Option<Takes> {
    let prefixes = [
        "/_matrix/client/v3/",
        "/_matrix/client/r0/",
        "/_matrix/client/v1/",
        "/_matrix/client/unstable/uk.tcpip.msc4133/",
        "/_matrix/client/unstable/",
    ];
    let short = prefixes.iter().find_map(|prefix| path.strip_prefix(prefix)).unwrap_or(path);
    let short = short.trim_end_matches('/');
    let open = OPEN.iter().find(|(m, p, _)| (*m, *p) == (method, short)).map(|row| Takes { token: false, body: row.2 });
    let closed =
        CLOSED.iter().find(|(m, p, _)| (*m, *p) == (method, short)).map(|row| Takes { token: true, body: row.2 });
    open.or(closed)
}

type Row = (&'static str, &'static str, Option<Fields>);

/// Without a token.
const OPEN: &[Row] = &[
    ("GET", "/.well-known/matrix/client", None),
    ("GET", "/_matrix/client/versions", None),
    ("GET", "/_matrix/federation/v1/openid/userinfo", None),
    ("GET", "/_matrix/federation/v1/version", None),
    ("GET", "/_matrix/key/v2/server", None),
    ("GET", "/_matrix/key/v2/server/{keyId}", None),
    ("GET", "/_synapse/admin/v1/register", None),
    (
        "POST",
        "/_synapse/admin/v1/register",
        Some(&[("nonce", Text), ("username", Text), ("password", Text), ("mac", Text), ("admin", Flag)]),
    ),
    ("GET", "/health/live", None),
    ("GET", "/health/ready", None),
    ("GET", "login", None),
    ("POST", "login", Some(&[("type", Text), ("password", Text), ("device_id", Text), ("identifier", Object)])),
    ("POST", "refresh", Some(&[("refresh_token", Text)])),
    ("POST", "register", Some(&[("username", Text), ("password", Text), ("inhibit_login", Flag), ("device_id", Text)])),
    ("GET", "register/available", None),
    ("GET", "register/m.login.registration_token/validity", None),
    ("GET", "profile/{userId}", None),
    ("GET", "profile/{userId}/{keyName}", None),
    ("GET", "directory/room/{roomAlias}", None),
    ("GET", "directory/list/room/{roomId}", None),
    ("POST", "account/deactivate", Some(&[("erase", Flag)])),
    ("POST", "account/password", Some(&[("new_password", Text), ("logout_devices", Flag)])),
];

/// With a token.
const CLOSED: &[Row] = &[
    ("DELETE", "devices/{deviceId}", None),
    ("DELETE", "directory/room/{roomAlias}", None),
    ("DELETE", "profile/{userId}/{keyName}", None),
    ("DELETE", "pushrules/global/{kind}/{rule_id}", None),
    ("DELETE", "room_keys/keys", None),
    ("DELETE", "room_keys/keys/{room_id}", None),
    ("DELETE", "room_keys/keys/{room_id}/{session_id}", None),
    ("DELETE", "room_keys/version/{version}", None),
    ("DELETE", "user/{userId}/rooms/{roomId}/tags/{tag}", None),
    ("GET", "/_matrix/media/r0/config", None),
    ("GET", "/_matrix/media/v3/config", None),
    ("GET", "account/3pid", None),
    ("GET", "account/whoami", None),
    ("GET", "admin/lock/{userId}", None),
    ("GET", "admin/suspend/{userId}", None),
    ("GET", "capabilities", None),
    ("GET", "devices", None),
    ("GET", "devices/{deviceId}", None),
    ("GET", "joined_rooms", None),
    ("GET", "keys/changes", None),
    ("GET", "media/config", None),
    ("GET", "media/download/{server_name}/{media_id}", None),
    ("GET", "media/download/{server_name}/{media_id}/{filename}", None),
    ("GET", "pushers", None),
    ("GET", "pushrules", None),
    ("GET", "pushrules/global", None),
    ("GET", "pushrules/global/{kind}/{rule_id}", None),
    ("GET", "pushrules/global/{kind}/{rule_id}/actions", None),
    ("GET", "pushrules/global/{kind}/{rule_id}/enabled", None),
    ("GET", "room_keys/keys", None),
    ("GET", "room_keys/keys/{room_id}", None),
    ("GET", "room_keys/keys/{room_id}/{session_id}", None),
    ("GET", "room_keys/version", None),
    ("GET", "room_keys/version/{version}", None),
    ("GET", "rooms/{roomId}/aliases", None),
    ("GET", "rooms/{roomId}/context/{eventId}", None),
    ("GET", "rooms/{roomId}/event/{eventId}", None),
    ("GET", "rooms/{roomId}/joined_members", None),
    ("GET", "rooms/{roomId}/members", None),
    ("GET", "rooms/{roomId}/messages", None),
    ("GET", "rooms/{roomId}/state", None),
    ("GET", "rooms/{roomId}/state/{eventType}", None),
    ("GET", "rooms/{roomId}/state/{eventType}/{stateKey}", None),
    ("GET", "sync", None),
    ("GET", "thirdparty/protocols", None),
    ("GET", "user/{userId}/account_data/{type}", None),
    ("GET", "user/{userId}/rooms/{roomId}/account_data/{type}", None),
    ("GET", "user/{userId}/rooms/{roomId}/tags", None),
    ("GET", "user/{user_id}/filter/{filter_id}", None),
    ("GET", "voip/turnServer", None),
    ("POST", "/_matrix/media/r0/upload", None),
    ("POST", "/_matrix/media/v3/upload", None),
    ("POST", "account/3pid/add", None),
    ("POST", "account/3pid/bind", None),
    (
        "POST",
        "createRoom",
        Some(&[
            ("preset", Text),
            ("name", Text),
            ("topic", Text),
            ("room_alias_name", Text),
            ("invite", List),
            ("initial_state", List),
            ("is_direct", Flag),
            ("creation_content", Object),
            ("power_level_content_override", Object),
        ]),
    ),
    ("POST", "delete_devices", Some(&[("devices", List)])),
    ("POST", "join/{roomIdOrAlias}", Some(&[("reason", Text)])),
    ("POST", "knock/{roomIdOrAlias}", Some(&[("reason", Text)])),
    ("POST", "keys/claim", Some(&[("one_time_keys", Object)])),
    ("POST", "keys/device_signing/upload", Some(&[])),
    ("POST", "keys/query", Some(&[("device_keys", Object)])),
    ("POST", "keys/signatures/upload", Some(&[("@sample:localhost", Object)])),
    ("POST", "keys/upload", Some(&[("one_time_keys", Object), ("fallback_keys", Object)])),
    ("POST", "login/get_token", Some(&[])),
    ("POST", "logout", None),
    ("POST", "logout/all", None),
    ("POST", "room_keys/version", Some(&[("algorithm", Text), ("auth_data", Object)])),
    ("POST", "rooms/{roomId}/ban", Some(&[("user_id", Kind::Id), ("reason", Text)])),
    ("POST", "rooms/{roomId}/forget", None),
    ("POST", "rooms/{roomId}/invite", Some(&[("user_id", Kind::Id), ("reason", Text)])),
    ("POST", "rooms/{roomId}/join", Some(&[("reason", Text)])),
    ("POST", "rooms/{roomId}/kick", Some(&[("user_id", Kind::Id), ("reason", Text)])),
    ("POST", "rooms/{roomId}/leave", Some(&[("reason", Text)])),
    ("POST", "rooms/{roomId}/read_markers", Some(&[("m.fully_read", Text), ("m.read", Text)])),
    ("POST", "rooms/{roomId}/receipt/{receiptType}/{eventId}", Some(&[("thread_id", Text)])),
    ("POST", "rooms/{roomId}/unban", Some(&[("user_id", Kind::Id), ("reason", Text)])),
    ("POST", "rooms/{roomId}/upgrade", Some(&[("new_version", Text)])),
    ("POST", "user/{userId}/openid/request_token", None),
    ("POST", "user/{user_id}/filter", Some(&[("room", Object), ("event_fields", List)])),
    ("PUT", "admin/lock/{userId}", None),
    ("PUT", "admin/suspend/{userId}", None),
    ("PUT", "devices/{deviceId}", Some(&[("display_name", Text)])),
    ("PUT", "directory/list/room/{roomId}", Some(&[("visibility", Text)])),
    ("PUT", "directory/room/{roomAlias}", Some(&[("room_id", Text)])),
    ("PUT", "profile/{userId}/{keyName}", Some(&[("displayname", Text)])),
    ("PUT", "pushrules/global/{kind}/{rule_id}", Some(&[("actions", List), ("conditions", List)])),
    ("PUT", "pushrules/global/{kind}/{rule_id}/actions", Some(&[("actions", List)])),
    ("PUT", "pushrules/global/{kind}/{rule_id}/enabled", Some(&[("enabled", Flag)])),
    ("PUT", "room_keys/keys", None),
    ("PUT", "room_keys/keys/{room_id}", None),
    ("PUT", "room_keys/keys/{room_id}/{session_id}", None),
    ("PUT", "room_keys/version/{version}", Some(&[("algorithm", Text), ("auth_data", Object)])),
    ("PUT", "rooms/{roomId}/redact/{eventId}/{txnId}", Some(&[("reason", Text)])),
    ("PUT", "rooms/{roomId}/send/{eventType}/{txnId}", Some(&[])),
    ("PUT", "rooms/{roomId}/state/{eventType}", Some(&[])),
    ("PUT", "rooms/{roomId}/state/{eventType}/{stateKey}", Some(&[])),
    ("PUT", "rooms/{roomId}/typing/{userId}", Some(&[("typing", Flag), ("timeout", Number)])),
    ("PUT", "sendToDevice/{event_type}/{txn_id}", Some(&[("messages", Object)])),
    ("PUT", "user/{userId}/account_data/{type}", Some(&[])),
    ("PUT", "user/{userId}/rooms/{roomId}/account_data/{type}", Some(&[])),
    ("PUT", "user/{userId}/rooms/{roomId}/tags/{tag}", Some(&[])),
];
