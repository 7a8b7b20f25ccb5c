//! What each route takes: a token or none, its query's parameters, its body.
//!
//! **Invariant:** a route that is not here fails `every_route_has_its_cases`, by name.

use super::kind::{
    Field, Fields, Key,
    Kind::{self, Count, Either, Event, Filter, Flag, Free, List, Map, Number, Object, Room, Text, Token, User, Word},
    may, must, rare,
};

/// A route's body.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// Not read.
    None,
    /// JSON that must be there.
    Must(Kind),
    /// JSON that may be missing.
    May(Kind),
    /// Any object; its keys are other people's business.
    Content,
    /// Bytes.
    Bytes,
}

/// What a route takes.
#[derive(Clone, Copy, Debug)]
pub struct Takes {
    method: &'static str,
    path: &'static str,
    pub token: bool,
    pub query: Fields,
    pub body: Body,
}

impl Takes {
    const fn query(mut self, query: Fields) -> Self {
        self.query = query;
        self
    }

    const fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    const fn must(self, fields: Fields) -> Self {
        self.body(Body::Must(Object(fields)))
    }

    const fn may(self, fields: Fields) -> Self {
        self.body(Body::May(Object(fields)))
    }
}

const fn open(method: &'static str, path: &'static str) -> Takes {
    Takes { method, path, token: false, query: &[], body: Body::None }
}

const fn closed(method: &'static str, path: &'static str) -> Takes {
    Takes { token: true, ..open(method, path) }
}

/// `None`: the route is not in the table.
pub fn takes(method: &str, path: &str) -> Option<Takes> {
    // Older names of the same handlers.
    let path =
        &path.replace("/_matrix/media/v1/", "/_matrix/media/v3/").replace("/_matrix/media/r0/", "/_matrix/media/v3/");
    let prefixes = [
        "/_matrix/client/v3/",
        "/_matrix/client/r0/",
        "/_matrix/client/v1/",
        "/_matrix/client/unstable/uk.tcpip.msc4133/",
        "/_matrix/client/unstable/org.matrix.msc3391/",
        "/_matrix/client/unstable/",
    ];
    let short = prefixes.iter().find_map(|prefix| path.strip_prefix(prefix)).unwrap_or(path);
    let short = if short == "/" { short } else { short.trim_end_matches('/') };
    TABLE.iter().find(|row| (row.method, row.path) == (method, short)).copied()
}

const IDENTIFIER: Kind = Object(&[must("type", Text), may("user", Text)]);
/// User-interactive authentication.
const AUTH: Field = rare(
    "auth",
    Object(&[may("type", Text), may("session", Text), may("password", Text), may("identifier", IDENTIFIER)]),
);
const REASON: Field = may("reason", Text);
const WHOM: Fields = &[must("user_id", User), REASON];
const EVENT_FILTER: Fields = &[
    may("limit", Count),
    may("senders", List(&User)),
    may("not_senders", List(&User)),
    may("types", List(&Text)),
    may("not_types", List(&Text)),
];
const ROOM_EVENT_FILTER: Fields = &[
    may("limit", Count),
    may("senders", List(&User)),
    may("types", List(&Text)),
    may("rooms", List(&Room)),
    may("not_rooms", List(&Room)),
    may("contains_url", Flag),
    may("lazy_load_members", Flag),
];
const FILTER: Fields = &[
    may("event_fields", List(&Text)),
    may("event_format", Word(&["client", "federation"])),
    may("account_data", Object(EVENT_FILTER)),
    may("presence", Object(EVENT_FILTER)),
    may(
        "room",
        Object(&[
            may("rooms", List(&Room)),
            may("include_leave", Flag),
            may("timeline", Object(ROOM_EVENT_FILTER)),
            may("state", Object(ROOM_EVENT_FILTER)),
            may("ephemeral", Object(ROOM_EVENT_FILTER)),
            may("account_data", Object(ROOM_EVENT_FILTER)),
        ]),
    ),
];
const SESSION: Kind = Object(&[
    must("first_message_index", Count),
    must("forwarded_count", Count),
    must("is_verified", Flag),
    must("session_data", Free),
]);
const SESSIONS: Kind = Object(&[must("sessions", Map(Key::Named("sample"), &SESSION))]);
const BACKUP: Fields = &[must("algorithm", Text), must("auth_data", Free), rare("version", Text)];
const VERSION: Fields = &[must("version", Text)];
const STATE: Kind = Object(&[must("type", Text), may("state_key", Text), must("content", Free)]);
const CONDITION: Kind = Object(&[must("kind", Text)]);
const ACTIONS: Field = must("actions", List(&Either("notify")));
const CREATE: Fields = &[
    may("preset", Word(&["private_chat", "public_chat", "trusted_private_chat"])),
    may("visibility", Word(&["private", "public"])),
    may("name", Text),
    may("topic", Text),
    rare("room_alias_name", Text),
    may("invite", List(&User)),
    may("room_version", Word(&["11", "12"])),
    may("initial_state", List(&STATE)),
    may("is_direct", Flag),
    may("creation_content", Free),
    may("power_level_content_override", Free),
];
const LOGIN: Fields = &[
    must("type", Word(&["m.login.password"])),
    may("identifier", IDENTIFIER),
    may("password", Text),
    may("device_id", Text),
    may("initial_device_display_name", Text),
    may("refresh_token", Flag),
];
const REGISTER: Fields = &[
    may("username", Text),
    may("password", Text),
    may("device_id", Text),
    may("initial_device_display_name", Text),
    may("inhibit_login", Flag),
    may("refresh_token", Flag),
    AUTH,
];
const MESSAGES: Fields =
    &[must("dir", Word(&["b", "f"])), may("from", Token), may("to", Token), may("limit", Count), may("filter", Filter)];
const RELATIONS: Fields =
    &[may("from", Token), may("to", Token), may("limit", Count), may("dir", Word(&["b", "f"])), may("recurse", Flag)];
const HIERARCHY: Fields =
    &[may("suggested_only", Flag), may("limit", Count), may("max_depth", Count), may("from", Token)];
const CLOSEST: Fields = &[must("ts", Count), must("dir", Word(&["b", "f"]))];
const MUTUAL: Fields = &[must("user_id", User), may("from", Token)];
const SEARCH: Kind = Object(&[
    must("search_term", Text),
    may("keys", List(&Word(&["content.body"]))),
    may("order_by", Word(&["recent", "rank"])),
    may("include_state", Flag),
    may("filter", Object(ROOM_EVENT_FILTER)),
    may(
        "event_context",
        Object(&[may("before_limit", Count), may("after_limit", Count), may("include_profile", Flag)]),
    ),
    may("groupings", Object(&[may("group_by", List(&Object(&[must("key", Word(&["room_id", "sender"]))])))])),
]);
const SYNC: Fields = &[
    may("since", Token),
    may("filter", Filter),
    may("full_state", Flag),
    may("timeout", Count),
    may("use_state_after", Flag),
    may("set_presence", Word(&["online"])),
];
/// What both dialects of sliding sync filter lists by.
const LIST_FILTERS: Field = may(
    "filters",
    Object(&[
        may("is_dm", Flag),
        may("is_encrypted", Flag),
        may("is_invited", Flag),
        may("spaces", List(&Room)),
        may("room_types", List(&Text)),
        may("not_room_types", List(&Text)),
        may("tags", List(&Text)),
        may("not_tags", List(&Text)),
    ]),
);
const ABOUT_ROOMS: Kind = Object(&[may("enabled", Flag), may("lists", List(&Text)), may("rooms", List(&Text))]);
const EXTENSIONS: Field = may(
    "extensions",
    Object(&[
        may("to_device", Object(&[may("enabled", Flag), may("limit", Count), rare("since", Text)])),
        may("e2ee", Object(&[may("enabled", Flag)])),
        may("account_data", ABOUT_ROOMS),
        may("receipts", ABOUT_ROOMS),
        may("typing", ABOUT_ROOMS),
    ]),
);
const PAIRS: Field = may("required_state", List(&List(&Text)));
const PATTERN: Kind = Object(&[may("type", Text), may("state_key", Text)]);
const PATTERNS: Field = must(
    "required_state",
    Object(&[may("include", List(&PATTERN)), may("exclude", List(&PATTERN)), may("lazy_members", Flag)]),
);
const UNSTABLE_SLIDING: Fields = &[
    may("conn_id", Text),
    may("txn_id", Text),
    may(
        "lists",
        Map(
            Key::Named("all"),
            &Object(&[may("ranges", List(&List(&Count))), must("timeline_limit", Count), PAIRS, LIST_FILTERS]),
        ),
    ),
    may("room_subscriptions", Map(Key::Room, &Object(&[must("timeline_limit", Count), PAIRS]))),
    EXTENSIONS,
];
const STABLE_SLIDING: Fields = &[
    may("conn_id", Text),
    rare("pos", Text),
    may("timeout", Count),
    may("set_presence", Word(&["online"])),
    may(
        "lists",
        Map(
            Key::Named("all"),
            &Object(&[rare("range", List(&Count)), must("timeline_limit", Count), PATTERNS, LIST_FILTERS]),
        ),
    ),
    may("room_subscriptions", Map(Key::Room, &Object(&[must("timeline_limit", Count), PATTERNS]))),
    EXTENSIONS,
];

const PREVIEW: Fields = &[must("url", Text), may("ts", Count)];
const DOWNLOAD: Fields = &[may("timeout_ms", Count)];
const PROPAGATE: Fields = &[may("propagate", Flag)];
const THUMBNAIL: Fields = &[
    must("width", Count),
    must("height", Count),
    may("method", Word(&["crop", "scale"])),
    may("animated", Flag),
    may("timeout_ms", Count),
];

const TABLE: &[Takes] = &[
    open("GET", "/.well-known/matrix/client"),
    open("GET", "/.well-known/matrix/server"),
    open("GET", "/_matrix/client/versions"),
    open("GET", "/_matrix/federation/v1/openid/userinfo").query(&[may("access_token", Text)]),
    open("GET", "/_matrix/federation/v1/version"),
    open("GET", "/_matrix/key/v2/server"),
    open("GET", "/_matrix/key/v2/server/{keyId}"),
    open("GET", "/_synapse/admin/v1/register"),
    open("POST", "/_synapse/admin/v1/register").must(&[
        must("nonce", Text),
        must("username", Text),
        must("password", Text),
        must("mac", Text),
        may("admin", Flag),
    ]),
    open("GET", "/"),
    open("GET", "/health/live"),
    open("GET", "/health/ready"),
    open("GET", "login"),
    open("POST", "login").must(LOGIN),
    open("POST", "refresh").must(&[must("refresh_token", Text)]),
    open("POST", "register").query(&[may("kind", Word(&["user"]))]).may(REGISTER),
    open("GET", "register/available").query(&[must("username", Text)]),
    open("GET", "register/m.login.registration_token/validity").query(&[must("token", Text)]),
    open("GET", "profile/{userId}"),
    open("GET", "profile/{userId}/{keyName}"),
    open("GET", "directory/room/{roomAlias}"),
    open("GET", "directory/list/room/{roomId}"),
    open("GET", "publicRooms").query(&[may("limit", Count), may("since", Token), may("server", Text)]),
    open("GET", "room_summary/{roomIdOrAlias}"),
    open("GET", "im.nheko.summary/rooms/{roomIdOrAlias}/summary"),
    open("GET", "im.nheko.summary/summary/{roomIdOrAlias}"),
    closed("GET", "/_matrix/media/v3/config"),
    closed("POST", "/_matrix/media/v3/upload").query(&[may("filename", Text)]).body(Body::Bytes),
    closed("POST", "/_matrix/media/v3/create"),
    closed("PUT", "/_matrix/media/v3/upload/{server_name}/{media_id}")
        .query(&[may("filename", Text)])
        .body(Body::Bytes),
    closed("GET", "/_matrix/media/v3/preview_url").query(PREVIEW),
    open("GET", "/_matrix/media/v3/download/{server_name}/{media_id}").query(DOWNLOAD),
    open("GET", "/_matrix/media/v3/download/{server_name}/{media_id}/{filename}").query(DOWNLOAD),
    open("GET", "/_matrix/media/v3/thumbnail/{server_name}/{media_id}").query(THUMBNAIL),
    closed("GET", "media/config"),
    closed("POST", "/_matrix/client/v4/sync").may(STABLE_SLIDING),
    closed("POST", "org.matrix.simplified_msc3575/sync")
        .query(&[may("pos", Token), may("timeout", Count), may("set_presence", Word(&["online"]))])
        .may(UNSTABLE_SLIDING),
    closed("GET", "media/download/{server_name}/{media_id}").query(DOWNLOAD),
    closed("GET", "media/download/{server_name}/{media_id}/{filename}").query(DOWNLOAD),
    closed("GET", "media/preview_url").query(PREVIEW),
    closed("GET", "media/thumbnail/{server_name}/{media_id}").query(THUMBNAIL),
    closed("GET", "account/3pid"),
    closed("POST", "account/3pid/add"),
    closed("POST", "account/3pid/bind"),
    closed("POST", "account/deactivate").may(&[may("erase", Flag), AUTH]),
    closed("POST", "account/password").must(&[may("new_password", Text), may("logout_devices", Flag), AUTH]),
    closed("GET", "account/whoami"),
    closed("GET", "admin/lock/{userId}"),
    closed("PUT", "admin/lock/{userId}").must(&[must("locked", Flag)]),
    closed("GET", "admin/suspend/{userId}"),
    closed("PUT", "admin/suspend/{userId}").must(&[must("suspended", Flag)]),
    closed("GET", "capabilities"),
    closed("POST", "createRoom").may(CREATE),
    closed("POST", "delete_devices").must(&[must("devices", List(&Text)), AUTH]),
    closed("GET", "devices"),
    closed("GET", "devices/{deviceId}"),
    closed("PUT", "devices/{deviceId}").must(&[may("display_name", Text)]),
    closed("DELETE", "devices/{deviceId}").may(&[AUTH]),
    closed("PUT", "directory/list/room/{roomId}").may(&[may("visibility", Word(&["private", "public"]))]),
    closed("PUT", "directory/room/{roomAlias}").must(&[must("room_id", Room)]),
    closed("DELETE", "directory/room/{roomAlias}"),
    closed("POST", "join/{roomIdOrAlias}").may(&[REASON]),
    closed("POST", "knock/{roomIdOrAlias}").may(&[REASON]),
    closed("GET", "joined_rooms"),
    closed("GET", "keys/changes").query(&[must("from", Token), must("to", Token)]),
    closed("POST", "keys/claim")
        .must(&[must("one_time_keys", Map(Key::User, &Map(Key::Named("DEVICE"), &Text))), may("timeout", Count)]),
    closed("POST", "keys/device_signing/upload").must(&[
        rare("master_key", Free),
        rare("self_signing_key", Free),
        rare("user_signing_key", Free),
    ]),
    closed("POST", "keys/query").must(&[must("device_keys", Map(Key::User, &List(&Text))), may("timeout", Count)]),
    // What is no key in there is said under `failures`.
    closed("POST", "keys/signatures/upload").body(Body::Must(Map(Key::User, &Free))),
    closed("POST", "keys/upload").must(&[
        rare("device_keys", Free),
        rare("one_time_keys", Map(Key::Named("curve25519:AAAA"), &Either("AAAA"))),
        rare("fallback_keys", Map(Key::Named("curve25519:AAAA"), &Either("AAAA"))),
    ]),
    closed("POST", "login/get_token").may(&[AUTH]),
    closed("POST", "logout"),
    closed("POST", "logout/all"),
    closed("GET", "presence/{userId}/status"),
    closed("PUT", "presence/{userId}/status")
        .must(&[must("presence", Word(&["online", "unavailable", "offline"])), may("status_msg", Text)]),
    closed("GET", "notifications").query(&[may("from", Token), may("limit", Count), may("only", Word(&["highlight"]))]),
    closed("POST", "publicRooms").query(&[may("server", Text)]).may(&[
        may("limit", Count),
        rare("since", Text),
        may("filter", Object(&[may("generic_search_term", Text)])),
        may("include_all_networks", Flag),
        may("third_party_instance_id", Text),
    ]),
    closed("GET", "mutual_rooms").query(MUTUAL),
    closed("GET", "uk.half-shot.msc2666/user/mutual_rooms").query(MUTUAL),
    closed("PUT", "profile/{userId}/{keyName}").query(PROPAGATE).must(&[must("displayname", Text)]),
    closed("DELETE", "profile/{userId}/{keyName}").query(PROPAGATE),
    closed("GET", "pushers"),
    closed("POST", "pushers/set").must(&[
        must("app_id", Text),
        must("pushkey", Text),
        must("kind", Word(&["http"])),
        may("app_display_name", Text),
        may("device_display_name", Text),
        may("profile_tag", Text),
        may("lang", Text),
        may("data", Free),
        may("append", Flag),
    ]),
    closed("GET", "pushrules"),
    closed("GET", "pushrules/global"),
    closed("GET", "pushrules/global/{kind}/{rule_id}"),
    closed("PUT", "pushrules/global/{kind}/{rule_id}").query(&[may("before", Text), may("after", Text)]).must(&[
        ACTIONS,
        may("conditions", List(&CONDITION)),
        may("pattern", Text),
    ]),
    closed("DELETE", "pushrules/global/{kind}/{rule_id}"),
    closed("GET", "pushrules/global/{kind}/{rule_id}/actions"),
    closed("PUT", "pushrules/global/{kind}/{rule_id}/actions").must(&[ACTIONS]),
    closed("GET", "pushrules/global/{kind}/{rule_id}/enabled"),
    closed("PUT", "pushrules/global/{kind}/{rule_id}/enabled").must(&[must("enabled", Flag)]),
    closed("GET", "room_keys/version"),
    closed("POST", "room_keys/version").must(BACKUP),
    closed("GET", "room_keys/version/{version}"),
    closed("PUT", "room_keys/version/{version}").must(BACKUP),
    closed("DELETE", "room_keys/version/{version}"),
    closed("GET", "room_keys/keys").query(VERSION),
    closed("PUT", "room_keys/keys").query(VERSION).must(&[must("rooms", Map(Key::Room, &SESSIONS))]),
    closed("DELETE", "room_keys/keys").query(VERSION),
    closed("GET", "room_keys/keys/{room_id}").query(VERSION),
    closed("PUT", "room_keys/keys/{room_id}").query(VERSION).body(Body::Must(SESSIONS)),
    closed("DELETE", "room_keys/keys/{room_id}").query(VERSION),
    closed("GET", "room_keys/keys/{room_id}/{session_id}").query(VERSION),
    closed("PUT", "room_keys/keys/{room_id}/{session_id}").query(VERSION).body(Body::Must(SESSION)),
    closed("DELETE", "room_keys/keys/{room_id}/{session_id}").query(VERSION),
    closed("GET", "rooms/{roomId}/aliases"),
    closed("POST", "rooms/{roomId}/ban").must(WHOM),
    closed("GET", "rooms/{roomId}/context/{eventId}").query(&[may("limit", Count), may("filter", Filter)]),
    closed("GET", "rooms/{roomId}/event/{eventId}"),
    closed("POST", "rooms/{roomId}/forget"),
    closed("GET", "rooms/{roomId}/initialSync").query(&[may("limit", Count)]),
    closed("POST", "rooms/{roomId}/invite").must(WHOM),
    closed("POST", "rooms/{roomId}/join").may(&[REASON]),
    closed("GET", "rooms/{roomId}/joined_members"),
    closed("POST", "rooms/{roomId}/kick").must(WHOM),
    closed("POST", "rooms/{roomId}/leave").may(&[REASON]),
    closed("GET", "rooms/{roomId}/members").query(&[
        may("at", Token),
        may("membership", Word(&["join"])),
        may("not_membership", Word(&["leave"])),
    ]),
    closed("GET", "rooms/{roomId}/messages").query(MESSAGES),
    closed("POST", "rooms/{roomId}/read_markers").must(&[
        may("m.fully_read", Event),
        may("m.read", Event),
        may("m.read.private", Event),
    ]),
    closed("POST", "rooms/{roomId}/receipt/{receiptType}/{eventId}").may(&[may("thread_id", Word(&["main"]))]),
    closed("PUT", "rooms/{roomId}/redact/{eventId}/{txnId}").may(&[REASON]),
    closed("PUT", "rooms/{roomId}/send/{eventType}/{txnId}").body(Body::Content),
    closed("GET", "rooms/{roomId}/state"),
    closed("GET", "rooms/{roomId}/state/{eventType}").query(&[may("format", Word(&["event"]))]),
    closed("PUT", "rooms/{roomId}/state/{eventType}").body(Body::Content),
    closed("GET", "rooms/{roomId}/state/{eventType}/{stateKey}").query(&[may("format", Word(&["event"]))]),
    closed("PUT", "rooms/{roomId}/state/{eventType}/{stateKey}").body(Body::Content),
    closed("PUT", "rooms/{roomId}/typing/{userId}").must(&[must("typing", Flag), may("timeout", Count)]),
    closed("GET", "rooms/{roomId}/hierarchy").query(HIERARCHY),
    closed("GET", "org.matrix.msc2946/rooms/{roomId}/hierarchy").query(HIERARCHY),
    closed("GET", "rooms/{roomId}/relations/{eventId}").query(RELATIONS),
    closed("GET", "rooms/{roomId}/relations/{eventId}/{relType}").query(RELATIONS),
    closed("GET", "rooms/{roomId}/relations/{eventId}/{relType}/{eventType}").query(RELATIONS),
    closed("POST", "rooms/{roomId}/report").must(&[must("reason", Text)]),
    closed("POST", "rooms/{roomId}/report/{eventId}").must(&[may("reason", Text)]),
    closed("GET", "rooms/{roomId}/threads").query(&[
        may("from", Token),
        may("limit", Count),
        may("include", Word(&["all", "participated"])),
    ]),
    closed("GET", "rooms/{roomId}/timestamp_to_event").query(CLOSEST),
    closed("GET", "org.matrix.msc3030/rooms/{roomId}/timestamp_to_event").query(CLOSEST),
    closed("POST", "rooms/{roomId}/unban").must(WHOM),
    closed("POST", "rooms/{roomId}/upgrade")
        .must(&[must("new_version", Word(&["12"])), may("additional_creators", List(&User))]),
    closed("PUT", "sendToDevice/{event_type}/{txn_id}")
        .must(&[must("messages", Map(Key::User, &Map(Key::Named("*"), &Free)))]),
    closed("POST", "search")
        .query(&[may("next_batch", Token)])
        .must(&[must("search_categories", Object(&[may("room_events", SEARCH)]))]),
    closed("GET", "sync").query(SYNC),
    closed("GET", "thirdparty/protocols"),
    closed("GET", "user/{userId}/account_data/{type}"),
    closed("PUT", "user/{userId}/account_data/{type}").body(Body::Content),
    closed("DELETE", "user/{userId}/account_data/{type}"),
    closed("DELETE", "user/{userId}/rooms/{roomId}/account_data/{type}"),
    closed("POST", "user/{userId}/openid/request_token").may(&[]),
    closed("GET", "user/{userId}/rooms/{roomId}/account_data/{type}"),
    closed("PUT", "user/{userId}/rooms/{roomId}/account_data/{type}").body(Body::Content),
    closed("GET", "user/{userId}/rooms/{roomId}/tags"),
    closed("PUT", "user/{userId}/rooms/{roomId}/tags/{tag}").must(&[may("order", Number)]),
    closed("DELETE", "user/{userId}/rooms/{roomId}/tags/{tag}"),
    closed("POST", "user/{user_id}/filter").must(FILTER),
    closed("GET", "user/{user_id}/filter/{filter_id}"),
    closed("POST", "user_directory/search").must(&[must("search_term", Text), may("limit", Count)]),
    closed("POST", "users/{userId}/report").must(&[must("reason", Text)]),
    closed("GET", "voip/turnServer"),
];
