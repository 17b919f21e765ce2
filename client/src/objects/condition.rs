//! The condition: a lock, and a line of those who gave it up until they are notified.
//!
//! ```text
//!   free ── acquire ──► held ── guard dropped or released ──► free
//!                       │  ▲
//!                  wait │  │ notified, or the time is over, and the lock is free again
//!                       ▼  │
//!                      waiting
//! ```

use super::{
    Handle, Wanted,
    deadline::Deadline,
    held::{self, Grant, guard},
    opened::{opened, opening},
    reference::travels,
};
use crate::{Error, Fault, Result, Wait, call::Verb};
use bursar_proto::v1::{self, condition as wire};

/// A condition variable with its lock, shared by every process that opens its name: Python's `Condition`.
///
/// [`acquire`](Condition::acquire) gives a [`ConditionGuard`]. Whoever holds it looks at what is shared, a [`Kv`](crate::Kv) perhaps,
/// and [`wait`](Condition::wait)s if that is not as it should be, which gives the lock up and takes it again when notified; or changes
/// it and [notifies](ConditionGuard::notify_all) those who wait. Who was notified comes before those who only want to acquire.
///
/// A handle is one owner, as with [`Lock`](crate::Lock): tasks and threads take a [`clone`](Condition::clone) each. The lock is not
/// reentrant.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Kv, Manager};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let stock: Kv<i64> = manager.kv("stock").open_or_create().await?;
/// let delivered = manager.condition("delivered").open_or_create().await?;
///
/// let deliver = async {
///     let guard = delivered.clone().acquire().await?;
///     stock.incr("apples", 5).await?;
///     guard.notify_all().await?;
///     guard.release().await
/// };
/// let buy = async {
///     let guard = delivered.acquire().await?;
///     let guard = delivered.wait_for(guard, async || Ok(stock.get("apples").await?.unwrap_or(0) >= 5)).await?;
///     stock.incr("apples", -5).await?;
///     guard.release().await
/// };
/// futures_util::future::try_join(buy, deliver).await?;
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct Condition {
    handle: Handle,
    owner: u64,
}

/// The clone is another owner: it waits for what this handle holds.
impl Clone for Condition {
    fn clone(&self) -> Condition {
        Condition::new(self.handle.clone())
    }
}

opened!(Condition);
travels!(Condition, "condition", Condition::new);

/// What a condition is to be, before it is opened.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let condition = manager.condition("delivered").ephemeral().create().await?;
/// assert!(condition.was_created());
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder {
    wanted: Wanted,
    options: wire::Options,
}

opening!(Condition, Condition, wire::Options::default());

impl Builder {
    /// An acquire that would close a circle of sessions that wait for each other is refused with `WouldDeadlock`, instead of waiting
    /// for ever.
    pub fn refuse_deadlock(mut self) -> Builder {
        self.options.on_deadlock = v1::OnDeadlock::Refuse.into();
        self
    }
}

impl Condition {
    fn new(handle: Handle) -> Condition {
        Condition { handle, owner: held::next_owner() }
    }

    /// Waits for the lock. Dropping the future leaves the line, and gives back what was already granted.
    ///
    /// Fault: `WouldDeadlock`, when this handle holds it already, or as [`refuse_deadlock`](Builder::refuse_deadlock) says.
    pub async fn acquire(&self) -> Result<ConditionGuard> {
        self.acquire_within(Wait::Forever).await
    }

    /// As [`Condition::acquire`], with a bound for the wait. Fault: `Held`, which names the holder, when it was not free in time.
    pub async fn acquire_within(&self, wait: impl Into<Wait>) -> Result<ConditionGuard> {
        let request = wire::AcquireRequest { object: self.handle.object(), wait_ms: wait.into().to_ms(), owner: self.owner };
        let wire::AcquireReply { token } = self.handle.call(request).await?;
        Ok(ConditionGuard { grant: Grant::new(&self.handle, token) })
    }

    /// The lock if it is free now, or `None`. Fault: `WouldDeadlock`, as [`Condition::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<ConditionGuard>> {
        held::unless_held(self.acquire_within(Wait::Never).await)
    }

    /// Gives the lock up, waits to be notified, and takes the lock again before it returns.
    ///
    /// The lock is not held any more after an error, nor when the future is dropped. Faults: `NotHeld`, when the lock went to others
    /// meanwhile; `BadArgument`, when the guard is one of another condition or session.
    pub async fn wait(&self, guard: ConditionGuard) -> Result<ConditionGuard> {
        let (guard, _) = self.wait_within(guard, Wait::Forever).await?;
        Ok(guard)
    }

    /// As [`Condition::wait`], with a bound for the wait. Says whether it was notified; otherwise the time was over. Either way the
    /// lock is held again, for which it may take longer than the bound.
    pub async fn wait_within(&self, mut guard: ConditionGuard, wait: impl Into<Wait>) -> Result<(ConditionGuard, bool)> {
        if !guard.grant.handle().is_same(&self.handle) {
            return Err(self.is_a_stranger(&guard));
        }
        // Until the reply the guard keeps the old token, so that it gives the lock up if the request never leaves.
        let (object, wait_ms, token) = (self.handle.object(), wait.into().to_ms(), guard.token());
        let wire::WaitReply { token, notified } = self.handle.call(wire::WaitRequest { object, wait_ms, token }).await?;
        guard.grant.renew(token);
        Ok((guard, notified))
    }

    fn is_a_stranger(&self, guard: &ConditionGuard) -> Error {
        let name = guard.grant.handle().name();
        let problem = format!("expected a guard of this condition from this session, got one of another handle on {name:?}");
        Error::refused(Fault::bad_argument("guard", problem), wire::WaitRequest::CALL, self.name())
    }

    /// Waits until the predicate gives `true`. It is called while the lock is held: at first, and whenever notified.
    ///
    /// An error of the predicate ends it, and gives the lock back; otherwise as [`Condition::wait`].
    pub async fn wait_for<F>(&self, guard: ConditionGuard, predicate: impl FnMut() -> F) -> Result<ConditionGuard>
    where
        F: Future<Output = Result<bool>>,
    {
        let (guard, _) = self.wait_for_within(guard, Wait::Forever, predicate).await?;
        Ok(guard)
    }

    /// As [`Condition::wait_for`], with a bound for all waits together. Gives what the predicate gave last: `false` when the time is
    /// over.
    pub async fn wait_for_within<F>(
        &self,
        mut guard: ConditionGuard,
        wait: impl Into<Wait>,
        mut predicate: impl FnMut() -> F,
    ) -> Result<(ConditionGuard, bool)>
    where
        F: Future<Output = Result<bool>>,
    {
        let deadline = Deadline::new(wait.into());
        loop {
            if predicate().await? {
                return Ok((guard, true));
            }
            let left = deadline.left();
            if left == Wait::Never {
                return Ok((guard, false));
            }
            (guard, _) = self.wait_within(guard, left).await?;
        }
    }
}

/// The condition's lock is held while this lives. Dropping it gives the lock back in the background.
///
/// When the session is lost, so is the lock, and others get it; as with [`LockGuard`](crate::LockGuard). After a wait the guard has
/// another token.
#[must_use = "a dropped guard gives the lock back at once"]
pub struct ConditionGuard {
    grant: Grant<wire::ReleaseRequest>,
}

guard!(ConditionGuard);

impl ConditionGuard {
    /// Notifies the first so many of those that wait, and gives their number. They go on when this guard is gone, or waits itself.
    /// Faults: `NotHeld`, when the lock went to others meanwhile; `BadArgument`, for 0.
    pub async fn notify(&self, count: u64) -> Result<u64> {
        let count = held::at_least_one::<wire::NotifyRequest>(self.grant.handle(), "count", count)?;
        self.tell(count, false).await
    }

    /// Notifies all that wait, and gives their number. Fault: `NotHeld`.
    pub async fn notify_all(&self) -> Result<u64> {
        self.tell(0, true).await
    }

    async fn tell(&self, count: u64, all: bool) -> Result<u64> {
        let (object, token) = (self.grant.handle().object(), self.token());
        let request = wire::NotifyRequest { object, token, count, all };
        let wire::NotifyReply { count } = self.grant.handle().call(request).await?;
        Ok(count)
    }
}
