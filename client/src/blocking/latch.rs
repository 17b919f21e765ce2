//! The latch for threads.

use super::{
    block_on,
    opened::{opened, opening},
};
use crate::{Result, Wait, latch::Builder};

/// What a latch is to be, before it is opened: [`latch::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct LatchBuilder {
    inner: Builder,
}

opening!(LatchBuilder, Latch);

impl LatchBuilder {
    /// See [`Builder::count`].
    pub fn count(self, count: u64) -> LatchBuilder {
        self.inner.count(count).into()
    }
}

/// Counts down once, and then is open for ever: [`bursar::Latch`](crate::Latch) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::Manager;
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let loaded = manager.latch("loaded").count(3).open_or_create()?;
/// assert_eq!(loaded.count_down_by(3)?, 0);
/// loaded.wait()?;
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Clone)]
pub struct Latch {
    inner: crate::Latch,
}

opened!(Latch);

impl Latch {
    /// Counts down by one, and gives what is left.
    pub fn count_down(&self) -> Result<u64> {
        block_on(self.inner.count_down())
    }

    /// As [`Latch::count_down`], by more than one. Fault: `BadArgument`.
    pub fn count_down_by(&self, by: u64) -> Result<u64> {
        block_on(self.inner.count_down_by(by))
    }

    /// What is left; 0: it is open.
    pub fn count(&self) -> Result<u64> {
        block_on(self.inner.count())
    }

    /// Waits until it is open.
    pub fn wait(&self) -> Result<()> {
        block_on(self.inner.wait())
    }

    /// As [`Latch::wait`], with a bound for the wait. Says whether it was open in time.
    pub fn wait_within(&self, wait: impl Into<Wait>) -> Result<bool> {
        block_on(self.inner.wait_within(wait))
    }
}
