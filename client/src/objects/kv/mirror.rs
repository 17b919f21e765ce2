//! A local copy of a store, kept up by a watch. It is not authoritative: it shows the store as it was a moment ago.
//!
//! ```text
//!   synced ── the events that it needs are not kept any more ──► reading afresh ──► synced
//!      └── store deleted, session lost ──► over: what it shows stays as it was
//! ```
//! While the map is read afresh, readers see what they saw before, and then all of the new at once.

use super::{
    Entry, Kv, Watch,
    follower::{Follower, Listener},
    watch::Told,
    wire,
};
use crate::{
    Error, Fault, Payload, Raw, Result, State as SessionState, Wait,
    call::Verb,
    objects::{Handle, deadline::Deadline, queue::text},
};
use futures_util::future::{Either, select};
use parking_lot::RwLock;
use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

type Entries<V> = BTreeMap<String, Arc<Entry<V>>>;

/// A local copy of the keys of a store that begin with a prefix: reading it asks nobody. Made by [`Kv::mirror`].
///
/// It shows a state that the store had, at the [`revision`](Mirror::revision) that it says, and follows it a moment later;
/// [`wait_for`](Mirror::wait_for) makes a write of one's own certain to be seen. Changes that were one step of a transaction may
/// become visible one after the other. It needs as much memory as the keys and values that it shows; twice that while it reads the
/// store afresh, which it does when it was disconnected for more than the store's `events_max` changes. A value that is not a `V` is
/// not shown, is reported by `tracing`, and [counted](Mirror::failures).
///
/// Lost connections are survived with the session. When the store is deleted or the session lost, it stays as it was, and
/// [`error`](Mirror::error) says so. Clones show the same copy; it ends with the last one, and keeps the session alive until then.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::{Kv, Wait};
///
/// let settings: Kv<String> = manager.kv("settings").open_or_create().await?;
/// settings.put("color/sky", "blue".to_owned()).await?;
/// let colors = settings.mirror("color/").await?;
/// assert_eq!(colors.get("color/sky").as_deref(), Some("blue"));
/// let revision = settings.put("color/sky", "grey".to_owned()).await?;
/// colors.wait_for(revision, Wait::Forever).await?;
/// assert_eq!(colors.get("color/sky").as_deref(), Some("grey"));
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct Mirror<V> {
    inner: Arc<Inner<V>>,
}

struct Inner<V> {
    kv: Kv<V>,
    prefix: String,
    shared: Arc<Shared<V>>,
    follower: Follower,
}

/// What readers share with the thread that writes.
struct Shared<V> {
    /// Locked for a look-up or for the changes of one answer, and never across an await.
    state: RwLock<State<V>>,
    /// Told after each change of the state; gone with the thread.
    changes: watch::Receiver<()>,
    failures: AtomicU64,
}

struct State<V> {
    /// Copied by the next change if a snapshot is held.
    entries: Arc<Entries<V>>,
    revision: u64,
    is_synced: bool,
    heard_at: Instant,
}

impl<V> Clone for Mirror<V> {
    fn clone(&self) -> Mirror<V> {
        Mirror { inner: self.inner.clone() }
    }
}

impl<V> fmt::Debug for Mirror<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, prefix) = (self.inner.kv.name(), &self.inner.prefix);
        formatter.debug_struct("Mirror").field("name", &name).field("prefix", prefix).field("revision", &self.revision()).finish()
    }
}

/// How fresh a mirror is, as far as can be known without asking the broker. [`Mirror::lag`] asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Freshness {
    /// The mirror equals the store at this revision: every change under its prefix up to here is shown, and none after.
    pub revision: u64,
    /// Every later change will be shown as soon as the broker tells of it. Not so while the store is read afresh, and when the mirror
    /// is over.
    pub is_synced: bool,
    /// The session has a connection. Without one nothing is heard, however much happens.
    pub is_connected: bool,
    /// How long ago the broker last answered the mirror. While it is synced and connected, silence means that nothing happened that
    /// the broker has told: a change is told at once, so what is missing is what is on its way, or behind a connection that is broken
    /// and not known to be (the session finds that out within its ttl).
    pub heard_ago: Duration,
}

/// What a mirror showed at one moment: keys with their entries, in byte order. It does not change any more.
#[derive(Debug)]
pub struct Snapshot<V> {
    revision: u64,
    entries: Arc<Entries<V>>,
}

impl<V> Snapshot<V> {
    /// The revision at which this equals the store under the mirror's prefix.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

impl<V> Clone for Snapshot<V> {
    fn clone(&self) -> Snapshot<V> {
        Snapshot { revision: self.revision, entries: self.entries.clone() }
    }
}

impl<V> Deref for Snapshot<V> {
    type Target = BTreeMap<String, Arc<Entry<V>>>;

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl<V: Payload + Send + Sync + 'static> Kv<V> {
    /// A local copy of the keys that begin with `prefix` (empty: all), which is kept up by a thread of its own. Waits until it was
    /// read for the first time. See [`Mirror`].
    pub async fn mirror(&self, prefix: &str) -> Result<Mirror<V>> {
        let mut watch = Watch::new(self.clone(), prefix, false, None);
        let (teller, changes) = watch::channel(());
        let state = State { entries: Arc::default(), revision: 0, is_synced: false, heard_at: Instant::now() };
        let shared = Arc::new(Shared { state: RwLock::new(state), changes, failures: AtomicU64::new(0) });
        let handle = self.handle.clone();
        let mut writer = Writer { handle, shared: shared.clone(), teller, fresh: None, pending: Vec::new() };
        while !shared.state.read().is_synced {
            watch.ask().await?;
            writer.take(&mut watch);
        }
        let follower = Follower::start(watch, writer)?;
        Ok(Mirror { inner: Arc::new(Inner { kv: self.clone(), prefix: prefix.to_owned(), shared, follower }) })
    }
}

impl<V> Mirror<V> {
    /// The prefix of the keys that it shows.
    pub fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    /// A key with its value and revisions. Its `ttl_left` is as it was when the value came; when the ttl is over, the key goes.
    pub fn entry(&self, key: &str) -> Option<Arc<Entry<V>>> {
        self.inner.shared.state.read().entries.get(key).cloned()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<V>
    where
        V: Clone,
    {
        self.entry(key).map(|entry| entry.value.clone())
    }

    /// Whether there is such a key.
    pub fn contains(&self, key: &str) -> bool {
        self.inner.shared.state.read().entries.contains_key(key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.inner.shared.state.read().entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything as it is at this moment. This costs nothing; the next change after it costs a copy of the map, without its values.
    pub fn snapshot(&self) -> Snapshot<V> {
        let state = self.inner.shared.state.read();
        Snapshot { revision: state.revision, entries: state.entries.clone() }
    }

    /// The entries as they are at this moment, in byte order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Entry<V>>> + use<V> {
        self.snapshot().values().cloned().collect::<Vec<_>>().into_iter()
    }

    /// It equals the store, under its prefix, at this revision.
    pub fn revision(&self) -> u64 {
        self.inner.shared.state.read().revision
    }

    /// How fresh it is, as far as it can tell without asking.
    pub fn freshness(&self) -> Freshness {
        let is_connected = self.inner.kv.manager().state() == SessionState::Connected;
        let state = self.inner.shared.state.read();
        let is_synced = state.is_synced && !self.inner.follower.is_over();
        Freshness { revision: state.revision, is_synced, is_connected, heard_ago: state.heard_at.elapsed() }
    }

    /// How many values could not be shown, because they are not a `V`.
    pub fn failures(&self) -> u64 {
        self.inner.shared.failures.load(Ordering::Relaxed)
    }

    /// Why it is not kept up any more: the fault `Gone`, when the store was deleted; [`Error::Lost`], with the session. `None`: it is.
    pub fn error(&self) -> Option<Arc<Error>> {
        self.inner.follower.error()
    }
}

impl<V: Payload> Mirror<V> {
    /// Asks the broker how many revisions the store is ahead of what is shown; 0: nothing under the prefix is missing. Of a larger
    /// number only some may concern the prefix. True when the broker answered, as everything that was heard. Faults as
    /// [`Kv::len`](Kv::len).
    pub async fn lag(&self) -> Result<u64> {
        let shown = self.revision();
        let wire::NextReply { events, reset, .. } = self.look(shown, Wait::Never).await?;
        if events.is_empty() && !reset {
            return Ok(0);
        }
        Ok(self.inner.kv.newest().await?.saturating_sub(self.revision()))
    }

    /// Waits until everything is shown up to this revision, which a change of this program or of another gave: reads then see that
    /// change, or a later one. A revision that is still to come is waited for.
    ///
    /// Faults: `TimedOut`; `Gone`, when the store was deleted.
    pub async fn wait_for(&self, revision: u64, wait: impl Into<Wait>) -> Result<()> {
        let deadline = Deadline::new(wait.into());
        let mut changes = self.inner.shared.changes.clone();
        loop {
            changes.borrow_and_update();
            if self.revision() >= revision {
                return Ok(());
            }
            self.check()?;
            // The change may be none under the prefix: then there is nothing to wait for, and the broker says so.
            self.look(self.revision(), Wait::Never).await?;
            if self.revision() >= revision {
                return Ok(());
            }
            self.wait_for_news(&mut changes, deadline.left(), || format!("revision {revision} in a mirror")).await?;
        }
    }

    /// Waits until it is synced; that it is not while it reads the store afresh. Faults as [`Mirror::wait_for`].
    pub async fn synced(&self, wait: impl Into<Wait>) -> Result<()> {
        let deadline = Deadline::new(wait.into());
        let mut changes = self.inner.shared.changes.clone();
        loop {
            changes.borrow_and_update();
            self.check()?;
            if self.freshness().is_synced {
                return Ok(());
            }
            self.wait_for_news(&mut changes, deadline.left(), || "a mirror to be read afresh".to_owned()).await?;
        }
    }

    /// Waits for a change of what is shown, or of the store. The broker keeps the time.
    async fn wait_for_news(&self, changes: &mut watch::Receiver<()>, left: Wait, what: impl Fn() -> String) -> Result<()> {
        let timed_out = || Error::refused(Fault::TimedOut { what: what() }, wire::NextRequest::CALL, self.inner.kv.name());
        if left == Wait::Never {
            return Err(timed_out());
        }
        let newest = self.inner.kv.newest().await?;
        let heard = match select(pin!(changes.changed()), pin!(self.look(newest, left))).await {
            Either::Left((Ok(()), _)) => return Ok(()),
            // The thread has ended, or is about to say why.
            Either::Left((Err(_), _)) => return Err(self.ended().await),
            Either::Right((heard, _)) => heard,
        };
        match heard {
            Err(error) if matches!(error.fault(), Some(Fault::TimedOut { .. })) => Err(timed_out()),
            heard => heard.map(drop),
        }
    }

    fn check(&self) -> Result<()> {
        self.error().map_or(Ok(()), |error| Err(error.again()))
    }

    async fn ended(&self) -> Error {
        match self.inner.follower.ended().await {
            Some(error) => error.again(),
            None => Error::protocol("the thread of a mirror has ended"),
        }
    }

    /// Looks for events after a revision. None is something to know, too: the state there is that of the revision up to which there
    /// is none.
    async fn look(&self, after: u64, wait: Wait) -> Result<wire::NextReply> {
        let Inner { kv, prefix, shared, .. } = &*self.inner;
        let (object, prefix) = (kv.handle.object(), prefix.clone());
        let request = wire::NextRequest { object, wait_ms: wait.to_ms(), prefix, after, limit: 1 };
        let reply = kv.handle.call(request).await?;
        if reply.events.is_empty() && !reply.reset {
            shared.skip(after, reply.upto);
        }
        Ok(reply)
    }
}

impl Mirror<Raw> {
    /// The value of a key as a `T`, for stores whose values are of several types: `namespace.kv().mirror("")`.
    /// [`Error::Codec`], when it is not one.
    pub fn get_as<T: Payload>(&self, key: &str) -> Result<Option<T>> {
        self.get(key).map(|raw| self.inner.kv.handle.decode(raw)).transpose()
    }
}

impl<V> Shared<V> {
    /// Between these revisions nothing happened under the prefix.
    fn skip(&self, after: u64, upto: u64) {
        let mut state = self.state.write();
        state.heard_at = Instant::now();
        if state.revision >= after {
            state.revision = state.revision.max(upto);
        }
    }
}

/// What the thread does with what it hears.
struct Writer<V> {
    handle: Handle,
    shared: Arc<Shared<V>>,
    teller: watch::Sender<()>,
    /// The map that is being read afresh.
    fresh: Option<Entries<V>>,
    /// The changes of one answer, which become visible together. An absent entry: the key is not shown.
    pending: Vec<(String, Option<Arc<Entry<V>>>)>,
}

impl<V: Payload> Writer<V> {
    /// Everything that is ready.
    fn take(&mut self, watch: &mut Watch<V>) {
        while let Some(told) = watch.pop() {
            self.note(told);
        }
        if let Some(revision) = watch.upto() {
            self.show(revision);
        }
    }

    fn note(&mut self, told: Told) {
        match told {
            Told::Reset => {
                self.fresh = Some(Entries::new());
                self.shared.state.write().is_synced = false;
            }
            Told::Changed(wire::Event { key, entry, revision, .. }) => {
                let entry = entry.and_then(|entry| self.read(entry, revision));
                match &mut self.fresh {
                    Some(fresh) => change(fresh, key, entry),
                    None => self.pending.push((key, entry)),
                }
            }
            Told::Synced(revision) => self.replace(revision),
        }
    }

    /// `None`: it is not a `V`, which is reported; the value that the key had before is not its value any more.
    fn read(&self, entry: wire::Entry, revision: u64) -> Option<Arc<Entry<V>>> {
        let key = entry.key.clone();
        let problem = match catch_unwind(AssertUnwindSafe(|| Entry::new(&self.handle, entry))) {
            Ok(Ok(entry)) => return Some(Arc::new(entry)),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panic: {}", text(&*panic)),
        };
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(object = self.handle.name(), key, revision, %problem, "a value is not shown by a mirror");
        None
    }

    fn replace(&mut self, revision: u64) {
        let Some(fresh) = self.fresh.take() else { return };
        let mut state = self.shared.state.write();
        let former = std::mem::replace(&mut state.entries, Arc::new(fresh));
        state.revision = state.revision.max(revision);
        state.is_synced = true;
        drop(state);
        // A large map takes its time, and readers need not wait for it.
        drop(former);
    }

    fn show(&mut self, revision: u64) {
        let mut state = self.shared.state.write();
        state.heard_at = Instant::now();
        if self.fresh.is_none() {
            state.revision = state.revision.max(revision);
        }
        if !self.pending.is_empty() {
            let entries = Arc::make_mut(&mut state.entries);
            self.pending.drain(..).for_each(|(key, entry)| change(entries, key, entry));
        }
        drop(state);
        self.teller.send_replace(());
    }
}

fn change<V>(entries: &mut Entries<V>, key: String, entry: Option<Arc<Entry<V>>>) {
    match entry {
        Some(entry) => entries.insert(key, entry),
        None => entries.remove(&key),
    };
}

impl<V: Payload + Send + Sync + 'static> Listener for Writer<V> {
    async fn hear(&mut self, told: Told) {
        self.note(told);
    }

    fn heard_upto(&mut self, revision: u64) {
        self.show(revision);
    }
}
