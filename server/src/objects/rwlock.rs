//! A lock that many may hold to read, or one to write.
//!
//! ```text
//!   free ── Acquire(read) ──► read by n ── the last Release ──► free
//!     └──── Acquire(write) ─► written by one ── Release ──► free
//!                                └── Downgrade ──► read by that one
//! ```
//!
//! First come, first served: readers at the front of the line are granted together, and who wants to read behind a waiting writer
//! waits, so that no writer starves. Readers do not become writers: two that wait for each other would never end.
//!
//! Who waits is not known here, so handing over costs the same whatever the length of the line.

#[cfg(test)]
mod tests;
mod wire;

use super::{
    grant::{Grant, Owner, not_held},
    kind::{Blocking, Decision, Departure, Holding, Kind, Line, Moment, SessionId, Test},
};
use bursar_proto::Fault;
use std::collections::{BTreeMap, BTreeSet};

/// Those who want it, to read or to write.
const ACQUIRERS: Line = Line::Queue(0);
/// Grants to read at one time: the end of a session that has all of them is one change of less than a MiB.
const READERS_MAX: usize = 100_000;
/// Grants in one [`Change::Restored`]: engines bound their records.
const RESTORED_MAX: usize = 1000;

/// What a session asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Command {
    /// Waits while others are in the way, held or in line. `Held`, `WouldDeadlock`, `LimitReached` (too many readers).
    Acquire { owner: u64, write: bool, waits: bool },
    /// `NotHeld`.
    Release { token: u64 },
    /// The writer becomes a reader, with nobody in between. `NotHeld`; `BadArgument`, if it is a reader already.
    Downgrade { token: u64 },
}

/// What it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Reply {
    Acquire { token: u64 },
    Release,
    Downgrade,
}

/// To read, or to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// Who has it.
    pub grant: Grant,
    /// What for.
    pub write: bool,
}

/// What the lock remembers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// One more holder.
    Granted(Granted),
    /// These are held no more.
    Released {
        /// Of the grants.
        tokens: Vec<u64>,
    },
    /// The writer is a reader.
    Downgraded {
        /// Of its grant.
        token: u64,
    },
    /// From [`Kind::history`]: how it was, among others these grants.
    Restored {
        /// The largest token so far.
        last_token: u64,
        /// In the order of their tokens.
        held: Vec<Granted>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Options {
    refuses_deadlock: bool,
}

/// A lock for readers and writers. See the [module](self).
#[derive(PartialEq, Eq, Debug)]
pub struct Rwlock {
    /// As it was created.
    options: Options,
    /// Tokens begin behind it.
    epoch: u64,
    /// Of the last grant; the epoch, if there was none.
    last_token: u64,
    /// Who writes; then nobody reads.
    writer: Option<Grant>,
    /// Who reads, by token: who has it longest comes first.
    readers: BTreeMap<u64, Grant>,
    /// The same by owner, so that neither an owner nor a session has to be searched for.
    tokens: BTreeSet<(Owner, u64)>,
}

impl Rwlock {
    fn new(options: Options, epoch: u64) -> Rwlock {
        Rwlock { options, epoch, last_token: epoch, writer: None, readers: BTreeMap::new(), tokens: BTreeSet::new() }
    }

    fn acquire(&self, owner: Owner, write: bool, waits: bool, now: Moment) -> Decision<Rwlock> {
        if let Some(writer) = self.writer {
            let is_own = writer.owner == owner;
            return if is_own { Decision::Refuse(self.own(writer, waits, now)) } else { Decision::Wait };
        }
        match self.read_by(owner) {
            Some(_) if !write => self.grant(owner, write, now, Decision::Overtake),
            Some(own) => Decision::Refuse(self.own(own, waits, now)),
            None if write && !self.readers.is_empty() => Decision::Wait,
            None => self.grant(owner, write, now, Decision::Change),
        }
    }

    /// What an owner is told that is in its own way.
    fn own(&self, own: Grant, waits: bool, now: Moment) -> Fault {
        if waits { own.would_deadlock() } else { self.in_the_way(now) }
    }

    /// What those are told who do not get it.
    fn in_the_way(&self, now: Moment) -> Fault {
        match self.writer.or_else(|| self.readers.values().next().copied()) {
            Some(first) => first.in_the_way(self.readers.len().saturating_sub(1) as u64, now),
            None => Fault::TimedOut { what: "others stood in front".into() },
        }
    }

    fn grant(&self, owner: Owner, write: bool, now: Moment, decision: fn(Change, Reply) -> Decision<Rwlock>) -> Decision<Rwlock> {
        if self.readers.len() >= READERS_MAX {
            return Decision::Refuse(Fault::LimitReached { what: "readers of an rwlock".into(), limit: READERS_MAX as u64 });
        }
        let grant = Grant { token: self.last_token + 1, owner, since: now };
        decision(Change::Granted(Granted { grant, write }), Reply::Acquire { token: grant.token })
    }

    fn release(&self, caller: SessionId, token: u64) -> Decision<Rwlock> {
        match self.find(caller, token) {
            Some(_) => Decision::Change(Change::Released { tokens: vec![token] }, Reply::Release),
            None => Decision::Refuse(not_held(token)),
        }
    }

    fn downgrade(&self, caller: SessionId, token: u64) -> Decision<Rwlock> {
        match self.find(caller, token) {
            Some(Granted { write: true, .. }) => Decision::Change(Change::Downgraded { token }, Reply::Downgrade),
            Some(_) => Decision::Refuse(Fault::bad_argument("token", "expected that of a writer, got that of a reader")),
            None => Decision::Refuse(not_held(token)),
        }
    }

    /// What a session means by a token.
    fn find(&self, caller: SessionId, token: u64) -> Option<Granted> {
        let reader = || self.readers.get(&token).map(|grant| Granted { grant: *grant, write: false });
        let writer = self.writer.map(|grant| Granted { grant, write: true });
        writer.or_else(reader).filter(|granted| granted.grant.is_held(caller, token))
    }

    /// The grant to read that the owner has longest.
    fn read_by(&self, owner: Owner) -> Option<Grant> {
        let (_, token) = self.tokens.range((owner, 0)..=(owner, u64::MAX)).next()?;
        self.readers.get(token).copied()
    }

    fn holders(&self) -> impl Iterator<Item = Granted> {
        let writer = self.writer.iter().map(|grant| Granted { grant: *grant, write: true });
        writer.chain(self.readers.values().map(|grant| Granted { grant: *grant, write: false }))
    }

    fn add(&mut self, granted: Granted) {
        let Granted { grant, write } = granted;
        self.last_token = self.last_token.max(grant.token);
        if write {
            self.writer = Some(grant);
        } else {
            self.readers.insert(grant.token, grant);
            self.tokens.insert((grant.owner, grant.token));
        }
    }

    fn remove(&mut self, token: u64) -> Option<Grant> {
        if let Some(writer) = self.writer.take_if(|writer| writer.token == token) {
            return Some(writer);
        }
        let reader = self.readers.remove(&token)?;
        self.tokens.remove(&(reader.owner, token));
        Some(reader)
    }
}

impl Kind for Rwlock {
    const NAME: &'static str = "rwlock";
    const IS_HELD: bool = true;
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    fn line(command: &Command) -> Option<Line> {
        matches!(command, Command::Acquire { .. }).then_some(ACQUIRERS)
    }

    fn decide(&self, caller: SessionId, command: &Command, now: Moment) -> Decision<Rwlock> {
        match *command {
            Command::Acquire { owner, write, waits } => self.acquire(Owner { session: caller, number: owner }, write, waits, now),
            Command::Release { token } => self.release(caller, token),
            Command::Downgrade { token } => self.downgrade(caller, token),
        }
    }

    fn overdue(&self, _command: &Command, now: Moment) -> Fault {
        self.in_the_way(now)
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Granted(granted) => self.add(granted),
            Change::Released { tokens } => tokens.into_iter().for_each(|token| _ = self.remove(token)),
            Change::Downgraded { token } => {
                let writer = self.remove(token);
                writer.into_iter().for_each(|grant| self.add(Granted { grant, write: false }));
            }
            Change::Restored { last_token, held } => {
                self.last_token = last_token;
                held.into_iter().for_each(|granted| self.add(granted));
            }
        }
    }

    fn history(&self) -> Vec<Change> {
        let last_token = self.last_token;
        if last_token == self.epoch {
            return Vec::new();
        }
        let held: Vec<_> = self.holders().collect();
        // Also without grants: the tokens go on where they were.
        let parts = if held.is_empty() { vec![&[][..]] } else { held.chunks(RESTORED_MAX).collect() };
        parts.into_iter().map(|part| Change::Restored { last_token, held: part.to_vec() }).collect()
    }

    fn departed(&self, session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        let [first, last] = [0, u64::MAX].map(|end| (Owner { session, number: end }, end));
        let mut tokens: Vec<_> = self.tokens.range(first..=last).map(|(_, token)| *token).collect();
        tokens.extend(self.writer.filter(|writer| writer.owner.session == session).map(|writer| writer.token));
        (!tokens.is_empty()).then_some(Change::Released { tokens })
    }

    fn unheard(&self, caller: SessionId, reply: &Reply, _now: Moment) -> Option<Change> {
        let Reply::Acquire { token } = *reply else { return None };
        self.find(caller, token).map(|_| Change::Released { tokens: vec![token] })
    }

    /// Nobody loses a lock to time, only to the end of its session.
    fn due(&self) -> Option<Moment> {
        None
    }

    fn elapsed(&self, _now: Moment) -> Option<Change> {
        None
    }

    fn holdings(&self) -> Vec<Holding> {
        let what = |write| if write { "the lock, to write" } else { "the lock, to read" };
        self.holders().map(|granted| granted.grant.holding(what(granted.write))).collect()
    }

    fn owner(command: &Command) -> Option<u64> {
        match command {
            Command::Acquire { owner, .. } => Some(*owner),
            _ => None,
        }
    }

    fn blocking(&self, _command: &Command) -> Blocking {
        Blocking::EachHolder
    }

    fn awaited(&self, command: &Command) -> &'static str {
        match command {
            Command::Acquire { write: true, .. } => "to write",
            _ => "to read",
        }
    }

    fn refuses_deadlock(&self) -> bool {
        self.options.refuses_deadlock
    }

    /// That of the writer: readers can be no fence for each other.
    fn exclusive(&self) -> Option<u64> {
        Some(self.writer.map_or(0, |writer| writer.token))
    }

    fn last_token(&self) -> u64 {
        self.last_token
    }

    fn test(&self, _caller: SessionId, test: &Test) -> Option<bool> {
        match test {
            Test::TokenHeld(token) => Some(self.writer.is_some_and(|writer| writer.token == *token)),
            _ => None,
        }
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("readers", self.readers.len() as u64),
            ("writers", u64::from(self.writer.is_some())),
            ("last_token", self.last_token),
        ]
    }

    fn violation(&self) -> Option<String> {
        if self.writer.is_some() && !self.readers.is_empty() {
            return Some(format!("L1: written while {} read", self.readers.len()));
        }
        if let Some(granted) = self.holders().find(|held| !(self.epoch + 1..=self.last_token).contains(&held.grant.token)) {
            let (epoch, last) = (self.epoch, self.last_token);
            return Some(format!("L2: token {} is not behind {epoch}, or is behind {last}", granted.grant.token));
        }
        let tokens: BTreeSet<_> = self.readers.values().map(|reader| (reader.owner, reader.token)).collect();
        (tokens != self.tokens).then(|| "L4: the readers by token are not those by owner".to_owned())
    }
}
