//! The lock for many readers or one writer.
//!
//! ```text
//!   free ── read ───► read by n ── the last guard is gone ──► free
//!     └──── write ──► written by one ── released ──► free
//!                        └── downgrade ──► read by that one
//! ```

use super::{
    Handle, Wanted,
    fence::Fence,
    held::{self, Grant, guard},
    opened::{opened, opening},
    reference::travels,
};
use crate::{Result, Wait};
use bursar_proto::v1::{self, rwlock as wire};

/// A lock that many may hold to read, or one to write; shared by every process that opens its name. Who comes first is served first:
/// a reader that comes behind a waiting writer waits, so that no writer starves.
///
/// As with [`Lock`](crate::Lock), the guards are the ownership, and a handle is one owner: tasks and threads take a
/// [`clone`](RwLock::clone) each. A handle that reads may read again, at once; everything else would wait for itself, and is refused
/// with `WouldDeadlock`.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::Manager;
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let lock = manager.rwlock("catalog").open_or_create().await?;
/// let other = lock.clone();
/// let writing = lock.write().await?;
/// assert!(other.try_read().await?.is_none());
/// let reading = writing.downgrade().await?;
/// let also_reading = other.read().await?;
/// assert!(manager.rwlock("catalog").open().await?.try_write().await?.is_none());
/// # drop((reading, also_reading));
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct RwLock {
    handle: Handle,
    owner: u64,
}

/// The clone is another owner: it waits for what this handle holds.
impl Clone for RwLock {
    fn clone(&self) -> RwLock {
        RwLock::new(self.handle.clone())
    }
}

opened!(RwLock);
travels!(RwLock, "rwlock", RwLock::new);

/// What a lock for readers and writers is to be, before it is opened.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let lock = manager.rwlock("catalog").refuse_deadlock().create().await?;
/// assert!(lock.was_created());
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder {
    wanted: Wanted,
    options: wire::Options,
}

opening!(RwLock, Rwlock, wire::Options::default());

impl Builder {
    /// An acquire that would close a circle of sessions that wait for each other is refused with `WouldDeadlock`, instead of waiting
    /// for ever.
    pub fn refuse_deadlock(mut self) -> Builder {
        self.options.on_deadlock = v1::OnDeadlock::Refuse.into();
        self
    }
}

impl RwLock {
    fn new(handle: Handle) -> RwLock {
        RwLock { handle, owner: held::next_owner() }
    }

    /// Waits until it may be read. Dropping the future leaves the line, and gives back what was already granted.
    ///
    /// Fault: `WouldDeadlock`, when this handle holds it to write, or as [`refuse_deadlock`](Builder::refuse_deadlock) says.
    pub async fn read(&self) -> Result<ReadGuard> {
        self.read_within(Wait::Forever).await
    }

    /// As [`RwLock::read`], with a bound for the wait. Fault: `Held`, which names the holder, when it was not to be had in time.
    pub async fn read_within(&self, wait: impl Into<Wait>) -> Result<ReadGuard> {
        Ok(ReadGuard { grant: self.acquire(wait.into(), false).await? })
    }

    /// The lock to read if that is possible now, or `None`. Fault: `WouldDeadlock`.
    pub async fn try_read(&self) -> Result<Option<ReadGuard>> {
        held::unless_held(self.read_within(Wait::Never).await)
    }

    /// Waits until it may be written. Dropping the future leaves the line, and gives back what was already granted.
    ///
    /// Fault: `WouldDeadlock`, when this handle holds it already, or as [`refuse_deadlock`](Builder::refuse_deadlock) says.
    pub async fn write(&self) -> Result<WriteGuard> {
        self.write_within(Wait::Forever).await
    }

    /// As [`RwLock::write`], with a bound for the wait. Fault: `Held`, which names the holder, when it was not to be had in time.
    pub async fn write_within(&self, wait: impl Into<Wait>) -> Result<WriteGuard> {
        Ok(WriteGuard { grant: self.acquire(wait.into(), true).await? })
    }

    /// The lock to write if that is possible now, or `None`. Fault: `WouldDeadlock`.
    pub async fn try_write(&self) -> Result<Option<WriteGuard>> {
        held::unless_held(self.write_within(Wait::Never).await)
    }

    async fn acquire(&self, wait: Wait, write: bool) -> Result<Grant<wire::ReleaseRequest>> {
        let request = wire::AcquireRequest { object: self.handle.object(), wait_ms: wait.to_ms(), owner: self.owner, write };
        let wire::AcquireReply { token } = self.handle.call(request).await?;
        Ok(Grant::new(&self.handle, token))
    }
}

/// Nobody writes while this lives. Dropping it gives the lock back in the background. It is no fence: others may read, too.
#[must_use = "a dropped guard gives the lock back at once"]
pub struct ReadGuard {
    grant: Grant<wire::ReleaseRequest>,
}

guard!(ReadGuard);

/// Nobody else reads or writes while this lives. Dropping it gives the lock back in the background.
///
/// When the session is lost, so is the lock, and others get it; as with [`LockGuard`](crate::LockGuard).
#[must_use = "a dropped guard gives the lock back at once"]
pub struct WriteGuard {
    grant: Grant<wire::ReleaseRequest>,
}

guard!(WriteGuard);

impl WriteGuard {
    /// For calls that must not happen after this lock was lost: they are refused with `StaleToken` then.
    pub fn fence(&self) -> Fence {
        Fence::new(self.grant.handle().name(), self.token())
    }

    /// From writing to reading, with nobody in between; readers that wait are let in. Its fences hold no more. Fault: `NotHeld`, when
    /// it went to others meanwhile. When the future is dropped, the lock is given back.
    pub async fn downgrade(self) -> Result<ReadGuard> {
        let WriteGuard { grant } = self;
        let request = wire::DowngradeRequest { object: grant.handle().object(), token: grant.token() };
        let wire::DowngradeReply {} = grant.handle().call(request).await?;
        Ok(ReadGuard { grant })
    }
}
