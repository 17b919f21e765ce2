//! Looking at a queue, and what operators do with it.

use super::{Queue, wire};
use crate::{
    Payload, Raw, Result,
    objects::{Handle, to_time},
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

/// A queue in numbers, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the words are those of the queue's states")]
pub struct Stats {
    pub ready: u64,
    pub delayed: u64,
    pub leased: u64,
    pub parked: u64,
    /// Ready, delayed and leased: what `join` waits for.
    pub unfinished: u64,
    /// Payload of what is ready and delayed.
    pub bytes: u64,
    /// Age of the first ready item.
    pub oldest: Duration,
    pub closed: bool,
    pub paused: bool,
    /// From here on, totals since the queue was created: items put.
    pub put: u64,
    pub done: u64,
    pub expired: u64,
    /// Purged and discarded.
    pub dropped: u64,
    pub failures: u64,
    pub crashes: u64,
    pub released: u64,
    /// Answers that never arrived.
    pub taken_back: u64,
}

impl From<wire::StatsReply> for Stats {
    fn from(reply: wire::StatsReply) -> Stats {
        let wire::StatsReply {
            ready,
            delayed,
            leased,
            parked,
            unfinished,
            bytes,
            oldest_ms,
            closed,
            paused,
            put,
            done,
            expired,
            dropped,
            failures,
            crashes,
            released,
            taken_back,
        } = reply;
        Stats {
            ready,
            delayed,
            leased,
            parked,
            unfinished,
            bytes,
            oldest: Duration::from_millis(oldest_ms),
            closed,
            paused,
            put,
            done,
            expired,
            dropped,
            failures,
            crashes,
            released,
            taken_back,
        }
    }
}

/// An item that was looked at and not fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen<T> {
    /// Its id, as `put` gave it.
    pub id: u64,
    /// The item itself.
    pub item: T,
    /// Larger ones come first.
    pub priority: u32,
    /// Text beside the payload.
    pub headers: HashMap<String, String>,
    /// When it was put, by the broker's clock.
    pub put_at: SystemTime,
    /// How often it was given back as failed.
    pub failures: u32,
    /// How often a session ended that held it.
    pub crashes: u32,
    /// Its unique key; empty if it has none.
    pub unique_key: Bytes,
}

impl<T: Payload> Seen<T> {
    fn new(handle: &Handle, seen: wire::Seen) -> Result<Seen<T>> {
        let wire::Seen { id, data, codec, priority, headers, put_ms, failures, crashes, unique_key } = seen;
        let item = handle.decode(Raw { data, codec })?;
        Ok(Seen { id, item, priority, headers, put_at: to_time(put_ms), failures, crashes, unique_key })
    }
}

/// An item that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parked<T> {
    /// The item.
    pub seen: Seen<T>,
    /// Why.
    pub why: String,
    /// When, by the broker's clock.
    pub parked_at: SystemTime,
    /// What happened to it, at most the last 16.
    pub history: Vec<Event>,
}

/// What happened to an item.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When, by the broker's clock.
    pub at: SystemTime,
    /// `failed`, `crashed`, `released`, `parked` or `unparked`.
    pub what: String,
    /// The session that held it.
    pub session: u64,
    /// The reason that was given.
    pub why: String,
}

impl<T: Payload> Parked<T> {
    fn new(handle: &Handle, parked: wire::ParkedItem) -> Result<Parked<T>> {
        let wire::ParkedItem { item, why, parked_ms, history } = parked;
        let seen = Seen::new(handle, item.unwrap_or_default())?;
        let history = history.into_iter().map(|event| {
            let wire::Event { at_ms, what, session, why } = event;
            Event { at: to_time(at_ms), what, session, why }
        });
        Ok(Parked { seen, why, parked_at: to_time(parked_ms), history: history.collect() })
    }
}

impl<T: Payload> Queue<T> {
    /// The queue in numbers.
    pub async fn stats(&self) -> Result<Stats> {
        Ok(self.handle.call(wire::StatsRequest { object: self.handle.object() }).await?.into())
    }

    /// How many items are put and not fetched. As in Python, it may be another number by the time one looks at it.
    pub async fn qsize(&self) -> Result<u64> {
        let stats = self.stats().await?;
        Ok(stats.ready + stats.delayed)
    }

    /// How many items [`Queue::join`] would wait for.
    pub async fn unfinished(&self) -> Result<u64> {
        Ok(self.stats().await?.unfinished)
    }

    /// The next items in the order of delivery, at most `limit` (and 1000), without fetching them.
    /// [`Error::Codec`](crate::Error::Codec), when one of them is not a `T`: look at it through [`Manager::raw_queue`](crate::Manager::raw_queue).
    pub async fn peek(&self, limit: u32) -> Result<Vec<Seen<T>>> {
        let request = wire::PeekRequest { object: self.handle.object(), limit };
        let wire::PeekReply { items } = self.handle.call(request).await?;
        items.into_iter().map(|seen| Seen::new(&self.handle, seen)).collect()
    }

    /// Drops what is ready and delayed; what is leased or parked stays. Gives their number.
    pub async fn purge(&self) -> Result<u64> {
        let wire::PurgeReply { count } = self.handle.call(wire::PurgeRequest { object: self.handle.object() }).await?;
        Ok(count)
    }

    /// Puts queued items aside by their ids. Gives the ids that were not in the queue.
    pub async fn park(&self, ids: &[u64], why: impl Into<String>) -> Result<Vec<u64>> {
        let (fence, object) = (self.handle.fence(), self.handle.object());
        let request = wire::ParkRequest { fence, object, leases: Vec::new(), ids: ids.to_vec(), why: why.into() };
        let wire::ParkReply { not_held: _, not_found } = self.handle.call(request).await?;
        Ok(not_found)
    }

    /// All items that were put aside, with their histories.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let queue: bursar::Queue<u32> = manager.queue("jobs").create().await?;
    /// queue.put(7).await?;
    /// queue.get().await?.park("not a number one can work with").await?;
    /// let parked = queue.parked().await?;
    /// assert_eq!((parked[0].seen.item, parked[0].why.as_str()), (7, "not a number one can work with"));
    /// assert_eq!(queue.unpark(&[parked[0].seen.id]).await?, 1);
    /// assert_eq!(*queue.get().await?, 7);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn parked(&self) -> Result<Vec<Parked<T>>> {
        let mut parked: Vec<Parked<T>> = Vec::new();
        loop {
            let after_id = parked.last().map_or(0, |last| last.seen.id);
            let request = wire::ParkedRequest { object: self.handle.object(), after_id, limit: 0 };
            let wire::ParkedReply { items, more } = self.handle.call(request).await?;
            let is_last = !more || items.is_empty();
            for item in items {
                parked.push(Parked::new(&self.handle, item)?);
            }
            if is_last {
                return Ok(parked);
            }
        }
    }

    /// Queues parked items again; with no ids, all. Gives their number.
    pub async fn unpark(&self, ids: &[u64]) -> Result<u64> {
        let request = wire::UnparkRequest { object: self.handle.object(), ids: ids.to_vec() };
        let wire::UnparkReply { count } = self.handle.call(request).await?;
        Ok(count)
    }

    /// Drops parked items for good; with no ids, all. Gives their number.
    pub async fn discard(&self, ids: &[u64]) -> Result<u64> {
        let request = wire::DiscardRequest { object: self.handle.object(), ids: ids.to_vec() };
        let wire::DiscardReply { count } = self.handle.call(request).await?;
        Ok(count)
    }
}
