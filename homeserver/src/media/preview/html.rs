//! What a page says of itself: OpenGraph's properties, and what stands for those that it lacks.

use std::collections::BTreeMap;

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use url::Url;

use super::{charset, fetch};

/// What was read of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub texts: BTreeMap<String, String>,
    /// The picture that it wants to be shown with.
    pub picture: Option<Url>,
}

/// The longest text, in characters.
const MAX_TEXT: usize = 1000;
const MAX_NAME: usize = 64;
/// Of all properties together, in bytes.
const MAX_PROPERTIES: usize = 16 << 10;

/// Where a preview's texts are found, the best place first.
const TITLE: &[&str] = &["og:title", "twitter:title", "title"];
const DESCRIPTION: &[&str] = &["og:description", "twitter:description", "description"];
const PICTURE: &[&str] =
    &["og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src", "image_src"];
/// Beside these, names that begin with `og:` are kept.
const OTHERS: &[&str] = &[
    "title",
    "description",
    "image_src",
    "twitter:title",
    "twitter:description",
    "twitter:image",
    "twitter:image:src",
];

/// Reads a page that came from `url`, as far as it came.
pub(super) fn read(bytes: &[u8], charset: Option<&str>, url: &Url) -> Page {
    let text = charset::decode(bytes, charset);
    let mut found = properties(&text);
    let picture = PICTURE.iter().find_map(|name| fetch::beside(url, found.get(*name)?));
    let mut texts = BTreeMap::new();
    for (name, places) in [("og:title", TITLE), ("og:description", DESCRIPTION)] {
        if let Some(text) = places.iter().find_map(|place| found.get(*place)) {
            texts.insert(name.to_owned(), shortened(text));
        }
    }
    found.retain(|name, _| name.starts_with("og:") && !texts.contains_key(name));
    for (name, text) in found {
        if is_address(&name) {
            // Whoever clicks it is to get to a page, and not to run a script.
            if let Some(address) = fetch::beside(url, &text) {
                texts.insert(name, address.into());
            }
        } else if !name.starts_with("og:image") || name == "og:image:alt" {
            texts.insert(name, shortened(&text));
        }
    }
    Page { texts, picture }
}

/// Cut to what a preview has room for.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

fn is_address(name: &str) -> bool {
    matches!(name, "og:url" | "og:video" | "og:audio") || name.ends_with(":url") || name.ends_with(":secure_url")
}

/// Every property's first value that is not empty.
fn properties(text: &str) -> BTreeMap<String, String> {
    let mut found = Properties::default();
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut title: Option<String> = None;
    for Ok(token) in Tokenizer::new_with_emitter(text, emitter) {
        match token {
            Token::StartTag(tag) => match tag.name.as_slice() {
                b"meta" => found.meta(&tag),
                b"link" => found.link(&tag),
                b"title" => title = Some(String::new()),
                _ => {}
            },
            Token::String(piece) => {
                if let Some(title) = &mut title
                    && title.len() < MAX_PROPERTIES
                {
                    title.push_str(&String::from_utf8_lossy(&piece));
                }
            }
            Token::EndTag(tag) if tag.name.as_slice() == b"title" => {
                if let Some(title) = title.take() {
                    found.put("title", &title);
                }
            }
            _ => {}
        }
    }
    found.values
}

#[derive(Default)]
struct Properties {
    values: BTreeMap<String, String>,
    bytes: usize,
}

impl Properties {
    fn meta(&mut self, tag: &StartTag<()>) {
        let Some(content) = attribute(tag, b"content") else { return };
        let name = attribute(tag, b"property").or_else(|| attribute(tag, b"name"));
        let Some(name) = name.map(|name| name.trim().to_ascii_lowercase()) else { return };
        if OTHERS.contains(&name.as_str()) || (name.starts_with("og:") && name.len() <= MAX_NAME) {
            self.put(&name, &content);
        }
    }

    fn link(&mut self, tag: &StartTag<()>) {
        let rel = attribute(tag, b"rel").unwrap_or_default();
        if rel.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("image_src"))
            && let Some(address) = attribute(tag, b"href")
        {
            self.put("image_src", &address);
        }
    }

    /// Keeps a first value, its spaces made one each.
    fn put(&mut self, name: &str, value: &str) {
        let words: Vec<&str> =
            value.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
        let value = words.join(" ");
        let bytes = name.len() + value.len();
        if value.is_empty() || self.values.contains_key(name) || self.bytes + bytes > MAX_PROPERTIES {
            return;
        }
        self.bytes += bytes;
        self.values.insert(name.to_owned(), value);
    }
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    tag.attributes.get(name).map(|value| String::from_utf8_lossy(&value.value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(html: &str) -> Page {
        read(html.as_bytes(), None, &Url::parse("https://example.org/films/rock").unwrap())
    }

    fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn a_page_with_open_graph_says_it_itself() {
        let page = page(
            "<!doctype html><HTML><head><title>Not this</title>
             <meta name=description content='Nor this'>
             <META Property='og:title' CONTENT='  Rock &amp;\n Roll '>
             <meta property=og:title content=second>
             <meta name='og:description' content=\"All of it\">
             <meta property=og:type content=video.movie><meta property=og:empty content=''>
             <meta property=og:url content='/films/1'><meta property=og:video content='javascript:alert(1)'>
             <meta property=og:image content='../rock.png'><meta property=og:image:width content=7>
             <meta property=fb:app_id content=1></head>",
        );
        assert_eq!(page.picture.unwrap().as_str(), "https://example.org/rock.png");
        let expected = [
            ("og:title", "Rock & Roll"),
            ("og:description", "All of it"),
            ("og:type", "video.movie"),
            ("og:url", "https://example.org/films/1"),
        ];
        assert_eq!(page.texts, texts(expected));
    }

    #[test]
    fn a_page_without_is_known_by_its_head() {
        let plain = page(
            "<title>A &lt;b&gt; page</title><link rel='x image_src' href=//cdn.example/a.png><meta name=Description content=words>
             <script>document.write('<meta property=og:title content=no>')</script><!-- <title>no</title> -->
             <svg><title>no</title></svg>",
        );
        assert_eq!(plain.texts, texts([("og:title", "A <b> page"), ("og:description", "words")]));
        assert_eq!(plain.picture.unwrap().as_str(), "https://cdn.example/a.png");
        let bird = page(
            "<meta name=twitter:title content=t><title>x</title><meta name=twitter:image content='data:image/png,x'>",
        );
        assert_eq!(bird, Page { texts: texts([("og:title", "t")]), picture: None });
    }

    #[test]
    fn no_page_is_too_much() {
        assert_eq!(page(""), Page::default());
        assert_eq!(page("<<<>&#0;<title"), Page::default());
        assert_eq!(page(&format!("<title>{}", "x".repeat(1 << 20))), Page::default());
        let long = page(&format!("<title>{}</title>", "ü ".repeat(5_000)));
        assert_eq!(long.texts["og:title"].chars().count(), MAX_TEXT);
        let many: String = (0..50_000).map(|n| format!("<meta property=og:{n} content={n}>")).collect();
        let bytes: usize = page(&many).texts.iter().map(|(name, text)| name.len() + text.len()).sum();
        assert!(bytes <= MAX_PROPERTIES, "{bytes}");
        let deep = format!(
            "<meta {} property=og:title content=x>",
            (0..100_000).map(|n| format!("a{n} ")).collect::<String>()
        );
        assert_eq!(page(&deep).texts, texts([("og:title", "x")]));
    }
}
