//! One value: a key of a store, by itself.

use super::{
    kv::{Keys, Kv, OnChange, WatchEvent},
    message::Outcome,
    reference::{Reference, travels},
};
use crate::{Payload, Raw, Result};
use std::{borrow::Borrow, fmt};

/// One key of a [`Kv`], to be handed around: Python's `Value`. Made by [`Kv::value`] or
/// [`Namespace::value`](crate::Namespace::value).
///
/// What it gives is a snapshot; [`update`](Value::update) changes it by what it is.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::{Kv, Value};
///
/// let settings: Kv<u32> = manager.kv("settings").open_or_create().await?;
/// let workers: Value<u32> = settings.value("workers");
/// assert_eq!(workers.get().await?, None);
/// workers.set(4).await?;
/// assert_eq!(workers.update(|workers| Some(workers.unwrap_or(0) * 2)).await?, Some(8));
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct Value<T = Raw> {
    kv: Kv<T>,
    key: String,
}

travels!(Value<T>, "kv", |value| Reference::new("kv", value.kv.handle()).with_part(&value.key), |handle, reference| Ok(Value {
    kv: Kv::of(handle),
    key: reference.part()?
}));

impl<T> Clone for Value<T> {
    fn clone(&self) -> Value<T> {
        Value { kv: self.kv.clone(), key: self.key.clone() }
    }
}

impl<T> fmt::Debug for Value<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Value").field("kv", &self.kv).field("key", &self.key).finish()
    }
}

impl<T> Kv<T> {
    /// One key by itself. Nothing is asked, and the key need not exist.
    pub fn value(&self, key: impl Into<String>) -> Value<T> {
        Value { kv: self.clone(), key: key.into() }
    }
}

impl<T> Value<T> {
    /// The store.
    pub fn kv(&self) -> &Kv<T> {
        &self.kv
    }

    /// The key in it.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl<T: Payload> Value<T> {
    /// The value now; `None`: there is none.
    pub async fn get(&self) -> Result<Option<T>> {
        self.kv.get(&self.key).await
    }

    /// Sets the value. Faults: `TooLarge`; `LimitReached`, when the store is full.
    pub async fn set(&self, value: impl Borrow<T>) -> Result<()> {
        self.kv.put(&self.key, value).await.map(drop)
    }

    /// Changes the value by what it is. The closure is called again when somebody else changed it meanwhile: see [`Kv::update`].
    pub async fn update(&self, change: impl FnMut(Option<T>) -> Option<T>) -> Result<Option<T>> {
        self.kv.update(&self.key, change).await
    }

    /// Deletes the value; says whether there was one.
    pub async fn delete(&self) -> Result<bool> {
        self.kv.delete(&self.key).await
    }
}

impl<T: Payload + 'static> Value<T> {
    /// Calls a function for each change of the value, until the [`OnChange`] is dropped. See [`Kv::on_change`].
    pub async fn on_change<R: Outcome + 'static>(
        &self,
        callback: impl FnMut(&WatchEvent<T>) -> R + Send + 'static,
    ) -> Result<OnChange> {
        self.kv.on_change(Keys::one(&self.key), callback).await
    }
}
