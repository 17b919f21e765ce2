//! The semaphore: permits that are held under tokens, first come, first served.
//!
//! ```text
//!   available ── Acquire(n) ──► held under one token ── Release, or the session ended ──► available
//!       ▲            └─ consume: gone for ever
//!       └── Add(n): new ones (not if bounded)
//! ```
//!
//! Who asks for many is not overtaken by who asks for few: permits may be available and nobody behind that request gets them. It is
//! no lock: its tokens are fit to release with, not to fence with, as several hold it at once.

#[cfg(test)]
mod tests;
mod wire;

use super::kind::{Blocking, Decision, Departure, Holding, Kind, Line, Moment, SessionId};
use bursar_proto::Fault;
use std::collections::{BTreeMap, BTreeSet};

/// Who waits for permits.
const ACQUIRERS: Line = Line::Queue(0);
/// Permits that creation and `Add` lead to at most: far more than anybody counts, and far from the end of the numbers.
const PERMITS_MAX: u64 = 1 << 32;
/// Grants at one time: each of them is remembered, and one change gives all those of a session back.
const GRANTS_MAX: usize = 100_000;
/// Grants in one [`Change::Restored`]: engines bound their records.
const RESTORED_MAX: usize = 10_000;

/// What a session asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Permits, all at once; waits while there are not so many.
    Acquire {
        /// At least 1.
        count: u64,
        /// They are not held, and never come back.
        consume: bool,
    },
    /// Gives back everything that one `Acquire` gave.
    Release {
        /// Of the caller.
        token: u64,
    },
    /// New permits.
    Add {
        /// At least 1.
        count: u64,
    },
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reply {
    Acquire {
        /// 0: they were consumed.
        token: u64,
        count: u64,
    },
    Release {
        available: u64,
    },
    Add {
        available: u64,
    },
}

/// Permits that a session holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who holds them.
    pub session: SessionId,
    /// How many.
    pub count: u64,
    /// Since when.
    pub since: Moment,
}

/// What the semaphore remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Permits are held under a new token.
    Granted {
        /// The token.
        token: u64,
        /// By whom, how many, since when.
        grant: Grant,
    },
    /// Permits are gone for ever.
    Consumed {
        /// How many.
        count: u64,
    },
    /// What was held under these tokens is available again.
    Released {
        /// In their order.
        tokens: Vec<u64>,
    },
    /// There are more permits.
    Added {
        /// How many more.
        count: u64,
    },
    /// From [`Kind::history`]: so many were available, and these, among others, were held.
    Restored {
        /// The largest that was ever given.
        last_token: u64,
        /// To acquire.
        available: u64,
        /// By token.
        held: Vec<(u64, Grant)>,
    },
}

/// What the creator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    /// At the beginning.
    permits: u64,
    /// There are never more than that.
    bounded: bool,
    /// A wait that would close a circle is refused.
    refuses_deadlock: bool,
}

/// Permits. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semaphore {
    /// As it was created.
    options: Options,
    /// Permits that nobody holds.
    available: u64,
    /// Permits that somebody holds: the sum of the grants.
    permits_held: u64,
    /// By token: the oldest first.
    held: BTreeMap<u64, Grant>,
    /// The same tokens by session, so that the end of a session does not look at the grants of all others.
    tokens: BTreeSet<(SessionId, u64)>,
    /// The largest token that was ever given, or the epoch.
    last_token: u64,
}

impl Semaphore {
    fn new(options: Options, epoch: u64) -> Semaphore {
        let (held, tokens) = (BTreeMap::new(), BTreeSet::new());
        Semaphore { options, available: options.permits, permits_held: 0, held, tokens, last_token: epoch }
    }

    /// More permits than this there never are.
    fn limit(&self) -> u64 {
        if self.options.bounded { self.options.permits } else { PERMITS_MAX }
    }

    fn acquire(&self, session: SessionId, count: u64, consume: bool, now: Moment) -> Decision<Semaphore> {
        if consume && self.options.bounded {
            let problem = "expected false: what a bounded semaphore gives comes back, got true";
            return Decision::Refuse(Fault::bad_argument("consume", problem));
        }
        if count > self.limit() {
            return Decision::Refuse(Fault::TooManyPermits { asked: count, limit: self.limit() });
        }
        if count > self.available {
            return Decision::Wait;
        }
        if consume {
            return Decision::Change(Change::Consumed { count }, Reply::Acquire { token: 0, count });
        }
        if self.held.len() >= GRANTS_MAX {
            let (what, limit) = ("grants of one semaphore that are held".into(), GRANTS_MAX as u64);
            return Decision::Refuse(Fault::LimitReached { what, limit });
        }
        let token = self.last_token + 1;
        let grant = Grant { session, count, since: now };
        Decision::Change(Change::Granted { token, grant }, Reply::Acquire { token, count })
    }

    fn release(&self, caller: SessionId, token: u64) -> Decision<Semaphore> {
        match self.held_by(caller, token) {
            None => Decision::Refuse(Fault::NotHeld { lease: token }),
            Some(grant) => {
                let available = self.available.saturating_add(grant.count);
                Decision::Change(Change::Released { tokens: vec![token] }, Reply::Release { available })
            }
        }
    }

    fn add(&self, count: u64) -> Decision<Semaphore> {
        let asked = self.available.saturating_add(self.permits_held).saturating_add(count);
        if asked > self.limit() {
            return Decision::Refuse(Fault::TooManyPermits { asked, limit: self.limit() });
        }
        Decision::Change(Change::Added { count }, Reply::Add { available: self.available + count })
    }

    fn held_by(&self, session: SessionId, token: u64) -> Option<&Grant> {
        self.held.get(&token).filter(|grant| grant.session == session)
    }

    fn grant(&mut self, token: u64, grant: Grant) {
        self.permits_held += grant.count;
        self.held.insert(token, grant);
        self.tokens.insert((grant.session, token));
    }

    fn take_back(&mut self, token: u64) {
        if let Some(grant) = self.held.remove(&token) {
            self.tokens.remove(&(grant.session, token));
            self.permits_held -= grant.count;
            self.available = self.available.saturating_add(grant.count);
        }
    }
}

impl Kind for Semaphore {
    const NAME: &'static str = "semaphore";
    const IS_HELD: bool = true;
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    fn line(command: &Command) -> Option<Line> {
        matches!(command, Command::Acquire { .. }).then_some(ACQUIRERS)
    }

    fn decide(&self, caller: SessionId, command: &Command, now: Moment) -> Decision<Semaphore> {
        match *command {
            Command::Acquire { count, consume } => self.acquire(caller, count, consume, now),
            Command::Release { token } => self.release(caller, token),
            Command::Add { count } => self.add(count),
        }
    }

    /// All available permits may be said to be too few: they are for those in front.
    fn overdue(&self, command: &Command, _now: Moment) -> Fault {
        let asked = match command {
            Command::Acquire { count, .. } => *count,
            Command::Release { .. } | Command::Add { .. } => 0,
        };
        Fault::NoPermits { asked, available: self.available }
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Granted { token, grant } => {
                self.available = self.available.saturating_sub(grant.count);
                self.last_token = self.last_token.max(token);
                self.grant(token, grant);
            }
            Change::Consumed { count } => self.available = self.available.saturating_sub(count),
            Change::Released { tokens } => tokens.into_iter().for_each(|token| self.take_back(token)),
            Change::Added { count } => self.available = self.available.saturating_add(count),
            Change::Restored { last_token, available, held } => {
                (self.last_token, self.available) = (last_token, available);
                held.into_iter().for_each(|(token, grant)| self.grant(token, grant));
            }
        }
    }

    fn history(&self) -> Vec<Change> {
        let (last_token, available) = (self.last_token, self.available);
        let mut held: Vec<_> = self.held.iter().map(|(token, grant)| (*token, *grant)).collect();
        let mut changes = Vec::new();
        loop {
            let rest = held.split_off(held.len().min(RESTORED_MAX));
            changes.push(Change::Restored { last_token, available, held });
            if rest.is_empty() {
                return changes;
            }
            held = rest;
        }
    }

    fn departed(&self, session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        let tokens: Vec<_> = self.tokens.range((session, 0)..=(session, u64::MAX)).map(|(_, token)| *token).collect();
        (!tokens.is_empty()).then_some(Change::Released { tokens })
    }

    /// What was consumed and never heard of becomes available again: a signal is not lost on its way.
    fn unheard(&self, caller: SessionId, reply: &Reply, _now: Moment) -> Option<Change> {
        match *reply {
            Reply::Acquire { token: 0, count } => Some(Change::Added { count }),
            Reply::Acquire { token, .. } => self.held_by(caller, token).map(|_| Change::Released { tokens: vec![token] }),
            Reply::Release { .. } | Reply::Add { .. } => None,
        }
    }

    fn due(&self) -> Option<Moment> {
        None
    }

    fn elapsed(&self, _now: Moment) -> Option<Change> {
        None
    }

    fn holdings(&self) -> Vec<Holding> {
        let holding = |(token, grant): (&u64, &Grant)| Holding {
            session: grant.session,
            what: if grant.count == 1 { "1 permit".into() } else { format!("{} permits", grant.count) },
            since: Some(grant.since),
            token: *token,
        };
        self.held.iter().map(holding).collect()
    }

    /// While nobody holds any, that is nobody in particular: somebody may add some.
    fn blocking(&self, _command: &Command) -> Blocking {
        Blocking::AnyHolder
    }

    fn awaited(&self, command: &Command) -> &'static str {
        match command {
            Command::Acquire { consume: true, .. } => "to consume permits of it",
            _ => "to acquire permits of it",
        }
    }

    fn refuses_deadlock(&self) -> bool {
        self.options.refuses_deadlock
    }

    fn last_token(&self) -> u64 {
        self.last_token
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("available", self.available), ("held", self.permits_held), ("grants", self.held.len() as u64)]
    }

    fn violation(&self) -> Option<String> {
        let (available, held, permits) = (self.available, self.permits_held, self.options.permits);
        let sum: u64 = self.held.values().map(|grant| grant.count).sum();
        if sum != held {
            return Some(format!("S1: {sum} permits are held, and {held} counted"));
        }
        if self.options.bounded && available.checked_add(held) != Some(permits) {
            return Some(format!("S1: {available} permits are available and {held} held, of {permits}"));
        }
        if let Some((token, _)) = self.held.iter().find(|(token, grant)| **token > self.last_token || grant.count == 0) {
            return Some(format!("S1: a grant under the token {token} that was never given (the last is {})", self.last_token));
        }
        let by_session: BTreeSet<_> = self.held.iter().map(|(token, grant)| (grant.session, *token)).collect();
        (by_session != self.tokens).then(|| "S1: the tokens of the sessions are not those that are held".into())
    }
}
