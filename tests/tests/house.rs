//! The arrows of the house: reads the imports of every room and fails on one that ARCHITECTURE.md does not allow.
//!
//! **Invariant:** a rule that is not written here does not hold for long.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Ranks of the homeserver, lowest first: a rank may use those before it, never one after it, nor one beside it.
const RANKS: &[&[&str]] = &[
    &["storage", "bell"],
    &["log"],
    &["users"],
    &["keys", "rooms", "presence"],
    &["sync", "push", "appservice", "outbound", "oauth", "media"],
    &["account", "inbound"],
    &["admin", "backup"],
    &["http"],
    &["cli", "app"],
];

/// Rooms that any rank may use, and that use no room but the first.
const LEAVES: &[&str] = &["backoff", "cache", "clock", "config", "metrics", "postgres", "random", "reach"];

/// Crates that only one room may know.
const KEEPERS: &[(&str, &[&str])] = &[
    ("axum", &["http"]),
    ("tower", &["http"]),
    ("tower_http", &["http"]),
    ("hyper", &["http"]),
    ("hyper_util", &["http"]),
    ("async_nats", &["bell"]),
    ("clap", &["cli"]),
    ("ruma_state_res", &[]),
    ("ruma_signatures", &[]),
];

/// What a crate of ours may depend on, and what it must not.
const CRATES: &[(&str, &[&str], &[&str])] = &[
    ("spec", &[], &["tokio", "sqlx", "axum", "hyper", "reqwest", "rand", "getrandom", "async-nats"]),
    ("federation", &["roost-spec"], &["axum", "sqlx", "async-nats"]),
    ("homeserver", &["roost-spec", "roost-federation"], &["ruma-state-res", "ruma-signatures"]),
    ("client-sdk", &["roost-spec"], &["axum", "async-nats"]),
];

/// Folders whose files use each other in one direction. A `mod.rs` names all its files, and is no part of it. To be extended,
/// never shortened.
const WITHOUT_CIRCLES: &[&str] = &["homeserver/src/cli/doctor", "homeserver/src/sync"];

#[test]
fn rooms_use_only_what_stands_below_them() {
    let mut wrong = Vec::new();
    for (path, text) in sources("homeserver/src") {
        let Some(room) = room_of(&path) else { continue };
        let own = rank(&room);
        if own.is_none() && !LEAVES.contains(&room.as_str()) {
            wrong.push(format!(
                "{}: the room `{room}` has no rank; give it one in tests/tests/house.rs",
                path.display()
            ));
            continue;
        }
        for used in used_rooms(&text) {
            let allowed = used == room
                || (own.is_some() && LEAVES.contains(&used.as_str()))
                || used == LEAVES[0]
                || own.zip(rank(&used)).is_some_and(|(own, used)| used < own);
            if !allowed {
                wrong.push(format!("{}: `{room}` must not use `{used}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_library_stays_in_its_room() {
    let mut wrong = Vec::new();
    for (path, text) in sources("homeserver/src") {
        let Some(room) = room_of(&path) else { continue };
        for (library, rooms) in KEEPERS {
            if !rooms.contains(&room.as_str()) && names(&text, library) {
                wrong.push(format!("{}: `{library}` belongs to {rooms:?}", path.display()));
            }
        }
        // Storage is the only room with SQL; other rooms may hold a pool, never a query.
        let asks = ["sqlx::query", "query_as(", "query_scalar(", "QueryBuilder"].iter().any(|call| text.contains(call));
        if room != "storage" && asks {
            wrong.push(format!("{}: SQL belongs to storage", path.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A task that nobody owns outlives what it works on.
#[test]
fn every_task_has_an_owner() {
    // Whoever spawns there keeps the handle, and waits for it; or the task ends by itself within seconds.
    const KEPT: &[&str] = &["homeserver/src/postgres/cluster.rs", "homeserver/src/users/password.rs"];
    let mut wrong = Vec::new();
    for (path, text) in sources("homeserver/src") {
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        if text.contains("tokio::spawn(") && !KEPT.contains(&shown.as_str()) {
            wrong.push(format!("{shown}: spawn it on the node's TaskTracker"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn crates_depend_only_downwards() {
    let mut wrong = Vec::new();
    for (folder, ours, never) in CRATES {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for (name, line) in dependencies(&manifest) {
            if name.starts_with("roost") && !ours.contains(&name) {
                wrong.push(format!("{folder} must not depend on {name}"));
            }
            if never.contains(&name) {
                wrong.push(format!("{folder} must not know {name}"));
            }
            if *folder == "client-sdk" && name == "roost-spec" && line.contains("server") {
                wrong.push("client-sdk must not compile the protocol's server part".to_owned());
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_keep_to_the_house_style() {
    let mut wrong = Vec::new();
    for folder in ["spec/src", "federation/src", "homeserver/src", "client-sdk/src", "tests/src"] {
        for (path, text) in sources(folder) {
            let shown = path.strip_prefix(root()).unwrap_or(&path).display();
            if !text.starts_with("//!") {
                wrong.push(format!("{shown}: begins with no word on what it is for"));
            }
            // The needle is put together so that this file does not find itself.
            if text.contains(concat!("#[al", "low(")) || text.contains(concat!("#![al", "low(")) {
                wrong.push(format!("{shown}: write #[expect(…, reason = …)]"));
            }
            let is_head =
                path.ends_with("mod.rs") && path.parent().and_then(Path::parent).is_some_and(|p| p.ends_with("src"));
            if is_head && !text.contains("**Invariant:**") {
                wrong.push(format!("{shown}: names no invariant"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_of_a_folder_use_each_other_in_one_direction() {
    for folder in WITHOUT_CIRCLES {
        let here = root().join(folder);
        let files: BTreeMap<String, String> = sources(folder)
            .into_iter()
            .filter(|(path, _)| path.parent() == Some(&*here) && !path.ends_with("mod.rs"))
            .filter_map(|(path, text)| Some((path.file_stem()?.to_string_lossy().into_owned(), text)))
            .collect();
        let circle = circle(&files);
        assert!(circle.is_empty(), "{folder}: {circle:?} use each other in a circle, or what does");
    }
}

/// The files that use each other in circles, or one that does.
fn circle(files: &BTreeMap<String, String>) -> BTreeSet<String> {
    // Tests may use what they like.
    let product = |text: &str| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    let mut left: BTreeMap<String, BTreeSet<String>> =
        files.iter().map(|(name, text)| (name.clone(), first_parts(&product(text), "super::"))).collect();
    // Whatever uses nothing that is left is in no circle.
    while let Some(free) =
        left.iter().find(|(_, used)| !used.iter().any(|used| left.contains_key(used))).map(|(name, _)| name.clone())
    {
        left.remove(&free);
    }
    left.into_keys().collect()
}

#[test]
fn circles_are_seen() {
    let found = |list: &[(&str, &str)]| {
        let files = list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        circle(&files).into_iter().collect::<Vec<_>>()
    };
    let none = [("a", "use super::b::B;"), ("b", "use super::super::x;\n#[cfg(test)]\nuse super::a;")];
    assert!(found(&none).is_empty());
    assert_eq!(found(&[("a", "use super::{b::B, c};"), ("b", "fn f(a: super::a::A) {}"), ("c", "")]), ["a", "b"]);
}

/// The checks must see what they are to forbid.
#[test]
fn imports_are_read_in_every_notation() {
    let text = "use crate::{\n    bell::Bell,\n    storage::{self, Pos, log::X},\n};\nuse crate::users;\nfn f() -> crate::media::Id {}\n\
                // use crate::http;\nlet s = \"crate::cli\"; /* crate::app */";
    let used: Vec<_> = used_rooms(&code_only(text)).into_iter().collect();
    assert_eq!(used, ["bell", "media", "storage", "users"]);
    assert!(names(&code_only("use axum::Router;"), "axum") && names("fn f(x: axum::Router)", "axum"));
    assert!(!names(&code_only("/// like axum::serve\nuse my_axum::x;"), "axum"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn rank(room: &str) -> Option<usize> {
    RANKS.iter().position(|rooms| rooms.contains(&room))
}

/// The room that a file stands in; `lib.rs` and `main.rs` stand in none.
fn room_of(path: &Path) -> Option<String> {
    let source = root().join("homeserver/src");
    let inside = path.strip_prefix(source).ok()?;
    let first = inside.components().next()?.as_os_str().to_string_lossy().into_owned();
    match first.strip_suffix(".rs") {
        Some("lib" | "main") => None,
        Some(room) => Some(room.to_owned()),
        None => Some(first),
    }
}

/// All Rust files under a folder; comments and texts are blanked in all but heads and attributes.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = code_only(&text);
                let head: String =
                    text.lines().take_while(|line| line.starts_with("//!")).map(|l| format!("{l}\n")).collect();
                files.push((path, head + &code));
            }
        }
    }
    assert!(!files.is_empty(), "{folder} holds no source");
    files.sort();
    files
}

/// Without line comments, block comments and the inside of texts.
fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if first == '"' {
            text_length(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") {
            4.min(rest.len()) - usize::from(first == '\'')
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        rest = &rest[skip..];
    }
    out
}

/// The length of the text that `rest` begins with, quotes included.
fn text_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The rooms named by `crate::…`.
fn used_rooms(code: &str) -> BTreeSet<String> {
    let mut rooms = first_parts(code, "crate::");
    rooms.retain(|room| rank(room).is_some() || LEAVES.contains(&room.as_str()));
    rooms
}

/// The first part of each path behind `prefix`, groups included.
fn first_parts(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            parts.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && !c.is_whitespace() => {
                    parts.insert(word(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    parts
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether code names a path into a library.
fn names(code: &str, library: &str) -> bool {
    code.match_indices(library).any(|(at, found)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + found.len()..];
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') && after.starts_with("::")
    })
}

/// Names and lines of `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<(&str, &str)> {
    let section = manifest.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap_or_default();
    let named = |line: &str| line.find(['.', ' ', '=']).map(|end| (end, line.len()));
    section.lines().skip(1).filter_map(|line| named(line).map(|(end, _)| (&line[..end], line))).collect()
}
