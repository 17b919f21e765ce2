//! The key-value store: a map from text to values, with revisions, expiry and watches.

mod builder;
mod follower;
mod mirror;
mod on_change;
mod watch;

pub use builder::Builder;
pub use mirror::{Freshness, Mirror, Snapshot};
pub use on_change::{Keys, OnChange};
pub use watch::{Since, Watch, WatchEvent};

use super::{Handle, reference::travels, to_ms};
use crate::{Error, Fault, Fence, Manager, Payload, Raw, Result};
use bursar_proto::v1::{self, kv as wire};
use std::{borrow::Borrow, fmt, marker::PhantomData, time::Duration};

pub(super) const PUT: &str = "kv.put";
const SETDEFAULT: &str = "kv.setdefault";

/// A map from text keys (1 to 1024 bytes) to values of one type, shared by every process that opens its name.
///
/// Every change of the map has the next revision; an [`Entry`] shows the one that created it and the one that last changed it.
/// Values are snapshots: to change one by what it is, use [`update`](Kv::update), [`put_if`](Kv::put_if) or [`incr`](Kv::incr).
///
/// Handles are cheap to clone. After the object was deleted, calls fail with the fault `Gone`, also when its name was created anew.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Kv, Manager};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let stock: Kv<i64> = manager.kv("stock").open_or_create().await?;
/// stock.put("apples", 3).await?;
/// assert_eq!(stock.incr("apples", -1).await?, 2);
/// stock.update("apples", |apples| apples.map(|apples| apples * 10)).await?;
/// assert_eq!(stock.items().await?, [("apples".to_owned(), 20)]);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct Kv<V = Raw> {
    handle: Handle,
    values: PhantomData<fn(V) -> V>,
}

travels!(Kv<V>, "kv", Kv::of);

impl<V> Clone for Kv<V> {
    fn clone(&self) -> Kv<V> {
        Kv { handle: self.handle.clone(), values: PhantomData }
    }
}

impl<V> fmt::Debug for Kv<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kv").field("name", &self.name()).field("epoch", &self.epoch()).finish()
    }
}

/// A key with its value, as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<V> {
    /// The key.
    pub key: String,
    /// The value.
    pub value: V,
    /// The revision that created the key.
    pub create_revision: u64,
    /// The revision that last changed it.
    pub modify_revision: u64,
    /// What is left of its ttl; `None`: it has none.
    pub ttl_left: Option<Duration>,
    /// The session it is bound to.
    pub session: Option<u64>,
}

impl<V: Payload> Entry<V> {
    fn new(handle: &Handle, entry: wire::Entry) -> Result<Entry<V>> {
        let wire::Entry { key, value, create_revision, modify_revision, ttl_left_ms, session } = entry;
        let v1::Value { data, codec } = value.unwrap_or_default();
        Ok(Entry {
            key,
            value: handle.decode(Raw { data, codec })?,
            create_revision,
            modify_revision,
            ttl_left: (ttl_left_ms > 0).then(|| Duration::from_millis(ttl_left_ms)),
            session: (session > 0).then_some(session),
        })
    }
}

/// What goes with a value.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::{Kv, kv::PutOptions};
///
/// let presence: Kv<String> = manager.kv("presence").create().await?;
/// let bound = PutOptions { bind: true, ..PutOptions::default() };
/// presence.put_with("worker/7", "here".to_owned(), &bound).await?;
/// assert_eq!(presence.entry("worker/7").await?.unwrap().session, Some(manager.session_id()));
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// The key goes after this time; zero: never.
    pub ttl: Duration,
    /// Leave the ttl of an existing key as it is. It goes with no `ttl` of its own: both together are the fault `BadArgument`.
    pub keep_ttl: bool,
    /// The key goes when this session ends.
    pub bind: bool,
    /// Only if this holds; otherwise the fault `RevisionMismatch`.
    pub condition: Option<Condition>,
}

/// What must hold of a key for a change to happen. It is checked in the same step as the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key's `modify_revision` is this.
    Revision(u64),
    /// There is no such key.
    Absent,
    /// There is such a key.
    Present,
}

impl From<Condition> for wire::Condition {
    fn from(condition: Condition) -> wire::Condition {
        use wire::condition::Condition as Wire;
        let condition = match condition {
            Condition::Revision(revision) => Wire::Revision(revision),
            Condition::Absent => Wire::Absent(true),
            Condition::Present => Wire::Absent(false),
        };
        wire::Condition { condition: Some(condition) }
    }
}

impl<V> Kv<V> {
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

    /// The same store under a fence: every change through the handle that this gives happens only while the lock is held under the
    /// fence's token, which the broker checks in the same step. Reading is not checked; [`Kv::touch`] counts as reading.
    ///
    /// The fault is `StaleToken`: stop, because somebody else may hold the lock and be at work.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::{Fault, Fence, Kv, Lock};
    ///
    /// let lock: Lock = manager.lock("accounts/lock").create().await?;
    /// let accounts: Kv<i64> = manager.kv("accounts").create().await?;
    /// let guard = lock.acquire().await?;
    /// let mine = accounts.fenced(&guard.fence());
    /// mine.put("Ada", 100).await?;
    /// guard.release().await?;
    /// let error = mine.put("Ada", 0).await.unwrap_err();
    /// assert!(matches!(error.fault(), Some(Fault::StaleToken { current: 0, .. })), "{error}");
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn fenced(&self, fence: &Fence) -> Kv<V> {
        Kv { handle: self.handle.fenced(fence), values: PhantomData }
    }

    pub(super) fn of(handle: Handle) -> Kv<V> {
        Kv { handle, values: PhantomData }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The same store, its values read as another type.
    pub(super) fn typed<W: Payload>(&self) -> Kv<W> {
        Kv { handle: self.handle.clone(), values: PhantomData }
    }
}

impl<V: Payload> Kv<V> {
    /// The value of a key.
    pub async fn get(&self, key: &str) -> Result<Option<V>> {
        Ok(self.entry(key).await?.map(|entry| entry.value))
    }

    /// A key with its value, revisions and ttl.
    pub async fn entry(&self, key: &str) -> Result<Option<Entry<V>>> {
        let request = wire::GetRequest { object: self.handle.object(), key: key.to_owned(), touch: false };
        let wire::GetReply { entry, revision: _ } = self.handle.call(request).await?;
        self.read(entry)
    }

    /// Sets a key and gives the revision of this change. Takes the value or a reference to it. A ttl that the key had is gone.
    ///
    /// Faults: `TooLarge`; `LimitReached`, when the store is full.
    pub async fn put(&self, key: &str, value: impl Borrow<V>) -> Result<u64> {
        self.put_with(key, value, &PutOptions::default()).await
    }

    /// As [`Kv::put`], with options. Fault: `RevisionMismatch`, when the condition does not hold.
    pub async fn put_with(&self, key: &str, value: impl Borrow<V>, options: &PutOptions) -> Result<u64> {
        let wire::PutReply { revision, previous: _ } = self.handle.call(self.put_request(key, value.borrow(), options)?).await?;
        Ok(revision)
    }

    pub(super) fn put_request(&self, key: &str, value: &V, options: &PutOptions) -> Result<wire::PutRequest> {
        let PutOptions { ttl, keep_ttl, bind, condition } = options;
        Ok(wire::PutRequest {
            fence: self.handle.fence(),
            object: self.handle.object(),
            key: key.to_owned(),
            value: Some(self.encode(value, PUT)?),
            condition: condition.map(Into::into),
            ttl_ms: to_ms(*ttl),
            keep_ttl: *keep_ttl,
            bind: *bind,
        })
    }

    /// Sets a key if its `modify_revision` is still this one, and leaves its ttl as it is. Fault: `RevisionMismatch { actual }`.
    pub async fn put_if(&self, key: &str, value: impl Borrow<V>, revision: u64) -> Result<u64> {
        let condition = Some(Condition::Revision(revision));
        self.put_with(key, value, &PutOptions { keep_ttl: true, condition, ..PutOptions::default() }).await
    }

    /// Sets a key if there is none. Fault: `RevisionMismatch { actual }`.
    pub async fn put_new(&self, key: &str, value: impl Borrow<V>) -> Result<u64> {
        self.put_with(key, value, &PutOptions { condition: Some(Condition::Absent), ..PutOptions::default() }).await
    }

    /// Deletes a key; says whether there was one.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        Ok(self.remove(key, None).await?.is_some())
    }

    /// Deletes a key and gives the value it had.
    pub async fn pop(&self, key: &str) -> Result<Option<V>> {
        let previous = self.remove(key, None).await?;
        Ok(self.read(previous)?.map(|entry| entry.value))
    }

    async fn remove(&self, key: &str, condition: Option<Condition>) -> Result<Option<wire::Entry>> {
        let wire::DeleteReply { previous, revision: _ } = self.handle.call(self.delete_request(key, condition)).await?;
        Ok(previous)
    }

    pub(super) fn delete_request(&self, key: &str, condition: Option<Condition>) -> wire::DeleteRequest {
        let (fence, object, key) = (self.handle.fence(), self.handle.object(), key.to_owned());
        wire::DeleteRequest { object, key, condition: condition.map(Into::into), fence }
    }

    /// Sets a key if there is none, in one step, and gives what it holds then: Python's `dict.setdefault`.
    pub async fn setdefault(&self, key: &str, value: impl Borrow<V>) -> Result<V> {
        let request = self.setdefault_request(key, value.borrow())?;
        let wire::SetDefaultReply { entry, created: _ } = self.handle.call(request).await?;
        let entry = self.read(entry)?.ok_or_else(|| Error::protocol(format!("{SETDEFAULT}: a reply without an entry")))?;
        Ok(entry.value)
    }

    pub(super) fn setdefault_request(&self, key: &str, value: &V) -> Result<wire::SetDefaultRequest> {
        Ok(wire::SetDefaultRequest {
            fence: self.handle.fence(),
            object: self.handle.object(),
            key: key.to_owned(),
            value: Some(self.encode(value, SETDEFAULT)?),
            ttl_ms: 0,
            bind: false,
        })
    }

    /// Whether there is such a key.
    pub async fn contains(&self, key: &str) -> Result<bool> {
        let request = wire::ContainsRequest { object: self.handle.object(), key: key.to_owned() };
        let wire::ContainsReply { contains } = self.handle.call(request).await?;
        Ok(contains)
    }

    /// How many keys there are.
    pub async fn len(&self) -> Result<u64> {
        Ok(self.count().await?.len)
    }

    /// Whether there are no keys.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    async fn count(&self) -> Result<wire::LenReply> {
        self.handle.call(wire::LenRequest { object: self.handle.object(), prefix: String::new() }).await
    }

    /// All keys, in byte order. A large store is read in pages, and changes between them show.
    pub async fn keys(&self) -> Result<Vec<String>> {
        Ok(self.pages("", true).await?.entries.into_iter().map(|entry| entry.key).collect())
    }

    /// All keys with their values, in byte order of the keys; in pages, as [`Kv::keys`].
    pub async fn items(&self) -> Result<Vec<(String, V)>> {
        Ok(self.scan("").await?.into_iter().map(|entry| (entry.key, entry.value)).collect())
    }

    /// All entries whose keys begin with `prefix`, in byte order of the keys; in pages, as [`Kv::keys`].
    pub async fn scan(&self, prefix: &str) -> Result<Vec<Entry<V>>> {
        let Pages { entries, .. } = self.pages(prefix, false).await?;
        entries.into_iter().map(|entry| Entry::new(&self.handle, entry)).collect()
    }

    async fn pages(&self, prefix: &str, keys_only: bool) -> Result<Pages> {
        let mut pages = Pages::default();
        loop {
            let after = pages.entries.last().map_or(String::new(), |last| last.key.clone());
            let (object, prefix) = (self.handle.object(), prefix.to_owned());
            let request = wire::ScanRequest { object, prefix, after, limit: 0, keys_only };
            let wire::ScanReply { entries, more, revision } = self.handle.call(request).await?;
            let is_first = pages.entries.is_empty();
            let is_last = !more || entries.is_empty();
            pages.first_revision = if is_first { revision } else { pages.first_revision };
            pages.last_revision = revision;
            pages.entries.extend(entries);
            if is_last {
                return Ok(pages);
            }
        }
    }

    /// As [`Kv::pages`], of one key.
    async fn page_of_one(&self, key: &str) -> Result<Pages> {
        let request = wire::GetRequest { object: self.handle.object(), key: key.to_owned(), touch: false };
        let wire::GetReply { entry, revision } = self.handle.call(request).await?;
        Ok(Pages { entries: entry.into_iter().collect(), first_revision: revision, last_revision: revision })
    }

    /// Deletes every key, in one step. Gives their number.
    pub async fn clear(&self) -> Result<u64> {
        let request = wire::ClearRequest { fence: self.handle.fence(), object: self.handle.object(), prefix: String::new() };
        let wire::ClearReply { count, revision: _ } = self.handle.call(request).await?;
        Ok(count)
    }

    /// Adds to an integer, in one step, and gives the sum; an absent key counts as 0. Faults: `NotAnInteger`, `Overflow`.
    pub async fn incr(&self, key: &str, by: i64) -> Result<i64> {
        let wire::IncrReply { value, revision: _ } = self.handle.call(self.incr_request(key, by)).await?;
        Ok(value)
    }

    pub(super) fn incr_request(&self, key: &str, by: i64) -> wire::IncrRequest {
        wire::IncrRequest { object: self.handle.object(), key: key.to_owned(), by, fence: self.handle.fence() }
    }

    /// Changes a key by what it is: the closure gets the value (`None`: no such key) and gives the new one (`None`: delete it).
    ///
    /// If somebody else changed the key meanwhile, the closure is called again with what it is now, so it should do nothing else.
    /// Gives what the closure gave last. The key keeps its ttl.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let names: bursar::Kv<Vec<String>> = manager.kv("names").create().await?;
    /// let add = |name: &str| {
    ///     let name = name.to_owned();
    ///     move |known: Option<Vec<String>>| Some([known.unwrap_or_default(), vec![name.clone()]].concat())
    /// };
    /// names.update("all", add("Ada")).await?;
    /// assert_eq!(names.update("all", add("Grace")).await?.unwrap(), ["Ada", "Grace"]);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn update(&self, key: &str, mut change: impl FnMut(Option<V>) -> Option<V>) -> Result<Option<V>> {
        loop {
            let entry = self.entry(key).await?;
            let condition = entry.as_ref().map_or(Condition::Absent, |entry| Condition::Revision(entry.modify_revision));
            let value = change(entry.map(|entry| entry.value));
            let outcome = match &value {
                Some(value) => {
                    let options = PutOptions { keep_ttl: true, condition: Some(condition), ..PutOptions::default() };
                    self.put_with(key, value, &options).await.map(drop)
                }
                None if condition == Condition::Absent => Ok(()),
                None => self.remove(key, Some(condition)).await.map(drop),
            };
            match outcome {
                Ok(()) => return Ok(value),
                Err(error) if matches!(error.fault(), Some(Fault::RevisionMismatch { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The key goes after this time, counted from now. Says whether there is such a key.
    pub async fn expire(&self, key: &str, ttl: Duration) -> Result<bool> {
        // Zero would mean: for ever.
        self.set_ttl(key, to_ms(ttl).max(1)).await
    }

    /// The key has no ttl any more. Says whether there is such a key.
    pub async fn persist(&self, key: &str) -> Result<bool> {
        self.set_ttl(key, 0).await
    }

    async fn set_ttl(&self, key: &str, ttl_ms: u64) -> Result<bool> {
        let request =
            wire::ExpireRequest { fence: self.handle.fence(), object: self.handle.object(), key: key.to_owned(), ttl_ms };
        let wire::ExpireReply { found } = self.handle.call(request).await?;
        Ok(found)
    }

    /// Starts the key's ttl afresh. Says whether there is such a key.
    pub async fn touch(&self, key: &str) -> Result<bool> {
        let request = wire::GetRequest { object: self.handle.object(), key: key.to_owned(), touch: true };
        let wire::GetReply { entry, revision: _ } = self.handle.call(request).await?;
        Ok(entry.is_some())
    }

    /// Follows the keys that begin with `prefix` (empty: all), in order and without a gap: folding the events always gives the map.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::kv::{Since, WatchEvent};
    ///
    /// let kv: bursar::Kv<u32> = manager.kv("numbers").create().await?;
    /// let mut watch = kv.watch("", Since::Now).await?;
    /// let revision = kv.put("one", 1).await?;
    /// assert_eq!(watch.next().await?, WatchEvent::Put { key: "one".into(), value: 1, revision });
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn watch(&self, prefix: &str, since: Since) -> Result<Watch<V>> {
        Ok(Watch::new(self.clone(), prefix, false, self.after(since).await?))
    }

    /// Follows one key, as [`Kv::watch`] does those under a prefix. Changes of longer keys that begin with this one travel and are
    /// skipped here, so a key that is followed is best not the beginning of many others.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::kv::{Since, WatchEvent};
    ///
    /// let kv: bursar::Kv<u32> = manager.kv("numbers").create().await?;
    /// let mut watch = kv.watch_key("one", Since::Now).await?;
    /// kv.put("one hundred", 100).await?;
    /// let revision = kv.put("one", 1).await?;
    /// assert_eq!(watch.next().await?, WatchEvent::Put { key: "one".into(), value: 1, revision });
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn watch_key(&self, key: &str, since: Since) -> Result<Watch<V>> {
        Ok(Watch::new(self.clone(), key, true, self.after(since).await?))
    }

    async fn after(&self, since: Since) -> Result<Option<u64>> {
        Ok(match since {
            Since::Now => Some(self.newest().await?),
            Since::Start => None,
            Since::Revision(revision) => Some(revision),
        })
    }

    /// The map's revision.
    async fn newest(&self) -> Result<u64> {
        Ok(self.count().await?.revision)
    }

    fn read(&self, entry: Option<wire::Entry>) -> Result<Option<Entry<V>>> {
        entry.map(|entry| Entry::new(&self.handle, entry)).transpose()
    }

    pub(super) fn encode(&self, value: &V, call: &'static str) -> Result<v1::Value> {
        let Raw { data, codec } = self.handle.encode(value, call)?;
        Ok(v1::Value { data, codec })
    }
}

/// Entries that were read page by page.
#[derive(Default)]
struct Pages {
    entries: Vec<wire::Entry>,
    /// The map's revision at the first page, and at the last.
    first_revision: u64,
    last_revision: u64,
}
