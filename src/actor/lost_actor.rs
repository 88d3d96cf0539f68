//! The alarm for a lost actor: a control-plane actor that ends before the runtime does closes admission.

use std::sync::Arc;

use crate::admission::Admission;
use crate::event::function_name::FunctionName;
use crate::telemetry;

/// Held by the router, the dead-letter queue and each supervisor for as long as they live.
///
/// An actor that is lost early, by a panic or with its arbiter, leaves events that can no longer end. So the guard's drop
/// refuses all further events and fails the calls that wait, unless [`release`](Self::release) came first.
pub(crate) struct LossGuard {
    admission: Arc<Admission>,
    actor: &'static str,
    function: Option<FunctionName>,
    released: bool,
}

impl LossGuard {
    pub(crate) fn new(
        admission: Arc<Admission>,
        actor: &'static str,
        function: Option<FunctionName>,
    ) -> Self {
        Self {
            admission,
            actor,
            function,
            released: false,
        }
    }

    /// Marks the actor's work as done, so that its end is not a loss.
    pub(crate) fn release(&mut self) {
        self.released = true;
    }
}

impl Drop for LossGuard {
    fn drop(&mut self) {
        // An orderly shutdown closes admission before it stops the actors.
        if !self.released && self.admission.close_for_good() {
            telemetry::control_plane_lost(self.actor, self.function.as_ref());
        }
    }
}

impl std::fmt::Debug for LossGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.actor)
    }
}
