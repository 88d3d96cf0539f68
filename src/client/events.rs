//! Single events: their status, waiting for their end, cancelling; and pages of a function's events.

use std::sync::Arc;

use super::Client;
use super::status::{EventPage, EventStatus, InvokedAs, State, Status};
use crate::error::StoreError;
use crate::event::InvocationType;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::mailbox::Mailbox;

/// Cursors from here on are of events that only the store has.
const OVERFLOW: u64 = 1 << 32;

impl Client {
    /// Returns the status of an event: always while it is pending, and for a bounded time and number of events once it has
    /// finished ([`Function::retain`](crate::Function::retain)).
    ///
    /// Returns at once for an event in memory, and waits for the store otherwise.
    pub async fn status(&self, id: RequestId) -> Option<Status> {
        self.status_of(id, None).await
    }

    /// As `status`, unless the event is of another function than `function`, if one is given.
    pub(crate) async fn status_of(
        &self,
        id: RequestId,
        function: Option<&FunctionName>,
    ) -> Option<Status> {
        if let Some(mailbox) = self.locate_of(id, function)
            && let Some(event) = mailbox.inspect().snapshot(id)
        {
            return Some(Status::of(&mailbox, &event));
        }
        if !self.is_stored_of(id, function) {
            return None;
        }
        let known = self.entrance.admission.store.look(id).await?;
        let (status, _) = Status::stored(known, &self.entrance.admission.clock);
        Some(status)
    }

    /// Returns the mailbox that has the event, if it is the one of `function`, where one is given.
    fn locate_of(&self, id: RequestId, function: Option<&FunctionName>) -> Option<Arc<Mailbox>> {
        let mailbox = self.entrance.admission.locate(id)?;
        let is_own = function.is_none_or(|function| function == mailbox.name());
        is_own.then_some(mailbox)
    }

    /// Returns whether the event can be `function`'s, where one is given.
    fn is_stored_of(&self, id: RequestId, function: Option<&FunctionName>) -> bool {
        function.is_none_or(|function| {
            self.entrance.admission.stored_function(id).as_ref() == Some(function)
        })
    }

    /// Waits until an event has ended, through all its retries, and returns how. With AWS's defaults that can take minutes,
    /// with throttles hours. Returns at once if the event has ended and is remembered.
    ///
    /// Returns `None` if the event is unknown (a wrong id, or one that finished too long ago), or if the runtime ends first. Dropping the future changes nothing for the event.
    pub async fn wait(&self, id: RequestId) -> Option<Status> {
        self.wait_of(id, None).await
    }

    /// As `wait`, unless the event is of another function than `function`, if one is given.
    pub(crate) async fn wait_of(
        &self,
        id: RequestId,
        function: Option<&FunctionName>,
    ) -> Option<Status> {
        let Some(mailbox) = self.locate_of(id, function) else {
            return self.wait_stored(id, function).await;
        };
        let attempts = mailbox
            .inspect()
            .snapshot(id)
            .map_or(0, |event| event.attempt);
        let end = mailbox.inspect().watch(id, false)?.await.ok()?;
        Some(Status::ended(&mailbox, id, end, attempts))
    }

    /// As `wait_of`, for an event that only the store knows.
    async fn wait_stored(&self, id: RequestId, function: Option<&FunctionName>) -> Option<Status> {
        let mailbox = self.entrance.admission.stored_mailbox(id);
        let mailbox =
            mailbox.filter(|mailbox| function.is_none_or(|function| function == mailbox.name()));
        let end = mailbox
            .as_ref()
            .and_then(|mailbox| mailbox.inspect().watch(id, true));
        // Asked after the watch began: an event that ended before sends nothing to the watch.
        let now = self.status_of(id, function).await?;
        match (now.is_finished(), mailbox.zip(end)) {
            (true, _) => Some(now),
            (false, Some((mailbox, end))) => Some(Status::ended(&mailbox, id, end.await.ok()?, 0)),
            (false, None) => None,
        }
    }

    /// Waits until everything so far is durable. Without this, cancellations, purges and results are written soon after, and
    /// a crash before that may undo them. Returns at once without a store.
    ///
    /// # Errors
    /// When the store can't write. On a full disk it tries again by itself.
    pub async fn sync(&self) -> Result<(), StoreError> {
        self.entrance.admission.store.sync().await
    }

    /// Cancels a pending event: it never runs again. A run that is under way is stopped at its next await point, and its
    /// result is refused. Returns whether the event was pending, and the cancellation is kept.
    ///
    /// Doesn't wait, unless only the store has the event. [`sync`](Self::sync) waits until the cancellation is durable.
    ///
    /// After `true` no later process runs the event either, shutdowns included. `false` for a pending event means that the
    /// cancellation is not kept and the next process may run the event: the runtime has ended ([`is_open`](Self::is_open) is
    /// false), or the store refused the cancellation ([`store_health`](Self::store_health)). This process doesn't run it.
    pub async fn cancel(&self, id: RequestId) -> bool {
        self.cancel_of(id, None).await
    }

    /// As `cancel`, unless the event is of another function than `function`, if one is given.
    pub(crate) async fn cancel_of(&self, id: RequestId, function: Option<&FunctionName>) -> bool {
        match self.entrance.admission.locate(id) {
            Some(mailbox) if function.is_some_and(|function| function != mailbox.name()) => false,
            Some(mailbox) => self.cancel_here(&mailbox, id),
            None => {
                self.is_stored_of(id, function)
                    && self.entrance.admission.cancel_in_overflow(id).await
            }
        }
    }

    pub(super) fn cancel_here(&self, mailbox: &Mailbox, id: RequestId) -> bool {
        self.entrance.admission.cancel_in_mailbox(mailbox, id)
    }

    /// Returns a page of a function's events in one state, from `cursor` on (0 is the beginning), with at most `limit` events.
    /// A limit of 0 counts as 1, since empty pages would follow each other without end. `None` if the function is unknown.
    ///
    /// The mailbox goes on between two pages: an event that changes its state may be in both or in neither.
    pub async fn events(
        &self,
        function: &str,
        state: State,
        cursor: u64,
        limit: usize,
    ) -> Option<EventPage> {
        let mailbox = self.entrance.admission.registry.named(function)?;
        let limit = limit.max(1);
        let waits = matches!(state, State::Accepted | State::Delayed);
        let Ok(slot) = u32::try_from(cursor) else {
            let after = cursor - OVERFLOW;
            return Some(self.overflow(&mailbox, state, after, limit).await);
        };
        let (snapshots, next) = mailbox
            .inspect()
            .list(slot, limit, |event| State::of(event.phase) == state);
        let events = snapshots.iter().map(|event| EventStatus {
            request_id: event.id,
            invocation_type: event.kind,
            accepted_at: mailbox.clock.wall(event.accepted),
            status: Status::of(&mailbox, event),
            invoked_as: InvokedAs::Known(event.qualifier.clone()),
        });
        let overflow = (waits && mailbox.storage().has_overflow()).then_some(OVERFLOW);
        Some(EventPage {
            events: events.collect(),
            next: next.map(u64::from).or(overflow),
        })
    }

    async fn overflow(
        &self,
        mailbox: &Mailbox,
        state: State,
        after: u64,
        limit: usize,
    ) -> EventPage {
        let page = self
            .entrance
            .admission
            .store
            .overflow(mailbox, after, limit)
            .await;
        let events = page.events.into_iter().map(|known| {
            let request_id = known.request_id;
            let (status, accepted_at) = Status::stored(known, &self.entrance.admission.clock);
            EventStatus {
                request_id,
                invocation_type: InvocationType::Event,
                accepted_at,
                status,
                invoked_as: InvokedAs::Unknown,
            }
        });
        let delayed = |status: &Status| matches!(status, Status::Delayed { .. });
        EventPage {
            events: events
                .filter(|event| delayed(&event.status) == (state == State::Delayed))
                .collect(),
            next: page.next.map(|next| next + OVERFLOW),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Event, Function, Runtime};

    /// Between two requests for an event, its id may come to another function's event.
    #[actix::test]
    async fn a_request_for_one_functions_event_does_not_touch_another_functions() {
        let echo = |event: Event<u32>| async move { Ok::<_, String>(*event) };
        let builder = Runtime::builder().function(Function::new("f", echo));
        let runtime = builder.start().await.unwrap();
        let client = runtime.client();
        client.pause("f");
        let id = client.invoke("f", 1_u32).await.unwrap().request_id;
        let (own, other) = (FunctionName::new("f"), FunctionName::new("g"));
        assert!(client.status_of(id, Some(&other)).await.is_none());
        assert!(client.wait_of(id, Some(&other)).await.is_none());
        assert!(!client.cancel_of(id, Some(&other)).await);
        let status = client.status_of(id, Some(&own)).await;
        assert!(matches!(status, Some(Status::Accepted { .. })));
        assert!(client.cancel_of(id, Some(&own)).await);
        let over = client.wait_of(id, Some(&own)).await;
        assert!(matches!(over, Some(Status::Cancelled)));
        let _ = runtime.shutdown(Duration::from_secs(5)).await;
    }
}
