//! The post of an actor of the control plane: what must not be left before the runtime ends.

use std::sync::Arc;

use crate::admission::Admission;
use crate::event::function_name::FunctionName;
use crate::telemetry;

/// Held by the router, the dead-letter queue and each supervisor for as long as they live. Whoever is lost early, by a panic
/// or with its arbiter, leaves events that nobody will end: nothing more is accepted, and those who wait are told.
pub(crate) struct Post {
    pub(crate) admission: Arc<Admission>,
    actor: &'static str,
    function: Option<FunctionName>,
    relieved: bool,
}

impl Post {
    pub(crate) fn new(
        admission: Arc<Admission>,
        actor: &'static str,
        function: Option<FunctionName>,
    ) -> Self {
        Self {
            admission,
            actor,
            function,
            relieved: false,
        }
    }

    /// The actor's work is done: it may go.
    pub(crate) fn relieve(&mut self) {
        self.relieved = true;
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        // An orderly end closes the door before it lets the actors go.
        if !self.relieved && self.admission.desert() {
            telemetry::control_plane_lost(self.actor, self.function.as_ref());
        }
    }
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.actor)
    }
}
