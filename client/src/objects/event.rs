//! The event: a flag that processes wait for.
//!
//! ```text
//!   clear ── set (version + 1) ──► set ── clear ──► clear
//! ```

use super::{
    Handle, Wanted,
    held::unless_timed_out,
    opened::{opened, opening},
    reference::travels,
};
use crate::{Result, Wait};
use bursar_proto::v1::event as wire;

/// A flag, shared by every process that opens its name: Python's `Event`.
///
/// Its version counts how often it went from clear to set. Who [waits for the next one](Event::wait_after) after a known version misses
/// none, also if it is cleared at once. It stays as it is when the session that set it ends.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Manager, Wait};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let reload = manager.event("reload").open_or_create().await?;
/// assert!(!reload.wait_within(Wait::Never).await?);
/// let known = reload.version().await?;
/// reload.set().await?;
/// reload.clear().await?;
/// assert_eq!(reload.wait_after(known).await?, known + 1, "set and cleared meanwhile, and not missed");
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Event {
    handle: Handle,
}

opened!(Event);
travels!(Event, "event", Event::new);

impl Event {
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// What an event is to be, before it is opened.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let event = manager.event("ready").initially_set().create().await?;
/// assert!(event.is_set().await?);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder {
    wanted: Wanted,
    options: wire::Options,
}

opening!(Event, Event, wire::Options::default());

impl Builder {
    /// It is set from the beginning, with version 1.
    pub fn initially_set(mut self) -> Builder {
        self.options.initially_set = true;
        self
    }
}

impl Event {
    fn new(handle: Handle) -> Event {
        Event { handle }
    }

    /// Sets the flag, and lets all go on that wait. Says whether it was clear.
    pub async fn set(&self) -> Result<bool> {
        let wire::SetReply { changed, version: _ } = self.handle.call(wire::SetRequest { object: self.handle.object() }).await?;
        Ok(changed)
    }

    /// Clears the flag: who waits from now on, waits. Says whether it was set.
    pub async fn clear(&self) -> Result<bool> {
        let request = wire::ClearRequest { object: self.handle.object() };
        let wire::ClearReply { changed, version: _ } = self.handle.call(request).await?;
        Ok(changed)
    }

    /// Whether it is set now.
    pub async fn is_set(&self) -> Result<bool> {
        Ok(self.get().await?.is_set)
    }

    /// How often it went from clear to set.
    pub async fn version(&self) -> Result<u64> {
        Ok(self.get().await?.version)
    }

    async fn get(&self) -> Result<wire::GetReply> {
        self.handle.call(wire::GetRequest { object: self.handle.object() }).await
    }

    /// Waits until it is set; returns at once if it is. Gives its version.
    pub async fn wait(&self) -> Result<u64> {
        self.ask(Wait::Forever, None).await
    }

    /// As [`Event::wait`], with a bound for the wait. Says whether it was set in time.
    pub async fn wait_within(&self, wait: impl Into<Wait>) -> Result<bool> {
        Ok(unless_timed_out(self.ask(wait.into(), None).await)?.is_some())
    }

    /// Waits until it has been set after this version, also if it was cleared again meanwhile. Gives its version. Fault: `BadArgument`,
    /// for a version that is still to come.
    pub async fn wait_after(&self, version: u64) -> Result<u64> {
        self.ask(Wait::Forever, Some(version)).await
    }

    /// As [`Event::wait_after`], with a bound for the wait. `None`: it was not set in time.
    pub async fn wait_after_within(&self, version: u64, wait: impl Into<Wait>) -> Result<Option<u64>> {
        unless_timed_out(self.ask(wait.into(), Some(version)).await)
    }

    async fn ask(&self, wait: Wait, after: Option<u64>) -> Result<u64> {
        let request = wire::WaitRequest { object: self.handle.object(), wait_ms: wait.to_ms(), after };
        let wire::WaitReply { version } = self.handle.call(request).await?;
        Ok(version)
    }
}
