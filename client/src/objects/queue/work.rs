//! Workers: fetch, handle, settle, until the queue is closed and drained.

use super::{Lease, Queue, cancel::AskedBack};
use crate::{Error, Fault, Payload, Result};
use futures_util::{
    FutureExt,
    future::{Either, select, try_join, try_join_all},
};
use std::{any::Any, fmt::Display, panic::AssertUnwindSafe, pin::pin};

impl<T: Payload> Queue<T> {
    /// Handles items, `concurrency` at a time, until the queue is [closed](Queue::close) and drained.
    ///
    /// An item is done when its handler gives `Ok`. It is retried after the queue's delay when the handler gives an error, which goes
    /// into the item's history, or panics. All handlers run inside the returned future, on whatever executor polls it; each has
    /// fetched one item and no more. Items that are not a `T` go back as failed.
    ///
    /// The handler of an item that is [cancelled](Queue::cancel) is dropped at its next await, and the item given back.
    ///
    /// Ends early, with the error, when the session is lost or the queue deleted; dropping the future gives back what is held.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use std::cell::Cell;
    ///
    /// let queue: bursar::Queue<u64> = manager.queue("numbers").create().await?;
    /// queue.put_many(1..=100).await?;
    /// queue.close().await?;
    /// let sum = Cell::new(0);
    /// queue.work(8, async |number| { sum.set(sum.get() + number); Ok::<(), String>(()) }).await?;
    /// assert_eq!(sum.get(), 5050);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn work<E, F>(&self, concurrency: usize, handler: impl Fn(T) -> F) -> Result<()>
    where
        E: Display,
        F: Future<Output = Result<(), E>>,
    {
        let asked_back = AskedBack::new();
        let slots = (0..concurrency.max(1)).map(|_| self.work_in_one_slot(&handler, &asked_back));
        match select(try_join_all(slots), pin!(asked_back.listen(self.handle()))).await {
            Either::Left((worked, _)) => worked.map(drop),
            Either::Right(((), _)) => unreachable!("whoever listens does so for ever"),
        }
    }

    async fn work_in_one_slot<E, F>(&self, handler: &impl Fn(T) -> F, asked_back: &AskedBack) -> Result<()>
    where
        E: Display,
        F: Future<Output = Result<(), E>>,
    {
        let mut fetched = self.get().await;
        while let Some(outcome) = next(fetched)? {
            let Some(lease) = outcome else {
                fetched = self.get().await;
                continue;
            };
            let (item, lease) = lease.into_parts();
            let outcome = {
                let handled = pin!(AssertUnwindSafe(handler(item)).catch_unwind());
                match select(handled, pin!(asked_back.wait_for(lease.lease_id()))).await {
                    Either::Left((outcome, _)) => Some(outcome),
                    Either::Right(((), _)) => None,
                }
            };
            fetched = self.settle_and_get(lease, outcome).await?;
        }
        Ok(())
    }

    /// Saves a round trip: the settlement goes ahead of the call for the next item, and the broker takes the calls of a session in
    /// their order, so that never two items are held. When the settlement fails, the other call is taken back.
    pub(crate) async fn settle_and_get<E: Display>(
        &self,
        lease: Lease<()>,
        outcome: Option<std::thread::Result<Result<(), E>>>,
    ) -> Result<Result<Lease<T>>> {
        let ((), fetched) = try_join(settle(lease, outcome), self.get().map(Ok)).await?;
        Ok(fetched)
    }
}

/// What a worker makes of an attempt to get an item: `None` is the end, `Some(None)` one that went back because it is not a `T`.
pub(crate) fn next<T>(outcome: Result<Lease<T>>) -> Result<Option<Option<Lease<T>>>> {
    match outcome {
        Ok(lease) => Ok(Some(Some(lease))),
        Err(Error::Codec { .. }) => Ok(Some(None)),
        Err(error) if matches!(error.fault(), Some(Fault::Closed {})) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Settles an item by what its handler gave; `None`: it was cancelled before. A lease that went back meanwhile is somebody else's business.
async fn settle<E: Display>(lease: Lease<()>, outcome: Option<std::thread::Result<Result<(), E>>>) -> Result<()> {
    let settled = match outcome {
        None => lease.release().await,
        Some(Ok(Ok(()))) => lease.done().await,
        Some(Ok(Err(error))) => lease.retry_because(error.to_string(), None).await,
        Some(Err(panic)) => lease.retry_because(format!("panic: {}", text(&*panic)), None).await,
    };
    match settled {
        Err(error) if matches!(error.fault(), Some(Fault::NotHeld { .. })) => {
            tracing::warn!(%error, "an item was handled twice");
            Ok(())
        }
        settled => settled,
    }
}

/// What a panic said.
pub(crate) fn text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "of unknown kind",
    }
}
