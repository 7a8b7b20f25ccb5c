//! `POST /_matrix/client/v3/keys/signatures/upload`

use axum::extract::State;
use serde_json::{Map, Value, json};

use crate::{
    http::{ApiError, Json, RawObject},
    keys::{Keys, SignatureFailure, SignatureUpload, SignaturesError},
    users::Requester,
};

pub(super) async fn upload(
    State(keys): State<Keys>,
    requester: Requester,
    body: RawObject,
) -> Result<Json<Value>, ApiError> {
    let failures = keys.upload_signatures(&requester, &body.read::<SignatureUpload>()?).await?;
    let failures: Map<String, Value> = failures
        .into_iter()
        .map(|(user, targets)| {
            let targets: Map<String, Value> = targets.into_iter().map(|(target, why)| (target, explain(why))).collect();
            (user.to_string(), targets.into())
        })
        .collect();
    Ok(Json(json!({"failures": failures})))
}

fn explain(failure: SignatureFailure) -> Value {
    let errcode = match failure {
        SignatureFailure::UnknownKey => "M_NOT_FOUND",
        SignatureFailure::Altered | SignatureFailure::NoSignature => "M_INVALID_PARAM",
        SignatureFailure::Wrong => "M_INVALID_SIGNATURE",
    };
    json!({"errcode": errcode, "error": failure.to_string()})
}

impl From<SignaturesError> for ApiError {
    fn from(error: SignaturesError) -> Self {
        match error {
            SignaturesError::Storage(error) => error.into(),
            SignaturesError::Log(error) => error.into(),
        }
    }
}
