//! `roost user …`

use serde_json::json;

use super::{
    arguments::{Place, UserCommand},
    open::with_users,
    output::{Failure, print},
    password,
};
use crate::users::{AccountError, AccountInfo, NewAccount, Password, Users};

/// Accounts that are read at once.
const PAGE: i64 = 1000;

pub(super) fn run(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, admin, password_stdin, place } => {
            let password = ask(password_stdin)?;
            let user_id = with_users(&place, async |users| {
                let localpart = users.check_name(&name).await.map_err(|e| about(&name, e))?;
                let new = NewAccount {
                    name: Some(localpart),
                    password: Some(password),
                    admin,
                    registration_token: None,
                    session: None,
                };
                users.create(new).await.map_err(|e| about(&name, e))
            })?;
            let role = if admin { " as an administrator" } else { "" };
            print(place.json, &json!({ "user_id": user_id, "admin": admin }), format_args!("Added {user_id}{role}."))
        }
        UserCommand::Password { name, password_stdin, place } => {
            let password = ask(password_stdin)?;
            change(&place, &name, "has a new password; all devices are logged out", async |users| {
                users.reset_password(&name, password).await
            })
        }
        UserCommand::Lock { name, place } => {
            change(&place, &name, "is locked", async |users| users.set_locked(&name, true).await)
        }
        UserCommand::Unlock { name, place } => {
            change(&place, &name, "is unlocked", async |users| users.set_locked(&name, false).await)
        }
        UserCommand::Deactivate { name, erase, place } => {
            change(&place, &name, "is deactivated for good; a running server leaves the user's rooms", async |users| {
                users.deactivate(&name, erase).await.map(|_| ())
            })
        }
        UserCommand::List { place } => list(&place),
    }
}

/// Does one thing to one account and says so.
fn change(
    place: &Place,
    name: &str,
    done: &str,
    work: impl AsyncFnOnce(&Users) -> Result<(), AccountError>,
) -> Result<(), Failure> {
    let account = with_users(place, async |users| {
        work(&users).await.map_err(|e| about(name, e))?;
        users.account(name).await.map_err(|e| about(name, e))
    })?;
    print(place.json, &account, format_args!("{} {done}.", account.user_id))
}

fn list(place: &Place) -> Result<(), Failure> {
    let accounts = with_users(place, async |users| {
        let mut all: Vec<AccountInfo> = Vec::new();
        loop {
            let after = all.last().map_or(String::new(), |account| account.user_id.localpart().to_owned());
            let page = users.accounts(&after, PAGE).await.map_err(Failure::refused)?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    })?;
    let text: Vec<_> = accounts.iter().map(line).collect();
    print(place.json, &accounts, if text.is_empty() { "No accounts yet.".to_owned() } else { text.join("\n") })
}

fn line(account: &AccountInfo) -> String {
    let marks = [
        (account.admin, "admin"),
        (account.locked, "locked"),
        (account.suspended, "suspended"),
        (account.deactivated, "deactivated"),
    ];
    let marks: Vec<_> = marks.into_iter().filter_map(|(holds, mark)| holds.then_some(mark)).collect();
    format!("{:40} {}", account.user_id, marks.join(", ")).trim_end().to_owned()
}

fn ask(from_stdin: bool) -> Result<Password, Failure> {
    password::read(from_stdin).map(|text| Password::new(text.expose().to_owned()))
}

fn about(name: &str, error: impl std::fmt::Display) -> Failure {
    Failure::refused(format_args!("{name}: {error}"))
}
