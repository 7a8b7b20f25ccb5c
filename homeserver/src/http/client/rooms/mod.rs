//! `/rooms` and what belongs to rooms: creation, membership, sending, state, aliases, the directory.

mod aliases;
mod context;
mod create;
mod directory;
mod error;
mod event;
mod members;
mod membership;
mod messages;
mod read_error;
mod receipts;
mod redact;
mod send;
mod state_get;
mod state_put;
mod typing;
mod upgrade;

use super::super::Routes;

pub(super) fn routes() -> Routes {
    [
        aliases::routes(),
        context::routes(),
        create::routes(),
        directory::routes(),
        event::routes(),
        members::routes(),
        membership::routes(),
        messages::routes(),
        receipts::routes(),
        redact::routes(),
        send::routes(),
        state_get::routes(),
        state_put::routes(),
        typing::routes(),
        upgrade::routes(),
    ]
    .into_iter()
    .fold(Routes::default(), Routes::and)
}
