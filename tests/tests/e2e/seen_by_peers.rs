//! A server with a name of its own, found as other servers find it: well-known file, SRV records, certificates.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use roost_tests::{
    authority::{Authority, Certificate},
    cli::Cli,
    dns::{NameServer, proxy_to},
    http::text,
    node::Node,
    port,
    postgres::Postgres,
    scratch, turn,
};
use serde_json::Value;

/// Dates of the tests' certificates.
type Day = (i32, u8, u8);

struct Scene {
    authority: Authority,
    certificate: PathBuf,
    key: PathBuf,
    names: NameServer,
    /// Where our own TLS listens.
    port: u16,
    node: Node,
    cli: Cli,
    _postgres: Postgres,
}

impl Scene {
    async fn set() -> Self {
        let (authority, names, postgres) = (Authority::new(), NameServer::start().await, Postgres::start().await);
        let folder = scratch::dir("peers");
        let (certificate, key, root) = (folder.join("cert.pem"), folder.join("key.pem"), folder.join("root.pem"));
        fs::write(&root, authority.root()).unwrap();
        write(&certificate, &key, &authority.sign(&["example.test", "matrix.example.test"]));
        let port = port::free();
        let more = format!(
            "[http.tls]\nlisten = [\"127.0.0.1:{port}\"]\ncertificate = \"{}\"\nkey = \"{}\"\n\
             [federation]\nname_servers = [\"{}\"]\ndelegate = \"matrix.example.test:{port}\"\n",
            certificate.display(),
            key.display(),
            names.address(),
        );
        let mut node = Node::start("peers", "example.test", &postgres.url(), None, &more);
        node.ready(Duration::from_secs(60)).await;
        let proxy = proxy_to(SocketAddr::from(([127, 0, 0, 1], port))).await;
        let cli = node.cli().env("SSL_CERT_FILE", &root.to_string_lossy()).env("HTTPS_PROXY", &proxy);
        let mut scene = Self { authority, certificate, key, names, port, node, cli, _postgres: postgres };
        scene.configure("[http]\n", "[http]\npublic_url = \"https://matrix.example.test\"\n").await;
        scene
    }

    /// Changes the configuration, and starts anew.
    async fn configure(&mut self, from: &str, to: &str) {
        let config = fs::read_to_string(self.node.config()).unwrap();
        assert!(config.contains(from), "{from:?} is not in {config}");
        fs::write(self.node.config(), config.replace(from, to)).unwrap();
        self.node.terminate().await;
        self.node.up();
        self.node.ready(Duration::from_secs(20)).await;
    }

    /// Serves another certificate, from the moment that this returns.
    async fn serve(&mut self, names: &[&str], from: Day, until: Day) {
        write(&self.certificate, &self.key, &self.authority.sign_between(names, from, until));
        self.node.terminate().await;
        self.node.up();
        self.node.ready(Duration::from_secs(20)).await;
    }

    async fn doctor(&self) -> Vec<Finding> {
        let printed = self.cli.run(&["doctor", "--json"]).await;
        let findings: Value = serde_json::from_str(&printed.out).unwrap_or_else(|_| panic!("{printed:?}"));
        let finding = |it: &Value| Finding {
            about: text(&it["about"]),
            verdict: text(&it["verdict"]),
            words: format!("{} {}", text(&it["found"]), it["advice"].as_str().unwrap_or_default()),
        };
        findings.as_array().unwrap().iter().map(finding).collect()
    }
}

fn write(certificate: &PathBuf, key: &PathBuf, made: &Certificate) {
    fs::write(certificate, &made.chain).unwrap();
    fs::write(key, &made.key).unwrap();
}

#[derive(Debug)]
struct Finding {
    about: String,
    verdict: String,
    words: String,
}

/// The one finding about something, with its verdict and all of some words.
#[track_caller]
fn has(findings: &[Finding], about: &str, verdict: &str, words: &[&str]) {
    let fits = |it: &&Finding| it.about == about && it.verdict == verdict;
    let found = findings.iter().find(fits).unwrap_or_else(|| panic!("no {verdict} {about}: {findings:#?}"));
    for word in words {
        assert!(found.words.contains(word), "{word:?} is missing: {found:#?}");
    }
}

/// The day in so many days.
fn day_in(days: u64) -> Day {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400 + days;
    // Howard Hinnant's civil_from_days, for days after 1970.
    let shifted = unix + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    ((year + era * 400 + u64::from(month <= 2)) as i32, month as u8, day as u8)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_a_server_as_its_peers_do_and_reads_its_certificate() {
    let _turn = turn::shared().await;
    let mut scene = Scene::set().await;
    let port = scene.port;
    let record = |scene: &Scene, service: &str, target: &str| scene.names.srv(service, port, target);

    // Step 3.2: the file leads to a host and a port.
    scene.names.host("matrix.example.test", 1);
    let found = scene.doctor().await;
    assert!(found.iter().all(|it| it.verdict == "good"), "{found:#?}");
    let leads = format!("leads to matrix.example.test:{port}, to 127.0.0.1:{port}, which answers as example.test");
    has(&found, "for servers", "good", &[&leads, "is good for", "days more"]);
    has(&found, "for clients", "good", &["leads to https://matrix.example.test, which answers"]);
    has(&found, "certificate", "good", &["days more"]);

    // Step 3.3: without a port, its record. The certificate is asked for the host that the file names.
    scene.configure(&format!("matrix.example.test:{port}"), "matrix.example.test").await;
    record(&scene, "_matrix-fed._tcp.matrix.example.test", "cellar.example.test");
    let found = scene.doctor().await;
    has(&found, "for servers", "wrong", &["cellar.example.test has no address"]);
    scene.names.host("cellar.example.test", 1);
    let found = scene.doctor().await;
    has(&found, "for servers", "good", &["record _matrix-fed._tcp.matrix.example.test", "answers as example.test"]);

    // Steps 4 and 5: no file.
    scene.configure("delegate = \"matrix.example.test\"\n", "").await;
    record(&scene, "_matrix._tcp.example.test", "cellar.example.test");
    let found = scene.doctor().await;
    has(&found, "for servers", "good", &["no well-known file leads on from example.test", "_matrix._tcp.example.test"]);
    has(&found, "SRV record", "advice", &["deprecated", "_matrix-fed._tcp.example.test"]);
    record(&scene, "_matrix-fed._tcp.example.test", "cellar.example.test");
    let found = scene.doctor().await;
    assert!(found.iter().all(|it| it.verdict == "good"), "{found:#?}");

    // A certificate that ends, one of others, one that has ended.
    scene.serve(&["example.test", "matrix.example.test"], (2020, 1, 1), day_in(6)).await;
    let found = scene.doctor().await;
    // (The way of clients goes through the proxy here, which hides what is behind it.)
    for about in ["for servers", "certificate"] {
        has(&found, about, "advice", &["expires in 5 days", "renew"]);
    }
    scene.serve(&["matrix.example.test"], (2020, 1, 1), (4096, 1, 1)).await;
    let found = scene.doctor().await;
    has(&found, "for servers", "wrong", &["let a certificate that holds example.test be served there"]);
    has(&found, "certificate", "advice", &["does not hold example.test"]);
    scene.serve(&["example.test", "matrix.example.test"], (2020, 1, 1), (2021, 1, 1)).await;
    let found = scene.doctor().await;
    has(&found, "for servers", "wrong", &["renew the certificate: it has expired"]);
    has(&found, "certificate", "wrong", &["expired", "days ago"]);

    // Step 6: nothing leads anywhere; at port 8448 of the host nobody is.
    scene.serve(&["example.test", "matrix.example.test"], (2020, 1, 1), (4096, 1, 1)).await;
    for service in ["_matrix-fed._tcp.example.test", "_matrix._tcp.example.test"] {
        scene.names.forget(service);
    }
    scene.names.host("example.test", 77);
    let found = scene.doctor().await;
    has(&found, "for servers", "wrong", &["no SRV record either, to 127.0.0.77:8448, which does not answer"]);

    // A name server that is gone is not one that knows of no record.
    scene.configure(&scene.names.address().to_string(), &format!("127.0.0.1:{}", port::free())).await;
    let begin = Instant::now();
    let found = scene.doctor().await;
    has(&found, "for servers", "wrong", &["_matrix-fed._tcp.example.test can't be looked up"]);
    println!("without a name server the doctor took {:?}", begin.elapsed());
}
