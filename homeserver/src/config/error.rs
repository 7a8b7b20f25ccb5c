//! What can be wrong with a configuration.

use std::path::PathBuf;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML: {source}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where it stops being TOML.
        source: Box<toml::de::Error>,
    },
    /// No such key.
    #[error("{origin}: unknown key `{key}`; did you mean `{nearest}`?")]
    UnknownKey {
        /// Where it was set.
        origin: String,
        /// As it was written.
        key: String,
        /// The known key that looks most like it, written the same way.
        nearest: String,
    },
    /// The key exists; its value can't be used.
    #[error("{origin}: `{key}` {problem}")]
    Value {
        /// Where it was set.
        origin: String,
        /// As it was written.
        key: String,
        /// Reads on after the key's name.
        problem: String,
    },
    /// An address for TLS, and nothing to encrypt with.
    #[error("`http.tls.listen` needs `http.tls.certificate` and `http.tls.key`, both files in PEM")]
    TlsWithoutFiles,
    /// `roost serve` without a name.
    #[error("`server_name` is not set: it is the part of user ids after the colon and can't be changed later")]
    NoServerName,
}
