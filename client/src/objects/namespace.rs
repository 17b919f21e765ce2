//! The namespace: names with values of any types.

use super::{
    kv::{self, Keys, Kv, OnChange, WatchEvent},
    message::Outcome,
    reference::{Reference, travels},
    value::Value,
};
use crate::{Manager, Payload, Raw, Result};

/// Names with values, each of its own type: Python's `Namespace`. It is a [`Kv`] whose values are typed where they are used.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Manager, Namespace};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let config: Namespace = manager.namespace("config").open_or_create().await?;
/// config.set("threads", &4_u32).await?;
/// config.set("title", &"nightly".to_owned()).await?;
/// assert_eq!(config.get::<u32>("threads").await?, Some(4));
/// assert_eq!(config.get::<String>("title").await?.as_deref(), Some("nightly"));
/// assert_eq!(config.names().await?, ["threads", "title"]);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Namespace {
    kv: Kv<Raw>,
}

travels!(Namespace, "kv", |namespace| Reference::new("kv", namespace.kv.handle()), |handle, _| Ok(Namespace {
    kv: Kv::of(handle)
}));

/// What a namespace is to be, before it is opened.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct Builder {
    inner: kv::Builder<Raw>,
}

impl Builder {
    pub(crate) fn new(manager: Manager, name: &str) -> Builder {
        Builder { inner: kv::Builder::new(manager, name) }
    }

    /// The namespace goes with the last session that opened it.
    pub fn ephemeral(self) -> Builder {
        Builder { inner: self.inner.ephemeral() }
    }

    /// Opens the namespace, and creates it if no object has the name. Fault: `Mismatch`, when an object has the name and is no
    /// key-value store, or one with other options.
    pub async fn open_or_create(self) -> Result<Namespace> {
        Ok(self.inner.open_or_create().await?.into())
    }

    /// Creates the namespace. Fault: `AlreadyExists`.
    pub async fn create(self) -> Result<Namespace> {
        Ok(self.inner.create().await?.into())
    }

    /// Opens the namespace. Faults: `NoSuchObject`; `Mismatch`, when it is no key-value store.
    pub async fn open(self) -> Result<Namespace> {
        Ok(self.inner.open().await?.into())
    }
}

/// Every store can be used as a namespace.
impl From<Kv<Raw>> for Namespace {
    fn from(kv: Kv<Raw>) -> Namespace {
        Namespace { kv }
    }
}

impl Namespace {
    /// The store behind it.
    pub fn kv(&self) -> &Kv<Raw> {
        &self.kv
    }

    /// The value of a name; `None`: it has none. [`Error::Codec`](crate::Error::Codec), when it is not a `T`.
    pub async fn get<T: Payload>(&self, name: &str) -> Result<Option<T>> {
        self.kv.typed::<T>().get(name).await
    }

    /// Gives a name a value, of whatever type the former one was. Faults: `TooLarge`; `LimitReached`, when the store is full.
    pub async fn set<T: Payload>(&self, name: &str, value: &T) -> Result<()> {
        self.kv.typed::<T>().put(name, value).await.map(drop)
    }

    /// Takes the value from a name; says whether it had one.
    pub async fn delete(&self, name: &str) -> Result<bool> {
        self.kv.delete(name).await
    }

    /// All names that have values, in byte order.
    pub async fn names(&self) -> Result<Vec<String>> {
        self.kv.keys().await
    }

    /// Calls a function for each change of a name (where text stands for [`Keys`]), or of all names under a prefix, until the
    /// [`OnChange`] is dropped. A value that is not a `T` is a failure of the subscription, and ends nothing. See
    /// [`Kv::on_change`].
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::kv::WatchEvent;
    ///
    /// let shared = manager.namespace("shared").open_or_create().await?;
    /// let (sender, mut heard) = tokio::sync::mpsc::channel(8);
    /// let subscription = shared.on_change("threads", move |change: &WatchEvent<u32>| sender.blocking_send(change.clone())).await?;
    /// shared.set("threads", &4_u32).await?;
    /// assert!(matches!(heard.recv().await, Some(WatchEvent::Put { value: 4, .. })));
    /// # drop(subscription);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn on_change<T: Payload + 'static, R: Outcome + 'static>(
        &self,
        names: impl Into<Keys>,
        callback: impl FnMut(&WatchEvent<T>) -> R + Send + 'static,
    ) -> Result<OnChange> {
        self.kv.typed::<T>().on_change(names, callback).await
    }

    /// The value of a name by itself, for instance to [`update`](Value::update) it.
    pub fn value<T: Payload>(&self, name: impl Into<String>) -> Value<T> {
        self.kv.typed::<T>().value(name)
    }
}
