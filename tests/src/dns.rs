//! A name server with the records that a test gives it, and a web proxy that leads every host's port 443 to one server.
//!
//! **Invariant:** nobody on this machine is asked anything outside it.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_proto::{
    op::{Message, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, SRV},
    },
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream, UdpSocket},
};

/// Answers over UDP.
#[derive(Clone, Debug)]
pub struct NameServer {
    address: SocketAddr,
    records: Arc<Mutex<HashMap<String, Vec<RData>>>>,
}

impl NameServer {
    /// Knows no name.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.expect("a port");
        let server = Self { address: socket.local_addr().expect("address"), records: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                let Ok(asked) = Message::from_vec(&buffer[..count]) else { continue };
                let answer = serving.answer(&asked).to_vec().expect("an answer");
                let _ = socket.send_to(&answer, from).await;
            }
        });
        server
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A host is at 127.0.0.`last`.
    pub fn host(&self, name: &str, last: u8) {
        self.put(name, RData::A(A(Ipv4Addr::new(127, 0, 0, last))));
    }

    /// An SRV record.
    pub fn srv(&self, name: &str, port: u16, target: &str) {
        let target = Name::from_ascii(format!("{target}.")).expect("a name");
        self.put(name, RData::SRV(SRV::new(10, 5, port, target)));
    }

    /// As if it had never been.
    pub fn forget(&self, name: &str) {
        self.records.lock().expect("records").remove(name);
    }

    fn put(&self, name: &str, data: RData) {
        self.records.lock().expect("records").entry(name.to_owned()).or_default().push(data);
    }

    fn answer(&self, asked: &Message) -> Message {
        let mut answer = Message::response(asked.metadata.id, OpCode::Query);
        let Some(query) = asked.queries.first() else { return answer };
        answer.add_query(Query::clone(query));
        let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let records = self.records.lock().expect("records");
        let Some(known) = records.get(&name) else {
            answer.metadata.response_code = ResponseCode::NXDomain;
            return answer;
        };
        let fits = |data: &&RData| data.record_type() == query.query_type() || query.query_type() == RecordType::ANY;
        let found = known.iter().filter(fits);
        answer.add_answers(found.map(|data| Record::from_rdata(query.name().clone(), 1, data.clone())));
        answer
    }
}

/// Where a proxy listens that leads every `CONNECT` to `target`, whatever host it names: nobody but root could stand at port 443.
pub async fn proxy_to(target: SocketAddr) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { lead(stream, target).await });
        }
    });
    format!("http://{address}")
}

async fn lead(stream: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let mut onward = TcpStream::connect(target).await?;
    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut onward).await.map(drop)
}
