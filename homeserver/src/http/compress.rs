//! Compressed answers: whole bodies in memory, after their handler is done, so that what waits for an answer costs nothing.
//!
//! Streams are media, which are compressed already. A body that is small stays as it is.

use std::io::{self, Write};

use axum::{
    body::{Body, HttpBody, to_bytes},
    response::Response,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Below this a packet's head weighs more than what would be saved.
const LEAST: u64 = 1 << 10;
/// Up to this the work takes less time than handing it to another thread.
const INLINE: usize = 32 << 10;

/// What a client can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Zstd,
    Brotli,
    Gzip,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// The best of what `Accept-Encoding` allows; the cheapest for us where the client has no preference.
pub(super) fn accepted(headers: &HeaderMap) -> Option<Encoding> {
    let mut best: Option<(f32, Encoding)> = None;
    let values = headers.get_all(header::ACCEPT_ENCODING);
    for item in values.iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')) {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let encoding = match name.trim() {
            "zstd" => Encoding::Zstd,
            "br" => Encoding::Brotli,
            "gzip" | "x-gzip" => Encoding::Gzip,
            _ => continue,
        };
        let weight: f32 =
            parameters.trim().strip_prefix("q=").map_or(Some(1.0), |text| text.trim().parse().ok()).unwrap_or(0.0);
        let better = best.is_none_or(|(than, other)| weight > than || (weight == than && rank(encoding) < rank(other)));
        if weight > 0.0 && better {
            best = Some((weight, encoding));
        }
    }
    best.map(|(_, encoding)| encoding)
}

fn rank(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::Zstd => 0,
        Encoding::Brotli => 1,
        Encoding::Gzip => 2,
    }
}

/// Whether an answer gets smaller: text in memory, and not little of it.
pub(super) fn is_worthwhile(response: &Response) -> bool {
    let headers = response.headers();
    let whole = !matches!(response.status(), StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED);
    let size = response.body().size_hint().exact();
    whole
        && size.is_some_and(|size| size >= LEAST)
        && !headers.contains_key(header::CONTENT_ENCODING)
        && headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(is_text)
}

fn is_text(kind: &str) -> bool {
    kind.starts_with("application/json") || kind.starts_with("text/")
}

/// The same answer with a smaller body.
pub(super) async fn apply(response: Response, encoding: Encoding) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(plain) = to_bytes(body, usize::MAX).await else {
        // A body in memory has no way to fail.
        return Response::from_parts(parts, Body::empty());
    };
    let compressed = if plain.len() <= INLINE {
        compress(&plain, encoding)
    } else {
        let plain = plain.clone();
        tokio::task::spawn_blocking(move || compress(&plain, encoding))
            .await
            .unwrap_or_else(|e| Err(io::Error::other(e)))
    };
    let body = match compressed {
        Ok(compressed) if compressed.len() < plain.len() => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
            parts.headers.remove(header::CONTENT_LENGTH);
            Bytes::from(compressed)
        }
        Ok(_) => plain,
        Err(error) => {
            tracing::warn!(%error, "an answer could not be compressed");
            plain
        }
    };
    parts.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    Response::from_parts(parts, Body::from(body))
}

/// At levels where a core does 100 MB a second: answers are made once and read once.
fn compress(plain: &[u8], encoding: Encoding) -> io::Result<Vec<u8>> {
    match encoding {
        Encoding::Zstd => zstd::bulk::compress(plain, 3),
        Encoding::Brotli => {
            let params = brotli::enc::BrotliEncoderParams { quality: 3, lgwin: 19, ..Default::default() };
            let mut out = Vec::with_capacity(plain.len() / 4);
            brotli::BrotliCompress(&mut &*plain, &mut out, &params)?;
            Ok(out)
        }
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::new(4));
            encoder.write_all(plain)?;
            encoder.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(value: &'static str) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        accepted(&headers)
    }

    #[test]
    fn the_client_decides_and_we_choose_among_equals() {
        assert_eq!(chosen("gzip, deflate, br, zstd"), Some(Encoding::Zstd));
        assert_eq!(chosen("gzip, deflate, br"), Some(Encoding::Brotli));
        assert_eq!(chosen("gzip;q=1.0, br;q=0.5, *;q=0"), Some(Encoding::Gzip));
        assert_eq!(chosen("zstd;q=0, gzip;q=0.1"), Some(Encoding::Gzip));
        assert_eq!(chosen("identity"), None);
        assert_eq!(chosen("br;q=x"), None);
        assert_eq!(accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn only_larger_texts_are_worth_it() {
        let answer = |kind: &'static str, size: usize| {
            let mut response = Response::new(Body::from(vec![b' '; size]));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            response
        };
        assert!(is_worthwhile(&answer("application/json", 1024)));
        assert!(!is_worthwhile(&answer("application/json", 1023)));
        assert!(!is_worthwhile(&answer("image/png", 9999)));
        let mut partial = answer("text/plain", 9999);
        *partial.status_mut() = StatusCode::PARTIAL_CONTENT;
        assert!(!is_worthwhile(&partial));
    }

    #[tokio::test]
    async fn what_does_not_shrink_stays_as_it_is() {
        let mut response = Response::new(Body::from("short"));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let response = apply(response, Encoding::Gzip).await;
        assert!(!response.headers().contains_key(header::CONTENT_ENCODING));
        assert_eq!(to_bytes(response.into_body(), 100).await.unwrap(), "short");
    }
}
