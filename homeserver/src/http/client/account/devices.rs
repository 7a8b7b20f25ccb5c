//! `/devices` and `/delete_devices`

use axum::extract::State;
use ruma::OwnedDeviceId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, OptionalJson, Path, Routes, Uia},
    users::{DeviceInfo, Ends, Requester, Users},
};

/// So many devices are deleted by one request at most: nobody has more.
const MOST: usize = 1000;

pub(super) fn routes() -> Routes {
    Routes::default()
        .v3("GET", "devices", list)
        .v3("GET", "devices/{deviceId}", get)
        .v3("PUT", "devices/{deviceId}", put)
        .v3("DELETE", "devices/{deviceId}", delete)
        .v3("POST", "delete_devices", delete_many)
}

#[derive(Serialize)]
struct Devices {
    devices: Vec<DeviceInfo>,
}

#[derive(Deserialize)]
struct Name {
    display_name: Option<String>,
}

#[derive(Deserialize)]
struct Proof {
    auth: Option<Value>,
}

#[derive(Deserialize)]
struct Many {
    auth: Option<Value>,
    devices: Vec<String>,
}

async fn list(State(users): State<Users>, requester: Requester) -> Result<Json<Devices>, ApiError> {
    Ok(Json(Devices { devices: users.devices(requester.user).await? }))
}

async fn get(
    State(users): State<Users>,
    requester: Requester,
    Path(device): Path<OwnedDeviceId>,
) -> Result<Json<DeviceInfo>, ApiError> {
    users.device(requester.user, &device).await?.map(Json).ok_or_else(unknown)
}

async fn put(
    State(users): State<Users>,
    requester: Requester,
    Path(device): Path<OwnedDeviceId>,
    Json(name): Json<Name>,
) -> Result<Json<Value>, ApiError> {
    users.rename_device(&requester, &device, name.display_name.as_deref()).await?.ok_or_else(unknown)?;
    Ok(Json(json!({})))
}

async fn delete(
    State(users): State<Users>,
    requester: Requester,
    uia: Uia,
    Path(device): Path<OwnedDeviceId>,
    OptionalJson(proof): OptionalJson<Proof>,
) -> Result<Json<Value>, ApiError> {
    uia.ending(Ends::Repeatable).require_password(&requester, proof.auth.as_ref()).await?;
    users.delete_devices(requester.user, &[device.to_string()]).await?;
    Ok(Json(json!({})))
}

async fn delete_many(
    State(users): State<Users>,
    requester: Requester,
    uia: Uia,
    Json(many): Json<Many>,
) -> Result<Json<Value>, ApiError> {
    if many.devices.len() > MOST {
        return Err(ApiError::invalid_param(format!("`devices` names {MOST} at most.")));
    }
    uia.about(many.devices.join("\n"))
        .ending(Ends::Repeatable)
        .require_password(&requester, many.auth.as_ref())
        .await?;
    users.delete_devices(requester.user, &many.devices).await?;
    Ok(Json(json!({})))
}

fn unknown() -> ApiError {
    ApiError::not_found("You have no such device.")
}
