//! The proxies of `deploy/`, each with its file as an operator takes it: only addresses, names and paths are this machine's.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Certificate, Client};
use roost_tests::{node::plain, port, process::Process, scratch};

/// What a client may ask for, and some more.
const LONGEST: u64 = 120;
/// The backend in each file, and the name that the files are for.
const BACKEND: &str = "127.0.0.1:8008";
const NAME: &str = "matrix.example.org";

pub fn deployed(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All proxies before the same nodes.
pub struct Proxies {
    _processes: [Process; 3],
    /// Where they are reached.
    pub nginx: String,
    pub caddy: String,
    pub haproxy: String,
    /// A client that trusts their certificate.
    pub client: Client,
}

impl Proxies {
    /// Before the servers at `bases`; up when this returns.
    pub async fn start(bases: &[&str]) -> Self {
        let backends: Vec<&str> = bases.iter().map(|base| base.trim_start_matches("http://")).collect();
        let folder = scratch::dir("proxies");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        for (name, text) in [("cert.pem", &chain), ("key.pem", &key), ("both.pem", &format!("{chain}{key}"))] {
            fs::write(folder.join(name), text).unwrap();
        }
        let root = Certificate::from_pem(chain.as_bytes()).unwrap();
        let client = Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();

        let (nginx_process, nginx) = nginx(&folder, &backends);
        let (caddy_process, caddy) = caddy(&folder, &backends);
        let (haproxy_process, haproxy) = haproxy(&folder, &backends);
        let processes = [nginx_process, caddy_process, haproxy_process];
        for (process, base) in processes.iter().zip([&nginx, &caddy, &haproxy]) {
            up(&client, process, base).await;
        }
        Self { _processes: processes, nginx, caddy, haproxy, client }
    }

    /// Where each is reached.
    pub fn bases(&self) -> [&str; 3] {
        [&self.nginx, &self.caddy, &self.haproxy]
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

/// The line that names a backend, once for each.
fn line_each(file: &str, backends: &[&str]) -> String {
    let mut out = String::new();
    for line in file.lines() {
        match line.contains(BACKEND) {
            true => backends.iter().enumerate().for_each(|(n, backend)| {
                let line = line.replace(BACKEND, backend).replace("node1", &format!("node{}", n + 1));
                out.extend([line.as_str(), "\n"]);
            }),
            false => out.extend([line, "\n"]),
        }
    }
    out
}

/// The seconds that a setting of a file gives.
fn seconds(file: &str, name: &str) -> u64 {
    let line = file.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
    line.trim().trim_end_matches(';').trim_end_matches('s').parse().unwrap()
}

fn nginx(folder: &Path, backends: &[&str]) -> (Process, String) {
    let (file, port) = (deployed("nginx/roost.conf"), port::free());
    assert!(seconds(&file, "proxy_read_timeout") >= LONGEST && seconds(&file, "proxy_send_timeout") >= LONGEST);
    let here = folder.display();
    let server: String = line_each(&file, backends)
        .lines()
        // Not every machine has IPv6.
        .filter(|line| !line.contains("[::]"))
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .replace("listen 443", &format!("listen 127.0.0.1:{port}"))
        .replace(&format!("server_name {NAME}"), "server_name localhost")
        .replace(&format!("/etc/letsencrypt/live/{NAME}/fullchain.pem"), &format!("{here}/cert.pem"))
        .replace(&format!("/etc/letsencrypt/live/{NAME}/privkey.pem"), &format!("{here}/key.pem"));
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

fn caddy(folder: &Path, backends: &[&str]) -> (Process, String) {
    let (file, port) = (deployed("caddy/Caddyfile"), port::free());
    // Caddy has no limit of its own on how long an answer may take.
    let timeouts: Vec<_> = file.lines().filter(|line| line.contains("timeout")).collect();
    assert_eq!(timeouts.len(), 2, "of probes and of connecting, no others: {timeouts:?}");
    let tls = format!("\ttls {here}/cert.pem {here}/key.pem\n", here = folder.display());
    let site = file
        .replace(&format!("{NAME} {{\n"), &format!("https://localhost:{port} {{\n{tls}"))
        .replace(BACKEND, &backends.join(" "));
    assert!(site.contains(&tls) && site.contains(backends[0]), "{site}");
    let config = folder.join("Caddyfile");
    fs::write(&config, format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}")).unwrap();
    let mut command = plain(&program("caddy"));
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config).env("HOME", folder);
    (Process::spawn("caddy", command, &scratch::log("caddy")), format!("https://localhost:{port}"))
}

fn haproxy(folder: &Path, backends: &[&str]) -> (Process, String) {
    let (file, port) = (deployed("haproxy/haproxy.cfg"), port::free());
    assert!(seconds(&file, "timeout server") >= LONGEST && seconds(&file, "timeout client") >= LONGEST);
    let config = folder.join("haproxy.cfg");
    let whole = line_each(&file, backends)
        .replace("bind :443", &format!("bind 127.0.0.1:{port}"))
        .replace(&format!("/etc/haproxy/{NAME}.pem"), &format!("{}/both.pem", folder.display()));
    fs::write(&config, whole).unwrap();
    let mut command = plain(&program("haproxy"));
    command.args(["-db", "-f"]).arg(config);
    (Process::spawn("haproxy", command, &scratch::log("haproxy")), format!("https://localhost:{port}"))
}

/// Debian keeps servers where not everybody's PATH leads.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: .ci/packages proxies"))
}
