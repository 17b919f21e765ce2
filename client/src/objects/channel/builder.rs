//! What a channel is to be.

use super::{Channel, wire};
use crate::{Manager, Payload, Result, objects::Wanted};
use bursar_proto::v1::registry::{Mode, options::Kind};
use std::marker::PhantomData;

/// What a channel is to be, before it is opened. What is not said is the broker's default.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::{Channel, Fault, Wait};
///
/// let talk: Channel<u32> = manager.channel("talk").max_messages(1).create().await?;
/// talk.a().send(1).await?;
/// let error = talk.a().send_within(2, Wait::Never).await.unwrap_err();
/// assert!(matches!(error.fault(), Some(Fault::NoRoom { .. })), "{error}");
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder<T> {
    wanted: Wanted,
    options: wire::Options,
    values: PhantomData<fn(T) -> T>,
}

impl<T: Payload> Builder<T> {
    pub(crate) fn new(manager: Manager, name: &str) -> Builder<T> {
        Builder { wanted: Wanted::new(manager, name), options: wire::Options::default(), values: PhantomData }
    }

    /// At most this many messages of each direction that nobody is done with: `send` waits for room. So many answers has each question
    /// that is under way by itself. The default is 1,000.
    pub fn max_messages(mut self, messages: u64) -> Builder<T> {
        self.options.max_messages = messages;
        self
    }

    /// At most this many bytes of payload and headers in them. The default is 64 MiB.
    pub fn max_bytes(mut self, bytes: u64) -> Builder<T> {
        self.options.max_bytes = bytes;
        self
    }

    /// The channel goes with the last session that opened it.
    pub fn ephemeral(mut self) -> Builder<T> {
        self.wanted.ephemeral = true;
        self
    }

    /// Opens the channel, and creates it if no object has the name. Fault: `Mismatch`, when an object has the name and is of another
    /// kind or has other options.
    pub async fn open_or_create(self) -> Result<Channel<T>> {
        self.ask(Mode::OpenOrCreate).await
    }

    /// Creates the channel. Fault: `AlreadyExists`.
    pub async fn create(self) -> Result<Channel<T>> {
        self.ask(Mode::Create).await
    }

    /// Opens the channel as it is, whatever its options. Faults: `NoSuchObject`; `Mismatch`, when it is no channel.
    pub async fn open(self) -> Result<Channel<T>> {
        self.ask(Mode::Open).await
    }

    async fn ask(self, mode: Mode) -> Result<Channel<T>> {
        let handle = self.wanted.open(mode, Kind::Channel(self.options)).await?;
        Ok(Channel { handle, values: PhantomData })
    }
}
