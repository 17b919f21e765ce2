//! What a list is to be.

use super::{List, wire};
use crate::{Manager, Payload, Result, objects::Wanted};
use bursar_proto::v1::registry::{Mode, options::Kind};
use std::marker::PhantomData;

/// What a list is to be, before it is opened. What is not said is the broker's default.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let log: bursar::List<String> = manager.list("log").max_len(1000).create().await?;
/// assert!(log.was_created());
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

    /// At most this many values. The default is 1,000,000.
    pub fn max_len(mut self, values: u64) -> Builder<T> {
        self.options.max_len = values;
        self
    }

    /// At most this many bytes of values. The default is 1 GiB.
    pub fn max_bytes(mut self, bytes: u64) -> Builder<T> {
        self.options.max_bytes = bytes;
        self
    }

    /// The list goes with the last session that opened it.
    pub fn ephemeral(mut self) -> Builder<T> {
        self.wanted.ephemeral = true;
        self
    }

    /// Opens the list, and creates it if no object has the name. Fault: `Mismatch`, when an object has the name and is of another
    /// kind or has other options.
    pub async fn open_or_create(self) -> Result<List<T>> {
        self.ask(Mode::OpenOrCreate).await
    }

    /// Creates the list. Fault: `AlreadyExists`.
    pub async fn create(self) -> Result<List<T>> {
        self.ask(Mode::Create).await
    }

    /// Opens the list as it is, whatever its options. Faults: `NoSuchObject`; `Mismatch`, when it is no list.
    pub async fn open(self) -> Result<List<T>> {
        self.ask(Mode::Open).await
    }

    async fn ask(self, mode: Mode) -> Result<List<T>> {
        let handle = self.wanted.open(mode, Kind::List(self.options)).await?;
        Ok(List { handle, items: PhantomData })
    }
}
