//! What a key-value store is to be.

use super::{Kv, wire};
use crate::{Manager, Payload, Result, objects::Wanted};
use bursar_proto::v1::registry::{Mode, options::Kind};
use std::marker::PhantomData;

/// What a store is to be, before it is opened. What is not said is the broker's default.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let settings: bursar::Kv<String> = manager.kv("settings").max_keys(100).create().await?;
/// assert!(settings.was_created());
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder<V> {
    wanted: Wanted,
    options: wire::Options,
    values: PhantomData<fn(V) -> V>,
}

impl<V: Payload> Builder<V> {
    pub(crate) fn new(manager: Manager, name: &str) -> Builder<V> {
        Builder { wanted: Wanted::new(manager, name), options: wire::Options::default(), values: PhantomData }
    }

    /// At most this many keys. The default is 1,000,000.
    pub fn max_keys(mut self, keys: u64) -> Builder<V> {
        self.options.max_keys = keys;
        self
    }

    /// At most this many bytes of keys and values. The default is 1 GiB.
    pub fn max_bytes(mut self, bytes: u64) -> Builder<V> {
        self.options.max_bytes = bytes;
        self
    }

    /// How many changes are kept for watchers that lag behind; who lags more gets the map afresh. The default is 10,000.
    pub fn events_max(mut self, events: u32) -> Builder<V> {
        self.options.events_max = events;
        self
    }

    /// The store goes with the last session that opened it.
    pub fn ephemeral(mut self) -> Builder<V> {
        self.wanted.ephemeral = true;
        self
    }

    /// Opens the store, and creates it if no object has the name. Fault: `Mismatch`, when an object has the name and is of another
    /// kind or has other options.
    pub async fn open_or_create(self) -> Result<Kv<V>> {
        self.ask(Mode::OpenOrCreate).await
    }

    /// Creates the store. Fault: `AlreadyExists`.
    pub async fn create(self) -> Result<Kv<V>> {
        self.ask(Mode::Create).await
    }

    /// Opens the store as it is, whatever its options. Faults: `NoSuchObject`; `Mismatch`, when it is no key-value store.
    pub async fn open(self) -> Result<Kv<V>> {
        self.ask(Mode::Open).await
    }

    async fn ask(self, mode: Mode) -> Result<Kv<V>> {
        let handle = self.wanted.open(mode, Kind::Kv(self.options)).await?;
        Ok(Kv { handle, values: PhantomData })
    }
}
