//! The event: a flag that processes wait for.
//!
//! ```text
//!   clear ── Set (version + 1) ──► set ── Clear ──► clear
//! ```
//!
//! The version counts how often it went from clear to set. A wait for the version after the one that is known misses no `Set`, also
//! one that was cleared before the wait arrived. It keeps no list of who has seen what: that is what the known version is for.

#[cfg(test)]
mod tests;
mod wire;

use super::{
    kind::{Decision, Departure, Kind, Line, Moment, SessionId, Test, Together},
    steps,
};
use bursar_proto::Fault;

/// Who waits: each for a version of its own.
const WAITERS: Line = Line::Crowd(0);

/// What a session asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Set,
    Clear,
    Get,
    /// Until it is set; or, with a version, until it has been set after that one.
    Wait {
        after: Option<u64>,
    },
}

/// What it is told: the version after the verb.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reply {
    Set { changed: bool, version: u64 },
    Clear { changed: bool, version: u64 },
    Get { is_set: bool, version: u64 },
    Wait { version: u64 },
}

/// What the event remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// From clear to set: the next version.
    Set,
    /// From set to clear.
    Cleared,
    /// From [`Kind::history`].
    Restored {
        /// Whether it is set.
        is_set: bool,
        /// The version that it has.
        version: u64,
    },
}

/// A flag. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// As it was created.
    initially_set: bool,
    /// Now.
    is_set: bool,
    /// How often it went from clear to set; being created set is the first time.
    version: u64,
}

impl Event {
    fn new(initially_set: bool) -> Event {
        Event { initially_set, is_set: initially_set, version: u64::from(initially_set) }
    }

    fn set(&self) -> Decision<Event> {
        match self.is_set {
            true => Decision::Answer(Reply::Set { changed: false, version: self.version }),
            false => Decision::Change(Change::Set, Reply::Set { changed: true, version: self.version + 1 }),
        }
    }

    fn clear(&self) -> Decision<Event> {
        let reply = Reply::Clear { changed: self.is_set, version: self.version };
        if self.is_set { Decision::Change(Change::Cleared, reply) } else { Decision::Answer(reply) }
    }

    fn wait(&self, after: Option<u64>) -> Decision<Event> {
        let version = self.version;
        let is_over = match after {
            None => self.is_set,
            Some(after) if after > version => {
                let problem = format!("expected a version up to the event's, which is {version}, got {after}");
                return Decision::Refuse(Fault::bad_argument("after", problem));
            }
            Some(after) => after < version,
        };
        if is_over { Decision::Answer(Reply::Wait { version }) } else { Decision::Wait }
    }
}

impl Kind for Event {
    const NAME: &'static str = "event";
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    fn line(command: &Command) -> Option<Line> {
        matches!(command, Command::Wait { .. }).then_some(WAITERS)
    }

    fn decide(&self, _caller: SessionId, command: &Command, _now: Moment) -> Decision<Event> {
        match command {
            Command::Set => self.set(),
            Command::Clear => self.clear(),
            Command::Get => Decision::Answer(Reply::Get { is_set: self.is_set, version: self.version }),
            Command::Wait { after } => self.wait(*after),
        }
    }

    fn overdue(&self, command: &Command, _now: Moment) -> Fault {
        let what = match command {
            Command::Wait { after: Some(after) } => format!("the event was not set after version {after}"),
            _ => "the event was not set".to_owned(),
        };
        Fault::TimedOut { what }
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Set => (self.is_set, self.version) = (true, self.version + 1),
            Change::Cleared => self.is_set = false,
            Change::Restored { is_set, version } => (self.is_set, self.version) = (is_set, version),
        }
    }

    fn history(&self) -> Vec<Change> {
        if *self == Event::new(self.initially_set) {
            return Vec::new();
        }
        vec![Change::Restored { is_set: self.is_set, version: self.version }]
    }

    /// It is nobody's.
    fn departed(&self, _session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        None
    }

    /// A wait takes nothing away.
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
        "for it to be set"
    }

    fn joins(command: &Command) -> bool {
        !matches!(command, Command::Wait { .. })
    }

    fn decide_all(&self, caller: SessionId, commands: &[Command], now: Moment) -> Result<Together<Event>, Fault> {
        steps::in_order(self, caller, commands, now)
    }

    fn test(&self, _caller: SessionId, test: &Test) -> Option<bool> {
        match test {
            Test::IsSet(is_set) => Some(self.is_set == *is_set),
            _ => None,
        }
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("is_set", u64::from(self.is_set)), ("version", self.version)]
    }

    fn violation(&self) -> Option<String> {
        let was_never_set = self.version == 0;
        (was_never_set && (self.is_set || self.initially_set)).then(|| "E1: it is or was set, and has version 0".into())
    }
}
