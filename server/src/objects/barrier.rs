//! The barrier: a point that a fixed number of parties pass together, again and again.
//!
//! ```text
//!   filling, generation g ── the last party arrives ──► all pass; filling, generation g + 1
//!       │  └── Reset: those who wait see it broken ──► filling, generation g + 1
//!       └── a party dies, gives up or times out, or Abort ──► broken: every Wait is refused as BarrierBroken
//!                                                               └── Reset ──► filling, generation g + 1
//! ```
//!
//! All of a generation pass, or all see it broken. A party that does not come at all breaks nothing: the others find out by their
//! deadlines, as with the barriers of the operating systems.

#[cfg(test)]
mod tests;
mod wire;

use super::kind::{Decision, Departure, GivenUp, Kind, Line, Moment, SessionId};
use bursar_proto::Fault;

/// The parties that wait for the others. All are of one generation and wait for the same: while the first has to, all have to, so
/// that only it is asked when another one arrives.
const PARTIES: Line = Line::Queue(0);
/// All parties are answered in one step, in which the object does nothing else.
const PARTIES_MAX: u32 = 100_000;

/// What a session asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Arrives, and passes with the others.
    Wait,
    /// What a party asks that has arrived. Not on the wire.
    Pass {
        /// With whom.
        generation: u64,
        /// How many were there before it.
        index: u32,
    },
    /// Breaks it.
    Abort,
    /// Makes it whole; who waits sees it broken.
    Reset,
    /// How it stands.
    Get,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reply {
    Wait { index: u32, generation: u64 },
    Abort,
    Reset,
    Get { parties: u32, waiting: u32, broken: bool, generation: u64 },
}

/// What the barrier remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A party waits for the others.
    Arrived {
        /// Whose it is.
        session: SessionId,
    },
    /// The last party arrived.
    Passed,
    /// Nobody passes until it is reset.
    Broken {
        /// Who did what.
        why: String,
    },
    /// Whole again, or anew.
    Reset {
        /// Who did it.
        session: SessionId,
    },
    /// From [`Kind::history`]: all but the parties that wait.
    Restored {
        /// The one that fills.
        generation: u64,
        /// Why it is broken, if it is.
        broken: Option<String>,
        /// Why the one before was broken; `None`: it passed.
        previous: Option<String>,
    },
}

/// A meeting point. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// How many pass together.
    parties: u32,
    /// Counts what filled up, or was reset.
    generation: u64,
    /// The parties that wait, in the order of their arrival. A session can be several.
    arrived: Vec<SessionId>,
    /// Why nobody passes.
    broken: Option<String>,
    /// Why the generation before this one was broken; `None`: it passed. Nobody asks of earlier ones: in the step that ends a
    /// generation, all its parties are answered.
    previous: Option<String>,
}

/// What became of a generation.
enum Outcome<'a> {
    Open,
    Passed,
    Broken(&'a str),
}

impl Barrier {
    fn new(parties: u32) -> Barrier {
        Barrier { parties, generation: 0, arrived: Vec::new(), broken: None, previous: None }
    }

    fn arrive(&self, session: SessionId) -> Decision<Barrier> {
        if let Some(why) = &self.broken {
            return Decision::Refuse(Fault::BarrierBroken { why: why.clone() });
        }
        let (index, generation) = (self.waiting(), self.generation);
        if index + 1 == self.parties {
            return Decision::Change(Change::Passed, Reply::Wait { index, generation });
        }
        Decision::Enter(Change::Arrived { session }, Command::Pass { generation, index })
    }

    fn pass(&self, generation: u64, index: u32) -> Decision<Barrier> {
        match self.outcome(generation) {
            Outcome::Open => Decision::Wait,
            Outcome::Passed => Decision::Answer(Reply::Wait { index, generation }),
            Outcome::Broken(why) => Decision::Refuse(Fault::BarrierBroken { why: why.to_owned() }),
        }
    }

    fn outcome(&self, generation: u64) -> Outcome<'_> {
        let is_this_one = generation == self.generation;
        match if is_this_one { &self.broken } else { &self.previous } {
            Some(why) => Outcome::Broken(why),
            None if is_this_one => Outcome::Open,
            None => Outcome::Passed,
        }
    }

    /// The first reason stays.
    fn abort(&self, session: SessionId) -> Decision<Barrier> {
        match self.broken {
            Some(_) => Decision::Answer(Reply::Abort),
            None => Decision::Change(Change::Broken { why: format!("{} aborted it", name(session)) }, Reply::Abort),
        }
    }

    fn reset(&self, session: SessionId) -> Decision<Barrier> {
        match self.broken.is_none() && self.arrived.is_empty() {
            true => Decision::Answer(Reply::Reset),
            false => Decision::Change(Change::Reset { session }, Reply::Reset),
        }
    }

    fn waiting(&self) -> u32 {
        self.arrived.len() as u32
    }

    /// The generation is over; the next one fills.
    fn begin(&mut self, previous: Option<String>) {
        self.generation += 1;
        self.arrived.clear();
        self.broken = None;
        self.previous = previous;
    }
}

impl Kind for Barrier {
    const NAME: &'static str = "barrier";
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    /// Who arrives does not wait behind those who are there: it may be the one they wait for.
    fn line(command: &Command) -> Option<Line> {
        matches!(command, Command::Pass { .. }).then_some(PARTIES)
    }

    fn decide(&self, caller: SessionId, command: &Command, _now: Moment) -> Decision<Barrier> {
        match command {
            Command::Wait => self.arrive(caller),
            Command::Pass { generation, index } => self.pass(*generation, *index),
            Command::Abort => self.abort(caller),
            Command::Reset => self.reset(caller),
            Command::Get => {
                let (parties, waiting, generation) = (self.parties, self.waiting(), self.generation);
                Decision::Answer(Reply::Get { parties, waiting, broken: self.broken.is_some(), generation })
            }
        }
    }

    /// Nobody is told so: a party whose time is over breaks the barrier, and is told that.
    fn overdue(&self, _command: &Command, _now: Moment) -> Fault {
        Fault::TimedOut { what: format!("{} of {} parties have arrived", self.waiting(), self.parties) }
    }

    fn given_up(&self, caller: SessionId, command: &Command, how: GivenUp, _now: Moment) -> Option<Change> {
        let Command::Pass { generation, index: _ } = command else { return None };
        if !matches!(self.outcome(*generation), Outcome::Open) {
            return None;
        }
        let what = match how {
            GivenUp::Overdue => "timed out",
            GivenUp::TakenBack => "gave up",
        };
        Some(Change::Broken { why: format!("{} {what}", name(caller)) })
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Arrived { session } => self.arrived.push(session),
            Change::Passed => self.begin(None),
            Change::Broken { why } => {
                self.arrived.clear();
                self.broken = Some(why);
            }
            Change::Reset { session } => {
                let why = self.broken.take().unwrap_or_else(|| format!("{} reset it", name(session)));
                self.begin(Some(why));
            }
            Change::Restored { generation, broken, previous } => {
                (self.generation, self.broken, self.previous) = (generation, broken, previous);
            }
        }
    }

    fn history(&self) -> Vec<Change> {
        if *self == Barrier::new(self.parties) {
            return Vec::new();
        }
        let (generation, broken, previous) = (self.generation, self.broken.clone(), self.previous.clone());
        let arrived = self.arrived.iter().map(|session| Change::Arrived { session: *session });
        [Change::Restored { generation, broken, previous }].into_iter().chain(arrived).collect()
    }

    fn departed(&self, session: SessionId, how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        let what = match how {
            Departure::Closed => "closed",
            Departure::Lost => "died",
        };
        self.arrived.contains(&session).then(|| Change::Broken { why: format!("{} {what}", name(session)) })
    }

    /// It has passed, and so have the others.
    fn unheard(&self, _caller: SessionId, _reply: &Reply, _now: Moment) -> Option<Change> {
        None
    }

    fn due(&self) -> Option<Moment> {
        None
    }

    fn elapsed(&self, _now: Moment) -> Option<Change> {
        None
    }

    fn awaited(&self, _command: &Command) -> &'static str {
        "for the other parties at it"
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("arrived", u64::from(self.waiting())),
            ("broken", u64::from(self.broken.is_some())),
            ("generation", self.generation),
        ]
    }

    fn violation(&self) -> Option<String> {
        if self.waiting() >= self.parties {
            return Some(format!("B1: {} of {} parties wait, and none passes", self.waiting(), self.parties));
        }
        let is_half_broken = self.broken.is_some() && !self.arrived.is_empty();
        is_half_broken.then(|| format!("B1: {} parties wait at a broken barrier", self.waiting()))
    }
}

/// A session as people read it.
fn name(session: SessionId) -> String {
    format!("session {}", session.0)
}
