//! The lock: held by one owner at a time.
//!
//! ```text
//!   free ── acquire ──► held ── release, guard dropped, or session lost ──► free, or the next in line
//! ```

use super::{
    Handle, Wanted,
    fence::Fence,
    held::{self, Grant, guard},
    opened::{opened, opening},
    reference::travels,
};
use crate::{Result, Wait};
use bursar_proto::v1::{self, lock as wire};

/// A lock, shared by every process that opens its name. Who comes first is served first.
///
/// [`acquire`](Lock::acquire) gives a [`LockGuard`], and the guard is the ownership: dropping it gives the lock back. When its process
/// dies, in whatever way, the next in line gets the lock; what the former holder might still do can be kept out by a
/// [fence](LockGuard::fence).
///
/// A handle is one owner. Who acquires a lock that is not reentrant a second time through the same handle would wait for ever, and is
/// refused at once with `WouldDeadlock`. So tasks or threads that shall exclude each other take a [`clone`](Lock::clone) each. A
/// [reentrant](Builder::reentrant) lock may be acquired again through the handle that holds it; each guard is one level.
///
/// After the object was deleted, calls fail with the fault `Gone`, also when its name was created anew.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Fault, Manager};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let lock = manager.lock("printer").open_or_create().await?;
/// let guard = lock.acquire().await?;
/// assert!(lock.clone().try_acquire().await?.is_none(), "a clone is another owner, and has to wait");
/// let error = lock.acquire().await.unwrap_err();
/// assert!(matches!(error.fault(), Some(Fault::WouldDeadlock { .. })), "the same owner would wait for itself");
/// guard.release().await?;
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct Lock {
    handle: Handle,
    owner: u64,
}

/// The clone is another owner: it waits for what this handle holds.
impl Clone for Lock {
    fn clone(&self) -> Lock {
        Lock::new(self.handle.clone())
    }
}

opened!(Lock);
travels!(Lock, "lock", Lock::new);

/// What a lock is to be, before it is opened.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let lock = manager.lock("nested").reentrant().create().await?;
/// let (outer, inner) = (lock.acquire().await?, lock.acquire().await?);
/// assert_eq!((outer.depth(), inner.depth()), (1, 2));
/// assert_eq!(outer.token(), inner.token());
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder {
    wanted: Wanted,
    options: wire::Options,
}

opening!(Lock, Lock, wire::Options::default());

impl Builder {
    /// The handle that holds it may acquire it again; it is free when as many guards are gone.
    pub fn reentrant(mut self) -> Builder {
        self.options.reentrant = true;
        self
    }

    /// An acquire that would close a circle of sessions that wait for each other is refused with `WouldDeadlock`, instead of waiting
    /// for ever.
    pub fn refuse_deadlock(mut self) -> Builder {
        self.options.on_deadlock = v1::OnDeadlock::Refuse.into();
        self
    }
}

impl Lock {
    fn new(handle: Handle) -> Lock {
        Lock { handle, owner: held::next_owner() }
    }

    /// Waits for the lock. Dropping the future leaves the line, and gives back what was already granted.
    ///
    /// Fault: `WouldDeadlock`, when this handle holds the lock and it is not reentrant, or as
    /// [`refuse_deadlock`](Builder::refuse_deadlock) says.
    pub async fn acquire(&self) -> Result<LockGuard> {
        self.acquire_within(Wait::Forever).await
    }

    /// As [`Lock::acquire`], with a bound for the wait. Fault: `Held`, which names the holder, when it was not free in time.
    pub async fn acquire_within(&self, wait: impl Into<Wait>) -> Result<LockGuard> {
        let request = wire::AcquireRequest { object: self.handle.object(), wait_ms: wait.into().to_ms(), owner: self.owner };
        let wire::AcquireReply { token, depth } = self.handle.call(request).await?;
        Ok(LockGuard { grant: Grant::new(&self.handle, token), depth })
    }

    /// The lock if it is free now, or `None`. Fault: `WouldDeadlock`, as [`Lock::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<LockGuard>> {
        held::unless_held(self.acquire_within(Wait::Never).await)
    }
}

/// The lock is held while this lives. Dropping it gives the lock back in the background.
///
/// When the session is lost, so is the lock, and others get it: [`lost`](LockGuard::lost), [`is_lost`](LockGuard::is_lost) and
/// [`valid_until`](LockGuard::valid_until) tell, and a [`fence`](LockGuard::fence) keeps out what comes too late.
#[must_use = "a dropped guard gives the lock back at once"]
pub struct LockGuard {
    grant: Grant<wire::ReleaseRequest>,
    depth: u32,
}

guard!(LockGuard);

impl LockGuard {
    /// For calls that must not happen after this lock was lost: they are refused with `StaleToken` then.
    pub fn fence(&self) -> Fence {
        Fence::new(self.grant.handle().name(), self.token())
    }

    pub(super) fn grant(&self) -> &Grant<wire::ReleaseRequest> {
        &self.grant
    }

    /// Which level of a reentrant lock this was when it was acquired; 1 is the outermost.
    pub fn depth(&self) -> u32 {
        self.depth
    }
}
