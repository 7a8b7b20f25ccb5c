//! `/_matrix/client/v1/admin/{lock,suspend}/{userId}`: administrators lock and suspend accounts (v1.18).

use axum::extract::State;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use crate::{
    http::{ApiError, Json, Path, Routes},
    users::{AccountInfo, Requester, Users},
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .v1("GET", "admin/lock/{userId}", get_lock)
        .v1("PUT", "admin/lock/{userId}", put_lock)
        .v1("GET", "admin/suspend/{userId}", get_suspension)
        .v1("PUT", "admin/suspend/{userId}", put_suspension)
}

#[derive(Deserialize, Serialize)]
struct Lock {
    locked: bool,
}

#[derive(Deserialize, Serialize)]
struct Suspension {
    suspended: bool,
}

async fn get_lock(
    State(users): State<Users>,
    requester: Requester,
    Path(user): Path<OwnedUserId>,
) -> Result<Json<Lock>, ApiError> {
    Ok(Json(Lock { locked: find(&users, &requester, &user).await?.locked }))
}

async fn put_lock(
    State(users): State<Users>,
    requester: Requester,
    Path(user): Path<OwnedUserId>,
    Json(lock): Json<Lock>,
) -> Result<Json<Lock>, ApiError> {
    may_change(&requester, &find(&users, &requester, &user).await?)?;
    users.set_locked(user.as_str(), lock.locked).await?;
    Ok(Json(lock))
}

async fn get_suspension(
    State(users): State<Users>,
    requester: Requester,
    Path(user): Path<OwnedUserId>,
) -> Result<Json<Suspension>, ApiError> {
    Ok(Json(Suspension { suspended: find(&users, &requester, &user).await?.suspended }))
}

async fn put_suspension(
    State(users): State<Users>,
    requester: Requester,
    Path(user): Path<OwnedUserId>,
    Json(suspension): Json<Suspension>,
) -> Result<Json<Suspension>, ApiError> {
    may_change(&requester, &find(&users, &requester, &user).await?)?;
    users.set_suspended(user.as_str(), suspension.suspended).await?;
    Ok(Json(suspension))
}

async fn find(users: &Users, requester: &Requester, user: &OwnedUserId) -> Result<AccountInfo, ApiError> {
    if !requester.admin {
        return Err(ApiError::forbidden("Only administrators of this server may do this."));
    }
    if user.server_name() != users.server_name() {
        return Err(ApiError::invalid_param("This is a user of another server."));
    }
    let info = users.account(user.as_str()).await?;
    if info.deactivated { Err(ApiError::not_found("This account was deactivated.")) } else { Ok(info) }
}

fn may_change(requester: &Requester, info: &AccountInfo) -> Result<(), ApiError> {
    if info.admin || info.user_id == requester.user_id {
        return Err(ApiError::forbidden("Administrators can't lock or suspend themselves or one another."));
    }
    Ok(())
}
