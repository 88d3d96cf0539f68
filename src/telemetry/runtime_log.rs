//! Log lines about the runtime itself: a lost control-plane actor, an end without a shutdown.

use tracing::{error, warn};

use crate::event::function_name::FunctionName;

pub(crate) fn control_plane_lost(actor: &str, function: Option<&FunctionName>) {
    let function = function.map(tracing::field::display);
    let panicked = std::thread::panicking();
    error!(
        actor,
        function,
        panicked,
        "control-plane actor ended before the runtime was shut down; all further events are refused"
    );
}

pub(crate) fn dropped_without_shutdown(pending: u64) {
    warn!(
        pending,
        "runtime dropped without shutdown; events that were pending in memory are lost"
    );
}
