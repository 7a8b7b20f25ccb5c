//! User-interactive authentication, as endpoints use it: [`Uia`] is taken out of a request and asked whether to go on.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ApiError, ClientAddr,
    limits::{Limited, Limits, Whom},
};
use crate::users::{
    Answer, Challenge, Doubt, Ends, Flows, Interacted, Made, Operation, Password, Proof, Requester, Stage, Users,
};

/// Asks the request's sender for proof.
pub struct Uia {
    users: Users,
    limits: Limits,
    address: IpAddr,
    /// Method and path: a session is good for one of them.
    operation: String,
    detail: String,
    ends: Ends,
}

/// What was passed.
pub struct Passed {
    pub session: String,
    pub registration_token: Option<String>,
}

/// `auth` as clients write it. Who names no type asks how far the session is.
#[derive(Default, Deserialize)]
struct Auth {
    #[serde(rename = "type")]
    kind: Option<String>,
    session: Option<String>,
    identifier: Option<Identifier>,
    /// Before `identifier` there was this.
    user: Option<String>,
    password: Option<Password>,
    token: Option<String>,
}

/// How a client says who is meant.
#[derive(Deserialize)]
pub(super) struct Identifier {
    #[serde(rename = "type")]
    pub kind: String,
    pub user: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Uia
where
    Users: FromRef<S>,
    Limits: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let address = parts.extensions.get::<ClientAddr>().map_or(Ipv4Addr::UNSPECIFIED.into(), |it| it.0);
        Ok(Self {
            users: Users::from_ref(state),
            limits: Limits::from_ref(state),
            address,
            operation: format!("{} {}", parts.method, parts.uri.path()),
            detail: String::new(),
            ends: Ends::Once,
        })
    }
}

impl Uia {
    /// Binds the session to more than the address: it is no good for another `detail`.
    #[must_use]
    pub fn about(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Says what becomes of the session; without this it is used up.
    #[must_use]
    pub fn ending(mut self, ends: Ends) -> Self {
        self.ends = ends;
        self
    }

    /// Goes on if `auth` holds, or completes, the requester's password.
    ///
    /// # Errors
    /// 401 with what is still to be shown.
    pub async fn require_password(&self, requester: &Requester, auth: Option<&Value>) -> Result<(), ApiError> {
        self.require(Some(requester), &[&[Stage::Password]], auth).await.map(|_| ())
    }

    /// What the session named in `auth` made already, for a client whose answer was lost.
    ///
    /// # Errors
    /// The database's own.
    pub async fn made(&self, auth: Option<&Value>) -> Result<Option<Made>, ApiError> {
        let session = auth.and_then(|auth| auth.get("session")).and_then(Value::as_str);
        match session {
            Some(session) => Ok(self.users.made_in(session, &self.operation).await?),
            None => Ok(None),
        }
    }

    /// Goes on if one of `flows` is passed.
    ///
    /// # Errors
    /// 401 with what is still to be shown.
    pub async fn require(
        &self,
        requester: Option<&Requester>,
        flows: Flows,
        auth: Option<&Value>,
    ) -> Result<Passed, ApiError> {
        let answer = match auth.filter(|auth| !auth.is_null()) {
            Some(auth) => answer(Auth::deserialize(auth).map_err(|error| {
                ApiError::bad_json(format!("`auth` is not what user-interactive authentication takes: {error}."))
            })?),
            None => Answer::default(),
        };
        // The bucket that log-ins under this user's name take from, too.
        let key = requester
            .map_or_else(|| Whom::from(self.address), |it| self.users.name_of(it.user_id.as_str()).as_str().into());
        let is_try = matches!(answer.proof, Some(Proof::Password(..) | Proof::RegistrationToken(_)));
        // Taken before it is tried, so that many at once are no more tries than one after another.
        if is_try {
            self.limits.take(Limited::WrongPassword, key.clone())?;
        }
        let operation = Operation { name: &self.operation, requester, detail: &self.detail, flows, ends: self.ends };
        let interacted = self.users.interact(&operation, answer).await;
        let is_wrong =
            |challenge: &Challenge| matches!(challenge.doubt, Some(Doubt::Password | Doubt::RegistrationToken));
        if is_try && !matches!(&interacted, Ok(Interacted::Challenged(challenge)) if is_wrong(challenge)) {
            self.limits.give_back(Limited::WrongPassword, key);
        }
        match interacted? {
            Interacted::Passed { session, registration_token } => Ok(Passed { session, registration_token }),
            Interacted::Challenged(challenge) => Err(challenge.into()),
        }
    }
}

fn answer(auth: Auth) -> Answer {
    let Auth { kind, session, identifier, user, password, token } = auth;
    let proof = kind.map(|kind| match kind.as_str() {
        "m.login.dummy" => Proof::Dummy,
        "m.login.password" => {
            let named = identifier.filter(|it| it.kind == "m.id.user").and_then(|it| it.user).or(user);
            match (named, password) {
                (Some(user), Some(password)) => Proof::Password(user, password),
                _ => Proof::Unusable,
            }
        }
        "m.login.registration_token" => token.map_or(Proof::Unusable, Proof::RegistrationToken),
        _ => Proof::Unusable,
    });
    Answer { session, proof }
}

impl From<Challenge> for ApiError {
    fn from(challenge: Challenge) -> Self {
        let flows: Vec<Value> = challenge
            .flows
            .iter()
            .map(|flow| json!({ "stages": flow.iter().map(|stage| stage.name()).collect::<Vec<_>>() }))
            .collect();
        let mut body = Map::new();
        body.insert("flows".to_owned(), flows.into());
        body.insert("params".to_owned(), json!({}));
        body.insert("completed".to_owned(), challenge.completed.into());
        body.insert("session".to_owned(), challenge.session.into());
        let error = Self::challenge(body);
        match challenge.doubt {
            None => error,
            Some(doubt @ Doubt::Password) => error.because("M_FORBIDDEN", doubt.to_string()),
            Some(doubt @ Doubt::RegistrationToken) => error.because("M_UNAUTHORIZED", doubt.to_string()),
            Some(doubt @ Doubt::Stage) => error.because("M_UNRECOGNIZED", doubt.to_string()),
            Some(doubt @ Doubt::Session) => error.because("M_UNKNOWN", doubt.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(auth: Value) -> Answer {
        answer(Auth::deserialize(&auth).unwrap())
    }

    #[test]
    fn older_and_newer_ways_to_name_a_user_are_read() {
        for auth in [
            json!({ "type": "m.login.password", "user": "alice", "password": "x" }),
            json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "alice" }, "password": "x" }),
        ] {
            assert!(matches!(read(auth).proof, Some(Proof::Password(user, _)) if user == "alice"));
        }
        let without = json!({ "type": "m.login.password", "session": "s" });
        assert!(matches!(read(without).proof, Some(Proof::Unusable)));
        assert!(read(json!({ "session": "s" })).proof.is_none());
    }
}
