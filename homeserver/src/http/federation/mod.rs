//! The server-server API, as far as it is served: who this is.

mod openid;
mod version;

use super::Routes;

pub(super) fn routes() -> Routes {
    Routes::default().and(openid::routes()).and(version::routes())
}
