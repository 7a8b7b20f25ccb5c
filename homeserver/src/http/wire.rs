//! A client's socket, on which hyper's own bodyless errors become Matrix errors.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use super::front::{REQUEST_ID, next_request_id};

/// Every answer of ours carries a request id, so a client error without one is hyper's.
pub(super) struct Wire<S> {
    stream: S,
    /// What is written in the place of hyper's own answer.
    instead: Bytes,
    /// Whether bytes came in since the last answer.
    asked: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, instead: Bytes::new(), asked: false }
    }

    /// Answers a request that stopped coming before it was whole; says nothing to an idle connection.
    pub async fn answer_incomplete(&mut self) -> bool {
        self.asked
            && self
                .write(&answer("408 Request Timeout", "M_UNKNOWN", "the request did not arrive whole, or not in time"))
                .await
    }

    /// Answers what is no HTTP, where hyper did not.
    pub async fn answer_broken(&mut self) -> bool {
        !self.asked || self.write(&bad_request()).await
    }

    async fn write(&mut self, answer: &[u8]) -> bool {
        let written = timeout(Duration::from_secs(2), self.stream.write_all(answer)).await;
        matches!(written, Ok(Ok(())))
    }

    pub fn into_stream(self) -> S {
        self.stream
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.instead.has_remaining() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.instead))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(count);
        }
        Poll::Ready(Ok(()))
    }
}

/// The Matrix error in the place of `head`, if that is an error which hyper wrote by itself.
fn instead_of(head: &[u8]) -> Option<Bytes> {
    let status = head.strip_prefix(b"HTTP/1.1 ").or_else(|| head.strip_prefix(b"HTTP/1.0 "))?.get(..3)?;
    if !matches!(status, b"400" | b"414" | b"431") {
        return None;
    }
    if head.windows(REQUEST_ID.len()).any(|window| window.eq_ignore_ascii_case(REQUEST_ID.as_bytes())) {
        return None;
    }
    Some(match status {
        b"414" => answer("414 URI Too Long", "M_TOO_LARGE", "the request's address is too long"),
        b"431" => answer(
            "431 Request Header Fields Too Large",
            "M_TOO_LARGE",
            "the request's headers are too large: 16 KiB are taken at most, with the address",
        ),
        _ => bad_request(),
    })
}

fn bad_request() -> Bytes {
    answer("400 Bad Request", "M_UNRECOGNIZED", "this is not a valid HTTP request")
}

fn answer(status: &str, errcode: &str, error: &str) -> Bytes {
    let body = format!("{{\"errcode\":\"{errcode}\",\"error\":\"{error}\"}}");
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\naccess-control-allow-origin: *\r\n{REQUEST_ID}: {}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        next_request_id(),
        body.len(),
    )
    .into()
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.asked |= buf.filled().len() > before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        if let Some(instead) = instead_of(buf) {
            self.instead = instead;
            self.asked = false;
            return Poll::Ready(Ok(buf.len()));
        }
        self.asked = false;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        // A head always stands in one slice, and hyper's own errors are nothing but a head.
        if let [head] = bufs
            && let Some(instead) = instead_of(head)
        {
            self.instead = instead;
            self.asked = false;
            return Poll::Ready(Ok(head.len()));
        }
        self.asked = false;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_without_a_request_id_are_replaced() {
        let theirs = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        let text = instead_of(theirs).unwrap();
        assert!(std::str::from_utf8(&text).unwrap().contains("M_TOO_LARGE"));
        let ours = b"HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\ncontent-length: 2\r\n\r\n{}";
        assert!(instead_of(ours).is_none());
        assert!(instead_of(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_none());
        // A body that goes on in a later write.
        assert!(instead_of(b"{\"errcode\":").is_none());
    }
}
