//! What requests for pages of events have in common: which way, from where, how many.

use std::str::FromStr;

use serde::Deserialize;

use crate::{
    http::ApiError,
    rooms::{NotAToken, messages::Direction},
};

/// The parameter `dir`.
#[derive(Clone, Copy, Deserialize)]
pub(super) enum Dir {
    #[serde(rename = "b")]
    Backwards,
    #[serde(rename = "f")]
    Forwards,
}

impl From<Dir> for Direction {
    fn from(dir: Dir) -> Self {
        match dir {
            Dir::Backwards => Self::Backwards,
            Dir::Forwards => Self::Forwards,
        }
    }
}

/// How many events one answer holds at most.
const MOST: u64 = 1000;

/// As many as were asked for, within bounds; 10 where nothing was said.
pub(super) fn most(limit: Option<u64>) -> usize {
    usize::try_from(limit.unwrap_or(10).min(MOST)).unwrap_or(0)
}

/// A token of `/sync` or of a page; nothing may stand for none.
pub(super) fn token<T: FromStr<Err = NotAToken>>(name: &str, text: Option<&str>) -> Result<Option<T>, ApiError> {
    let token = text.filter(|text| !text.is_empty()).map(str::parse).transpose();
    token.map_err(|error| ApiError::invalid_param(format!("The parameter `{name}` is not valid: {error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_within_bounds() {
        assert_eq!([None, Some(0), Some(50), Some(u64::MAX)].map(most), [10, 0, 50, 1000]);
    }
}
