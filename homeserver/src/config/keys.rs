//! The one table of keys: name, default, comment, and how a value gets into [`Config`].

use roost_spec::room_version::RoomVersion;
use ruma::ServerName;
use toml::Value;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{
    Config, LogFormat, RegistrationMode,
    value::{
        address, addresses, boolean, choice, maybe_addresses, networks, number, path, rate, secret, size, text, url,
    },
};

/// One setting.
pub(super) struct Key {
    /// Dotted, as in the file.
    pub name: &'static str,
    /// In TOML.
    pub default: Default,
    /// What an operator reads; lines are wrapped by hand.
    pub comment: &'static str,
    /// Parses and stores a value; the error reads on after the key's name.
    pub set: fn(&mut Config, &Value) -> Result<(), String>,
}

/// What holds when a key is not set.
pub(super) enum Default {
    /// This value.
    Is(&'static str),
    /// Nothing; the text is an example.
    Absent(&'static str),
}

use Default::{Absent, Is};

/// Every key there is, section by section.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "server_name",
        default: Absent("\"example.org\""),
        comment: "The part of user ids after the colon. Written into the database at the first start; can't be changed later.\n\
                  `roost quickstart` uses \"localhost\" when it is not set.",
        set: |config, value| {
            let name = text(value)?;
            config.server_name = ServerName::parse(&name)
                .map_err(|_| format!("must be a server name like \"example.org\", not {name:?}"))?;
            Ok(())
        },
    },
    Key {
        name: "data_dir",
        default: Absent("\"/var/lib/roost\""),
        comment: "Where the private PostgreSQL cluster and media lie.\n\
                  Not set: /var/lib/roost, or what systemd's StateDirectory names. `roost quickstart`, and commands without\n\
                  --config, of anybody but root: ~/.local/share/roost.",
        set: |config, value| put(&mut config.data_dir, path(value)),
    },
    Key {
        name: "http.listen",
        default: Is("[\"127.0.0.1:8008\"]"),
        comment: "Addresses of the client API.",
        set: |config, value| put(&mut config.http.listen, addresses(value)),
    },
    Key {
        name: "http.public_url",
        default: Absent("\"https://matrix.example.org\""),
        comment: "Where clients reach this server. Not set: http:// and the first address of `listen`.",
        set: |config, value| put(&mut config.http.public_url, url(value).map(Some)),
    },
    Key {
        name: "http.trusted_proxies",
        default: Is("[]"),
        comment: "Addresses or networks of reverse proxies whose X-Forwarded-For is believed.",
        set: |config, value| put(&mut config.http.trusted_proxies, networks(value)),
    },
    Key {
        name: "http.tls.listen",
        default: Is("[]"),
        comment: "Addresses of the same API over TLS, beside `listen`. Other servers expect \"0.0.0.0:8448\".",
        set: |config, value| put(&mut config.http.tls.listen, maybe_addresses(value)),
    },
    Key {
        name: "http.tls.certificate",
        default: Absent("\"/etc/roost/tls/fullchain.pem\""),
        comment: "The certificate with those between it and its root (PEM). Read again when the file changes.",
        set: |config, value| put(&mut config.http.tls.certificate, path(value).map(Some)),
    },
    Key {
        name: "http.tls.key",
        default: Absent("\"/etc/roost/tls/privkey.pem\""),
        comment: "The certificate's key (PEM).",
        set: |config, value| put(&mut config.http.tls.key, path(value).map(Some)),
    },
    Key {
        name: "database.url",
        default: Absent("\"postgres://roost:password@db.example.org/roost\""),
        comment: "PostgreSQL 15 or newer. Not set: a private cluster in the data folder, which Roost starts and stops.\n\
                  On another host: with \"?sslmode=verify-full\", and \"&sslrootcert=FILE\" for an authority of your own.",
        set: |config, value| put(&mut config.database.url, database_url(value).map(Some)),
    },
    Key {
        name: "database.max_connections",
        default: Absent("16"),
        comment: "The most database connections that this node opens for requests. Not set: four a core, from 8 to 64; each\n\
                  keeps its plans in PostgreSQL's memory, so that more than are busy at once only slow it down.",
        set: |config, value| put(&mut config.database.max_connections, number(value, 4, 1000).map(Some)),
    },
    Key {
        name: "database.shared_buffers",
        default: Is("\"128M\""),
        comment: "Memory in which the private cluster keeps its pages. A server with `database.url` has its own setting.",
        set: |config, value| put(&mut config.database.shared_buffers, shared_buffers(value)),
    },
    Key {
        name: "nats.url",
        default: Absent("\"nats://127.0.0.1:4222\""),
        comment: "The bell between nodes. Not set: this is the only node. \"nats://user:password@host\" or \"nats://token@host\",\n\
                  \"tls://host\" with TLS; several servers of one cluster as a list, or with commas between them.",
        set: |config, value| put(&mut config.nats.url, nats_servers(value)),
    },
    Key {
        name: "nats.credentials",
        default: Absent("\"/etc/roost/nats.creds\""),
        comment: "A credentials file of NATS (a user's JWT and seed), as `nsc generate creds` writes it.",
        set: |config, value| put(&mut config.nats.credentials, path(value).map(Some)),
    },
    Key {
        name: "nats.tls.authority",
        default: Absent("\"/etc/roost/nats-root.pem\""),
        comment: "Who signed the NATS server's certificate (PEM). Not set: somebody whom the system trusts.",
        set: |config, value| put(&mut config.nats.tls.authority, path(value).map(Some)),
    },
    Key {
        name: "nats.tls.certificate",
        default: Absent("\"/etc/roost/nats.pem\""),
        comment: "A certificate of our own (PEM), for a server that asks for one.",
        set: |config, value| put(&mut config.nats.tls.certificate, path(value).map(Some)),
    },
    Key {
        name: "nats.tls.key",
        default: Absent("\"/etc/roost/nats.key.pem\""),
        comment: "The key of `nats.tls.certificate` (PEM).",
        set: |config, value| put(&mut config.nats.tls.key, path(value).map(Some)),
    },
    Key {
        name: "registration.mode",
        default: Is("\"token\""),
        comment: "Who may make an account: nobody (\"closed\"), whoever has a token of `roost token add` (\"token\"), anybody (\"open\").",
        set: |config, value| put(&mut config.registration.mode, choice(value, MODES)),
    },
    Key {
        name: "registration.shared_secret",
        default: Absent("\"a long random text\""),
        comment: "Lets deployment tools make accounts through /_synapse/admin/v1/register. Not set: that endpoint is off.",
        set: |config, value| put(&mut config.registration.shared_secret, secret(value).map(Some)),
    },
    Key {
        name: "rate_limits.enabled",
        default: Is("true"),
        comment: "Limits on what one user or address may ask. Off only for tests and benchmarks.",
        set: |config, value| put(&mut config.rate_limits.enabled, boolean(value)),
    },
    Key {
        name: "rate_limits.login",
        default: Is("\"30 + 30/m\""),
        comment: "\"30 + 30/m\" is 30 at once, and 30 more each minute; also /s, /h, or \"off\". Counted by each node.\n\
                  Attempts to log in, by address.",
        set: |config, value| put(&mut config.rate_limits.login, rate(value)),
    },
    Key {
        name: "rate_limits.wrong_password",
        default: Is("\"10 + 10/m\""),
        comment: "Wrong passwords, by account, wherever they come from.",
        set: |config, value| put(&mut config.rate_limits.wrong_password, rate(value)),
    },
    Key {
        name: "rate_limits.registration",
        default: Is("\"30 + 15/m\""),
        comment: "Accounts that are made, by address.",
        set: |config, value| put(&mut config.rate_limits.registration, rate(value)),
    },
    Key {
        name: "rate_limits.lookup",
        default: Is("\"60 + 60/m\""),
        comment: "Names and registration tokens that are looked up, by address.",
        set: |config, value| put(&mut config.rate_limits.lookup, rate(value)),
    },
    Key {
        name: "rate_limits.messages",
        default: Is("\"100 + 10/s\""),
        comment: "Events that are sent, by user.",
        set: |config, value| put(&mut config.rate_limits.messages, rate(value)),
    },
    Key {
        name: "rate_limits.rooms",
        default: Is("\"20 + 20/h\""),
        comment: "Rooms and aliases that are made, by user.",
        set: |config, value| put(&mut config.rate_limits.rooms, rate(value)),
    },
    Key {
        name: "rate_limits.joins",
        default: Is("\"50 + 20/m\""),
        comment: "Rooms that are joined or knocked on, by user.",
        set: |config, value| put(&mut config.rate_limits.joins, rate(value)),
    },
    Key {
        name: "rate_limits.invites",
        default: Is("\"100 + 20/m\""),
        comment: "Invitations, by user; those of a new room are counted with it.",
        set: |config, value| put(&mut config.rate_limits.invites, rate(value)),
    },
    Key {
        name: "rate_limits.profile",
        default: Is("\"10 + 10/m\""),
        comment: "Changes of a name or picture, each of which goes to every room of the user.",
        set: |config, value| put(&mut config.rate_limits.profile, rate(value)),
    },
    Key {
        name: "rate_limits.uploads",
        default: Is("\"100 + 1/s\""),
        comment: "Uploads, by user.",
        set: |config, value| put(&mut config.rate_limits.uploads, rate(value)),
    },
    Key {
        name: "rate_limits.downloads",
        default: Is("\"500 + 20/s\""),
        comment: "Downloads and thumbnails, by user.",
        set: |config, value| put(&mut config.rate_limits.downloads, rate(value)),
    },
    Key {
        name: "rate_limits.open_downloads",
        default: Is("\"300 + 10/s\""),
        comment: "The same without an access token, as old clients, bridges and other servers ask for it, by address.",
        set: |config, value| put(&mut config.rate_limits.open_downloads, rate(value)),
    },
    Key {
        name: "rate_limits.previews",
        default: Is("\"100 + 1/s\""),
        comment: "Previews of URLs, by user.",
        set: |config, value| put(&mut config.rate_limits.previews, rate(value)),
    },
    Key {
        name: "rate_limits.search",
        default: Is("\"30 + 1/s\""),
        comment: "Searches of users, rooms and messages, by user.",
        set: |config, value| put(&mut config.rate_limits.search, rate(value)),
    },
    Key {
        name: "rate_limits.reports",
        default: Is("\"10 + 10/h\""),
        comment: "Reports of rooms, users and messages, by user.",
        set: |config, value| put(&mut config.rate_limits.reports, rate(value)),
    },
    Key {
        name: "rate_limits.changes",
        default: Is("\"500 + 50/s\""),
        comment: "Whatever else changes something, by user: receipts, typing, keys, messages to devices, account data.",
        set: |config, value| put(&mut config.rate_limits.changes, rate(value)),
    },
    Key {
        name: "rate_limits.refresh",
        default: Is("\"300 + 10/s\""),
        comment: "Fresh access tokens for refresh tokens, by address.",
        set: |config, value| put(&mut config.rate_limits.refresh, rate(value)),
    },
    Key {
        name: "rate_limits.open_directory",
        default: Is("\"30 + 1/s\""),
        comment: "The public directory without an access token, by address.",
        set: |config, value| put(&mut config.rate_limits.open_directory, rate(value)),
    },
    Key {
        name: "federation.enabled",
        default: Is("true"),
        comment: "Whether other servers are answered and asked. Off: this server's users are among themselves.",
        set: |config, value| put(&mut config.federation.enabled, boolean(value)),
    },
    Key {
        name: "federation.delegate",
        default: Absent("\"matrix.example.org:443\""),
        comment: "Where other servers reach this one, if not at `server_name` and port 8448: served at\n\
                  https://SERVER_NAME/.well-known/matrix/server, which must lead here.",
        set: |config, value| put(&mut config.federation.delegate, delegate(value).map(Some)),
    },
    Key {
        name: "federation.name_servers",
        default: Is("[]"),
        comment: "Name servers that other servers are looked up with, like \"127.0.0.1:53\". Empty: those of /etc/resolv.conf.",
        set: |config, value| put(&mut config.federation.name_servers, maybe_addresses(value)),
    },
    Key {
        name: "presence.enabled",
        default: Is("true"),
        comment: "Whether users see who is online.",
        set: |config, value| put(&mut config.presence.enabled, boolean(value)),
    },
    Key {
        name: "push.allowed_private_networks",
        default: Is("[]"),
        comment: "Networks like \"10.0.0.0/8\" that push gateways may be in. Users choose their gateways, so that this server\n\
                  connects to no private address that is not listed here.",
        set: |config, value| put(&mut config.push.allowed_private_networks, networks(value)),
    },
    Key {
        name: "media.max_upload_size",
        default: Is("\"100M\""),
        comment: "The largest upload: bytes, or text with a unit.",
        set: |config, value| put(&mut config.media.max_upload_size, size(value)),
    },
    Key {
        name: "media.user_quota",
        default: Absent("\"10G\""),
        comment: "What one user's uploads may take together. Not set: no limit.",
        set: |config, value| put(&mut config.media.user_quota, size(value).map(Some)),
    },
    Key {
        name: "media.serve_unauthenticated",
        default: Is("false"),
        comment: "Whether files are served to those who show no access token, as old clients and bridges need it.\n\
                  Off: only those that were uploaded before this server's first start that knew this key.",
        set: |config, value| put(&mut config.media.serve_unauthenticated, boolean(value)),
    },
    Key {
        name: "media.url_previews",
        default: Is("false"),
        comment: "Whether this server fetches the pages that users link to, to show a title, a few words and a picture.\n\
                  It connects to public addresses only, and users choose to which.",
        set: |config, value| put(&mut config.media.url_previews, boolean(value)),
    },
    Key {
        name: "media.url_preview_allow",
        default: Is("[]"),
        comment: "Private networks like \"10.0.0.0/8\" whose pages are previewed, too.",
        set: |config, value| put(&mut config.media.url_preview_allow, networks(value)),
    },
    Key {
        name: "media.path",
        default: Absent("\"/srv/roost/media\""),
        comment: "Where uploaded files lie; several nodes name one shared folder. Not set: `media` in the data folder.",
        set: |config, value| put(&mut config.media.path, path(value).map(Some)),
    },
    Key {
        name: "rooms.default_version",
        default: Is("\"12\""),
        comment: "The version of rooms whose creator names none: \"1\" to \"12\".",
        set: |config, value| put(&mut config.rooms.default_version, room_version(value)),
    },
    Key {
        name: "metrics.listen",
        default: Absent("\"127.0.0.1:9100\""),
        comment: "Address of the Prometheus metrics, at /metrics. Not set: none are served.",
        set: |config, value| put(&mut config.metrics.listen, address(value).map(Some)),
    },
    Key {
        name: "log.format",
        default: Is("\"text\""),
        comment: "\"text\" for people, \"json\" for machines; written to standard error.",
        set: |config, value| put(&mut config.log.format, choice(value, FORMATS)),
    },
    Key {
        name: "log.level",
        default: Is("\"info\""),
        comment: "\"error\", \"warn\", \"info\", \"debug\", \"trace\", or by part: \"info,roost::sync=debug\".",
        set: |config, value| put(&mut config.log.level, log_level(value)),
    },
    Key {
        name: "secrets.key_file",
        default: Absent("\"/etc/roost/key\""),
        comment: "A file of 32 random bytes or more (head -c 32 /dev/urandom). When set, the signing key is encrypted with it\n\
                  in the database; every node needs the same file from then on.",
        set: |config, value| put(&mut config.secrets.key_file, path(value).map(Some)),
    },
];

const MODES: &[(&str, RegistrationMode)] =
    &[("closed", RegistrationMode::Closed), ("token", RegistrationMode::Token), ("open", RegistrationMode::Open)];

const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

/// The value is never repeated in the error: it may hold a password.
fn database_url(value: &Value) -> Result<super::Secret, String> {
    let url = secret(value)?;
    match url.expose().parse::<sqlx::postgres::PgConnectOptions>() {
        Ok(_) if url.expose().starts_with("postgres") => Ok(url),
        _ => Err("must be an address like \"postgres://user:password@host/database\"".to_owned()),
    }
}

/// What PostgreSQL takes, in bytes.
fn shared_buffers(value: &Value) -> Result<u64, String> {
    match size(value)? {
        bytes @ 0x10_0000..=0xff_ffff_ffff => Ok(bytes),
        bytes => Err(format!("must be between \"1M\" and \"1023G\", not {bytes} bytes")),
    }
}

/// A server name other than an address of the web: `host`, or `host:port`.
fn delegate(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    match ServerName::parse(&text) {
        Ok(name) => Ok(name.to_string()),
        Err(_) => Err(format!("must be a host with or without a port, like \"matrix.example.org:443\", not {text:?}")),
    }
}

/// One text, or a list of them, each with commas between its parts. Never repeated in the error: it may hold a password.
fn nats_servers(value: &Value) -> Result<Vec<super::Secret>, String> {
    let texts = match value {
        Value::Array(items) => items.iter().map(text).collect::<Result<Vec<_>, _>>()?,
        one => vec![text(one)?],
    };
    let servers: Vec<_> = texts.iter().flat_map(|text| text.split(',')).map(str::trim).collect();
    let known = |url: &&str| {
        let host = url.strip_prefix("nats://").or_else(|| url.strip_prefix("tls://"));
        host.is_some_and(|host| !host.is_empty())
    };
    if servers.is_empty() || !servers.iter().all(known) {
        return Err("must be addresses like \"nats://127.0.0.1:4222\"".to_owned());
    }
    Ok(servers.into_iter().map(|url| super::Secret::new(url.to_owned())).collect())
}

fn room_version(value: &Value) -> Result<RoomVersion, String> {
    let text = match value {
        Value::Integer(number) => number.to_string(),
        other => text(other)?,
    };
    RoomVersion::parse(&text).ok_or_else(|| format!("must be \"1\" to \"12\", not {text:?}"))
}

fn log_level(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    if is_log_level(&text) {
        return Ok(text);
    }
    Err(format!("must be a level like \"info\" or \"info,roost::sync=debug\", not {text:?}"))
}

/// Whether `log.level` may be this.
pub fn is_log_level(text: &str) -> bool {
    // A lone word would be taken for a part of that name, logged in full.
    let part = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    text.split(',').all(part) && text.parse::<Targets>().is_ok()
}
