//! `/.well-known/matrix/server`: what it says, and for how long.

use std::time::{Duration, SystemTime};

use ruma_common::{OwnedServerName, ServerName};
use serde::Deserialize;

/// Where no header says how long.
const USUAL: Duration = Duration::from_secs(24 * 60 * 60);
/// What a header may say at most.
pub(super) const LONGEST: Duration = Duration::from_secs(48 * 60 * 60);
/// And at least: a server is not asked again for each request.
const SHORTEST: Duration = Duration::from_secs(5 * 60);

/// An answer, after redirects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Only 200 can lead on.
    pub status: u16,
    /// The `Cache-Control` header.
    pub cache_control: Option<String>,
    /// The `Expires` header.
    pub expires: Option<String>,
    /// The `Age` header.
    pub age: Option<String>,
    /// What was sent; the content type does not matter.
    pub body: Vec<u8>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "m.server")]
    server: String,
}

/// The name that an answer leads to, and how long that is so. `None`: it is not valid.
pub(super) fn read(answer: &Answer, now: SystemTime) -> Option<(OwnedServerName, Duration)> {
    if answer.status != 200 {
        return None;
    }
    let body: Body = serde_json::from_slice(&answer.body).ok()?;
    let server = ServerName::parse(body.server).ok()?;
    Some((server, lifetime(answer, now).unwrap_or(USUAL).clamp(SHORTEST, LONGEST)))
}

/// What the headers say; `Cache-Control` wins over `Expires`.
fn lifetime(answer: &Answer, now: SystemTime) -> Option<Duration> {
    let control = answer.cache_control.as_deref().unwrap_or_default().to_ascii_lowercase();
    let mut directives = control.split(',').map(str::trim);
    if directives.clone().any(|it| it == "no-store" || it == "no-cache") {
        return Some(Duration::ZERO);
    }
    let seconds = |text: &str| text.trim().trim_matches('"').parse().map(Duration::from_secs).ok();
    if let Some(most) = directives.find_map(|it| it.strip_prefix("max-age=").and_then(seconds)) {
        let age = answer.age.as_deref().and_then(seconds).unwrap_or_default();
        return Some(most.saturating_sub(age));
    }
    let until = httpdate::parse_http_date(answer.expires.as_deref()?);
    // A date that can't be read is in the past.
    Some(until.ok().and_then(|until| until.duration_since(now).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer { status: 200, body: body.as_bytes().to_vec(), ..Answer::default() }
    }

    #[test]
    fn only_a_valid_name_leads_on() {
        let leads = |body: &str| read(&answer(body), SystemTime::UNIX_EPOCH).map(|(server, _)| server.to_string());
        for good in ["a.example", "a.example:443", "1.2.3.4", "[2001:db8::1]:8448"] {
            assert_eq!(leads(&format!(r#"{{"m.server":"{good}","more":1}}"#)).as_deref(), Some(good));
        }
        let long = format!(r#"{{"m.server":"{}"}}"#, "a".repeat(300));
        for bad in [
            "",
            "not json",
            "[]",
            "{}",
            r#"{"m.server":5}"#,
            r#"{"m.server":""}"#,
            r#"{"m.server":"https://a.example"}"#,
            r#"{"m.server":"a.example:port"}"#,
            r#"{"m.server":"a.example/path"}"#,
            &long,
        ] {
            assert_eq!(leads(bad), None, "{bad}");
        }
        let missing = Answer { status: 404, ..answer(r#"{"m.server":"a.example"}"#) };
        assert_eq!(read(&missing, SystemTime::UNIX_EPOCH), None);
    }

    #[test]
    fn headers_say_how_long_within_bounds() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let hours = |control: Option<&str>, expires: Option<&str>, age: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            let answer = Answer {
                cache_control: own(control),
                expires: own(expires),
                age: own(age),
                ..answer(r#"{"m.server":"a"}"#)
            };
            read(&answer, now).unwrap().1.as_secs_f64() / 3600.0
        };
        let shortest = SHORTEST.as_secs_f64() / 3600.0;
        for (control, expires, age, wanted) in [
            (None, None, None, 24.0),
            (Some("public, Max-Age=7200"), None, None, 2.0),
            (Some("max-age=7200"), None, Some("3600"), 1.0),
            (Some("max-age=7200"), Some("Sun, 06 Nov 1994 11:49:37 GMT"), None, 2.0),
            (Some("max-age=999999999"), None, None, 48.0),
            (Some("max-age=0"), None, None, shortest),
            (Some("no-store"), None, None, shortest),
            (Some("max-age=7200, no-cache"), None, None, shortest),
            (Some("max-age=x"), None, None, 24.0),
            // Three hours after `now`.
            (None, Some("Sun, 06 Nov 1994 11:49:37 GMT"), None, 3.0),
            (None, Some("Sun, 06 Nov 1994 07:49:37 GMT"), None, shortest),
            (None, Some("0"), None, shortest),
        ] {
            let found = hours(control, expires, age);
            assert!((found - wanted).abs() < 0.001, "{control:?} {expires:?} {age:?}: {found}");
        }
    }
}
