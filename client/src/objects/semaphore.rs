//! The semaphore: a number of permits, to be held or to be used up.
//!
//! ```text
//!   available ── acquire ──► held ── release, guard dropped, or session lost ──► available
//!      ▲ └────── consume ──► gone
//!      └── add: new ones
//! ```

use super::{
    Handle, Wanted,
    held::{self, Grant, guard},
    opened::{opened, opening},
    reference::travels,
};
use crate::{Result, Wait};
use bursar_proto::v1::{self, semaphore as wire};

/// A number of permits, shared by every process that opens its name. Who comes first is served first: who asks for many is not
/// overtaken by who asks for few.
///
/// To limit how many do something at once, [`acquire`](Semaphore::acquire) a permit and hold the [`Permits`] meanwhile; permits of a
/// process that dies go back by themselves. To signal, let one process [`add`](Semaphore::add) permits and others
/// [`consume`](Semaphore::consume) them, which is impossible if the semaphore is [bounded](Builder::bounded).
///
/// Permits have no owner but their guard: unlike with a [`Lock`](crate::Lock), clones and one handle are all the same.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::Manager;
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let downloads = manager.semaphore("downloads").permits(3).bounded().open_or_create().await?;
/// let two = downloads.acquire_many(2).await?;
/// assert!(downloads.try_acquire_many(2).await?.is_none());
/// two.release().await?;
/// assert_eq!(downloads.acquire_many(3).await?.count(), 3);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Semaphore {
    handle: Handle,
}

opened!(Semaphore);
travels!(Semaphore, "semaphore", Semaphore::new);

/// What a semaphore is to be, before it is opened.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let signals = manager.semaphore("signals").permits(0).create().await?;
/// assert!(!signals.try_consume().await?);
/// assert_eq!(signals.add(2).await?, 2);
/// signals.consume().await?;
/// assert!(signals.try_consume().await?);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder {
    wanted: Wanted,
    options: wire::Options,
}

opening!(Semaphore, Semaphore, wire::Options { permits: 1, ..wire::Options::default() });

impl Builder {
    /// So many permits at the beginning, up to 2^32; 1, if this is not said. 0 is possible unless it is bounded.
    pub fn permits(mut self, permits: u64) -> Builder {
        self.options.permits = permits;
        self
    }

    /// There are never more permits than at the beginning (Python's `BoundedSemaphore`): none can be added or consumed.
    pub fn bounded(mut self) -> Builder {
        self.options.bounded = true;
        self
    }

    /// An acquire that would close a circle of sessions that wait for each other is refused with `WouldDeadlock`, instead of waiting
    /// for ever.
    pub fn refuse_deadlock(mut self) -> Builder {
        self.options.on_deadlock = v1::OnDeadlock::Refuse.into();
        self
    }
}

impl Semaphore {
    fn new(handle: Handle) -> Semaphore {
        Semaphore { handle }
    }

    /// Waits for a permit. Dropping the future leaves the line, and gives back what was already granted.
    ///
    /// Fault: `WouldDeadlock`, as [`refuse_deadlock`](Builder::refuse_deadlock) says.
    pub async fn acquire(&self) -> Result<Permits> {
        self.acquire_many(1).await
    }

    /// As [`Semaphore::acquire`], with a bound for the wait. Fault: `NoPermits`, when there was none in time.
    pub async fn acquire_within(&self, wait: impl Into<Wait>) -> Result<Permits> {
        self.acquire_many_within(1, wait).await
    }

    /// A permit if there is one now, or `None`.
    pub async fn try_acquire(&self) -> Result<Option<Permits>> {
        self.try_acquire_many(1).await
    }

    /// Waits for so many permits, all at once. Faults: `TooManyPermits`, when the semaphore is bounded and never has so many;
    /// `BadArgument`, for 0.
    pub async fn acquire_many(&self, count: u64) -> Result<Permits> {
        self.acquire_many_within(count, Wait::Forever).await
    }

    /// As [`Semaphore::acquire_many`], with a bound for the wait. Fault: `NoPermits`, when there were not so many in time.
    pub async fn acquire_many_within(&self, count: u64, wait: impl Into<Wait>) -> Result<Permits> {
        let wire::AcquireReply { token, .. } = self.ask(count, wait.into(), false).await?;
        Ok(Permits { grant: Grant::new(&self.handle, token), count })
    }

    /// So many permits if they are there now, or `None`. Faults: `TooManyPermits`, `BadArgument`.
    pub async fn try_acquire_many(&self, count: u64) -> Result<Option<Permits>> {
        held::unless_held(self.acquire_many_within(count, Wait::Never).await)
    }

    /// Waits for a permit and uses it up: a signal is received. Nothing is held, and nothing goes back. When the future is dropped
    /// while it waits, nothing is used up.
    ///
    /// Fault: `BadArgument`, when the semaphore is bounded.
    pub async fn consume(&self) -> Result<()> {
        self.consume_within(Wait::Forever).await
    }

    /// As [`Semaphore::consume`], with a bound for the wait. Fault: `NoPermits`, when there was none in time.
    pub async fn consume_within(&self, wait: impl Into<Wait>) -> Result<()> {
        let wire::AcquireReply { .. } = self.ask(1, wait.into(), true).await?;
        Ok(())
    }

    /// Uses up a permit if there is one now, and says whether there was.
    pub async fn try_consume(&self) -> Result<bool> {
        Ok(held::unless_held(self.consume_within(Wait::Never).await)?.is_some())
    }

    async fn ask(&self, count: u64, wait: Wait, consume: bool) -> Result<wire::AcquireReply> {
        let count = held::at_least_one::<wire::AcquireRequest>(&self.handle, "count", count)?;
        let request = wire::AcquireRequest { object: self.handle.object(), wait_ms: wait.to_ms(), count, consume };
        self.handle.call(request).await
    }

    /// Adds so many permits, whoever made the others, and gives the number that is available then. Faults: `TooManyPermits`, when
    /// the semaphore is bounded, or there would be more than 2^32; `BadArgument`, for 0.
    pub async fn add(&self, count: u64) -> Result<u64> {
        let count = held::at_least_one::<wire::AddRequest>(&self.handle, "count", count)?;
        let wire::AddReply { available } = self.handle.call(wire::AddRequest { object: self.handle.object(), count }).await?;
        Ok(available)
    }
}

/// The permits are held while this lives. Dropping it gives all of them back in the background; when the session is lost, the broker
/// does.
#[must_use = "dropped permits go back at once"]
pub struct Permits {
    grant: Grant<wire::ReleaseRequest>,
    count: u64,
}

guard!(Permits);

impl Permits {
    /// How many they are.
    pub fn count(&self) -> u64 {
        self.count
    }
}
