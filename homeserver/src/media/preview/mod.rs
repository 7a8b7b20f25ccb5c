//! Previews of the pages that messages link to: a title, a few words, a picture.
//!
//! - `fetch`: asks the page's server, and which addresses may be asked
//! - `charset`, `html`: what a page says of itself, read without I/O
//! - `pictures`: a preview's picture becomes a medium of this server, for a while
//!
//! Whoever names a page chooses where this server connects to, and whoever owns it what this server reads: addresses, sizes,
//! times and numbers are bounded, and nothing is decompressed or drawn.

mod charset;
mod fetch;
mod html;
mod pictures;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ipnet::IpNet;
use moka::sync::Cache;
use ruma::OwnedMxcUri;
use tokio::{
    sync::{OnceCell, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use url::Url;

use self::fetch::{Fetcher, Kind};
use super::Media;

/// What is shown of a page. It may be nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// Properties of OpenGraph, without those of its picture.
    pub texts: BTreeMap<String, String>,
    pub picture: Option<Picture>,
}

/// A preview's picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub uri: OwnedMxcUri,
    pub content_type: &'static str,
    pub width: u32,
    pub height: u32,
    /// In bytes.
    pub size: u64,
}

/// Why there is no preview.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PreviewError {
    #[error("this server makes no previews of URLs")]
    Off,
    #[error("`url` must be an http or https URL")]
    BadUrl,
    #[error("the page lies at an address that this server does not connect to")]
    Refused,
    #[error("the page redirects too often, or to no page")]
    Redirects,
    #[error("the page's server is not found, or does not answer")]
    Unreachable,
    #[error("the page did not come within {} seconds", PATIENCE.as_secs())]
    TooSlow,
    #[error("the page's server answered with status {0}")]
    Status(u16),
    #[error("the server makes too many previews at this moment")]
    Busy,
}

/// What previews are made with.
pub(super) struct Previews {
    fetcher: Fetcher,
    /// Previews that were made or are being made, by the page's URL.
    made: Cache<Box<str>, Arc<OnceCell<Arc<Preview>>>>,
    /// Why none came of others: a room's members all ask for the same page.
    failed: Cache<Box<str>, PreviewError>,
    fetches: Semaphore,
    /// Reading a page takes its multiple in memory.
    readings: Semaphore,
}

/// For page and picture together.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many pages are fetched at once; who comes then waits as long as a page may take.
const FETCHES: usize = 32;
const READINGS: usize = 2;
/// A preview's texts are at most some KiB.
const KEPT: u64 = 2_000;
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
const FAILED_FOR: Duration = Duration::from_secs(60);
/// What is read of a page: what it says of itself stands at its beginning.
const MAX_PAGE: usize = 1 << 20;
const MAX_PICTURE: u64 = 10 << 20;

impl Previews {
    /// Of pages at public addresses, and in `allowed` networks.
    pub fn new(allowed: Vec<IpNet>) -> reqwest::Result<Self> {
        Ok(Self {
            fetcher: Fetcher::new(allowed)?,
            made: Cache::builder().max_capacity(KEPT).time_to_live(KEPT_FOR).build(),
            failed: Cache::builder().max_capacity(KEPT).time_to_live(FAILED_FOR).build(),
            fetches: Semaphore::new(FETCHES),
            readings: Semaphore::new(READINGS),
        })
    }
}

impl Media {
    /// What is shown of the page at `url`: fetched once for all who ask within an hour.
    ///
    /// # Errors
    /// See [`PreviewError`].
    pub async fn preview(&self, url: &str) -> Result<Arc<Preview>, PreviewError> {
        let previews = self.0.previews.as_ref().ok_or(PreviewError::Off)?;
        let url = fetch::page(url).ok_or(PreviewError::BadUrl)?;
        let key: Box<str> = url.as_str().into();
        let cell = previews.made.get_with(key.clone(), Arc::default);
        let made = cell.get_or_try_init(|| async {
            if let Some(error) = previews.failed.get(&key) {
                return Err(error);
            }
            let place = timeout(PATIENCE, previews.fetches.acquire()).await;
            let Ok(Ok(_place)) = place else { return Err(PreviewError::Busy) };
            let made = self.make_preview(previews, url).await;
            if let Err(error) = &made {
                previews.failed.insert(key, error.clone());
            }
            made.map(Arc::new)
        });
        made.await.cloned()
    }

    async fn make_preview(&self, previews: &Previews, url: Url) -> Result<Preview, PreviewError> {
        let deadline = Instant::now() + PATIENCE;
        let in_time = timeout_at(deadline, self.look_at(previews, url)).await;
        let (mut preview, picture) = in_time.map_err(|_| PreviewError::TooSlow)??;
        if let Some(url) = picture {
            // A preview without its picture is better than none.
            let fetched = timeout_at(deadline, async {
                let answer = previews.fetcher.get(url).await.ok()?;
                self.keep_picture(answer).await
            });
            preview.picture = fetched.await.ok().flatten();
        }
        if preview.picture.is_none() {
            preview.texts.retain(|name, _| !name.starts_with("og:image"));
        }
        Ok(preview)
    }

    /// What a page says of itself, and where the picture is that it names.
    async fn look_at(&self, previews: &Previews, url: Url) -> Result<(Preview, Option<Url>), PreviewError> {
        let answer = previews.fetcher.get(url).await?;
        match answer.kind {
            Kind::Page => {
                let (url, charset) = (answer.url.clone(), answer.charset.clone());
                let bytes = answer.beginning(MAX_PAGE).await?;
                let _place = previews.readings.acquire().await.map_err(|_| PreviewError::Busy)?;
                let read = tokio::task::spawn_blocking(move || html::read(&bytes, charset.as_deref(), &url)).await;
                // A page on which the reader fails says nothing.
                let page = read.unwrap_or_default();
                Ok((Preview { texts: page.texts, picture: None }, page.picture))
            }
            Kind::Picture => {
                let name = fetch::file_name(&answer.url).map(|name| ("og:title".to_owned(), html::shortened(&name)));
                let picture = self.keep_picture(answer).await;
                Ok((Preview { texts: name.into_iter().collect(), picture }, None))
            }
            Kind::Other => Ok((Preview::default(), None)),
        }
    }
}
