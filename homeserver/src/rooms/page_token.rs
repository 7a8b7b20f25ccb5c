//! Places in a room's history as clients name them.

use std::{fmt, str::FromStr};

use crate::storage::{Pos, event::Place};

/// A point between two events of a room.
///
/// Clients get it as `t` and the place; they may name a point by a token of `/sync` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageToken {
    /// Just before the event with this `ord`, or where it would be.
    Before(i64),
    /// After everything that sync showed up to this position.
    Synced(Pos),
}

/// The text is no token of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a token that this server gave out")]
pub struct NotAToken;

impl PageToken {
    /// The point before an event.
    pub fn before(place: &Place) -> Self {
        Self::Before(place.ord)
    }

    /// The point after an event.
    pub fn after(place: &Place) -> Self {
        Self::Before(place.ord + 1)
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(ord) => write!(f, "t{ord}"),
            Self::Synced(pos) => write!(f, "p{}", pos.0),
        }
    }
}

impl FromStr for PageToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let number = |text: &str| text.parse::<i64>().map_err(|_| NotAToken);
        match text.split_at_checked(1) {
            // Room is left for the point after it.
            Some(("t", ord)) => Ok(Self::Before(number(ord)?.clamp(i64::MIN + 2, i64::MAX - 2))),
            Some(("p", pos)) => Ok(Self::Synced(Pos(number(pos)?))),
            // `generation_pos_todevice_…`: a token of `/sync`.
            Some(("s", parts)) => Ok(Self::Synced(Pos(number(parts.split('_').nth(1).ok_or(NotAToken)?)?))),
            _ => Err(NotAToken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_and_anything_else_is_not() {
        for token in [PageToken::Before(-5), PageToken::Before(1 << 40), PageToken::Synced(Pos(7))] {
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        assert_eq!("s1_42_7_9_1".parse(), Ok(PageToken::Synced(Pos(42))));
        for text in ["", "t", "s", "s1", "tx", "x5", "é1", "s1_x_2", "t99999999999999999999"] {
            assert_eq!(text.parse::<PageToken>(), Err(NotAToken), "{text}");
        }
    }
}
