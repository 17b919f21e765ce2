//! Following a map: a loop of `Next`, with a fresh reading of the map where events are not kept any more.
//!
//! ```text
//!   following ── Next says reset ──► (Scan, page by page) ──► catching up ── events reach the last page ──► following
//! ```
//! While it catches up, an event is skipped if a page already showed its key newer. `Synced` comes when that is over: from then on the
//! fold equals the map at a revision. One key by itself is read by `Get`, and followed as the prefix that it is: the broker knows no
//! other watches, so what happens to longer keys is skipped here.

use super::{super::Handle, Entry, Kv, Pages, wire};
use crate::{Payload, Result, Wait};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
};

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

/// What a watch tells, and what a callback hears.
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

/// What is ready to be told.
pub(super) enum Told {
    Reset,
    Changed(wire::Event),
    Synced(u64),
}

impl Told {
    pub(super) fn read<V: Payload>(self, handle: &Handle) -> Result<WatchEvent<V>> {
        let wire::Event { revision, key, entry, cause } = match self {
            Told::Reset => return Ok(WatchEvent::Reset),
            Told::Synced(revision) => return Ok(WatchEvent::Synced { revision }),
            Told::Changed(event) => event,
        };
        match entry {
            Some(entry) => {
                let Entry { key, value, .. } = Entry::new(handle, entry)?;
                Ok(WatchEvent::Put { key, value, revision })
            }
            None => Ok(WatchEvent::Delete { key, revision, cause }),
        }
    }
}

/// Which event, without its value.
impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told::Reset => formatter.write_str("reset"),
            Told::Changed(event) => write!(formatter, "{} of {:?} at revision {}", event.cause, event.key, event.revision),
            Told::Synced(revision) => write!(formatter, "synced at revision {revision}"),
        }
    }
}

/// Follows one key of a store, or those that begin with a prefix. It holds nothing at the broker between two calls of `next`.
#[derive(Debug)]
pub struct Watch<V> {
    kv: Kv<V>,
    prefix: String,
    /// The prefix is a key, and only that is followed.
    is_exact: bool,
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
    /// The revisions behind the first page's that the pages showed: only of these an event is still to come.
    shown: HashMap<String, u64>,
}

impl<V: Payload> Watch<V> {
    pub(super) fn new(kv: Kv<V>, prefix: &str, is_exact: bool, after: Option<u64>) -> Watch<V> {
        let (prefix, ready) = (prefix.to_owned(), VecDeque::new());
        Watch { kv, prefix, is_exact, after, catching_up: None, ready, reset: false, synced: None }
    }

    /// Waits for the next event. Dropping the future loses none.
    ///
    /// Fault: `Gone`, when the object was deleted. [`Error::Codec`](crate::Error::Codec), when a value is not a `V`: that event is
    /// over, and the next call goes on behind it.
    pub async fn next(&mut self) -> Result<WatchEvent<V>> {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            self.ask().await?;
        }
    }

    /// The next event, if it has come already with those before; the broker is not asked. `None` is no end: go on with
    /// [`Watch::next`]. For who hands on together what came together.
    pub fn try_next(&mut self) -> Option<Result<WatchEvent<V>>> {
        let told = self.pop()?;
        Some(told.read(&self.kv.handle))
    }

    pub(super) fn pop(&mut self) -> Option<Told> {
        if std::mem::take(&mut self.reset) {
            return Some(Told::Reset);
        }
        let changed = self.ready.pop_front().map(Told::Changed);
        changed.or_else(|| self.synced.take().map(Told::Synced))
    }

    /// The revision up to which everything is known, once all that is ready was taken; `None`: the map has to be read first.
    pub(super) fn upto(&self) -> Option<u64> {
        self.after
    }

    /// Waits for an answer of the broker, after which something may be ready. Dropping the future loses nothing.
    pub(super) async fn ask(&mut self) -> Result<()> {
        match self.after {
            Some(after) => self.follow(after).await,
            None => self.read_map().await,
        }
    }

    async fn follow(&mut self, after: u64) -> Result<()> {
        // What happened while the map was read is there: who waited for more would not be synced while nothing happens.
        let wait = if self.catching_up.is_some() { Wait::Never } else { Wait::Forever };
        let (object, prefix) = (self.kv.handle.object(), self.prefix.clone());
        let request = wire::NextRequest { object, wait_ms: wait.to_ms(), prefix, after, limit: 0 };
        let wire::NextReply { events, upto, reset, synced: _ } = self.kv.handle.call(request).await?;
        if reset {
            self.after = None;
            return Ok(());
        }
        let shown = self.catching_up.as_ref().map(|catching_up| &catching_up.shown);
        let is_news = |event: &wire::Event| shown.and_then(|shown| shown.get(&event.key)).is_none_or(|at| event.revision > *at);
        let is_followed = |event: &wire::Event| !self.is_exact || event.key == self.prefix;
        self.ready.extend(events.into_iter().filter(|event| is_followed(event) && is_news(event)));
        self.after = Some(upto.max(after));
        self.end_catching_up(upto);
        Ok(())
    }

    async fn read_map(&mut self) -> Result<()> {
        let Pages { entries, first_revision, last_revision } = match self.is_exact {
            true => self.kv.page_of_one(&self.prefix).await?,
            false => self.kv.pages(&self.prefix, false).await?,
        };
        let is_ahead = |entry: &&wire::Entry| entry.modify_revision > first_revision;
        let shown = entries.iter().filter(is_ahead).map(|entry| (entry.key.clone(), entry.modify_revision)).collect();
        self.ready = entries.into_iter().map(as_event).collect();
        self.reset = true;
        self.synced = None;
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
