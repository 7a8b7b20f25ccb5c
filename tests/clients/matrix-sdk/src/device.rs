//! One logged-in device: its client, its session on disk, its sync loop.
//!
//! **Invariant:** at most one sync is under way, so that answers are processed in the order of their tokens.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use matrix_sdk::{
    Client, SessionMeta, SessionTokens,
    authentication::matrix::MatrixSession,
    config::RequestConfig,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
    ruma::{
        OwnedDeviceId, OwnedUserId,
        api::client::{account::register, uiaa},
    },
    sliding_sync::VersionBuilder,
    store::RoomLoadSettings,
};
use serde_json::{Value, json};
use tokio::{sync::Mutex, task::JoinHandle};

use crate::{
    seen::Seen,
    updates::{POLL, Updates},
    verify::Flows,
    wire::{report, text},
};

/// What was seen, in the device's folder.
const SEEN: &str = "seen.json";

pub struct Device {
    pub client: Client,
    pub seen: Arc<Seen>,
    pub flows: std::sync::Mutex<Flows>,
    updates: Arc<Mutex<Updates>>,
    task: Mutex<Option<JoinHandle<()>>>,
    store: PathBuf,
}

impl Device {
    /// `register`, `login` or `restore`.
    pub async fn open(how: &str, arguments: &Value) -> Result<Self> {
        let store = PathBuf::from(text(arguments, "store")?);
        fs::create_dir_all(&store)?;
        let saved = store.join("session.json");
        let session: Value = match how {
            "restore" => serde_json::from_slice(&fs::read(&saved).context("no session in this store")?)?,
            _ => json!({ "server": text(arguments, "server")?, "sync": arguments["sync"] }),
        };
        let sliding = session["sync"] == "sliding";
        let client = Client::builder()
            .homeserver_url(text(&session, "server")?)
            .respect_login_well_known(false)
            .sqlite_store(&store, None)
            // Where it is asked for, the server must say that it has it.
            .sliding_sync_version_builder(if sliding { VersionBuilder::DiscoverNative } else { VersionBuilder::None })
            .request_config(
                RequestConfig::new().timeout(Duration::from_secs(60)).max_retry_time(Duration::from_secs(60)),
            )
            .with_encryption_settings(EncryptionSettings {
                auto_enable_cross_signing: false,
                backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
                auto_enable_backups: false,
            })
            .build()
            .await?;
        match how {
            "restore" => restore(&client, &session).await?,
            "register" => register(&client, arguments).await?,
            _ => {
                let auth = client.matrix_auth();
                auth.login_username(text(arguments, "user")?, text(arguments, "password")?).send().await?;
            }
        }
        let device = Self {
            updates: Arc::new(Mutex::new(Updates::new(&client, sliding).await?)),
            client,
            seen: Arc::new(Seen::load(&store.join(SEEN))?),
            flows: Default::default(),
            task: Mutex::default(),
            store,
        };
        let mut described = device.describe()?;
        described["server"] = session["server"].clone();
        described["sync"] = session["sync"].clone();
        fs::write(saved, described.to_string())?;
        Ok(device)
    }

    /// Who this is.
    pub fn describe(&self) -> Result<Value> {
        Ok(json!({
            "user": self.client.user_id().context("not logged in")?,
            "device": self.client.device_id().context("not logged in")?,
            "access_token": self.client.access_token(),
        }))
    }

    /// One sync; the loop must not be running for this to be of use.
    pub async fn sync_once(&self, arguments: &Value) -> Result<Value> {
        let timeout = Duration::from_millis(arguments["timeout_ms"].as_u64().unwrap_or(0));
        let token = sync(&self.client, &self.seen, &self.updates, timeout).await?;
        Ok(json!({ "token": token }))
    }

    /// Starts the sync loop.
    pub async fn start_sync(&self) -> Result<Value> {
        let (client, seen, updates) = (self.client.clone(), Arc::clone(&self.seen), Arc::clone(&self.updates));
        let task = tokio::spawn(async move {
            loop {
                if let Err(error) = sync(&client, &seen, &updates, POLL).await {
                    report("sync_error", json!(format!("{error:#}")));
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        });
        if let Some(old) = self.task.lock().await.replace(task) {
            old.abort();
        }
        Ok(json!({}))
    }

    /// Ends in good order.
    pub async fn close(&self) -> Result<()> {
        self.stop_sync().await;
        self.seen.save(&self.store.join(SEEN))
    }

    /// Ends the sync loop, wherever it is.
    pub async fn stop_sync(&self) {
        if let Some(task) = self.task.lock().await.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

async fn sync(client: &Client, seen: &Seen, updates: &Mutex<Updates>, timeout: Duration) -> Result<Option<String>> {
    let mut updates = updates.lock().await;
    let (token, brought) = updates.next(timeout).await?;
    seen.add(client, &brought).await?;
    Ok(token)
}

async fn register(client: &Client, arguments: &Value) -> Result<()> {
    let mut request = register::v3::Request::new();
    request.username = Some(text(arguments, "user")?.to_owned());
    request.password = Some(text(arguments, "password")?.to_owned());
    let auth = client.matrix_auth();
    let Err(error) = auth.register(request.clone()).await else { return Ok(()) };
    let Some(asked) = error.as_uiaa_response() else { return Err(error.into()) };
    request.auth = Some(match arguments["token"].as_str() {
        Some(token) => {
            let mut data = uiaa::RegistrationToken::new(token.to_owned());
            data.session = asked.session.clone();
            uiaa::AuthData::RegistrationToken(data)
        }
        None => {
            let mut data = uiaa::Dummy::new();
            data.session = asked.session.clone();
            uiaa::AuthData::Dummy(data)
        }
    });
    auth.register(request).await?;
    Ok(())
}

async fn restore(client: &Client, session: &Value) -> Result<()> {
    let session = MatrixSession {
        meta: SessionMeta {
            user_id: OwnedUserId::try_from(text(session, "user")?)?,
            device_id: OwnedDeviceId::from(text(session, "device")?),
        },
        tokens: SessionTokens { access_token: text(session, "access_token")?.to_owned(), refresh_token: None },
    };
    client.matrix_auth().restore_session(session, RoomLoadSettings::default()).await?;
    Ok(())
}
