//! An operation of AWS Lambda's API, as a row of the table in `operations.rs` describes it.

use super::model::member::Member;
use super::unsupported::Prerequisite;
use crate::http::path::PathVariables;
use crate::http::route::RouteHandler;

pub(super) struct Operation {
    method: &'static str,
    /// The version of the API, as the path begins.
    pub(super) date: &'static str,
    pub(super) path: &'static str,
    /// Its IAM action.
    pub(super) action: &'static str,
    pub(super) subject: ActionScope,
    /// The members that AWS's model constrains.
    pub(super) members: &'static [Member],
    /// Its body is an event's payload, with the bound of its type of invocation.
    pub(super) has_payload: bool,
    pub(super) support: Support,
}

/// The resource that an operation's action is checked on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ActionScope {
    /// The account: the operation is about no single function.
    Account,
    /// The function of the path. The query's qualifier is ignored, or refused.
    Function,
    /// The function of the path, under the query's qualifier.
    Qualified,
    /// The resource of the path, which is an ARN of something that can have tags.
    Tagged,
}

/// How an operation is carried out.
pub(super) enum Support {
    Handled(RouteHandler),
    /// It is refused by its name, after AWS's 404 about the prerequisite.
    Refused(Prerequisite),
}

impl ActionScope {
    /// Returns the variable of the path that names the subject.
    pub(super) fn variable(self) -> Option<&'static str> {
        match self {
            Self::Account => None,
            Self::Function | Self::Qualified => Some("function"),
            Self::Tagged => Some("resource"),
        }
    }
}

pub(super) const fn row(
    method: &'static str,
    date: &'static str,
    path: &'static str,
    action: &'static str,
    subject: ActionScope,
    members: &'static [Member],
    handler: RouteHandler,
) -> Operation {
    Operation {
        method,
        date,
        path,
        action,
        subject,
        members,
        has_payload: false,
        support: Support::Handled(handler),
    }
}

pub(super) const fn refused(
    method: &'static str,
    date: &'static str,
    path: &'static str,
    action: &'static str,
    prerequisite: Prerequisite,
) -> Operation {
    Operation {
        method,
        date,
        path,
        action,
        subject: match prerequisite {
            Prerequisite::Nothing => ActionScope::Account,
            _ => ActionScope::Function,
        },
        members: &[],
        has_payload: false,
        support: Support::Refused(prerequisite),
    }
}

impl Operation {
    pub(super) const fn with_payload(mut self) -> Self {
        self.has_payload = true;
        self
    }

    /// Returns the variables of a request's path if the request is for this operation.
    pub(super) fn matching<'a>(
        &self,
        method: &str,
        date: &str,
        parts: &[&'a str],
        query: &str,
    ) -> Option<PathVariables<'a>> {
        if method != self.method || date != self.date {
            return None;
        }
        let (path, needed) = self.path.split_once('?').unwrap_or((self.path, ""));
        if !needed.is_empty() && !query.split('&').any(|pair| pair == needed) {
            return None;
        }
        PathVariables::matching(path, parts)
    }
}
