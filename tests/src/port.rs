//! Free TCP ports on the loopback address.
//!
//! **Invariant:** no port is handed out twice by one test process.

use std::{collections::BTreeSet, net::TcpListener, sync::Mutex};

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that nothing listens on at this moment and that no other caller was given.
#[must_use]
pub fn free() -> u16 {
    let mut given = GIVEN.lock().expect("port list");
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a free port").port();
        if given.insert(port) {
            return port;
        }
    }
}
