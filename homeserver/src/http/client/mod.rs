//! The client-server API. Folders and files mirror its URL tree.

mod account;
mod account_data;
mod filter;
mod keys;
mod media;
mod notifications;
mod presence;
mod push_rules;
mod pushers;
mod room_keys;
mod rooms;
mod search;
mod send_to_device;
mod sliding_sync;
mod sync;
mod tags;
mod user_directory;
mod versions;
mod well_known;

use super::Routes;

pub(super) fn routes() -> Routes {
    Routes::default()
        .and(account::routes())
        .and(account_data::routes())
        .and(filter::routes())
        .and(keys::routes())
        .and(media::routes())
        .and(notifications::routes())
        .and(presence::routes())
        .and(push_rules::routes())
        .and(pushers::routes())
        .and(room_keys::routes())
        .and(rooms::routes())
        .and(search::routes())
        .and(send_to_device::routes())
        .and(sliding_sync::routes())
        .and(sync::routes())
        .and(tags::routes())
        .and(user_directory::routes())
        .and(versions::routes())
        .and(well_known::routes())
}
