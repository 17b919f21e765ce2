//! The queue for threads.

use super::{Manager, block_on};
use crate::{
    Fence, Payload, Raw, Result, Wait,
    objects::queue::next,
    queue::{Builder, Parked, PutOptions, Seen, Stats},
};
use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, SystemTime},
};

/// What a queue is to be, before it is opened: [`queue::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct QueueBuilder<T> {
    inner: Builder<T>,
}

impl<T> From<Builder<T>> for QueueBuilder<T> {
    fn from(inner: Builder<T>) -> QueueBuilder<T> {
        QueueBuilder { inner }
    }
}

impl<T: Payload> QueueBuilder<T> {
    /// See [`Builder::maxsize`].
    pub fn maxsize(self, items: u64) -> QueueBuilder<T> {
        self.inner.maxsize(items).into()
    }

    /// See [`Builder::max_bytes`].
    pub fn max_bytes(self, bytes: u64) -> QueueBuilder<T> {
        self.inner.max_bytes(bytes).into()
    }

    /// See [`Builder::max_failures`].
    pub fn max_failures(self, failures: u32) -> QueueBuilder<T> {
        self.inner.max_failures(failures).into()
    }

    /// See [`Builder::max_crashes`].
    pub fn max_crashes(self, crashes: u32) -> QueueBuilder<T> {
        self.inner.max_crashes(crashes).into()
    }

    /// See [`Builder::retry_delay`].
    pub fn retry_delay(self, delay: Duration) -> QueueBuilder<T> {
        self.inner.retry_delay(delay).into()
    }

    /// See [`Builder::unique_window`].
    pub fn unique_window(self, window: Duration) -> QueueBuilder<T> {
        self.inner.unique_window(window).into()
    }

    /// The queue goes with the last session that opened it.
    pub fn ephemeral(self) -> QueueBuilder<T> {
        self.inner.ephemeral().into()
    }

    /// See [`Builder::open_or_create`].
    pub fn open_or_create(self) -> Result<Queue<T>> {
        Ok(block_on(self.inner.open_or_create())?.into())
    }

    /// See [`Builder::create`].
    pub fn create(self) -> Result<Queue<T>> {
        Ok(block_on(self.inner.create())?.into())
    }

    /// See [`Builder::open`].
    pub fn open(self) -> Result<Queue<T>> {
        Ok(block_on(self.inner.open())?.into())
    }
}

/// A joinable queue: [`bursar::Queue`](crate::Queue) for threads.
pub struct Queue<T = Raw> {
    inner: crate::Queue<T>,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue { inner: self.inner.clone() }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl<T> From<crate::Queue<T>> for Queue<T> {
    fn from(inner: crate::Queue<T>) -> Queue<T> {
        Queue { inner }
    }
}

impl<T> Queue<T> {
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
    pub fn as_async(&self) -> &crate::Queue<T> {
        &self.inner
    }

    /// The same queue under a fence. See [`bursar::Queue::fenced`](crate::Queue::fenced).
    pub fn fenced(&self, fence: &Fence) -> Queue<T> {
        self.inner.fenced(fence).into()
    }
}

impl<T: Payload> Queue<T> {
    /// Puts an item and gives its id; waits while the queue is full. See [`bursar::Queue::put`](crate::Queue::put).
    pub fn put(&self, item: impl Borrow<T>) -> Result<u64> {
        block_on(self.inner.put(item))
    }

    /// As [`Queue::put`], with a bound for the wait. Fault: `Full`.
    pub fn put_within(&self, item: impl Borrow<T>, wait: impl Into<Wait>) -> Result<u64> {
        block_on(self.inner.put_within(item, wait))
    }

    /// As [`Queue::put_within`], with options. Fault: `Duplicate`.
    pub fn put_with(&self, item: impl Borrow<T>, options: &PutOptions, wait: impl Into<Wait>) -> Result<u64> {
        block_on(self.inner.put_with(item, options, wait))
    }

    /// Puts many items, in order and with few round trips. See [`bursar::Queue::put_many`](crate::Queue::put_many).
    pub fn put_many<I: Borrow<T>>(&self, items: impl IntoIterator<Item = I>) -> Result<Vec<u64>> {
        block_on(self.inner.put_many(items))
    }

    /// As [`Queue::put_many`], with the same options for each.
    pub fn put_many_with<I: Borrow<T>>(&self, items: impl IntoIterator<Item = I>, options: &PutOptions) -> Result<Vec<u64>> {
        block_on(self.inner.put_many_with(items, options))
    }

    /// Waits for an item and leases it. See [`bursar::Queue::get`](crate::Queue::get).
    pub fn get(&self) -> Result<Lease<T>> {
        Ok(block_on(self.inner.get())?.into())
    }

    /// As [`Queue::get`], with a bound for the wait. Fault: `Empty`.
    pub fn get_within(&self, wait: impl Into<Wait>) -> Result<Lease<T>> {
        Ok(block_on(self.inner.get_within(wait))?.into())
    }

    /// What is there now, or the fault `Empty`.
    pub fn try_get(&self) -> Result<Lease<T>> {
        Ok(block_on(self.inner.try_get())?.into())
    }

    /// Leases up to `max` items; waits only for the first. See [`bursar::Queue::get_many`](crate::Queue::get_many).
    pub fn get_many(&self, max: usize, wait: impl Into<Wait>) -> Result<Vec<Lease<T>>> {
        Ok(block_on(self.inner.get_many(max, wait))?.into_iter().map(Lease::from).collect())
    }

    /// Waits for an item and settles it at once. See [`bursar::Queue::take`](crate::Queue::take).
    pub fn take(&self) -> Result<T> {
        block_on(self.inner.take())
    }

    /// As [`Queue::take`], with a bound for the wait. Fault: `Empty`.
    pub fn take_within(&self, wait: impl Into<Wait>) -> Result<T> {
        block_on(self.inner.take_within(wait))
    }

    /// Settles many leases with one round trip for each 10,000. See [`bursar::Queue::done_many`](crate::Queue::done_many).
    pub fn done_many<U>(&self, leases: impl IntoIterator<Item = Lease<U>>) -> Result<()> {
        block_on(self.inner.done_many(leases.into_iter().map(|lease| lease.inner)))
    }

    /// Settles this session's oldest lease. See [`bursar::Queue::task_done`](crate::Queue::task_done).
    pub fn task_done(&self) -> Result<()> {
        block_on(self.inner.task_done())
    }

    /// Waits until everything that was put is done. See [`bursar::Queue::join`](crate::Queue::join).
    pub fn join(&self) -> Result<()> {
        block_on(self.inner.join())
    }

    /// As [`Queue::join`], with a bound for the wait. Fault: `TimedOut`.
    pub fn join_within(&self, wait: impl Into<Wait>) -> Result<()> {
        block_on(self.inner.join_within(wait))
    }

    /// No more puts; getters drain the queue and then see `Closed`.
    pub fn close(&self) -> Result<()> {
        block_on(self.inner.close())
    }

    /// See [`bursar::Queue::shutdown`](crate::Queue::shutdown).
    pub fn shutdown(&self, immediate: bool) -> Result<u64> {
        block_on(self.inner.shutdown(immediate))
    }

    /// Hands out nothing until [`Queue::resume`].
    pub fn pause(&self) -> Result<()> {
        block_on(self.inner.pause())
    }

    /// Hands out items again.
    pub fn resume(&self) -> Result<()> {
        block_on(self.inner.resume())
    }

    /// The queue in numbers.
    pub fn stats(&self) -> Result<Stats> {
        block_on(self.inner.stats())
    }

    /// How many items are put and not fetched.
    pub fn qsize(&self) -> Result<u64> {
        block_on(self.inner.qsize())
    }

    /// How many items [`Queue::join`] would wait for.
    pub fn unfinished(&self) -> Result<u64> {
        block_on(self.inner.unfinished())
    }

    /// The next items, without fetching them. See [`bursar::Queue::peek`](crate::Queue::peek).
    pub fn peek(&self, limit: u32) -> Result<Vec<Seen<T>>> {
        block_on(self.inner.peek(limit))
    }

    /// Drops what is ready and delayed. Gives their number.
    pub fn purge(&self) -> Result<u64> {
        block_on(self.inner.purge())
    }

    /// Puts queued items aside by their ids. Gives the ids that were not in the queue.
    pub fn park(&self, ids: &[u64], why: impl Into<String>) -> Result<Vec<u64>> {
        block_on(self.inner.park(ids, why))
    }

    /// Takes an item from whoever works on it. See [`bursar::Queue::cancel`](crate::Queue::cancel); what it gives is sent by
    /// [`block_on`].
    pub fn cancel(&self, id: u64) -> crate::queue::Cancel {
        self.inner.cancel(id)
    }

    /// All items that were put aside.
    pub fn parked(&self) -> Result<Vec<Parked<T>>> {
        block_on(self.inner.parked())
    }

    /// Queues parked items again; with no ids, all. Gives their number.
    pub fn unpark(&self, ids: &[u64]) -> Result<u64> {
        block_on(self.inner.unpark(ids))
    }

    /// Drops parked items for good; with no ids, all. Gives their number.
    pub fn discard(&self, ids: &[u64]) -> Result<u64> {
        block_on(self.inner.discard(ids))
    }

    /// Handles items in `threads` threads until the queue is closed and drained. An item is done when its handler gives `Ok`, and is
    /// retried when it gives an error or panics. See [`bursar::Queue::work`](crate::Queue::work).
    pub fn work<E: fmt::Display>(&self, threads: usize, handler: impl Fn(T) -> Result<(), E> + Sync) -> Result<()> {
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| self.work_in_this_thread(&handler))).collect();
            let mut outcome = self.work_in_this_thread(&handler);
            for other in others {
                outcome = outcome.and(other.join().expect("a worker catches its handler's panics"));
            }
            outcome
        })
    }

    fn work_in_this_thread<E: fmt::Display>(&self, handler: impl Fn(T) -> Result<(), E>) -> Result<()> {
        let mut fetched = block_on(self.inner.get());
        while let Some(outcome) = next(fetched)? {
            let Some(lease) = outcome else {
                fetched = block_on(self.inner.get());
                continue;
            };
            let (item, lease) = lease.into_parts();
            let outcome = catch_unwind(AssertUnwindSafe(|| handler(item)));
            fetched = block_on(self.inner.settle_and_get(lease, Some(outcome)))?;
        }
        Ok(())
    }
}

/// An item that this session holds: [`bursar::Lease`](crate::Lease) for threads. A dropped lease gives its item back as failed.
#[must_use = "a dropped lease gives its item back as failed"]
#[derive(Debug)]
pub struct Lease<T> {
    inner: crate::Lease<T>,
}

impl<T> From<crate::Lease<T>> for Lease<T> {
    fn from(inner: crate::Lease<T>) -> Lease<T> {
        Lease { inner }
    }
}

impl<T> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> Lease<T> {
    /// The async side of the same lease.
    pub fn as_async(&self) -> &crate::Lease<T> {
        &self.inner
    }

    /// Whether the item may be another's by now: the session is lost, or nothing was heard of the broker for too long.
    pub fn is_lost(&self) -> bool {
        self.valid_until() <= std::time::Instant::now()
    }

    /// As [`crate::Lease::is_cancelled`]: whether the item is asked back, for a loop that can stop in between.
    pub fn is_cancelled(&self) -> Result<bool> {
        block_on(self.inner.is_cancelled())
    }

    /// As [`crate::Lease::valid_until`].
    pub fn valid_until(&self) -> std::time::Instant {
        self.inner.valid_until()
    }

    /// The item's id.
    pub fn id(&self) -> u64 {
        self.inner.id()
    }

    /// The lease's number.
    pub fn lease_id(&self) -> u64 {
        self.inner.lease_id()
    }

    /// 1 the first time the item is handed out.
    pub fn attempt(&self) -> u32 {
        self.inner.attempt()
    }

    /// The priority it was put with.
    pub fn priority(&self) -> u8 {
        self.inner.priority()
    }

    /// The headers it was put with.
    pub fn headers(&self) -> &HashMap<String, String> {
        self.inner.headers()
    }

    /// When it was put, by the broker's clock.
    pub fn put_at(&self) -> SystemTime {
        self.inner.put_at()
    }

    /// How often it was given back as failed.
    pub fn failures(&self) -> u32 {
        self.inner.failures()
    }

    /// How often a session ended that held it.
    pub fn crashes(&self) -> u32 {
        self.inner.crashes()
    }

    /// The item is done and gone. Fault: `NotHeld`.
    pub fn done(self) -> Result<()> {
        block_on(self.inner.done())
    }

    /// The item failed and comes again after the queue's delay.
    pub fn retry(self) -> Result<()> {
        block_on(self.inner.retry())
    }

    /// As [`Lease::retry`], after this delay.
    pub fn retry_in(self, delay: Duration) -> Result<()> {
        block_on(self.inner.retry_in(delay))
    }

    /// As [`Lease::retry`], with the reason, after this delay or the queue's own.
    pub fn retry_because(self, why: impl Into<String>, delay: Option<Duration>) -> Result<()> {
        block_on(self.inner.retry_because(why, delay))
    }

    /// Gives the item back unharmed, at the head of the queue.
    pub fn release(self) -> Result<()> {
        block_on(self.inner.release())
    }

    /// Puts the item aside.
    pub fn park(self, why: impl Into<String>) -> Result<()> {
        block_on(self.inner.park(why))
    }

    /// Takes the item out; the session goes on holding the lease. See [`bursar::Lease::into_inner`](crate::Lease::into_inner).
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }

    /// Takes the item out of the lease, which stays as it is.
    pub fn into_parts(self) -> (T, Lease<()>) {
        let (item, lease) = self.inner.into_parts();
        (item, lease.into())
    }
}
