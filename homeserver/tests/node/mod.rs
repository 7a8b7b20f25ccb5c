//! A node's rooms without HTTP, for tests of what they write.

use std::sync::Arc;

use roost::{
    bell::Bell,
    log::Log,
    rooms::{self, Caches, NewRoom, Preset, Rooms, WriteError},
    storage::{DeviceNr, Interner},
    users::Requester,
};
use roost_spec::{room_version::RoomVersion, signature::Signer};
use ruma::{OwnedRoomId, RoomOrAliasId, UserId};

use crate::common::Bench;

impl Bench {
    pub async fn node(&self, bell: Bell) -> Node {
        let caches = Caches::new();
        let (log, pool) = self.log(bell, caches.followers()).await;
        let rooms = Rooms::new(rooms::Options {
            pool: pool.clone(),
            interner: Interner::new(pool),
            log: log.clone(),
            signer: Signer::new("localhost", "ed25519:1", &[7; 32]),
            server_name: "localhost".try_into().expect("name"),
            default_version: RoomVersion::V12,
            caches,
        });
        Node { rooms, log }
    }
}

#[derive(Clone)]
pub struct Node {
    pub rooms: Rooms,
    pub log: Log,
}

impl Node {
    pub async fn user(&self, name: &str) -> Requester {
        let user_id = UserId::parse(format!("@{name}:localhost")).expect("user ID");
        let user = self.rooms.interner().number(user_id.as_str()).await.expect("number");
        Requester {
            user,
            user_id,
            device: DeviceNr(i64::from(user.0)),
            device_id: "D".into(),
            admin: false,
            suspended: false,
        }
    }

    pub async fn public_room(&self, creator: &Requester) -> OwnedRoomId {
        self.create(creator, NewRoom { preset: Some(Preset::PublicChat), ..NewRoom::default() }).await
    }

    pub async fn create(&self, creator: &Requester, wish: NewRoom) -> OwnedRoomId {
        self.rooms.create(&creator.into(), wish).await.expect("created")
    }

    pub async fn join(&self, user: &Requester, room: &OwnedRoomId) -> Result<(), WriteError> {
        let room = <&RoomOrAliasId>::from(&**room);
        self.rooms.join(&user.into(), room, &[], &serde_json::Map::new()).await.map(drop)
    }

    pub async fn say(&self, user: &Requester, room: &OwnedRoomId, txn: &str) -> Result<Arc<str>, WriteError> {
        self.rooms.send(user, room, "m.room.message", r#"{"body":"hello","msgtype":"m.text"}"#, txn).await
    }
}
