//! The reply to a request of a store: a callback that is called exactly once.

use crate::base::panic;
use crate::error::StoreError;
use crate::telemetry;

/// The callback for a store's reply. A `Reply` that is dropped unsent replies with an error.
pub struct Reply<T>(Option<Callback<T>>);

type Callback<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

impl<T> Reply<T> {
    /// Creates a reply that calls `callback` with the result, on the thread that sends it.
    pub fn new(callback: impl FnOnce(Result<T, StoreError>) + Send + 'static) -> Self {
        Self(Some(Box::new(callback)))
    }

    /// Sends the result.
    pub fn send(mut self, result: Result<T, StoreError>) {
        self.call(result);
    }

    /// Catches a panic of the callback: a log subscriber that panics must not stop a store's thread.
    fn call(&mut self, result: Result<T, StoreError>) {
        if let Some(callback) = self.0.take()
            && let Err(panicked) = panic::catch(|| callback(result))
        {
            telemetry::reply_panicked(&panicked.message);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.call(Err(StoreError::new("the store sent no reply")));
    }
}

impl<T> std::fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply")
    }
}
