//! What a topic is to be.

use super::{Overload, Topic, wire};
use crate::{Manager, Payload, Result, objects::Wanted};
use bursar_proto::v1::registry::{Mode, options::Kind};
use std::marker::PhantomData;

/// A topic that is to be opened, or, once its [`Overload`] is decided, created.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::{Topic, topic::Overload};
///
/// let prices: Topic<u64> = manager.topic("prices").overload(Overload::DropOldest).keep_messages(10).create().await?;
/// let same: Topic<u64> = manager.topic("prices").open().await?;
/// assert!(prices.was_created() && !same.was_created());
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open"]
pub struct Builder<T> {
    wanted: Wanted,
    values: PhantomData<fn(T) -> T>,
}

impl<T: Payload> Builder<T> {
    pub(crate) fn new(manager: Manager, name: &str) -> Builder<T> {
        Builder { wanted: Wanted::new(manager, name), values: PhantomData }
    }

    /// Opens the topic as it is, whatever its options. Faults: `NoSuchObject`; `Mismatch`, when it is no topic.
    pub async fn open(self) -> Result<Topic<T>> {
        let handle = self.wanted.open(Mode::Open, Kind::Topic(wire::Options::default())).await?;
        Ok(Topic::new(handle))
    }

    /// What happens to a message for a subscription whose buffer is full.
    pub fn overload(self, overload: Overload) -> Decided<T> {
        let options = wire::Options { overload: wire::Overload::from(overload).into(), ..Default::default() };
        Decided { wanted: self.wanted, options, values: PhantomData }
    }
}

/// What a topic is to be, before it is created. What is not said is the broker's default.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before create or open_or_create"]
pub struct Decided<T> {
    wanted: Wanted,
    options: wire::Options,
    values: PhantomData<fn(T) -> T>,
}

impl<T: Payload> Decided<T> {
    /// At most this many messages wait for each subscription. The default is 1,000.
    pub fn buffer_messages(mut self, messages: u64) -> Decided<T> {
        self.options.buffer_messages = messages;
        self
    }

    /// At most this many bytes of payload, subjects and headers wait for each subscription. The default is 8 MiB.
    pub fn buffer_bytes(mut self, bytes: u64) -> Decided<T> {
        self.options.buffer_bytes = bytes;
        self
    }

    /// The last so many messages are kept, for those who subscribe later. The default is 1,000.
    pub fn keep_messages(mut self, messages: u64) -> Decided<T> {
        self.options.keep_messages = messages;
        self
    }

    /// At most so many bytes of them. The default is 16 MiB.
    pub fn keep_bytes(mut self, bytes: u64) -> Decided<T> {
        self.options.keep_bytes = bytes;
        self
    }

    /// The topic goes with the last session that opened it.
    pub fn ephemeral(mut self) -> Decided<T> {
        self.wanted.ephemeral = true;
        self
    }

    /// Opens the topic, and creates it if no object has the name. Fault: `Mismatch`, when an object has the name and is of another
    /// kind or has other options.
    pub async fn open_or_create(self) -> Result<Topic<T>> {
        self.ask(Mode::OpenOrCreate).await
    }

    /// Creates the topic. Fault: `AlreadyExists`.
    pub async fn create(self) -> Result<Topic<T>> {
        self.ask(Mode::Create).await
    }

    async fn ask(self, mode: Mode) -> Result<Topic<T>> {
        Ok(Topic::new(self.wanted.open(mode, Kind::Topic(self.options)).await?))
    }
}
