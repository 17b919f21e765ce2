//! The semaphore for threads.

use super::{
    block_on,
    held::{Callbacks, guard},
    opened::{opened, opening},
};
use crate::{Result, Wait, semaphore::Builder};

/// What a semaphore is to be, before it is opened: [`semaphore::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct SemaphoreBuilder {
    inner: Builder,
}

opening!(SemaphoreBuilder, Semaphore);

impl SemaphoreBuilder {
    /// See [`Builder::permits`].
    pub fn permits(self, permits: u64) -> SemaphoreBuilder {
        self.inner.permits(permits).into()
    }

    /// See [`Builder::bounded`].
    pub fn bounded(self) -> SemaphoreBuilder {
        self.inner.bounded().into()
    }

    /// See [`Builder::refuse_deadlock`].
    pub fn refuse_deadlock(self) -> SemaphoreBuilder {
        self.inner.refuse_deadlock().into()
    }
}

/// A number of permits: [`bursar::Semaphore`](crate::Semaphore) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::Manager;
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let downloads = manager.semaphore("downloads").permits(2).open_or_create()?;
/// let (one, other) = (downloads.acquire()?, downloads.acquire()?);
/// assert!(downloads.try_acquire()?.is_none());
/// one.release()?;
/// assert!(downloads.try_acquire()?.is_some());
/// # drop(other);
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Clone)]
pub struct Semaphore {
    inner: crate::Semaphore,
}

opened!(Semaphore);

impl Semaphore {
    /// Waits for a permit. See [`bursar::Semaphore::acquire`](crate::Semaphore::acquire).
    pub fn acquire(&self) -> Result<Permits> {
        Ok(block_on(self.inner.acquire())?.into())
    }

    /// As [`Semaphore::acquire`], with a bound for the wait. Fault: `NoPermits`.
    pub fn acquire_within(&self, wait: impl Into<Wait>) -> Result<Permits> {
        Ok(block_on(self.inner.acquire_within(wait))?.into())
    }

    /// A permit if there is one now, or `None`.
    pub fn try_acquire(&self) -> Result<Option<Permits>> {
        Ok(block_on(self.inner.try_acquire())?.map(Permits::from))
    }

    /// Waits for so many permits, all at once. Faults: `TooManyPermits`, `BadArgument`.
    pub fn acquire_many(&self, count: u64) -> Result<Permits> {
        Ok(block_on(self.inner.acquire_many(count))?.into())
    }

    /// As [`Semaphore::acquire_many`], with a bound for the wait. Fault: `NoPermits`.
    pub fn acquire_many_within(&self, count: u64, wait: impl Into<Wait>) -> Result<Permits> {
        Ok(block_on(self.inner.acquire_many_within(count, wait))?.into())
    }

    /// So many permits if they are there now, or `None`.
    pub fn try_acquire_many(&self, count: u64) -> Result<Option<Permits>> {
        Ok(block_on(self.inner.try_acquire_many(count))?.map(Permits::from))
    }

    /// Waits for a permit and uses it up. See [`bursar::Semaphore::consume`](crate::Semaphore::consume).
    pub fn consume(&self) -> Result<()> {
        block_on(self.inner.consume())
    }

    /// As [`Semaphore::consume`], with a bound for the wait. Fault: `NoPermits`.
    pub fn consume_within(&self, wait: impl Into<Wait>) -> Result<()> {
        block_on(self.inner.consume_within(wait))
    }

    /// Uses up a permit if there is one now, and says whether there was.
    pub fn try_consume(&self) -> Result<bool> {
        block_on(self.inner.try_consume())
    }

    /// Adds so many permits. See [`bursar::Semaphore::add`](crate::Semaphore::add).
    pub fn add(&self, count: u64) -> Result<u64> {
        block_on(self.inner.add(count))
    }
}

/// The permits are held while this lives: [`bursar::Permits`](crate::Permits) for threads.
#[must_use = "dropped permits go back at once"]
pub struct Permits {
    callbacks: Callbacks,
    inner: crate::Permits,
}

guard!(Permits);

impl Permits {
    /// How many they are.
    pub fn count(&self) -> u64 {
        self.inner.count()
    }
}
