//! A store, random calls to it, and a model of the events that it must remember.
//!
//! ```text
//! action.rs   a random call, and its effect on the model
//! check.rs    compares the store with the model, also after a crash
//! state.rs    the model: the story of each event;  fate.rs: an event's state as text
//! ```

mod action;
mod check;
mod fate;
mod state;

pub(super) use state::{After, World};
