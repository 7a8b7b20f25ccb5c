//! `next_batch` and `since`: how far a device has read.
//!
//! `s{generation}_{pos}_{to-device}_{ephemeral}_{node}`: where the log stands, up to where to-device messages were
//! delivered, and the node's own stamp of what does not last, with the node that gave it. Where there are several nodes,
//! `_{number}_{process}` follows for each: up to which of its publications all was told.
//!
//! Clients keep tokens for years and give them to any node, so the form is read strictly and never changes its meaning.

use std::fmt;

use crate::{presence::Positions, storage::Pos};

/// A point in time, as a device has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Token {
    /// The log's generation when it was given: a failover or a restore starts a new one.
    pub generation: i64,
    /// All of the log up to here was delivered, apart from to-device messages.
    pub pos: Pos,
    /// To-device messages up to here were delivered.
    pub to_device: Pos,
    /// Typing up to this stamp of `node` was delivered.
    pub ephemeral: u64,
    /// Names the process whose stamp it is.
    pub node: i64,
    /// The same for whichever node is asked next.
    pub positions: Positions,
}

/// A text that no server of ours has given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a token of a sync")]
pub struct Malformed;

impl Token {
    /// Reads what [`fmt::Display`] wrote.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut parts = text.strip_prefix('s').ok_or(Malformed)?.split('_');
        let mut next = || parts.next().ok_or(Malformed);
        let mut token = Self {
            generation: number(next()?)?,
            pos: Pos(number(next()?)?),
            to_device: Pos(number(next()?)?),
            ephemeral: number(next()?)?.cast_unsigned(),
            node: number(next()?)?,
            positions: Positions::default(),
        };
        let mut positions = Vec::new();
        while let Some(nr) = parts.next() {
            let process = number(parts.next().ok_or(Malformed)?)?;
            positions.push((process, number(nr)?.cast_unsigned()));
        }
        if positions.len() > Positions::MOST {
            return Err(Malformed);
        }
        token.positions = positions.into_iter().collect();
        Ok(token)
    }
}

/// Digits alone: what `i64::from_str` takes besides (signs) was never written.
fn number(text: &str) -> Result<i64, Malformed> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Malformed);
    }
    text.parse().map_err(|_| Malformed)
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, pos, to_device, ephemeral, node, positions } = self;
        write!(f, "s{generation}_{}_{}_{ephemeral}_{node}", pos.0, to_device.0)?;
        positions.iter().try_for_each(|(process, nr)| write!(f, "_{nr}_{process}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let positions = Positions::default();
        let mut token =
            Token { generation: 3, pos: Pos(1 << 60), to_device: Pos(7), ephemeral: 12, node: 1024, positions };
        assert_eq!(token.to_string(), format!("s3_{}_7_12_1024", 1_u64 << 60));
        assert_eq!(Token::parse(&token.to_string()), Ok(token.clone()));
        token.positions = [(2048, 8), (1024, 9)].into_iter().collect();
        assert_eq!(token.to_string(), format!("s3_{}_7_12_1024_9_1024_8_2048", 1_u64 << 60));
        assert_eq!(Token::parse(&token.to_string()), Ok(token));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "s",
            "s1_2_3_4",
            "s1_2_3_4_5_6",
            "1_2_3_4_5",
            "s1_2_3_4_+5",
            "s1_-2_3_4_5",
            "s1_2_3_4_",
            "s1_2_3_4_99999999999999999999",
            "s72594_4483_1934",
            "t12",
            "s1_2_3_4_5\0",
            "s1_2_3_4_5_6_-7",
            &format!("s1_2_3_4_5{}", "_6_7".repeat(Positions::MOST + 1)),
        ] {
            assert_eq!(Token::parse(text), Err(Malformed), "{text}");
        }
    }
}
