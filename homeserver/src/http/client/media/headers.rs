//! Headers that keep a browser from running what a stranger uploaded.

use axum::http::{HeaderMap, HeaderValue, header};

/// What a browser may show inline (v1.19, "Serving inline content").
const INLINE: [&str; 25] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
];

const CONTENT_SECURITY_POLICY: &str = "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; \
    style-src 'unsafe-inline'; object-src 'self';";

/// Describes a medium.
pub(super) fn describe(headers: &mut HeaderMap, content_type: Option<&str>, filename: Option<&str>) {
    let content_type = content_type.unwrap_or("application/octet-stream");
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = if INLINE.contains(&essence.as_str()) { "inline" } else { "attachment" };
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    let content_type = HeaderValue::from_str(content_type);
    headers.insert(header::CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    if let Ok(value) = HeaderValue::from_str(&disposition(kind, filename)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
}

/// `Content-Disposition`, the name in RFC 6266's extended form where it is not plain ASCII.
fn disposition(kind: &str, filename: Option<&str>) -> String {
    let Some(name) = filename.filter(|name| !name.is_empty()) else { return kind.to_owned() };
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return format!("{kind}; filename={name}");
    }
    let encoded: String = name
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    format!("{kind}; filename*=utf-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_never_shown_inline() {
        let mut headers = HeaderMap::new();
        describe(&mut headers, Some("text/html; charset=utf-8"), Some("a.html"));
        assert_eq!(headers[header::CONTENT_DISPOSITION], "attachment; filename=a.html");
        describe(&mut headers, Some("image/svg+xml"), None);
        assert_eq!(headers[header::CONTENT_DISPOSITION], "attachment");
        describe(&mut headers, Some("IMAGE/png"), None);
        assert_eq!(headers[header::CONTENT_DISPOSITION], "inline");
    }

    #[test]
    fn a_name_can_not_break_out_of_its_header() {
        assert_eq!(disposition("inline", Some("a\"; x\r\n.txt")), "inline; filename*=utf-8''a%22%3B%20x%0D%0A.txt");
        assert_eq!(disposition("inline", Some("grüße.txt")), "inline; filename*=utf-8''gr%C3%BC%C3%9Fe.txt");
    }
}
