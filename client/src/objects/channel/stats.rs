//! What a channel tells of itself.

use super::wire;

/// What waits at the ends of a channel, and who receives there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Of end A.
    pub a: EndStats,
    /// Of end B.
    pub b: EndStats,
}

/// What waits for one end, and who receives there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndStats {
    /// It sends and receives no more.
    pub closed: bool,
    /// Messages for this end that nobody was given.
    pub waiting: u64,
    /// Messages that receivers of this end have and are not done with.
    pub given: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Receivers that share the messages.
    pub active: u64,
    /// Receivers with a callback, each of which gets what meets its filter.
    pub passive: u64,
    /// Messages that were done with, since the beginning.
    pub received: u64,
    /// Deliveries that were repeated, since the beginning.
    pub redelivered: u64,
}

impl From<wire::StatsReply> for Stats {
    fn from(wire::StatsReply { a, b }: wire::StatsReply) -> Stats {
        Stats { a: a.unwrap_or_default().into(), b: b.unwrap_or_default().into() }
    }
}

impl From<wire::EndStats> for EndStats {
    fn from(stats: wire::EndStats) -> EndStats {
        let wire::EndStats { closed, waiting, given, bytes, active, passive, received, redelivered } = stats;
        EndStats { closed, waiting, given, bytes, active, passive, received, redelivered }
    }
}
