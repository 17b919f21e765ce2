//! The counter: a number, from -2^63 to 2^63 - 1.
//!
//! ```text
//!   value ── Add (CounterOverflow if the sum leaves the range), Set, CompareAndSet ──► value
//! ```
//!
//! Nobody waits for it and nobody holds it.

#[cfg(test)]
mod tests;
mod wire;

use super::{
    kind::{Decision, Departure, Kind, Line, Moment, SessionId, Test, Together},
    steps,
};
use bursar_proto::Fault;

/// What a session asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Get,
    Add { by: i64 },
    Set { value: i64 },
    CompareAndSet { expected: i64, value: i64 },
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reply {
    Get {
        value: i64,
    },
    /// The sum.
    Add {
        value: i64,
    },
    Set {
        previous: i64,
    },
    /// What the counter holds now.
    CompareAndSet {
        swapped: bool,
        value: i64,
    },
}

/// What the counter remembers: it has another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// This one.
    pub value: i64,
}

/// A number. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// As it was created.
    initial: i64,
    /// Now.
    value: i64,
}

impl Counter {
    fn new(initial: i64) -> Counter {
        Counter { initial, value: initial }
    }

    fn add(&self, by: i64) -> Decision<Counter> {
        match self.value.checked_add(by) {
            Some(value) => self.take_on(value, Reply::Add { value }),
            None => Decision::Refuse(Fault::CounterOverflow { value: self.value.to_string(), by: by.to_string() }),
        }
    }

    fn compare_and_set(&self, expected: i64, value: i64) -> Decision<Counter> {
        match self.value == expected {
            true => self.take_on(value, Reply::CompareAndSet { swapped: true, value }),
            false => Decision::Answer(Reply::CompareAndSet { swapped: false, value: self.value }),
        }
    }

    /// The value that it has already is no change.
    fn take_on(&self, value: i64, reply: Reply) -> Decision<Counter> {
        if value == self.value { Decision::Answer(reply) } else { Decision::Change(Changed { value }, reply) }
    }
}

impl Kind for Counter {
    const NAME: &'static str = "counter";
    type Command = Command;
    type Reply = Reply;
    type Change = Changed;

    fn line(_command: &Command) -> Option<Line> {
        None
    }

    fn decide(&self, _caller: SessionId, command: &Command, _now: Moment) -> Decision<Counter> {
        match *command {
            Command::Get => Decision::Answer(Reply::Get { value: self.value }),
            Command::Add { by } => self.add(by),
            Command::Set { value } => self.take_on(value, Reply::Set { previous: self.value }),
            Command::CompareAndSet { expected, value } => self.compare_and_set(expected, value),
        }
    }

    fn overdue(&self, _command: &Command, _now: Moment) -> Fault {
        Fault::TimedOut { what: "the call".into() }
    }

    fn evolve(&mut self, Changed { value }: Changed) {
        self.value = value;
    }

    fn history(&self) -> Vec<Changed> {
        if self.value == self.initial { Vec::new() } else { vec![Changed { value: self.value }] }
    }

    /// It is nobody's.
    fn departed(&self, _session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Changed> {
        None
    }

    /// What was added is added.
    fn unheard(&self, _caller: SessionId, _reply: &Reply, _now: Moment) -> Option<Changed> {
        None
    }

    fn due(&self) -> Option<Moment> {
        None
    }

    fn elapsed(&self, _now: Moment) -> Option<Changed> {
        None
    }

    fn awaited(&self, _command: &Command) -> &'static str {
        "for nothing"
    }

    fn joins(_command: &Command) -> bool {
        true
    }

    fn decide_all(&self, caller: SessionId, commands: &[Command], now: Moment) -> Result<Together<Counter>, Fault> {
        steps::in_order(self, caller, commands, now)
    }

    fn test(&self, _caller: SessionId, test: &Test) -> Option<bool> {
        match test {
            Test::Number { comparison, value } => Some(comparison.holds(self.value, *value)),
            _ => None,
        }
    }

    /// Figures have no sign.
    fn figures(&self) -> Vec<(&'static str, u64)> {
        let above_zero = u64::try_from(self.value).unwrap_or(0);
        let below_zero = if self.value < 0 { self.value.unsigned_abs() } else { 0 };
        vec![("above_zero", above_zero), ("below_zero", below_zero)]
    }

    /// Every number is as good as another.
    fn violation(&self) -> Option<String> {
        None
    }
}
