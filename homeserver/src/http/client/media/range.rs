//! `Range` and `If-None-Match` (RFC 9110): which part of a medium a client wants.

use axum::http::{HeaderMap, header};

/// The part of a medium that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// `first` to `last`, both included.
    Some {
        first: u64,
        last: u64,
    },
    /// What was asked for lies behind the end.
    Unsatisfiable,
    /// The client has it already.
    Unchanged,
}

/// What of `size` bytes, named by `etag`, the headers ask for.
pub(super) fn wanted(headers: &HeaderMap, size: u64, etag: &str) -> Part {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(known) = text(header::IF_NONE_MATCH) {
        let known = known.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
        if known.into_iter().any(|tag| tag == etag || tag == "*") {
            return Part::Unchanged;
        }
    }
    let Some(range) = text(header::RANGE) else { return Part::Whole };
    // Another version's range is of no use: the whole is sent. Dates are not kept.
    if text(header::IF_RANGE).is_some_and(|only_if| only_if != etag) {
        return Part::Whole;
    }
    parse(range, size)
}

/// What is no range of bytes, or several, may be passed over.
fn parse(range: &str, size: u64) -> Part {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Part::Whole;
    };
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => Some(Some(digits.parse().unwrap_or(u64::MAX))),
        _ => None,
    };
    let (first, last) = match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) => (first, last.unwrap_or(u64::MAX)),
        (Some(None), Some(Some(0))) => return Part::Unsatisfiable,
        (Some(None), Some(Some(count))) => (size.saturating_sub(count), u64::MAX),
        _ => return Part::Whole,
    };
    if last < first {
        return Part::Whole;
    }
    if first >= size {
        return Part::Unsatisfiable;
    }
    Part::Some { first, last: last.min(size - 1) }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn ranges_are_cut_to_what_there_is() {
        let some = |first, last| Part::Some { first, last };
        for (range, expected) in [
            ("bytes=0-3", some(0, 3)),
            ("bytes=5-", some(5, 9)),
            ("bytes=-4", some(6, 9)),
            ("bytes=-400", some(0, 9)),
            ("bytes=8-99999999999999999999999", some(8, 9)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=3-1", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("lines=0-1", Part::Whole),
        ] {
            assert_eq!(parse(range, 10), expected, "{range}");
        }
        assert_eq!(parse("bytes=0-", 0), Part::Unsatisfiable);
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-0"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"b\""));
        assert_eq!(wanted(&headers, 10, "\"a\""), Part::Whole);
        assert_eq!(wanted(&headers, 10, "\"b\""), Part::Some { first: 0, last: 0 });
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"x\", W/\"b\""));
        assert_eq!(wanted(&headers, 10, "\"b\""), Part::Unchanged);
    }
}
