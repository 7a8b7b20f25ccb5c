//! `roost user …`

use serde_json::{Value, json};

use super::{
    arguments::{Place, UserCommand},
    open::with_users,
    output::{Failure, print},
    password,
};
use crate::{
    clock::now_ms,
    users::{AccountError, AccountInfo, DeviceInfo, NewAccount, Password, Users},
};

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
        UserCommand::Suspend { name, place } => {
            change(&place, &name, "is suspended", async |users| users.set_suspended(&name, true).await)
        }
        UserCommand::Unsuspend { name, place } => {
            change(&place, &name, "is not suspended any more", async |users| users.set_suspended(&name, false).await)
        }
        UserCommand::Promote { name, place } => {
            change(&place, &name, "is an administrator", async |users| users.set_admin(&name, true).await)
        }
        UserCommand::Demote { name, place } => {
            change(&place, &name, "is no administrator", async |users| users.set_admin(&name, false).await)
        }
        UserCommand::Devices { name, place } => devices(&place, &name),
        UserCommand::LogOut { name, device, place } => {
            let done = if device.is_some() { "is logged out on it" } else { "is logged out everywhere" };
            change(&place, &name, done, async |users| users.end_devices(&name, device.as_deref()).await)
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

fn devices(place: &Place, name: &str) -> Result<(), Failure> {
    let devices = with_users(place, async |users| users.devices_of(name).await.map_err(|error| about(name, error)))?;
    let text: Vec<_> = devices.iter().map(device_line).collect();
    let value: Vec<_> = devices.iter().map(device_value).collect();
    print(place.json, &value, if text.is_empty() { "No devices.".to_owned() } else { text.join("\n") })
}

fn device_value(device: &DeviceInfo) -> Value {
    json!({
        "device_id": device.device_id,
        "display_name": device.display_name,
        "last_seen_ts": device.last_seen_ts,
        "last_seen_ip": device.last_seen_ip,
    })
}

fn device_line(device: &DeviceInfo) -> String {
    let ago = device.last_seen_ts.map_or_else(|| "never seen".to_owned(), |ts| ago(now_ms() - ts));
    let from = device.last_seen_ip.as_ref().map(|ip| format!(" from {ip}")).unwrap_or_default();
    format!("{:20} {ago}{from}  {}", device.device_id, device.display_name.as_deref().unwrap_or_default())
        .trim_end()
        .to_owned()
}

fn ago(ms: i64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        ..2 => "seen just now".to_owned(),
        2..120 => format!("seen {minutes} minutes ago"),
        120..2880 => format!("seen {} hours ago", minutes / 60),
        _ => format!("seen {} days ago", minutes / 1440),
    }
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
