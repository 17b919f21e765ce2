//! What is present, with its two indexes: by expiry and by session. It knows no revisions and no events.

use super::{Key, Moment, SessionId, Stored, Ttl, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

/// What an entry counts against `max_bytes`.
pub(super) fn size(key: &str, value: &Value) -> u64 {
    (key.len() + value.data.len()) as u64
}

/// Entries by key. Every change goes through `insert`, `remove` or `time`, which keep the indexes.
#[derive(Debug, Default)]
pub(super) struct Map {
    entries: BTreeMap<Key, Stored>,
    /// The sum of `size`.
    bytes: u64,
    /// All keys with a ttl.
    expiries: BTreeSet<(Moment, Key)>,
    /// All keys bound to a session; no set is empty.
    bound: BTreeMap<SessionId, BTreeSet<Key>>,
}

impl Map {
    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn get(&self, key: &str) -> Option<&Stored> {
        self.entries.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Stored)> {
        self.entries.iter()
    }

    /// The entries whose keys start with `prefix` and are greater than `after`, in byte order of the keys.
    pub(super) fn under<'a>(&'a self, prefix: &'a str, after: &'a str) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        // No key is empty, so `after` "" excludes nothing.
        let from = if after < prefix { Included(prefix) } else { Excluded(after) };
        self.entries.range::<str, _>((from, Unbounded)).take_while(move |(key, _)| key.starts_with(prefix))
    }

    pub(super) fn insert(&mut self, key: Key, stored: Stored) {
        self.bytes += size(&key, &stored.value);
        let (ttl, session) = (stored.ttl, stored.session);
        if let Some(old) = self.entries.insert(key.clone(), stored) {
            self.forget(&key, &old);
        }
        if let Some(ttl) = ttl {
            self.expiries.insert((ttl.expires, key.clone()));
        }
        if let Some(session) = session {
            self.bound.entry(session).or_default().insert(key);
        }
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Stored> {
        let stored = self.entries.remove(key)?;
        self.forget(key, &stored);
        Some(stored)
    }

    /// Takes what was stored out of the sum and the indexes.
    fn forget(&mut self, key: &Key, stored: &Stored) {
        self.bytes -= size(key, &stored.value);
        if let Some(ttl) = stored.ttl {
            self.expiries.remove(&(ttl.expires, key.clone()));
        }
        if let Some(session) = stored.session
            && let Some(keys) = self.bound.get_mut(&session)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.bound.remove(&session);
            }
        }
    }

    /// Gives a key another ttl; nothing if it is absent.
    pub(super) fn time(&mut self, key: &Key, ttl: Option<Ttl>) {
        let Some(stored) = self.entries.get_mut(key) else { return };
        if let Some(old) = std::mem::replace(&mut stored.ttl, ttl) {
            self.expiries.remove(&(old.expires, key.clone()));
        }
        if let Some(ttl) = ttl {
            self.expiries.insert((ttl.expires, key.clone()));
        }
    }

    /// The first expiry.
    pub(super) fn due(&self) -> Option<Moment> {
        self.expiries.first().map(|(expires, _)| *expires)
    }

    /// The first `keys_max` keys that expire at or before `until`.
    pub(super) fn expired(&self, until: Moment, keys_max: u32) -> Vec<Key> {
        let due = self.expiries.iter().take_while(|(expires, _)| *expires <= until);
        due.take(keys_max as usize).map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn binds(&self, session: SessionId) -> bool {
        self.bound.contains_key(&session)
    }

    /// The keys bound to the session.
    pub(super) fn bound_to(&self, session: SessionId) -> Vec<Key> {
        self.bound.get(&session).into_iter().flatten().cloned().collect()
    }

    /// Whether the sum and the indexes are what the entries say.
    pub(super) fn violation(&self) -> Option<String> {
        let bytes: u64 = self.entries.iter().map(|(key, stored)| size(key, &stored.value)).sum();
        if bytes != self.bytes {
            return Some(format!("the entries have {bytes} bytes, counted are {}", self.bytes));
        }
        let expiries: BTreeSet<_> =
            self.entries.iter().filter_map(|(key, stored)| Some((stored.ttl?.expires, key.clone()))).collect();
        if expiries != self.expiries {
            return Some(format!("the index of expiries is {:?}, the entries say {expiries:?}", self.expiries));
        }
        let mut bound: BTreeMap<SessionId, BTreeSet<Key>> = BTreeMap::new();
        for (key, stored) in &self.entries {
            if let Some(session) = stored.session {
                bound.entry(session).or_default().insert(key.clone());
            }
        }
        (bound != self.bound).then(|| format!("the index of sessions is {:?}, the entries say {bound:?}", self.bound))
    }
}
