//! The files of `deploy/`, as an operator takes them: proxies that hold long-polls, and figures that exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use reqwest::{Certificate, Client};
use roost_tests::{Quickstart, node::plain, port, process::Process, scratch, turn};
use serde_json::Value;

use crate::waiting;

/// What a client may ask for, and some more.
const LONGEST: u64 = 120;

fn deployed(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_stream_and_say_who_asks() {
    let _turn = turn::shared().await;
    // A minute of a long-poll goes by while this test and others run.
    waiting::begin();
    let quickstart = Quickstart::start_with(&[
        ("ROOST_REGISTRATION__MODE", "open"),
        ("ROOST_HTTP__TRUSTED_PROXIES", r#"["127.0.0.1"]"#),
        ("ROOST_RATE_LIMITS__LOOKUP", "2 + 1/h"),
        ("ROOST_LOG__LEVEL", "info,roost::http=debug"),
    ])
    .await;
    let server = quickstart.server();
    let Proxies { client, nginx: through_nginx, caddy: through_caddy, .. } = &Proxies::start(server.base()).await;

    let alice = server.user("alice").await;
    for base in [through_nginx, through_caddy] {
        let status = async |path: &str| client.get(format!("{base}{path}")).send().await.unwrap().status().as_u16();
        assert_eq!(status("/.well-known/matrix/client").await, 200, "{base}");
        assert_eq!(status("/health/ready").await, 404, "{base}: for operators, not for the world");
        assert_eq!(status("/_synapse/admin/v1/register").await, 404, "{base}: nor this");
        // A large upload streams through.
        let upload = client.post(format!("{base}/_matrix/media/v3/upload")).bearer_auth(&alice.token);
        let answer = upload.header("content-type", "image/png").body(vec![7; 20 << 20]).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{base}");
    }

    // The address that counts is the last one: what a client makes up stands before it. Both proxies are trusted here, so
    // the first made-up one would count; with the proxy's own address as the client's it is the proxy's.
    let ask = async |made_up: &str| {
        let path = "/_matrix/client/v3/register/available?username=somebody";
        let request = client.get(format!("{through_nginx}{path}")).header("x-forwarded-for", made_up);
        request.send().await.unwrap().status().as_u16()
    };
    for expected in [200, 200, 429] {
        assert_eq!(ask("198.51.100.1, 192.0.2.1").await, expected, "who stands behind the trusted proxies");
    }
    assert_eq!(ask("198.51.100.1, 192.0.2.2").await, 200, "somebody else");
}

/// Both proxies before one server, each with its file of `deploy/`.
pub struct Proxies {
    _processes: [Process; 2],
    /// Where they are reached.
    pub nginx: String,
    pub caddy: String,
    /// A client that trusts their certificate.
    pub client: Client,
}

impl Proxies {
    /// Before the server at `base`; up when this returns.
    pub async fn start(base: &str) -> Self {
        let backend = base.trim_start_matches("http://");
        let folder = scratch::dir("proxies");
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let root = Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
        let client = Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();

        let (nginx_process, nginx) = nginx(&folder, backend, &certificate, &key);
        let (caddy_process, caddy) = caddy(&folder, backend, &certificate, &key);
        for (process, base) in [(&nginx_process, &nginx), (&caddy_process, &caddy)] {
            up(&client, process, base).await;
        }
        Self { _processes: [nginx_process, caddy_process], nginx, caddy, client }
    }
}

async fn up(client: &Client, proxy: &Process, base: &str) {
    for _ in 0..100 {
        if client.get(format!("{base}/_matrix/client/versions")).send().await.is_ok_and(|it| it.status() == 200) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{base} does not come up:\n{}", proxy.logged());
}

/// The file with this machine's port, name and certificate; nothing else of it is touched.
fn nginx(folder: &Path, backend: &str, certificate: &Path, key: &Path) -> (Process, String) {
    let (file, port) = (deployed("nginx/roost.conf"), port::free());
    let seconds = |name: &str| -> u64 {
        let line = file.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
        line.trim().trim_end_matches("s;").parse().unwrap()
    };
    assert!(seconds("proxy_read_timeout") >= LONGEST && seconds("proxy_send_timeout") >= LONGEST);
    let server: String = file
        .lines()
        // Not every machine has IPv6.
        .filter(|line| !line.contains("[::]"))
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .replace("listen 443", &format!("listen 127.0.0.1:{port}"))
        .replace("127.0.0.1:8008", backend)
        .replace("server_name matrix.example.org", "server_name localhost")
        .replace("/etc/letsencrypt/live/matrix.example.org/fullchain.pem", &certificate.display().to_string())
        .replace("/etc/letsencrypt/live/matrix.example.org/privkey.pem", &key.display().to_string());
    let here = folder.display();
    let whole = format!(
        "daemon off;\npid {here}/nginx.pid;\nerror_log stderr;\nworker_processes 1;\nevents {{}}\nhttp {{\naccess_log off;\n\
         client_body_temp_path {here}/body;\nproxy_temp_path {here}/proxy;\nfastcgi_temp_path {here}/fastcgi;\n\
         uwsgi_temp_path {here}/uwsgi;\nscgi_temp_path {here}/scgi;\n{server}}}\n"
    );
    let config = folder.join("nginx.conf");
    fs::write(&config, whole).unwrap();
    let mut command = plain(&program("nginx"));
    command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg(config);
    (Process::spawn("nginx", command, &scratch::log("nginx")), format!("https://localhost:{port}"))
}

fn caddy(folder: &Path, backend: &str, certificate: &Path, key: &Path) -> (Process, String) {
    let (file, port) = (deployed("caddy/Caddyfile"), port::free());
    // Caddy has no limit of its own on how long an answer may take.
    assert!(!file.contains("timeout"), "then it must be {LONGEST} s at least");
    let tls = format!("\ttls {} {}\n", certificate.display(), key.display());
    let site = file
        .replace("matrix.example.org {\n", &format!("https://localhost:{port} {{\n{tls}"))
        .replace("127.0.0.1:8008", backend);
    assert!(site.contains(&tls) && site.contains(backend), "{site}");
    let config = folder.join("Caddyfile");
    fs::write(&config, format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}")).unwrap();
    let mut command = plain(&program("caddy"));
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config).env("HOME", folder);
    (Process::spawn("caddy", command, &scratch::log("caddy")), format!("https://localhost:{port}"))
}

/// Debian keeps servers where not everybody's PATH leads.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: .ci/packages proxies"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_that_is_drawn_or_watched_exists() {
    let _turn = turn::shared().await;
    let port = port::free();
    let listen = format!("127.0.0.1:{port}");
    let quickstart =
        Quickstart::start_with(&[("ROOST_REGISTRATION__MODE", "open"), ("ROOST_METRICS__LISTEN", &listen)]).await;
    let alice = quickstart.server().user("alice").await;
    alice.public_room("a room").await;
    alice.sync().await;
    let scraped = reqwest::get(format!("http://{listen}/metrics")).await.unwrap().text().await.unwrap();
    let there = names(&scraped);

    let dashboard: Value = serde_json::from_str(&deployed("monitoring/dashboard.json")).expect("a dashboard in JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 5));
    for file in ["monitoring/dashboard.json", "monitoring/alerts.yaml"] {
        let text = deployed(file);
        let used = names(&text);
        assert!(used.len() > 3, "{file}: {used:?}");
        let missing: Vec<_> = used.difference(&there).collect();
        assert!(missing.is_empty(), "{file} names figures that are not served: {missing:?}");
    }

    // systemd itself reads the unit, where it is installed.
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/roost.service");
    if let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&unit).output() {
        let said = String::from_utf8_lossy(&output.stderr);
        let about_it: Vec<_> =
            said.lines().filter(|line| line.contains("roost.service:") && !line.contains("not executable")).collect();
        assert!(about_it.is_empty(), "{about_it:?}");
    }
}

/// Every `roost_…` in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with("roost_")).collect()
}
