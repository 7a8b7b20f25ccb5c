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

/// As what it was written, its text, and the key.
type Set = (String, String, &'static Key);

/// Where a server's data lies.
const SYSTEM_DATA_DIR: &str = "/var/lib/roost";

impl Config {
    /// [`Config::load`] with everything handed in.
    pub(super) fn parse(
        purpose: Purpose,
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        data_dir: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let environment: Vec<_> = environment.into_iter().collect();
        let mut config = blank();
        config.data_dir = default_data_dir(purpose, &environment);
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
        for (name, text, key) in credentials(&environment)?.into_iter().chain(variables(environment)?) {
            let (origin, name) = ("environment", name.as_str());
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

/// What systemd hands over in files (`LoadCredential=`), each named after its key.
fn credentials(environment: &[(OsString, OsString)]) -> Result<Vec<Set>, ConfigError> {
    let Some((_, folder)) = environment.iter().find(|(name, _)| name == "CREDENTIALS_DIRECTORY") else {
        return Ok(Vec::new());
    };
    let files = KEYS.iter().map(|key| (key, Path::new(folder).join(key.name))).filter(|(_, path)| path.is_file());
    files.map(|(key, path)| Ok((key.name.to_owned(), in_file(&path)?, key))).collect()
}

/// Variables of ours: with their values, or with a file that holds one (`ROOST_DATABASE__URL_FILE`).
fn variables(environment: Vec<(OsString, OsString)>) -> Result<Vec<Set>, ConfigError> {
    let mut set = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let file = name.strip_suffix("_FILE").and_then(|name| KEYS.iter().find(|key| variable(key) == name));
        let own = KEYS.iter().find(|key| variable(key) == name);
        if let (None, Some(key)) = (own, file) {
            set.push((name.to_owned(), in_file(Path::new(&value))?, key));
            continue;
        }
        let key = known("environment", name, variable)?;
        let text = value.into_string().map_err(|_| ConfigError::Value {
            origin: "environment".to_owned(),
            key: name.to_owned(),
            problem: "is not UTF-8".to_owned(),
        })?;
        set.push((name.to_owned(), text, key));
    }
    Ok(set)
}

/// A value that stands alone in a file, as secrets do.
fn in_file(path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
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
        data_dir: PathBuf::new(),
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

/// A server with a configuration has one folder, whoever asks; a quickstart of somebody who is not root lies at their home.
fn default_data_dir(purpose: Purpose, environment: &[(OsString, OsString)]) -> PathBuf {
    // systemd's `StateDirectory=`.
    let state = environment.iter().find(|(name, _)| name == "STATE_DIRECTORY").map(|(_, folders)| folders);
    let state = state.and_then(|folders| std::env::split_paths(folders).find(|folder| folder.is_absolute()));
    let system = PathBuf::from(SYSTEM_DATA_DIR);
    match std::env::home_dir() {
        _ if state.is_some() || purpose == Purpose::Serve => lies_at(state.unwrap_or(system)),
        // The service's own user is at home there.
        Some(home) if !nix::unistd::geteuid().is_root() && home != system => home.join(".local/share/roost"),
        _ => lies_at(system),
    }
}

/// What an earlier version's unit kept below the service's home stays there.
fn lies_at(folder: PathBuf) -> PathBuf {
    let earlier = folder.join(".local/share/roost");
    let holds = |folder: &Path| ["postgres", "media"].iter().any(|name| folder.join(name).exists());
    if holds(&earlier) && !holds(&folder) { earlier } else { folder }
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
    fn a_server_has_one_folder_whoever_asks() {
        let name = "server_name = 'a.example'";
        let folder = |purpose, environment: &[(&str, &str)]| parse(purpose, name, environment).unwrap().data_dir;
        assert_eq!(folder(Purpose::Serve, &[]), Path::new("/var/lib/roost"));
        let unit = [("STATE_DIRECTORY", "/srv/state:/srv/other")];
        assert_eq!(folder(Purpose::Serve, &unit), Path::new("/srv/state"));
        assert_eq!(folder(Purpose::Quickstart, &unit), Path::new("/srv/state"));
        let configured = [("ROOST_DATA_DIR", "/srv/roost"), unit[0]];
        assert_eq!(folder(Purpose::Serve, &configured), Path::new("/srv/roost"));
    }

    #[test]
    fn what_lies_where_an_earlier_version_put_it_is_found() {
        let folder = std::env::temp_dir().join(format!("roost-earlier-{}", std::process::id()));
        let earlier = folder.join(".local/share/roost");
        assert_eq!(lies_at(folder.clone()), folder);
        std::fs::create_dir_all(earlier.join("postgres")).unwrap();
        assert_eq!(lies_at(folder.clone()), earlier);
        std::fs::create_dir(folder.join("postgres")).unwrap();
        assert_eq!(lies_at(folder.clone()), folder, "a server that lies in its place is that one");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn secrets_may_stand_in_files() {
        let folder = std::env::temp_dir().join(format!("roost-credentials-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let written = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name).display().to_string()
        };
        let file = written("secret", "a secret\n");
        let url = |environment: &[(&str, &str)]| {
            parse(Purpose::Quickstart, "", environment).map(|config| config.database.url)
        };
        let secret = [("ROOST_REGISTRATION__SHARED_SECRET_FILE", file.as_str())];
        let config = parse(Purpose::Quickstart, "", &secret).unwrap();
        assert_eq!(config.registration.shared_secret.as_ref().map(|it| it.expose()), Some("a secret"));
        let missing = url(&[("ROOST_DATABASE__URL_FILE", "/nonexistent/file")]).unwrap_err();
        assert!(missing.contains("/nonexistent/file"), "{missing}");
        written("database.url", "postgres://a/b");
        let here = folder.display().to_string();
        let given = url(&[("CREDENTIALS_DIRECTORY", &here)]).unwrap();
        assert_eq!(given.as_ref().map(|it| it.expose()), Some("postgres://a/b"));
        let given = url(&[("CREDENTIALS_DIRECTORY", &here), ("ROOST_DATABASE__URL", "postgres://c/d")]).unwrap();
        assert_eq!(given.as_ref().map(|it| it.expose()), Some("postgres://c/d"), "the environment wins");
        // A key that ends so is itself.
        let config = parse(Purpose::Quickstart, "", &[("ROOST_SECRETS__KEY_FILE", "/etc/roost/key")]).unwrap();
        assert_eq!(config.secrets.key_file.as_deref(), Some(Path::new("/etc/roost/key")));
        std::fs::remove_dir_all(folder).unwrap();
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
