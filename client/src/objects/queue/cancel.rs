//! Taking an item from whoever works on it, and how that one learns of it.

use super::{Lease, Queue, wire};
use crate::{Error, Payload, Result, Wait, objects::Handle};
use std::collections::BTreeSet;
use tokio::sync::watch;

/// What comes of an item that is taken from its holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// It is at the head of the queue again.
    #[default]
    Requeue,
    /// It is put aside, with the reason `cancelled: ...`.
    Park,
}

/// What became of an item that was to be taken from its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its holder was told, and has not let go of it yet.
    Held,
    /// It is in the queue again.
    Requeued,
    /// It is parked.
    Parked,
    /// Its holder was faster: it is done.
    Done,
    /// Nobody held it: it waits in the queue as before.
    Queued,
    /// It was done, dropped or expired before; or the queue was shut down.
    Gone,
}

/// What a cancel gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cancelled {
    /// What became of the item.
    pub outcome: Outcome,
    /// The session that holds it, or held it.
    pub session: Option<u64>,
    /// Under which lease; for [`Cancel::under`].
    pub lease: Option<u64>,
}

/// A cancel, before it is sent: [`Queue::cancel`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before send"]
pub struct Cancel {
    handle: Handle,
    request: wire::CancelRequest,
}

impl Cancel {
    /// What comes of the item; if not said, it is requeued.
    pub fn then(mut self, then: Then) -> Cancel {
        self.request.then = match then {
            Then::Requeue => wire::Then::Requeue,
            Then::Park => wire::Then::Park,
        }
        .into();
        self
    }

    /// Kept in the item's history (1 KiB of it).
    pub fn why(mut self, why: impl Into<String>) -> Cancel {
        self.request.why = why.into();
        self
    }

    /// How long the holder has to let go of it; if not said, it is told and not waited for.
    pub fn grace(mut self, wait: impl Into<Wait>) -> Cancel {
        self.request.wait_ms = wait.into().to_ms();
        self
    }

    /// Only while it is held under this lease, as an earlier cancel named it: whoever has the item by now is left alone.
    pub fn under(mut self, lease: u64) -> Cancel {
        self.request.lease = lease;
        self
    }

    /// Takes it away at once, without a word from its holder, who may still be at work: what that one does with its lease from now on
    /// is refused (`NotHeld`).
    pub fn force(mut self) -> Cancel {
        self.request.force = true;
        self
    }

    /// Sends it, and waits as long as there is grace. Fault: `BadArgument`, when no item of the queue ever had the id.
    pub async fn send(self) -> Result<Cancelled> {
        let reply: wire::CancelReply = self.handle.call(self.request).await?;
        use wire::cancel_reply::Outcome as Told;
        let outcome = match Told::try_from(reply.outcome) {
            Ok(Told::Held) => Outcome::Held,
            Ok(Told::Requeued) => Outcome::Requeued,
            Ok(Told::Parked) => Outcome::Parked,
            Ok(Told::Done) => Outcome::Done,
            Ok(Told::Queued) => Outcome::Queued,
            Ok(Told::Gone) => Outcome::Gone,
            Err(_) => return Err(Error::protocol(format!("queue.cancel: an unknown outcome: {}", reply.outcome))),
        };
        let some = |number: u64| (number > 0).then_some(number);
        Ok(Cancelled { outcome, session: some(reply.session), lease: some(reply.lease) })
    }
}

impl<T: Payload> Queue<T> {
    /// Takes an item, by the id that `put` gave, from whoever works on it. Its holder is told ([`Lease::cancelled`]; [`Queue::work`]
    /// stops the handler) and gives it back: that counts as neither a failure nor a crash. An item that its holder has done by then is
    /// done. Nobody is stopped by force: a holder that does not listen goes on, until [`Cancel::force`] or its end.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::{Queue, queue::{Outcome, Then}};
    /// use std::time::Duration;
    ///
    /// let jobs: Queue<String> = manager.queue("jobs").create().await?;
    /// let id = jobs.put("resize all of it".to_owned()).await?;
    /// let worker = async {
    ///     let lease = jobs.get().await?;
    ///     lease.cancelled().await;
    ///     lease.release().await
    /// };
    /// let operator = async {
    ///     while jobs.stats().await?.leased == 0 {}
    ///     jobs.cancel(id).then(Then::Park).why("too large").grace(Duration::from_secs(10)).send().await
    /// };
    /// let (_, cancelled) = futures_util::try_join!(worker, operator)?;
    /// assert_eq!(cancelled.outcome, Outcome::Parked);
    /// assert_eq!(jobs.parked().await?[0].why, "cancelled: too large");
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn cancel(&self, id: u64) -> Cancel {
        let handle = self.handle().clone();
        let request = wire::CancelRequest { object: handle.object(), id, ..Default::default() };
        Cancel { handle, request }
    }
}

impl<T> Lease<T> {
    /// Waits until the item is asked back by [`Queue::cancel`]: then work on it should stop, and the lease be given back, for instance
    /// by [`Lease::release`]. To be selected on beside the work. Never ready when the session ends: that is [`Lease::lost`].
    pub async fn cancelled(&self) {
        let mut after = 0;
        while let Ok(asked) = asked_back(self.held().handle(), after, Wait::Forever).await {
            if asked.leases.contains(&self.lease_id()) {
                return;
            }
            after = asked.upto;
        }
        std::future::pending().await
    }

    /// Whether the item is asked back by now: asks the broker.
    pub async fn is_cancelled(&self) -> Result<bool> {
        let asked = asked_back(self.held().handle(), 0, Wait::Never).await?;
        Ok(asked.leases.contains(&self.lease_id()))
    }
}

async fn asked_back(handle: &Handle, after: u64, wait: Wait) -> Result<wire::CancellingReply> {
    handle.call(wire::CancellingRequest { object: handle.object(), wait_ms: wait.to_ms(), after }).await
}

/// What is asked back of this session, for many who work side by side: one waiting call for all of them.
pub(super) struct AskedBack(watch::Sender<BTreeSet<u64>>);

impl AskedBack {
    pub fn new() -> AskedBack {
        AskedBack(watch::Sender::default())
    }

    /// Listens as long as it is polled; never ready. A broker that is too old to tell tells nothing.
    pub async fn listen(&self, handle: &Handle) {
        let mut after = 0;
        while let Ok(asked) = asked_back(handle, after, Wait::Forever).await {
            after = asked.upto;
            self.0.send_replace(asked.leases.into_iter().collect());
        }
        std::future::pending().await
    }

    /// Waits until this lease is asked back, while somebody [listens](AskedBack::listen).
    pub async fn wait_for(&self, lease: u64) {
        // It ends with the sender only, which is borrowed here.
        _ = self.0.subscribe().wait_for(|leases| leases.contains(&lease)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Manager, blocking::block_on};
    use bursar_server::testing::TestBroker;
    use futures_util::future::{Either, select};
    use std::{cell::Cell, pin::pin};

    /// Counts when it is dropped.
    struct Dropped<'a>(&'a Cell<u32>);

    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn who_works_drops_the_handler_of_a_cancelled_item_and_goes_on_with_the_next() {
        let broker = TestBroker::start();
        block_on(async {
            let manager = Manager::connect(broker.address(), broker.authkey()).await.unwrap();
            let jobs: Queue<String> = manager.queue("jobs").create().await.unwrap();
            let endless = jobs.put("endless".to_owned()).await.unwrap();
            jobs.put("quick".to_owned()).await.unwrap();
            let (dropped, done) = (Cell::new(0), Cell::new(0));
            let work = jobs.work(1, async |item| {
                if item == "endless" {
                    let _dropped = Dropped(&dropped);
                    std::future::pending::<()>().await;
                }
                done.set(done.get() + 1);
                Ok::<(), String>(())
            });
            let operator = async {
                while jobs.stats().await.unwrap().leased == 0 {}
                let cancelled = jobs.cancel(endless).then(Then::Park).why("endless").grace(Wait::Forever).send().await.unwrap();
                assert_eq!((cancelled.outcome, dropped.get()), (Outcome::Parked, 1), "the handler was gone before");
                jobs.join().await.unwrap();
            };
            assert!(matches!(select(pin!(operator), pin!(work)).await, Either::Left(_)), "work goes on");
            assert_eq!(done.get(), 1);
            let stats = jobs.stats().await.unwrap();
            assert_eq!((stats.failures, stats.crashes, stats.done, stats.parked), (0, 0, 1, 1));
        });
    }

    #[test]
    fn a_lease_learns_that_it_is_asked_back_and_others_do_not() {
        let broker = TestBroker::start();
        block_on(async {
            let manager = Manager::connect(broker.address(), broker.authkey()).await.unwrap();
            let jobs: Queue<u32> = manager.queue("jobs").create().await.unwrap();
            let ids = jobs.put_many([1, 2]).await.unwrap();
            let (first, second) = (jobs.get().await.unwrap(), jobs.get().await.unwrap());
            let told = jobs.cancel(ids[0]).send().await.unwrap();
            assert_eq!((told.outcome, told.lease), (Outcome::Held, Some(first.lease_id())));
            first.cancelled().await;
            assert!(first.is_cancelled().await.unwrap() && !second.is_cancelled().await.unwrap());
            first.retry().await.unwrap();
            assert_eq!(jobs.stats().await.unwrap().failures, 0);
            let taken = jobs.cancel(ids[1]).under(second.lease_id()).force().send().await.unwrap();
            assert_eq!(taken.outcome, Outcome::Requeued);
            assert!(second.done().await.is_err(), "it is not its any more");
        });
    }
}
