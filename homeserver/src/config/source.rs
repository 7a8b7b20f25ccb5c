//! Where values come from: defaults, the file, the environment, in that order.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use roost_spec::room_version::RoomVersion;
use ruma::server_name;
use toml::{Table, Value};

use super::{
    Config, ConfigError, Database, Federation, Http, Log, Media, Metrics, Nats, Presence, Purpose, RateLimits,
    Registration, Rooms, Secrets,
    keys::{Default::Is, KEYS, Key},
};

const PREFIX: &str = "ROOST_";

impl Config {
    /// [`Config::load`] with everything handed in.
    pub(super) fn parse(
        purpose: Purpose,
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        data_dir: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let mut config = blank();
        let mut named = purpose == Purpose::Quickstart;
        let mut apply = |origin: &str, written: &str, key: &Key, value: &Value| {
            named |= key.name == "server_name";
            (key.set)(&mut config, value).map_err(|problem| ConfigError::Value {
                origin: origin.to_owned(),
                key: written.to_owned(),
                problem,
            })
        };

        for key in KEYS {
            if let Is(default) = key.default {
                apply("default", key.name, key, &as_toml(default).unwrap_or_else(|| Value::String(default.into())))?;
            }
        }
        if let Some((path, text)) = file {
            let table: Table =
                toml::from_str(text).map_err(|e| ConfigError::Syntax { path: path.into(), source: Box::new(e) })?;
            let origin = path.display().to_string();
            for (name, value) in flatten(table) {
                apply(&origin, &name, known(&origin, &name, |key| key.name.to_owned())?, &value)?;
            }
        }
        for (name, value) in environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            let origin = "environment";
            let key = known(origin, name, variable)?;
            let text = value.into_string().map_err(|_| ConfigError::Value {
                origin: origin.to_owned(),
                key: name.to_owned(),
                problem: "is not UTF-8".to_owned(),
            })?;
            // Text needs no quotes here, and may look like a number or a date.
            let plain = Value::String(text.clone());
            match as_toml(&text) {
                None => apply(origin, name, key, &plain)?,
                Some(value) => apply(origin, name, key, &value)
                    .or_else(|error| apply(origin, name, key, &plain).map_err(|_| error))?,
            }
        }
        if let Some(data_dir) = data_dir {
            config.data_dir = data_dir.to_owned();
        }
        let tls = &config.http.tls;
        if !tls.listen.is_empty() && (tls.certificate.is_none() || tls.key.is_none()) {
            return Err(ConfigError::TlsWithoutFiles);
        }
        if named { Ok(config) } else { Err(ConfigError::NoServerName) }
    }
}

/// A key's name in the environment.
fn variable(key: &Key) -> String {
    format!("{PREFIX}{}", key.name.replace('.', "__").to_ascii_uppercase())
}

/// The key that is written so, else an error with the one most like it.
fn known(origin: &str, name: &str, written: impl Fn(&Key) -> String) -> Result<&'static Key, ConfigError> {
    if let Some(key) = KEYS.iter().find(|key| written(key) == name) {
        return Ok(key);
    }
    let nearest = KEYS.iter().map(written).min_by_key(|known| distance(known, name)).unwrap_or_default();
    Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: name.to_owned(), nearest })
}

/// Edits between two names; a name whose last part is the same counts as near, so that a lost section is found.
fn distance(known: &str, name: &str) -> usize {
    let last = |text: &str| text.rsplit(['.']).next().unwrap_or_default().to_owned();
    let edits = strsim::damerau_levenshtein(known, name);
    if last(known) == last(name) { edits.min(1) } else { edits }
}

/// `[http] listen = …` as `http.listen`. An empty section names nothing and is dropped.
fn flatten(table: Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => {
                flat.extend(flatten(inner).into_iter().map(|(rest, value)| (format!("{name}.{rest}"), value)));
            }
            value => flat.push((name, value)),
        }
    }
    flat
}

/// One value in TOML's own notation.
fn as_toml(text: &str) -> Option<Value> {
    toml::from_str::<Table>(&format!("value = {text}")).ok().filter(|t| t.len() == 1)?.remove("value")
}

fn blank() -> Config {
    Config {
        server_name: server_name!("localhost").to_owned(),
        data_dir: default_data_dir(),
        http: Http::default(),
        database: Database::default(),
        nats: Nats::default(),
        registration: Registration::default(),
        rate_limits: RateLimits::default(),
        federation: Federation::default(),
        presence: Presence::default(),
        push: Default::default(),
        media: Media::default(),
        rooms: Rooms { default_version: RoomVersion::V12 },
        metrics: Metrics::default(),
        log: Log::default(),
        secrets: Secrets::default(),
    }
}

fn default_data_dir() -> PathBuf {
    match std::env::home_dir() {
        Some(home) if !nix::unistd::geteuid().is_root() => home.join(".local/share/roost"),
        _ => PathBuf::from("/var/lib/roost"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::RegistrationMode, *};

    fn parse(purpose: Purpose, file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Config::parse(purpose, Some((Path::new("roost.toml"), file)), environment, None).map_err(|e| e.to_string())
    }

    #[test]
    fn environment_wins_over_file_over_default() {
        let file = "server_name = 'a.example'\n[http]\nlisten = ['127.0.0.1:1']\n[database]\nmax_connections = 9";
        let environment = [
            ("ROOST_HTTP__LISTEN", r#"["127.0.0.1:2", "[::1]:2"]"#),
            ("ROOST_REGISTRATION__MODE", "open"),
            ("ROOST_MEDIA__MAX_UPLOAD_SIZE", "50M"),
            ("ROOST_REGISTRATION__SHARED_SECRET", "12345"),
            ("ROOST_ROOMS__DEFAULT_VERSION", "11"),
            ("ROOST_PRESENCE__ENABLED", "false"),
            ("PATH", "/bin"),
        ];
        let config = parse(Purpose::Serve, file, &environment).unwrap();
        assert_eq!(config.server_name, "a.example");
        assert_eq!(config.http.listen.len(), 2);
        assert_eq!(config.database.max_connections, Some(9));
        assert_eq!(config.registration.mode, RegistrationMode::Open);
        assert_eq!(config.registration.shared_secret.as_ref().map(|s| s.expose()), Some("12345"));
        assert_eq!(config.rooms.default_version, RoomVersion::V11);
        assert_eq!(config.media.max_upload_size, 50 << 20);
        assert!(config.rate_limits.enabled && !config.presence.enabled);
        assert_eq!(config.log.level, "info");
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = |file| parse(Purpose::Quickstart, file, &[]).unwrap_err();
        assert_eq!(error("[http]\nlisen = []"), "roost.toml: unknown key `http.lisen`; did you mean `http.listen`?");
        assert!(error("max_connections = 4").contains("`database.max_connections`"));
        assert!(error("[registration]\nshared_secrets = 'x'").contains("`registration.shared_secret`"));
        let environment = [("ROOST_DATABASE_URL", "postgres://a/b")];
        let error = parse(Purpose::Quickstart, "", &environment).unwrap_err();
        assert_eq!(error, "environment: unknown key `ROOST_DATABASE_URL`; did you mean `ROOST_DATABASE__URL`?");
    }

    #[test]
    fn serving_needs_a_name() {
        assert!(parse(Purpose::Serve, "", &[]).unwrap_err().contains("`server_name` is not set"));
        assert_eq!(parse(Purpose::Quickstart, "", &[]).unwrap().server_name, "localhost");
    }

    #[test]
    fn tls_needs_its_files() {
        let file = "[http]\ntls.listen = ['127.0.0.1:8448']\ntls.certificate = 'a.pem'";
        assert!(parse(Purpose::Quickstart, file, &[]).unwrap_err().contains("`http.tls.key`"));
        let config = parse(Purpose::Quickstart, &format!("{file}\ntls.key = 'b.pem'"), &[]).unwrap();
        assert_eq!(config.http.tls.listen.len(), 1);
    }

    #[test]
    fn a_bad_value_says_what_is_wanted() {
        let error = |file| parse(Purpose::Quickstart, file, &[]).unwrap_err();
        assert_eq!(
            error("[registration]\nmode = 'maybe'"),
            "roost.toml: `registration.mode` must be one of \"closed\", \"token\", \"open\", not \"maybe\""
        );
        assert!(error("[http]\nlisten = '127.0.0.1:1'").contains("must be a list, not string"));
        assert!(error("http = 3").contains("unknown key `http`"));
        assert!(error("[log]\nlevel = 'loud'").contains("must be a level"));
        assert!(error("server_name = '!'").contains("must be a server name"));
        assert!(error("[rooms]\ndefault_version = '13'").contains("must be \"1\" to \"12\""));
        assert!(!error("[database]\nurl = 'mysql://u:hunter2@h/d'").contains("hunter2"));
        assert!(error("nonsense").contains("is not valid TOML"));
    }
}
