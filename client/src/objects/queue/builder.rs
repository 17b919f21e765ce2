//! What a queue is to be.

use super::{Queue, wire};
use crate::{
    Manager, Payload, Result,
    objects::{Wanted, to_ms},
};
use bursar_proto::v1::registry::{Mode, options::Kind};
use std::{marker::PhantomData, time::Duration};

/// What a queue is to be, before it is opened. What is not said is the broker's default.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::{Fault, Queue};
///
/// let queue: Queue<u32> = manager.queue("bounded").maxsize(10).create().await?;
/// let other = manager.queue::<u32>("bounded").maxsize(20).open_or_create().await;
/// assert!(matches!(other.unwrap_err().fault(), Some(Fault::Mismatch { .. })));
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder<T> {
    wanted: Wanted,
    options: wire::Options,
    items: PhantomData<fn(T) -> T>,
}

impl<T: Payload> Builder<T> {
    pub(crate) fn new(manager: Manager, name: &str) -> Builder<T> {
        Builder { wanted: Wanted::new(manager, name), options: wire::Options::default(), items: PhantomData }
    }

    /// At most this many items that are put and not fetched: `put` waits for room. 0, the default: no limit.
    pub fn maxsize(mut self, items: u64) -> Builder<T> {
        self.options.maxsize = items;
        self
    }

    /// At most this many bytes of payload in them. The default is 1 GiB.
    pub fn max_bytes(mut self, bytes: u64) -> Builder<T> {
        self.options.max_bytes = bytes;
        self
    }

    /// An item that failed this often is parked. The default is 10.
    pub fn max_failures(mut self, failures: u32) -> Builder<T> {
        self.options.max_failures = failures;
        self
    }

    /// An item whose workers died this often is parked. The default is 3.
    pub fn max_crashes(mut self, crashes: u32) -> Builder<T> {
        self.options.max_crashes = crashes;
        self
    }

    /// After how long a failed item comes again the first time; the delay doubles with each failure, up to an hour. The default is 1 s.
    pub fn retry_delay(mut self, delay: Duration) -> Builder<T> {
        self.options.retry_delay_ms = to_ms(delay);
        self
    }

    /// How long a unique key is remembered after its item is done. The default is not at all.
    pub fn unique_window(mut self, window: Duration) -> Builder<T> {
        self.options.unique_window_ms = to_ms(window);
        self
    }

    /// The queue goes with the last session that opened it.
    pub fn ephemeral(mut self) -> Builder<T> {
        self.wanted.ephemeral = true;
        self
    }

    /// Opens the queue, and creates it if no object has the name. Fault: `Mismatch`, when an object has the name and is of another
    /// kind or has other options.
    pub async fn open_or_create(self) -> Result<Queue<T>> {
        self.ask(Mode::OpenOrCreate).await
    }

    /// Creates the queue. Fault: `AlreadyExists`.
    pub async fn create(self) -> Result<Queue<T>> {
        self.ask(Mode::Create).await
    }

    /// Opens the queue as it is, whatever its options. Faults: `NoSuchObject`; `Mismatch`, when it is no queue.
    pub async fn open(self) -> Result<Queue<T>> {
        self.ask(Mode::Open).await
    }

    async fn ask(self, mode: Mode) -> Result<Queue<T>> {
        let handle = self.wanted.open(mode, Kind::Queue(self.options)).await?;
        Ok(Queue { handle, items: PhantomData })
    }
}
