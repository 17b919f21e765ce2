//! The owner of one log: turns changes into records, and acknowledgements into marks.
//!
//! ```text
//! record(change) ─► batch ──(an append may start)──► append(expect, record) ──► durable = mark of its last change ─► listeners
//!                     ▲                                   │ Unknown: the same again       │ Conflict, Failed
//!                     └── collects while it is under way  ┘                               └─► failed: listeners stop
//! ```
//!
//! There is no timer: the batch is as large as what arrived while earlier appends were under way.

use super::{AppendError, Log, Mark, Position};
use bursar_proto::{Fault, v1::journal};
use bytes::Bytes;
use futures_util::{
    future::BoxFuture,
    stream::{FuturesOrdered, StreamExt},
};
use parking_lot::Mutex;
use prost::Message;
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, watch};

/// The version of [`journal::Record`].
const VERSION: u32 = 1;
/// A batch is handed over when it has this many bytes of changes: far above, one record would hold up the first of its answers.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Whoever waits for changes to become durable.
pub trait Listener: Send + Sync {
    /// Everything up to this mark is durable.
    fn durable(&self, mark: Mark);
    /// Nothing more will become durable.
    fn failed(&self, fault: &Fault);
}

/// The owner of one log.
pub struct Shard {
    log: Arc<dyn Log>,
    /// Short sections, never across an await.
    state: Mutex<State>,
    durable: AtomicU64,
    arrived: Notify,
    failed: watch::Sender<Option<Fault>>,
}

#[derive(Default)]
struct State {
    batch: Batch,
    /// The mark of the newest change.
    newest: u64,
}

#[derive(Default)]
struct Batch {
    entries: Vec<journal::Entry>,
    bytes: usize,
    /// How many entries, and bytes of them, belong together: they go into one record.
    groups: Vec<(usize, usize)>,
    /// By object, so that each is told once.
    listeners: HashMap<u64, Weak<dyn Listener>>,
}

/// A batch on its way, kept until it is acknowledged so that it can be sent again.
struct Sent {
    expect: Position,
    record: Bytes,
    upto: Mark,
    listeners: Vec<Weak<dyn Listener>>,
    acknowledgement: Option<Result<Position, AppendError>>,
}

impl Shard {
    /// The owner of a log whose tail will be asked for by [`Shard::run`].
    pub fn new(log: Arc<dyn Log>) -> Arc<Shard> {
        Arc::new(Shard {
            log,
            state: Mutex::default(),
            durable: AtomicU64::new(0),
            arrived: Notify::new(),
            failed: watch::Sender::new(None),
        })
    }

    /// Takes a change of an object. It is durable when the listener hears of this mark, or of a later one.
    pub fn record(&self, object: u64, change: Vec<u8>, listener: &Weak<dyn Listener>) -> Mark {
        self.record_all([(object, change, listener.clone())])
    }

    /// Takes changes of several objects, which become durable together or not at all.
    pub fn record_all(&self, changes: impl IntoIterator<Item = (u64, Vec<u8>, Weak<dyn Listener>)>) -> Mark {
        let mut state = self.state.lock();
        let (mut count, mut bytes) = (0, 0);
        for (object, change, listener) in changes {
            state.newest += 1;
            (count, bytes) = (count + 1, bytes + change.len());
            state.batch.entries.push(journal::Entry { object, change: change.into() });
            state.batch.listeners.entry(object).or_insert(listener);
        }
        state.batch.bytes += bytes;
        state.batch.groups.extend((count > 0).then_some((count, bytes)));
        let mark = Mark(state.newest);
        drop(state);
        self.arrived.notify_one();
        mark
    }

    /// How far the log is durable.
    pub fn durable(&self) -> Mark {
        Mark(self.durable.load(Ordering::Acquire))
    }

    /// Waits until the log keeps nothing any more, and says why.
    pub async fn failed(&self) -> Fault {
        let mut failed = self.failed.subscribe();
        let fault = failed.wait_for(Option::is_some).await.expect("the sender lives as long as this shard");
        fault.clone().expect("it was waited for")
    }

    /// The owner loop. After the engine failed, or another owner has taken the log, it goes on to tell that to whoever comes.
    pub async fn run(self: Arc<Shard>) {
        let fault = match self.log.tail().await {
            Ok(tail) => self.own(tail).await,
            Err(error) => Fault::EngineFailed { problem: error.to_string() },
        };
        self.failed.send_replace(Some(fault.clone()));
        loop {
            let batch = std::mem::take(&mut self.state.lock().batch);
            tell(batch.listeners.into_values(), |listener| listener.failed(&fault));
            self.arrived.notified().await;
        }
    }

    async fn own(&self, mut tail: Position) -> Fault {
        let in_flight_max = self.log.limits().in_flight_max.max(1);
        let mut in_flight = FuturesOrdered::new();
        loop {
            while in_flight.len() < in_flight_max
                && let Some(sent) = self.next_batch(tail)
            {
                tail += 1;
                in_flight.push_back(self.acknowledged(sent));
            }
            let sent: Sent = tokio::select! {
                sent = in_flight.next(), if !in_flight.is_empty() => sent.expect("it is not empty"),
                () = self.arrived.notified(), if in_flight.len() < in_flight_max => continue,
            };
            if let Err((fault, mut listeners)) = self.finish(sent, &mut in_flight).await {
                listeners.extend(in_flight.collect::<Vec<Sent>>().await.into_iter().flat_map(|sent| sent.listeners));
                tell(listeners, |listener| listener.failed(&fault));
                return fault;
            }
        }
    }

    fn next_batch(&self, expect: Position) -> Option<Sent> {
        let mut state = self.state.lock();
        if state.batch.entries.is_empty() {
            return None;
        }
        let mut batch = std::mem::take(&mut state.batch);
        let mut upto = state.newest;
        if batch.bytes > BATCH_BYTES_MAX {
            let rest = split(&mut batch);
            upto -= rest.entries.len() as u64;
            state.batch = rest;
        }
        drop(state);
        let record = journal::Record { version: VERSION, entries: batch.entries };
        let listeners = batch.listeners.into_values().collect();
        Some(Sent { expect, record: record.encode_to_vec().into(), upto: Mark(upto), listeners, acknowledgement: None })
    }

    fn acknowledged(&self, mut sent: Sent) -> BoxFuture<'static, Sent> {
        let append = self.log.append(sent.expect, sent.record.clone());
        Box::pin(async move {
            sent.acknowledgement = Some(append.await);
            sent
        })
    }

    /// Takes the oldest acknowledgement. While it is unknown, it and everything behind it is appended again, in order.
    async fn finish(
        &self,
        mut sent: Sent,
        in_flight: &mut FuturesOrdered<BoxFuture<'static, Sent>>,
    ) -> Result<(), (Fault, Vec<Weak<dyn Listener>>)> {
        while let Some(Err(AppendError::Unknown(problem))) = &sent.acknowledgement {
            tracing::warn!(problem, position = sent.expect + 1, "an append is unknown: appending the same again");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let behind: Vec<Sent> = std::mem::take(in_flight).collect().await;
            sent = self.acknowledged(sent).await;
            for later in behind {
                in_flight.push_back(self.acknowledged(later));
            }
        }
        match sent.acknowledgement {
            Some(Ok(_)) => {
                self.durable.store(sent.upto.0, Ordering::Release);
                tell(sent.listeners, |listener| listener.durable(sent.upto));
                Ok(())
            }
            Some(Err(AppendError::Conflict { .. })) => Err((Fault::Deposed {}, sent.listeners)),
            Some(Err(error)) => Err((Fault::EngineFailed { problem: error.to_string() }, sent.listeners)),
            None => unreachable!("a sent batch comes back with its acknowledgement"),
        }
    }
}

/// Leaves in the batch what fits into one record, at least what was recorded at once, and gives the rest.
fn split(batch: &mut Batch) -> Batch {
    let mut bytes = 0;
    let fits = batch.groups.iter().take_while(|(_, of_group)| {
        bytes += of_group;
        bytes <= BATCH_BYTES_MAX
    });
    let groups = batch.groups.split_off(fits.count().max(1));
    let (count, kept) = batch.groups.iter().fold((0, 0), |(count, bytes), group| (count + group.0, bytes + group.1));
    let entries = batch.entries.split_off(count);
    let rest = batch.bytes - kept;
    batch.bytes = kept;
    Batch { entries, bytes: rest, groups, listeners: batch.listeners.clone() }
}

fn tell(listeners: impl IntoIterator<Item = Weak<dyn Listener>>, say: impl Fn(&dyn Listener)) {
    for listener in listeners {
        if let Some(listener) = listener.upgrade() {
            say(&*listener);
        }
    }
}
