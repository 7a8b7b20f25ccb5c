//! What clients set and read: `GET /pushers`, `POST /pushers/set`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Push;
use crate::{
    clock::now_ms,
    log::{Notice, Writes},
    storage::{self, UserNr, pusher},
    users::Requester,
};

/// What a client gave with a pusher.
pub type PusherData = Map<String, Value>;

/// A pusher as the API shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Pusher {
    pub pushkey: String,
    pub app_id: String,
    #[serde(flatten)]
    pub rest: Stored,
    /// MSC3881.
    #[serde(rename = "org.matrix.msc3881.enabled")]
    pub enabled: bool,
    #[serde(rename = "org.matrix.msc3881.device_id")]
    pub device_id: String,
}

/// What has no column of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stored {
    pub kind: String,
    pub app_display_name: String,
    pub device_display_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_tag: Option<String>,
    pub lang: String,
    pub data: PusherData,
}

/// A pusher to be set.
#[derive(Debug, Clone)]
pub struct SetPusher {
    pub app_id: String,
    pub pushkey: String,
    pub rest: Stored,
    /// Other users may go on using the same app and key.
    pub append: bool,
    pub enabled: bool,
}

/// Why a pusher is not set.
#[derive(Debug, thiserror::Error)]
pub enum PushersError {
    #[error("`app_id` has 1 to {MAX_APP_ID} bytes, `pushkey` 1 to {MAX_PUSHKEY}")]
    Length,
    #[error("{0}")]
    Gateway(&'static str),
    #[error("`data.format` is a string")]
    Format,
    #[error("a pusher takes {MAX_BYTES} bytes at most")]
    TooLarge,
    #[error("this server pushes by `http` only")]
    Kind,
    #[error("a user has {MOST} pushers at most")]
    TooMany,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

const MAX_APP_ID: usize = 64;
const MAX_PUSHKEY: usize = 512;
/// Pushers a user.
const MOST: i64 = 100;
/// What one takes as JSON.
const MAX_BYTES: usize = 8 << 10;

impl Push {
    /// The user's pushers.
    ///
    /// # Errors
    /// The database's own.
    pub async fn pushers(&self, user: UserNr) -> storage::Result<Vec<Pusher>> {
        let rows = pusher::of_users(&self.0.pool, &[user]).await?;
        let shown = |row: pusher::Pusher| {
            let rest = serde_json::from_str(&row.json)
                .map_err(|error| storage::Error::Inconsistent(format!("pusher {}: {error}", row.nr)))?;
            let pusher::Pusher { pushkey, app_id, enabled, device_id, .. } = row;
            Ok(Pusher { pushkey, app_id, rest, enabled, device_id })
        };
        rows.into_iter().map(shown).collect()
    }

    /// Sets a pusher of the requester's device.
    ///
    /// # Errors
    /// See [`PushersError`].
    pub async fn set_pusher(&self, requester: &Requester, wish: SetPusher) -> Result<(), PushersError> {
        check_lengths(&wish.app_id, &wish.pushkey)?;
        if wish.rest.kind != "http" {
            return Err(PushersError::Kind);
        }
        let url = wish.rest.data.get("url").and_then(Value::as_str);
        let url = url.ok_or(PushersError::Gateway("An `http` pusher needs `data.url`."))?;
        self.0.gateway.takes(url).map_err(PushersError::Gateway)?;
        if wish.rest.data.get("format").is_some_and(|format| !format.is_string()) {
            return Err(PushersError::Format);
        }
        let row = pusher::Pusher {
            nr: 0,
            user: requester.user,
            app_id: wish.app_id,
            pushkey: wish.pushkey,
            device: requester.device,
            device_id: requester.device_id.to_string(),
            created_ts: now_ms(),
            enabled: wish.enabled,
            json: serde_json::to_string(&wish.rest).map_err(|e| storage::Error::Inconsistent(e.to_string()))?,
            behind: None,
        };
        if row.json.len() > MAX_BYTES {
            return Err(PushersError::TooLarge);
        }
        let changed = pusher::set(&self.0.pool, &row, !wish.append, MOST).await?;
        if changed.is_empty() {
            return Err(PushersError::TooMany);
        }
        for user in changed {
            self.tell(user).await;
        }
        Ok(())
    }

    /// Takes a pusher of the requester's away, if it is there.
    ///
    /// # Errors
    /// See [`PushersError`].
    pub async fn delete_pusher(&self, requester: &Requester, app_id: &str, pushkey: &str) -> Result<(), PushersError> {
        check_lengths(app_id, pushkey)?;
        if pusher::delete(&self.0.pool, requester.user, app_id, pushkey).await? > 0 {
            self.tell(requester.user).await;
        }
        Ok(())
    }

    /// Drops a pusher whose key its gateway does not know any more.
    pub(super) async fn drop_pusher(&self, gone: &pusher::Pusher) -> storage::Result<()> {
        tracing::info!(app_id = gone.app_id, "a push gateway rejected a key; its pusher is dropped");
        pusher::delete(&self.0.pool, gone.user, &gone.app_id, &gone.pushkey).await?;
        self.tell(gone.user).await;
        Ok(())
    }

    /// Tells all nodes that a user's pushers have changed.
    pub(super) async fn tell(&self, user: UserNr) {
        let notices = vec![Notice::User(user)];
        if let Err(error) = self.0.log.write(Writes { notices, ..Writes::default() }).await {
            tracing::warn!(%error, "can't tell the other nodes of a changed pusher");
        }
        self.0.follow.holders.touch(user);
    }
}

fn check_lengths(app_id: &str, pushkey: &str) -> Result<(), PushersError> {
    let fits = (1..=MAX_APP_ID).contains(&app_id.len()) && (1..=MAX_PUSHKEY).contains(&pushkey.len());
    if fits { Ok(()) } else { Err(PushersError::Length) }
}
