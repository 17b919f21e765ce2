//! Callbacks for changes of a store, for threads.

use super::{Kv, Namespace, Value, block_on};
use crate::{
    Error, Outcome, Payload, Result,
    kv::{self, Keys, WatchEvent},
};
use std::sync::Arc;

/// A callback that is being called, in a thread that this owns: [`kv::OnChange`] for threads. Dropping it ends that.
#[must_use = "a dropped subscription hears nothing"]
#[derive(Debug)]
pub struct OnChange {
    inner: kv::OnChange,
}

impl From<kv::OnChange> for OnChange {
    fn from(inner: kv::OnChange) -> OnChange {
        OnChange { inner }
    }
}

impl OnChange {
    /// How many events were not handled. See [`kv::OnChange::failures`].
    pub fn failures(&self) -> u64 {
        self.inner.failures()
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.inner.is_over()
    }

    /// Why it ended by itself. See [`kv::OnChange::error`].
    pub fn error(&self) -> Option<Arc<Error>> {
        self.inner.error()
    }

    /// Waits until it has ended by itself, and gives the error.
    pub fn ended(&self) -> Option<Arc<Error>> {
        block_on(self.inner.ended())
    }

    /// Ends it, and waits for the call that is under way. See [`kv::OnChange::close`].
    pub fn close(self) -> Option<Arc<Error>> {
        block_on(self.inner.close())
    }
}

impl<V: Payload + 'static> Kv<V> {
    /// Calls a function for each change of a key, or of all keys under a prefix, in a thread of its own, until the [`OnChange`] is
    /// dropped. See [`bursar::Kv::on_change`](crate::Kv::on_change).
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # let manager = bursar::blocking::Manager::connect(broker.address(), broker.authkey())?;
    /// use bursar::{blocking::Kv, kv::{Keys, WatchEvent}};
    ///
    /// let shared: Kv<u32> = manager.kv("shared").create()?;
    /// let (sender, heard) = std::sync::mpsc::sync_channel(8);
    /// let subscription = shared.on_change(Keys::all(), move |change: &WatchEvent<u32>| sender.send(change.clone()))?;
    /// let revision = shared.put("k", 7)?;
    /// assert_eq!(heard.recv().unwrap(), WatchEvent::Put { key: "k".into(), value: 7, revision });
    /// assert!(subscription.close().is_none());
    /// # Ok::<(), bursar::Error>(())
    /// ```
    pub fn on_change<R: Outcome + 'static>(
        &self,
        keys: impl Into<Keys>,
        callback: impl FnMut(&WatchEvent<V>) -> R + Send + 'static,
    ) -> Result<OnChange> {
        Ok(block_on(self.as_async().on_change(keys, callback))?.into())
    }
}

impl<T: Payload + 'static> Value<T> {
    /// Calls a function for each change of the value. See [`bursar::Kv::on_change`](crate::Kv::on_change).
    pub fn on_change<R: Outcome + 'static>(
        &self,
        callback: impl FnMut(&WatchEvent<T>) -> R + Send + 'static,
    ) -> Result<OnChange> {
        self.kv().on_change(Keys::one(self.key()), callback)
    }
}

impl Namespace {
    /// Calls a function for each change of a name, or of all names under a prefix. See
    /// [`bursar::Namespace::on_change`](crate::Namespace::on_change).
    pub fn on_change<T: Payload + 'static, R: Outcome + 'static>(
        &self,
        names: impl Into<Keys>,
        callback: impl FnMut(&WatchEvent<T>) -> R + Send + 'static,
    ) -> Result<OnChange> {
        Ok(block_on(self.as_async().on_change(names, callback))?.into())
    }
}
