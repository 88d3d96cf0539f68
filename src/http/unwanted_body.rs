//! A body that is read to be thrown away, so that its sender gets to read why it was refused: it takes no memory.

use std::cell::Cell;
use std::rc::Rc;

use actix_web::{HttpMessage, HttpRequest};

/// Among the extensions of a request: whether its body is unwanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnwantedBody(Rc<Cell<bool>>);

impl UnwantedBody {
    /// From now on the body of this request is.
    pub(crate) fn say(http: &HttpRequest) {
        if let Some(Self(unwanted)) = http.extensions().get() {
            unwanted.set(true);
        }
    }

    pub(crate) fn is_so(&self) -> bool {
        self.0.get()
    }
}
