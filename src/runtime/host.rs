//! The thread and the actix `System` that a runtime lives on.
//!
//! They belong to the runtime alone. actix-server stops the whole `System` of its application soon after SIGTERM
//! (actix-web#3123), and with it every arbiter that was started there; a runtime that lived there lost its actors before
//! `shutdown` was called. The application's `System` may come and go, and an application on plain tokio needs none.

use std::future::Future;
use std::io;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use tokio::sync::oneshot;

use crate::error::BuildError;

/// The thread of the control plane and of the runtime's own futures.
#[derive(Clone)]
pub(super) enum Host {
    /// A separate thread and `System`. Dead letters have another thread, so that reading many of them does not delay
    /// supervisors.
    Own {
        system: System,
        control: ArbiterHandle,
        dead_letters: ArbiterHandle,
    },
    /// The thread that started the runtime: virtual time needs one thread.
    Here,
}

/// Starts a thread with a `System` and runs `start` there. The thread ends when that `System` is stopped, or when
/// `start` fails.
pub(super) async fn launch<R, F>(
    start: impl FnOnce() -> F + Send + 'static,
) -> Result<R, BuildError>
where
    F: Future<Output = Result<R, BuildError>>,
    R: Send + 'static,
{
    let (sender, started) = oneshot::channel();
    let thread = move || {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let tokio = match tokio {
            Ok(tokio) => tokio,
            Err(error) => return drop(sender.send(Err(no_thread(&error)))),
        };
        let system = System::with_tokio_rt(|| tokio);
        let result = system.block_on(start());
        if result.is_err() {
            // Arbiters that were started before go too.
            System::current().stop();
        }
        // If the caller has stopped waiting, the runtime is dropped here, which stops the `System`.
        drop(sender.send(result));
        if let Err(error) = system.run() {
            tracing::error!(%error, "the runtime's thread ended with an error");
        }
    };
    std::thread::Builder::new()
        .name("redrive".to_owned())
        .spawn(thread)
        .map_err(|error| no_thread(&error))?;
    started
        .await
        .unwrap_or_else(|_| Err(BuildError::Thread("its first thread panicked".to_owned())))
}

pub(super) fn no_thread(error: &io::Error) -> BuildError {
    BuildError::Thread(error.to_string())
}

impl Host {
    /// Returns the host on the present thread, which `launch` started.
    pub(super) fn own() -> Result<Self, BuildError> {
        let dead_letters = Arbiter::try_new().map_err(|error| no_thread(&error))?;
        Ok(Self::Own {
            system: System::current(),
            control: Arbiter::current(),
            dead_letters: dead_letters.handle(),
        })
    }

    /// Starts an actor beside the supervisors.
    pub(super) fn start<A>(&self, make: impl FnOnce() -> A + Send + 'static) -> Addr<A>
    where
        A: Actor<Context = actix::Context<A>>,
    {
        match self {
            Self::Own { control, .. } => A::start_in_arbiter(control, move |_| make()),
            Self::Here => make().start(),
        }
    }

    /// Starts the actor that keeps dead letters.
    pub(super) fn start_dead_letters<A>(&self, make: impl FnOnce() -> A + Send + 'static) -> Addr<A>
    where
        A: Actor<Context = actix::Context<A>>,
    {
        match self {
            Self::Own { dead_letters, .. } => A::start_in_arbiter(dead_letters, move |_| make()),
            Self::Here => make().start(),
        }
    }

    /// Runs `work` on the runtime's own thread and returns its result, so that the caller needs no executor, and `work` goes on
    /// if the caller stops waiting. `None` if that thread is gone.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl Future<Output = R> + Send + 'static,
    ) -> Option<R> {
        match self {
            Self::Own { control, .. } => {
                let (sender, done) = oneshot::channel();
                control.spawn(async move {
                    let _ = sender.send(work.await); // the caller may have stopped waiting
                });
                done.await.ok()
            }
            Self::Here => Some(work.await),
        }
    }

    /// Ends the runtime's threads, those of its arbiters included.
    pub(super) fn stop(&self) {
        if let Self::Own { system, .. } = self {
            system.stop();
        }
    }
}
