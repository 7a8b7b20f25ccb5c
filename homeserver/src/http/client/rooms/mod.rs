//! `/rooms` and what belongs to rooms: creation, membership, sending, state, aliases, the directory.

mod aliases;
mod create;
mod directory;
mod error;
mod membership;
mod redact;
mod send;
mod state_put;
mod upgrade;

use super::super::Routes;

pub(super) fn routes() -> Routes {
    [
        aliases::routes(),
        create::routes(),
        directory::routes(),
        membership::routes(),
        redact::routes(),
        send::routes(),
        state_put::routes(),
        upgrade::routes(),
    ]
    .into_iter()
    .fold(Routes::default(), Routes::and)
}
