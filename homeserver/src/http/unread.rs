//! Bodies that nobody read to their end: the connection ends with the answer then, and the answer must say so, or the
//! client sends its next request into a connection that is closing.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};

/// hyper itself reads what is left of a body up to about this.
const SMALL: u64 = 8 << 10;

/// Whether a body was read to its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Ended(Arc<AtomicBool>);

impl Ended {
    pub fn yet(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct Watched {
    body: Incoming,
    ended: Ended,
}

/// A body to be read, with what tells of its end; small ones need no watching.
pub(super) fn watch(body: Incoming) -> (Body, Option<Ended>) {
    if body.is_end_stream() || body.size_hint().exact().is_some_and(|size| size <= SMALL) {
        return (Body::new(body), None);
    }
    let ended = Ended::default();
    (Body::new(Watched { body, ended: ended.clone() }), Some(ended))
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.ended.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
