//! The words of a text, as they are looked for.

/// Longer words are cut.
const MAX_BYTES: usize = 100;

/// The words of `text` in lower case, each once: runs of letters and digits, at most `most` of them.
pub fn words(text: &str, most: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        if words.len() == most {
            break;
        }
        let mut word = word.to_lowercase();
        // Lower case brings combining marks with it at times.
        word.retain(char::is_alphanumeric);
        word.truncate(word.floor_char_boundary(MAX_BYTES));
        words.push(word);
    }
    words.sort_unstable();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits_in_lower_case() {
        assert_eq!(words("Hello, WORLD-7! hello d'Été", 10), ["7", "d", "hello", "world", "été"]);
        assert_eq!(words("a b c", 2), ["a", "b"]);
        assert!(words(" \u{0}'!", 9).is_empty());
        assert_eq!(words(&"é".repeat(200), 9)[0].len(), 100);
    }
}
