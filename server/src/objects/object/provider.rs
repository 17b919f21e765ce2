//! One who serves the object.

use super::SessionId;
use std::{collections::BTreeSet, sync::Arc};

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Provider {
    pub session: SessionId,
    /// Calls at once.
    pub capacity: u64,
    /// Those that it serves.
    pub methods: Arc<BTreeSet<Arc<str>>>,
    /// The numbers of its Takes that wait.
    pub asks: BTreeSet<u64>,
    /// The calls that it has.
    pub given: BTreeSet<u64>,
    /// Those of them that it was not told of: one of its Takes will be, in the same step.
    pub offered: BTreeSet<u64>,
    /// Those of them that nobody wants any more, which it was not told of.
    pub cancelled: BTreeSet<u64>,
}

impl Provider {
    pub fn new(session: SessionId, capacity: u64, methods: BTreeSet<Arc<str>>) -> Provider {
        Provider {
            session,
            capacity,
            methods: Arc::new(methods),
            asks: BTreeSet::new(),
            given: BTreeSet::new(),
            offered: BTreeSet::new(),
            cancelled: BTreeSet::new(),
        }
    }

    /// How many calls it could begin.
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.given.len() as u64)
    }

    /// Whether one of its Takes waits for a call that it could begin.
    pub fn is_idle(&self) -> bool {
        self.offered.len() < self.asks.len() && self.free() > 0
    }

    /// It does not have the call any more; false: it never had it.
    pub fn drop_call(&mut self, call: u64) -> bool {
        self.offered.remove(&call);
        self.cancelled.remove(&call);
        self.given.remove(&call)
    }
}
