// Rooms and what is said in them.
//
// Invariant: whether a message is encrypted is the library's decision, never the driver's.

import { Attachment, EncryptedAttachment } from "@matrix-org/matrix-sdk-crypto-wasm";

export async function create(device, command) {
    const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
    const { room_id: room } = await device.client.createRoom({
        name: command.name,
        invite: command.invite ?? [],
        preset: command.public ? "public_chat" : "private_chat",
        visibility: command.public ? "public" : "private",
        initial_state: command.encrypted ? [encryption] : [],
    });
    await device.isIn(room);
    return { room };
}

export async function invite(device, { room, user }) {
    await device.client.invite(room, user);
}

export async function join(device, { room }) {
    await device.client.joinRoom(room);
    await device.isIn(room);
}

export async function leave(device, { room }) {
    await device.client.leave(room);
}

export async function members(device, command) {
    const room = device.room(command);
    await room.loadMembersIfNeeded();
    return { members: room.getJoinedMembers().map((member) => member.userId) };
}

export async function sendText(device, command) {
    return await send(device, command, "m.room.message", { msgtype: "m.text", body: command.body });
}

export async function edit(device, command) {
    return await send(device, command, "m.room.message", {
        "msgtype": "m.text",
        "body": `* ${command.body}`,
        "m.new_content": { msgtype: "m.text", body: command.body },
        "m.relates_to": { rel_type: "m.replace", event_id: command.event },
    });
}

export async function react(device, command) {
    const relation = { rel_type: "m.annotation", event_id: command.event, key: command.key };
    return await send(device, command, "m.reaction", { "m.relates_to": relation });
}

export async function redact(device, { room, event }) {
    return { event: (await device.client.redactEvent(room, event)).event_id };
}

export async function sendImage(device, command) {
    const bytes = fromBase64(command.data);
    const content = {
        msgtype: "m.image",
        body: command.name,
        info: { mimetype: "image/png", size: bytes.length },
    };
    if (await device.client.getCrypto().isEncryptionEnabledInRoom(command.room)) {
        const sealed = Attachment.encrypt(bytes);
        const url = await upload(device, sealed.encryptedData, "application/octet-stream");
        content.file = { ...JSON.parse(sealed.mediaEncryptionInfo), url };
    } else {
        content.url = await upload(device, bytes, "image/png");
    }
    return await send(device, command, "m.room.message", content);
}

/** The bytes of a seen image, as base64. */
export async function download(device, command) {
    const bytes = await fetchImage(device, command.event);
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return { data: btoa(text) };
}

/** Shows a seen image in the page; its size in pixels, as the browser decoded it. */
export async function showImage(device, command) {
    if (!globalThis.document) throw new Error("there is no page to show it in");
    const bytes = await fetchImage(device, command.event);
    const image = document.createElement("img");
    image.src = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    document.body.append(image);
    await image.decode();
    return { width: image.naturalWidth, height: image.naturalHeight };
}

export async function timeline(device, { room, limit }) {
    return { events: await device.seen.page(room, limit ?? 100) };
}

async function send(device, command, type, content) {
    device.room(command);
    return { event: (await device.client.sendEvent(command.room, type, content)).event_id };
}

async function upload(device, bytes, type) {
    const sent = await device.client.uploadContent(new Blob([bytes], { type }), { type, includeFilename: false });
    return sent.content_uri;
}

async function fetchImage(device, event) {
    const content = device.seen.image(event);
    if (!content) throw new Error("no such image was seen");
    const mxc = content.file?.url ?? content.url;
    const url = device.client.mxcUrlToHttp(mxc, undefined, undefined, undefined, false, true, true);
    const response = await fetch(url, { headers: { Authorization: `Bearer ${device.client.getAccessToken()}` } });
    if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (!content.file) return bytes;
    const { url: _, ...key } = content.file;
    return Attachment.decrypt(new EncryptedAttachment(bytes, JSON.stringify(key)));
}

function fromBase64(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
