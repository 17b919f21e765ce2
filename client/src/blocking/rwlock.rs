//! The lock for many readers or one writer, for threads.

use super::{
    block_on,
    held::{Callbacks, guard},
    opened::{opened, opening},
};
use crate::{Fence, Result, Wait, rwlock::Builder};

/// What a lock for readers and writers is to be, before it is opened: [`rwlock::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct RwLockBuilder {
    inner: Builder,
}

opening!(RwLockBuilder, RwLock);

impl RwLockBuilder {
    /// See [`Builder::refuse_deadlock`].
    pub fn refuse_deadlock(self) -> RwLockBuilder {
        self.inner.refuse_deadlock().into()
    }
}

/// A lock that many may hold to read, or one to write: [`bursar::RwLock`](crate::RwLock) for threads. A handle is one owner, so threads
/// take a clone each.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::Manager;
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let lock = manager.rwlock("catalog").open_or_create()?;
/// let reading = lock.read()?;
/// assert!(lock.clone().try_write()?.is_none());
/// reading.release()?;
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Clone)]
pub struct RwLock {
    inner: crate::RwLock,
}

opened!(RwLock);

impl RwLock {
    /// Waits until it may be read. Fault: `WouldDeadlock`. See [`bursar::RwLock::read`](crate::RwLock::read).
    pub fn read(&self) -> Result<ReadGuard> {
        Ok(block_on(self.inner.read())?.into())
    }

    /// As [`RwLock::read`], with a bound for the wait. Fault: `Held`.
    pub fn read_within(&self, wait: impl Into<Wait>) -> Result<ReadGuard> {
        Ok(block_on(self.inner.read_within(wait))?.into())
    }

    /// The lock to read if that is possible now, or `None`.
    pub fn try_read(&self) -> Result<Option<ReadGuard>> {
        Ok(block_on(self.inner.try_read())?.map(ReadGuard::from))
    }

    /// Waits until it may be written. Fault: `WouldDeadlock`. See [`bursar::RwLock::write`](crate::RwLock::write).
    pub fn write(&self) -> Result<WriteGuard> {
        Ok(block_on(self.inner.write())?.into())
    }

    /// As [`RwLock::write`], with a bound for the wait. Fault: `Held`.
    pub fn write_within(&self, wait: impl Into<Wait>) -> Result<WriteGuard> {
        Ok(block_on(self.inner.write_within(wait))?.into())
    }

    /// The lock to write if that is possible now, or `None`.
    pub fn try_write(&self) -> Result<Option<WriteGuard>> {
        Ok(block_on(self.inner.try_write())?.map(WriteGuard::from))
    }
}

/// Nobody writes while this lives: [`bursar::ReadGuard`](crate::ReadGuard) for threads.
#[must_use = "a dropped guard gives the lock back at once"]
pub struct ReadGuard {
    callbacks: Callbacks,
    inner: crate::ReadGuard,
}

guard!(ReadGuard);

/// Nobody else reads or writes while this lives: [`bursar::WriteGuard`](crate::WriteGuard) for threads.
#[must_use = "a dropped guard gives the lock back at once"]
pub struct WriteGuard {
    callbacks: Callbacks,
    inner: crate::WriteGuard,
}

guard!(WriteGuard);

impl WriteGuard {
    /// For calls that must not happen after this lock was lost.
    pub fn fence(&self) -> Fence {
        self.inner.fence()
    }

    /// From writing to reading, with nobody in between; the callbacks stay. Fault: `NotHeld`.
    pub fn downgrade(self) -> Result<ReadGuard> {
        let WriteGuard { callbacks, inner } = self;
        Ok(ReadGuard { inner: block_on(inner.downgrade())?, callbacks })
    }
}
