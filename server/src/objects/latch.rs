//! The latch: it counts down once, and then is open for ever.
//!
//! ```text
//!   closed, n left ── CountDown ──► closed, fewer left ── ... ──► open: every Wait returns
//! ```
//!
//! It does not know who is to count down: a party that dies leaves it closed, and the others find out by their deadlines. Where the
//! death of a party is to end the wait, a barrier is the right object.

#[cfg(test)]
mod tests;
mod wire;

use super::kind::{Decision, Departure, Kind, Line, Moment, SessionId};
use bursar_proto::Fault;

/// Who waits. All wait for the same: while the first has to, all have to, so that only it is asked after each count.
const WAITERS: Line = Line::Queue(0);

/// What a session asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    CountDown {
        /// At least 1.
        by: u64,
    },
    Get,
    Wait,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reply {
    CountDown { left: u64 },
    Get { left: u64 },
    Wait,
}

/// What the latch remembers: it was counted down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// By so much.
    pub by: u64,
}

/// A count that only falls. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latch {
    /// At the beginning.
    count: u64,
    /// 0: it is open.
    left: u64,
}

impl Latch {
    fn new(count: u64) -> Latch {
        Latch { count, left: count }
    }

    fn count_down(&self, by: u64) -> Decision<Latch> {
        match self.left {
            0 => Decision::Answer(Reply::CountDown { left: 0 }),
            left if by > left => {
                Decision::Refuse(Fault::bad_argument("by", format!("expected at most the {left} that are left, got {by}")))
            }
            left => Decision::Change(Counted { by }, Reply::CountDown { left: left - by }),
        }
    }
}

impl Kind for Latch {
    const NAME: &'static str = "latch";
    type Command = Command;
    type Reply = Reply;
    type Change = Counted;

    fn line(command: &Command) -> Option<Line> {
        matches!(command, Command::Wait).then_some(WAITERS)
    }

    fn decide(&self, _caller: SessionId, command: &Command, _now: Moment) -> Decision<Latch> {
        match command {
            Command::CountDown { by } => self.count_down(*by),
            Command::Get => Decision::Answer(Reply::Get { left: self.left }),
            Command::Wait if self.left == 0 => Decision::Answer(Reply::Wait),
            Command::Wait => Decision::Wait,
        }
    }

    fn overdue(&self, _command: &Command, _now: Moment) -> Fault {
        Fault::TimedOut { what: format!("the latch has {} left to count down", self.left) }
    }

    fn evolve(&mut self, Counted { by }: Counted) {
        self.left = self.left.saturating_sub(by);
    }

    fn history(&self) -> Vec<Counted> {
        let by = self.count - self.left;
        if by == 0 { Vec::new() } else { vec![Counted { by }] }
    }

    /// It is nobody's.
    fn departed(&self, _session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Counted> {
        None
    }

    /// What was counted is counted.
    fn unheard(&self, _caller: SessionId, _reply: &Reply, _now: Moment) -> Option<Counted> {
        None
    }

    fn due(&self) -> Option<Moment> {
        None
    }

    fn elapsed(&self, _now: Moment) -> Option<Counted> {
        None
    }

    fn awaited(&self, _command: &Command) -> &'static str {
        "for it to open"
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("left", self.left)]
    }

    fn violation(&self) -> Option<String> {
        (self.count == 0 || self.left > self.count).then(|| format!("T1: {} are left of {}", self.left, self.count))
    }
}
