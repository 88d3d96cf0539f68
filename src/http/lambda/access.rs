//! The checks before an operation of AWS Lambda's API: the caller, AWS's model, the account of the function, and the right to
//! the operation's action.

use super::operation::{ActionScope, Operation};
use super::{invocation, model, tags};
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::Route;
use crate::policy::{Caller, ConditionValues, Denial, PolicyKind, Request};

/// Refuses a request that breaks the model, or whose caller may not do this.
pub(super) async fn check(
    incoming: &mut Incoming<'_>,
    operation: &Operation,
    route: &Route<'_>,
) -> Result<(), ApiError> {
    match operation.has_payload {
        true => auth::check_caller(incoming, invocation::body).await?,
        false => auth::check_caller(incoming, Incoming::small).await?,
    }
    model::check(incoming, operation.members, &route.path).await?;
    let subject = operation.subject;
    let Some(variable) = subject.variable() else {
        return auth::check(incoming, operation.action, None);
    };
    let name = route.path.decoded(variable)?;
    check_account(incoming, operation, &name)?;
    if incoming.api.access_control.is_none() {
        return Ok(());
    }
    // The check is on the function that the operation uses: a qualifier that it ignores grants nothing.
    let target = match subject {
        ActionScope::Tagged => tags::target(incoming, &name)?,
        ActionScope::Qualified => incoming.target(&name)?,
        ActionScope::Function | ActionScope::Account => incoming.target_of_path(&name)?,
    };
    let qualifier = target.qualifier.as_deref();
    auth::check_target(incoming, operation.action, target.name, qualifier)
}

/// NAM-13: no policy here is about a function of another account, so none allows the call.
fn check_account(
    incoming: &Incoming<'_>,
    operation: &Operation,
    name: &str,
) -> Result<(), ApiError> {
    let target = match operation.subject {
        ActionScope::Qualified => incoming.target(name),
        _ => incoming.target_of_path(name),
    };
    // The operation itself refuses a malformed name.
    let Ok(target) = target else {
        return Ok(());
    };
    if !target.is_of_another_account(incoming.api.client.account()) {
        return Ok(());
    }
    let caller = match &incoming.caller {
        Some(credential) => Caller::principal(&*credential.principal().arn),
        None => Caller::anonymous(),
    };
    let request = Request {
        caller: &caller,
        action: operation.action,
        resource: &incoming.qualified_arn(&target),
        context: &ConditionValues::new(),
    };
    let denial = Denial::Implicit(PolicyKind::Resource);
    Err(ApiError::access_denied(denial.message(&request)))
}
