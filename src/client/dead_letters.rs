//! The dead letters, for whoever has a client and no address.

use actix::{Addr, Handler, Message};

use super::Client;
use crate::actor::dead_letters::{DeadLetterQueue, Get};
use crate::event::dead_letter::DeadLetter;

#[cfg(feature = "http")]
pub(crate) use crate::actor::dead_letters::{Filter, Find, List, Purge, Redrive, Redriven};

impl Client {
    /// Asks the dead-letter queue: [`List`](crate::List), [`Get`](crate::Get), [`Redrive`](crate::Redrive),
    /// [`Purge`](crate::Purge) and [`Subscribe`](crate::Subscribe) are questions. `None` if the runtime is gone.
    ///
    /// ```
    /// # async fn count(client: redrive::Client) -> Option<usize> {
    /// let page = client.ask_dead_letters(redrive::List::new(redrive::Filter::new())).await?;
    /// # Some(
    /// page.total
    /// # )
    /// # }
    /// ```
    pub async fn ask_dead_letters<M>(&self, question: M) -> Option<M::Result>
    where
        M: Message<Result: Send> + Send + 'static,
        DeadLetterQueue: Handler<M>,
    {
        let queue = self.admission.dead_letters.get()?;
        let queue = queue.downcast_ref::<Addr<DeadLetterQueue>>()?;
        queue.send(question).await.ok()
    }

    /// The dead letter of an event, if it is in the queue.
    pub async fn dead_letter(
        &self,
        event: crate::event::request_id::RequestId,
    ) -> Option<DeadLetter> {
        self.ask_dead_letters(Get(event)).await?
    }
}
