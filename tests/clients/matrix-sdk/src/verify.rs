//! SAS verification, step by step.
//!
//! **Invariant:** no step is taken by itself: each waits for its command, as it waits for a person.

use std::{collections::HashMap, sync::PoisonError};

use anyhow::{Context as _, Result, bail};
use matrix_sdk::{
    encryption::verification::{
        SasState, SasVerification, Verification, VerificationRequest, VerificationRequestState,
    },
    ruma::{DeviceId, UserId},
};
use serde_json::{Value, json};

use crate::{device::Device, wire::text};

/// Verifications under way or done: the library forgets them as soon as they are done.
#[derive(Default)]
pub struct Flows {
    requests: HashMap<String, VerificationRequest>,
    sas: HashMap<String, SasVerification>,
}

pub async fn request(device: &Device, arguments: &Value) -> Result<Value> {
    let user = <&UserId>::try_from(text(arguments, "user")?)?;
    let other = <&DeviceId>::from(text(arguments, "device")?);
    let other = device.client.encryption().get_device(user, other).await?.context("this device is not known")?;
    let request = other.request_verification().await?;
    Ok(json!({ "flow": request.flow_id() }))
}

pub async fn accept(device: &Device, arguments: &Value) -> Result<Value> {
    if let Some(sas) = sas(device, arguments).await? {
        sas.accept().await?;
    } else {
        flow(device, arguments).await?.accept().await?;
    }
    Ok(json!({}))
}

pub async fn start(device: &Device, arguments: &Value) -> Result<Value> {
    let sas = flow(device, arguments).await?.start_sas().await?;
    sas.context("the request is not ready, or the other side cannot do SAS")?;
    Ok(json!({}))
}

pub async fn confirm(device: &Device, arguments: &Value) -> Result<Value> {
    sas(device, arguments).await?.context("SAS has not started")?.confirm().await?;
    Ok(json!({}))
}

pub async fn state(device: &Device, arguments: &Value) -> Result<Value> {
    if let Some(sas) = sas(device, arguments).await? {
        let state = match sas.state() {
            SasState::KeysExchanged { .. } => "emoji",
            SasState::Confirmed => "confirmed",
            SasState::Done { .. } => "done",
            SasState::Cancelled(info) => bail!("cancelled: {}", info.reason()),
            _ => "started",
        };
        let emoji: Vec<&str> = sas.emoji().iter().flatten().map(|emoji| emoji.symbol).collect();
        return Ok(json!({ "state": state, "emoji": emoji }));
    }
    let state = match flow(device, arguments).await?.state() {
        VerificationRequestState::Created { .. } | VerificationRequestState::Requested { .. } => "requested",
        VerificationRequestState::Ready { .. } => "ready",
        VerificationRequestState::Transitioned { .. } => "started",
        VerificationRequestState::Done => "done",
        VerificationRequestState::Cancelled(info) => bail!("cancelled: {}", info.reason()),
    };
    Ok(json!({ "state": state, "emoji": [] }))
}

async fn flow(device: &Device, arguments: &Value) -> Result<VerificationRequest> {
    let user = <&UserId>::try_from(text(arguments, "user")?)?;
    let flow = text(arguments, "flow")?;
    let found = device.client.encryption().get_verification_request(user, flow).await;
    let found =
        found.or_else(|| device.flows.lock().unwrap_or_else(PoisonError::into_inner).requests.get(flow).cloned());
    let found = found.context("no such verification")?;
    device.flows.lock().unwrap_or_else(PoisonError::into_inner).requests.insert(flow.to_owned(), found.clone());
    Ok(found)
}

async fn sas(device: &Device, arguments: &Value) -> Result<Option<SasVerification>> {
    let user = <&UserId>::try_from(text(arguments, "user")?)?;
    let flow = text(arguments, "flow")?;
    let found = device.client.encryption().get_verification(user, flow).await;
    let mut flows = device.flows.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Verification::SasV1(sas)) = found {
        flows.sas.insert(flow.to_owned(), sas);
    }
    Ok(flows.sas.get(flow).cloned())
}
