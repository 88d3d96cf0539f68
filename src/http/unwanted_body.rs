//! The mark of a refused request whose body is still read, only so that its sender reads the error: the server discards the
//! bytes instead of keeping them in memory.

use std::cell::Cell;
use std::rc::Rc;

use actix_web::{HttpMessage, HttpRequest};

/// Says whether the body of a request is unwanted. The server puts it among the request's extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnwantedBody(Rc<Cell<bool>>);

impl UnwantedBody {
    /// Marks the body of this request as unwanted from now on.
    pub(crate) fn mark(http: &HttpRequest) {
        if let Some(Self(unwanted)) = http.extensions().get() {
            unwanted.set(true);
        }
    }

    pub(crate) fn is_marked(&self) -> bool {
        self.0.get()
    }
}
