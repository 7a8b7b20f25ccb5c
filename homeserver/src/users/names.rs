//! What users and devices may be called.

use ruma::{ServerName, UserId};

use super::secret::random_letters;

/// Why a name can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a user name is not empty")]
    Empty,
    #[error("a user name is made of a-z, 0-9 and . _ = - / +")]
    Characters,
    #[error("a user ID has 255 bytes at most, the server's name included")]
    TooLong,
    #[error("the user ID belongs to another server")]
    OtherServer,
}

/// The localpart that a client asks for: a name in any case, or a whole user ID of this server.
pub(super) fn localpart(asked: &str, server_name: &ServerName) -> Result<String, NameError> {
    let name = match asked.strip_prefix('@') {
        Some(rest) => {
            let (name, server) = rest.split_once(':').ok_or(NameError::Characters)?;
            if server != server_name.as_str() {
                return Err(NameError::OtherServer);
            }
            name
        }
        None => asked,
    };
    let name = name.to_ascii_lowercase();
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._=-/+".contains(&byte)) {
        return Err(NameError::Characters);
    }
    if name.len() + server_name.as_str().len() + 2 > 255 || UserId::parse(format!("@{name}:{server_name}")).is_err() {
        return Err(NameError::TooLong);
    }
    Ok(name)
}

/// A name for a user who asked for none.
pub(super) fn any_localpart() -> String {
    random_letters(12, b"abcdefghjkmnpqrstuvwxyz23456789")
}

/// An ID for a device that brought none.
pub(super) fn any_device_id() -> String {
    random_letters(10, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

/// Whether a client's device ID can be used.
pub(super) fn is_device_id(id: &str) -> bool {
    (1..=255).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// Whether a client's name for a device can be used.
pub(super) fn is_device_name(name: &str) -> bool {
    name.chars().count() <= 100
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn names_are_lowered_and_bounded() {
        let server = server_name!("example.org");
        assert_eq!(localpart("Alice", server).as_deref(), Ok("alice"));
        assert_eq!(localpart("@Alice:example.org", server).as_deref(), Ok("alice"));
        assert_eq!(localpart("a.b_c=d-e/f+g0", server).as_deref(), Ok("a.b_c=d-e/f+g0"));
        assert_eq!(localpart("@alice:example.com", server), Err(NameError::OtherServer));
        assert_eq!(localpart("@alice", server), Err(NameError::Characters));
        assert_eq!(localpart("", server), Err(NameError::Empty));
        for name in ["al ice", "älice", "a:b", "a!b", "a@b", "\u{131}"] {
            assert_eq!(localpart(name, server), Err(NameError::Characters), "{name}");
        }
        assert!(localpart(&"a".repeat(242), server).is_ok());
        assert_eq!(localpart(&"a".repeat(243), server), Err(NameError::TooLong));
    }

    #[test]
    fn drawn_names_can_be_used() {
        assert!(localpart(&any_localpart(), server_name!("example.org")).is_ok());
        assert!(is_device_id(&any_device_id()));
    }
}
