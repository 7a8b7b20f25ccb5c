//! The specification's own examples, from the appendices and the room version pages.

use roost_spec::{
    canonical_json::{Numbers, Object, parse, parse_object},
    event::Pdu,
    hash, redaction,
    room_version::RoomVersion,
    signature::{KeyRing, PublishedKey, Signer, verify_object},
};

/// "SIGNING_KEY_SEED", base64-decoded.
const SEED: [u8; 32] = [
    0x60, 0x90, 0xc1, 0x03, 0xd5, 0xe7, 0xaf, 0x6b, 0x15, 0xa9, 0x70, 0xfd, 0x56, 0x3e, 0xd7, 0x55, 0x49, 0xe6, 0x15,
    0x97, 0x19, 0xae, 0x5c, 0x3c, 0x31, 0xde, 0xe4, 0x31, 0x6f, 0xb7, 0x5c, 0x0d,
];

fn signer() -> Signer {
    Signer::new("domain", "ed25519:1", &SEED)
}

fn object(json: &str) -> Object {
    parse_object(json.as_bytes(), Numbers::Strict).unwrap()
}

/// Hashes and signs as the specification's example code does, whatever keys the example leaves out.
fn hash_and_sign(version: RoomVersion, json: &str) -> Object {
    let mut event = object(json);
    let sha256 = base64(&hash::content_hash(&event));
    event.insert("hashes", Object::from([("sha256", sha256)]));
    let mut redacted = redaction::redact(version.rules(), &event);
    signer().sign_object(&mut redacted);
    event.insert("signatures", redacted.remove("signatures").unwrap());
    event
}

fn base64(bytes: &[u8]) -> String {
    use ruma_common::serde::{Base64, base64::Standard};
    Base64::<Standard, _>::new(bytes).encode()
}

#[test]
fn canonical_json() {
    let cases = [
        ("{}", "{}"),
        (r#"{ "one": 1, "two": "Two" }"#, r#"{"one":1,"two":"Two"}"#),
        (r#"{ "b": "2", "a": "1" }"#, r#"{"a":"1","b":"2"}"#),
        (r#"{"b":"2","a":"1"}"#, r#"{"a":"1","b":"2"}"#),
        (
            r#"{ "auth": { "success": true, "mxid": "@john.doe:example.com", "profile": { "display_name": "John Doe",
                "three_pids": [ { "medium": "email", "address": "john.doe@example.org" },
                                { "medium": "msisdn", "address": "123456789" } ] } } }"#,
            r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
        ),
        (r#"{ "a": "日本語" }"#, r#"{"a":"日本語"}"#),
        (r#"{ "本": 2, "日": 1 }"#, r#"{"日":1,"本":2}"#),
        (r#"{ "a": "\u65E5" }"#, r#"{"a":"日"}"#),
        (r#"{ "a": null }"#, r#"{"a":null}"#),
        (r#"{ "a": -0, "b": 1e10 }"#, r#"{"a":0,"b":10000000000}"#),
    ];
    for (json, canonical) in cases {
        assert_eq!(parse(json.as_bytes(), Numbers::Lenient).unwrap().to_string(), canonical);
    }
}

#[test]
fn json_signing() {
    let signed = |json: &str| {
        let mut object = object(json);
        signer().sign_object(&mut object);
        object.to_string()
    };
    assert_eq!(
        signed("{}"),
        r#"{"signatures":{"domain":{"ed25519:1":"K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"}}}"#
    );
    assert_eq!(
        signed(r#"{"one":1,"two":"Two"}"#),
        r#"{"one":1,"signatures":{"domain":{"ed25519:1":"KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"}},"two":"Two"}"#
    );
}

#[test]
fn a_signature_leaves_room_for_unsigned_data_and_for_other_signatures() {
    let mut object = object(r#"{"one":1,"signatures":{"other":{"ed25519:x":"y"}},"two":"Two","unsigned":{"age":1}}"#);
    signer().sign_object(&mut object);
    assert!(object.get_object("signatures").unwrap().contains_key("other"));
    assert!(object.contains_key("unsigned"));
    verify_object(&object, "domain", &Keys).unwrap();
    object.insert("one", 2_i64);
    verify_object(&object, "domain", &Keys).unwrap_err();
}

struct Keys;

impl KeyRing for Keys {
    fn key(&self, server_name: &str, key_id: &str) -> Option<PublishedKey> {
        let known = (server_name, key_id) == ("domain", "ed25519:1");
        known.then(|| PublishedKey { key: signer().verify_key(), valid_until_ts: None, expired_ts: None })
    }
}

#[test]
fn signing_of_a_minimal_event() {
    let event = hash_and_sign(
        RoomVersion::V1,
        r#"{ "room_id": "!x:domain", "sender": "@a:domain", "origin": "domain", "origin_server_ts": 1000000,
            "signatures": {}, "hashes": {}, "type": "X", "content": {}, "prev_events": [], "auth_events": [], "depth": 3,
            "unsigned": { "age_ts": 1000000 } }"#,
    );
    assert_eq!(
        event,
        object(
            r#"{ "auth_events": [], "content": {}, "depth": 3,
            "hashes": { "sha256": "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos" },
            "origin": "domain", "origin_server_ts": 1000000, "prev_events": [], "room_id": "!x:domain", "sender": "@a:domain",
            "signatures": { "domain": { "ed25519:1":
                "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg" } },
            "type": "X", "unsigned": { "age_ts": 1000000 } }"#
        )
    );
}

#[test]
fn signing_of_an_event_with_redactable_content() {
    let event = hash_and_sign(
        RoomVersion::V1,
        r#"{ "content": { "body": "Here is the message content" }, "event_id": "$0:domain", "origin": "domain",
            "origin_server_ts": 1000000, "type": "m.room.message", "room_id": "!r:domain", "sender": "@u:domain",
            "signatures": {}, "unsigned": { "age_ts": 1000000 } }"#,
    );
    assert_eq!(
        event,
        object(
            r#"{ "content": { "body": "Here is the message content" }, "event_id": "$0:domain",
            "hashes": { "sha256": "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g" }, "origin": "domain",
            "origin_server_ts": 1000000, "type": "m.room.message", "room_id": "!r:domain", "sender": "@u:domain",
            "signatures": { "domain": { "ed25519:1":
                "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA" } },
            "unsigned": { "age_ts": 1000000 } }"#
        )
    );
}

/// Only the encodings differ: the same hash, with `/` and `+` or without.
#[test]
fn event_ids_of_versions_3_and_4_encode_one_hash() {
    let json = r#"{"auth_events":[],"content":{},"depth":3,"hashes":{"sha256":"5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos"},
        "origin_server_ts":1000000,"prev_events":[],"room_id":"!x:domain","sender":"@a:domain","signatures":{},"type":"X"}"#;
    let id = |version: RoomVersion| Pdu::parse_trusted(version.rules(), json, None).unwrap().event_id().to_owned();
    assert_eq!(id(RoomVersion::V3).replace('/', "_").replace('+', "-"), id(RoomVersion::V4));
    assert_eq!(id(RoomVersion::V4).len(), 44);
}
