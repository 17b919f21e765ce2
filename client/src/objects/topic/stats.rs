//! What a topic tells of itself.

use super::wire;

/// What was published, and how far who follows is behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The position of the last message published; 0: there was none.
    pub position: u64,
    /// The position of the oldest that can be replayed; `None`: none can.
    pub first_kept: Option<u64>,
    /// Bytes of those that can be replayed.
    pub kept_bytes: u64,
    /// Who follows: those who missed most first, at most 1,000.
    pub subscriptions: Vec<SubscriptionStats>,
    /// How many there are.
    pub subscription_count: u64,
    /// How many messages all of them together missed, since the beginning.
    pub missed: u64,
}

/// How far a subscription, or a group, is behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// Its number; of a group 0.
    pub subscription: u64,
    /// Whose it is; of a group 0.
    pub session: u64,
    /// The group's name; empty: it is none.
    pub group: String,
    /// How many share it.
    pub members: u32,
    /// What it follows; empty: everything.
    pub subjects: Vec<String>,
    /// Messages that it has not been given.
    pub buffered: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Of a group: messages that members have and are not done with.
    pub given: u64,
    /// Messages that it missed, since the beginning.
    pub missed: u64,
}

impl From<wire::StatsReply> for Stats {
    fn from(stats: wire::StatsReply) -> Stats {
        let wire::StatsReply { position, first_kept, kept_bytes, subscriptions, subscription_count, missed } = stats;
        let subscriptions = subscriptions.into_iter().map(SubscriptionStats::from).collect();
        let first_kept = (first_kept > 0).then_some(first_kept);
        Stats { position, first_kept, kept_bytes, subscriptions, subscription_count, missed }
    }
}

impl From<wire::SubscriptionStats> for SubscriptionStats {
    fn from(stats: wire::SubscriptionStats) -> SubscriptionStats {
        let wire::SubscriptionStats { subscription, session, group, members, subjects, buffered, bytes, given, missed } = stats;
        SubscriptionStats { subscription, session, group, members, subjects, buffered, bytes, given, missed }
    }
}
