//! Accounts: register, log in and out, devices, profiles, and what users set about themselves.

mod capabilities;
mod deactivate;
mod devices;
mod error;
mod login;
mod login_token;
mod logout;
mod moderation;
mod openid;
mod password;
mod profile;
mod refresh;
mod register;
mod registration;
mod shared_secret;
mod third_party;
mod whoami;

use crate::http::Routes;

pub(super) fn routes() -> Routes {
    [
        capabilities::routes(),
        deactivate::routes(),
        devices::routes(),
        login::routes(),
        login_token::routes(),
        logout::routes(),
        moderation::routes(),
        openid::routes(),
        password::routes(),
        profile::routes(),
        refresh::routes(),
        register::routes(),
        registration::routes(),
        shared_secret::routes(),
        third_party::routes(),
        whoami::routes(),
    ]
    .into_iter()
    .fold(Routes::default(), Routes::and)
}
