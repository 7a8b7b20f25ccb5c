//! Globs: the protocol's patterns with wildcards, matched without backtracking.
//!
//! | where | `*` | `?` | case |
//! |---|---|---|---|
//! | conditions of push rules ([`Glob`]) | any run of characters | one character | ignored, by lower-casing both |
//! | `types` and `not_types` of filters ([`matches_stars`]) | any run | itself | counts |
//! | users and servers in lists of invitations, servers in `m.room.server_acl` ([`matches_name`]) | any run | one character | ignored, ASCII's |
//!
//! A pattern is cut at its stars. The first piece is matched as early, every further piece as early as possible after
//! it; what that misses, no other choice would find. So pieces without `?` cost time in proportion to the value, however many
//! stars there are, and those with one at most pattern times value.
//!
//! **Invariant:** there is no other matcher of globs in this workspace, and no pattern makes this one go back.

/// A compiled glob of a push rule: `*` is any number of characters, `?` exactly one. Pattern and values are lower-cased by
/// the caller; nothing here folds case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// The pieces between the stars, each with whether it contains `?`; one piece if there is no star.
    pieces: Box<[(Box<str>, bool)]>,
}

/// What stands between two stars.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    /// Whether `text` contains `?` that stand for a character.
    wild: bool,
}

/// Whether an event type is one of those that a filter's pattern means: `*` is any number of characters, and everything else
/// is itself.
///
/// Source: client-server API, "Filtering".
pub fn matches_stars(pattern: &str, value: &str) -> bool {
    whole(pattern.split('*').map(|text| Piece { text, wild: false }), value)
}

/// Whether the name of a user or server is one of those that a list's pattern means: `*` is any number of characters, `?` is one.
/// The case of ASCII letters does not count.
///
/// Source: client-server API, `m.room.server_acl`, and the lists of `m.invite_permission_config` that follow it.
pub fn matches_name(pattern: &str, value: &str) -> bool {
    Glob::new(&pattern.to_ascii_lowercase()).matches(&value.to_ascii_lowercase())
}

impl Glob {
    /// Compiles a lower-cased pattern.
    pub fn new(pattern: &str) -> Self {
        Self { pieces: pattern.split('*').map(|text| (text.into(), text.contains('?'))).collect() }
    }

    /// A glob without wildcards, whatever `text` contains.
    pub fn literal(text: &str) -> Self {
        Self { pieces: [(text.into(), false)].into() }
    }

    /// Whether the pattern matches the whole of `value`.
    pub fn matches(&self, value: &str) -> bool {
        whole(self.pieces(), value)
    }

    /// Whether the pattern matches a part of `value` that starts and ends at word boundaries.
    ///
    /// A boundary is an end of the value or a place beside a character outside `[A-Za-z0-9_]`. The empty pattern
    /// matches only the empty value: a part of no length is in every value, and no rule means that.
    pub fn matches_words(&self, value: &str) -> bool {
        let mut pieces = self.pieces();
        let Some(first) = pieces.next() else { return false };
        let Some(last) = pieces.next_back() else {
            if first.text.is_empty() {
                return value.is_empty();
            }
            return first
                .occurrences(value, 0)
                .any(|(start, end)| is_boundary(value, start) && is_boundary(value, end));
        };
        let Some((_, end)) = first.occurrences(value, 0).find(|(start, _)| is_boundary(value, *start)) else {
            return false;
        };
        let Some(end) = follow(pieces, value, end) else { return false };
        // An empty last piece runs to the end of the value, which is a boundary.
        last.text.is_empty() || last.occurrences(value, end).any(|(_, end)| is_boundary(value, end))
    }

    fn pieces(&self) -> impl DoubleEndedIterator<Item = Piece<'_>> {
        self.pieces.iter().map(|(text, wild)| Piece { text, wild: *wild })
    }
}

/// Whether the pieces, with anything between them, make up the whole of `value`.
fn whole<'a>(mut pieces: impl DoubleEndedIterator<Item = Piece<'a>>, value: &str) -> bool {
    let Some(first) = pieces.next() else { return false };
    let Some(end) = first.match_at(value, 0) else { return false };
    let Some(last) = pieces.next_back() else { return end == value.len() };
    follow(pieces, value, end).is_some_and(|end| last.match_suffix(value, end))
}

/// Matches each piece as early as possible, from `from` on; the end of the last one.
fn follow<'a>(mut pieces: impl Iterator<Item = Piece<'a>>, value: &str, from: usize) -> Option<usize> {
    pieces.try_fold(from, |from, piece| piece.occurrences(value, from).next().map(|(_, end)| end))
}

fn is_boundary(value: &str, index: usize) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = value.as_bytes();
    // Bytes of longer characters are never word characters, so bytes are enough.
    index == 0 || index == bytes.len() || !word(bytes[index - 1]) || !word(bytes[index])
}

impl Piece<'_> {
    /// The end of a match that starts at `start`.
    fn match_at(self, value: &str, start: usize) -> Option<usize> {
        let value = value.get(start..)?;
        if !self.wild {
            return value.starts_with(self.text).then(|| start + self.text.len());
        }
        let mut rest = value.chars();
        for wanted in self.text.chars() {
            let found = rest.next()?;
            if wanted != '?' && wanted != found {
                return None;
            }
        }
        Some(start + value.len() - rest.as_str().len())
    }

    /// Whether the piece matches the end of `value` without reaching before `from`.
    fn match_suffix(self, value: &str, from: usize) -> bool {
        let Some(value) = value.get(from..) else { return false };
        if !self.wild {
            return value.ends_with(self.text);
        }
        let mut rest = value.chars().rev();
        self.text.chars().rev().all(|wanted| rest.next().is_some_and(|found| wanted == '?' || wanted == found))
    }

    /// All matches that start at `from` or later, by their start and end.
    fn occurrences(self, value: &str, from: usize) -> impl Iterator<Item = (usize, usize)> {
        let mut next = Some(from);
        std::iter::from_fn(move || {
            let from = next?;
            let (start, end) = if self.wild {
                let starts = value.get(from..)?.char_indices().map(|(offset, _)| from + offset);
                starts.filter_map(|start| Some((start, self.match_at(value, start)?))).next()?
            } else {
                let start = from + value.get(from..)?.find(self.text)?;
                (start, start + self.text.len())
            };
            next = value.get(start..)?.chars().next().map(|character| start + character.len_utf8());
            Some((start, end))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values() {
        for (pattern, value) in [
            ("lunc?*", "lunch plans"),
            ("lunc?*", "lunch"),
            ("", ""),
            ("*", ""),
            ("*", "anything\nat all"),
            ("**", "x"),
            ("a*b*c", "a-b-b-c"),
            ("*aab", "aaab"),
            ("?", "ü"),
            ("a*a", "aa"),
            ("*?x", "yx"),
        ] {
            assert!(Glob::new(pattern).matches(value), "{pattern} {value}");
        }
        for (pattern, value) in
            [("lunc?*", " lunch"), ("lunc?*", "lunc"), ("", "x"), ("a*a", "a"), ("ab", "abc"), ("?", ""), ("*??", "ü")]
        {
            assert!(!Glob::new(pattern).matches(value), "{pattern} {value}");
        }
    }

    #[test]
    fn words() {
        for (pattern, value) in [
            ("ex*ple", "an example event."),
            ("ex*ple", "exple"),
            ("ex*ple", "an exciting triple-whammy"),
            ("cake", "the cake!"),
            ("cake", "cakes or cake"),
            ("foo bar", "a foo bar b"),
            ("!x", "a!x"),
            ("tea*", "teatime"),
            ("*time", "it is teatime"),
            ("t?a", "a tëa b"),
            ("aa", "aaa aa"),
            ("über", "xüber"),
            ("", ""),
        ] {
            assert!(Glob::new(pattern).matches_words(value), "{pattern} {value}");
        }
        for (pattern, value) in [
            ("cake", "pancake"),
            ("cake", "cakes"),
            ("cake", "cake_x"),
            ("c*e", "acme"),
            ("tea*", "steam"),
            ("*time", "timely"),
            ("", "x"),
            ("t?a", "ta"),
        ] {
            assert!(!Glob::new(pattern).matches_words(value), "{pattern} {value}");
        }
    }

    #[test]
    fn literals_have_no_wildcards() {
        assert!(Glob::literal("a*b").matches_words("hi a*b"));
        assert!(!Glob::literal("a*b").matches_words("hi axb"));
    }

    #[test]
    fn filters_know_stars_alone_and_names_no_case() {
        for (pattern, text) in
            [("m.*", "m.room"), ("*", ""), ("a*b*c", "aXbbc"), ("*.x", "y.x"), ("m.a", "m.a"), ("a?", "a?")]
        {
            assert!(matches_stars(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("m.a", "m.ab"), ("m.*", "n.m."), ("a*b*c", "acb"), ("ab*ba", "aba"), ("", "x"), ("a?", "ab"), ("A*", "a")]
        {
            assert!(!matches_stars(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("@user-?*", "@user-1:hs"), ("*a*b", "xaxbxb"), ("HS?.example", "hs1.EXAMPLE"), ("?", "ü")]
        {
            assert!(matches_name(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("@user-?*", "@user-"), ("hs?", "hs"), ("a", "ab")] {
            assert!(!matches_name(pattern, text), "{pattern} {text}");
        }
    }

    /// What a glob means, word for word: tries everything.
    fn naive(pattern: &[char], value: &[char], wild: bool) -> bool {
        match pattern.split_first() {
            None => value.is_empty(),
            Some(('*', rest)) => (0..=value.len()).any(|skip| naive(rest, &value[skip..], wild)),
            Some((wanted, rest)) => value
                .split_first()
                .is_some_and(|(found, left)| (wild && *wanted == '?' || wanted == found) && naive(rest, left, wild)),
        }
    }

    fn naive_words(pattern: &[char], value: &[char]) -> bool {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let boundary = |at: usize| at == 0 || at == value.len() || !word(value[at - 1]) || !word(value[at]);
        if pattern.is_empty() {
            return value.is_empty();
        }
        let parts = (0..=value.len()).flat_map(|start| (start..=value.len()).map(move |end| (start, end)));
        parts
            .into_iter()
            .any(|(start, end)| boundary(start) && boundary(end) && naive(pattern, &value[start..end], true))
    }

    #[test]
    fn every_small_pattern_matches_what_the_naive_reading_matches() {
        // A walk over all texts of few letters, in an order that a fixed multiplier shuffles.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |letters: &[char], most: usize| -> Vec<char> {
            state = state.wrapping_mul(0xd129_0d2d_5e5f_9a35).wrapping_add(1);
            let count = usize::try_from(state >> 40).unwrap_or(0) % (most + 1);
            let pick = |i: usize| letters[usize::try_from(state >> (i * 3 % 48)).unwrap_or(0) % letters.len()];
            (0..count).map(pick).collect()
        };
        let mut met = [0_u32; 3];
        for _ in 0..60_000 {
            let (pattern, value) = (draw(&['a', 'b', '*', '?', 'ü', ' ', '*'], 7), draw(&['a', 'b', 'ü', ' ', '?'], 8));
            let (p, v) = (pattern.iter().collect::<String>(), value.iter().collect::<String>());
            let expected =
                [naive(&pattern, &value, true), naive(&pattern, &value, false), naive_words(&pattern, &value)];
            let found = [Glob::new(&p).matches(&v), matches_stars(&p, &v), Glob::new(&p).matches_words(&v)];
            assert_eq!(found, expected, "{p:?} {v:?}");
            for (count, matched) in met.iter_mut().zip(expected) {
                *count += u32::from(matched);
            }
        }
        assert!(met.iter().all(|count| *count > 1000), "the draw is too poor: {met:?}");
    }

    #[test]
    fn a_hostile_pattern_ends_in_time() {
        let value = "a".repeat(20_000);
        assert!(!Glob::new(&format!("{}b", "a*".repeat(1_000))).matches(&value));
        assert!(!Glob::new(&format!("{}b", "a*".repeat(1_000))).matches_words(&value));
        assert!(!matches_stars(&format!("{}b", "*a".repeat(1_000)), &value));
    }
}
