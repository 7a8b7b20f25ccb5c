//! Why a text was refused.

/// Why bytes were refused as canonical JSON. The two kinds are the protocol's `M_NOT_JSON` and `M_BAD_JSON`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no JSON at all.
    #[error("not valid JSON at byte {at}: {why}")]
    NotJson {
        /// Offset of the first byte that is wrong.
        at: usize,
        /// What was wrong with it.
        why: &'static str,
    },
    /// JSON, but with a value that the protocol does not allow.
    #[error("unacceptable JSON at byte {at}: {why}")]
    BadJson {
        /// Offset of the value that is refused; 0 where it was not read from text.
        at: usize,
        /// Why it is refused.
        why: &'static str,
    },
}
