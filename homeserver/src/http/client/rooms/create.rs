//! `POST /createRoom`

use axum::extract::State;
use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{
    account::Account,
    http::{
        ApiError, Json, OptionalJson, Routes,
        limits::{Limited, Limits},
    },
    rooms::{InitialState, NewRoom, Preset, Rooms},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "createRoom", create)
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Visibility {
    Public,
    Private,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the protocol calls them so")]
enum PresetName {
    PrivateChat,
    TrustedPrivateChat,
    PublicChat,
}

#[derive(Deserialize)]
struct StateEvent {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    state_key: String,
    content: Box<RawValue>,
}

#[derive(Deserialize)]
struct Body {
    visibility: Option<Visibility>,
    room_alias_name: Option<String>,
    name: Option<String>,
    topic: Option<String>,
    #[serde(default)]
    invite: Vec<OwnedUserId>,
    #[serde(default)]
    invite_3pid: Vec<IgnoredAny>,
    room_version: Option<String>,
    creation_content: Option<Box<RawValue>>,
    #[serde(default)]
    initial_state: Vec<StateEvent>,
    preset: Option<PresetName>,
    #[serde(default)]
    is_direct: bool,
    power_level_content_override: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Created {
    room_id: OwnedRoomId,
}

async fn create(
    State(rooms): State<Rooms>,
    State(account): State<Account>,
    State(limits): State<Limits>,
    requester: Requester,
    OptionalJson(body): OptionalJson<Body>,
) -> Result<Json<Created>, ApiError> {
    if !body.invite_3pid.is_empty() {
        return Err(ApiError::invalid_param("This server has no identity server to invite third parties by."));
    }
    let initial_state = body
        .initial_state
        .into_iter()
        .map(|event| InitialState { kind: event.kind, state_key: event.state_key, content: event.content })
        .collect();
    let wish = NewRoom {
        version: body.room_version,
        public: matches!(body.visibility, Some(Visibility::Public)),
        preset: body.preset.map(|preset| match preset {
            PresetName::PrivateChat => Preset::PrivateChat,
            PresetName::TrustedPrivateChat => Preset::TrustedPrivateChat,
            PresetName::PublicChat => Preset::PublicChat,
        }),
        alias: body.room_alias_name,
        name: body.name,
        topic: body.topic,
        invite: body.invite,
        is_direct: body.is_direct,
        creation_content: body.creation_content,
        power_levels: body.power_level_content_override,
        initial_state,
    };
    limits.take_many(Limited::Invites, requester.user, wish.invitations())?;
    let room_id = rooms.create(&(&requester).into(), wish).await?;
    account.carry_over(&requester, &room_id).await;
    Ok(Json(Created { room_id }))
}
