//! The subscriptions of a topic: whose they are, and what each gets.

use super::SessionId;
use std::collections::{BTreeMap, BTreeSet};

/// Whose it is, and what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) session: SessionId,
    /// The key of its stream: its own number, or that of the first member of its group.
    pub(super) stream: u64,
}

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscribers {
    /// By number.
    all: BTreeMap<u64, Subscription>,
    /// The same by session, so that the end of a session does not look at the subscriptions of all others.
    by_session: BTreeSet<(SessionId, u64)>,
}

impl Subscribers {
    pub(super) fn add(&mut self, id: u64, subscription: Subscription) {
        self.by_session.insert((subscription.session, id));
        self.all.insert(id, subscription);
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Subscription> {
        let subscription = self.all.remove(&id)?;
        self.by_session.remove(&(subscription.session, id));
        Some(subscription)
    }

    pub(super) fn get(&self, id: u64) -> Option<Subscription> {
        self.all.get(&id).copied()
    }

    /// By number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Subscription)> {
        self.all.iter().map(|(id, subscription)| (*id, *subscription))
    }

    /// Those of one session.
    pub(super) fn of(&self, session: SessionId) -> impl Iterator<Item = u64> {
        self.by_session.range((session, 0)..=(session, u64::MAX)).map(|(_, id)| *id)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// What its index contradicts.
    pub(super) fn contradiction(&self) -> Option<String> {
        let by_session: BTreeSet<_> = self.iter().map(|(id, subscription)| (subscription.session, id)).collect();
        (by_session != self.by_session).then(|| "the subscriptions are not those of their sessions".to_owned())
    }
}
