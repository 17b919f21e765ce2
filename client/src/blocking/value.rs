//! One value, for threads.

use super::{Kv, block_on};
use crate::{Payload, Raw, Result};
use std::{borrow::Borrow, fmt};

/// One key of a [`Kv`]: [`bursar::Value`](crate::Value) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # let manager = bursar::blocking::Manager::connect(broker.address(), broker.authkey())?;
/// use bursar::blocking::{Kv, Value};
///
/// let settings: Kv<u32> = manager.kv("settings").open_or_create()?;
/// let workers: Value<u32> = settings.value("workers");
/// workers.set(4)?;
/// assert_eq!(workers.update(|workers| workers.map(|workers| workers + 1))?, Some(5));
/// # Ok::<(), bursar::Error>(())
/// ```
pub struct Value<T = Raw> {
    inner: crate::Value<T>,
}

impl<T> Clone for Value<T> {
    fn clone(&self) -> Value<T> {
        Value { inner: self.inner.clone() }
    }
}

impl<T> fmt::Debug for Value<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl<T> From<crate::Value<T>> for Value<T> {
    fn from(inner: crate::Value<T>) -> Value<T> {
        Value { inner }
    }
}

impl<T> Kv<T> {
    /// One key by itself. Nothing is asked, and the key need not exist.
    pub fn value(&self, key: impl Into<String>) -> Value<T> {
        self.as_async().value(key).into()
    }
}

impl<T> Value<T> {
    /// The async side of the same handle.
    pub fn as_async(&self) -> &crate::Value<T> {
        &self.inner
    }

    /// The store.
    pub fn kv(&self) -> Kv<T> {
        self.inner.kv().clone().into()
    }

    /// The key in it.
    pub fn key(&self) -> &str {
        self.inner.key()
    }
}

impl<T: Payload> Value<T> {
    /// The value now; `None`: there is none.
    pub fn get(&self) -> Result<Option<T>> {
        block_on(self.inner.get())
    }

    /// Sets the value. See [`bursar::Value::set`](crate::Value::set).
    pub fn set(&self, value: impl Borrow<T>) -> Result<()> {
        block_on(self.inner.set(value))
    }

    /// Changes the value by what it is. See [`bursar::Value::update`](crate::Value::update).
    pub fn update(&self, change: impl FnMut(Option<T>) -> Option<T>) -> Result<Option<T>> {
        block_on(self.inner.update(change))
    }

    /// Deletes the value; says whether there was one.
    pub fn delete(&self) -> Result<bool> {
        block_on(self.inner.delete())
    }
}
