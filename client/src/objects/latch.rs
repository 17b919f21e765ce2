//! The latch: counts down once, and then is open for ever.
//!
//! ```text
//!   closed, n left ── count_down ──► closed, fewer left ── ... ──► open
//! ```

use super::{
    Handle, Wanted,
    held::{self, unless_timed_out},
    opened::{opened, opening},
    reference::travels,
};
use crate::{Result, Wait};
use bursar_proto::v1::latch as wire;

/// A number that is counted down to 0 once, and a gate that is open then for ever; shared by every process that opens its name.
///
/// What was counted stays counted when the session that did it ends.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::Manager;
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let loaded = manager.latch("loaded").count(2).open_or_create().await?;
/// assert_eq!(loaded.count_down().await?, 1);
/// assert_eq!(loaded.count_down().await?, 0);
/// loaded.wait().await?;
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Latch {
    handle: Handle,
}

opened!(Latch);
travels!(Latch, "latch", Latch::new);

/// What a latch is to be, before it is opened. To create one, its [`count`](Builder::count) has to be said.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let latch = manager.latch("loaded").count(10).create().await?;
/// assert_eq!(latch.count().await?, 10);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder {
    wanted: Wanted,
    options: wire::Options,
}

opening!(Latch, Latch, wire::Options::default());

impl Builder {
    /// What it counts down from; at least 1.
    pub fn count(mut self, count: u64) -> Builder {
        self.options.count = count;
        self
    }
}

impl Latch {
    fn new(handle: Handle) -> Latch {
        Latch { handle }
    }

    /// Counts down by one, and gives what is left; at 0 it opens. Nothing happens if it is open already.
    pub async fn count_down(&self) -> Result<u64> {
        self.count_down_by(1).await
    }

    /// As [`Latch::count_down`], by more than one. Fault: `BadArgument`, for more than is left, and for 0.
    pub async fn count_down_by(&self, by: u64) -> Result<u64> {
        let by = held::at_least_one::<wire::CountDownRequest>(&self.handle, "by", by)?;
        let wire::CountDownReply { left } = self.handle.call(wire::CountDownRequest { object: self.handle.object(), by }).await?;
        Ok(left)
    }

    /// What is left; 0: it is open.
    pub async fn count(&self) -> Result<u64> {
        let wire::GetReply { left } = self.handle.call(wire::GetRequest { object: self.handle.object() }).await?;
        Ok(left)
    }

    /// Waits until it is open.
    pub async fn wait(&self) -> Result<()> {
        self.ask(Wait::Forever).await
    }

    /// As [`Latch::wait`], with a bound for the wait. Says whether it was open in time.
    pub async fn wait_within(&self, wait: impl Into<Wait>) -> Result<bool> {
        Ok(unless_timed_out(self.ask(wait.into()).await)?.is_some())
    }

    async fn ask(&self, wait: Wait) -> Result<()> {
        let request = wire::WaitRequest { object: self.handle.object(), wait_ms: wait.to_ms() };
        let wire::WaitReply {} = self.handle.call(request).await?;
        Ok(())
    }
}
