//! A fixed number of numbers of one type, all 0 at the beginning.
//!
//! It is not a list: nothing is inserted or deleted, and there are no revisions. `cells` keeps the numbers, each in the size of
//! its type; between here and there numbers travel in one of three wide forms. Nothing is rounded but to f32, and what the type
//! cannot hold is refused.

mod cells;
#[cfg(test)]
mod tests;
mod wire;

use super::{
    kind::{Decision, Departure, Kind, Line, Moment, SessionId},
    slice::{Slice, Span, position},
};
use bursar_proto::Fault;
use cells::Cells;
pub use cells::{Numbers, Type};

/// Numbers in one call or reply: 8 to 10 MB of the widest ones, which is less than the largest payload. More is asked for slice by
/// slice.
const NUMBERS_MAX: usize = 1_000_000;
/// Numbers in an array: 128 MiB of the widest ones, which snapshots copy as a whole.
const LENGTH_MAX: u64 = 1 << 24;
/// Numbers in one change of [`Kind::history`]: some hundred kilobytes, because engines bound their records.
const RESTORED_MAX: usize = 1 << 16;

/// What a session asks.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Command {
    Get { slice: Slice },
    Set { slice: Slice, numbers: Numbers },
    Add { index: i64, by: Numbers },
}

/// What it is told.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Reply {
    Get(Numbers),
    Set,
    /// The sum.
    Add(Numbers),
}

/// What the array remembers: these numbers stand at these positions, of which there are as many.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Where the first one stands.
    pub at: usize,
    /// How far it is to the next.
    pub step: i64,
    /// One after the other.
    pub numbers: Numbers,
}

/// Numbers of one type. See the [module](self).
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    cells: Cells,
    /// As it was created.
    length: usize,
}

type Decided = Result<Decision<Array>, Fault>;

impl Kind for Array {
    const NAME: &'static str = "array";
    type Command = Command;
    type Reply = Reply;
    type Change = Stored;

    fn line(_command: &Command) -> Option<Line> {
        None
    }

    fn decide(&self, _caller: SessionId, command: &Command, _now: Moment) -> Decision<Array> {
        let decided = match command {
            Command::Get { slice } => self.get(slice.of(self.length)),
            Command::Set { slice, numbers } => self.set(slice.of(self.length), numbers),
            Command::Add { index, by } => self.add(*index, by),
        };
        decided.unwrap_or_else(Decision::Refuse)
    }

    fn overdue(&self, _command: &Command, _now: Moment) -> Fault {
        Fault::TimedOut { what: "the call".into() }
    }

    fn evolve(&mut self, Stored { at, step, numbers }: Stored) {
        self.cells.store(Span { at, step, count: numbers.len() }, &numbers);
    }

    /// Where everything is 0 nothing is told.
    fn history(&self) -> Vec<Stored> {
        let starts = (0..self.length).step_by(RESTORED_MAX);
        let spans = starts.map(|at| Span { at, step: 1, count: RESTORED_MAX.min(self.length - at) });
        spans
            .filter(|span| self.cells.has_news(*span))
            .map(|span| Stored { at: span.at, step: span.step, numbers: self.cells.read(span) })
            .collect()
    }

    /// Nobody holds anything of an array.
    fn departed(&self, _session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Stored> {
        None
    }

    /// No reply gives anything that could be lost.
    fn unheard(&self, _caller: SessionId, _reply: &Reply, _now: Moment) -> Option<Stored> {
        None
    }

    fn due(&self) -> Option<Moment> {
        None
    }

    fn elapsed(&self, _now: Moment) -> Option<Stored> {
        None
    }

    fn awaited(&self, _command: &Command) -> &'static str {
        "for nothing"
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("length", self.length as u64), ("bytes", self.cells.bytes() as u64)]
    }

    fn violation(&self) -> Option<String> {
        let count = self.cells.len();
        (count != self.length).then(|| format!("the array was created with {} numbers, and has {count}", self.length))
    }
}

impl Array {
    fn new(of: Type, length: usize) -> Array {
        Array { cells: Cells::new(of, length), length }
    }

    fn get(&self, span: Span) -> Decided {
        if span.count > NUMBERS_MAX {
            let problem = format!(
                "expected a slice of at most {NUMBERS_MAX} numbers, this one has {}: read the next behind it",
                span.count
            );
            return Err(Fault::bad_argument("slice", problem));
        }
        Ok(Decision::Answer(Reply::Get(self.cells.read(span))))
    }

    fn set(&self, span: Span, numbers: &Numbers) -> Decided {
        self.check_form("numbers", numbers)?;
        if numbers.len() != span.count {
            let problem = format!("expected {}, as many as the slice has, got {}", span.count, numbers.len());
            return Err(Fault::bad_argument("numbers", problem));
        }
        if let Some((place, misfit)) = self.cells.misfit(numbers) {
            let problem = format!("expected {}, got {misfit} at place {place}", self.cells.of().range());
            return Err(Fault::bad_argument("numbers", problem));
        }
        let Span { at, step, count } = span;
        Ok(match count {
            0 => Decision::Answer(Reply::Set),
            _ => Decision::Change(Stored { at, step, numbers: numbers.clone() }, Reply::Set),
        })
    }

    fn add(&self, index: i64, by: &Numbers) -> Decided {
        self.check_form("by", by)?;
        let at = position(index, self.length)?;
        let sum = self.cells.sum(at, by).ok_or_else(|| Fault::CounterOverflow {
            value: self.cells.read(Span { at, step: 1, count: 1 }).to_string(),
            by: by.to_string(),
        })?;
        Ok(Decision::Change(Stored { at, step: 1, numbers: sum.clone() }, Reply::Add(sum)))
    }

    /// Whether numbers come in the form that the type has.
    fn check_form(&self, argument: &str, numbers: &Numbers) -> Result<(), Fault> {
        let of = self.cells.of();
        if numbers.form() == of.form() {
            return Ok(());
        }
        let problem = format!("expected {} for an array of {}, got {}", of.form(), of.name(), numbers.form());
        Err(Fault::bad_argument(argument, problem))
    }
}
