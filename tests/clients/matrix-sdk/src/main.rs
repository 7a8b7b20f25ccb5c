//! Driver: the Matrix Rust SDK behind JSON lines. The language stands in `../README.md`.
//!
//! **Invariant:** standard output carries whole lines of the language and nothing else.

mod crypto;
mod device;
mod rooms;
mod seen;
mod updates;
mod verify;
mod wire;

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, stdin},
    sync::RwLock,
};

use crate::{device::Device, wire::text};

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "warn,matrix_sdk_crypto::backups=error".into()),
        )
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let device: Arc<RwLock<Option<Arc<Device>>>> = Arc::default();
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let command: Value = serde_json::from_str(&line).context("a command is one JSON object a line")?;
        let what = text(&command, "do")?.to_owned();
        if what == "shutdown" {
            let result = match device.write().await.take() {
                Some(device) => device.close().await,
                None => Ok(()),
            };
            wire::answer(&command, result.map(|()| json!({})));
            break;
        }
        let device = Arc::clone(&device);
        tokio::spawn(async move {
            let result = run(&what, &command, &device).await;
            wire::answer(&command, result);
        });
    }
    Ok(())
}

async fn run(what: &str, arguments: &Value, slot: &RwLock<Option<Arc<Device>>>) -> Result<Value> {
    if matches!(what, "register" | "login" | "restore") {
        let device = Device::open(what, arguments).await?;
        let session = device.describe()?;
        *slot.write().await = Some(Arc::new(device));
        return Ok(session);
    }
    let device = slot.read().await.clone().context("log in first")?;
    match what {
        "sync_once" => device.sync_once(arguments).await,
        "sync_start" => device.start_sync().await,
        "sync_stop" => {
            device.stop_sync().await;
            Ok(json!({}))
        }
        "create_room" => rooms::create(&device, arguments).await,
        "invite" => rooms::invite(&device, arguments).await,
        "join" => rooms::join(&device, arguments).await,
        "leave" => rooms::leave(&device, arguments).await,
        "members" => rooms::members(&device, arguments).await,
        "send_text" => rooms::send_text(&device, arguments).await,
        "send_image" => rooms::send_image(&device, arguments).await,
        "download" => rooms::download(&device, arguments).await,
        "edit" => rooms::edit(&device, arguments).await,
        "react" => rooms::react(&device, arguments).await,
        "redact" => rooms::redact(&device, arguments).await,
        "timeline" => rooms::timeline(&device, arguments).await,
        "bootstrap" => crypto::bootstrap(&device, arguments).await,
        "backup_enable" => crypto::backup_enable(&device).await,
        "recover" => crypto::recover(&device, arguments).await,
        "status" => crypto::status(&device).await,
        "devices" => crypto::devices(&device, arguments).await,
        "trust" => crypto::trust(&device, arguments).await,
        "verify_request" => verify::request(&device, arguments).await,
        "verify_accept" => verify::accept(&device, arguments).await,
        "verify_start" => verify::start(&device, arguments).await,
        "verify_state" => verify::state(&device, arguments).await,
        "verify_confirm" => verify::confirm(&device, arguments).await,
        _ => bail!("unknown command {what:?}"),
    }
}
