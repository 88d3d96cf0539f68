//! Which handler each operation has.

use actix_web::HttpResponse;

use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::lambda;
use crate::http::request::{self, Incoming};
use crate::http::route::Operation;

pub(crate) async fn answer(
    incoming: &mut Incoming<'_>,
    date: &str,
) -> Result<HttpResponse, ApiError> {
    incoming.take_proposed_id()?;
    let (api, http) = (incoming.api, incoming.http);
    let path = request::raw_tail(http);
    let Some(operation) = Operation::at(http.method(), date, path, http.query_string()) else {
        auth::check_known(incoming).await?;
        return Err(ApiError::unknown_operation(http));
    };
    auth::check_operation(incoming, operation).await?;
    match operation {
        Operation::Invoke(f) => lambda::invoke::invoke(incoming, f).await,
        Operation::InvokeAsync(f) => lambda::invoke::invoke_async(incoming, f).await,
        Operation::ListFunctions => lambda::functions::list(incoming),
        Operation::GetFunction(f) => lambda::functions::get(incoming, f),
        Operation::GetFunctionConfiguration(f) => lambda::functions::configuration(incoming, f),
        Operation::UpdateFunctionConfiguration(f) => lambda::functions::update(incoming, f).await,
        Operation::ListVersionsByFunction(f) => lambda::functions::versions(incoming, f),
        Operation::ListAliases(f) => lambda::functions::aliases(incoming, f),
        Operation::GetAlias(f, alias) => lambda::functions::alias(incoming, f, alias),
        Operation::PutFunctionEventInvokeConfig(f) => lambda::event_invoke::put(incoming, f).await,
        Operation::UpdateFunctionEventInvokeConfig(f) => {
            lambda::event_invoke::update(incoming, f).await
        }
        Operation::GetFunctionEventInvokeConfig(f) => lambda::event_invoke::get(incoming, f),
        Operation::DeleteFunctionEventInvokeConfig(f) => {
            lambda::event_invoke::delete(incoming, f).await
        }
        Operation::ListFunctionEventInvokeConfigs(f) => lambda::event_invoke::list(incoming, f),
        Operation::PutFunctionConcurrency(f) => lambda::concurrency::put(incoming, f).await,
        Operation::GetFunctionConcurrency(f) => lambda::concurrency::get(incoming, f),
        Operation::DeleteFunctionConcurrency(f) => lambda::concurrency::delete(incoming, f).await,
        Operation::PutFunctionRecursionConfig(f) => lambda::recursion::put(incoming, f).await,
        Operation::GetFunctionRecursionConfig(f) => lambda::recursion::get(incoming, f),
        Operation::AddPermission(f) => lambda::permissions::add(incoming, f).await,
        Operation::GetPolicy(f) => lambda::permissions::get(incoming, f),
        Operation::RemovePermission(f, sid) => lambda::permissions::remove(incoming, f, sid).await,
        Operation::GetAccountSettings => Ok(lambda::account::settings(api)),
        Operation::ListTags(arn) => lambda::tags::list(incoming, arn),
        Operation::TagResource(arn) => lambda::tags::tag(incoming, arn).await,
        Operation::UntagResource(arn) => lambda::tags::untag(incoming, arn).await,
        Operation::Unsupported(operation) => operation.refuse(incoming).await,
    }
}
