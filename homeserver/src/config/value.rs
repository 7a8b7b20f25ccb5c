//! Readers of single values: TOML in, a typed value or half a sentence out that reads on after the key's name.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use toml::Value;

use super::Secret;

/// `registration.mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistrationMode {
    /// Nobody: accounts are made on the command line.
    #[default]
    Closed,
    /// Whoever has a registration token.
    Token,
    /// Anybody.
    Open,
}

/// `log.format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// How much at once, and how much more with time: `"10 + 5/m"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// What may come at once.
    pub burst: u32,
    /// Until one more may come.
    pub refill: Duration,
}

/// `"off"`, or a burst and what is added to it each second, minute or hour.
pub(super) fn rate(value: &Value) -> Result<Option<Rate>, String> {
    let text = text(value)?;
    if text == "off" {
        return Ok(None);
    }
    let parsed = || {
        let (burst, more) = text.split_once('+')?;
        let (count, unit) = more.split_once('/')?;
        let (burst, count): (u32, u32) = (burst.trim().parse().ok()?, count.trim().parse().ok()?);
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return None,
        };
        (burst > 0 && count > 0).then(|| Rate { burst, refill: Duration::from_secs(seconds) / count })
    };
    parsed().map(Some).ok_or_else(|| {
        format!("must be a rate like \"10 + 5/m\" (10 at once, 5 more a minute), or \"off\", not {text:?}")
    })
}

pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if text.is_empty() => Err("must not be empty".to_owned()),
        Value::String(text) => Ok(text.clone()),
        other => Err(expected("text", other)),
    }
}

pub(super) fn secret(value: &Value) -> Result<Secret, String> {
    text(value).map(Secret::new)
}

pub(super) fn path(value: &Value) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from)
}

pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| expected("true or false", value))
}

pub(super) fn number(value: &Value, least: u32, most: u32) -> Result<u32, String> {
    let number = value.as_integer().ok_or_else(|| expected("a number", value))?;
    u32::try_from(number)
        .ok()
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| format!("must be between {least} and {most}, not {number}"))
}

/// Bytes as a number, or as text with a unit: `50M` is 50 × 1024 × 1024.
pub(super) fn size(value: &Value) -> Result<u64, String> {
    let problem = || "must be a number of bytes above 0, or text like \"50M\"".to_owned();
    let bytes = match value {
        Value::Integer(bytes) => u64::try_from(*bytes).map_err(|_| problem())?,
        Value::String(text) => {
            let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
            let shift = match text[digits.len()..].trim().to_ascii_uppercase().as_str() {
                "" | "B" => 0,
                "K" | "KB" | "KIB" => 10,
                "M" | "MB" | "MIB" => 20,
                "G" | "GB" | "GIB" => 30,
                _ => return Err(problem()),
            };
            let count: u64 = digits.parse().map_err(|_| problem())?;
            count.checked_mul(1 << shift).ok_or_else(problem)?
        }
        _ => return Err(problem()),
    };
    if bytes == 0 { Err(problem()) } else { Ok(bytes) }
}

pub(super) fn address(value: &Value) -> Result<SocketAddr, String> {
    let text = text(value)?;
    text.parse().map_err(|_| format!("must be an address with a port like \"127.0.0.1:8008\", not {text:?}"))
}

/// As [`addresses`], and none at all.
pub(super) fn maybe_addresses(value: &Value) -> Result<Vec<SocketAddr>, String> {
    list(value, address)
}

pub(super) fn addresses(value: &Value) -> Result<Vec<SocketAddr>, String> {
    let list = list(value, address)?;
    if list.is_empty() { Err("must name at least one address".to_owned()) } else { Ok(list) }
}

/// Networks like `10.0.0.0/8`; a bare address stands for itself.
pub(super) fn networks(value: &Value) -> Result<Vec<IpNet>, String> {
    list(value, |item| {
        let text = text(item)?;
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| format!("must list addresses or networks like \"10.0.0.0/8\", not {text:?}"))
    })
}

/// An `http` or `https` address of this server, without query; the trailing slash is dropped.
pub(super) fn url(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let trimmed = text.trim_end_matches('/');
    let host = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['?', '#', ' ']) => Ok(trimmed.to_owned()),
        _ => Err(format!("must be an address like \"https://matrix.example.org\", not {text:?}")),
    }
}

/// One of the given words.
pub(super) fn choice<T: Copy>(value: &Value, choices: &[(&str, T)]) -> Result<T, String> {
    let text = text(value)?;
    choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        format!("must be one of {}, not {text:?}", words.join(", "))
    })
}

fn list<T>(value: &Value, item: impl Fn(&Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    value.as_array().ok_or_else(|| expected("a list", value))?.iter().map(item).collect()
}

fn expected(what: &str, found: &Value) -> String {
    format!("must be {what}, not {} ({found})", found.type_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size(&Value::Integer(7)), Ok(7));
        assert_eq!(size(&Value::String("50M".into())), Ok(50 << 20));
        assert_eq!(size(&Value::String("2 GiB".into())), Ok(2 << 30));
        for bad in ["", "M", "0", "5X", "99999999999G"] {
            assert!(size(&Value::String(bad.into())).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_have_a_burst_and_a_refill() {
        let read = |text: &str| rate(&Value::String(text.into()));
        assert_eq!(read("10 + 6/m"), Ok(Some(Rate { burst: 10, refill: Duration::from_secs(10) })));
        assert_eq!(read("1+4/s"), Ok(Some(Rate { burst: 1, refill: Duration::from_millis(250) })));
        assert_eq!(read("off"), Ok(None));
        for bad in ["", "10", "10/m", "0 + 1/s", "1 + 0/s", "1 + 1/d", "1 - 1/s"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_take_bare_addresses() {
        let list = Value::Array(vec![Value::String("10.1.2.3".into()), Value::String("fd00::/8".into())]);
        assert_eq!(networks(&list).map(|l| l.len()), Ok(2));
    }

    #[test]
    fn urls_lose_their_slash() {
        assert_eq!(url(&Value::String("https://a.example/".into())), Ok("https://a.example".into()));
        assert!(url(&Value::String("a.example".into())).is_err());
    }
}
