//! One call at the end of an application's `main`: waits for a signal, then shuts the server and the runtime down within one
//! grace period.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join, select};

use super::{Runtime, Shutdown, ShutdownReport};
use crate::base::signals::Signals;

impl Runtime {
    /// Waits for SIGINT or SIGTERM (Ctrl-C where there are no signals), then shuts down as [`shutdown`](Self::shutdown)
    /// does. A second signal ends the grace period.
    ///
    /// While this waits, those signals don't end the process by themselves. Dropping the future before a signal drops the
    /// runtime. An application with a server calls [`serve`](Self::serve).
    ///
    /// ```no_run
    /// # async fn run(runtime: redrive::Runtime) {
    /// let report = runtime.until_signal(std::time::Duration::from_secs(20)).await;
    /// println!("{} events unfinished", report.unfinished_count);
    /// # }
    /// ```
    pub async fn until_signal(mut self, shutdown: impl Into<Shutdown>) -> ShutdownReport {
        let mut signals = self.listen().await;
        signals.next().await;
        self.end_or_hurry(shutdown.into(), &mut signals).await
    }

    /// Runs a server beside the runtime until SIGINT or SIGTERM comes, or the server ends by itself. Then `stop` lets
    /// the server finish its requests, and the runtime shuts down, both within the grace period of `shutdown`. A second signal
    /// ends that period. Where the process is killed after a while, as by Kubernetes 30 s after SIGTERM, use a grace period
    /// well below that.
    ///
    /// With actix-web; `disable_signals` lets requests finish on Ctrl-C too:
    ///
    /// ```ignore
    /// let server = HttpServer::new(app).disable_signals().bind("127.0.0.1:8080")?.run();
    /// let handle = server.handle();
    /// runtime.serve(server, || handle.stop(true), Duration::from_secs(20)).await?;
    /// ```
    ///
    /// actix-web's server waits up to 30 s for requests when it stops, unless `shutdown_timeout` is set; the Lambda API's server
    /// waits up to 10 s.
    ///
    /// With axum, `stop` sends to a channel that `with_graceful_shutdown` waits for. A panic in the server or in `stop` is not
    /// caught: it drops the runtime.
    ///
    /// # Errors
    /// Those of the server. The runtime has been shut down then too; the log has the number of events that did not finish.
    pub async fn serve<E, Stopped: Future>(
        mut self,
        server: impl Future<Output = Result<(), E>>,
        stop: impl FnOnce() -> Stopped,
        shutdown: impl Into<Shutdown>,
    ) -> Result<ShutdownReport, E> {
        let mut signals = self.listen().await;
        let mut shutdown: Shutdown = shutdown.into();
        let mut server = pin!(server);
        let ended = match select(server.as_mut(), pin!(signals.next())).await {
            Either::Left((served, _)) => Some(served),
            Either::Right(_) => None,
        };
        let clock = &self.parts.entrance.admission.clock;
        let began = clock.now();
        let served = match ended {
            None => {
                let stopped = async { join(server, stop()).await.0 };
                self.in_time(stopped, shutdown.grace, &mut signals).await
            }
            ended => ended,
        };
        shutdown.grace = match &served {
            Some(_) => shutdown.grace.saturating_sub(clock.now().since(began)),
            None => Duration::ZERO,
        };
        let report = self.end_or_hurry(shutdown, &mut signals).await;
        match served {
            Some(Err(error)) => {
                let unfinished = report.unfinished_count;
                tracing::error!(unfinished, "server failed, and the runtime was shut down");
                Err(error)
            }
            _ => Ok(report),
        }
    }

    async fn listen(&self) -> Signals {
        // Signals need a reactor: the caller's executor may not have one, the runtime's thread does.
        let listening = self.parts.host.run(async { Signals::listen() }).await;
        listening.unwrap_or_else(Signals::none)
    }

    /// Returns the result of `work` if it ends within the limit and before the next signal.
    async fn in_time<R>(
        &self,
        work: impl Future<Output = R>,
        limit: Duration,
        signals: &mut Signals,
    ) -> Option<R> {
        let timer = self.parts.host.run(tokio::time::sleep(limit));
        let over = async {
            let _ = select(pin!(timer), pin!(signals.next())).await; // either ends the work
        };
        match select(pin!(work), pin!(over)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }

    /// Shuts down; a signal ends the grace period.
    async fn end_or_hurry(&mut self, shutdown: Shutdown, signals: &mut Signals) -> ShutdownReport {
        self.ended = true;
        match select(pin!(self.end(shutdown)), pin!(signals.next())).await {
            Either::Left((report, _)) => report,
            Either::Right((_, ending)) => {
                self.parts.hurry.notify_one();
                ending.await
            }
        }
    }
}
