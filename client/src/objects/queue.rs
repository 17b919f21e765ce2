//! The joinable queue: its items stay the broker's until they are done.
//!
//! ```text
//!   put ──► ready ──get──► leased ──done──► gone
//!             ▲               │
//!             └── retry, release, lease dropped, worker dead ──┘    (too often: parked)
//! ```

mod builder;
mod cancel;
mod info;
mod lease;
mod work;

pub use builder::Builder;
pub use cancel::{Cancel, Cancelled, Outcome, Then};
pub use info::{Event, Parked, Seen, Stats};
pub use lease::Lease;
pub(crate) use work::{next, text};

use super::{Handle, chunk::Chunk, reference::travels, to_ms};
use crate::{Error, Fence, Manager, Payload, Raw, Result, Wait};
use bursar_proto::{Fault, limits, v1::queue as wire};
use std::{borrow::Borrow, collections::BTreeMap, fmt, marker::PhantomData, time::Duration};

const PUT: &str = "queue.put";

/// A joinable queue of items of one type, shared by every process that opens its name.
///
/// [`get`](Queue::get) gives a [`Lease`]: the item stays with the broker until the lease is [`done`](Lease::done). When the lease is
/// dropped, or its process dies in whatever way, the item goes back and somebody else gets it; nothing is lost, and
/// [`join`](Queue::join) waits for it all the same. Order is first in, first out within one priority.
///
/// Handles are cheap to clone. After the object was deleted, calls fail with the fault `Gone`, also when its name was created anew.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Manager, Queue, Wait};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let queue: Queue<String> = manager.queue("jobs").open_or_create().await?;
/// queue.put_many(["a", "b"].map(String::from)).await?;
///
/// let lease = queue.get().await?;
/// assert_eq!((lease.as_str(), lease.attempt()), ("a", 1));
/// lease.release().await?;
/// assert_eq!(*queue.get().await?, "a", "the lease was given back: the item comes again");
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct Queue<T = Raw> {
    handle: Handle,
    items: PhantomData<fn(T) -> T>,
}

travels!(Queue<T>, "queue", |handle| Queue { handle, items: PhantomData });

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue { handle: self.handle.clone(), items: PhantomData }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Queue").field("name", &self.name()).field("epoch", &self.epoch()).finish()
    }
}

/// What goes with an item.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::{Fault, Queue, Wait, queue::PutOptions};
///
/// let queue: Queue<u32> = manager.queue("jobs").create().await?;
/// let once = PutOptions { unique_key: "page 7".into(), ..PutOptions::default() };
/// let id = queue.put_with(7, &once, Wait::Forever).await?;
/// let error = queue.put_with(7, &once, Wait::Forever).await.unwrap_err();
/// assert_eq!(error.fault(), Some(&Fault::Duplicate { id }));
///
/// queue.put_with(1, &PutOptions { priority: 9, ..PutOptions::default() }, Wait::Forever).await?;
/// assert_eq!(*queue.get().await?, 1, "the larger priority comes first");
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// Larger ones come first.
    pub priority: u8,
    /// Not before this has passed.
    pub delay: Duration,
    /// The item expires if nobody fetched it for this long; zero: never.
    pub ttl: Duration,
    /// At most one item of this key is queued or leased (or remembered, see [`Builder::unique_window`]); empty: no such rule. At
    /// most 256 bytes.
    pub unique_key: bytes::Bytes,
    /// What happens when there is one already.
    pub on_duplicate: OnDuplicate,
    /// Text beside the payload, for whoever fetches the item; at most 16, and 4 KiB in all.
    pub headers: BTreeMap<String, String>,
}

/// What happens to an item whose unique key is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// The new one is refused with the fault `Duplicate`.
    #[default]
    Reject,
    /// A queued one gets the new payload and keeps its place; is it fetched already, the new one is refused.
    Replace,
    /// Nothing is added, and the call gives the id of the old one.
    Merge,
}

impl PutOptions {
    fn item(&self, raw: Raw) -> wire::Item {
        let PutOptions { priority, delay, ttl, unique_key, on_duplicate, headers } = self;
        wire::Item {
            data: raw.data,
            codec: raw.codec,
            priority: u32::from(*priority),
            delay_ms: to_ms(*delay),
            ttl_ms: to_ms(*ttl),
            unique_key: unique_key.clone(),
            on_duplicate: match on_duplicate {
                OnDuplicate::Reject => wire::OnDuplicate::Reject,
                OnDuplicate::Replace => wire::OnDuplicate::Replace,
                OnDuplicate::Merge => wire::OnDuplicate::Merge,
            }
            .into(),
            headers: headers.clone().into_iter().collect(),
        }
    }
}

impl<T> Queue<T> {
    /// The name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Tells this object from earlier and later ones of the same name.
    pub fn epoch(&self) -> u64 {
        self.handle.epoch()
    }

    /// Whether the opening of this handle created the object.
    pub fn was_created(&self) -> bool {
        self.handle.created()
    }

    /// The session through which it was opened.
    pub fn manager(&self) -> &Manager {
        self.handle.manager()
    }

    /// The same queue under a fence: every put, settlement and [`Queue::park`] through the handle that this gives, and every
    /// settlement of a lease that was got through it, happens only while the lock is held under the fence's token, which the broker
    /// checks in the same step. Getting and looking is not checked, nor are the verbs of operators (close, pause, purge, unpark, ...).
    ///
    /// The fault is `StaleToken`: stop, because somebody else may hold the lock and be at work. A lease that meets it, or is dropped,
    /// goes back as failed, which needs no fence.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::{Fault, Lock, Queue};
    ///
    /// let lock: Lock = manager.lock("leader").create().await?;
    /// let jobs: Queue<u32> = manager.queue("jobs").create().await?;
    /// let guard = lock.acquire().await?;
    /// let mine = jobs.fenced(&guard.fence());
    /// mine.put(7).await?;
    /// let lease = mine.get().await?;
    /// guard.release().await?;
    /// let error = lease.done().await.unwrap_err();
    /// assert!(matches!(error.fault(), Some(Fault::StaleToken { .. })), "{error}");
    /// assert_eq!(jobs.unfinished().await?, 1);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn fenced(&self, fence: &Fence) -> Queue<T> {
        Queue { handle: self.handle.fenced(fence), items: PhantomData }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl<T: Payload> Queue<T> {
    /// Puts an item and gives its id; waits while the queue is full.
    ///
    /// Once this returns, the item is kept as safely as the broker keeps anything (`survives` in [`Manager::status`]). Takes the item
    /// or a reference to it. Faults: `Closed`, `TooLarge`.
    pub async fn put(&self, item: impl Borrow<T>) -> Result<u64> {
        self.put_with(item, &PutOptions::default(), Wait::Forever).await
    }

    /// As [`Queue::put`], with a bound for the wait. Fault: `Full`, when there was no room in time.
    pub async fn put_within(&self, item: impl Borrow<T>, wait: impl Into<Wait>) -> Result<u64> {
        self.put_with(item, &PutOptions::default(), wait).await
    }

    /// As [`Queue::put_within`], with options. Fault: `Duplicate { id }`, when the unique key is taken.
    pub async fn put_with(&self, item: impl Borrow<T>, options: &PutOptions, wait: impl Into<Wait>) -> Result<u64> {
        let item = self.item(item.borrow(), options)?;
        let wait_ms = wait.into().to_ms();
        let request = wire::PutRequest { fence: self.handle.fence(), object: self.handle.object(), wait_ms, items: vec![item] };
        let wire::PutReply { ids, duplicates } = self.handle.call(request).await?;
        match ids[..] {
            [id] if duplicates.is_empty() => Ok(id),
            [id] => Err(Error::refused(Fault::Duplicate { id }, PUT, self.name())),
            _ => Err(Error::protocol(format!("{PUT}: {} ids for one item", ids.len()))),
        }
    }

    /// Puts many items, in order and with few round trips; waits while the queue is full. Gives their ids.
    ///
    /// It is not one step: others see the first items before the last ones are put, and after an error or when the future is dropped,
    /// some may have been put.
    pub async fn put_many<I: Borrow<T>>(&self, items: impl IntoIterator<Item = I>) -> Result<Vec<u64>> {
        self.put_many_with(items, &PutOptions::default()).await
    }

    /// As [`Queue::put_many`], with the same options for each. For an item that was refused as a duplicate, its place in the list has
    /// the id of the existing one.
    pub async fn put_many_with<I: Borrow<T>>(
        &self,
        items: impl IntoIterator<Item = I>,
        options: &PutOptions,
    ) -> Result<Vec<u64>> {
        let mut encoded = items.into_iter().map(|item| self.item(item.borrow(), options));
        let (mut ids, mut next) = (Vec::new(), None);
        loop {
            let chunk = Chunk::fill(&mut next, &mut encoded)?;
            if chunk.is_empty() {
                return Ok(ids);
            }
            self.put_chunk(chunk, &mut ids).await?;
        }
    }

    pub(super) fn item(&self, item: &T, options: &PutOptions) -> Result<wire::Item> {
        Ok(options.item(self.handle.encode(item, PUT)?))
    }

    /// A bounded queue takes as many as fit; the rest is sent again and waits.
    async fn put_chunk(&self, mut items: Vec<wire::Item>, ids: &mut Vec<u64>) -> Result<()> {
        while !items.is_empty() {
            let request = wire::PutRequest {
                fence: self.handle.fence(),
                object: self.handle.object(),
                wait_ms: Wait::Forever.to_ms(),
                items: items.clone(),
            };
            let wire::PutReply { ids: taken, duplicates: _ } = self.handle.call(request).await?;
            if taken.is_empty() || taken.len() > items.len() {
                return Err(Error::protocol(format!("{PUT}: {} ids for {} items", taken.len(), items.len())));
            }
            items.drain(..taken.len());
            ids.extend(taken);
        }
        Ok(())
    }

    /// Waits for an item and leases it to this session. Waiters are served in the order in which they came; dropping the future
    /// leaves no item behind.
    ///
    /// Faults: `Closed`, when the queue is closed and drained. [`Error::Codec`], when the item is not a `T`: it goes back as failed,
    /// so that it is parked in the end and stops nobody for ever.
    pub async fn get(&self) -> Result<Lease<T>> {
        self.get_within(Wait::Forever).await
    }

    /// As [`Queue::get`], with a bound for the wait. Fault: `Empty`, when there was nothing in time.
    pub async fn get_within(&self, wait: impl Into<Wait>) -> Result<Lease<T>> {
        let mut leases = self.get_many(1, wait).await?;
        leases.pop().ok_or_else(|| Error::protocol("queue.get: no item in the reply"))
    }

    /// What is there now, or the fault `Empty`.
    pub async fn try_get(&self) -> Result<Lease<T>> {
        self.get_within(Wait::Never).await
    }

    /// Leases up to `max` items (at most 10,000, and about 1 MiB): as many as are there, and waits only for the first. Items that are
    /// not a `T` go back as failed; they are an error only if no other came.
    pub async fn get_many(&self, max: usize, wait: impl Into<Wait>) -> Result<Vec<Lease<T>>> {
        let max = max.clamp(1, limits::BATCH_MAX) as u32;
        let wait_ms = wait.into().to_ms();
        let request = wire::GetRequest { object: self.handle.object(), wait_ms, max, buffered: false };
        let wire::GetReply { items } = self.handle.call(request).await?;
        let (mut leases, mut problem) = (Vec::with_capacity(items.len()), None);
        for item in items {
            match Lease::new(&self.handle, item) {
                Ok(lease) => leases.push(lease),
                Err(error) => {
                    tracing::warn!(%error, "an item goes back");
                    problem = Some(error);
                }
            }
        }
        match problem {
            Some(error) if leases.is_empty() => Err(error),
            _ => Ok(leases),
        }
    }

    /// Waits for an item and settles it at once: what Python's plain `Queue.get` does. The item is the broker's until its receipt
    /// was confirmed, so it is not lost on the way; after that a crash of this program loses it.
    pub async fn take(&self) -> Result<T> {
        self.take_within(Wait::Forever).await
    }

    /// As [`Queue::take`], with a bound for the wait. Fault: `Empty`.
    pub async fn take_within(&self, wait: impl Into<Wait>) -> Result<T> {
        let lease = self.get_within(wait).await?;
        lease.settle_as_done().await?;
        Ok(lease.into_inner())
    }

    /// Settles many leases of this queue with one round trip for each 10,000: what [`Lease::done`] does, for all of them.
    ///
    /// Fault: `NotHeld`, with the first lease that went back meanwhile; all that were still held are done all the same. After any
    /// other error some may be done, and the rest goes back. Fault: `BadArgument`, when one is a lease of another queue or session, or
    /// was got under a fence that this handle is not under; then none is done, and all go back as failed.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let queue: bursar::Queue<u32> = manager.queue("numbers").create().await?;
    /// queue.put_many(0..100).await?;
    /// let leases = queue.get_many(100, bursar::Wait::Never).await?;
    /// assert_eq!(leases.iter().map(|lease| **lease).sum::<u32>(), 4950);
    /// queue.done_many(leases).await?;
    /// queue.join().await?;
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn done_many<U>(&self, leases: impl IntoIterator<Item = Lease<U>>) -> Result<()> {
        lease::settle_as_done(&self.handle, leases.into_iter().map(Lease::into_held).collect()).await
    }

    /// Settles this session's oldest lease on this queue, as Python's argument-less `task_done` does; for items whose lease was taken
    /// apart by [`Lease::into_inner`]. Fault: `TooManyDone`, when the session holds none (`ValueError` in Python).
    pub async fn task_done(&self) -> Result<()> {
        let request =
            wire::DoneRequest { fence: self.handle.fence(), object: self.handle.object(), leases: Vec::new(), oldest: 1 };
        let wire::DoneReply { not_held: _ } = self.handle.call(request).await?;
        Ok(())
    }

    /// Waits until everything that was put is done (or parked, or expired), whoever does it and whatever dies meanwhile.
    pub async fn join(&self) -> Result<()> {
        self.join_within(Wait::Forever).await
    }

    /// As [`Queue::join`], with a bound for the wait. Fault: `TimedOut`.
    pub async fn join_within(&self, wait: impl Into<Wait>) -> Result<()> {
        let request = wire::JoinRequest { object: self.handle.object(), wait_ms: wait.into().to_ms() };
        let wire::JoinReply {} = self.handle.call(request).await?;
        Ok(())
    }

    /// No more puts: they fail with `Closed`. Getters drain what is there and then see `Closed`, so no sentinel items are needed.
    pub async fn close(&self) -> Result<()> {
        self.shutdown(false).await.map(drop)
    }

    /// As [`Queue::close`]; `immediate` drops what is queued and refuses getters at once, as Python's `shutdown(immediate=True)`
    /// does. Gives the number of dropped items.
    pub async fn shutdown(&self, immediate: bool) -> Result<u64> {
        let wire::CloseReply { dropped } =
            self.handle.call(wire::CloseRequest { object: self.handle.object(), immediate }).await?;
        Ok(dropped)
    }

    /// Hands out nothing until [`Queue::resume`]; puts and settlements go on.
    pub async fn pause(&self) -> Result<()> {
        self.set_paused(true).await
    }

    /// Hands out items again.
    pub async fn resume(&self) -> Result<()> {
        self.set_paused(false).await
    }

    async fn set_paused(&self, paused: bool) -> Result<()> {
        let request = wire::PauseRequest { object: self.handle.object(), resume: !paused };
        let wire::PauseReply {} = self.handle.call(request).await?;
        Ok(())
    }
}
