//! Glob matching, whole or at word boundaries, without backtracking.
//!
//! A pattern is cut at its stars. The first piece is matched as early, every further piece as early as possible after
//! it; what that misses, no other choice would find. So the time is bounded by pattern times value.
//!
//! **Invariant:** pattern and value are already lower-cased; nothing here folds case.

/// A compiled glob: `*` is any number of characters, `?` exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    /// The pieces between the stars; one piece if there is no star.
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    text: Box<str>,
    /// Whether `text` contains `?`.
    wild: bool,
}

impl Glob {
    /// Compiles a lower-cased pattern.
    pub(super) fn new(pattern: &str) -> Self {
        let pieces = pattern.split('*').map(|text| Piece { text: text.into(), wild: text.contains('?') }).collect();
        Self { pieces }
    }

    /// A glob without wildcards, whatever `text` contains.
    pub(super) fn literal(text: &str) -> Self {
        Self { pieces: [Piece { text: text.into(), wild: false }].into() }
    }

    /// Whether the pattern matches the whole of `value`.
    pub(super) fn matches(&self, value: &str) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else { return false };
        let Some(end) = first.match_at(value, 0) else { return false };
        let Some((last, middle)) = rest.split_last() else { return end == value.len() };
        let Some(end) = follow(middle, value, end) else { return false };
        last.match_suffix(value, end)
    }

    /// Whether the pattern matches a part of `value` that starts and ends at word boundaries.
    ///
    /// A boundary is an end of the value or a place beside a character outside `[A-Za-z0-9_]`. The empty pattern
    /// matches only the empty value: a part of no length is in every value, and no rule means that.
    pub(super) fn matches_words(&self, value: &str) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else {
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
        let Some(end) = follow(middle, value, end) else { return false };
        // An empty last piece runs to the end of the value, which is a boundary.
        last.text.is_empty() || last.occurrences(value, end).any(|(_, end)| is_boundary(value, end))
    }
}

/// Matches each piece as early as possible, from `from` on; the end of the last one.
fn follow(pieces: &[Piece], value: &str, from: usize) -> Option<usize> {
    pieces.iter().try_fold(from, |from, piece| piece.occurrences(value, from).next().map(|(_, end)| end))
}

fn is_boundary(value: &str, index: usize) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = value.as_bytes();
    // Bytes of longer characters are never word characters, so bytes are enough.
    index == 0 || index == bytes.len() || !word(bytes[index - 1]) || !word(bytes[index])
}

impl Piece {
    /// The end of a match that starts at `start`.
    fn match_at(&self, value: &str, start: usize) -> Option<usize> {
        let value = value.get(start..)?;
        if !self.wild {
            return value.starts_with(&*self.text).then(|| start + self.text.len());
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
    fn match_suffix(&self, value: &str, from: usize) -> bool {
        let Some(value) = value.get(from..) else { return false };
        if !self.wild {
            return value.ends_with(&*self.text);
        }
        let mut rest = value.chars().rev();
        self.text.chars().rev().all(|wanted| rest.next().is_some_and(|found| wanted == '?' || wanted == found))
    }

    /// All matches that start at `from` or later, by their start and end.
    fn occurrences<'a>(&'a self, value: &'a str, from: usize) -> impl Iterator<Item = (usize, usize)> + 'a {
        let mut next = Some(from);
        std::iter::from_fn(move || {
            let from = next?;
            let (start, end) = if self.wild {
                let starts = value.get(from..)?.char_indices().map(|(offset, _)| from + offset);
                starts.filter_map(|start| Some((start, self.match_at(value, start)?))).next()?
            } else {
                let start = from + value.get(from..)?.find(&*self.text)?;
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
    fn a_hostile_pattern_ends_in_time() {
        let value = "a".repeat(20_000);
        assert!(!Glob::new(&format!("{}b", "a*".repeat(1_000))).matches(&value));
        assert!(!Glob::new(&format!("{}b", "a*".repeat(1_000))).matches_words(&value));
    }
}
