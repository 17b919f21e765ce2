//! A lock: held by one owner at a time, first come, first served.
//!
//! ```text
//!   free ── Acquire ──► held by one owner ── Release (as often as acquired), or its session ended ──► free
//!                        │        ▲
//!                        └Acquire─┘ by the same owner: one level deeper if reentrant, else WouldDeadlock
//! ```
//!
//! It is no semaphore of one: it knows who holds it, and what one owner may not do twice. Who waits is not known here, so handing
//! over costs the same whatever the length of the line.

#[cfg(test)]
mod tests;
mod wire;

use super::{
    grant::{Grant, Owner, not_held},
    kind::{Blocking, Decision, Departure, Holding, Kind, Line, Moment, SessionId, Test, Together},
    steps,
};
use bursar_proto::Fault;

/// Those who want it.
const ACQUIRERS: Line = Line::Queue(0);
/// Levels of a reentrant lock: no call stack is that deep, so whoever gets here does not release.
const DEPTH_MAX: u32 = 65_536;

/// What a session asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Command {
    /// Waits while another owner holds it. `Held`, `WouldDeadlock`, `LimitReached` (too deep).
    Acquire { owner: u64, waits: bool },
    /// One level less. `NotHeld`.
    Release { token: u64 },
}

/// What it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Reply {
    /// The token is the same at every level.
    Acquire { token: u64, depth: u32 },
    /// Levels that are left.
    Release { depth: u32 },
}

/// Levels under one token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Who has it.
    pub grant: Grant,
    /// How often it was acquired and not released; at least 1.
    pub depth: u32,
}

/// What the lock remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It was free.
    Granted(Grant),
    /// One level less; `all`: it is free.
    Released {
        /// Of the grant.
        token: u64,
        /// Whatever its depth was.
        all: bool,
    },
    /// One level more.
    Deepened {
        /// Of the grant.
        token: u64,
    },
    /// From [`Kind::history`]: how it was.
    Restored {
        /// The largest token so far.
        last_token: u64,
        /// `None`: free.
        held: Option<Held>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Options {
    reentrant: bool,
    refuses_deadlock: bool,
}

/// A lock. See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lock {
    /// As it was created.
    options: Options,
    /// Tokens begin behind it.
    epoch: u64,
    /// Of the last grant; the epoch, if there was none.
    last_token: u64,
    /// `None`: free.
    held: Option<Held>,
}

impl Lock {
    fn new(options: Options, epoch: u64) -> Lock {
        Lock { options, epoch, last_token: epoch, held: None }
    }

    fn acquire(&self, owner: Owner, waits: bool, now: Moment) -> Decision<Lock> {
        let Some(held) = &self.held else {
            let grant = Grant { token: self.last_token + 1, owner, since: now };
            return Decision::Change(Change::Granted(grant), Reply::Acquire { token: grant.token, depth: 1 });
        };
        match held.grant {
            grant if grant.owner != owner => Decision::Wait,
            grant if !self.options.reentrant => {
                Decision::Refuse(if waits { grant.would_deadlock() } else { grant.in_the_way(0, now) })
            }
            _ if held.depth >= DEPTH_MAX => {
                Decision::Refuse(Fault::LimitReached { what: "levels of a reentrant lock".into(), limit: DEPTH_MAX.into() })
            }
            Grant { token, .. } => {
                Decision::Overtake(Change::Deepened { token }, Reply::Acquire { token, depth: held.depth + 1 })
            }
        }
    }

    fn release(&self, caller: SessionId, token: u64) -> Decision<Lock> {
        match &self.held {
            Some(held) if held.grant.is_held(caller, token) => {
                Decision::Change(Change::Released { token, all: false }, Reply::Release { depth: held.depth - 1 })
            }
            _ => Decision::Refuse(not_held(token)),
        }
    }
}

impl Kind for Lock {
    const NAME: &'static str = "lock";
    const IS_HELD: bool = true;
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    fn line(command: &Command) -> Option<Line> {
        matches!(command, Command::Acquire { .. }).then_some(ACQUIRERS)
    }

    fn decide(&self, caller: SessionId, command: &Command, now: Moment) -> Decision<Lock> {
        match *command {
            Command::Acquire { owner, waits } => self.acquire(Owner { session: caller, number: owner }, waits, now),
            Command::Release { token } => self.release(caller, token),
        }
    }

    fn overdue(&self, _command: &Command, now: Moment) -> Fault {
        match &self.held {
            Some(held) => held.grant.in_the_way(0, now),
            None => Fault::TimedOut { what: "others stood in front".into() },
        }
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Granted(grant) => {
                self.last_token = grant.token;
                self.held = Some(Held { grant, depth: 1 });
            }
            Change::Released { all: true, .. } => self.held = None,
            Change::Released { all: false, .. } => {
                self.held.iter_mut().for_each(|held| held.depth -= 1);
                self.held.take_if(|held| held.depth == 0);
            }
            Change::Deepened { .. } => self.held.iter_mut().for_each(|held| held.depth += 1),
            Change::Restored { last_token, held } => (self.last_token, self.held) = (last_token, held),
        }
    }

    fn history(&self) -> Vec<Change> {
        match self.last_token {
            last_token if last_token == self.epoch => Vec::new(),
            last_token => vec![Change::Restored { last_token, held: self.held }],
        }
    }

    fn departed(&self, session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        let held = self.held.filter(|held| held.grant.owner.session == session)?;
        Some(Change::Released { token: held.grant.token, all: true })
    }

    /// One level is given back.
    fn unheard(&self, caller: SessionId, reply: &Reply, _now: Moment) -> Option<Change> {
        let Reply::Acquire { token, .. } = *reply else { return None };
        self.held.filter(|held| held.grant.is_held(caller, token))?;
        Some(Change::Released { token, all: false })
    }

    /// Nobody loses a lock to time, only to the end of its session.
    fn due(&self) -> Option<Moment> {
        None
    }

    fn elapsed(&self, _now: Moment) -> Option<Change> {
        None
    }

    fn holdings(&self) -> Vec<Holding> {
        self.held.iter().map(|held| held.grant.holding("the lock")).collect()
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

    fn awaited(&self, _command: &Command) -> &'static str {
        "to acquire"
    }

    fn refuses_deadlock(&self) -> bool {
        self.options.refuses_deadlock
    }

    fn exclusive(&self) -> Option<u64> {
        Some(self.held.map_or(0, |held| held.grant.token))
    }

    fn last_token(&self) -> u64 {
        self.last_token
    }

    fn joins(command: &Command) -> bool {
        matches!(command, Command::Release { .. })
    }

    /// On a copy, which is small: several levels can be released at once.
    fn decide_all(&self, caller: SessionId, commands: &[Command], now: Moment) -> Result<Together<Lock>, Fault> {
        steps::in_order(self, caller, commands, now)
    }

    fn test(&self, _caller: SessionId, test: &Test) -> Option<bool> {
        match test {
            Test::TokenHeld(token) => Some(self.held.is_some_and(|held| held.grant.token == *token)),
            _ => None,
        }
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let depth = self.held.map_or(0, |held| held.depth.into());
        vec![("depth", depth), ("last_token", self.last_token)]
    }

    fn violation(&self) -> Option<String> {
        let held = self.held?;
        let depth_max = if self.options.reentrant { DEPTH_MAX } else { 1 };
        match held {
            Held { depth, .. } if !(1..=depth_max).contains(&depth) => {
                Some(format!("L1: held {depth} levels deep, expected 1 to {depth_max}"))
            }
            Held { grant, .. } if grant.token != self.last_token => {
                Some(format!("L2: held under token {}, the last one given is {}", grant.token, self.last_token))
            }
            _ if self.last_token <= self.epoch => Some(format!("L2: token {} is not behind {}", self.last_token, self.epoch)),
            _ => None,
        }
    }
}
