//! The parts of identifiers, and whether a text can be one.
//!
//! **Invariant:** nothing here knows which users, rooms or servers exist.

/// The largest size of an identifier, of an event's `type` and of its `state_key`, in bytes.
pub const MAX_BYTES: usize = 255;

/// The server name of `@localpart:server`, `!opaque:server`, `#alias:server` or `$opaque:server`: what follows the first
/// colon. `None` for ids without one, such as event ids since room version 3.
pub fn server_name(id: &str) -> Option<&str> {
    id.split_once(':').map(|(_, server)| server)
}

/// Whether `text` is a user id: `@`, any localpart (older ones know few limits), a server name, 255 bytes at most.
pub fn is_user_id(text: &str) -> bool {
    text.len() <= MAX_BYTES && text.starts_with('@') && server_name(text).is_some_and(is_server_name)
}

/// Whether `text` has the form of a server name: a DNS name, an IPv4 address or an IPv6 address in brackets, and
/// optionally a port.
pub fn is_server_name(text: &str) -> bool {
    let (host_is_valid, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<std::net::Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (!host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')), port)
        }
    };
    let port_is_valid = match port.strip_prefix(':') {
        Some(digits) => (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()),
        None => port.is_empty(),
    };
    host_is_valid && port_is_valid
}

/// The id of the create event whose hash is the room id (room version 12 and later): the same text with another sigil.
pub fn create_event_id(room_id: &str) -> Option<String> {
    room_id.strip_prefix('!').filter(|hash| !hash.contains(':')).map(|hash| format!("${hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_names_follow_the_grammar() {
        for name in ["matrix.org", "matrix.org:8888", "1.2.3.4", "[1234:5678::abcd]", "[::1]:5678", "localhost"] {
            assert!(is_server_name(name), "{name}");
        }
        for name in ["", ":80", "a b", "a_b", "x:", "x:123456", "x:8o", "[::1", "[zz]", "[::1]80", "x/y", "é.org"] {
            assert!(!is_server_name(name), "{name}");
        }
    }

    #[test]
    fn user_ids_need_a_sigil_and_a_server() {
        for id in ["@a:b", "@A b/é:c.d", "@:x", "@a:b:80"] {
            assert!(is_user_id(id), "{id}");
        }
        for id in ["a:b", "@a", "@a:", "", &format!("@{}:b", "x".repeat(255))] {
            assert!(!is_user_id(id), "{id}");
        }
    }
}
