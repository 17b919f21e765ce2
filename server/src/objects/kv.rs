//! The key-value store: a map from string keys to values in which every change has the next revision.
//!
//! ```text
//!   absent ── Put, SetDefault, Incr ──► present ── Delete, Clear, ttl over, bound session ended ──► absent
//! ```
//!
//! It is not a database: nothing is searched for by value, and old values are kept only as events for watchers that lag behind. Expired keys are removed by [`Kind::elapsed`] and by nothing else: **the host applies `elapsed(now)` until it says
//! `None` before it asks `decide(.., now)`**, so that reads are never stale and an expiry has its revision before that of what
//! follows it. [`Kind::decide`] only debug-checks this.

mod draft;
mod events;
mod integer;
mod invariants;
mod map;
#[cfg(test)]
mod tests;
mod verbs;
mod wire;

use super::{
    kind::{Decision, Departure, Kind, Line, Moment, SessionId, Test, Together},
    value::Value,
};
use bursar_proto::Fault;
use draft::Draft;
use events::{Events, Happened};
use map::Map;
use std::sync::Arc;

/// 1 to 1024 bytes of UTF-8. Shared between the map, its indexes and the events.
pub type Key = Arc<str>;

/// Watchers, all of whom are asked after a change.
const WATCHERS: Line = Line::Crowd(0);
/// Keys that one [`Change::Expired`] removes, so that a mass expiry does not stop the object for long.
const EXPIRED_MAX: u32 = 1000;
/// Entries in one [`Change::Restored`].
const RESTORED_MAX: usize = 1000;
/// Keys and values in one [`Change::Restored`], unless a single one is larger: engines bound their records.
const RESTORED_BYTES_MAX: u64 = 1 << 20;

/// A limited life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// How long it is when it starts afresh; at least 1.
    pub length_ms: u64,
    /// When it ends: from this moment on the key is absent.
    pub expires: Moment,
}

impl Ttl {
    fn starting(now: Moment, length_ms: u64) -> Ttl {
        Ttl { length_ms, expires: now.after_ms(length_ms) }
    }
}

/// What is known of a key that is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it holds. The broker looks at it for `Incr` only.
    pub value: Value,
    /// The revision that made the key present.
    pub create_revision: u64,
    /// The revision that gave it this value.
    pub modify_revision: u64,
    /// When it goes by itself; `None` is never.
    pub ttl: Option<Ttl>,
    /// The session with which it goes.
    pub session: Option<SessionId>,
}

impl Stored {
    /// What an event tells of it: all but the ttl, which changes without an event.
    fn told(&self) -> (&Value, u64, u64, Option<SessionId>) {
        (&self.value, self.create_revision, self.modify_revision, self.session)
    }

    /// How a caller sees it now.
    fn entry(&self, key: &Key, now: Moment) -> Entry {
        Entry {
            key: key.clone(),
            value: Some(self.value.clone()),
            create_revision: self.create_revision,
            modify_revision: self.modify_revision,
            // 0 would say that there is no ttl; an event can be read when its entry has expired since.
            ttl_left_ms: self.ttl.map_or(0, |ttl| ttl.expires.ms_since(now).max(1)),
            session: self.session,
        }
    }
}

/// A key as a caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: Key,
    /// What it holds; `None` when only keys were asked for.
    pub value: Option<Value>,
    /// The revision that made the key present.
    pub create_revision: u64,
    /// The revision that gave it this value.
    pub modify_revision: u64,
    /// 0: it has no ttl.
    pub ttl_left_ms: u64,
    /// The session with which it goes.
    pub session: Option<SessionId>,
}

/// Why a key has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was given a value.
    Put,
    /// Somebody deleted it, or cleared the map.
    Delete,
    /// Its ttl was over.
    Expired,
    /// The session to which it was bound ended.
    Session,
}

/// One change of one key, as a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// One event, one revision.
    pub revision: u64,
    /// The key that changed.
    pub key: Key,
    /// What it is now; `None`: absent.
    pub entry: Option<Entry>,
    /// Why it changed.
    pub cause: Cause,
}

/// What must be true for a verb to do anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key was last changed by this revision; 0: it is absent.
    Revision(u64),
    /// The key is present.
    Present,
}

/// How long a key is to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is deleted.
    Forever,
    /// For this many milliseconds; at least 1.
    For(u64),
    /// As long as it had: a key that is new lives for ever.
    Kept,
}

/// What is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Where.
    pub key: Key,
    /// What.
    pub value: Value,
    /// Refused when it does not hold.
    pub condition: Option<Condition>,
    /// For how long.
    pub lifetime: Lifetime,
    /// Bound to the caller's session; without it the key is bound to none, even if it was before.
    pub bind: bool,
}

/// What a session asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Get {
        key: Key,
        touch: bool,
    },
    Put(Put),
    /// As put, but what is there stays.
    SetDefault(Put),
    Delete {
        key: Key,
        condition: Option<Condition>,
    },
    Contains {
        key: Key,
    },
    Len {
        prefix: Key,
    },
    Scan {
        prefix: Key,
        after: Key,
        limit: usize,
        keys_only: bool,
    },
    Clear {
        prefix: Key,
    },
    Incr {
        key: Key,
        by: i64,
    },
    Expire {
        key: Key,
        lifetime: Lifetime,
    },
    Next {
        after: u64,
        prefix: Key,
        limit: usize,
        waits: bool,
    },
}

/// What it is told. `revision` is the map's, after the verb.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reply {
    Get { entry: Option<Entry>, revision: u64 },
    Put { revision: u64, previous: Option<Entry> },
    SetDefault { entry: Entry, created: bool },
    Delete { previous: Option<Entry>, revision: u64 },
    Contains { contains: bool },
    Len { len: u64, revision: u64 },
    Scan { entries: Vec<Entry>, more: bool, revision: u64 },
    Clear { count: u64, revision: u64 },
    Incr { value: i64, revision: u64 },
    Expire { found: bool },
    Next { events: Vec<Event>, upto: u64, reset: bool },
}

/// What the map remembers. Every key that changes takes the next revision, in the order that is written here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key has a value: one revision.
    Stored {
        /// The key.
        key: Key,
        /// Its new value.
        value: Value,
        /// From now on; `None`: it has none any more.
        ttl: Option<Ttl>,
        /// From now on; `None`: it is not bound any more.
        session: Option<SessionId>,
    },
    /// A key that is present lives for another time. No revision, no event: the value is the same.
    Timed {
        /// The key.
        key: Key,
        /// `None`: for ever.
        ttl: Option<Ttl>,
    },
    /// A key was deleted.
    Deleted {
        /// The key.
        key: Key,
    },
    /// All keys under the prefix were deleted, in byte order.
    Cleared {
        /// "" is every key.
        prefix: Key,
    },
    /// The first `keys_max` of the keys that expire at or before `until` are gone, ordered by expiry, then key.
    Expired {
        /// The moment that was reached.
        until: Moment,
        /// A part of the change, so that another bound in another version does not reinterpret old changes.
        keys_max: u32,
    },
    /// The keys bound to the session are gone, in byte order.
    Departed {
        /// The session that ended.
        session: SessionId,
    },
    /// From [`Kind::history`]: the map had this revision and, among others, these entries. No events: a watcher that knew an
    /// earlier revision reads the map afresh.
    Restored {
        /// Of the map.
        revision: u64,
        /// As they were.
        entries: Vec<(Key, Stored)>,
    },
}

/// What the creator of a map asks for, with every default written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    /// Keys that are present.
    max_keys: u64,
    /// Of keys and values.
    max_bytes: u64,
    /// Changes kept for watchers that lag behind.
    events_max: u32,
}

/// A map with revisions. See the [module](self).
#[derive(Debug)]
pub struct Kv {
    /// As it was created.
    options: Options,
    /// What is present.
    map: Map,
    /// Of the last change; 0: none yet.
    revision: u64,
    /// The last changes, for watchers.
    events: Events,
}

impl Kv {
    fn new(options: Options) -> Kv {
        Kv { options, map: Map::default(), revision: 0, events: Events::new(options.events_max as usize) }
    }

    fn store(&mut self, key: Key, value: Value, ttl: Option<Ttl>, session: Option<SessionId>) {
        self.revision += 1;
        let revision = self.revision;
        let create_revision = self.map.get(&key).map_or(revision, |old| old.create_revision);
        let stored = Stored { value, create_revision, modify_revision: revision, ttl, session };
        self.events.push(Happened { revision, key: key.clone(), stored: Some(stored.clone()), cause: Cause::Put });
        self.map.insert(key, stored);
    }

    fn remove(&mut self, keys: Vec<Key>, cause: Cause) {
        for key in keys {
            if self.map.remove(&key).is_some() {
                self.revision += 1;
                self.events.push(Happened { revision: self.revision, key, stored: None, cause });
            }
        }
    }

    fn restore(&mut self, revision: u64, entries: Vec<(Key, Stored)>) {
        self.revision = self.revision.max(revision);
        self.events.forget(self.revision);
        for (key, stored) in entries {
            self.map.insert(key, stored);
        }
    }
}

impl Kind for Kv {
    const NAME: &'static str = "kv";
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    fn line(command: &Command) -> Option<Line> {
        matches!(command, Command::Next { waits: true, .. }).then_some(WATCHERS)
    }

    fn decide(&self, caller: SessionId, command: &Command, now: Moment) -> Decision<Kv> {
        // `Next` reads what has happened, and may be asked before all that is due has.
        let is_settled = matches!(command, Command::Next { .. }) || self.due().is_none_or(|due| due > now);
        debug_assert!(is_settled, "the host applies elapsed({now:?}) before it asks");
        self.answer(caller, command, now).unwrap_or_else(Decision::Refuse)
    }

    fn overdue(&self, command: &Command, _now: Moment) -> Fault {
        let what = match command {
            Command::Next { after, prefix, .. } => format!("no change under {prefix:?} after revision {after}"),
            _ => "the call".to_owned(),
        };
        Fault::TimedOut { what }
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Stored { key, value, ttl, session } => self.store(key, value, ttl, session),
            Change::Timed { key, ttl } => self.map.time(&key, ttl),
            Change::Deleted { key } => self.remove(vec![key], Cause::Delete),
            Change::Cleared { prefix } => {
                self.remove(self.map.under(&prefix, "").map(|(key, _)| key.clone()).collect(), Cause::Delete)
            }
            Change::Expired { until, keys_max } => self.remove(self.map.expired(until, keys_max), Cause::Expired),
            Change::Departed { session } => self.remove(self.map.bound_to(session), Cause::Session),
            Change::Restored { revision, entries } => self.restore(revision, entries),
        }
    }

    fn history(&self) -> Vec<Change> {
        if self.revision == 0 {
            return Vec::new();
        }
        let revision = self.revision;
        let (mut changes, mut entries, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (key, stored) in self.map.iter() {
            let size = map::size(key, &stored.value);
            if !entries.is_empty() && (bytes + size > RESTORED_BYTES_MAX || entries.len() == RESTORED_MAX) {
                changes.push(Change::Restored { revision, entries: std::mem::take(&mut entries) });
                bytes = 0;
            }
            bytes += size;
            entries.push((key.clone(), stored.clone()));
        }
        // Also without entries: the revision goes on where it was.
        changes.push(Change::Restored { revision, entries });
        changes
    }

    fn departed(&self, session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        self.map.binds(session).then_some(Change::Departed { session })
    }

    /// No reply gives anything that could be lost.
    fn unheard(&self, _caller: SessionId, _reply: &Reply, _now: Moment) -> Option<Change> {
        None
    }

    fn due(&self) -> Option<Moment> {
        self.map.due()
    }

    fn elapsed(&self, now: Moment) -> Option<Change> {
        let is_due = self.due().is_some_and(|due| due <= now);
        is_due.then_some(Change::Expired { until: now, keys_max: EXPIRED_MAX })
    }

    fn awaited(&self, _command: &Command) -> &'static str {
        "for a change of a key"
    }

    /// The verbs of a single key.
    fn joins(command: &Command) -> bool {
        match command {
            Command::Get { .. } | Command::Put(_) | Command::SetDefault(_) => true,
            Command::Delete { .. } | Command::Contains { .. } | Command::Incr { .. } => true,
            Command::Len { .. } | Command::Scan { .. } | Command::Clear { .. } => false,
            Command::Expire { .. } | Command::Next { .. } => false,
        }
    }

    /// As one after the other: each sees what those before it change, and finds the room that they leave.
    fn decide_all(&self, caller: SessionId, commands: &[Command], now: Moment) -> Result<Together<Kv>, Fault> {
        let steps = Draft::of(self).steps(caller, commands, now)?;
        let (changes, replies): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        Ok((changes.into_iter().flatten().collect(), replies))
    }

    fn test(&self, _caller: SessionId, test: &Test) -> Option<bool> {
        match test {
            Test::KeyRevision { key, revision } => {
                Some(self.map.get(key).map_or(0, |stored| stored.modify_revision) == *revision)
            }
            Test::KeyPresent { key, present } => Some(self.map.get(key).is_some() == *present),
            Test::KeyValue { key, data, codec } => {
                Some(self.map.get(key).is_some_and(|stored| stored.value.data == *data && stored.value.codec == *codec))
            }
            _ => None,
        }
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("keys", self.map.len()),
            ("bytes", self.map.bytes()),
            ("revision", self.revision),
            ("events", self.events.len() as u64),
        ]
    }

    fn violation(&self) -> Option<String> {
        self.broken().map(|what| format!("K1: {what}"))
    }
}
