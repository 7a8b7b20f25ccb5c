//! No request hangs on a database that is away: one that takes long is ended with 503, unless the database answers.
//!
//! What is merely slow goes on. A long-poll, which waits for other things, gets its own time first.

use std::time::Duration;

use axum::{
    http::Uri,
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

use super::ApiError;
use crate::storage::Pulse;

/// A request that takes longer makes somebody look whether the database is there.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a client may ask to be waited for at most.
const LONGEST: Duration = Duration::from_secs(600);

/// The answer, or 503 where the database does not answer meanwhile.
pub(super) async fn await_answer<T>(
    mut answer: impl Future<Output = T> + Unpin,
    wait: Duration,
    pulse: Option<&Pulse>,
) -> Result<T, Response> {
    let Some(pulse) = pulse else { return Ok(answer.await) };
    let mut wait = wait + PATIENCE;
    loop {
        match timeout(wait, &mut answer).await {
            Ok(answer) => return Ok(answer),
            // On the heap: what waits for an answer must not carry room for this.
            Err(_) if Box::pin(pulse.beats()).await => wait = PATIENCE,
            Err(_) => {
                let words = "The server's database does not answer at the moment. Please try again soon.";
                return Err(ApiError::unavailable(words).into_response());
            }
        }
    }
}

/// How long the client itself wants to wait: `timeout` of long-polls, `timeout_ms` of downloads.
pub(super) fn asked(uri: &Uri) -> Duration {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let millis =
        pairs.filter(|(name, _)| matches!(*name, "timeout" | "timeout_ms")).filter_map(|(_, v)| v.parse().ok());
    Duration::from_millis(millis.max().unwrap_or(0)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_poll_has_its_own_time() {
        let of = |uri: &'static str| asked(&Uri::from_static(uri)).as_millis();
        assert_eq!(of("/_matrix/client/v3/sync?since=s1&timeout=30000"), 30_000);
        assert_eq!(of("/_matrix/client/v1/media/download/a/b?timeout_ms=20000"), 20_000);
        assert_eq!(of("/_matrix/client/v3/sync?timeout=99999999999"), LONGEST.as_millis());
        assert_eq!(of("/_matrix/client/v3/sync?timeout=soon"), 0);
        assert_eq!(of("/_matrix/client/versions"), 0);
    }
}
