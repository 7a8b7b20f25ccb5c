//! What can be seen without asking anybody: disk, clock, files.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use nix::sys::statvfs::statvfs;
use ruma::ServerName;
use url::Url;

use super::{
    certificate::{Age, strangers},
    finding::Finding,
};
use crate::{clock::now_ms, config::Config, http::Tls, random};

/// Below this PostgreSQL may stop at any moment.
const LEAST_FREE: u64 = 1 << 30;
/// 2025-01-01: no Roost is older.
const EARLIEST_MS: i64 = 1_735_689_600_000;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let mut findings =
        vec![clock(), folder("data folder", &config.data_dir), folder("media folder", &config.media_path())];
    findings.extend(tls(config));
    findings.extend(key_file(config));
    findings
}

fn clock() -> Finding {
    if now_ms() < EARLIEST_MS {
        return Finding::wrong(
            "clock",
            "it is set to before 2025",
            "set it, and keep it right with systemd-timesyncd or chrony",
        );
    }
    Finding::good("clock", "plausible")
}

/// Whether a folder, or what it will be made in, can be written and has room.
fn folder(about: &'static str, path: &Path) -> Finding {
    let there = nearest(path);
    let shown = path.display();
    if there == path
        && let Err(error) = try_write(path)
    {
        let advice = format!("let the server's user write in {shown}: chown or chmod it");
        return Finding::wrong(about, format!("{shown} can't be written: {error}"), advice);
    }
    let free = match statvfs(&there) {
        #[expect(clippy::useless_conversion, reason = "the widths differ between systems")]
        Ok(found) => u64::from(found.blocks_available()) * u64::from(found.fragment_size()),
        Err(error) => return Finding::wrong(about, format!("{shown}: {error}"), "look whether its disk is mounted"),
    };
    let found =
        format!("{shown}{}, {} GiB free", if there == path { "" } else { " (made at the first start)" }, free >> 30);
    if free < LEAST_FREE {
        return Finding::wrong(about, found, "make room: without any, nothing can be written and messages are refused");
    }
    Finding::good(about, found)
}

/// The path, or the nearest folder above it that is there.
fn nearest(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn try_write(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".doctor-{}", random::name(8)));
    fs::write(&path, b"")?;
    fs::remove_file(path)
}

fn tls(config: &Config) -> Option<Finding> {
    let about = "certificate";
    let tls = match Tls::load(&config.http.tls) {
        Ok(tls) => tls?,
        Err(error) => {
            return Some(Finding::wrong(about, error.to_string(), "mend `http.tls.certificate` and `http.tls.key`"));
        }
    };
    let certificate = tls.certificate()?;
    let hosts = reached_as(config);
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    let strange = strangers(&certificate, &hosts);
    if !strange.is_empty() {
        let found = format!("the certificate does not hold {}", strange.join(", nor "));
        let advice = "take one for the names that this server is reached as";
        // A proxy may stand before some of them, with a certificate of its own.
        let all = strange.len() == hosts.len();
        return Some(if all { Finding::wrong(about, found, advice) } else { Finding::advice(about, found, advice) });
    }
    let found = "the certificate and its key fit".to_owned();
    Some(match Age::of(&certificate, SystemTime::now()) {
        Some(age) => age.tell(about, found),
        None => Finding::good(about, found),
    })
}

/// The hosts that clients and other servers reach this server as.
fn reached_as(config: &Config) -> Vec<String> {
    let mut hosts = Vec::new();
    let url = Url::parse(&config.public_url()).ok().filter(|url| url.scheme() == "https");
    hosts.extend(url.and_then(|url| url.host_str().map(str::to_owned)));
    let name = &config.server_name;
    let local = name.host() == "localhost" || name.is_ip_literal() && name.host().starts_with("127.");
    if config.federation.enabled && !local {
        let delegate = config.federation.delegate.as_deref().and_then(|it| ServerName::parse(it).ok());
        hosts.push(delegate.as_ref().unwrap_or(name).host().to_owned());
    }
    hosts.dedup();
    hosts
}

fn key_file(config: &Config) -> Option<Finding> {
    let path = config.secrets.key_file.as_ref()?;
    Some(match fs::metadata(path) {
        Ok(found) if found.len() >= 32 => Finding::good("key file", path.display().to_string()),
        Ok(_) => Finding::wrong(
            "key file",
            "holds fewer than 32 bytes",
            "bring back the file that the key was encrypted with",
        ),
        Err(error) => {
            Finding::wrong("key file", format!("{}: {error}", path.display()), "bring it back: every node needs it")
        }
    })
}
