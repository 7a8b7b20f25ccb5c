//! What is to be rung and waits for NATS: so much and no more, and nobody waits with it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Topic;

/// How many rings wait at most, and of how many bytes in all; what does not fit is lost, and found in the log.
const RINGS: usize = 4096;
const BYTES: usize = 32 << 20;

/// The end of those who ring.
#[derive(Clone)]
pub(super) struct Queue {
    sender: mpsc::Sender<(Topic, Bytes)>,
    bytes: Arc<AtomicUsize>,
}

/// The end of the one who carries them to NATS.
pub(super) struct Waiting {
    receiver: mpsc::Receiver<(Topic, Bytes)>,
    bytes: Arc<AtomicUsize>,
}

pub(super) fn queue() -> (Queue, Waiting) {
    let (sender, receiver) = mpsc::channel(RINGS);
    let bytes = Arc::<AtomicUsize>::default();
    (Queue { sender, bytes: Arc::clone(&bytes) }, Waiting { receiver, bytes })
}

impl Queue {
    /// `false`: there was no room for it.
    pub fn put(&self, topic: Topic, payload: Bytes) -> bool {
        let size = payload.len();
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size <= BYTES
            && self.sender.try_send((topic, payload)).is_ok()
        {
            return true;
        }
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        false
    }
}

impl Waiting {
    /// The next ring; `None` when nobody can ring any more.
    pub async fn next(&mut self) -> Option<(Topic, Bytes)> {
        let (topic, payload) = self.receiver.recv().await?;
        self.bytes.fetch_sub(payload.len(), Ordering::Relaxed);
        Some((topic, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_is_lost_and_leaves_its_room() {
        let (queue, mut waiting) = queue();
        let large = Bytes::from(vec![0; BYTES / 2]);
        assert!(queue.put(Topic::Slice, large.clone()) && queue.put(Topic::Slice, large.clone()));
        assert!(!queue.put(Topic::Slice, large.clone()), "too many bytes");
        while waiting.bytes.load(Ordering::Relaxed) > 0 {
            assert!(waiting.next().await.is_some());
        }
        for _ in 0..RINGS {
            assert!(queue.put(Topic::Keys, Bytes::from_static(b"x")));
        }
        assert!(!queue.put(Topic::Keys, Bytes::from_static(b"x")), "too many rings");
        assert_eq!(waiting.bytes.load(Ordering::Relaxed), RINGS);
    }
}
