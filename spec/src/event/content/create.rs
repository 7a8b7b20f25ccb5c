//! `m.room.create`

use super::{Field, text};
use crate::canonical_json::Object;

/// The content of a create event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// `creator`: the room's creator before room version 11.
    pub creator: Field<Box<str>>,
    /// `additional_creators`: since room version 12, others with the creator's power.
    pub additional_creators: Field<Vec<Box<str>>>,
    /// `room_version`; version 1 if absent.
    pub room_version: Field<Box<str>>,
    /// `m.federate`: whether other servers may take part; absent means they may.
    pub federate: Field<bool>,
    /// `type`: what kind of room this is, such as `m.space`.
    pub room_type: Field<Box<str>>,
}

impl Create {
    /// Reads a content.
    pub fn read(content: &Object) -> Self {
        Self {
            creator: Field::read(content, "creator", text),
            additional_creators: Field::read(content, "additional_creators", |value| {
                value.as_array()?.iter().map(text).collect()
            }),
            room_version: Field::read(content, "room_version", text),
            federate: Field::read(content, "m.federate", |value| value.as_bool()),
            room_type: Field::read(content, "type", text),
        }
    }
}
