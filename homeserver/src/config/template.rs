//! `roost config default`: the table of keys, written out as a file.

use serde::Serialize;

use super::keys::{Default, KEYS};

/// A key, as programs read it.
#[derive(Debug, Serialize)]
pub struct Described {
    pub key: &'static str,
    /// What holds where it is not set; absent where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<toml::Value>,
    /// A value that it could have, of a key without a default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<toml::Value>,
    pub comment: &'static str,
}

/// The same as [`template`], for programs.
///
/// # Errors
/// None, unless a default of the table is no TOML.
pub fn described() -> Result<Vec<Described>, toml::de::Error> {
    let value = |text: &str| Ok(toml::from_str::<toml::Table>(&format!("value = {text}"))?.remove("value"));
    let describe = |key: &super::keys::Key| {
        let (default, example) = match key.default {
            Default::Is(text) => (value(text)?, None),
            Default::Absent(text) => (None, value(text)?),
        };
        Ok(Described { key: key.name, default, example, comment: key.comment })
    };
    KEYS.iter().map(describe).collect()
}

/// Every key with its comment; those without a default stand commented out with an example.
pub fn template() -> String {
    let mut out = String::from(
        "# Roost's configuration. Every key may also be set in the environment: `database.url` is ROOST_DATABASE__URL.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        out.push('\n');
        if of != section {
            section = of;
            out.push_str(&format!("[{of}]\n"));
        }
        for line in key.comment.lines() {
            out.push_str(&format!("# {line}\n"));
        }
        match key.default {
            Default::Is(value) => out.push_str(&format!("{name} = {value}\n")),
            Default::Absent(example) => out.push_str(&format!("#{name} = {example}\n")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{super::*, *};

    #[test]
    fn the_template_is_itself_a_valid_file() {
        let text = template();
        let parse = |text: &str| Config::parse(Purpose::Quickstart, Some((Path::new("t"), text)), [], None);
        parse(&text).unwrap();
        // The examples are valid too.
        let examples: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let config = parse(&examples).unwrap();
        assert_eq!(config.server_name, "example.org");
        assert!(!config.nats.url.is_empty() && config.metrics.listen.is_some());
    }
}
