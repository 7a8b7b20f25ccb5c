//! PostgreSQL's own `pg_dump` and `pg_restore`, of a version that fits the server.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use percent_encoding::percent_decode_str;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use super::{ClusterError, installation};

/// The programs, and how they find the database.
#[derive(Debug)]
pub struct Tools {
    bin: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

impl Tools {
    /// The installed programs of the server's major version, else of the next newer one. `url` is `database.url`.
    ///
    /// # Errors
    /// None is installed.
    pub fn find(server: u32, connect: &PgConnectOptions, url: Option<&str>) -> Result<Self, ClusterError> {
        let found = installation::with_programs(&["pg_dump", "pg_restore"]);
        let fits = found.into_iter().filter_map(|bin| {
            let output = Command::new(bin.join("pg_dump")).arg("--version").output().ok()?;
            let version = installation::parse_version(std::str::from_utf8(&output.stdout).ok()?)?;
            (version >= server).then_some((version, bin))
        });
        let (_, bin) = fits.min().ok_or(ClusterError::ToolsMissing(server))?;
        Ok(Self { bin, environment: environment(connect, url) })
    }

    /// Writes the whole database, as `snapshot` shows it, to standard output.
    pub fn dump(&self, snapshot: &str) -> Command {
        let mut command = self.command("pg_dump");
        command.args(["--format=custom", "--no-owner", "--no-privileges"]).arg(format!("--snapshot={snapshot}"));
        command
    }

    /// Reads what [`Tools::dump`] wrote from standard input: all of it, or nothing.
    pub fn restore(&self) -> Command {
        let mut command = self.command("pg_restore");
        let database = self.environment.iter().find(|(name, _)| *name == "PGDATABASE");
        command.args(["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", "--dbname"]);
        command.arg(database.map_or_else(OsString::new, |(_, name)| name.clone()));
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env("LC_ALL", "C").envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// The authorities that Debian, Fedora and Alpine trust.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The files that `database.url` names for TLS, by the names that PostgreSQL has for them.
pub fn tls_files(url: &str) -> Vec<(&'static str, PathBuf)> {
    let Ok(url) = Url::parse(url) else { return Vec::new() };
    let named = url.query_pairs().filter_map(|(key, value)| {
        let name = match &*key {
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "sslrootcert",
            "sslcert" | "ssl-cert" => "sslcert",
            "sslkey" | "ssl-key" => "sslkey",
            _ => return None,
        };
        // The driver takes the text itself too.
        (!value.contains("-----BEGIN")).then(|| (name, PathBuf::from(&*value)))
    });
    named.collect()
}

/// Where the database is; in the environment, because everybody sees arguments.
fn environment(connect: &PgConnectOptions, url: Option<&str>) -> Vec<(&'static str, OsString)> {
    let host = connect.get_socket().map_or_else(|| connect.get_host().into(), |socket| socket.clone().into_os_string());
    let ssl = match connect.get_ssl_mode() {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    };
    let mut environment = vec![
        ("PGHOST", host),
        ("PGPORT", connect.get_port().to_string().into()),
        ("PGUSER", connect.get_username().into()),
        ("PGDATABASE", connect.get_database().unwrap_or_else(|| connect.get_username()).into()),
        ("PGSSLMODE", ssl.into()),
        ("PGAPPNAME", "roost".into()),
    ];
    let files = url.map(tls_files).unwrap_or_default();
    let checks = matches!(connect.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    let named = files.iter().any(|(name, _)| *name == "sslrootcert") || std::env::var_os("PGSSLROOTCERT").is_some();
    // We trust whom the system trusts; PostgreSQL's own programs trust nobody unless they are told.
    if checks
        && !named
        && let Some(system) = SYSTEM_ROOTS.iter().find(|path| Path::new(path).exists())
    {
        environment.push(("PGSSLROOTCERT", system.into()));
    }
    environment.extend(files.into_iter().map(|(name, path)| {
        let variable = match name {
            "sslcert" => "PGSSLCERT",
            "sslkey" => "PGSSLKEY",
            _ => "PGSSLROOTCERT",
        };
        (variable, path.into())
    }));
    let url = url.and_then(|url| Url::parse(url).ok());
    if let Some(password) = url.as_ref().and_then(Url::password) {
        environment.push(("PGPASSWORD", percent_decode_str(password).decode_utf8_lossy().into_owned().into()));
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_goes_into_the_environment() {
        let url = "postgres://roost:p%40ss@db.example:6543/chat";
        let found = environment(&url.parse().unwrap(), Some(url));
        let value = |name| found.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_str().unwrap());
        assert_eq!((value("PGHOST"), value("PGPORT")), (Some("db.example"), Some("6543")));
        assert_eq!((value("PGUSER"), value("PGDATABASE")), (Some("roost"), Some("chat")));
        assert_eq!(value("PGPASSWORD"), Some("p@ss"));
        assert_eq!(value("PGSSLROOTCERT"), None);
    }

    #[test]
    fn what_we_trust_the_programs_trust() {
        let url =
            "postgres://roost@db.example/chat?sslmode=verify-full&sslrootcert=/etc/roost/db.pem&sslcert=c&sslkey=k";
        let found = environment(&url.parse().unwrap(), Some(url));
        let value = |name| found.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_str().unwrap());
        assert_eq!((value("PGSSLMODE"), value("PGSSLROOTCERT")), (Some("verify-full"), Some("/etc/roost/db.pem")));
        assert_eq!((value("PGSSLCERT"), value("PGSSLKEY")), (Some("c"), Some("k")));
    }
}
