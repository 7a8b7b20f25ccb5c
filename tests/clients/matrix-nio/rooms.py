"""The language's commands: rooms and what is said in them.

Invariant: whether a message is encrypted is the library's decision, never the driver's.
"""

import asyncio
import io
from pathlib import Path

from nio import EnableEncryptionBuilder, RoomPreset, RoomVisibility
from nio.crypto import decrypt_attachment

from device import good

# How long a sync may take to tell of a room, in seconds.
PATIENCE = 30


async def create(device, command):
    public = command.get("public", False)
    encryption = [EnableEncryptionBuilder().as_dict()] if command.get("encrypted") else []
    created = await device.client.room_create(
        name=command.get("name"),
        invite=command.get("invite", ()),
        visibility=RoomVisibility.public if public else RoomVisibility.private,
        preset=RoomPreset.public_chat if public else RoomPreset.private_chat,
        initial_state=encryption,
    )
    room = good(created).room_id
    await is_in(device, room)
    return {"room": room}


async def invite(device, command):
    good(await device.client.room_invite(command["room"], command["user"]))


async def join(device, command):
    good(await device.client.join(command["room"]))
    await is_in(device, command["room"])


async def leave(device, command):
    good(await device.client.room_leave(command["room"]))


async def members(device, command):
    room = device.client.rooms[command["room"]]
    return {"members": [user for user in room.users if user not in room.invited_users]}


async def send_text(device, command):
    return await send(device, command, {"msgtype": "m.text", "body": command["body"]})


async def edit(device, command):
    content = {
        "msgtype": "m.text",
        "body": f"* {command['body']}",
        "m.new_content": {"msgtype": "m.text", "body": command["body"]},
        "m.relates_to": {"rel_type": "m.replace", "event_id": command["event"]},
    }
    return await send(device, command, content)


async def react(device, command):
    relation = {"rel_type": "m.annotation", "event_id": command["event"], "key": command["key"]}
    return await send(device, command, {"m.relates_to": relation}, "m.reaction")


async def redact(device, command):
    return {"event": good(await device.client.room_redact(command["room"], command["event"])).event_id}


async def send_image(device, command):
    path = Path(command["path"])
    data = path.read_bytes()
    encrypted = device.client.rooms[command["room"]].encrypted
    sent, key = await device.client.upload(
        io.BytesIO(data), content_type="image/png", filename=path.name, encrypt=encrypted, filesize=len(data)
    )
    content = {"msgtype": "m.image", "body": path.name, "info": {"mimetype": "image/png", "size": len(data)}}
    if encrypted:
        content["file"] = {**key, "url": good(sent).content_uri}
    else:
        content["url"] = good(sent).content_uri
    return await send(device, command, content)


async def download(device, command):
    content = device.seen.images[command["event"]]
    file = content.get("file")
    data = good(await device.client.download(file["url"] if file else content["url"])).body
    if file:
        data = decrypt_attachment(data, file["key"]["k"], file["hashes"]["sha256"], file["iv"])
    Path(command["path"]).write_bytes(data)
    return {"bytes": len(data)}


async def timeline(device, command):
    limit, events, start = command.get("limit", 100), [], None
    while len(events) < limit:
        page = await device.seen.messages(command["room"], start)
        for event in page.chunk:
            if saw := device.seen.note(command["room"], event):
                events.append(saw)
        start = page.end
        if not start:
            break
    return {"events": events[:limit][::-1]}


async def devices(device, command):
    found = []
    for other in device.client.device_store.active_user_devices(command["user"]):
        found.append({"device": other.id, "verified": other.verified, "cross_signed": False})
    return {"devices": found}


async def send(device, command, content, kind="m.room.message"):
    sent = await device.client.room_send(command["room"], kind, content, ignore_unverified_devices=True)
    return {"event": good(sent).event_id}


async def is_in(device, room):
    """Waits until syncs have told of the room."""
    async with asyncio.timeout(PATIENCE):
        while room not in device.client.rooms:
            await asyncio.sleep(0.02)


async def sync_once(device, command):
    return await device.sync_once(command.get("timeout_ms", 0))


async def sync_start(device, _):
    await device.start_sync()


async def sync_stop(device, _):
    await device.stop_sync()


COMMANDS = {
    "sync_once": sync_once,
    "sync_start": sync_start,
    "sync_stop": sync_stop,
    "create_room": create,
    "invite": invite,
    "join": join,
    "leave": leave,
    "members": members,
    "send_text": send_text,
    "send_image": send_image,
    "download": download,
    "edit": edit,
    "react": react,
    "redact": redact,
    "timeline": timeline,
    "devices": devices,
}
