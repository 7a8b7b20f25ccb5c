//! `/_matrix/client/v3/pushrules/global/{kind}/{ruleId}`

use axum::extract::State;
use roost_spec::push::{Action, Condition, Position, PushRule, RuleBody, RuleKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::kind;
use crate::{
    http::{ApiError, Json, Path, Query},
    users::{PushRules, Requester},
};

#[derive(Deserialize)]
pub(super) struct Where {
    before: Option<String>,
    after: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Enabled {
    enabled: bool,
}

/// Read a second time by the protocol's own reader, which knows what an action is.
#[derive(Deserialize)]
pub(super) struct Actions {
    actions: Vec<Value>,
}

type Named = Path<(String, String)>;
type Done = Result<Json<Value>, ApiError>;

async fn find(rules: &PushRules, requester: &Requester, word: &str, rule_id: &str) -> Result<PushRule, ApiError> {
    let rules = rules.of(requester.user, requester.user_id.as_str()).await?;
    let rule = RuleKind::parse(word).and_then(|kind| rules.get(kind, rule_id));
    rule.cloned().ok_or_else(|| ApiError::not_found("There is no such push rule."))
}

pub(super) async fn get(
    State(rules): State<PushRules>,
    requester: Requester,
    Path((word, rule_id)): Named,
) -> Result<Json<PushRule>, ApiError> {
    find(&rules, &requester, &word, &rule_id).await.map(Json)
}

pub(super) async fn put(
    State(rules): State<PushRules>,
    requester: Requester,
    Path((word, rule_id)): Named,
    Query(place): Query<Where>,
    Json(body): Json<RuleBody>,
) -> Done {
    let kind = kind(&word)?;
    // What is stored may hold such a thing, and must stay readable; nothing new does.
    if body.conditions.iter().flatten().any(Condition::is_malformed) {
        return Err(ApiError::bad_json("Each condition must have a `kind`, a string, and what that kind asks for."));
    }
    check_actions(&body.actions)?;
    let place = Position { before: place.before.as_deref(), after: place.after.as_deref() };
    rules.change(&requester, |all| all.put(kind, &rule_id, body, place)).await?;
    Ok(Json(json!({})))
}

pub(super) async fn delete(State(rules): State<PushRules>, requester: Requester, Path((word, rule_id)): Named) -> Done {
    let kind = kind(&word)?;
    rules.change(&requester, |all| all.delete(kind, &rule_id)).await?;
    Ok(Json(json!({})))
}

pub(super) async fn enabled(
    State(rules): State<PushRules>,
    requester: Requester,
    Path((word, rule_id)): Named,
) -> Done {
    let rule = find(&rules, &requester, &word, &rule_id).await?;
    Ok(Json(json!({"enabled": rule.enabled})))
}

pub(super) async fn set_enabled(
    State(rules): State<PushRules>,
    requester: Requester,
    Path((word, rule_id)): Named,
    Json(body): Json<Enabled>,
) -> Done {
    let kind = kind(&word)?;
    rules.change(&requester, |all| all.set_enabled(kind, &rule_id, body.enabled)).await?;
    Ok(Json(json!({})))
}

pub(super) async fn actions(
    State(rules): State<PushRules>,
    requester: Requester,
    Path((word, rule_id)): Named,
) -> Done {
    let rule = find(&rules, &requester, &word, &rule_id).await?;
    Ok(Json(json!({"actions": rule.actions})))
}

pub(super) async fn set_actions(
    State(rules): State<PushRules>,
    requester: Requester,
    Path((word, rule_id)): Named,
    Json(body): Json<Actions>,
) -> Done {
    let kind = kind(&word)?;
    let bytes = json!({"actions": body.actions}).to_string();
    let actions = RuleBody::actions_from_json(bytes.as_bytes()).map_err(|e| ApiError::bad_json(format!("{e}.")))?;
    check_actions(&actions)?;
    rules.change(&requester, |all| all.set_actions(kind, &rule_id, actions)).await?;
    Ok(Json(json!({})))
}

fn check_actions(actions: &[Action]) -> Result<(), ApiError> {
    if actions.iter().any(Action::is_malformed) {
        return Err(ApiError::bad_json("The tweak `sound` is a string, and `highlight` a boolean."));
    }
    Ok(())
}
