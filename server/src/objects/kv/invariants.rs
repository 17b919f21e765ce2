//! K1: every key has one value, the one of its last revision, and the map, its indexes, its events and its revision all say the
//! same. Linear: for tests and simulation.

use super::{Happened, Key, Kv, Stored};
use std::collections::{BTreeMap, BTreeSet};

impl Kv {
    /// What is contradicted by what.
    pub(super) fn broken(&self) -> Option<String> {
        let alone = self.map.violation().or_else(|| self.events.violation(self.revision));
        alone.or_else(|| self.contradiction())
    }

    fn contradiction(&self) -> Option<String> {
        let last: BTreeMap<&Key, &Happened> = self.events.all().map(|event| (&event.key, event)).collect();
        for (key, event) in &last {
            if self.map.get(key).map(Stored::told) != event.stored.as_ref().map(Stored::told) {
                return Some(format!("the last event of {key:?}, revision {}, is not what the map holds", event.revision));
            }
        }
        let mut revisions = BTreeSet::new();
        for (key, stored) in self.map.iter() {
            let (created, modified) = (stored.create_revision, stored.modify_revision);
            if created == 0 || created > modified || modified > self.revision {
                return Some(format!("{key:?} has revisions {created} and {modified}, the map has {}", self.revision));
            }
            if modified > self.events.floor() && !last.contains_key(key) {
                return Some(format!("{key:?} has revision {modified}, and no event has"));
            }
            if !revisions.insert(modified) {
                return Some(format!("revision {modified} belongs to {key:?} and to another key"));
            }
        }
        (self.map.len() > self.options.max_keys || self.map.bytes() > self.options.max_bytes)
            .then(|| format!("{} keys, {} bytes: more than {:?}", self.map.len(), self.map.bytes(), self.options))
    }
}
