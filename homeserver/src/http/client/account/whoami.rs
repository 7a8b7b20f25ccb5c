//! `GET /account/whoami`

use ruma::{OwnedDeviceId, OwnedUserId};
use serde::Serialize;

use crate::{
    http::{Json, Routes},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "account/whoami", whoami)
}

#[derive(Serialize)]
struct Me {
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
    is_guest: bool,
}

async fn whoami(requester: Requester) -> Json<Me> {
    let Requester { user_id, device_id, .. } = requester;
    Json(Me { user_id, device_id, is_guest: false })
}
