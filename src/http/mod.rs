//! AWS Lambda's HTTP API: AWS's SDKs and command lines invoke and configure the functions of this runtime.
//!
//! ```text
//! aws lambda invoke --endpoint-url http://127.0.0.1:9000 --function-name greet \
//!     --invocation-type Event --cli-binary-format raw-in-base64-out --payload '{"name":"Ada"}' out.json
//! ```
//!
//! What comes in takes the way of any other invocation: the router's admission, the mailbox, retries, the dead-letter queue,
//! destinations. [`LambdaApi`] mounts on an actix-web application, under any scope, or [serves](LambdaApi::bind) alone.
//!
//! ```text
//! request ─▶ route.rs: which operation ─▶ access.rs: who may ─▶ invoke.rs, functions.rs, … ─▶ Client
//!                                                               admin/: status, cancel, dead letters, stats, health
//! ```

mod access;
mod account;
mod admin;
mod concurrency;
mod error;
mod event_invoke;
mod functions;
mod incoming;
mod invoke;
mod loopback;
mod recursion;
mod route;
mod server;
pub mod sigv4;
mod target;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use crate::client::Client;

pub use server::{Server, ServerError};

use error::ApiError;
use incoming::Incoming;
use route::Operation;

/// AWS Lambda's API over the functions of a runtime.
///
/// Mounted on an application of one's own:
///
/// ```no_run
/// use actix_web::{App, HttpServer, web};
/// use redrive::http::LambdaApi;
/// # async fn serve(client: redrive::Client) -> std::io::Result<()> {
/// let api = LambdaApi::new(client);
/// let app = move || App::new().service(web::scope("/aws").configure(api.configure()));
/// HttpServer::new(app).bind("127.0.0.1:9000")?.run().await
/// # }
/// ```
///
/// Or alone, see [`bind`](Self::bind). Under `/_redrive/` it answers what AWS's API doesn't know: what became of an event,
/// cancelling, dead letters, figures, health; `/_redrive/openapi.json` describes it.
///
/// Without authentication it answers loopback clients alone: others get a 403 that says what to configure.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct LambdaApi(Arc<Api>);

pub(crate) struct Api {
    pub(crate) client: Client,
    pub(crate) logs: crate::logs::Logs,
}

impl std::fmt::Debug for LambdaApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LambdaApi").finish_non_exhaustive()
    }
}

impl LambdaApi {
    /// The API over the runtime that the client belongs to. From here on the runtime keeps what invocations log, in
    /// [`Logs`](crate::Logs) of its own unless it was given some.
    pub fn new(client: Client) -> Self {
        let logs = client.keep_logs();
        Self(Arc::new(Api { client, logs }))
    }

    /// Must requests be signed?
    pub(crate) fn is_protected(&self) -> bool {
        false
    }

    /// For `App::configure` or `Scope::configure`: answers the paths of AWS's API, which begin with a date, and those under
    /// `/_redrive/`. All others are the application's.
    pub fn configure(&self) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
        let api = self.0.clone();
        move |config| {
            let aws = api.clone();
            let aws = move |http, body| serve_aws(aws.clone(), http, body);
            config.service(web::resource(r"/{date:\d{4}-\d{2}-\d{2}}/{path:.*}").to(aws));
            let admin = move |http, body| serve_admin(api.clone(), http, body);
            config.service(web::resource("/_redrive/{path:.*}").to(admin));
        }
    }
}

async fn serve_aws(api: Arc<Api>, http: HttpRequest, body: web::Payload) -> HttpResponse {
    let mut incoming = Incoming::new(&api, &http, body);
    let answer = answer(&mut incoming).await;
    incoming.finish(answer).await
}

async fn answer(incoming: &mut Incoming<'_>) -> Result<HttpResponse, ApiError> {
    incoming.take_proposed_id()?;
    let (api, http) = (incoming.api, incoming.http);
    let path = incoming::raw_tail(http);
    let date = http.match_info().get("date").unwrap_or_default();
    let Some(operation) = Operation::at(http.method(), date, path) else {
        return Err(ApiError::new(
            actix_web::http::StatusCode::NOT_FOUND,
            "UnknownOperationException",
            format!(
                "{} {} is no operation of AWS Lambda",
                http.method(),
                http.path()
            ),
        ));
    };
    access::check_operation(incoming, operation).await?;
    match operation {
        Operation::Invoke(f) => invoke::invoke(incoming, f).await,
        Operation::InvokeAsync(f) => invoke::invoke_async(incoming, f).await,
        Operation::ListFunctions => functions::list(incoming),
        Operation::GetFunction(f) => functions::get(incoming, f),
        Operation::GetFunctionConfiguration(f) => functions::configuration(incoming, f),
        Operation::UpdateFunctionConfiguration(f) => functions::update(incoming, f).await,
        Operation::ListVersionsByFunction(f) => functions::versions(incoming, f),
        Operation::ListAliases(f) => functions::aliases(incoming, f),
        Operation::GetAlias(f, alias) => functions::alias(incoming, f, alias),
        Operation::PutFunctionEventInvokeConfig(f) => event_invoke::put(incoming, f).await,
        Operation::UpdateFunctionEventInvokeConfig(f) => event_invoke::update(incoming, f).await,
        Operation::GetFunctionEventInvokeConfig(f) => event_invoke::get(incoming, f),
        Operation::DeleteFunctionEventInvokeConfig(f) => event_invoke::delete(incoming, f).await,
        Operation::ListFunctionEventInvokeConfigs(f) => event_invoke::list(incoming, f),
        Operation::PutFunctionConcurrency(f) => concurrency::put(incoming, f).await,
        Operation::GetFunctionConcurrency(f) => concurrency::get(incoming, f),
        Operation::DeleteFunctionConcurrency(f) => concurrency::delete(incoming, f).await,
        Operation::PutFunctionRecursionConfig(f) => recursion::put(incoming, f).await,
        Operation::GetFunctionRecursionConfig(f) => recursion::get(incoming, f),
        Operation::AddPermission(_) | Operation::GetPolicy(_) | Operation::RemovePermission(..) => {
            Err(ApiError::service("not yet"))
        }
        Operation::GetAccountSettings => Ok(account::settings(api)),
        Operation::ListTags(f) => functions::tags(incoming, f),
        Operation::Unsupported(action, _) => Err(functions::unsupported(action)),
    }
}

async fn serve_admin(api: Arc<Api>, http: HttpRequest, body: web::Payload) -> HttpResponse {
    let mut incoming = Incoming::new(&api, &http, body);
    let answer = admin::answer(&mut incoming).await;
    incoming.finish(answer).await
}
