//! `GET /capabilities`

use axum::extract::State;
use serde_json::{Map, Value, json};

use crate::{
    http::{Json, Routes, Site},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "capabilities", capabilities)
}

async fn capabilities(State(site): State<Site>, requester: Requester) -> Json<Value> {
    let versions: Map<String, Value> = (1..=12).map(|version| (version.to_string(), "stable".into())).collect();
    let mut capabilities = json!({
        "m.change_password": { "enabled": true },
        "m.room_versions": { "default": site.default_room_version(), "available": versions },
        "m.set_displayname": { "enabled": true },
        "m.set_avatar_url": { "enabled": true },
        "m.3pid_changes": { "enabled": false },
        "m.get_login_token": { "enabled": true },
        "m.profile_fields": { "enabled": true },
        "uk.tcpip.msc4133.profile_fields": { "enabled": true },
        "m.forget_forced_upon_leave": { "enabled": false },
    });
    if requester.admin {
        capabilities["m.account_moderation"] = json!({ "lock": true, "suspend": true });
    }
    Json(json!({ "capabilities": capabilities }))
}
