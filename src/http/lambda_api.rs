//! [`LambdaApi`]: the API as an application sets it up, mounts it or serves it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::watch;

use super::api::{Api, BUFFERED_MAX, STOP_MAX};
use super::auth;
use super::auth::authentication::AccessControl;
use super::error::ApiError;
use super::request::Incoming;
use super::sigv4::{Credentials, Verifier};
use super::{admin, lambda};
use crate::client::Client;

/// AWS Lambda's API over the functions of a runtime.
///
/// It mounts on an application:
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
/// There actix-web manages the connections: its limits hold, its own refusals have no body, and a synchronous call runs on
/// after its caller has hung up, as at AWS. [`bind`](Self::bind) serves the API standalone.
///
/// Under `/_redrive/` are the operations beyond AWS's API: the status of an event, cancelling, dead letters, figures and
/// health. `/_redrive/openapi.json` describes them.
///
/// Without authentication, only loopback clients of loopback listeners are served: other requests get a 403 that names the
/// setting to change.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct LambdaApi(pub(super) Arc<Api>);

impl std::fmt::Debug for LambdaApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LambdaApi").finish_non_exhaustive()
    }
}

impl LambdaApi {
    /// Returns the API over the client's runtime. From here on the runtime keeps the logs of invocations: in the
    /// [`Logs`](crate::Logs) that it was built with, or in new ones.
    pub fn new(client: Client) -> Self {
        let logs = client.keep_logs();
        Self(Arc::new(Api {
            client,
            logs,
            access_control: None,
            connections_max: None,
            buffered_max: BUFFERED_MAX,
            stop_max: STOP_MAX,
            stopping: watch::Sender::new(false),
        }))
    }

    fn set(self, set: impl FnOnce(&mut Api)) -> Self {
        let mut api = Arc::unwrap_or_clone(self.0);
        api.stopping = watch::Sender::new(false);
        set(&mut api);
        Self(Arc::new(api))
    }

    /// Requires that each request is signed (AWS Signature Version 4) with one of these credentials, and allowed by their
    /// policies or the function's. Health and the API's description stay open.
    ///
    /// Running a function with the caller's payload needs `lambda:InvokeFunction` on it. A redrive with a payload needs it
    /// beside `redrive:RedriveDeadLetters`. Setting a function as a destination needs it too: at AWS the role of the source
    /// function must be allowed to invoke the destination, and functions have no role here. Destinations that the program
    /// adds with [`Builder::destination`](crate::Builder::destination) need no right. A caller of another account may use the
    /// functions whose policies allow it, and nothing else.
    ///
    /// ```no_run
    /// # fn protect(client: redrive::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use redrive::http::LambdaApi;
    /// use redrive::http::sigv4::{Credential, Principal, StaticCredentials};
    /// use redrive::policy::Policies;
    ///
    /// let invoke_only = r#"{"Version": "2012-10-17", "Statement":
    ///     {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}}"#;
    /// let ada = Principal::new("arn:aws:iam::000000000000:user/ada");
    /// let credential = Credential::new(&std::env::var("ADAS_SECRET")?, ada)
    ///     .policies(Policies::new().identity(invoke_only.parse()?));
    /// let api = LambdaApi::new(client).credentials(StaticCredentials::new().key("AKIDADA", credential));
    /// # Ok(())
    /// # }
    /// ```
    pub fn credentials(self, credentials: impl Credentials + 'static) -> Self {
        let verifier = Verifier::new(self.0.client.region(), credentials);
        self.verifier(verifier)
    }

    /// As [`credentials`](Self::credentials), with a verifier that the application has configured.
    pub fn verifier(self, verifier: Verifier) -> Self {
        self.set(|api| api.access_control = Some(Arc::new(AccessControl::new(verifier))))
    }

    /// Sets how many connections the server of [`bind`](Self::bind) serves at once, in all its threads together; at least one
    /// in each. Beyond that, connections that wait for their client are closed to make room, those that have waited longest
    /// first:
    ///
    /// | connection | closed |
    /// |---|---|
    /// | without a request so far, or in a TLS handshake | at once |
    /// | idle, or whose client stops sending a body or reading a response | after 2 s |
    /// | with a request that is carried out | never: new clients wait in the system's backlog |
    ///
    /// The default follows from the file descriptors that the process may have when it binds (`ulimit -n`): a quarter of
    /// them, at least 64, is reserved for the store, for threads and for the application. The rest is for connections, at most
    /// 100,000. That is 768 of 1,024.
    pub fn connections_max(self, connections: usize) -> Self {
        self.set(|api| api.connections_max = Some(connections))
    }

    /// Sets how many bytes of unread responses the server of [`bind`](Self::bind) holds, for all connections together; and how
    /// many bytes of incomplete requests. 256 MiB each unless set.
    ///
    /// Beyond that, connections are closed: first those whose clients have read nothing yet beyond the system's buffers, then
    /// those that have read, or sent, nothing for the longest time. A client that reads slowly and steadily gets the whole
    /// response. A single connection may always hold the largest response or request, also beyond the bound.
    pub fn buffered_max(self, bytes: usize) -> Self {
        self.set(|api| api.buffered_max = bytes)
    }

    /// Sets how long a stop of the server of [`bind`](Self::bind) waits for responses: 10 s unless set, rounded up to whole
    /// seconds. A synchronous call that still runs one second before the end is cancelled, and its caller gets a 503.
    ///
    /// A process manager grants the server and the runtime one time together: Kubernetes kills a process 30 s after SIGTERM.
    pub fn stop_max(self, stop_max: Duration) -> Self {
        self.set(|api| api.stop_max = stop_max)
    }

    /// Ends all long polls at once, and later ones when they begin. Call it before you stop the server, which waits for all
    /// responses. [`Server::run_until_signal`](super::Server::run_until_signal) calls it.
    pub fn end_polls(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Returns whether requests must be signed.
    pub(crate) fn is_protected(&self) -> bool {
        self.0.access_control.is_some()
    }

    /// Returns the routes for `App::configure` or `Scope::configure`: the paths of AWS's API, which begin with one of its dates,
    /// and those under `/_redrive/`. All other paths are the application's.
    pub fn configure(&self) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
        let api = self.0.clone();
        move |config| {
            for date in lambda::operations::dates() {
                let api = api.clone();
                let serve = move |http, body| serve_aws(api.clone(), date, http, body);
                // A scope matches without a regular expression.
                let scope = web::scope(date).default_service(web::to(serve));
                config.service(scope);
            }
            let serve = move |http, body| serve_admin(api.clone(), http, body);
            config.service(web::scope("_redrive").default_service(web::to(serve)));
        }
    }

    /// Returns the routes of [`configure`](Self::configure), and a refusal for all other paths.
    pub(super) fn configure_alone(&self) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
        let (configure, api) = (self.configure(), self.0.clone());
        move |config| {
            config.configure(configure);
            let unknown = move |http, body| serve_unknown(api.clone(), http, body);
            config.default_service(web::to(unknown));
        }
    }
}

async fn serve_aws(
    api: Arc<Api>,
    date: &str,
    http: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    let mut incoming = Incoming::new(&api, &http, body);
    let outcome = lambda::dispatch::dispatch(&mut incoming, date).await;
    incoming.finish(outcome).await
}

/// Refuses a path that is neither AWS's nor under `/_redrive/`, where the API is served standalone.
async fn serve_unknown(api: Arc<Api>, http: HttpRequest, body: web::Payload) -> HttpResponse {
    let mut incoming = Incoming::new(&api, &http, body);
    let error = match auth::check_caller(&mut incoming, Incoming::small).await {
        Ok(()) => ApiError::unknown_operation(&http),
        Err(refused) => refused,
    };
    incoming.finish(Err(error)).await
}

async fn serve_admin(api: Arc<Api>, http: HttpRequest, body: web::Payload) -> HttpResponse {
    let mut incoming = Incoming::new(&api, &http, body);
    let outcome = admin::dispatch::dispatch(&mut incoming).await;
    incoming.finish(outcome).await
}
