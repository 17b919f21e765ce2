//! Following a map: a loop of `Next`, with a fresh reading of the map where events are not kept any more.
//!
//! ```text
//!   following ── Next says reset ──► (Scan, page by page) ──► catching up ── events reach the last page ──► following
//! ```
//! While it catches up, an event is skipped if a page already showed its key newer. `Synced` comes when that is over: from then on the
//! fold equals the map at a revision.

use super::{Entry, Kv, Pages, wire};
use crate::{Payload, Result, Wait};
use std::collections::{HashMap, VecDeque};

/// From where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Since {
    /// What changes from now on.
    #[default]
    Now,
    /// The map as it is, then what changes.
    Start,
    /// What changed after this revision; if that is not kept any more, as [`Since::Start`].
    Revision(u64),
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent<V> {
    /// The key has this value now.
    Put {
        /// The key.
        key: String,
        /// Its value.
        value: V,
        /// The revision of the change.
        revision: u64,
    },
    /// The key is gone.
    Delete {
        /// The key.
        key: String,
        /// The revision of the change.
        revision: u64,
        /// `delete`, `expired` (its ttl is over) or `session` (the session it was bound to ended).
        cause: String,
    },
    /// Forget what was told: the map follows as puts, up to [`WatchEvent::Synced`].
    Reset,
    /// What was told since the reset equals the map at this revision.
    Synced {
        /// The map's revision.
        revision: u64,
    },
}

/// Follows the keys of a store that begin with a prefix. It holds nothing at the broker between two calls of `next`.
#[derive(Debug)]
pub struct Watch<V> {
    kv: Kv<V>,
    prefix: String,
    /// The revision up to which events were read; `None`: the map has to be read first.
    after: Option<u64>,
    catching_up: Option<CatchingUp>,
    ready: VecDeque<wire::Event>,
    /// What goes before the ready events, and what after them.
    reset: bool,
    synced: Option<u64>,
}

/// The map was read in pages, while it changed.
#[derive(Debug)]
struct CatchingUp {
    /// The map's revision at the last page.
    target: u64,
    /// The revisions that the pages showed.
    shown: HashMap<String, u64>,
}

impl<V: Payload> Watch<V> {
    pub(super) fn new(kv: Kv<V>, prefix: &str, after: Option<u64>) -> Watch<V> {
        let prefix = prefix.to_owned();
        Watch { kv, prefix, after, catching_up: None, ready: VecDeque::new(), reset: false, synced: None }
    }

    /// Waits for the next event. Dropping the future loses none.
    ///
    /// Fault: `Gone`, when the object was deleted. [`Error::Codec`](crate::Error::Codec), when a value is not a `V`: that event is
    /// over, and the next call goes on behind it.
    pub async fn next(&mut self) -> Result<WatchEvent<V>> {
        loop {
            if std::mem::take(&mut self.reset) {
                return Ok(WatchEvent::Reset);
            }
            if let Some(event) = self.ready.pop_front() {
                return self.read(event);
            }
            if let Some(revision) = self.synced.take() {
                return Ok(WatchEvent::Synced { revision });
            }
            match self.after {
                Some(after) => self.follow(after).await?,
                None => self.read_map().await?,
            }
        }
    }

    fn read(&self, event: wire::Event) -> Result<WatchEvent<V>> {
        let wire::Event { revision, key, entry, cause } = event;
        match entry {
            Some(entry) => {
                let Entry { key, value, .. } = Entry::new(&self.kv.handle, entry)?;
                Ok(WatchEvent::Put { key, value, revision })
            }
            None => Ok(WatchEvent::Delete { key, revision, cause }),
        }
    }

    async fn follow(&mut self, after: u64) -> Result<()> {
        let (object, prefix) = (self.kv.handle.object(), self.prefix.clone());
        let request = wire::NextRequest { object, wait_ms: Wait::Forever.to_ms(), prefix, after, limit: 0 };
        let wire::NextReply { events, upto, reset } = self.kv.handle.call(request).await?;
        if reset {
            self.after = None;
            return Ok(());
        }
        let shown = self.catching_up.as_ref().map(|catching_up| &catching_up.shown);
        let is_news = |event: &wire::Event| shown.and_then(|shown| shown.get(&event.key)).is_none_or(|at| event.revision > *at);
        self.ready.extend(events.into_iter().filter(is_news));
        self.after = Some(upto.max(after));
        self.end_catching_up(upto);
        Ok(())
    }

    async fn read_map(&mut self) -> Result<()> {
        let Pages { entries, first_revision, last_revision } = self.kv.pages(&self.prefix, false).await?;
        let shown = entries.iter().map(|entry| (entry.key.clone(), entry.modify_revision)).collect();
        self.ready = entries.into_iter().map(as_event).collect();
        self.reset = true;
        self.after = Some(first_revision);
        self.catching_up = Some(CatchingUp { target: last_revision, shown });
        self.end_catching_up(first_revision);
        Ok(())
    }

    fn end_catching_up(&mut self, upto: u64) {
        if self.catching_up.take_if(|catching_up| upto >= catching_up.target).is_some() {
            self.synced = Some(upto);
        }
    }
}

fn as_event(entry: wire::Entry) -> wire::Event {
    wire::Event { revision: entry.modify_revision, key: entry.key.clone(), entry: Some(entry), cause: "put".to_owned() }
}
