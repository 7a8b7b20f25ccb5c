//! The two base64 alphabets of the protocol, written without padding and read with or without.

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    // Peers have long produced and accepted loose trailing bits; what counts are the bytes.
    .with_decode_allow_trailing_bits(true);
const STANDARD_ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
const URL_SAFE_ENGINE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

/// Encodes with the standard alphabet.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD_ENGINE.encode(bytes)
}

/// Encodes with the URL-safe alphabet.
pub(crate) fn encode_url_safe(bytes: &[u8]) -> String {
    URL_SAFE_ENGINE.encode(bytes)
}

/// Decodes exactly `N` bytes from the standard alphabet.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    exact(&STANDARD_ENGINE, text)
}

/// Decodes exactly `N` bytes from the URL-safe alphabet.
pub(crate) fn decode_url_safe<const N: usize>(text: &str) -> Option<[u8; N]> {
    exact(&URL_SAFE_ENGINE, text)
}

fn exact<const N: usize>(engine: &GeneralPurpose, text: &str) -> Option<[u8; N]> {
    // No larger text can decode to N bytes; a hostile one is not worth the allocation.
    if text.len() > N.div_ceil(3) * 4 {
        return None;
    }
    engine.decode(text).ok()?.try_into().ok()
}
