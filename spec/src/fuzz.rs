//! Fuzz bodies: what must hold for any bytes. `spec/fuzz` drives them, a test replays them over its corpus.
//!
//! Each takes what a fuzzer gives and panics, by an assertion, if the promise is broken.
//!
//! **Invariant:** never called by the product.

use crate::{
    auth::{self, AuthEvent},
    canonical_json::{Numbers, Value, parse},
    event::{Pdu, Untrusted},
    hash,
    room_version::RoomVersion,
};

/// What was accepted is written so that it reads back as the same value and writes the same bytes, whatever the numbers.
pub fn canonical_json(bytes: &[u8]) {
    for numbers in [Numbers::Strict, Numbers::Lenient, Numbers::Legacy] {
        let Ok(value) = parse(bytes, numbers) else { continue };
        let text = value.to_string();
        assert_eq!(parse(text.as_bytes(), numbers).as_ref(), Ok(&value), "not the same value: {text}");
        assert_eq!(value.check(numbers), Ok(()), "the parser accepts what the check does not: {text}");
        if numbers == Numbers::Strict {
            assert!(serde_json::from_slice::<serde::de::IgnoredAny>(text.as_bytes()).is_ok(), "no JSON: {text}");
        }
    }
}

/// An event that was accepted keeps its id through storage and through redaction.
pub fn event(bytes: &[u8]) {
    for version in RoomVersion::ALL {
        let rules = version.rules();
        let Ok(untrusted) = Untrusted::parse(rules, bytes) else { continue };
        let (event_id, text) = (untrusted.event_id().to_owned(), untrusted.object().to_canonical());
        let _ = (untrusted.signers(), untrusted.wanted_keys().count());
        let _ = hash::content_hash(untrusted.object());
        // Reference lists are looked into only when the event is taken apart.
        let Ok(event) = Pdu::parse_trusted(rules, &text, None) else { continue };
        assert_eq!(event.event_id(), event_id);
        assert_eq!(event.json(), text);
        let redacted = event.redacted();
        assert!(redacted.is_ok(), "can't be redacted: {redacted:?}");
        let Ok(redacted) = redacted else { continue };
        let again = Pdu::parse_trusted(rules, redacted.json(), None);
        assert_eq!(again.as_ref().map(Pdu::event_id), Ok(&*event_id), "redaction changed the id");
    }
}

/// Authorization answers for any event in any state. `bytes`: a JSON array, the event first, then the state.
pub fn authorization(bytes: &[u8]) {
    let Ok(Value::Array(items)) = parse(bytes, Numbers::Legacy) else { return };
    for version in RoomVersion::ALL {
        let rules = version.rules();
        let events = items.iter().filter_map(|item| Pdu::parse_trusted(rules, &item.to_string(), None).ok());
        let events: Vec<Pdu> = events.collect();
        let Some((event, state)) = events.split_first() else { continue };
        let verdict = auth::check(rules, event, &state);
        assert_eq!(verdict, auth::check(rules, event, &state), "not a function of its arguments");
        let cited = || state.iter().map(|event| AuthEvent { event, rejected: false });
        let _ = auth::check_auth_events(rules, event, cited(), cited().next());
        let _ = auth::selection(rules, event.kind(), event.sender(), event.state_key(), event.content());
    }
}
