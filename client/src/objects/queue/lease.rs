//! A leased item, and the ways to settle it.

use super::{Handle, wire};
use crate::{
    Payload, Raw, Result,
    objects::{to_ms, to_time},
};
use std::{
    collections::HashMap,
    fmt,
    ops::Deref,
    time::{Duration, SystemTime},
};

/// An item that this session holds. The item stays the broker's until it is [`done`](Lease::done).
///
/// Dropping a lease gives the item back as failed, in the background: it comes again after the queue's delay, and is parked when
/// that happens too often. [`release`](Lease::release) gives it back unharmed. When the session ends, all its leases go back by
/// themselves, and settling one fails with [`Error::Lost`](crate::Error::Lost).
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use std::time::Duration;
///
/// let queue: bursar::Queue<u32> = manager.queue("jobs").create().await?;
/// queue.put(7).await?;
/// let lease = queue.get().await?;
/// assert_eq!((*lease, lease.attempt()), (7, 1));
/// lease.retry_because("the disk is full", Some(Duration::ZERO)).await?;
/// let again = queue.get().await?;
/// assert_eq!((*again, again.attempt(), again.failures()), (7, 2, 1));
/// again.done().await?;
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[must_use = "a dropped lease gives its item back as failed"]
pub struct Lease<T> {
    /// Only into_inner takes it.
    item: Option<T>,
    held: Held,
    id: u64,
    attempt: u32,
    priority: u32,
    headers: HashMap<String, String>,
    put_ms: u64,
    failures: u32,
    crashes: u32,
}

/// The part that has to be settled.
struct Held {
    handle: Handle,
    lease: u64,
    settled: bool,
}

impl Held {
    fn new(handle: &Handle, lease: u64) -> Held {
        handle.manager().session().hold();
        Held { handle: handle.clone(), lease, settled: false }
    }

    fn give_back(&self, reason: wire::Reason, delay: Option<Duration>, why: String) -> wire::ReturnRequest {
        let object = self.handle.object();
        wire::ReturnRequest { object, leases: vec![self.lease], reason: reason.into(), delay_ms: delay.map(to_ms), why }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled {
            self.handle.tell(self.give_back(wire::Reason::Failed, None, "dropped".to_owned()));
        }
        self.handle.manager().session().let_go();
    }
}

impl<T: Payload> Lease<T> {
    /// An item that cannot be decoded goes back as failed, with the problem in its history.
    pub(super) fn new(handle: &Handle, item: wire::Leased) -> Result<Lease<T>> {
        let wire::Leased { lease, id, attempt, data, codec, priority, headers, put_ms, failures, crashes } = item;
        let mut held = Held::new(handle, lease);
        match handle.decode(Raw { data, codec }) {
            Ok(item) => Ok(Lease { item: Some(item), held, id, attempt, priority, headers, put_ms, failures, crashes }),
            Err(error) => {
                held.settled = true;
                handle.tell(held.give_back(wire::Reason::Failed, None, error.to_string()));
                Err(error)
            }
        }
    }
}

impl<T> Lease<T> {
    /// The item's id, as `put` gave it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The lease's number; no other lease of the queue ever has the same.
    pub fn lease_id(&self) -> u64 {
        self.held.lease
    }

    /// 1 the first time the item is handed out.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The priority it was put with.
    pub fn priority(&self) -> u8 {
        self.priority.min(u32::from(u8::MAX)) as u8
    }

    /// The headers it was put with.
    pub fn headers(&self) -> &HashMap<String, String> {
        &self.headers
    }

    /// When it was put, by the broker's clock.
    pub fn put_at(&self) -> SystemTime {
        to_time(self.put_ms)
    }

    /// How often it was given back as failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How often a session ended that held it.
    pub fn crashes(&self) -> u32 {
        self.crashes
    }

    /// The item is done and gone. Doing this twice, after a lost answer, is harmless. Fault: `NotHeld`, when the lease went back
    /// meanwhile: somebody else has the item or will get it.
    pub async fn done(mut self) -> Result<()> {
        self.settle_as_done().await
    }

    pub(super) async fn settle_as_done(&mut self) -> Result<()> {
        let held = &mut self.held;
        let request = wire::DoneRequest { object: held.handle.object(), leases: vec![held.lease], oldest: 0 };
        let wire::DoneReply { not_held: _ } = held.handle.call(request).await?;
        held.settled = true;
        Ok(())
    }

    /// The item failed and comes again after the queue's growing delay, or is parked when it failed too often.
    pub async fn retry(self) -> Result<()> {
        self.retry_because("", None).await
    }

    /// As [`Lease::retry`], after this delay.
    pub async fn retry_in(self, delay: Duration) -> Result<()> {
        self.retry_because("", Some(delay)).await
    }

    /// As [`Lease::retry`], with the reason for the item's history (1 KiB of it is kept), after this delay or the queue's own.
    pub async fn retry_because(self, why: impl Into<String>, delay: Option<Duration>) -> Result<()> {
        self.give_back(wire::Reason::Failed, delay, why.into()).await
    }

    /// Gives the item back unharmed: it is at the head of the queue again at once, and never parked for it.
    pub async fn release(self) -> Result<()> {
        self.give_back(wire::Reason::Released, None, String::new()).await
    }

    async fn give_back(mut self, reason: wire::Reason, delay: Option<Duration>, why: String) -> Result<()> {
        let held = &mut self.held;
        let wire::ReturnReply { not_held: _, parked: _ } = held.handle.call(held.give_back(reason, delay, why)).await?;
        held.settled = true;
        Ok(())
    }

    /// Puts the item aside, with its history and this reason, until an operator says otherwise
    /// ([`Queue::unpark`](super::Queue::unpark), [`Queue::discard`](super::Queue::discard)).
    pub async fn park(mut self, why: impl Into<String>) -> Result<()> {
        let held = &mut self.held;
        let (object, leases) = (held.handle.object(), vec![held.lease]);
        let request = wire::ParkRequest { object, leases, ids: Vec::new(), why: why.into() };
        let wire::ParkReply { not_held: _, not_found: _ } = held.handle.call(request).await?;
        held.settled = true;
        Ok(())
    }

    /// Takes the item out. The session goes on holding the lease, to be settled by [`Queue::task_done`](super::Queue::task_done), or
    /// given back when the session ends.
    pub fn into_inner(mut self) -> T {
        self.held.settled = true;
        self.item.take().expect("only into_inner takes the item, and it consumes the lease")
    }

    /// Takes the item out of the lease, which stays as it is and is settled as ever.
    pub fn into_parts(mut self) -> (T, Lease<()>) {
        let item = self.item.take().expect("only a consuming method takes the item");
        let Lease { item: _, held, id, attempt, priority, headers, put_ms, failures, crashes } = self;
        (item, Lease { item: Some(()), held, id, attempt, priority, headers, put_ms, failures, crashes })
    }
}

impl<T> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.item.as_ref().expect("only a consuming method takes the item")
    }
}

impl<T: fmt::Debug> fmt::Debug for Lease<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Lease")
            .field("id", &self.id)
            .field("lease", &self.held.lease)
            .field("attempt", &self.attempt)
            .field("item", &self.item)
            .finish()
    }
}
