//! Waiting: a long-poll that has nothing to say costs no query, and holds no more than it needs to be woken.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    FilterError, Sync, Token,
    reader::{Reader, StateAfter},
    token::Malformed,
};
use crate::{
    log::{Changes, Watch},
    presence::State,
    storage::{self, Pos, RoomNr, UserNr},
    users::Requester,
};

/// A client's `GET /sync`.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub since: Option<String>,
    /// A filter's ID, or a filter.
    pub filter: Option<String>,
    pub full_state: bool,
    pub timeout: Duration,
    /// What the user is while this device waits.
    pub set_presence: State,
    pub state_after: StateAfter,
}

/// Why a sync is refused.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Token(#[from] Malformed),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// What a look at the log brought.
pub(super) struct News {
    pub body: String,
    pub next: Token,
    /// There is nothing in it: a long-poll goes on waiting.
    pub empty: bool,
}

/// Longer than clients ask for; what they ask for beyond is cut.
pub(super) const LONGEST: Duration = Duration::from_secs(5 * 60);

impl Sync {
    /// The answer to a sync, as JSON: at once if there is something to tell, or when there is, or empty at the timeout.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn sync(&self, requester: &Requester, request: Request) -> Result<String, SyncError> {
        let _polling = self.0.presence.poll(requester, request.set_presence);
        let deadline = Instant::now() + request.timeout.min(LONGEST);
        // Boxed, so that what is only needed at the beginning takes no room while the poll waits.
        let (reader, mut since) = Box::pin(self.begin(requester, request)).await?;
        let mut watch: Option<(Watch, Arc<[RoomNr]>)> = None;
        loop {
            let rooms = self.0.rooms.joined_rooms(reader.user).await?;
            let current = watch.take().filter(|(_, watched)| Arc::ptr_eq(watched, &rooms));
            // Who does not wait need not be woken.
            let patient = Instant::now() < deadline;
            let watch_now = || (self.0.log.watch(reader.user, &rooms), Arc::clone(&rooms));
            let watching = current.or_else(|| (patient && since.is_some()).then(watch_now));
            let Some(token) = since.as_ref().filter(|_| !reader.full_state) else {
                return Ok(Box::pin(self.read(&reader, since.as_ref())).await?.body);
            };
            if self.is_touched(&reader, &rooms, token) {
                let news = Box::pin(self.read(&reader, Some(token))).await?;
                if !news.empty {
                    return Ok(news.body);
                }
                since = Some(news.next);
            }
            let Some(watching) = watching.filter(|_| patient) else {
                return Box::pin(self.nothing(&reader, since)).await;
            };
            // Joined or left between the look at the rooms and the registration: register anew before waiting.
            if !Arc::ptr_eq(&rooms, &self.0.rooms.joined_rooms(reader.user).await?) {
                continue;
            }
            tokio::select! {
                biased;
                () = self.0.draining.cancelled() => return Box::pin(self.nothing(&reader, since)).await,
                () = watching.0.touched() => watch = Some(watching),
                () = sleep_until(deadline) => return Box::pin(self.nothing(&reader, since)).await,
            }
        }
    }

    /// Whether there may be something after `token`: from memory alone.
    fn is_touched(&self, reader: &Reader, rooms: &[RoomNr], token: &Token) -> bool {
        // Messages to the device that found no room in the last answer.
        token.to_device < token.pos
            || self.is_typing_touched(rooms, token)
            || self.is_presence_touched(reader, rooms, token)
            || (token.pos < self.0.log.watermark()
                && self.0.log.changes(reader.user, rooms, token.pos) != Changes::None)
    }

    async fn begin(&self, requester: &Requester, request: Request) -> Result<(Reader, Option<Token>), SyncError> {
        let since = match request.since.as_deref() {
            None | Some("") => None,
            Some(text) => Some(self.resume(Token::parse(text)?).await?),
        };
        let filter = match &request.filter {
            None => Arc::default(),
            Some(text) => self.filter(requester.user, text).await?,
        };
        if let Some(token) = &since {
            self.received(requester.device, token.to_device).await?;
        }
        // Who begins anew, or asks for all of the state, may have forgotten the members that they were told of; and who was
        // last answered by another node may have begun anew there.
        let went_on = since.as_ref().is_some_and(|token| token.node == self.0.presence.node());
        if !went_on || request.full_state {
            self.0.told.forget(requester.device, 0);
        }
        let reader = Reader {
            user: requester.user,
            user_id: requester.user_id.clone(),
            device: requester.device,
            filter,
            full_state: request.full_state,
            state_after: request.state_after,
        };
        Ok((reader, since))
    }

    /// Whose keys changed, and who is no longer met in any room, since `from`; by user ID. What came after `to` may be in it:
    /// a client that fetches a user's keys once more than it must is none the worse.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn key_changes(
        &self,
        requester: &Requester,
        from: &str,
        to: &str,
    ) -> Result<(Vec<Arc<str>>, Vec<Arc<str>>), SyncError> {
        self.resume(Token::parse(to)?).await?;
        let since = self.resume(Token::parse(from)?).await?;
        let lists = self.read_device_lists(requester.user, since.pos).await?;
        let numbers: Vec<_> = lists.changed.iter().chain(&lists.left).copied().collect();
        let names = self.0.rooms.interner().texts(&numbers).await?;
        let named = |list: &[UserNr]| list.iter().filter_map(|nr| names.get(nr).cloned()).collect();
        Ok((named(&lists.changed), named(&lists.left)))
    }

    /// The point that a token names in the log as it is now.
    pub(super) async fn resume(&self, mut token: Token) -> storage::Result<Token> {
        let log = &self.0.log;
        if token.pos > log.watermark() || token.generation > log.generation() {
            // Another node gave it, and was ahead of this one.
            log.reach(Pos(token.pos.0.max(log.watermark().0 + 1))).await?;
        }
        let mut end = log.watermark();
        if token.generation != log.generation() {
            // What that generation committed behind its end is lost; other things stand there now.
            let kept = storage::generation::end(&self.0.pool, token.generation).await?;
            end = kept.map_or(end, |kept| end.min(kept));
        }
        token.pos = token.pos.min(end);
        token.to_device = token.to_device.min(end);
        token.generation = log.generation();
        Ok(token)
    }

    /// The answer of a poll that ends without news. Its token is the one with which the poll waited.
    async fn nothing(&self, reader: &Reader, since: Option<Token>) -> Result<String, SyncError> {
        let counts = self.key_counts(reader.device, true).await?;
        Ok(super::answer::nothing(&since.unwrap_or_default(), &counts))
    }
}
