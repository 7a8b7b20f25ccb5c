//! Rooms and what is said in them.
//!
//! **Invariant:** whether a message is encrypted is the library's decision, never the driver's.

use std::fs;

use anyhow::{Context as _, Result};
use matrix_sdk::{
    Room, RoomMemberships,
    attachment::{AttachmentConfig, AttachmentInfo, BaseImageInfo},
    media::{MediaFormat, MediaRequestParameters},
    room::MessagesOptions,
    ruma::{
        EventId, OwnedUserId, RoomId, UserId,
        api::client::room::{Visibility, create_room},
        events::{
            AnyInitialStateEvent, InitialStateEvent,
            room::{encryption::RoomEncryptionEventContent, message::ImageMessageEventContent},
        },
        serde::Raw,
        uint,
    },
};
use serde_json::{Value, json};

use crate::{device::Device, seen, wire::text};

pub async fn create(device: &Device, arguments: &Value) -> Result<Value> {
    let mut request = create_room::v3::Request::new();
    request.name = arguments["name"].as_str().map(str::to_owned);
    for user in arguments["invite"].as_array().into_iter().flatten() {
        request.invite.push(OwnedUserId::try_from(user.as_str().context("user ids are text")?)?);
    }
    request.preset = Some(create_room::v3::RoomPreset::PrivateChat);
    if arguments["public"] == true {
        request.preset = Some(create_room::v3::RoomPreset::PublicChat);
        request.visibility = Visibility::Public;
    }
    if arguments["encrypted"] == true {
        let encryption = RoomEncryptionEventContent::with_recommended_defaults();
        let event: Raw<AnyInitialStateEvent> = InitialStateEvent::with_empty_state_key(encryption).to_raw_any();
        request.initial_state.push(event);
    }
    let room = device.client.create_room(request).await?;
    Ok(json!({ "room": room.room_id() }))
}

pub async fn invite(device: &Device, arguments: &Value) -> Result<Value> {
    room(device, arguments)?.invite_user_by_id(<&UserId>::try_from(text(arguments, "user")?)?).await?;
    Ok(json!({}))
}

pub async fn join(device: &Device, arguments: &Value) -> Result<Value> {
    let id = <&RoomId>::try_from(text(arguments, "room")?)?;
    device.client.join_room_by_id(id).await?;
    Ok(json!({}))
}

pub async fn leave(device: &Device, arguments: &Value) -> Result<Value> {
    room(device, arguments)?.leave().await?;
    Ok(json!({}))
}

pub async fn members(device: &Device, arguments: &Value) -> Result<Value> {
    let members = room(device, arguments)?.members_no_sync(RoomMemberships::JOIN).await?;
    Ok(json!({ "members": members.iter().map(|member| member.user_id()).collect::<Vec<_>>() }))
}

pub async fn send_text(device: &Device, arguments: &Value) -> Result<Value> {
    let content = json!({ "msgtype": "m.text", "body": text(arguments, "body")? });
    send(device, arguments, "m.room.message", content).await
}

pub async fn edit(device: &Device, arguments: &Value) -> Result<Value> {
    let body = text(arguments, "body")?;
    let content = json!({
        "msgtype": "m.text",
        "body": format!("* {body}"),
        "m.new_content": { "msgtype": "m.text", "body": body },
        "m.relates_to": { "rel_type": "m.replace", "event_id": text(arguments, "event")? },
    });
    send(device, arguments, "m.room.message", content).await
}

pub async fn react(device: &Device, arguments: &Value) -> Result<Value> {
    let content = json!({
        "m.relates_to": {
            "rel_type": "m.annotation",
            "event_id": text(arguments, "event")?,
            "key": text(arguments, "key")?,
        },
    });
    send(device, arguments, "m.reaction", content).await
}

pub async fn redact(device: &Device, arguments: &Value) -> Result<Value> {
    let event = <&EventId>::try_from(text(arguments, "event")?)?;
    let response = room(device, arguments)?.redact(event, None, None).await?;
    Ok(json!({ "event": response.event_id }))
}

pub async fn send_image(device: &Device, arguments: &Value) -> Result<Value> {
    let path = std::path::Path::new(text(arguments, "path")?);
    let bytes = fs::read(path)?;
    let name = path.file_name().and_then(|name| name.to_str()).context("the file has no name")?;
    let info = BaseImageInfo { size: bytes.len().try_into().ok(), ..BaseImageInfo::default() };
    let config = AttachmentConfig::new().info(AttachmentInfo::Image(info));
    let sent = room(device, arguments)?.send_attachment(name, &mime::IMAGE_PNG, bytes, config).await?;
    Ok(json!({ "event": sent.event_id }))
}

pub async fn download(device: &Device, arguments: &Value) -> Result<Value> {
    let content = device.seen.image(text(arguments, "event")?).context("no such image was seen")?;
    let image: ImageMessageEventContent = serde_json::from_value(content)?;
    let request = MediaRequestParameters { source: image.source, format: MediaFormat::File };
    // Past the library's own cache: the server is under test.
    let bytes = device.client.media().get_media_content(&request, false).await?;
    fs::write(text(arguments, "path")?, &bytes)?;
    Ok(json!({ "bytes": bytes.len() }))
}

pub async fn timeline(device: &Device, arguments: &Value) -> Result<Value> {
    let room = room(device, arguments)?;
    let limit = usize::try_from(arguments["limit"].as_u64().unwrap_or(100))?;
    let (mut events, mut from) = (Vec::new(), None::<String>);
    loop {
        let mut options = MessagesOptions::backward().from(from.as_deref());
        options.limit = uint!(100);
        let page = room.messages(options).await?;
        for event in &page.chunk {
            device.seen.note(&room, event)?;
            events.extend(seen::describe(&room, event)?.map(|(saw, _)| saw));
        }
        from = page.end;
        if from.is_none() || events.len() >= limit {
            break;
        }
    }
    events.truncate(limit);
    events.reverse();
    Ok(json!({ "events": events }))
}

async fn send(device: &Device, arguments: &Value, kind: &str, content: Value) -> Result<Value> {
    let sent = room(device, arguments)?.send_raw(kind, content).await?;
    Ok(json!({ "event": sent.response.event_id }))
}

fn room(device: &Device, arguments: &Value) -> Result<Room> {
    let id = <&RoomId>::try_from(text(arguments, "room")?)?;
    device.client.get_room(id).with_context(|| format!("this device does not know the room {id}"))
}
