//! A condition: a lock, and a line of those who gave it up until they are notified.
//!
//! ```text
//!   free ── Acquire ──► held ── Release ──► free
//!                        │ ▲
//!                   Wait │ │ the lock is free, and nobody returns in front
//!                        ▼ │
//!                     waiting ── notified, or overdue ──► returning
//! ```
//!
//! A `Wait` is two commands: it [enters](Decision::Enter) as a `Reacquire` that stands in line until it holds the lock again.
//! Waits stand in the order of their numbers. Those that return have an order of their own, in which they get the lock, before
//! all who only want to acquire it.
//!
//! A notification is not lost with the one that it went to: if that is taken back, or its session ends before it has given the
//! lock back, it goes to the next wait that had begun when it was given. Of a notification of all there is no next one. So a wait
//! may end notified though another was notified for the same reason before: as everywhere, whoever waited looks again.

#[cfg(test)]
mod tests;
mod wire;

use super::{
    grant::{Grant, Owner, not_held},
    kind::{Blocking, Decision, Departure, GivenUp, Holding, Kind, Line, Moment, SessionId},
};
use bursar_proto::Fault;
use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

/// Those who wait for a notification, and then for the lock. Not a crowd: who returns stands in front as a rule, and then nobody
/// else is asked.
const WAITERS: Line = Line::Queue(0);
/// Those who want to acquire the lock.
const ACQUIRERS: Line = Line::Queue(1);
/// Waits in one [`Change::Restored`]: engines bound their records.
const RESTORED_MAX: usize = 1000;

/// What a session asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Command {
    /// Waits while it is held, and while others return. `Held`, `WouldDeadlock`.
    Acquire { owner: u64, waits: bool },
    /// `NotHeld`.
    Release { token: u64 },
    /// Gives the lock up and waits as `Reacquire`. `NotHeld`.
    Wait { token: u64 },
    /// No verb: what a wait is while it stands in line. It is never refused, and never overdue without the lock.
    Reacquire { waiter: u64 },
    /// `NotHeld`.
    Notify { token: u64, count: Count },
}

/// How many waits are notified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Count {
    UpTo(u64),
    All,
}

/// What it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Reply {
    Acquire {
        token: u64,
    },
    Release,
    /// Not `notified`: its time was over.
    Wait {
        token: u64,
        notified: bool,
    },
    Notify {
        count: u64,
    },
}

/// A notification: it was for waits up to this number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notice {
    /// The last wait that had begun.
    pub upto: u64,
}

/// A wait that wants the lock back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Returning {
    /// The number of the wait.
    pub waiter: u64,
    /// Whose it is.
    pub owner: Owner,
    /// `None`: its time was over.
    pub notice: Option<Notice>,
}

/// The lock is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Who has it.
    pub grant: Grant,
    /// The number of the wait that ended so; 0: it was acquired.
    pub waiter: u64,
    /// Of that wait.
    pub notice: Option<Notice>,
}

/// What the condition remembers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The lock was free.
    Granted {
        /// To whom, and under which token.
        grant: Grant,
        /// The number of the wait that ends so; 0: none.
        waiter: u64,
    },
    /// The lock is free.
    Released {
        /// Of the grant.
        token: u64,
    },
    /// The lock is free, and its holder waits under the next number.
    Waiting {
        /// Of the grant.
        token: u64,
    },
    /// The first waits want the lock back.
    Notified {
        /// How many; not more than there are.
        count: u64,
    },
    /// A wait that was not notified wants the lock back.
    Overdue {
        /// Its number.
        waiter: u64,
    },
    /// A wait comes to nothing, waiting, returning or holding: its notification, if it had one, goes to the next.
    Left {
        /// Its number.
        waiter: u64,
    },
    /// All waits of the session come to nothing, and what it held is free.
    Departed {
        /// The session that ended.
        session: SessionId,
    },
    /// From [`Kind::history`]: how it was, among others these waits.
    Restored {
        /// The largest token so far.
        last_token: u64,
        /// The number of the last wait.
        last_waiter: u64,
        /// `None`: free.
        held: Option<Held>,
        /// Waits that were not notified, in the order of their numbers.
        waiting: Vec<(u64, Owner)>,
        /// In the order in which they get the lock.
        returning: Vec<Returning>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Options {
    refuses_deadlock: bool,
}

/// A condition. See the [module](self).
#[derive(PartialEq, Eq, Debug)]
pub struct Condition {
    /// As it was created.
    options: Options,
    /// Tokens begin behind it.
    epoch: u64,
    /// Of the last grant; the epoch, if there was none.
    last_token: u64,
    /// The number of the last wait; 0: there was none.
    last_waiter: u64,
    /// `None`: the lock is free.
    held: Option<Held>,
    /// Waits that were not notified, by their numbers: who waits longest comes first.
    waiting: BTreeMap<u64, Owner>,
    /// Those that want the lock back, in the order in which they get it.
    returning: VecDeque<Returning>,
}

impl Condition {
    fn new(options: Options, epoch: u64) -> Condition {
        Condition {
            options,
            epoch,
            last_token: epoch,
            last_waiter: 0,
            held: None,
            waiting: BTreeMap::new(),
            returning: VecDeque::new(),
        }
    }

    fn acquire(&self, owner: Owner, waits: bool, now: Moment) -> Decision<Condition> {
        match &self.held {
            Some(held) if held.grant.owner == owner => {
                Decision::Refuse(if waits { held.grant.would_deadlock() } else { held.grant.in_the_way(0, now) })
            }
            None if self.returning.is_empty() => {
                let grant = self.next_grant(owner, now);
                Decision::Change(Change::Granted { grant, waiter: 0 }, Reply::Acquire { token: grant.token })
            }
            _ => Decision::Wait,
        }
    }

    /// Where somebody else is to get the lock, that one stands behind, out of order: its time was over.
    fn reacquire(&self, waiter: u64, now: Moment) -> Decision<Condition> {
        match self.returning.front() {
            Some(first) if self.held.is_none() && first.waiter == waiter => {
                let grant = self.next_grant(first.owner, now);
                let reply = Reply::Wait { token: grant.token, notified: first.notice.is_some() };
                Decision::Change(Change::Granted { grant, waiter }, reply)
            }
            Some(_) if self.held.is_none() => Decision::StandAside,
            _ => Decision::Wait,
        }
    }

    fn next_grant(&self, owner: Owner, now: Moment) -> Grant {
        Grant { token: self.last_token + 1, owner, since: now }
    }

    fn notify(&self, count: Count) -> Decision<Condition> {
        let waiting = self.waiting.len() as u64;
        let count = match count {
            Count::UpTo(count) => count.min(waiting),
            Count::All => waiting,
        };
        match count {
            0 => Decision::Answer(Reply::Notify { count }),
            _ => Decision::Change(Change::Notified { count }, Reply::Notify { count }),
        }
    }

    /// What a holder of the lock asks.
    fn as_holder(&self, caller: SessionId, token: u64, decision: impl FnOnce() -> Decision<Condition>) -> Decision<Condition> {
        match &self.held {
            Some(held) if held.grant.is_held(caller, token) => decision(),
            _ => Decision::Refuse(not_held(token)),
        }
    }

    fn granted(&mut self, grant: Grant, waiter: u64) {
        self.last_token = grant.token;
        let returned = self.returning.front().copied().filter(|first| first.waiter == waiter);
        if returned.is_some() {
            self.returning.pop_front();
        }
        self.held = Some(Held { grant, waiter, notice: returned.and_then(|returned| returned.notice) });
    }

    fn wait(&mut self) {
        if let Some(held) = self.held.take() {
            self.last_waiter += 1;
            self.waiting.insert(self.last_waiter, held.grant.owner);
        }
    }

    fn wake(&mut self, waiter: u64, notice: Option<Notice>) {
        let owner = self.waiting.remove(&waiter);
        self.returning.extend(owner.map(|owner| Returning { waiter, owner, notice }));
    }

    fn wake_first(&mut self, count: u64) {
        let notice = Some(Notice { upto: self.last_waiter });
        for _ in 0..count.min(self.waiting.len() as u64) {
            if let Some((&waiter, _)) = self.waiting.first_key_value() {
                self.wake(waiter, notice);
            }
        }
    }

    /// A notification goes to the next one, if there is one that it was for.
    fn pass_on(&mut self, notice: Option<Notice>) {
        if let (Some(notice), Some((&waiter, _))) = (notice, self.waiting.first_key_value())
            && waiter <= notice.upto
        {
            self.wake(waiter, Some(notice));
        }
    }

    fn leave_one(&mut self, waiter: u64) {
        // As a rule it still waits, and need not be searched for.
        if self.waiting.remove(&waiter).is_none() {
            self.leave(|left, _| left == waiter);
        }
    }

    /// These waits come to nothing, and what they had goes on.
    fn leave(&mut self, leaves: impl Fn(u64, Owner) -> bool) {
        self.waiting.retain(|waiter, owner| !leaves(*waiter, *owner));
        let left = self.held.take_if(|held| leaves(held.waiter, held.grant.owner));
        let mut notices: Vec<_> = left.into_iter().map(|held| held.notice).collect();
        for returning in mem::take(&mut self.returning) {
            match leaves(returning.waiter, returning.owner) {
                true => notices.push(returning.notice),
                false => self.returning.push_back(returning),
            }
        }
        notices.into_iter().for_each(|notice| self.pass_on(notice));
    }
}

impl Kind for Condition {
    const NAME: &'static str = "condition";
    const IS_HELD: bool = true;
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    fn line(command: &Command) -> Option<Line> {
        match command {
            Command::Acquire { .. } => Some(ACQUIRERS),
            Command::Reacquire { .. } => Some(WAITERS),
            Command::Release { .. } | Command::Wait { .. } | Command::Notify { .. } => None,
        }
    }

    fn decide(&self, caller: SessionId, command: &Command, now: Moment) -> Decision<Condition> {
        match *command {
            Command::Acquire { owner, waits } => self.acquire(Owner { session: caller, number: owner }, waits, now),
            Command::Reacquire { waiter } => self.reacquire(waiter, now),
            Command::Release { token } => {
                self.as_holder(caller, token, || Decision::Change(Change::Released { token }, Reply::Release))
            }
            Command::Wait { token } => self.as_holder(caller, token, || {
                Decision::Enter(Change::Waiting { token }, Command::Reacquire { waiter: self.last_waiter + 1 })
            }),
            Command::Notify { token, count } => self.as_holder(caller, token, || self.notify(count)),
        }
    }

    fn overdue(&self, _command: &Command, now: Moment) -> Fault {
        match &self.held {
            Some(held) => held.grant.in_the_way(0, now),
            None => Fault::TimedOut { what: "others stood in front".into() },
        }
    }

    /// A wait always gets the lock back in the end, unless it is taken back.
    fn given_up(&self, _caller: SessionId, command: &Command, how: GivenUp, _now: Moment) -> Option<Change> {
        let Command::Reacquire { waiter } = *command else { return None };
        Some(match how {
            GivenUp::Overdue => Change::Overdue { waiter },
            GivenUp::TakenBack => Change::Left { waiter },
        })
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Granted { grant, waiter } => self.granted(grant, waiter),
            Change::Released { .. } => self.held = None,
            Change::Waiting { .. } => self.wait(),
            Change::Notified { count } => self.wake_first(count),
            // One that was notified meanwhile stays so.
            Change::Overdue { waiter } => self.wake(waiter, None),
            Change::Left { waiter } => self.leave_one(waiter),
            Change::Departed { session } => self.leave(|_, owner| owner.session == session),
            Change::Restored { last_token, last_waiter, held, waiting, returning } => {
                (self.last_token, self.last_waiter, self.held) = (last_token, last_waiter, held);
                self.waiting.extend(waiting);
                self.returning.extend(returning);
            }
        }
    }

    fn history(&self) -> Vec<Change> {
        let Condition { last_token, last_waiter, held, .. } = *self;
        if last_token == self.epoch {
            return Vec::new();
        }
        let waiting: Vec<_> = self.waiting.iter().map(|(waiter, owner)| (*waiter, *owner)).collect();
        let returning: Vec<_> = self.returning.iter().copied().collect();
        let part = |waiting: &[_], returning: &[_]| {
            let (waiting, returning) = (waiting.to_vec(), returning.to_vec());
            Change::Restored { last_token, last_waiter, held, waiting, returning }
        };
        let mut parts: Vec<_> = waiting.chunks(RESTORED_MAX).map(|waiting| part(waiting, &[])).collect();
        parts.extend(returning.chunks(RESTORED_MAX).map(|returning| part(&[], returning)));
        if parts.is_empty() { vec![part(&[], &[])] } else { parts }
    }

    fn departed(&self, session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        let owners = self.waiting.values().chain(self.returning.iter().map(|returning| &returning.owner));
        let is_there = owners.chain(self.held.iter().map(|held| &held.grant.owner)).any(|owner| owner.session == session);
        is_there.then_some(Change::Departed { session })
    }

    fn unheard(&self, caller: SessionId, reply: &Reply, _now: Moment) -> Option<Change> {
        let (Reply::Acquire { token } | Reply::Wait { token, .. }) = *reply else { return None };
        match self.held.filter(|held| held.grant.is_held(caller, token))? {
            Held { waiter: 0, .. } => Some(Change::Released { token }),
            Held { waiter, .. } => Some(Change::Left { waiter }),
        }
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

    /// Anybody may notify; who was notified, or whose time was over, waits for the lock.
    fn blocking(&self, command: &Command) -> Blocking {
        match command {
            Command::Reacquire { waiter } if self.waiting.contains_key(waiter) => Blocking::Anybody,
            _ => Blocking::EachHolder,
        }
    }

    fn awaited(&self, command: &Command) -> &'static str {
        match command {
            Command::Reacquire { waiter } if self.waiting.contains_key(waiter) => "to be notified",
            Command::Reacquire { .. } => "to acquire again",
            _ => "to acquire",
        }
    }

    fn refuses_deadlock(&self) -> bool {
        self.options.refuses_deadlock
    }

    fn last_token(&self) -> u64 {
        self.last_token
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("held", u64::from(self.held.is_some())),
            ("waiters", self.waiting.len() as u64),
            ("returning", self.returning.len() as u64),
            ("last_token", self.last_token),
        ]
    }

    fn violation(&self) -> Option<String> {
        if self.held.is_some_and(|held| held.grant.token != self.last_token) || self.last_token < self.epoch {
            return Some(format!("L2: held as {:?}, the last token is {}", self.held, self.last_token));
        }
        let mut numbers: Vec<_> = self.waiting.keys().copied().collect();
        numbers.extend(self.returning.iter().map(|returning| returning.waiter));
        numbers.extend(self.held.map(|held| held.waiter).filter(|waiter| *waiter != 0));
        numbers.sort_unstable();
        if !numbers.iter().all(|number| (1..=self.last_waiter).contains(number)) || numbers.windows(2).any(|two| two[0] == two[1])
        {
            return Some(format!("C1: the waits {numbers:?} are not different ones up to {}", self.last_waiter));
        }
        let early = self.returning.iter().find(|returning| returning.notice.is_some_and(|notice| notice.upto < returning.waiter));
        early.map(|early| format!("C2: the wait {} was notified before it began", early.waiter))
    }
}
