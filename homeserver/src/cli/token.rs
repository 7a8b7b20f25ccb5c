//! `roost token …`: registration tokens.

use serde_json::{Value, json};

use super::{
    arguments::{Place, TokenCommand},
    open::with_users,
    output::{Failure, print},
};
use crate::{clock::now_ms, storage::registration_token::RegistrationToken};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) fn run(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Add { token, uses, days, place } => {
            let uses = uses.map(i32::from);
            let expires_ts = days.map(|days| now_ms() + i64::from(days) * DAY_MS);
            let added = with_users(&place, async |users| {
                let added = users.add_registration_token(token.as_deref(), uses, expires_ts).await;
                added.map_err(Failure::refused)
            })?;
            let shown = json!({ "token": added, "uses_allowed": uses, "expires_ts": expires_ts });
            print(place.json, &shown, &added)
        }
        TokenCommand::Revoke { token, place } => {
            let revoked = with_users(&place, async |users| {
                users.revoke_registration_token(&token).await.map_err(Failure::refused)
            })?;
            if !revoked {
                return Err(Failure::refused(format_args!("{token}: there is no such registration token")));
            }
            print(place.json, &json!({ "token": token, "revoked": true }), format_args!("Revoked {token}."))
        }
        TokenCommand::List { place } => list(&place),
    }
}

fn list(place: &Place) -> Result<(), Failure> {
    let tokens = with_users(place, async |users| users.registration_tokens().await.map_err(Failure::refused))?;
    let values: Vec<Value> = tokens.iter().map(value).collect();
    let text: Vec<_> = tokens.iter().map(line).collect();
    print(place.json, &values, if text.is_empty() { "No registration tokens.".to_owned() } else { text.join("\n") })
}

fn value(token: &RegistrationToken) -> Value {
    json!({
        "token": token.token,
        "uses_allowed": token.uses_allowed,
        "completed": token.completed,
        "expires_ts": token.expires_ts,
        "created_ts": token.created_ts,
        "quickstart": token.standing,
    })
}

fn line(token: &RegistrationToken) -> String {
    let allowed = token.uses_allowed.map_or("any number of times".to_owned(), |uses| format!("{uses} times"));
    let days = token.expires_ts.map(|ts| (ts - now_ms()) / DAY_MS);
    let expires = match days {
        None => String::new(),
        Some(days) if days < 0 => ", expired".to_owned(),
        Some(days) => format!(", expires in {days} days"),
    };
    let standing = if token.standing { ", printed by quickstart" } else { "" };
    format!("{:20} used {} times of {allowed}{expires}{standing}", token.token, token.completed)
}
