//! The lock for threads.

use super::{
    block_on,
    held::{Callbacks, guard},
    opened::{opened, opening},
};
use crate::{Fence, Result, Wait, lock::Builder};

/// What a lock is to be, before it is opened: [`lock::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct LockBuilder {
    inner: Builder,
}

opening!(LockBuilder, Lock);

impl LockBuilder {
    /// See [`Builder::reentrant`].
    pub fn reentrant(self) -> LockBuilder {
        self.inner.reentrant().into()
    }

    /// See [`Builder::refuse_deadlock`].
    pub fn refuse_deadlock(self) -> LockBuilder {
        self.inner.refuse_deadlock().into()
    }
}

/// A lock: [`bursar::Lock`](crate::Lock) for threads. A handle is one owner, so threads that shall exclude each other take a clone each.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::Manager;
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let lock = manager.lock("printer").open_or_create()?;
/// let guard = lock.acquire()?;
/// guard.on_lost(|| eprintln!("somebody else may print now"))?;
/// assert!(lock.clone().try_acquire()?.is_none());
/// guard.release()?;
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Clone)]
pub struct Lock {
    inner: crate::Lock,
}

opened!(Lock);

impl Lock {
    /// Waits for the lock. Fault: `WouldDeadlock`. See [`bursar::Lock::acquire`](crate::Lock::acquire).
    pub fn acquire(&self) -> Result<LockGuard> {
        Ok(block_on(self.inner.acquire())?.into())
    }

    /// As [`Lock::acquire`], with a bound for the wait. Fault: `Held`.
    pub fn acquire_within(&self, wait: impl Into<Wait>) -> Result<LockGuard> {
        Ok(block_on(self.inner.acquire_within(wait))?.into())
    }

    /// The lock if it is free now, or `None`.
    pub fn try_acquire(&self) -> Result<Option<LockGuard>> {
        Ok(block_on(self.inner.try_acquire())?.map(LockGuard::from))
    }
}

/// The lock is held while this lives: [`bursar::LockGuard`](crate::LockGuard) for threads.
#[must_use = "a dropped guard gives the lock back at once"]
pub struct LockGuard {
    callbacks: Callbacks,
    inner: crate::LockGuard,
}

guard!(LockGuard);

impl LockGuard {
    /// The async side of the same guard.
    pub fn as_async(&self) -> &crate::LockGuard {
        &self.inner
    }

    /// For calls that must not happen after this lock was lost.
    pub fn fence(&self) -> Fence {
        self.inner.fence()
    }

    /// Which level of a reentrant lock this was when it was acquired; 1 is the outermost.
    pub fn depth(&self) -> u32 {
        self.inner.depth()
    }
}
