//! Spaces: the rooms below a room, as far as a user may know of them.
//!
//! Source: client-server API, "Spaces". The tree is walked depth first, a space's children in the order that it gives
//! them.
//!
//! **Invariant:** a page's token names the rooms that were shown, so that whatever changes between two pages, no room comes
//! twice, and none is left out that is still there.

use std::{collections::BTreeSet, fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::RoomId;

use super::{NotAToken, Rooms, access::ReadError, tree::Branch};
use crate::storage::{self, RoomNr, UserNr};

/// Which part of a space is wanted.
#[derive(Debug, Clone)]
pub struct HierarchyAsk {
    pub limit: usize,
    pub max_depth: Option<u64>,
    pub suggested_only: bool,
    pub from: Option<HierarchyToken>,
}

/// What was asked for on the first page, and which rooms were shown since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HierarchyToken {
    max_depth: Option<u64>,
    suggested_only: bool,
    shown: BTreeSet<RoomNr>,
}

impl fmt::Display for HierarchyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let depth = self.max_depth.map_or(String::new(), |depth| depth.to_string());
        // In order, each as its distance from the one before, seven bits a byte: a thousand rooms take a few KiB.
        let (mut bytes, mut before) = (Vec::new(), 0);
        for room in &self.shown {
            let mut distance = room.0.abs_diff(before);
            before = room.0;
            while distance >= 0x80 {
                bytes.push(0x80 | u8::try_from(distance & 0x7f).unwrap_or(0));
                distance >>= 7;
            }
            bytes.push(u8::try_from(distance).unwrap_or(0));
        }
        write!(f, "h{depth}_{}_{}", u8::from(self.suggested_only), URL_SAFE_NO_PAD.encode(&bytes))
    }
}

impl FromStr for HierarchyToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let mut parts = text.strip_prefix('h').ok_or(NotAToken)?.splitn(3, '_');
        let mut next = || parts.next().ok_or(NotAToken);
        let max_depth = match next()? {
            "" => None,
            depth => Some(depth.parse().map_err(|_| NotAToken)?),
        };
        let suggested_only = match next()? {
            "0" => false,
            "1" => true,
            _ => return Err(NotAToken),
        };
        let bytes = URL_SAFE_NO_PAD.decode(next()?).map_err(|_| NotAToken)?;
        Ok(Self { max_depth, suggested_only, shown: shown(&bytes).ok_or(NotAToken)? })
    }
}

fn shown(bytes: &[u8]) -> Option<BTreeSet<RoomNr>> {
    let (mut shown, mut room, mut distance, mut shift) = (BTreeSet::new(), 0_i64, 0_i64, 0_u32);
    for byte in bytes {
        if shift > 56 {
            return None;
        }
        distance |= i64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            room = room.checked_add(distance)?;
            shown.insert(RoomNr(room));
            (distance, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(shown)
}

/// A part of a tree.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    pub rooms: Vec<Branch>,
    pub next: Option<HierarchyToken>,
}

/// Why a hierarchy is not shown.
#[derive(Debug, thiserror::Error)]
pub enum HierarchyError {
    #[error("`suggested_only` and `max_depth` can't change from one page to the next")]
    Changed,
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<storage::Error> for HierarchyError {
    fn from(error: storage::Error) -> Self {
        Self::Read(error.into())
    }
}

impl Rooms {
    /// A part of the tree below `root`.
    ///
    /// # Errors
    /// [`ReadError::Forbidden`] where the user may not know of the root.
    pub async fn hierarchy(&self, user: UserNr, root: &RoomId, ask: HierarchyAsk) -> Result<Hierarchy, HierarchyError> {
        let HierarchyAsk { limit, max_depth, suggested_only, from } = ask;
        let mut token = match from {
            // Who says nothing on a later page means what they said on the first.
            Some(from) if max_depth.is_none() && !suggested_only => from,
            Some(from) if (from.max_depth, from.suggested_only) == (max_depth, suggested_only) => from,
            Some(_) => return Err(HierarchyError::Changed),
            None => HierarchyToken { max_depth, suggested_only, shown: BTreeSet::new() },
        };
        let mut tree = self.tree(user, root, token.max_depth, token.suggested_only).await?;
        let mut rooms: Vec<Branch> = Vec::new();
        for id in tree.walk() {
            let Some(branch) = tree.take(&id).filter(|branch| !token.shown.contains(&branch.nr)) else { continue };
            if rooms.len() == limit {
                token.shown.extend(rooms.iter().map(|branch| branch.nr));
                return Ok(Hierarchy { rooms, next: Some(token) });
            }
            rooms.push(branch);
        }
        Ok(Hierarchy { rooms, next: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_and_anything_else_is_not() {
        for token in [
            HierarchyToken::default(),
            HierarchyToken {
                max_depth: Some(2),
                suggested_only: true,
                shown: [0, 1, 127, 128, 300, 1 << 40, i64::MAX].map(RoomNr).into(),
            },
        ] {
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        for text in ["", "h", "h1", "h1_", "h1__2", "x_0_", "h-1_0_", "hx_1_", "h_0_gA", "h_0_!", "h_0_gICAgICAgICAAQ"]
        {
            assert_eq!(text.parse::<HierarchyToken>(), Err(NotAToken), "{text}");
        }
    }

    #[test]
    fn the_token_of_the_largest_tree_fits_into_a_request() {
        // Where rooms are few among many events, their numbers lie far apart.
        let shown = (0..1000).map(|n| RoomNr(n * 50_000_000)).collect();
        let token = HierarchyToken { shown, ..HierarchyToken::default() };
        assert!(token.to_string().len() < 6000, "{}", token.to_string().len());
    }
}
