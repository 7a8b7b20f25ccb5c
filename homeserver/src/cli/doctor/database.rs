//! The database: reached, of the right version and encoding, with a schema that this program may use, and of one clock.

use std::{net::IpAddr, path::Path};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{
    finding::{Finding, in_time},
    lag,
};
use crate::{
    clock::now_ms,
    config::Config,
    media::{folder_standing, missing_files},
    postgres::Tools,
    storage::{self, Database, OpenError, backup, schema, server},
};

/// The clocks may differ by so much.
const CLOCK_MS: i64 = 2000;

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let database = match in_time(Database::for_look(config)).await {
        Some(Ok(Some(database))) => database,
        Some(Ok(None)) => {
            let found = "the private PostgreSQL is made at the first start";
            return vec![Finding::good("database", found)];
        }
        Some(Err(error)) => return vec![unopened(config, &error)],
        None => return vec![Finding::wrong("database", "it does not answer", reach(config))],
    };
    let findings = match inside(config, &database).await {
        Ok(findings) => findings,
        Err(error) => vec![Finding::wrong("database", error.to_string(), reach(config))],
    };
    database.close().await;
    findings
}

fn unopened(config: &Config, error: &OpenError) -> Finding {
    let advice = match error {
        OpenError::TooOld(_) => "upgrade PostgreSQL to 15 or newer".to_owned(),
        OpenError::Encoding(_) => "no data can be kept in another encoding than UTF8".to_owned(),
        _ => reach(config),
    };
    Finding::wrong("database", error.to_string(), advice)
}

fn reach(config: &Config) -> String {
    match &config.database.url {
        Some(_) => "look whether PostgreSQL runs, and try `database.url` with psql from this machine".to_owned(),
        None => format!("see {}", config.data_dir.join("postgres.log").display()),
    }
}

/// Whether the folder for media is the one that all nodes share.
async fn media(pool: &PgPool, folder: &Path) -> Finding {
    let shown = folder.display();
    match folder_standing(pool, folder).await {
        Ok(standing) => match standing.advice() {
            None => files(pool, folder).await,
            Some(advice) => Finding::wrong("media", format!("{shown} is not the folder of all nodes"), advice),
        },
        Err(error) => Finding::wrong("media", error.to_string(), format!("look at {shown}")),
    }
}

/// Whether every medium has its file.
async fn files(pool: &PgPool, folder: &Path) -> Finding {
    let shown = folder.display();
    match missing_files(pool, folder).await {
        Ok(missing) if missing.is_empty() => {
            Finding::good("media", format!("{shown} is the one of all nodes, and no file is missing"))
        }
        Ok(missing) => Finding::wrong(
            "media",
            match missing.len() {
                1 => format!("1 file is missing in {shown}: that of {}", missing[0]),
                count => format!("{count} files are missing in {shown}, among them that of {}", missing[0]),
            },
            "bring them back from a backup; `roost media missing` lists them, `roost media forget ID` drops what is lost for good",
        ),
        Err(error) => Finding::wrong("media", error.to_string(), format!("look at {shown}")),
    }
}

/// Whether others on the network could read what goes to the database and comes from it. `encryption` is a version of TLS.
fn way(connect: &PgConnectOptions, encryption: Option<&str>) -> Finding {
    let about = "encryption";
    let host = connect.get_host().trim_start_matches('[').trim_end_matches(']');
    let here = connect.get_socket().is_some()
        || host == "localhost"
        || host.starts_with('/')
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let how = "set `sslmode=verify-full` in `database.url`, and `sslrootcert=FILE` where an authority of your own signed the \
               database's certificate";
    match (encryption, connect.get_ssl_mode()) {
        (Some(version), PgSslMode::VerifyCa | PgSslMode::VerifyFull) => {
            Finding::good(about, format!("{version} to the database, whose certificate is checked"))
        }
        (Some(version), _) if here => Finding::good(about, format!("{version} to the database, on this machine")),
        (None, _) if here => Finding::good(about, "none, and the way to the database stays on this machine"),
        (Some(version), _) => {
            Finding::advice(about, format!("{version} to {host}, and nobody looks whose certificate it is"), how)
        }
        (None, _) => Finding::advice(
            about,
            format!("none: whoever sees the network between here and {host} can read everything"),
            how,
        ),
    }
}

async fn inside(config: &Config, database: &Database) -> storage::Result<Vec<Finding>> {
    let pool = &database.pool;
    let version = backup::server_version(pool).await?;
    let place = if config.database.url.is_some() { "database.url" } else { "a private cluster" };
    let mut findings = vec![Finding::good("database", format!("PostgreSQL {version}, UTF8, {place}"))];

    if config.database.url.is_some() {
        findings.push(way(&database.connect, backup::encryption(pool).await?.as_deref()));
    }

    let (found, known) = (schema::of(pool).await?, schema::known());
    let text = format!("number {}; this program knows {known}", found.version);
    findings.push(match found.version {
        _ if found.floor > known => {
            Finding::wrong("schema", text, "run the newer Roost that the database was used with")
        }
        version if version > known => {
            Finding::advice("schema", text, "nodes of two versions work together; upgrade this one soon")
        }
        version if version < known => Finding::good("schema", format!("{text}, and brings it up at its next start")),
        _ => Finding::good("schema", text),
    });
    if found.version > 0
        && let Some(stored) = server::stored_name(pool).await?
        && (stored != config.server_name.as_str() && config.database.url.is_some())
    {
        let found = format!("the database belongs to `{stored}`, `server_name` is `{}`", config.server_name);
        findings.push(Finding::wrong("name", found, "set `server_name` back, or use another database"));
    }

    if found.version >= known {
        findings.push(media(pool, &config.media_path()).await);
        findings.extend(lag::look(pool).await?);
    }

    let apart = backup::clock_ms(pool).await? - now_ms();
    findings.push(if apart.abs() > CLOCK_MS {
        let found = format!("this machine and the database's are {} s apart", apart.abs() / 1000);
        Finding::wrong("clocks", found, "keep both right with systemd-timesyncd or chrony")
    } else {
        Finding::good("clocks", "this machine and the database's agree")
    });

    let url = config.database.url.as_ref().map(|url| url.expose());
    findings.push(match Tools::find(version, &database.connect, url) {
        Ok(_) => Finding::good("backup", "pg_dump and pg_restore are installed"),
        Err(error) => Finding::advice("backup", "`roost backup` can't work", error.to_string()),
    });
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn who_could_listen_is_said() {
        let verdict = |url: &str, version: Option<&str>| way(&url.parse().unwrap(), version).verdict;
        let tls = Some("TLSv1.3");
        for (url, version, wanted) in [
            ("postgres://r@127.0.0.1/r", None, Verdict::Good),
            ("postgres://r@[::1]/r", None, Verdict::Good),
            ("postgres://r@localhost/r", None, Verdict::Good),
            ("postgres:///r?host=/run/postgresql", None, Verdict::Good),
            ("postgres://r@10.0.0.7/r", None, Verdict::Advice),
            ("postgres://r@db.example/r", None, Verdict::Advice),
            ("postgres://r@db.example/r?sslmode=require", tls, Verdict::Advice),
            ("postgres://r@db.example/r?sslmode=verify-full", tls, Verdict::Good),
        ] {
            assert_eq!(verdict(url, version), wanted, "{url}");
        }
    }
}
