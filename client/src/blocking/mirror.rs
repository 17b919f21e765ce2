//! The local copy of a store, for threads.

use super::{Kv, block_on};
use crate::{
    Error, Payload, Raw, Result, Wait,
    kv::{self, Entry, Freshness, Snapshot},
};
use std::{fmt, sync::Arc};

/// A local copy of the keys of a store that begin with a prefix: [`kv::Mirror`] for threads. Any number of threads may read it.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # let manager = bursar::blocking::Manager::connect(broker.address(), broker.authkey())?;
/// use bursar::{Wait, blocking::Kv};
///
/// let settings: Kv<u32> = manager.kv("settings").create()?;
/// let mirror = settings.mirror("")?;
/// mirror.wait_for(settings.put("threads", 4)?, Wait::Forever)?;
/// assert_eq!((mirror.get("threads"), mirror.len()), (Some(4), 1));
/// # Ok::<(), bursar::Error>(())
/// ```
pub struct Mirror<V> {
    inner: kv::Mirror<V>,
}

impl<V> Clone for Mirror<V> {
    fn clone(&self) -> Mirror<V> {
        Mirror { inner: self.inner.clone() }
    }
}

impl<V> fmt::Debug for Mirror<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl<V> From<kv::Mirror<V>> for Mirror<V> {
    fn from(inner: kv::Mirror<V>) -> Mirror<V> {
        Mirror { inner }
    }
}

impl<V: Payload + Send + Sync + 'static> Kv<V> {
    /// A local copy of the keys that begin with `prefix`. See [`bursar::Kv::mirror`](crate::Kv::mirror).
    pub fn mirror(&self, prefix: &str) -> Result<Mirror<V>> {
        Ok(block_on(self.as_async().mirror(prefix))?.into())
    }
}

impl<V> Mirror<V> {
    /// The async side of the same copy.
    pub fn as_async(&self) -> &kv::Mirror<V> {
        &self.inner
    }

    /// The prefix of the keys that it shows.
    pub fn prefix(&self) -> &str {
        self.inner.prefix()
    }

    /// A key with its value and revisions. See [`kv::Mirror::entry`].
    pub fn entry(&self, key: &str) -> Option<Arc<Entry<V>>> {
        self.inner.entry(key)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<V>
    where
        V: Clone,
    {
        self.inner.get(key)
    }

    /// Whether there is such a key.
    pub fn contains(&self, key: &str) -> bool {
        self.inner.contains(key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Everything as it is at this moment. See [`kv::Mirror::snapshot`].
    pub fn snapshot(&self) -> Snapshot<V> {
        self.inner.snapshot()
    }

    /// The entries as they are at this moment, in byte order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Entry<V>>> + use<V> {
        self.inner.iter()
    }

    /// It equals the store, under its prefix, at this revision.
    pub fn revision(&self) -> u64 {
        self.inner.revision()
    }

    /// How fresh it is, as far as it can tell without asking.
    pub fn freshness(&self) -> Freshness {
        self.inner.freshness()
    }

    /// How many values could not be shown, because they are not a `V`.
    pub fn failures(&self) -> u64 {
        self.inner.failures()
    }

    /// Why it is not kept up any more. See [`kv::Mirror::error`].
    pub fn error(&self) -> Option<Arc<Error>> {
        self.inner.error()
    }
}

impl<V: Payload> Mirror<V> {
    /// Asks the broker how many revisions the store is ahead of what is shown. See [`kv::Mirror::lag`].
    pub fn lag(&self) -> Result<u64> {
        block_on(self.inner.lag())
    }

    /// Waits until everything is shown up to this revision. See [`kv::Mirror::wait_for`].
    pub fn wait_for(&self, revision: u64, wait: impl Into<Wait>) -> Result<()> {
        block_on(self.inner.wait_for(revision, wait))
    }

    /// Waits until it is synced. See [`kv::Mirror::synced`].
    pub fn synced(&self, wait: impl Into<Wait>) -> Result<()> {
        block_on(self.inner.synced(wait))
    }
}

impl Mirror<Raw> {
    /// The value of a key as a `T`. See [`kv::Mirror::get_as`].
    pub fn get_as<T: Payload>(&self, key: &str) -> Result<Option<T>> {
        self.inner.get_as(key)
    }
}
