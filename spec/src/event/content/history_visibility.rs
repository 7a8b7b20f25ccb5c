//! `m.room.history_visibility`

use crate::canonical_json::Object;

/// Who may read events of before they came, from least to most private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HistoryVisibility {
    /// Everyone, members or not.
    WorldReadable,
    /// Members, also what was sent before they joined. The default.
    Shared,
    /// Members, from their invite on.
    Invited,
    /// Members, from their join on.
    Joined,
}

impl HistoryVisibility {
    /// Reads a content; a missing, malformed or unknown value means the default.
    pub fn read(content: &Object) -> Self {
        content.get_str("history_visibility").and_then(Self::parse).unwrap_or(Self::Shared)
    }

    /// The visibility that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "world_readable" => Self::WorldReadable,
            "shared" => Self::Shared,
            "invited" => Self::Invited,
            "joined" => Self::Joined,
            _ => return None,
        })
    }

    /// As it stands in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorldReadable => "world_readable",
            Self::Shared => "shared",
            Self::Invited => "invited",
            Self::Joined => "joined",
        }
    }
}
