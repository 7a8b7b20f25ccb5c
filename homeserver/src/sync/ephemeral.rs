//! `ephemeral`: receipts and who is typing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::Sync;
use crate::{
    log::LogReceipt,
    rooms::render::push_string,
    storage::{self, Pos, Result, RoomNr, Sym, UserNr, sync::Receipt},
};

const READ: i16 = 1;
const READ_PRIVATE: i16 = 2;

impl Sync {
    /// For each room the receipts with `since < pos <= until` that `reader` may see; from memory as far as possible.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn receipts(
        &self,
        rooms: &[(RoomNr, Pos)],
        until: Pos,
        reader: UserNr,
    ) -> Result<HashMap<RoomNr, Vec<Receipt>>> {
        let mut found: HashMap<RoomNr, Vec<Receipt>> = HashMap::new();
        let mut missing = Vec::new();
        for (room, since) in rooms {
            match self.0.caches.touched.receipts(*room, *since, until) {
                Some(receipts) if receipts.is_empty() => {}
                Some(receipts) => {
                    let visible =
                        receipts.iter().filter(|r| !r.private || r.user == reader).map(Receipt::from).collect();
                    found.insert(*room, visible);
                }
                None => missing.push((*room, *since)),
            }
        }
        if !missing.is_empty() {
            for receipt in storage::sync::receipts(&self.0.pool, &missing, until, reader).await? {
                found.entry(receipt.room).or_default().push(receipt);
            }
        }
        Ok(found)
    }
}

impl From<&LogReceipt> for Receipt {
    fn from(receipt: &LogReceipt) -> Self {
        Self {
            room: receipt.room,
            user: receipt.user,
            kind: if receipt.private { READ_PRIVATE } else { READ },
            thread: (*receipt.thread).to_owned(),
            event_id: (*receipt.event_id).to_owned(),
            ts: receipt.ts,
            pos: receipt.pos,
        }
    }
}

/// By event, kind and user.
type Content<'a> = BTreeMap<&'a str, BTreeMap<i16, BTreeMap<UserNr, &'a Receipt>>>;

/// The receipts as `m.receipt` events. There are several where a user's receipts for different threads point to one event:
/// the content has room for one each.
pub(super) fn receipt_events(receipts: &[Receipt], names: &HashMap<Sym, Arc<str>>) -> Vec<String> {
    let mut newest: BTreeMap<(UserNr, i16, &str), &Receipt> = BTreeMap::new();
    for receipt in receipts {
        newest.insert((receipt.user, receipt.kind, &receipt.thread), receipt);
    }
    let mut contents: Vec<Content<'_>> = Vec::new();
    for receipt in newest.into_values() {
        let taken = |content: &Content<'_>| {
            let kinds = content.get(&*receipt.event_id);
            kinds.and_then(|kinds| kinds.get(&receipt.kind)).is_some_and(|users| users.contains_key(&receipt.user))
        };
        let at = contents.iter().position(|content| !taken(content)).unwrap_or(contents.len());
        if at == contents.len() {
            contents.push(Content::new());
        }
        let kinds = contents[at].entry(&receipt.event_id).or_default();
        kinds.entry(receipt.kind).or_default().insert(receipt.user, receipt);
    }
    contents.iter().map(|content| receipt_event(content, names)).collect()
}

fn receipt_event(content: &Content<'_>, names: &HashMap<Sym, Arc<str>>) -> String {
    let mut out = String::from("{\"content\":{");
    for (i, (event_id, kinds)) in content.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        push_string(&mut out, event_id);
        out.push_str(":{");
        for (i, (kind, users)) in kinds.iter().enumerate() {
            out.push_str(if i > 0 { "," } else { "" });
            out.push_str(if *kind == READ { "\"m.read\":{" } else { "\"m.read.private\":{" });
            for (i, (user, receipt)) in users.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                push_string(&mut out, names.get(user).map_or("", |name| name));
                out.push_str(":{\"ts\":");
                out.push_str(&receipt.ts.to_string());
                if !receipt.thread.is_empty() {
                    out.push_str(",\"thread_id\":");
                    push_string(&mut out, &receipt.thread);
                }
                out.push('}');
            }
            out.push('}');
        }
        out.push('}');
    }
    out.push_str("},\"type\":\"m.receipt\"}");
    out
}

/// Who is typing, as an `m.typing` event.
pub(super) fn typing_event<'a>(users: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::from("{\"content\":{\"user_ids\":[");
    for (i, user) in users.into_iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        push_string(&mut out, user);
    }
    out.push_str("]},\"type\":\"m.typing\"}");
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn receipt(user: i32, kind: i16, thread: &str, event: &str, pos: i64) -> Receipt {
        Receipt {
            room: RoomNr(1),
            user: Sym(user),
            kind,
            thread: thread.into(),
            event_id: event.into(),
            ts: pos * 10,
            pos: Pos(pos),
        }
    }

    fn events(receipts: &[Receipt]) -> Vec<Value> {
        let names = HashMap::from([(Sym(1), "@a:s".into()), (Sym(2), "@b:s".into())]);
        receipt_events(receipts, &names).iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    #[test]
    fn the_newest_receipt_of_each_kind_counts() {
        let shown = events(&[
            receipt(1, READ, "", "$1", 1),
            receipt(1, READ, "", "$2", 2),
            receipt(2, READ, "", "$2", 3),
            receipt(2, READ_PRIVATE, "", "$3", 4),
        ]);
        let content = json!({
            "$2": {"m.read": {"@a:s": {"ts": 20}, "@b:s": {"ts": 30}}},
            "$3": {"m.read.private": {"@b:s": {"ts": 40}}}});
        assert_eq!(shown, [json!({"type": "m.receipt", "content": content})]);
    }

    #[test]
    fn receipts_for_two_threads_on_one_event_are_told_in_two_events() {
        let shown = events(&[receipt(1, READ, "main", "$1", 1), receipt(1, READ, "$t", "$1", 2)]);
        let threads: Vec<_> = shown.iter().map(|e| &e["content"]["$1"]["m.read"]["@a:s"]["thread_id"]).collect();
        assert_eq!(threads, ["$t", "main"]);
    }

    #[test]
    fn typing_names_users() {
        let shown: Value = serde_json::from_str(&typing_event(["@a:s", "@\":s"])).unwrap();
        assert_eq!(shown, json!({"type": "m.typing", "content": {"user_ids": ["@a:s", "@\":s"]}}));
        assert_eq!(typing_event([]), r#"{"content":{"user_ids":[]},"type":"m.typing"}"#);
    }
}
