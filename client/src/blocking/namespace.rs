//! The namespace for threads.

use super::{Kv, Value, block_on};
use crate::{Payload, Raw, Result, namespace::Builder};

/// What a namespace is to be, before it is opened: [`namespace::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct NamespaceBuilder {
    inner: Builder,
}

impl From<Builder> for NamespaceBuilder {
    fn from(inner: Builder) -> NamespaceBuilder {
        NamespaceBuilder { inner }
    }
}

impl NamespaceBuilder {
    /// The namespace goes with the last session that opened it.
    pub fn ephemeral(self) -> NamespaceBuilder {
        self.inner.ephemeral().into()
    }

    /// See [`Builder::open_or_create`].
    pub fn open_or_create(self) -> Result<Namespace> {
        Ok(block_on(self.inner.open_or_create())?.into())
    }

    /// See [`Builder::create`].
    pub fn create(self) -> Result<Namespace> {
        Ok(block_on(self.inner.create())?.into())
    }

    /// See [`Builder::open`].
    pub fn open(self) -> Result<Namespace> {
        Ok(block_on(self.inner.open())?.into())
    }
}

/// Names with values, each of its own type: [`bursar::Namespace`](crate::Namespace) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # let manager = bursar::blocking::Manager::connect(broker.address(), broker.authkey())?;
/// let config = manager.namespace("config").open_or_create()?;
/// config.set("threads", &4_u32)?;
/// assert_eq!(config.get::<u32>("threads")?, Some(4));
/// assert_eq!(config.names()?, ["threads"]);
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Namespace {
    inner: crate::Namespace,
}

impl From<crate::Namespace> for Namespace {
    fn from(inner: crate::Namespace) -> Namespace {
        Namespace { inner }
    }
}

impl Namespace {
    /// The async side of the same handle.
    pub fn as_async(&self) -> &crate::Namespace {
        &self.inner
    }

    /// The store behind it.
    pub fn kv(&self) -> Kv<Raw> {
        self.inner.kv().clone().into()
    }

    /// The value of a name; `None`: it has none. [`Error::Codec`](crate::Error::Codec), when it is not a `T`.
    pub fn get<T: Payload>(&self, name: &str) -> Result<Option<T>> {
        block_on(self.inner.get(name))
    }

    /// Gives a name a value, of whatever type the former one was.
    pub fn set<T: Payload>(&self, name: &str, value: &T) -> Result<()> {
        block_on(self.inner.set(name, value))
    }

    /// Takes the value from a name; says whether it had one.
    pub fn delete(&self, name: &str) -> Result<bool> {
        block_on(self.inner.delete(name))
    }

    /// All names that have values, in byte order.
    pub fn names(&self) -> Result<Vec<String>> {
        block_on(self.inner.names())
    }

    /// The value of a name by itself.
    pub fn value<T: Payload>(&self, name: impl Into<String>) -> Value<T> {
        self.inner.value(name).into()
    }
}
