//! The accept loop: our own few lines over hyper's builders, for idle memory, draining, and an answer to everything.
//!
//! hyper answers a broken or over-large head itself, with an empty body; [`Wire`] puts a Matrix error in its place. A
//! connection is closed only after the client could read the last answer.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::TaskTracker,
};

use super::{Tls, front::Front, wire::Wire};
use crate::{metrics, storage::Pulse};

/// The largest head of a request: what one read buffer holds.
const HEAD_LIMIT: usize = 16 << 10;
/// A head must be whole within this; an idle connection is kept as long.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// A client that connects with TLS must be through with it within this.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a client that got its last answer may go on sending before the connection is cut.
const LINGER: Duration = Duration::from_secs(2);

/// What is served to everybody who connects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Served {
    pub router: Router,
    /// Peers whose `X-Forwarded-For` is believed.
    pub proxies: Arc<[IpNet]>,
    /// Whether other servers are answered.
    pub federates: bool,
    /// Asked where a request takes long.
    pub pulse: Option<Pulse>,
}

/// Serves on one socket, over TLS if there is a certificate for it, until `drain` is cancelled; each connection is a task of `connections`.
///
/// Draining stops the accepting and lets each connection finish the request that it is in.
pub async fn serve(
    listener: Arc<TcpListener>,
    served: Served,
    tls: Option<Tls>,
    drain: CancellationToken,
    connections: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = drain.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let front = Front::new(served.clone(), peer.ip());
                match &tls {
                    None => connections.spawn(connection(stream, peer, front, drain.clone())),
                    Some(tls) => connections.spawn(encrypted(tls.clone(), stream, peer, front, drain.clone())),
                };
            }
            // Out of files or memory, or a client that left at once: the next may work.
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Opens a listening socket.
///
/// # Errors
/// The address is taken or not ours.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// A client's bytes, encrypted or not.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}

async fn connection(stream: TcpStream, peer: SocketAddr, front: Front, drain: CancellationToken) {
    if !promptly(&stream, peer) {
        return;
    }
    metrics::CONNECTIONS.add(1);
    match timeout(HEAD_PATIENCE, speaks_http2(&stream)).await {
        Ok(Ok(true)) => connection_http2(stream, front, &drain).await,
        Ok(Ok(false)) => connection_http1(stream, front, &drain).await,
        // Nothing was asked.
        Ok(Err(_)) | Err(_) => {}
    }
    metrics::CONNECTIONS.add(-1);
}

async fn encrypted(tls: Tls, stream: TcpStream, peer: SocketAddr, front: Front, drain: CancellationToken) {
    if !promptly(&stream, peer) {
        return;
    }
    metrics::CONNECTIONS.add(1);
    match timeout(HANDSHAKE_PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            connection_http2(stream, front, &drain).await;
        }
        Ok(Ok(stream)) => connection_http1(stream, front, &drain).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
    metrics::CONNECTIONS.add(-1);
}

/// An answer is written whole: waiting for more would only delay it.
fn promptly(stream: &TcpStream, peer: SocketAddr) -> bool {
    let set = stream.set_nodelay(true);
    if let Err(error) = &set {
        tracing::debug!(%peer, %error, "the client left at once");
    }
    set.is_ok()
}

async fn connection_http1(stream: impl Socket, front: Front, drain: &CancellationToken) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_LIMIT).half_close(true);
    let mut connection = builder.serve_connection(TokioIo::new(Wire::new(stream)), front);
    let mut draining = Some(Box::pin(drain.cancelled()));
    let ended = poll_fn(|cx| {
        if cancelled(&mut draining, cx) {
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    })
    .await;

    let mut wire = connection.into_parts().io.into_inner();
    let answered = match &ended {
        // The last answer may have come while the client was still sending: what was too large to be read, for example.
        Ok(()) => !drain.is_cancelled(),
        Err(error) if error.is_parse() => wire.answer_broken().await,
        // Anything else may have ended a request before it was whole.
        Err(_) => wire.answer_incomplete().await,
    };
    let mut stream = wire.into_stream();
    if stream.shutdown().await.is_ok() && answered {
        linger(&mut stream).await;
    }
}

async fn connection_http2(stream: impl Socket, front: Front, drain: &CancellationToken) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(60))
        .max_header_list_size(HEAD_LIMIT as u32)
        .max_concurrent_streams(128);
    let mut connection = builder.serve_connection(TokioIo::new(stream), front);
    let mut draining = Some(Box::pin(drain.cancelled()));
    let ended = poll_fn(|cx| {
        if cancelled(&mut draining, cx) {
            Pin::new(&mut connection).graceful_shutdown();
        }
        Pin::new(&mut connection).poll(cx)
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP/2 connection ended");
    }
}

/// Whether draining has begun just now.
fn cancelled(draining: &mut Option<Pin<Box<WaitForCancellationFuture<'_>>>>, cx: &mut std::task::Context<'_>) -> bool {
    let begun = draining.as_mut().is_some_and(|draining| draining.as_mut().poll(cx) == Poll::Ready(()));
    if begun {
        *draining = None;
    }
    begun
}

/// Looks at the first bytes without taking them. Only proxies speak HTTP/2 without TLS, with prior knowledge.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0";
    let mut seen = [0; PREFACE.len()];
    // A preface fits one packet; what trickles in is for HTTP/1's own timeout.
    for _ in 0..100 {
        let count = stream.peek(&mut seen).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if count == PREFACE.len() || !PREFACE.starts_with(&seen[..count]) {
            return Ok(seen == *PREFACE);
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(false)
}

/// Reads on for a moment: closing with unread bytes resets the connection, and the client would lose the answer.
async fn linger(stream: &mut impl Socket) {
    let mut rest = vec![0; 16 << 10];
    let drained = async { while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {} };
    if timeout(LINGER, drained).await.is_err() {
        tracing::debug!("cut a client that went on sending after its last answer");
    }
}
