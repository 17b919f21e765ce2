//! Callbacks: a function that is called for each change of a key, or of all keys under a prefix.
//!
//! What a callback hears is what a [`Watch`](super::Watch) tells, one event at a time and in order, the resets included.

use super::{
    super::{Handle, message::Outcome, queue::text},
    Kv, Since, Watch, WatchEvent,
    follower::{Follower, Listener},
    watch::Told,
};
use crate::{Error, Payload, Result};
use futures_util::FutureExt;
use std::{
    marker::PhantomData,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Which keys a callback hears of, and from when on: one key, where text stands for this; or all under a prefix.
///
/// ```
/// use bursar::kv::{Keys, Since};
/// let one: Keys = "color".into();
/// assert_eq!(one, Keys::one("color").since(Since::Now));
/// let (some, all) = (Keys::under("color/"), Keys::all().since(Since::Start));
/// # _ = (some, all);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    text: String,
    is_one: bool,
    since: Since,
}

impl Keys {
    /// One key. See [`Kv::watch_key`].
    pub fn one(key: impl Into<String>) -> Keys {
        Keys { text: key.into(), is_one: true, since: Since::Now }
    }

    /// The keys that begin with `prefix`.
    pub fn under(prefix: impl Into<String>) -> Keys {
        Keys { text: prefix.into(), is_one: false, since: Since::Now }
    }

    /// Every key.
    pub fn all() -> Keys {
        Keys::under("")
    }

    /// From when on; by default from now.
    pub fn since(self, since: Since) -> Keys {
        Keys { since, ..self }
    }
}

impl From<&str> for Keys {
    fn from(key: &str) -> Keys {
        Keys::one(key)
    }
}

impl From<String> for Keys {
    fn from(key: String) -> Keys {
        Keys::one(key)
    }
}

/// A callback that is being called. Dropping it ends that: no call begins any more, and one that is under way is finished.
///
/// It keeps the session alive, as every handle does, and survives lost connections with it: nothing is missed meanwhile. It ends by
/// itself, and keeps the [`error`](OnChange::error), when the store is deleted or the session lost.
#[must_use = "a dropped subscription hears nothing"]
#[derive(Debug)]
pub struct OnChange {
    follower: Follower,
    failures: Arc<AtomicU64>,
}

impl OnChange {
    /// How many events were not handled: the callback panicked or gave an error, or the value was not a `V`. Each is reported by a
    /// `tracing` event of level warn, and the subscription goes on behind it.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.follower.is_over()
    }

    /// Why it ended by itself: the fault `Gone`, when the store was deleted; [`Error::Lost`], with the session.
    pub fn error(&self) -> Option<Arc<Error>> {
        self.follower.error()
    }

    /// Waits until it has ended by itself, and gives the error.
    pub async fn ended(&self) -> Option<Arc<Error>> {
        self.follower.ended().await
    }

    /// Ends it, and waits for the call that is under way: after this the callback, and all that it holds, is gone. Gives the error if
    /// it had ended by itself. A callback that waits for its own end waits for ever.
    pub async fn close(self) -> Option<Arc<Error>> {
        self.follower.close().await
    }
}

impl<V: Payload + 'static> Kv<V> {
    /// Calls a function for each change of a key (where text stands for [`Keys`]), or of all keys under a prefix, that happens after
    /// this has returned; until the [`OnChange`] is dropped.
    ///
    /// The calls come one at a time, in the order of the changes and without a gap, from a thread of the subscription's own: the
    /// function may block, and what happens meanwhile waits at the broker. It may give nothing, or a `Result`; its errors and panics,
    /// and values that are not a `V`, are reported and [counted](OnChange::failures), and end nothing.
    ///
    /// When it is more than the store's `events_max` changes behind, it hears [`WatchEvent::Reset`], then the keys as they are, as
    /// puts, then [`WatchEvent::Synced`]: whoever keeps what he hears forgets it at the reset, and has the store's state again at
    /// `Synced`. With [`Since::Start`] it begins so. Keys that were deleted in between are told by their absence only.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::kv::{Keys, WatchEvent};
    ///
    /// let shared: bursar::Kv<u32> = manager.kv("shared").create().await?;
    /// let (sender, mut heard) = tokio::sync::mpsc::channel(8);
    /// let subscription = shared.on_change("k", move |change: &WatchEvent<u32>| sender.blocking_send(change.clone())).await?;
    /// let revision = shared.put("k", 7).await?;
    /// assert_eq!(heard.recv().await, Some(WatchEvent::Put { key: "k".into(), value: 7, revision }));
    /// drop(subscription);
    ///
    /// let all = shared.on_change(Keys::under("config/"), |change| println!("{change:?}")).await?;
    /// # drop(all);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn on_change<R: Outcome + 'static>(
        &self,
        keys: impl Into<Keys>,
        mut callback: impl FnMut(&WatchEvent<V>) -> R + Send + 'static,
    ) -> Result<OnChange> {
        self.on_change_async(keys, async move |event: &WatchEvent<V>| callback(event)).await
    }

    /// As [`Kv::on_change`], with an async function. Its future runs in the subscription's thread and need not be `Send`; inside of
    /// the tokio runtime that this was called in, if it was, so that it can use its timers and sockets. The next call comes when it is
    /// done.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::kv::WatchEvent;
    ///
    /// let shared: bursar::Kv<u32> = manager.kv("shared").create().await?;
    /// let doubled: bursar::Kv<u32> = manager.kv("doubled").create().await?;
    /// let copy = doubled.clone();
    /// let subscription = shared.on_change_async("k", async move |change: &WatchEvent<u32>| match change {
    ///     WatchEvent::Put { key, value, .. } => copy.put(key, 2 * value).await.map(drop),
    ///     _ => Ok(()),
    /// });
    /// let subscription = subscription.await?;
    /// let mut watch = doubled.watch("", bursar::kv::Since::Now).await?;
    /// shared.put("k", 7).await?;
    /// assert!(matches!(watch.next().await?, WatchEvent::Put { value: 14, .. }));
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn on_change_async<R: Outcome + 'static>(
        &self,
        keys: impl Into<Keys>,
        callback: impl AsyncFnMut(&WatchEvent<V>) -> R + Send + 'static,
    ) -> Result<OnChange> {
        let Keys { text, is_one, since } = keys.into();
        let watch = Watch::new(self.clone(), &text, is_one, self.after(since).await?);
        let failures = Arc::<AtomicU64>::default();
        let (handle, values) = (self.handle.clone(), PhantomData);
        let follower = Follower::start(watch, Caller { handle, callback, failures: failures.clone(), values })?;
        Ok(OnChange { follower, failures })
    }
}

/// Calls a callback.
struct Caller<V, R, F> {
    handle: Handle,
    callback: F,
    failures: Arc<AtomicU64>,
    values: PhantomData<fn(V) -> R>,
}

impl<V, R, F> Caller<V, R, F>
where
    V: Payload + 'static,
    R: Outcome + 'static,
    F: AsyncFnMut(&WatchEvent<V>) -> R + Send + 'static,
{
    async fn call(&mut self, told: Told) -> Result<(), String> {
        let event = told.read(&self.handle).map_err(|error| error.to_string())?;
        (self.callback)(&event).await.into_result()
    }
}

impl<V, R, F> Listener for Caller<V, R, F>
where
    V: Payload + 'static,
    R: Outcome + 'static,
    F: AsyncFnMut(&WatchEvent<V>) -> R + Send + 'static,
{
    async fn hear(&mut self, told: Told) {
        let what = told.to_string();
        let problem = match AssertUnwindSafe(self.call(told)).catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => format!("panic: {}", text(&*panic)),
        };
        self.failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(object = self.handle.name(), %what, %problem, "a callback has failed");
    }

    fn heard_upto(&mut self, _revision: u64) {}
}
