//! The dead-letter queue, through a client.

use actix::{Handler, Message};

use super::Client;
use crate::actor::dead_letters::{DeadLetterQueue, Get};
use crate::event::dead_letter::DeadLetter;

#[cfg(feature = "http")]
pub(crate) use crate::actor::dead_letters::{Filter, Find, List, Purge, Redrive, Redriven};

impl Client {
    /// Sends a message to the dead-letter queue and returns its reply. Messages are [`List`](crate::List),
    /// [`Get`](crate::Get), [`Redrive`](crate::Redrive), [`Purge`](crate::Purge) and [`Subscribe`](crate::Subscribe). `None` if
    /// the runtime is gone.
    ///
    /// ```
    /// # async fn count(client: redrive::Client) -> Option<usize> {
    /// let page = client.ask_dead_letters(redrive::List::new(redrive::Filter::new())).await?;
    /// # Some(
    /// page.total
    /// # )
    /// # }
    /// ```
    pub async fn ask_dead_letters<M>(&self, message: M) -> Option<M::Result>
    where
        M: Message<Result: Send> + Send + 'static,
        DeadLetterQueue: Handler<M>,
    {
        self.entrance.dead_letters.send(message).await.ok()
    }

    /// Returns the dead letter of an event, if it is in the queue.
    pub async fn dead_letter(
        &self,
        event: crate::event::request_id::RequestId,
    ) -> Option<DeadLetter> {
        self.ask_dead_letters(Get(event)).await?
    }
}
