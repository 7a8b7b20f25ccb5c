//! `/rooms` and what belongs to rooms: creation, membership, sending, state, aliases, the directory.

mod aliases;
mod context;
mod create;
mod directory;
mod error;
mod event;
mod hierarchy;
mod initial_sync;
mod members;
mod membership;
mod messages;
mod paging;
mod public;
mod read_error;
mod receipts;
mod redact;
mod relations;
mod report;
mod send;
mod state_get;
mod state_put;
mod summary;
mod timestamp;
mod typing;
mod upgrade;

pub(super) use self::read_error::{filter as event_filter, show};
use super::super::Routes;

pub(super) fn routes() -> Routes {
    [
        aliases::routes(),
        context::routes(),
        create::routes(),
        directory::routes(),
        event::routes(),
        hierarchy::routes(),
        initial_sync::routes(),
        members::routes(),
        membership::routes(),
        messages::routes(),
        public::routes(),
        receipts::routes(),
        redact::routes(),
        relations::routes(),
        report::routes(),
        send::routes(),
        state_get::routes(),
        state_put::routes(),
        summary::routes(),
        timestamp::routes(),
        typing::routes(),
        upgrade::routes(),
    ]
    .into_iter()
    .fold(Routes::default(), Routes::and)
}
