//! The operations under `/_redrive/`: one row each. A new operation is a row here, its handler, and its description in
//! `openapi.json`.

use super::{dead_letters, events, functions, health};
use crate::http::path::{PathVariables, parts};
use crate::http::route::RouteHandler::{self, Sync};
use crate::http::route::waits;
use Access::Action;

pub(super) struct AdminOperation {
    method: &'static str,
    path: &'static str,
    /// Its IAM action; empty if everyone may do it who can reach the server.
    pub(super) action: &'static str,
    pub(super) access: Access,
    /// Its body carries an event's payload.
    pub(super) has_payload: bool,
    pub(super) handler: RouteHandler,
}

/// How the right to an operation is checked.
pub(super) enum Access {
    /// Not at all.
    Open,
    /// The action must be allowed on the path's function, or on the account if the path has none.
    Action,
    /// The handler checks the action, once it has found the functions of the events or letters.
    ByHandler,
}

/// Method, path, IAM action, access and handler.
#[rustfmt::skip]
static OPERATIONS: &[AdminOperation] = &[
    open("GET", "health/live", Sync(health::live)),
    open("GET", "health/ready", Sync(health::ready)),
    open("GET", "openapi.json", Sync(health::openapi)),
    row("GET", "stats", "redrive:GetStats", Action, Sync(functions::all_stats)),
    row("GET", "functions", "redrive:ListFunctions", Action, Sync(functions::list)),
    row("GET", "unregistered", "redrive:ListFunctions", Action, Sync(functions::unregistered)),
    row("GET", "functions/{function}/stats", "redrive:GetStats", Action, Sync(functions::stats)),
    row("GET", "functions/{function}/events", "redrive:ListEvents", Action, waits!(functions::events)),
    row("POST", "functions/{function}/pause", "redrive:PauseFunction", Action, waits!(functions::pause)),
    row("POST", "functions/{function}/resume", "redrive:ResumeFunction", Action, waits!(functions::resume)),
    row("GET", "events/{id}", "redrive:GetEvent", Access::ByHandler, waits!(events::get)),
    row("DELETE", "events/{id}", "redrive:CancelEvent", Access::ByHandler, waits!(events::cancel)),
    row("GET", "events/{id}/log", "redrive:GetEventLog", Access::ByHandler, waits!(events::log)),
    row("GET", "dead-letters", "redrive:ListDeadLetters", Access::ByHandler, waits!(dead_letters::list)),
    row("POST", "dead-letters/redrive", "redrive:RedriveDeadLetters", Access::ByHandler, waits!(dead_letters::redrive)).with_payload(),
    row("POST", "dead-letters/purge", "redrive:PurgeDeadLetters", Access::ByHandler, waits!(dead_letters::purge)),
    row("GET", "dead-letters/{id}", "redrive:GetDeadLetter", Access::ByHandler, waits!(dead_letters::get)),
];

const fn row(
    method: &'static str,
    path: &'static str,
    action: &'static str,
    access: Access,
    handler: RouteHandler,
) -> AdminOperation {
    AdminOperation {
        method,
        path,
        action,
        access,
        has_payload: false,
        handler,
    }
}

/// A row that everyone may do who can reach the server.
const fn open(method: &'static str, path: &'static str, handler: RouteHandler) -> AdminOperation {
    row(method, path, "", Access::Open, handler)
}

impl AdminOperation {
    const fn with_payload(mut self) -> Self {
        self.has_payload = true;
        self
    }
}

/// Returns the operation of a request, and the variables of its path.
pub(super) fn find<'a>(
    method: &str,
    path: &'a str,
) -> Option<(&'static AdminOperation, PathVariables<'a>)> {
    let parts = parts(path);
    let mut of_method = OPERATIONS.iter().filter(|row| row.method == method);
    of_method.find_map(|row| Some((row, PathVariables::matching(row.path, &parts)?)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::health::OPENAPI;
    use super::*;

    #[test]
    fn each_operation_is_described_and_each_description_has_an_operation() {
        let described: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut in_description = BTreeSet::new();
        for (path, methods) in described["paths"].as_object().unwrap() {
            let path = path.strip_prefix("/_redrive/").unwrap();
            let methods = methods.as_object().unwrap().keys();
            for method in methods.filter(|key| *key != "parameters") {
                in_description.insert((method.to_uppercase(), path.to_owned()));
            }
        }
        let rows = OPERATIONS.iter();
        let in_table: BTreeSet<_> = rows
            .map(|row| (row.method.to_owned(), row.path.to_owned()))
            .collect();
        assert_eq!(in_table, in_description);
        assert_eq!(in_table.len(), OPERATIONS.len(), "a row stands twice");
    }

    /// The author of a policy finds each action in the description.
    #[test]
    fn the_description_names_every_action() {
        for row in OPERATIONS {
            let named = OPENAPI.contains(&format!("\"{}\"", row.action));
            assert!(named || row.action.is_empty(), "{}", row.action);
            assert_eq!(row.action.is_empty(), matches!(row.access, Access::Open));
        }
    }
}
