//! Which characters a page's bytes are: by its mark, its server's word, its own word, or its looks, in this order.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use html5gum::{Token, Tokenizer};

/// Where a page must have named its charset.
const BEGINNING: usize = 2048;

/// A page's text. What is broken in it is replaced.
pub(super) fn decode<'a>(bytes: &'a [u8], named: Option<&str>) -> Cow<'a, str> {
    let of_label = |label: &str| Encoding::for_label(label.as_bytes());
    let encoding = named.and_then(of_label).or_else(|| declared(bytes)).unwrap_or_else(|| guessed(bytes));
    // A byte order mark wins over all of them.
    encoding.decode(bytes).0
}

/// `<meta charset>`, or the older `<meta http-equiv="Content-Type" content="text/html; charset=…">`.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let beginning = &bytes[..bytes.len().min(BEGINNING)];
    for Ok(token) in Tokenizer::new(beginning) {
        let Token::StartTag(tag) = token else { continue };
        if tag.name.as_slice() != b"meta" {
            continue;
        }
        let attribute = |name: &[u8]| tag.attributes.get(name).map(|value| value.value.as_slice());
        let older = || {
            let kind = attribute(b"http-equiv")?;
            let content = attribute(b"content").filter(|_| kind.eq_ignore_ascii_case(b"content-type"))?;
            after_charset(content)
        };
        let label = attribute(b"charset").or_else(older);
        if let Some(encoding) = label.and_then(Encoding::for_label) {
            // A page whose ASCII could be read so far is none of those.
            return Some(encoding.output_encoding());
        }
    }
    None
}

fn after_charset(content: &[u8]) -> Option<&[u8]> {
    let at = content.windows(8).position(|word| word.eq_ignore_ascii_case(b"charset="))?;
    let label = &content[at + 8..];
    let end = label.iter().position(|byte| b"; ".contains(byte)).unwrap_or(label.len());
    Some(&label[..end])
}

fn guessed(bytes: &[u8]) -> &'static Encoding {
    let is_utf_8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // Cut in the middle of a character.
        Err(error) => error.error_len().is_none(),
    };
    if is_utf_8 { UTF_8 } else { WINDOWS_1252 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_in_its_own_charset() {
        let old =
            b"<meta http-equiv=Content-Type content='text/html; charset=windows-1251'><title>\xcf\xf0\xe8\xe2\xe5\xf2";
        assert!(decode(old, None).ends_with("Привет"));
        assert!(
            decode(b"<meta name=x content=y><meta charset=Shift_JIS><title>\x93\xfa\x96\x7b", None).ends_with("日本")
        );
        assert_eq!(decode(b"gr\xfc\xdfe", Some("iso-8859-1")), "grüße");
        assert_eq!(decode(b"gr\xfc\xdfe", Some("no such charset")), "grüße");
        assert_eq!(decode("grüße".as_bytes(), None), "grüße");
        assert_eq!(decode(b"\xef\xbb\xbfgr\xc3\xbc", Some("iso-8859-1")), "grü");
        assert_eq!(decode(b"\xff\xfeg\0r\0", None), "gr");
        // Names UTF-16 in letters of one byte each: it is not.
        assert!(decode(b"<meta charset=utf-16><title>gr\xc3\xbc", None).ends_with("grü"));
        // Cut in the middle of a character.
        assert_eq!(decode(b"gr\xc3\xbc\xc3", None), "grü\u{fffd}");
    }
}
