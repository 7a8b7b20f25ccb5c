//! Every step, with a network of a table's making.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::*;

/// What is not in it does not exist; `!` marks a question that fails.
#[derive(Default)]
struct Table {
    /// Host and the body of its file.
    files: HashMap<&'static str, &'static str>,
    /// Record, then priority, port and target.
    srv: HashMap<&'static str, Vec<(u16, u16, &'static str)>>,
    addresses: HashMap<&'static str, Vec<&'static str>>,
    asked: AtomicUsize,
}

fn failed() -> NetworkError {
    NetworkError("timed out".to_owned())
}

impl Network for Table {
    async fn well_known(&self, host: &str) -> Result<Answer, NetworkError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.files.get(host) {
            Some(&"!") => Err(failed()),
            Some(body) => Ok(Answer { status: 200, body: body.as_bytes().to_vec(), ..Answer::default() }),
            None => Ok(Answer { status: 404, ..Answer::default() }),
        }
    }

    async fn srv(&self, name: &str) -> Result<Vec<Srv>, NetworkError> {
        let records = self.srv.get(name).map(Vec::as_slice).unwrap_or_default();
        if records.iter().any(|(.., target)| *target == "!") {
            return Err(failed());
        }
        let record =
            |&(priority, port, target): &(u16, u16, &str)| Srv { priority, weight: 0, port, target: target.to_owned() };
        Ok(records.iter().map(record).collect())
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NetworkError> {
        let found = self.addresses.get(host).map(Vec::as_slice).unwrap_or_default();
        if found == ["!"] { Err(failed()) } else { Ok(found.iter().map(|ip| ip.parse().unwrap()).collect()) }
    }
}

fn name(text: &str) -> &ServerName {
    text.try_into().unwrap()
}

async fn find(table: Table, server: &str) -> Result<Endpoint, DiscoveryError> {
    Discovery::new(table).find(name(server), SystemTime::UNIX_EPOCH, 0).await
}

/// Everything that could be asked for, leading elsewhere: whoever asks too much fails the test.
fn full() -> Table {
    Table {
        files: HashMap::from([("a.example", r#"{"m.server":"wrong.example:1"}"#)]),
        srv: HashMap::from([
            ("_matrix-fed._tcp.a.example", vec![(0, 1, "wrong.example")]),
            ("_matrix._tcp.a.example", vec![(0, 1, "wrong.example")]),
        ]),
        addresses: HashMap::from([("a.example", vec!["10.0.0.1", "fd00::1"]), ("wrong.example", vec!["10.9.9.9"])]),
        asked: AtomicUsize::new(0),
    }
}

#[tokio::test]
async fn steps_1_and_2_the_name_says_all() {
    for (server, address, host, certificate, step) in [
        ("1.2.3.4", "1.2.3.4:8448", "1.2.3.4", "1.2.3.4", Step::Literal),
        ("1.2.3.4:80", "1.2.3.4:80", "1.2.3.4:80", "1.2.3.4", Step::Literal),
        ("[2001:db8::1]", "[2001:db8::1]:8448", "[2001:db8::1]", "2001:db8::1", Step::Literal),
        ("[2001:db8::1]:80", "[2001:db8::1]:80", "[2001:db8::1]:80", "2001:db8::1", Step::Literal),
        ("a.example:80", "10.0.0.1:80", "a.example:80", "a.example", Step::Port),
    ] {
        let found = find(full(), server).await.unwrap();
        assert_eq!(found.addresses[0], address.parse().unwrap(), "{server}");
        assert_eq!((&*found.host, &*found.certificate_name), (host, certificate), "{server}");
        assert_eq!((found.delegated, found.step), (None, step), "{server}");
    }
    let found = find(full(), "a.example:80").await.unwrap();
    assert_eq!(found.addresses, ["10.0.0.1:80", "[fd00::1]:80"].map(|it| it.parse().unwrap()));
}

/// Steps 3.1 to 3.5: what the file leads to is located like a name of its own, but for a file of its own.
#[tokio::test]
async fn step_3_the_well_known_file_leads_on() {
    for (file, address, host, certificate, step) in [
        (r#"{"m.server":"1.2.3.4"}"#, "1.2.3.4:8448", "1.2.3.4", "1.2.3.4", Step::Literal),
        (r#"{"m.server":"[2001:db8::1]:80"}"#, "[2001:db8::1]:80", "[2001:db8::1]:80", "2001:db8::1", Step::Literal),
        (r#"{"m.server":"port.example:80"}"#, "10.0.1.1:80", "port.example:80", "port.example", Step::Port),
        (r#"{"m.server":"fed.example"}"#, "10.0.1.2:81", "fed.example", "fed.example", Step::Srv(Service::MatrixFed)),
        (r#"{"m.server":"old.example"}"#, "10.0.1.2:82", "old.example", "old.example", Step::Srv(Service::Matrix)),
        (r#"{"m.server":"plain.example"}"#, "10.0.1.3:8448", "plain.example", "plain.example", Step::Default),
    ] {
        let table = Table {
            files: HashMap::from([
                ("a.example", file),
                ("plain.example", r#"{"m.server":"wrong.example:1"}"#),
                ("fed.example", r#"{"m.server":"wrong.example:1"}"#),
            ]),
            srv: HashMap::from([
                ("_matrix-fed._tcp.a.example", vec![(0, 1, "wrong.example")]),
                ("_matrix-fed._tcp.port.example", vec![(0, 1, "wrong.example")]),
                ("_matrix-fed._tcp.fed.example", vec![(0, 81, "target.example")]),
                ("_matrix._tcp.fed.example", vec![(0, 1, "wrong.example")]),
                ("_matrix._tcp.old.example", vec![(0, 82, "target.example")]),
            ]),
            addresses: HashMap::from([
                ("a.example", vec!["10.9.9.9"]),
                ("wrong.example", vec!["10.9.9.9"]),
                ("port.example", vec!["10.0.1.1"]),
                ("fed.example", vec!["10.9.9.9"]),
                ("target.example", vec!["10.0.1.2"]),
                ("plain.example", vec!["10.0.1.3"]),
            ]),
            asked: AtomicUsize::new(0),
        };
        let found = find(table, "a.example").await.unwrap();
        assert_eq!(found.addresses, [address.parse().unwrap()], "{file}");
        assert_eq!((&*found.host, &*found.certificate_name, found.step), (host, certificate, step), "{file}");
        assert!(file.contains(found.delegated.unwrap().as_str()), "{file}");
    }
}

#[tokio::test]
async fn steps_4_to_6_a_name_without_a_valid_file_stands_for_itself() {
    let files = ["!", "", "not json", "{}", r#"{"m.server":"not a name"}"#];
    for file in files {
        for (srv, address, step) in [
            (
                vec![
                    ("_matrix-fed._tcp.a.example", vec![(0, 81, "target.example")]),
                    ("_matrix._tcp.a.example", vec![(0, 1, "wrong.example")]),
                ],
                "10.0.0.2:81",
                Step::Srv(Service::MatrixFed),
            ),
            (
                vec![("_matrix._tcp.a.example", vec![(0, 82, "target.example")])],
                "10.0.0.2:82",
                Step::Srv(Service::Matrix),
            ),
            (vec![], "10.0.0.1:8448", Step::Default),
        ] {
            let table = Table {
                files: HashMap::from([("a.example", file)]),
                srv: srv.into_iter().collect(),
                addresses: HashMap::from([("a.example", vec!["10.0.0.1"]), ("target.example", vec!["10.0.0.2"])]),
                asked: AtomicUsize::new(0),
            };
            let found = find(table, "a.example").await.unwrap();
            assert_eq!((&found.addresses[..], found.step), (&[address.parse().unwrap()][..], step), "{file:?}");
            // Whatever DNS says, the server must prove to be who was asked for.
            assert_eq!((&*found.host, &*found.certificate_name), ("a.example", "a.example"));
            assert_eq!(found.delegated, None);
        }
    }
}

#[tokio::test]
async fn targets_are_tried_by_priority_and_some_may_be_lost() {
    let table = |targets: Vec<(u16, u16, &'static str)>| Table {
        srv: HashMap::from([("_matrix-fed._tcp.a.example", targets)]),
        addresses: HashMap::from([
            ("a.example", vec!["10.9.9.9"]),
            ("one.example", vec!["10.0.0.1", "fd00::1"]),
            ("two.example", vec!["10.0.0.2"]),
            ("broken.example", vec!["!"]),
        ]),
        ..Table::default()
    };
    let found = find(table(vec![(20, 2, "two.example"), (10, 1, "one.example")]), "a.example").await.unwrap();
    assert_eq!(found.addresses, ["10.0.0.1:1", "[fd00::1]:1", "10.0.0.2:2"].map(|it| it.parse().unwrap()));
    let some = vec![(10, 1, "none.example"), (20, 2, "broken.example"), (30, 3, "two.example")];
    assert_eq!(find(table(some), "a.example").await.unwrap().addresses, ["10.0.0.2:3".parse().unwrap()]);
    let none = find(table(vec![(10, 1, "none.example")]), "a.example").await;
    assert_eq!(none, Err(DiscoveryError::NoAddress("none.example".to_owned())));
    let many = (0..1000).map(|port| (10, port, "one.example")).collect();
    assert_eq!(find(table(many), "a.example").await.unwrap().addresses.len(), MOST_ADDRESSES);
}

#[tokio::test]
async fn what_is_not_known_is_not_taken_for_absent() {
    let lookup = |name: &str| Err(DiscoveryError::Lookup { name: name.to_owned(), source: failed() });
    for (record, targets, wanted) in [
        ("_matrix-fed._tcp.a.example", vec![(0, 0, "!")], lookup("_matrix-fed._tcp.a.example")),
        ("_matrix._tcp.a.example", vec![(0, 0, "!")], lookup("_matrix._tcp.a.example")),
        (
            "_matrix-fed._tcp.a.example",
            vec![(0, 0, "")],
            Err(DiscoveryError::NotOffered("_matrix-fed._tcp.a.example".to_owned())),
        ),
    ] {
        let table = Table {
            srv: HashMap::from([(record, targets)]),
            addresses: HashMap::from([("a.example", vec!["10.0.0.1"])]),
            ..Table::default()
        };
        assert_eq!(find(table, "a.example").await, wanted);
    }
    let silent = || Table { addresses: HashMap::from([("a.example", vec!["!"])]), ..Table::default() };
    assert_eq!(find(silent(), "a.example").await, lookup("a.example"));
    assert_eq!(find(silent(), "a.example:80").await, lookup("a.example"));
    assert_eq!(find(silent(), "b.example").await, Err(DiscoveryError::NoAddress("b.example".to_owned())));
}

#[tokio::test]
async fn a_file_is_asked_for_once_in_its_time() {
    let discovery = Discovery::new(full());
    let asked = || discovery.network.asked.load(Ordering::Relaxed);
    for (server, hours, count) in
        [("a.example", 0, 1), ("A.example", 23, 1), ("a.example", 24, 2), ("b.example:1", 0, 2), ("1.2.3.4", 0, 2)]
    {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(hours * 3600);
        let _ = discovery.find(name(server), now, 0).await;
        assert_eq!(asked(), count, "{server} after {hours} h");
    }
    // No file: for the next minute nobody is asked again.
    for (seconds, count) in [(0, 3), (59, 3), (60, 4), (179, 4), (180, 5)] {
        let _ = discovery.find(name("b.example"), SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), 0).await;
        assert_eq!(asked(), count, "after {seconds} s");
    }
}
