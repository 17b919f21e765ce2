//! The key-value store for threads.

use super::{Manager, block_on};
use crate::{
    Fence, Payload, Raw, Result,
    kv::{Builder, Entry, PutOptions, Since, WatchEvent},
};
use std::{borrow::Borrow, fmt, time::Duration};

/// What a store is to be, before it is opened: [`kv::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct KvBuilder<V> {
    inner: Builder<V>,
}

impl<V> From<Builder<V>> for KvBuilder<V> {
    fn from(inner: Builder<V>) -> KvBuilder<V> {
        KvBuilder { inner }
    }
}

impl<V: Payload> KvBuilder<V> {
    /// See [`Builder::max_keys`].
    pub fn max_keys(self, keys: u64) -> KvBuilder<V> {
        self.inner.max_keys(keys).into()
    }

    /// See [`Builder::max_bytes`].
    pub fn max_bytes(self, bytes: u64) -> KvBuilder<V> {
        self.inner.max_bytes(bytes).into()
    }

    /// See [`Builder::events_max`].
    pub fn events_max(self, events: u32) -> KvBuilder<V> {
        self.inner.events_max(events).into()
    }

    /// The store goes with the last session that opened it.
    pub fn ephemeral(self) -> KvBuilder<V> {
        self.inner.ephemeral().into()
    }

    /// See [`Builder::open_or_create`].
    pub fn open_or_create(self) -> Result<Kv<V>> {
        Ok(block_on(self.inner.open_or_create())?.into())
    }

    /// See [`Builder::create`].
    pub fn create(self) -> Result<Kv<V>> {
        Ok(block_on(self.inner.create())?.into())
    }

    /// See [`Builder::open`].
    pub fn open(self) -> Result<Kv<V>> {
        Ok(block_on(self.inner.open())?.into())
    }
}

/// A map from text keys to values: [`bursar::Kv`](crate::Kv) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::{Kv, Manager};
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let kv: Kv<String> = manager.kv("settings").open_or_create()?;
/// kv.put("color", "red".to_owned())?;
/// assert_eq!(kv.pop("color")?.as_deref(), Some("red"));
/// # Ok::<(), bursar::Error>(())
/// ```
pub struct Kv<V = Raw> {
    inner: crate::Kv<V>,
}

impl<V> Clone for Kv<V> {
    fn clone(&self) -> Kv<V> {
        Kv { inner: self.inner.clone() }
    }
}

impl<V> fmt::Debug for Kv<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl<V> From<crate::Kv<V>> for Kv<V> {
    fn from(inner: crate::Kv<V>) -> Kv<V> {
        Kv { inner }
    }
}

impl<V> Kv<V> {
    /// The name.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Tells this object from earlier and later ones of the same name.
    pub fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    /// Whether the opening of this handle created the object.
    pub fn was_created(&self) -> bool {
        self.inner.was_created()
    }

    /// The session through which it was opened.
    pub fn manager(&self) -> Manager {
        self.inner.manager().clone().into()
    }

    /// The async side of the same handle.
    pub fn as_async(&self) -> &crate::Kv<V> {
        &self.inner
    }

    /// The same store under a fence. See [`bursar::Kv::fenced`](crate::Kv::fenced).
    pub fn fenced(&self, fence: &Fence) -> Kv<V> {
        self.inner.fenced(fence).into()
    }
}

impl<V: Payload> Kv<V> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Result<Option<V>> {
        block_on(self.inner.get(key))
    }

    /// A key with its value, revisions and ttl.
    pub fn entry(&self, key: &str) -> Result<Option<Entry<V>>> {
        block_on(self.inner.entry(key))
    }

    /// Sets a key and gives the revision. See [`bursar::Kv::put`](crate::Kv::put).
    pub fn put(&self, key: &str, value: impl Borrow<V>) -> Result<u64> {
        block_on(self.inner.put(key, value))
    }

    /// As [`Kv::put`], with options. Fault: `RevisionMismatch`.
    pub fn put_with(&self, key: &str, value: impl Borrow<V>, options: &PutOptions) -> Result<u64> {
        block_on(self.inner.put_with(key, value, options))
    }

    /// Sets a key if its `modify_revision` is still this one. Fault: `RevisionMismatch`.
    pub fn put_if(&self, key: &str, value: impl Borrow<V>, revision: u64) -> Result<u64> {
        block_on(self.inner.put_if(key, value, revision))
    }

    /// Sets a key if there is none. Fault: `RevisionMismatch`.
    pub fn put_new(&self, key: &str, value: impl Borrow<V>) -> Result<u64> {
        block_on(self.inner.put_new(key, value))
    }

    /// Deletes a key; says whether there was one.
    pub fn delete(&self, key: &str) -> Result<bool> {
        block_on(self.inner.delete(key))
    }

    /// Deletes a key and gives the value it had.
    pub fn pop(&self, key: &str) -> Result<Option<V>> {
        block_on(self.inner.pop(key))
    }

    /// Sets a key if there is none, in one step, and gives what it holds then.
    pub fn setdefault(&self, key: &str, value: impl Borrow<V>) -> Result<V> {
        block_on(self.inner.setdefault(key, value))
    }

    /// Whether there is such a key.
    pub fn contains(&self, key: &str) -> Result<bool> {
        block_on(self.inner.contains(key))
    }

    /// How many keys there are.
    pub fn len(&self) -> Result<u64> {
        block_on(self.inner.len())
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> Result<bool> {
        block_on(self.inner.is_empty())
    }

    /// All keys, in byte order.
    pub fn keys(&self) -> Result<Vec<String>> {
        block_on(self.inner.keys())
    }

    /// All keys with their values, in byte order of the keys.
    pub fn items(&self) -> Result<Vec<(String, V)>> {
        block_on(self.inner.items())
    }

    /// All entries whose keys begin with `prefix`, in byte order of the keys.
    pub fn scan(&self, prefix: &str) -> Result<Vec<Entry<V>>> {
        block_on(self.inner.scan(prefix))
    }

    /// Deletes every key, in one step. Gives their number.
    pub fn clear(&self) -> Result<u64> {
        block_on(self.inner.clear())
    }

    /// Adds to an integer, in one step, and gives the sum. Faults: `NotAnInteger`, `Overflow`.
    pub fn incr(&self, key: &str, by: i64) -> Result<i64> {
        block_on(self.inner.incr(key, by))
    }

    /// Changes a key by what it is. See [`bursar::Kv::update`](crate::Kv::update).
    pub fn update(&self, key: &str, change: impl FnMut(Option<V>) -> Option<V>) -> Result<Option<V>> {
        block_on(self.inner.update(key, change))
    }

    /// The key goes after this time. Says whether there is such a key.
    pub fn expire(&self, key: &str, ttl: Duration) -> Result<bool> {
        block_on(self.inner.expire(key, ttl))
    }

    /// The key has no ttl any more. Says whether there is such a key.
    pub fn persist(&self, key: &str) -> Result<bool> {
        block_on(self.inner.persist(key))
    }

    /// Starts the key's ttl afresh. Says whether there is such a key.
    pub fn touch(&self, key: &str) -> Result<bool> {
        block_on(self.inner.touch(key))
    }

    /// Follows the keys that begin with `prefix`. See [`bursar::Kv::watch`](crate::Kv::watch).
    pub fn watch(&self, prefix: &str, since: Since) -> Result<Watch<V>> {
        Ok(Watch { inner: block_on(self.inner.watch(prefix, since))?, over: false })
    }

    /// Follows one key. See [`bursar::Kv::watch_key`](crate::Kv::watch_key).
    pub fn watch_key(&self, key: &str, since: Since) -> Result<Watch<V>> {
        Ok(Watch { inner: block_on(self.inner.watch_key(key, since))?, over: false })
    }
}

/// Follows the keys of a store: [`kv::Watch`](crate::kv::Watch) for threads. As an iterator it ends behind the first error, except
/// that of a value which is not a `V`.
#[derive(Debug)]
pub struct Watch<V> {
    inner: crate::kv::Watch<V>,
    over: bool,
}

impl<V: Payload> Iterator for Watch<V> {
    type Item = Result<WatchEvent<V>>;

    /// Waits for the next event.
    fn next(&mut self) -> Option<Result<WatchEvent<V>>> {
        if self.over {
            return None;
        }
        let next = block_on(self.inner.next());
        self.over = super::is_final(&next);
        Some(next)
    }
}
