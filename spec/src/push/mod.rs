//! Push rules: which events notify a user, and how loudly.
//!
//! `ruleset` holds the rules as the API shows them, `predefined` the server's own, `edit` what a client may change,
//! `merge` how a stored ruleset meets newer defaults. `flat_event` flattens an event once, `compiled` evaluates it for
//! many users. Source: client-server API, "Push Notifications".
//!
//! **Invariant:** nothing here knows of devices, gateways or counts; evaluation is a pure function of an event, a
//! ruleset and a context, so that server and SDK cannot disagree.

mod action;
mod compiled;
mod condition;
mod edit;
mod flat_event;
mod merge;
mod predefined;
mod ruleset;

pub use self::{
    action::{Action, Actions, Sound},
    compiled::{CompiledRuleset, Context, SenderPower},
    condition::{Condition, MemberCount, Scalar},
    edit::{EditError, Position, RuleBody},
    flat_event::FlatEvent,
    ruleset::{PushRule, RuleKind, Ruleset, When},
};
