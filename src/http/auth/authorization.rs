//! An authenticated caller, and the decisions on its rights: to the account, to a function, and to events that were invoked
//! under a qualifier. A redrive also needs the right to each letter (`http/admin/dead_letter_filter.rs`).

use std::sync::Arc;

use super::condition_values;
use crate::client::InvokedAs;
use crate::event::meta::LATEST;
use crate::function::configuration::Permissions;
use crate::http::api::Api;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::sigv4::Credential;
use crate::policy::{Caller, ConditionValues, Decision, Denial, PolicyKind, Request};

/// A caller with its credential, and the values that its request gives to conditions.
pub(super) struct AuthenticatedCaller {
    api: Arc<Api>,
    credential: Arc<Credential>,
    values: ConditionValues,
}

/// A refusal, and whether only a missing permission caused it: `check_invoked` passes over
/// such a refusal under a qualifier, since the function itself is allowed.
struct Denied {
    error: ApiError,
    is_implicit: bool,
}

impl AuthenticatedCaller {
    /// Returns the caller of a request, or `None` where the API has no access control.
    ///
    /// # Errors
    /// When the request was not authenticated.
    pub(super) fn of(incoming: &Incoming<'_>) -> Result<Option<Self>, ApiError> {
        if incoming.api.access_control.is_none() {
            return Ok(None);
        }
        let Some(credential) = incoming.caller.clone() else {
            return Err(ApiError::access_denied("this request is not signed"));
        };
        Ok(Some(Self {
            api: incoming.api.clone(),
            values: condition_values::of_request(incoming, &credential),
            credential,
        }))
    }

    /// Checks an action that is about no function.
    pub(super) fn check_account(&self, action: &str) -> Result<(), ApiError> {
        self.decide(action, "*", None)
            .map_err(|denied| denied.error)
    }

    /// Checks an action on a function, under a qualifier if one is given.
    pub(super) fn check_target(
        &self,
        action: &str,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<(), ApiError> {
        let (resource, permissions) = self.resource(function, qualifier);
        self.decide(action, &resource, permissions)
            .map_err(|denied| denied.error)
    }

    /// Checks an action on an event: the function must be allowed, and no qualifier denied under which the event was invoked,
    /// or may have been.
    pub(super) fn check_invoked(
        &self,
        action: &str,
        function: &str,
        invoked_as: &InvokedAs,
    ) -> Result<(), ApiError> {
        self.check_target(action, function, None)?;
        for qualifier in self.qualifiers(function, invoked_as) {
            let (resource, permissions) = self.resource(function, Some(&qualifier));
            match self.decide(action, &resource, permissions) {
                Err(denied) if !denied.is_implicit => return Err(denied.error),
                _ => {}
            }
        }
        Ok(())
    }

    fn decide(
        &self,
        action: &str,
        resource: &str,
        permissions: Option<Permissions>,
    ) -> Result<(), Denied> {
        let Some(access_control) = &self.api.access_control else {
            return Ok(());
        };
        let policy = permissions.map(|permissions| access_control.policy(&permissions));
        let policy = policy.transpose().map_err(|error| Denied {
            error,
            is_implicit: false,
        })?;
        let caller = Caller::principal(&*self.credential.principal().arn);
        let values = match resource {
            "*" => self.values.clone(),
            arn => self.values.clone().with("lambda:FunctionArn", arn),
        };
        let request = Request {
            caller: &caller,
            action,
            resource,
            context: &values,
        };
        let decision = match request.decide(self.credential.granted(), policy.as_deref()) {
            // Only functions have policies that let other accounts in; everything else belongs to this account.
            Decision::Allowed if resource == "*" && !self.is_of_this_account() => {
                Decision::Denied(Denial::Implicit(PolicyKind::Resource))
            }
            decided => decided,
        };
        match decision {
            Decision::Allowed => Ok(()),
            Decision::Denied(denial) => Err(Denied {
                error: ApiError::access_denied(denial.message(&request)),
                is_implicit: matches!(denial, Denial::Implicit(_)),
            }),
        }
    }

    fn is_of_this_account(&self) -> bool {
        let account = self.credential.principal().arn.split(':').nth(4);
        account == Some(self.api.client.account())
    }

    /// Returns the qualifiers under one of which an event may have been invoked.
    fn qualifiers(&self, function: &str, invoked_as: &InvokedAs) -> Vec<Arc<str>> {
        match invoked_as {
            InvokedAs::Known(qualifier) => qualifier.iter().cloned().collect(),
            InvokedAs::Unknown => {
                let info = self.api.client.function(function);
                info.map_or_else(Vec::new, |info| info.qualifiers())
            }
        }
    }

    /// Returns the ARN of a function under a qualifier, and its policy.
    fn resource(&self, function: &str, qualifier: Option<&str>) -> (String, Option<Permissions>) {
        let client = &self.api.client;
        let arn = client.arn(function);
        let arn = match qualifier {
            Some(qualifier) => format!("{arn}:{qualifier}"),
            None => arn,
        };
        let permissions = client.permissions(function, qualifier.unwrap_or(LATEST));
        (arn, permissions)
    }
}
