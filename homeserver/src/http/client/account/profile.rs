//! `/profile/{userId}` and `/profile/{userId}/{keyName}`

use std::{collections::HashMap, fmt::Write as _};

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    account::Account,
    http::{ApiError, Json, Path, Query, RawObject, Routes},
    users::{Field, Profile, Requester, Users},
};

/// The name of the extended endpoints before v1.16, which clients in the field still use.
const UNSTABLE: &str = "/_matrix/client/unstable/uk.tcpip.msc4133/profile/{userId}/{keyName}";

pub(super) fn routes() -> Routes {
    Routes::default()
        .v3("GET", "profile/{userId}", get)
        .v3("GET", "profile/{userId}/{keyName}", get_field)
        .v3("PUT", "profile/{userId}/{keyName}", put)
        .v3("DELETE", "profile/{userId}/{keyName}", delete)
        .at("GET", UNSTABLE, get_field)
        .at("PUT", UNSTABLE, put)
        .at("DELETE", UNSTABLE, delete)
}

#[derive(Deserialize)]
struct Shown {
    /// Whether the user's rooms are to show it (MSC4069); they are where nothing is said.
    propagate: Option<bool>,
    #[serde(rename = "org.matrix.msc4069.propagate")]
    older: Option<bool>,
}

impl Shown {
    fn propagate(&self) -> bool {
        self.propagate.or(self.older).unwrap_or(true)
    }
}

/// Needs no access token.
async fn get(State(users): State<Users>, Path(user): Path<OwnedUserId>) -> Result<Response, ApiError> {
    let fields = find(&users, &user).await?.0;
    Ok(object(fields.iter().map(|(key, value)| (key.as_str(), &**value))))
}

/// Needs no access token.
async fn get_field(
    State(users): State<Users>,
    Path((user, key)): Path<(OwnedUserId, String)>,
) -> Result<Response, ApiError> {
    let fields = find(&users, &user).await?.0;
    let found = fields.iter().find(|(candidate, _)| *candidate == key);
    let (key, value) = found.ok_or_else(|| ApiError::not_found("This user's profile has no such field."))?;
    Ok(object([(key.as_str(), &**value)]))
}

async fn put(
    State(account): State<Account>,
    requester: Requester,
    Path((user, key)): Path<(OwnedUserId, String)>,
    Query(shown): Query<Shown>,
    body: RawObject,
) -> Result<Json<Value>, ApiError> {
    own(&requester, &user)?;
    let field = Field::parse(key)?;
    let fields: HashMap<String, Box<RawValue>> = body.read()?;
    let value = fields
        .get(field.as_str())
        .ok_or_else(|| ApiError::missing_param(format!("The body must have the key `{}`.", field.as_str())))?;
    account.set_profile(&requester, &field, Some(value), shown.propagate()).await?;
    Ok(Json(json!({})))
}

async fn delete(
    State(account): State<Account>,
    requester: Requester,
    Path((user, key)): Path<(OwnedUserId, String)>,
    Query(shown): Query<Shown>,
) -> Result<Json<Value>, ApiError> {
    own(&requester, &user)?;
    account.set_profile(&requester, &Field::parse(key)?, None, shown.propagate()).await?;
    Ok(Json(json!({})))
}

async fn find(users: &Users, user: &UserId) -> Result<Profile, ApiError> {
    users.profile(user).await?.ok_or_else(|| ApiError::not_found("There is no such user on this server."))
}

fn own(requester: &Requester, user: &UserId) -> Result<(), ApiError> {
    if requester.user_id == user {
        Ok(())
    } else {
        Err(ApiError::forbidden("A profile can be changed by its owner alone."))
    }
}

/// An object of values that are JSON already.
fn object<'a>(fields: impl IntoIterator<Item = (&'a str, &'a RawValue)>) -> Response {
    let mut text = String::from("{");
    for (key, value) in fields {
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing into a string can't fail.
        let _ = write!(text, "{comma}{}:{}", Value::from(key), value.get());
    }
    text.push('}');
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
