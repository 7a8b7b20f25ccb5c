//! Cross-signing, secret storage and key backup.
//!
//! **Invariant:** nothing is set up unasked: the test decides when.

use anyhow::Result;
use matrix_sdk::{
    encryption::VerificationState,
    ruma::{
        UserId,
        api::client::uiaa::{AuthData, MatrixUserIdentifier, Password, UserIdentifier},
    },
};
use serde_json::{Value, json};

use crate::{device::Device, wire::text};

pub async fn bootstrap(device: &Device, arguments: &Value) -> Result<Value> {
    let encryption = device.client.encryption();
    let Err(error) = encryption.bootstrap_cross_signing(None).await else { return Ok(json!({ "asked": false })) };
    let Some(asked) = error.as_uiaa_response() else { return Err(error.into()) };
    let user = device.client.user_id().map(ToString::to_string).unwrap_or_default();
    let user = UserIdentifier::Matrix(MatrixUserIdentifier::new(user));
    let mut password = Password::new(user, text(arguments, "password")?.to_owned());
    password.session = asked.session.clone();
    encryption.bootstrap_cross_signing(Some(AuthData::Password(password))).await?;
    Ok(json!({ "asked": true }))
}

pub async fn backup_enable(device: &Device) -> Result<Value> {
    let recovery = device.client.encryption().recovery();
    let key = recovery.enable().wait_for_backups_to_upload().await?;
    Ok(json!({ "key": key }))
}

pub async fn recover(device: &Device, arguments: &Value) -> Result<Value> {
    device.client.encryption().recovery().recover(text(arguments, "key")?).await?;
    Ok(json!({}))
}

pub async fn status(device: &Device) -> Result<Value> {
    let encryption = device.client.encryption();
    let verified = matches!(encryption.verification_state().get(), VerificationState::Verified);
    Ok(json!({
        "cross_signing": encryption.cross_signing_status().await.is_some_and(|status| status.is_complete()),
        "verified": verified,
        "backup": encryption.backups().are_enabled().await,
    }))
}

pub async fn devices(device: &Device, arguments: &Value) -> Result<Value> {
    let user = <&UserId>::try_from(text(arguments, "user")?)?;
    let devices = device.client.encryption().get_user_devices(user).await?;
    let devices: Vec<Value> = devices
        .devices()
        .map(|it| {
            json!({
                "device": it.device_id(),
                "verified": it.is_verified(),
                "cross_signed": it.is_cross_signed_by_owner(),
            })
        })
        .collect();
    Ok(json!({ "devices": devices }))
}

pub async fn trust(device: &Device, arguments: &Value) -> Result<Value> {
    let user = <&UserId>::try_from(text(arguments, "user")?)?;
    let identity = device.client.encryption().request_user_identity(user).await?;
    Ok(json!({ "known": identity.is_some(), "verified": identity.is_some_and(|it| it.is_verified()) }))
}
