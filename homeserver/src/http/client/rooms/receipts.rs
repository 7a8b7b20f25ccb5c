//! `POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}` and `…/read_markers`

use axum::extract::State;
use ruma::{OwnedEventId, OwnedRoomId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, OptionalJson, Path, Routes},
    presence::Presence,
    rooms::{
        Rooms,
        receipts::{FULLY_READ, Receipt, ReceiptError, Thread},
    },
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "rooms/{roomId}/receipt/{receiptType}/{eventId}", receipt).v3(
        "POST",
        "rooms/{roomId}/read_markers",
        read_markers,
    )
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "given")]
    thread_id: Option<Value>,
}

/// `null` is a value too, and not a valid one.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

async fn receipt(
    State(rooms): State<Rooms>,
    State(presence): State<Presence>,
    requester: Requester,
    Path((room_id, kind, event_id)): Path<(OwnedRoomId, String, OwnedEventId)>,
    OptionalJson(body): OptionalJson<Body>,
) -> Result<Json<Value>, ApiError> {
    let private = match kind.as_str() {
        "m.read" => false,
        "m.read.private" => true,
        FULLY_READ if body.thread_id.is_some() => {
            return Err(ApiError::invalid_param("A fully-read marker has no `thread_id`."));
        }
        FULLY_READ => {
            rooms.mark_read(requester.user, &room_id, &[], Some(&event_id)).await?;
            return Ok(Json(json!({})));
        }
        _ => {
            return Err(ApiError::invalid_param(
                "The receipt type must be `m.read`, `m.read.private` or `m.fully_read`.",
            ));
        }
    };
    let receipt = Receipt { private, thread: thread(body.thread_id.as_ref())?, event_id };
    rooms.mark_read(requester.user, &room_id, &[receipt], None).await?;
    presence.active(&requester);
    Ok(Json(json!({})))
}

fn thread(id: Option<&Value>) -> Result<Thread, ApiError> {
    match id {
        None => Ok(Thread::Unthreaded),
        Some(Value::String(id)) if id == "main" => Ok(Thread::Main),
        Some(Value::String(id)) => OwnedEventId::try_from(id.as_str())
            .map(Thread::Root)
            .map_err(|_| ApiError::invalid_param("`thread_id` must be `main` or the ID of the thread's root.")),
        Some(_) => Err(ApiError::invalid_param("`thread_id` must be a non-empty string.")),
    }
}

#[derive(Deserialize)]
struct Markers {
    #[serde(rename = "m.fully_read")]
    fully_read: Option<OwnedEventId>,
    #[serde(rename = "m.read")]
    read: Option<OwnedEventId>,
    #[serde(rename = "m.read.private")]
    read_private: Option<OwnedEventId>,
}

async fn read_markers(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room_id): Path<OwnedRoomId>,
    Json(markers): Json<Markers>,
) -> Result<Json<Value>, ApiError> {
    let receipt = |private| move |event_id| Receipt { private, thread: Thread::Unthreaded, event_id };
    let receipts: Vec<Receipt> =
        markers.read.map(receipt(false)).into_iter().chain(markers.read_private.map(receipt(true))).collect();
    rooms.mark_read(requester.user, &room_id, &receipts, markers.fully_read.as_deref()).await?;
    Ok(Json(json!({})))
}

impl From<ReceiptError> for ApiError {
    fn from(error: ReceiptError) -> Self {
        match error {
            ReceiptError::NotJoined => Self::forbidden("You are not in this room."),
            ReceiptError::UnknownEvent(id) => Self::not_found(format!("The room has no event {id}.")),
            ReceiptError::NotInThread(id) => {
                Self::invalid_param(format!("The event {id} is not related to the thread that `thread_id` names."))
            }
            ReceiptError::Storage(error) => error.into(),
            ReceiptError::Log(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_main_or_an_event() {
        assert_eq!(thread(None).unwrap(), Thread::Unthreaded);
        assert_eq!(thread(Some(&json!("main"))).unwrap(), Thread::Main);
        assert!(matches!(thread(Some(&json!("$root"))), Ok(Thread::Root(_))));
        for wrong in [json!(""), json!("root"), json!(null), json!(5), json!({})] {
            assert!(thread(Some(&wrong)).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Body>(r#"{"thread_id":null}"#).unwrap().thread_id.is_some());
    }
}
