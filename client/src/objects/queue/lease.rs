//! A leased item, and the ways to settle it.

use super::{Handle, wire};
use crate::{
    Error, Payload, Raw, Result,
    objects::{Settled, to_ms, to_time},
};
use bursar_proto::{Fault, limits};
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

const DONE: &str = "queue.done";

/// The part that has to be settled.
pub(in crate::objects) struct Held {
    handle: Handle,
    lease: u64,
    settled: Settled,
}

impl Held {
    fn new(handle: &Handle, lease: u64) -> Held {
        handle.manager().session().hold();
        Held { handle: handle.clone(), lease, settled: Settled::default() }
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    pub fn settled(&self) -> &Settled {
        &self.settled
    }

    pub fn done_request(&self) -> wire::DoneRequest {
        wire::DoneRequest { object: self.handle.object(), leases: vec![self.lease], oldest: 0, fence: self.handle.fence() }
    }

    pub fn return_request(&self, reason: wire::Reason, delay: Option<Duration>, why: String) -> wire::ReturnRequest {
        wire::ReturnRequest {
            object: self.handle.object(),
            leases: vec![self.lease],
            reason: reason.into(),
            delay_ms: delay.map(to_ms),
            why,
            fence: self.handle.fence(),
        }
    }

    pub fn park_request(&self, why: String) -> wire::ParkRequest {
        let (object, leases) = (self.handle.object(), vec![self.lease]);
        wire::ParkRequest { object, leases, ids: Vec::new(), why, fence: self.handle.fence() }
    }

    /// Gives the item back as failed, in the background. Without a fence: a stale one must not keep the item from the others.
    fn fail(&self, why: String) {
        let request = self.return_request(wire::Reason::Failed, None, why);
        self.handle.tell(wire::ReturnRequest { fence: None, ..request });
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled.is_set() {
            self.fail("dropped".to_owned());
        }
        self.handle.manager().session().let_go();
    }
}

/// Settles leases of one queue. An error that one is not held waits until all are told of.
pub(super) async fn settle_as_done(handle: &Handle, all: Vec<Held>) -> Result<()> {
    let is_stranger = |held: &&Held| !held.handle.is_same(handle) || !handle.is_under_fence_of(&held.handle);
    if let Some(stranger) = all.iter().find(is_stranger) {
        let (lease, name) = (stranger.lease, stranger.handle.name());
        let problem = format!(
            "expected leases of this queue from this session, under no other fence, got lease {lease} of another handle on {name:?}"
        );
        return Err(Error::refused(Fault::bad_argument("leases", problem), DONE, handle.name()));
    }
    let mut outcome = Ok(());
    for some in all.chunks(limits::BATCH_MAX) {
        let leases = some.iter().map(|held| held.lease).collect();
        let request = wire::DoneRequest { object: handle.object(), leases, oldest: 0, fence: handle.fence() };
        let told = match handle.call(request).await {
            Ok(wire::DoneReply { not_held }) => not_held
                .first()
                .map_or(Ok(()), |lease| Err(Error::refused(Fault::NotHeld { lease: *lease }, DONE, handle.name()))),
            Err(error) if matches!(error.fault(), Some(Fault::NotHeld { .. })) => Err(error),
            Err(error) => return Err(error),
        };
        some.iter().for_each(|held| held.settled.set());
        outcome = outcome.and(told);
    }
    outcome
}

impl<T: Payload> Lease<T> {
    /// An item that cannot be decoded goes back as failed, with the problem in its history.
    pub(super) fn new(handle: &Handle, item: wire::Leased) -> Result<Lease<T>> {
        let wire::Leased { lease, id, attempt, data, codec, priority, headers, put_ms, failures, crashes } = item;
        let held = Held::new(handle, lease);
        match handle.decode(Raw { data, codec }) {
            Ok(item) => Ok(Lease { item: Some(item), held, id, attempt, priority, headers, put_ms, failures, crashes }),
            Err(error) => {
                held.settled.set();
                held.fail(error.to_string());
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

    /// Waits until the lease is lost with its session; by then the item is given to others. To be selected on beside long work:
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// # let jobs: bursar::Queue<u32> = manager.queue("jobs").open_or_create().await?;
    /// # jobs.put(7).await?;
    /// let job = jobs.get().await?;
    /// let work = async { *job + 1 };
    /// futures_util::pin_mut!(work);
    /// let lost = job.lost();
    /// futures_util::pin_mut!(lost);
    /// match futures_util::future::select(work, lost).await {
    ///     futures_util::future::Either::Left((result, _)) => assert_eq!(result, 8),
    ///     futures_util::future::Either::Right(_) => println!("somebody else does it now"),
    /// }
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn lost(&self) {
        self.held.handle.manager().lost().await;
    }

    /// Until when the item is certainly nobody else's; moves on with every beat. Work that must not be done twice stops by then.
    pub fn valid_until(&self) -> std::time::Instant {
        self.held.handle.manager().valid_until()
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
    pub async fn done(self) -> Result<()> {
        self.settle_as_done().await
    }

    pub(super) async fn settle_as_done(&self) -> Result<()> {
        let wire::DoneReply { not_held: _ } = self.held.handle.call(self.held.done_request()).await?;
        self.held.settled.set();
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

    async fn give_back(self, reason: wire::Reason, delay: Option<Duration>, why: String) -> Result<()> {
        let held = &self.held;
        let wire::ReturnReply { not_held: _, parked: _ } = held.handle.call(held.return_request(reason, delay, why)).await?;
        held.settled.set();
        Ok(())
    }

    /// Puts the item aside, with its history and this reason, until an operator says otherwise
    /// ([`Queue::unpark`](super::Queue::unpark), [`Queue::discard`](super::Queue::discard)).
    pub async fn park(self, why: impl Into<String>) -> Result<()> {
        let held = &self.held;
        let wire::ParkReply { not_held: _, not_found: _ } = held.handle.call(held.park_request(why.into())).await?;
        held.settled.set();
        Ok(())
    }

    /// Takes the item out. The session goes on holding the lease, to be settled by [`Queue::task_done`](super::Queue::task_done), or
    /// given back when the session ends.
    pub fn into_inner(mut self) -> T {
        self.held.settled.set();
        self.item.take().expect("only into_inner takes the item, and it consumes the lease")
    }

    pub(super) fn into_held(self) -> Held {
        self.held
    }

    pub(in crate::objects) fn held(&self) -> &Held {
        &self.held
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Manager, Queue, Wait, blocking::block_on};
    use bursar_server::testing::TestBroker;

    /// One that went back meanwhile, at the head of each of two requests, keeps the others from nothing.
    #[test]
    fn the_first_lease_that_is_not_held_is_told_and_the_others_are_done() {
        let broker = TestBroker::start();
        block_on(async {
            let manager = Manager::connect(broker.address(), broker.authkey()).await.unwrap();
            let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
            queue.put_many([1, 2]).await.unwrap();
            let mut leases = queue.get_many(2, Wait::Never).await.unwrap();
            let mut strangers = (1..).map(|number| Held::new(&queue.handle, 1000 * number));
            let mut all = vec![strangers.next().unwrap(), leases.pop().unwrap().into_held()];
            all.extend(strangers.take(limits::BATCH_MAX - 1));
            all.push(leases.pop().unwrap().into_held());
            let error = settle_as_done(&queue.handle, all).await.unwrap_err();
            assert_eq!(error.fault(), Some(&Fault::NotHeld { lease: 1000 }), "{error}");
            let stats = queue.stats().await.unwrap();
            assert_eq!((stats.done, stats.unfinished, stats.failures), (2, 0, 0));

            let error = settle_as_done(&queue.handle, vec![Held::new(&queue.handle, 5000)]).await.unwrap_err();
            assert_eq!(error.fault(), Some(&Fault::NotHeld { lease: 5000 }), "alone in its request: {error}");
        });
    }
}
