//! The event for threads.

use super::{
    block_on,
    opened::{opened, opening},
};
use crate::{Result, Wait, event::Builder};

/// What an event is to be, before it is opened: [`event::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct EventBuilder {
    inner: Builder,
}

opening!(EventBuilder, Event);

impl EventBuilder {
    /// See [`Builder::initially_set`].
    pub fn initially_set(self) -> EventBuilder {
        self.inner.initially_set().into()
    }
}

/// A flag that processes wait for: [`bursar::Event`](crate::Event) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::Manager;
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let ready = manager.event("ready").open_or_create()?;
/// let waiting = std::thread::spawn({
///     let ready = ready.clone();
///     move || ready.wait()
/// });
/// assert!(ready.set()?);
/// assert_eq!(waiting.join().unwrap()?, 1);
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Clone)]
pub struct Event {
    inner: crate::Event,
}

opened!(Event);

impl Event {
    /// Sets the flag. Says whether it was clear.
    pub fn set(&self) -> Result<bool> {
        block_on(self.inner.set())
    }

    /// Clears the flag. Says whether it was set.
    pub fn clear(&self) -> Result<bool> {
        block_on(self.inner.clear())
    }

    /// Whether it is set now.
    pub fn is_set(&self) -> Result<bool> {
        block_on(self.inner.is_set())
    }

    /// How often it went from clear to set.
    pub fn version(&self) -> Result<u64> {
        block_on(self.inner.version())
    }

    /// Waits until it is set. Gives its version.
    pub fn wait(&self) -> Result<u64> {
        block_on(self.inner.wait())
    }

    /// As [`Event::wait`], with a bound for the wait. Says whether it was set in time.
    pub fn wait_within(&self, wait: impl Into<Wait>) -> Result<bool> {
        block_on(self.inner.wait_within(wait))
    }

    /// Waits until it has been set after this version. See [`bursar::Event::wait_after`](crate::Event::wait_after).
    pub fn wait_after(&self, version: u64) -> Result<u64> {
        block_on(self.inner.wait_after(version))
    }

    /// As [`Event::wait_after`], with a bound for the wait. `None`: it was not set in time.
    pub fn wait_after_within(&self, version: u64, wait: impl Into<Wait>) -> Result<Option<u64>> {
        block_on(self.inner.wait_after_within(version, wait))
    }
}
