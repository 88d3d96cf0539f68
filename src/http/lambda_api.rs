//! [`LambdaApi`]: the API as an application sets it up, mounts it or serves it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::watch;

use super::api::{Api, BUFFERED_MAX, STOP_MAX};
use super::auth;
use super::auth::access_control::AccessControl;
use super::error::ApiError;
use super::request::Incoming;
use super::sigv4::{Credentials, Verifier};
use super::{admin, lambda};
use crate::client::Client;

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
/// There actix-web keeps the connections: its limits hold, what it refuses by itself has no body, and a synchronous call runs on
/// after its caller has hung up, as it does at AWS.
///
/// Or alone, see [`bind`](Self::bind). Under `/_redrive/` it answers what AWS's API doesn't know: what became of an event,
/// cancelling, dead letters, figures, health; `/_redrive/openapi.json` describes it.
///
/// Without authentication it answers loopback clients of loopback listeners alone: others get a 403 that says what to
/// configure.
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
    /// The API over the runtime that the client belongs to. From here on the runtime keeps what invocations log, in
    /// [`Logs`] of its own unless it was given some.
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

    /// Demands that each request is signed (AWS Signature Version 4) with one of these credentials, and allowed by their
    /// policies or the function's. Health and the API's description stay open.
    ///
    /// Whatever has a function run with a payload of the caller's needs `lambda:InvokeFunction` on it: a redrive with a
    /// payload does, beside `redrive:RedriveDeadLetters`. So does naming the function as a destination: at AWS the role of the
    /// source function must be allowed to invoke it, and functions have no role here. Destinations that the program names
    /// with [`Builder::destination`](crate::Builder::destination) are its own grant. Somebody of another account reaches a
    /// function by its policy alone, and nothing that is no function's.
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

    /// As [`credentials`](Self::credentials), with a verifier of one's own making.
    pub fn verifier(self, verifier: Verifier) -> Self {
        self.set(|api| api.access_control = Some(Arc::new(AccessControl::new(verifier))))
    }

    /// How many connections the server of [`bind`](Self::bind) serves at once, in all of its threads together; at least one
    /// in each. When there are so many, connections that wait for their client are ended to make room for others: at once
    /// those that never had a request, TLS handshakes among them, and after 2 s those that are idle, or whose client stops
    /// sending a body or taking an answer; in each kind those first that have waited longest. Where requests are carried out
    /// on all of them, a client beyond them waits in the system's backlog.
    ///
    /// Unless it is set, it follows from the file descriptors that the process may have when it binds (`ulimit -n`): a
    /// quarter of them, at least 64, is kept back for the store, for threads and for the application, and the rest is for
    /// connections, at most 100,000. That is 768 of 1,024.
    pub fn connections_max(self, connections: usize) -> Self {
        self.set(|api| api.connections_max = Some(connections))
    }

    /// How many bytes the server of [`bind`](Self::bind) holds of answers that its clients haven't taken yet, of all
    /// connections together; and how many of requests that aren't whole yet. 256 MiB each unless set.
    ///
    /// With more, connections are ended: first those whose clients have taken nothing yet beyond what the system holds for
    /// them, then those that have taken, or sent, nothing for the longest time. A client that reads slowly and steadily gets
    /// its answer whole. One connection may always hold the largest answer or request there is, beyond the bound too.
    pub fn buffered_max(self, bytes: usize) -> Self {
        self.set(|api| api.buffered_max = bytes)
    }

    /// How long a stop of the server of [`bind`](Self::bind) waits for answers: 10 s unless set, rounded up to whole seconds.
    /// A synchronous call that isn't done one second before is cancelled and answered with a 503.
    ///
    /// What stops a process counts the time for server and runtime together: Kubernetes kills it 30 s after SIGTERM.
    pub fn stop_max(self, stop_max: Duration) -> Self {
        self.set(|api| api.stop_max = stop_max)
    }

    /// Answers all long polls at once, those that are yet to come too: before the server is stopped, which waits until
    /// all is answered. [`Server::run_until_signal`] does it by itself.
    pub fn end_polls(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Must requests be signed?
    pub(crate) fn is_protected(&self) -> bool {
        self.0.access_control.is_some()
    }

    /// For `App::configure` or `Scope::configure`: answers the paths of AWS's API, which begin with one of its dates, and those
    /// under `/_redrive/`. All others are the application's.
    pub fn configure(&self) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
        let api = self.0.clone();
        move |config| {
            for date in lambda::operations::dates() {
                let api = api.clone();
                let serve = move |http, body| serve_aws(api.clone(), date, http, body);
                // Scopes: no expression is matched for any request.
                let scope = web::scope(date).default_service(web::to(serve));
                config.service(scope);
            }
            let serve = move |http, body| serve_admin(api.clone(), http, body);
            config.service(web::scope("_redrive").default_service(web::to(serve)));
        }
    }

    /// As `configure`, and all other paths too.
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

/// What is neither AWS's nor ours, where there is no other application.
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
