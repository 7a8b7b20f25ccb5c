//! `GET /_matrix/client/v1/media/config`

use axum::extract::State;
use serde_json::{Value, json};

use crate::{http::Json, media::Media, users::Requester};

pub(super) async fn config(State(media): State<Media>, _requester: Requester) -> Json<Value> {
    Json(json!({"m.upload.size": media.max_upload_size()}))
}
