//! What an operator may set: one table of keys, read from a TOML file and the environment.
//!
//! The environment wins over the file, the command line over both. `database.url` is `ROOST_DATABASE__URL` in the
//! environment; values that are not text are written there as in TOML.
//!
//! **Invariant:** no other room reads the configuration file or an environment variable of ours, and no default
//! stands outside [`keys::KEYS`].

mod error;
mod keys;
mod secret;
mod source;
mod template;
mod value;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use roost_spec::room_version::RoomVersion;
use ruma::OwnedServerName;

pub use self::{
    error::ConfigError,
    keys::is_log_level,
    secret::Secret,
    template::{described, template},
    value::{LogFormat, Rate, RegistrationMode},
};

/// How the program was started; it decides what an absent `server_name` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `roost quickstart`, and commands given `--data-dir`: the name is `localhost` unless set.
    Quickstart,
    /// `roost serve` and commands given `--config`: the name must be set.
    Serve,
}

/// Every setting, parsed.
#[derive(Clone, Debug)]
pub struct Config {
    /// The part of user ids and room aliases after the colon; never changes after the first start.
    pub server_name: OwnedServerName,
    /// Where the private cluster and media lie.
    pub data_dir: PathBuf,
    /// The client and federation API.
    pub http: Http,
    /// PostgreSQL.
    pub database: Database,
    /// The bell between nodes.
    pub nats: Nats,
    /// Who may make an account.
    pub registration: Registration,
    /// Limits on what one client may ask.
    pub rate_limits: RateLimits,
    /// Other servers.
    pub federation: Federation,
    /// Who is online.
    pub presence: Presence,
    /// Push gateways.
    pub push: Push,
    /// Uploaded files.
    pub media: Media,
    /// New rooms.
    pub rooms: Rooms,
    /// Prometheus.
    pub metrics: Metrics,
    /// What is written to standard error.
    pub log: Log,
    /// Keys that protect keys.
    pub secrets: Secrets,
}

/// `http.*`
#[derive(Clone, Debug, Default)]
pub struct Http {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Where clients reach this server, without a trailing slash; absent: derived from the first address.
    pub public_url: Option<String>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections that we encrypt ourselves.
    pub tls: Tls,
}

/// `http.tls.*`
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// PEM: the certificate, then those between it and its root.
    pub certificate: Option<PathBuf>,
    /// PEM.
    pub key: Option<PathBuf>,
}

/// `federation.*`
#[derive(Clone, Debug, Default)]
pub struct Federation {
    /// Whether other servers are answered and asked.
    pub enabled: bool,
    /// Where other servers reach this one, as `host` or `host:port`; absent: at `server_name` itself.
    pub delegate: Option<String>,
    /// Those that are asked for other servers' addresses; empty: the system's.
    pub name_servers: Vec<SocketAddr>,
}

/// `database.*`
#[derive(Clone, Debug, Default)]
pub struct Database {
    /// Absent: the private cluster in the data folder.
    pub url: Option<Secret>,
    /// The most connections this node opens for requests; absent: as many as the machine's cores can keep busy.
    pub max_connections: Option<u32>,
    /// Memory of the private cluster for its pages, in bytes.
    pub shared_buffers: u64,
}

/// `nats.*`
#[derive(Clone, Debug, Default)]
pub struct Nats {
    /// Servers of one cluster; none: one node, with an in-process bell.
    pub url: Vec<Secret>,
    /// A file of NATS's own, with a user's token and key.
    pub credentials: Option<PathBuf>,
    /// How connections are encrypted.
    pub tls: NatsTls,
}

/// `nats.tls.*`
#[derive(Clone, Debug, Default)]
pub struct NatsTls {
    /// PEM: who signed the server's certificate; absent: somebody whom the system trusts.
    pub authority: Option<PathBuf>,
    /// PEM: our own certificate, where the server asks for one.
    pub certificate: Option<PathBuf>,
    /// PEM.
    pub key: Option<PathBuf>,
}

/// `registration.*`
#[derive(Clone, Debug, Default)]
pub struct Registration {
    /// Who may register.
    pub mode: RegistrationMode,
    /// For `/_synapse/admin/v1/register`, which deployment tools use; absent: that endpoint is off.
    pub shared_secret: Option<Secret>,
}

/// `rate_limits.*`; `None`: no limit.
#[derive(Clone, Debug, Default)]
pub struct RateLimits {
    /// Off only for tests and benchmarks.
    pub enabled: bool,
    /// Attempts to log in, by address.
    pub login: Option<Rate>,
    /// Wrong passwords, by account.
    pub wrong_password: Option<Rate>,
    /// Accounts that are made, by address.
    pub registration: Option<Rate>,
    /// Names and registration tokens that are looked up, by address.
    pub lookup: Option<Rate>,
    /// Events and messages to devices, by user.
    pub messages: Option<Rate>,
    /// Rooms and aliases that are made, by user.
    pub rooms: Option<Rate>,
    /// Rooms that are joined or knocked on, by user.
    pub joins: Option<Rate>,
    /// Invitations, by user.
    pub invites: Option<Rate>,
    /// Changes of a profile, each of which goes to every room, by user.
    pub profile: Option<Rate>,
    /// Uploads, by user.
    pub uploads: Option<Rate>,
    /// Downloads and thumbnails, by user.
    pub downloads: Option<Rate>,
    /// The same without an access token, by address.
    pub open_downloads: Option<Rate>,
    /// Previews of URLs, by user.
    pub previews: Option<Rate>,
    /// Searches, by user.
    pub search: Option<Rate>,
    /// Reports, by user.
    pub reports: Option<Rate>,
    /// Whatever else changes something, by user.
    pub changes: Option<Rate>,
    /// Fresh tokens for refresh tokens, by address.
    pub refresh: Option<Rate>,
    /// The public directory without an access token, by address.
    pub open_directory: Option<Rate>,
}

/// `presence.*`
#[derive(Clone, Debug, Default)]
pub struct Presence {
    /// Whether presence is kept and shown.
    pub enabled: bool,
}

/// `push.*`
#[derive(Clone, Debug, Default)]
pub struct Push {
    /// Private networks that push gateways may be in.
    pub allowed_private_networks: Vec<IpNet>,
}

/// `media.*`
#[derive(Clone, Debug, Default)]
pub struct Media {
    /// The largest upload, in bytes.
    pub max_upload_size: u64,
    /// What one user's uploads may take together, in bytes; absent: no limit.
    pub user_quota: Option<u64>,
    /// Where files lie; absent: `media` in the data folder.
    pub path: Option<PathBuf>,
    /// Whether the older endpoints serve everything without an access token.
    pub serve_unauthenticated: bool,
    /// Whether pages are fetched to preview them.
    pub url_previews: bool,
    /// Private networks that such pages may be in.
    pub url_preview_allow: Vec<IpNet>,
}

/// `rooms.*`
#[derive(Clone, Debug)]
pub struct Rooms {
    /// The version of rooms whose creator names none.
    pub default_version: RoomVersion,
}

/// `metrics.*`
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Absent: no metrics are served.
    pub listen: Option<SocketAddr>,
}

/// `log.*`
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// A level, or directives like `info,roost::sync=debug`.
    pub level: String,
}

/// `secrets.*`
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// A file of at least 32 random bytes under which the signing key is encrypted in the database.
    pub key_file: Option<PathBuf>,
}

impl Config {
    /// Reads `file` if given, then the process's environment.
    ///
    /// # Errors
    /// Names the key, where it was set, and what is wrong with it.
    pub fn load(purpose: Purpose, file: Option<&Path>, data_dir: Option<&Path>) -> Result<Self, ConfigError> {
        let text = match file {
            Some(path) => Some((path, read(path)?)),
            None => None,
        };
        let text = text.as_ref().map(|(path, text)| (*path, text.as_str()));
        Self::parse(purpose, text, std::env::vars_os(), data_dir)
    }

    /// Where uploaded files lie.
    pub fn media_path(&self) -> PathBuf {
        self.media.path.clone().unwrap_or_else(|| self.data_dir.join("media"))
    }

    /// Where clients reach this server, without a trailing slash.
    pub fn public_url(&self) -> String {
        match (&self.http.public_url, self.http.listen.first()) {
            (Some(url), _) => url.clone(),
            (None, Some(address)) if address.ip().is_unspecified() => format!("http://127.0.0.1:{}", address.port()),
            (None, Some(address)) => format!("http://{address}"),
            (None, None) => "http://127.0.0.1:8008".to_owned(),
        }
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })
}
