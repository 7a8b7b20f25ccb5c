//! Media: uploads into files, downloads out of them, small pictures of them, and previews of pages on the web.
//!
//! A file gets its name when it is whole and on disk, and its row after that: whoever finds the row finds the file.
//!
//! **Invariant:** nothing but a picture that is made smaller is ever whole in memory, and a broken upload leaves nothing
//! behind.

mod download;
mod folder;
mod lost;
mod marker;
mod picture;
mod preview;
mod thumbnail;
mod upload;

use std::{path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;
use ruma::OwnedServerName;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    download::{Access, Download, DownloadError},
    lost::{ForgetError, forget_lost, missing_files},
    marker::{FolderError, FolderStanding, folder_standing},
    picture::{Method, Wanted},
    preview::{Preview, PreviewError},
    thumbnail::ThumbnailError,
    upload::{Described, Reserved, UploadError},
};
use self::{
    folder::{Folder, Trouble},
    preview::Previews,
    thumbnail::Studio,
};

/// How often the folder is looked after.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The media service. Cheap to clone.
#[derive(Clone)]
pub struct Media(Arc<Inner>);

struct Inner {
    pool: PgPool,
    folder: Folder,
    server_name: OwnedServerName,
    limits: Limits,
    /// What came before is served without an access token. `None`: all is.
    frozen_ts: Option<i64>,
    studio: Studio,
    /// `None`: no pages are fetched.
    previews: Option<Previews>,
    /// Changes when an upload came in that somebody may wait for.
    arrivals: watch::Sender<()>,
    tasks: TaskTracker,
}

/// What media is built from.
pub struct Options {
    pub pool: PgPool,
    pub folder: PathBuf,
    pub server_name: OwnedServerName,
    pub limits: Limits,
    /// Whether everything is served without an access token.
    pub serve_unauthenticated: bool,
    /// Private networks in which pages may be previewed; `None`: no page is.
    pub previews: Option<Vec<IpNet>>,
    /// The node's, which waits for their end when it goes down.
    pub tasks: TaskTracker,
}

/// What is taken.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest upload, in bytes.
    pub upload: u64,
    /// What one user's uploads may take together, in bytes.
    pub user: Option<u64>,
}

impl Media {
    /// The media service. Where the folder is not the other nodes', it takes no uploads.
    ///
    /// # Errors
    /// If the folder can't be made or marked, or the database is away.
    pub async fn open(options: Options) -> Result<Self, FolderError> {
        let Options { pool, folder: path, server_name, limits, serve_unauthenticated, previews, tasks } = options;
        let previews = previews.map(Previews::new).transpose()?;
        Folder::make(&path).await?;
        let shared = marker::claim(&pool, &path).await?;
        let folder = Folder::open(path, shared.id);
        let frozen_ts = (!serve_unauthenticated).then_some(shared.frozen_ts);
        let (studio, arrivals) = (Studio::new(), watch::Sender::new(()));
        Ok(Self(Arc::new(Inner { pool, folder, server_name, limits, frozen_ts, studio, previews, arrivals, tasks })))
    }

    /// Why this node should get no requests, in words: its folder is not the one of all nodes. A disk without room for uploads
    /// is no reason: all nodes have the same.
    pub fn unready(&self) -> Option<String> {
        let trouble = self.0.folder.trouble().filter(|trouble| *trouble != Trouble::NoRoom);
        trouble.map(|trouble| trouble.to_string())
    }

    /// Looks after the folder: whether it is there and has room, until `shutdown`.
    pub async fn watch_folder(self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let media = self.clone();
            // A folder on a network may keep whoever looks waiting.
            if let Err(error) = tokio::task::spawn_blocking(move || media.0.folder.look()).await {
                tracing::error!(%error, "the media folder can't be looked at");
            }
        }
    }

    /// The largest upload, in bytes.
    pub fn max_upload_size(&self) -> u64 {
        self.0.limits.upload
    }
}
