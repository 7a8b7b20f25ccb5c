//! User-interactive authentication: a session collects passed stages until a whole flow is passed.
//!
//! Sessions lie in the database, so that any node continues them; each is good for the request that it began with.

use sha2::{Digest, Sha256};

use super::{LoginError, Password, Requester, Users, names};
use crate::{
    clock::now_ms,
    random,
    storage::{self, UserNr, uia::UiaSession},
};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Dummy,
    Password,
    RegistrationToken,
}

impl Stage {
    /// The protocol's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dummy => "m.login.dummy",
            Self::Password => "m.login.password",
            Self::RegistrationToken => "m.login.registration_token",
        }
    }
}

/// Sequences of stages, any of which is enough.
pub type Flows = &'static [&'static [Stage]];

/// What is to be done once its asker is believed.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    /// The endpoint.
    pub name: &'a str,
    /// Who asks, where they are logged in.
    pub requester: Option<&'a Requester>,
    /// What else must not change between the session's requests.
    pub detail: &'a str,
    pub flows: Flows,
    pub ends: Ends,
}

/// What becomes of a session that is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// It is used up.
    Once,
    /// It stays good for the same request a while: doing it again changes nothing, and the answer may have been lost.
    Repeatable,
    /// The operation itself ends it.
    WithOperation,
}

/// What a client shows for a stage.
#[derive(Debug)]
pub enum Proof {
    Dummy,
    /// A localpart or user ID, and the password.
    Password(String, Password),
    RegistrationToken(String),
    /// A stage that this server does not know, or that lacks a part.
    Unusable,
}

/// The `auth` of a request.
#[derive(Debug, Default)]
pub struct Answer {
    pub session: Option<String>,
    /// Absent where the client only asks how far it got.
    pub proof: Option<Proof>,
}

/// Why a proof was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    #[error("The user name or the password is wrong.")]
    Password,
    #[error("The registration token is unknown, spent or expired.")]
    RegistrationToken,
    #[error("This stage is not asked for here, or lacks a part.")]
    Stage,
    #[error("The session is unknown, has expired, or belongs to another request. Here is a fresh one.")]
    Session,
}

/// What is still to be shown.
#[derive(Debug)]
pub struct Challenge {
    pub session: String,
    pub flows: Flows,
    pub completed: Vec<String>,
    pub doubt: Option<Doubt>,
}

/// What came of it.
#[derive(Debug)]
pub enum Interacted {
    /// Go on.
    Passed { session: String, registration_token: Option<String> },
    /// Not yet.
    Challenged(Challenge),
}

impl Users {
    /// Takes one request of a session, or begins one.
    ///
    /// # Errors
    /// Those of the database, and [`LoginError::Deactivated`].
    pub async fn interact(&self, operation: &Operation<'_>, answer: Answer) -> Result<Interacted, LoginError> {
        let pool = &self.0.pool;
        let (user, bound) = (asker(operation), bound(operation));
        let again = async || self.begin(operation, Some(Doubt::Session)).await.map(Interacted::Challenged);
        let is_ours =
            |found: &UiaSession| found.operation == operation.name && found.usr == user && found.bound == bound;
        let mut challenge = match answer.session {
            None => self.begin(operation, None).await?,
            Some(session) => match storage::uia::find(pool, &session).await?.filter(is_ours) {
                Some(found) if found.passed_ts.is_some() => {
                    if operation.ends == Ends::Repeatable && found.is_repeatable(now_ms()) {
                        return Ok(Interacted::Passed { session, registration_token: None });
                    }
                    return Ok(again().await?);
                }
                Some(UiaSession { completed, .. }) => {
                    Challenge { session, flows: operation.flows, completed, doubt: None }
                }
                None => return Ok(again().await?),
            },
        };
        if let Some(proof) = answer.proof {
            match self.check(operation, proof).await? {
                Err(doubt) => challenge.doubt = Some(doubt),
                Ok((stage, token)) => {
                    match storage::uia::complete(pool, &challenge.session, stage.name(), token.as_deref()).await? {
                        Some(completed) => challenge.completed = completed,
                        None => return Ok(again().await?),
                    }
                }
            }
        }
        let is_passed = |flow: &&[Stage]| flow.iter().all(|s| challenge.completed.iter().any(|c| c == s.name()));
        if challenge.doubt.is_some() || !operation.flows.iter().any(is_passed) {
            return Ok(Interacted::Challenged(challenge));
        }
        // Two requests may have passed the last stage together: one of them goes on.
        if operation.ends != Ends::WithOperation
            && !storage::uia::pass(pool, &challenge.session, now_ms()).await?
            && operation.ends == Ends::Once
        {
            return Ok(again().await?);
        }
        let found = storage::uia::find(pool, &challenge.session).await?;
        let registration_token = found.and_then(|found| found.registration_token);
        Ok(Interacted::Passed { session: challenge.session, registration_token })
    }

    async fn begin(&self, operation: &Operation<'_>, doubt: Option<Doubt>) -> storage::Result<Challenge> {
        let session = random::secret();
        let (user, bound) = (asker(operation), bound(operation));
        storage::uia::insert(&self.0.pool, &session, operation.name, user, &bound, now_ms()).await?;
        Ok(Challenge { session, flows: operation.flows, completed: Vec::new(), doubt })
    }

    async fn check(
        &self,
        operation: &Operation<'_>,
        proof: Proof,
    ) -> Result<Result<(Stage, Option<String>), Doubt>, LoginError> {
        let is_asked = |stage: Stage| operation.flows.iter().any(|flow| flow.contains(&stage));
        Ok(match proof {
            Proof::Dummy if is_asked(Stage::Dummy) => Ok((Stage::Dummy, None)),
            Proof::Password(user, password) if is_asked(Stage::Password) => {
                // Another user's password is nothing to try here.
                if operation.requester.is_some_and(|requester| !self.is_name_of(&user, requester)) {
                    return Err(LoginError::OtherUser);
                }
                match self.check_password(&user, password).await {
                    Ok(_) => Ok((Stage::Password, None)),
                    Err(LoginError::Refused) => Err(Doubt::Password),
                    Err(error) => return Err(error),
                }
            }
            Proof::RegistrationToken(token) if is_asked(Stage::RegistrationToken) => {
                if self.is_registration_token_valid(&token).await? {
                    Ok((Stage::RegistrationToken, Some(token)))
                } else {
                    Err(Doubt::RegistrationToken)
                }
            }
            _ => Err(Doubt::Stage),
        })
    }
}

impl Users {
    fn is_name_of(&self, name: &str, requester: &Requester) -> bool {
        names::localpart(name, &self.0.server_name).is_ok_and(|name| name == requester.user_id.localpart())
    }
}

fn asker(operation: &Operation<'_>) -> Option<UserNr> {
    operation.requester.map(|requester| requester.user)
}

fn bound(operation: &Operation<'_>) -> Vec<u8> {
    Sha256::digest(operation.detail.as_bytes()).to_vec()
}
