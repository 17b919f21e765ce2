//! The condition for threads.

use super::{
    block_on,
    held::{Callbacks, guard},
    opened::{opened, opening},
};
use crate::{Result, Wait, condition::Builder};
use std::future::ready;

/// What a condition is to be, before it is opened: [`condition::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct ConditionBuilder {
    inner: Builder,
}

opening!(ConditionBuilder, Condition);

impl ConditionBuilder {
    /// See [`Builder::refuse_deadlock`].
    pub fn refuse_deadlock(self) -> ConditionBuilder {
        self.inner.refuse_deadlock().into()
    }
}

/// A condition variable with its lock: [`bursar::Condition`](crate::Condition) for threads. A handle is one owner, so threads take a
/// clone each.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::{Kv, Manager};
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let stock: Kv<i64> = manager.kv("stock").open_or_create()?;
/// let delivered = manager.condition("delivered").open_or_create()?;
/// std::thread::scope(|scope| {
///     let delivery = scope.spawn(|| {
///         let delivered = delivered.clone();
///         let guard = delivered.acquire()?;
///         stock.incr("apples", 5)?;
///         guard.notify_all()?;
///         guard.release()
///     });
///     let guard = delivered.acquire()?;
///     let guard = delivered.wait_for(guard, || Ok(stock.get("apples")?.unwrap_or(0) >= 5))?;
///     guard.release()?;
///     delivery.join().unwrap()
/// })?;
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Clone)]
pub struct Condition {
    inner: crate::Condition,
}

opened!(Condition);

impl Condition {
    /// Waits for the lock. Fault: `WouldDeadlock`. See [`bursar::Condition::acquire`](crate::Condition::acquire).
    pub fn acquire(&self) -> Result<ConditionGuard> {
        Ok(block_on(self.inner.acquire())?.into())
    }

    /// As [`Condition::acquire`], with a bound for the wait. Fault: `Held`.
    pub fn acquire_within(&self, wait: impl Into<Wait>) -> Result<ConditionGuard> {
        Ok(block_on(self.inner.acquire_within(wait))?.into())
    }

    /// The lock if it is free now, or `None`.
    pub fn try_acquire(&self) -> Result<Option<ConditionGuard>> {
        Ok(block_on(self.inner.try_acquire())?.map(ConditionGuard::from))
    }

    /// Gives the lock up, waits to be notified, and takes the lock again before it returns; the callbacks of the guard stay. See
    /// [`bursar::Condition::wait`](crate::Condition::wait).
    pub fn wait(&self, guard: ConditionGuard) -> Result<ConditionGuard> {
        let ConditionGuard { callbacks, inner } = guard;
        Ok(ConditionGuard { inner: block_on(self.inner.wait(inner))?, callbacks })
    }

    /// As [`Condition::wait`], with a bound for the wait. Says whether it was notified; otherwise the time was over.
    pub fn wait_within(&self, guard: ConditionGuard, wait: impl Into<Wait>) -> Result<(ConditionGuard, bool)> {
        let ConditionGuard { callbacks, inner } = guard;
        let (inner, notified) = block_on(self.inner.wait_within(inner, wait))?;
        Ok((ConditionGuard { callbacks, inner }, notified))
    }

    /// Waits until the predicate gives `true`. See [`bursar::Condition::wait_for`](crate::Condition::wait_for).
    pub fn wait_for(&self, guard: ConditionGuard, predicate: impl FnMut() -> Result<bool>) -> Result<ConditionGuard> {
        let (guard, _) = self.wait_for_within(guard, Wait::Forever, predicate)?;
        Ok(guard)
    }

    /// As [`Condition::wait_for`], with a bound for all waits together. Gives what the predicate gave last.
    pub fn wait_for_within(
        &self,
        guard: ConditionGuard,
        wait: impl Into<Wait>,
        mut predicate: impl FnMut() -> Result<bool>,
    ) -> Result<(ConditionGuard, bool)> {
        let ConditionGuard { callbacks, inner } = guard;
        let (inner, holds) = block_on(self.inner.wait_for_within(inner, wait, || ready(predicate())))?;
        Ok((ConditionGuard { callbacks, inner }, holds))
    }
}

/// The condition's lock is held while this lives: [`bursar::ConditionGuard`](crate::ConditionGuard) for threads.
#[must_use = "a dropped guard gives the lock back at once"]
pub struct ConditionGuard {
    callbacks: Callbacks,
    inner: crate::ConditionGuard,
}

guard!(ConditionGuard);

impl ConditionGuard {
    /// Notifies the first so many of those that wait, and gives their number. Faults: `NotHeld`, `BadArgument`.
    pub fn notify(&self, count: u64) -> Result<u64> {
        block_on(self.inner.notify(count))
    }

    /// Notifies all that wait, and gives their number. Fault: `NotHeld`.
    pub fn notify_all(&self) -> Result<u64> {
        block_on(self.inner.notify_all())
    }
}
