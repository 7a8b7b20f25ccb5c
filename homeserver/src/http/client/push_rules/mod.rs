//! `/pushrules/…`

mod rule;
mod rules;

use axum::http::StatusCode;
use roost_spec::push::{EditError, RuleKind};

use crate::{
    http::{ApiError, Routes},
    users::PushRulesError,
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .v3("GET", "pushrules/", rules::all)
        .v3("GET", "pushrules", rules::all)
        .v3("GET", "pushrules/global/", rules::global)
        .v3("GET", "pushrules/global", rules::global)
        .v3("GET", "pushrules/global/{kind}/{rule_id}", rule::get)
        .v3("PUT", "pushrules/global/{kind}/{rule_id}", rule::put)
        .v3("DELETE", "pushrules/global/{kind}/{rule_id}", rule::delete)
        .v3("GET", "pushrules/global/{kind}/{rule_id}/enabled", rule::enabled)
        .v3("PUT", "pushrules/global/{kind}/{rule_id}/enabled", rule::set_enabled)
        .v3("GET", "pushrules/global/{kind}/{rule_id}/actions", rule::actions)
        .v3("PUT", "pushrules/global/{kind}/{rule_id}/actions", rule::set_actions)
}

fn kind(word: &str) -> Result<RuleKind, ApiError> {
    RuleKind::parse(word).ok_or_else(|| {
        ApiError::invalid_param("Push rules are of the kinds override, content, room, sender and underride.")
    })
}

impl From<PushRulesError> for ApiError {
    fn from(error: PushRulesError) -> Self {
        match error {
            PushRulesError::Edit(edit) => match edit {
                EditError::NotFound => Self::not_found(edit.to_string()),
                EditError::MissingPattern => Self::missing_param(edit.to_string()),
                EditError::AnchorNotFound(_) => Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", edit.to_string()),
                EditError::ReservedRuleId
                | EditError::InvalidRuleId
                | EditError::RelativeToDefault
                | EditError::DeleteDefault => Self::invalid_param(edit.to_string()),
            },
            PushRulesError::TooMany => Self::too_large(error.to_string()),
            PushRulesError::Storage(error) => error.into(),
            PushRulesError::Log(error) => error.into(),
        }
    }
}
