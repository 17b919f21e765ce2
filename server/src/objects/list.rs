//! A sequence of values, as Python's list: indices, slices, and what is asked of the whole.
//!
//! ```text
//!   [a b c] ── Set, Replace, Extend, Insert, Pop, Delete, Remove, Reverse ──► [...], with the next revision
//! ```
//!
//! It is not a queue: nobody waits for a value, and what is popped is gone. What changes nothing takes no revision.
//! Both ends are near: appending and popping there takes the same time however long the list is.

#[cfg(test)]
mod tests;
mod wire;

use super::{
    kind::{Decision, Departure, Kind, Line, Moment, SessionId},
    page::Page,
    slice::{Slice, Span, insertion, position},
    value::Value,
};
use bursar_proto::Fault;
use std::collections::VecDeque;

/// Values in one [`Change::Restored`].
const RESTORED_MAX: usize = 1000;
/// Their bytes, unless a single one is larger: engines bound their records.
const RESTORED_BYTES_MAX: usize = 1 << 20;

/// What a session asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Get {
        index: i64,
    },
    Read {
        slice: Slice,
        /// So many values of the slice were read already.
        skip: u64,
        limit: usize,
    },
    Set {
        index: i64,
        value: Value,
        if_revision: Option<u64>,
    },
    Replace {
        slice: Slice,
        values: Vec<Value>,
        if_revision: Option<u64>,
    },
    Extend {
        values: Vec<Value>,
    },
    Insert {
        index: i64,
        value: Value,
    },
    Pop {
        index: Option<i64>,
    },
    Delete {
        slice: Slice,
        if_revision: Option<u64>,
    },
    Remove {
        value: Value,
    },
    Index {
        value: Value,
        slice: Slice,
    },
    Count {
        value: Value,
    },
    Reverse,
    Len,
}

/// What it is told. `len` and `revision` are the list's, after the verb.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reply {
    Get { value: Value, revision: u64 },
    Read { values: Vec<Value>, more: bool, revision: u64 },
    Set { revision: u64 },
    Replace { len: u64, revision: u64 },
    Extend { len: u64, revision: u64 },
    Insert { len: u64, revision: u64 },
    Pop { value: Value, len: u64, revision: u64 },
    Delete { count: u64, revision: u64 },
    Remove { index: u64, revision: u64 },
    Index { index: u64 },
    Count { count: u64 },
    Reverse { revision: u64 },
    Len { len: u64, revision: u64 },
}

/// What the list remembers. Positions are absolute; each but the last takes the next revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Other values stand where these stood.
    Spliced {
        /// The position of the first one.
        at: usize,
        /// How many go.
        removed: usize,
        /// What comes.
        values: Vec<Value>,
    },
    /// The values at these positions, of which there are some, are others.
    Stepped {
        /// Where they stand.
        span: Span,
        /// As many; none: they are deleted.
        values: Vec<Value>,
    },
    /// The last is the first.
    Reversed,
    /// From [`Kind::history`]: the list had this revision and, behind those before, these values.
    Restored {
        /// Of the list.
        revision: u64,
        /// The next ones.
        values: Vec<Value>,
    },
}

/// What the creator of a list asks for, with every default written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    max_len: u64,
    /// Of the values.
    max_bytes: u64,
}

/// A list with revisions. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// As it was created.
    options: Options,
    values: VecDeque<Value>,
    /// Of the values.
    bytes: u64,
    /// Of the last change; 0: none yet.
    revision: u64,
}

type Decided = Result<Decision<List>, Fault>;

impl Kind for List {
    const NAME: &'static str = "list";
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    fn line(_command: &Command) -> Option<Line> {
        None
    }

    fn decide(&self, _caller: SessionId, command: &Command, _now: Moment) -> Decision<List> {
        self.answer(command).unwrap_or_else(Decision::Refuse)
    }

    fn overdue(&self, _command: &Command, _now: Moment) -> Fault {
        Fault::TimedOut { what: "the call".into() }
    }

    fn evolve(&mut self, change: Change) {
        self.revision += 1;
        match change {
            Change::Spliced { at, removed, values } => self.splice(at, removed, values),
            Change::Stepped { span, values } if values.is_empty() => self.thin_out(span),
            Change::Stepped { span, values } => {
                span.positions().zip(values).for_each(|(position, value)| self.overwrite(position, value));
            }
            Change::Reversed => self.values.make_contiguous().reverse(),
            Change::Restored { revision, values } => {
                self.splice(self.values.len(), 0, values);
                self.revision = revision;
            }
        }
    }

    fn history(&self) -> Vec<Change> {
        if self.revision == 0 {
            return Vec::new();
        }
        let revision = self.revision;
        let (mut changes, mut values, mut bytes) = (Vec::new(), Vec::new(), 0);
        for value in &self.values {
            let size = value.data.len();
            if !values.is_empty() && (bytes + size > RESTORED_BYTES_MAX || values.len() == RESTORED_MAX) {
                changes.push(Change::Restored { revision, values: std::mem::take(&mut values) });
                bytes = 0;
            }
            bytes += size;
            values.push(value.clone());
        }
        // Also without values: the revision goes on where it was.
        changes.push(Change::Restored { revision, values });
        changes
    }

    /// Nobody holds anything of a list.
    fn departed(&self, _session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        None
    }

    /// Also not what was popped: where it would belong now, nobody can say.
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
        "for nothing"
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("len", self.len()), ("bytes", self.bytes), ("revision", self.revision)]
    }

    fn violation(&self) -> Option<String> {
        let bytes = size_of_all(&self.values);
        let Options { max_len, max_bytes } = self.options;
        let checks = [
            (bytes == self.bytes, "the bytes do not add up"),
            (self.len() <= max_len && bytes <= max_bytes, "the list is over its limits"),
            (self.revision > 0 || self.values.is_empty(), "there are values, and nothing was ever changed"),
        ];
        let broken = checks.iter().find(|(holds, _)| !holds);
        broken.map(|(_, what)| format!("{what}: {bytes} bytes in {} values, {:?}", self.len(), self.figures()))
    }
}

impl List {
    fn new(options: Options) -> List {
        List { options, values: VecDeque::new(), bytes: 0, revision: 0 }
    }

    fn len(&self) -> u64 {
        self.values.len() as u64
    }

    fn answer(&self, command: &Command) -> Decided {
        let (values, revision) = (&self.values, self.revision);
        Ok(match command {
            Command::Get { index } => {
                let value = values[position(*index, values.len())?].clone();
                Decision::Answer(Reply::Get { value, revision })
            }
            Command::Read { slice, skip, limit } => self.read(*slice, *skip, *limit),
            Command::Set { index, value, if_revision } => self.set(*index, value, *if_revision)?,
            Command::Replace { slice, values, if_revision } => self.replace(*slice, values, *if_revision)?,
            Command::Extend { values } => {
                let spliced = self.spliced(self.values.len(), 0, values.clone())?;
                let reply = Reply::Extend { len: self.len() + values.len() as u64, revision: revision + 1 };
                Decision::Change(spliced, reply)
            }
            Command::Insert { index, value } => {
                let spliced = self.spliced(insertion(*index, values.len()), 0, vec![value.clone()])?;
                Decision::Change(spliced, Reply::Insert { len: self.len() + 1, revision: revision + 1 })
            }
            Command::Pop { index } => {
                let at = position(index.unwrap_or(-1), values.len())?;
                let reply = Reply::Pop { value: values[at].clone(), len: self.len() - 1, revision: revision + 1 };
                Decision::Change(without(at), reply)
            }
            Command::Delete { slice, if_revision } => self.delete(*slice, *if_revision)?,
            Command::Remove { value } => {
                let at = values.iter().position(|other| other == value).ok_or(Fault::NoSuchValue {})?;
                Decision::Change(without(at), Reply::Remove { index: at as u64, revision: revision + 1 })
            }
            Command::Index { value, slice } => {
                let Span { at, count, .. } = slice.of(values.len());
                let found = values.range(at..at + count).position(|other| other == value).ok_or(Fault::NoSuchValue {})?;
                Decision::Answer(Reply::Index { index: (at + found) as u64 })
            }
            Command::Count { value } => {
                let count = values.iter().filter(|other| *other == value).count() as u64;
                Decision::Answer(Reply::Count { count })
            }
            Command::Reverse if values.len() < 2 => Decision::Answer(Reply::Reverse { revision }),
            Command::Reverse => Decision::Change(Change::Reversed, Reply::Reverse { revision: revision + 1 }),
            Command::Len => Decision::Answer(Reply::Len { len: self.len(), revision }),
        })
    }

    fn read(&self, slice: Slice, skip: u64, limit: usize) -> Decision<List> {
        let span = slice.of(self.values.len()).behind(skip);
        let mut page = Page::of(limit);
        let fitting = span.positions().map(|at| &self.values[at]).take_while(|value| page.takes(value.data.len()));
        let values: Vec<Value> = fitting.cloned().collect();
        let more = values.len() < span.count;
        Decision::Answer(Reply::Read { values, more, revision: self.revision })
    }

    fn set(&self, index: i64, value: &Value, if_revision: Option<u64>) -> Decided {
        self.check(if_revision)?;
        let spliced = self.spliced(position(index, self.values.len())?, 1, vec![value.clone()])?;
        Ok(Decision::Change(spliced, Reply::Set { revision: self.revision + 1 }))
    }

    fn replace(&self, slice: Slice, values: &[Value], if_revision: Option<u64>) -> Decided {
        self.check(if_revision)?;
        let span = slice.of(self.values.len());
        if span.count == 0 && values.is_empty() {
            return Ok(Decision::Answer(Reply::Replace { len: self.len(), revision: self.revision }));
        }
        let Span { at, step, count } = span;
        if step == 1 {
            let len = self.len() - count as u64 + values.len() as u64;
            let spliced = self.spliced(at, count, values.to_vec())?;
            return Ok(Decision::Change(spliced, Reply::Replace { len, revision: self.revision + 1 }));
        }
        if count != values.len() {
            let problem = format!("expected {count} values, as many as the slice with step {step} has, got {}", values.len());
            return Err(Fault::bad_argument("values", problem));
        }
        self.room(0, size_of_these(&self.values, span), values)?;
        let reply = Reply::Replace { len: self.len(), revision: self.revision + 1 };
        Ok(Decision::Change(Change::Stepped { span, values: values.to_vec() }, reply))
    }

    fn delete(&self, slice: Slice, if_revision: Option<u64>) -> Decided {
        self.check(if_revision)?;
        let span = slice.of(self.values.len());
        let (count, revision) = (span.count as u64, self.revision + 1);
        let Span { at, step, .. } = span.ascending();
        Ok(match (count, step) {
            (0, _) => Decision::Answer(Reply::Delete { count, revision: self.revision }),
            (_, 1) => {
                let spliced = Change::Spliced { at, removed: span.count, values: Vec::new() };
                Decision::Change(spliced, Reply::Delete { count, revision })
            }
            _ => Decision::Change(Change::Stepped { span, values: Vec::new() }, Reply::Delete { count, revision }),
        })
    }

    fn check(&self, if_revision: Option<u64>) -> Result<(), Fault> {
        match if_revision {
            Some(revision) if revision != self.revision => Err(Fault::ListChanged { revision: self.revision }),
            _ => Ok(()),
        }
    }

    /// A splice for which there is room.
    fn spliced(&self, at: usize, removed: usize, values: Vec<Value>) -> Result<Change, Fault> {
        let going = Span { at, step: 1, count: removed };
        self.room(values.len() as i64 - removed as i64, size_of_these(&self.values, going), &values)?;
        Ok(Change::Spliced { at, removed, values })
    }

    /// Whether so many more values find room, when bytes go and these come. What makes the list smaller always does, because it
    /// never is over its limits.
    fn room(&self, more: i64, bytes_going: u64, coming: &[Value]) -> Result<(), Fault> {
        let limit = self.options.max_len;
        if self.len().saturating_add_signed(more) > limit {
            return Err(Fault::LimitReached { what: "max_len".into(), limit });
        }
        let limit = self.options.max_bytes;
        if self.bytes - bytes_going + size_of_all(coming) > limit {
            return Err(Fault::LimitReached { what: "max_bytes".into(), limit });
        }
        Ok(())
    }

    /// Moves no more than the shorter side of the list.
    fn splice(&mut self, at: usize, removed: usize, values: Vec<Value>) {
        self.bytes += size_of_all(&values);
        self.bytes -= size_of_these(&self.values, Span { at, step: 1, count: removed });
        let in_place = removed.min(values.len());
        let mut values = values.into_iter();
        for (old, value) in self.values.range_mut(at..at + in_place).zip(values.by_ref()) {
            *old = value;
        }
        self.values.drain(at + in_place..at + removed);
        self.values.rotate_left(at + in_place);
        let count = values.len();
        self.values.extend(values);
        self.values.rotate_right(at + in_place + count);
    }

    fn overwrite(&mut self, position: usize, value: Value) {
        self.bytes += value.data.len() as u64;
        let old = std::mem::replace(&mut self.values[position], value);
        self.bytes -= old.data.len() as u64;
    }

    fn thin_out(&mut self, span: Span) {
        self.bytes -= size_of_these(&self.values, span);
        let mut going = span.ascending().positions().peekable();
        let mut position = 0;
        self.values.retain(|_| {
            let goes = going.next_if_eq(&position).is_some();
            position += 1;
            !goes
        });
    }
}

fn without(at: usize) -> Change {
    Change::Spliced { at, removed: 1, values: Vec::new() }
}

fn size_of_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> u64 {
    values.into_iter().map(|value| value.data.len() as u64).sum()
}

fn size_of_these(values: &VecDeque<Value>, span: Span) -> u64 {
    size_of_all(span.positions().map(|position| &values[position]))
}
