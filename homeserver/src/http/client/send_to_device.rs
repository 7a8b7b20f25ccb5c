//! `PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}`

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, Path, RawObject, Routes},
    keys::{Keys, Messages, SendToDeviceError},
    storage::commit::TxnKey,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("PUT", "sendToDevice/{event_type}/{txn_id}", send)
}

#[derive(Deserialize)]
struct Body {
    messages: Messages,
}

async fn send(
    State(keys): State<Keys>,
    requester: Requester,
    Path((kind, txn_id)): Path<(String, String)>,
    body: RawObject,
) -> Result<Json<Value>, ApiError> {
    let Body { messages } = body.read()?;
    if messages.values().flat_map(|m| m.values()).any(|content| !content.get().starts_with('{')) {
        return Err(ApiError::bad_json("The content of a to-device message must be an object."));
    }
    let txn = TxnKey::new(requester.device, &["sendToDevice", &kind, &txn_id]);
    keys.send_to_device(&requester, &kind, txn, &messages).await?;
    Ok(Json(json!({})))
}

impl From<SendToDeviceError> for ApiError {
    fn from(error: SendToDeviceError) -> Self {
        match error {
            SendToDeviceError::TooLarge(_) => Self::too_large(error.to_string()),
            SendToDeviceError::Storage(error) => error.into(),
            SendToDeviceError::Log(error) => error.into(),
        }
    }
}
