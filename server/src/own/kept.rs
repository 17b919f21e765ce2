//! A kind of one's own as a kind of the broker: what is the same for all of them. On the wire it is an `object` that nobody serves.
//!
//! What comes from outside may panic; nothing of that leaves this file. A panic while it *decides* is the failure of that call. One
//! while it *evolves* leaves a state that nobody knows: the object is broken from then on, after a replay as well.

use super::kind::{self, Waits, unwritable};
use crate::objects::{
    kind::{Damaged, Decision, Departure, Kind, Line, Moment, SessionId, Wire},
    object::{self, Described, Description, Failure, Invocation, Object, Outcome, Reply, read_description, read_failure},
    value::Value,
};
use bursar::{Encode, Payload, Raw, object::Failed};
use bursar_proto::{
    Fault,
    v1::{answer, object as pb, registry},
};
use serde::{Deserialize, Serialize};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// All are asked after a change.
const TOGETHER: Line = Line::Crowd(0);
/// First come, first served.
const IN_TURN: Line = Line::Queue(1);

/// See the [module](self).
#[derive(Clone, Debug, PartialEq)]
pub struct Kept<K> {
    state: K,
    description: Arc<Description>,
    /// Why it serves nobody any more.
    broken: Option<String>,
}

/// What a session asks.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Command {
    Invoke {
        invocation: Arc<Invocation>,
        waits: Waits,
        /// The largest answer.
        bytes_max: usize,
    },
    Abandon,
    Describe,
}

/// What the object remembers, with the bytes as which it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<C> {
    event: Event<C>,
    bytes: Vec<u8>,
}

/// A persistent format: it only grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event<C> {
    Own(C),
    Broken(String),
}

impl<C: Clone + Serialize + serde::de::DeserializeOwned> Change<C> {
    pub(super) fn own(change: C) -> Result<Change<C>, Failed> {
        let event = Event::Own(change);
        let Raw { data, codec: _ } = event.encode().map_err(|error| unwritable("the change", &error))?;
        Ok(Change { event, bytes: data.into() })
    }

    fn broken(why: String) -> Change<C> {
        let event = Event::Broken(why);
        let bytes = event.encode().map_or_else(|_| Vec::new(), |raw| raw.data.into());
        Change { event, bytes }
    }
}

impl<K: kind::Kind> Kept<K> {
    /// A new object.
    pub fn new() -> Result<Kept<K>, Fault> {
        let description = guarded(K::description).map_err(|panic| Fault::bad_argument("description", panic))?;
        let description = Arc::new(read_description(Some(description))?);
        if let Some((name, _)) = description.methods.iter().find(|(_, method)| method.stream) {
            let problem = format!("a method of a kind of one's own is not a stream, and {name} is said to be one");
            return Err(Fault::bad_argument("description", problem));
        }
        let state = guarded(K::default).map_err(|panic| Fault::bad_argument("kind", panic))?;
        Ok(Kept { state, description, broken: None })
    }

    fn invoke(
        &self,
        caller: SessionId,
        invocation: &Invocation,
        bytes_max: usize,
        now: Moment,
    ) -> Result<Decision<Kept<K>>, Fault> {
        self.description.check(invocation)?;
        let (change, answer) = match self.decided(&kind::Call::new(invocation, caller, now)) {
            Ok(kind::Decision::Wait) => return Ok(Decision::Wait),
            Ok(kind::Decision::Answer(answer)) => (None, answer),
            Ok(kind::Decision::Change(change, answer)) => (Some(change), answer),
            Err(failed) => return failure(failed, bytes_max),
        };
        let (size, limit) = (answer.data.len(), bytes_max);
        if size > limit {
            return Err(Fault::TooLarge { what: "the answer".into(), size: size as u64, limit: limit as u64 });
        }
        let reply = Reply::Invoke(Outcome::Result(Value { data: answer.data, codec: answer.codec }));
        Ok(match change {
            Some(change) => Decision::Change(change, reply),
            None => Decision::Answer(reply),
        })
    }

    /// What the kind says, with a change that can be kept.
    fn decided(&self, call: &kind::Call<'_>) -> Result<kind::Decision<Change<K::Change>>, Failed> {
        if let Some(why) = &self.broken {
            return Err(panicked(format!("the object is broken: {why}")));
        }
        let decide = || {
            Ok(match self.state.decide(call)? {
                kind::Decision::Wait => kind::Decision::Wait,
                kind::Decision::Answer(answer) => kind::Decision::Answer(answer),
                kind::Decision::Change(change, answer) => kind::Decision::Change(Change::own(change)?, answer),
            })
        };
        guarded(decide).map_err(panicked)?
    }

    /// What was not asked by a call: there is nobody who could be told that it failed.
    fn unasked(&self, change: impl FnOnce(&K) -> Option<K::Change>) -> Option<Change<K::Change>> {
        if self.broken.is_some() {
            return None;
        }
        let written = || change(&self.state).map(|change| Change::own(change).map_err(|failed| failed.message));
        let changed = guarded(written).unwrap_or_else(|panic| Some(Err(panic)))?;
        Some(changed.unwrap_or_else(Change::broken))
    }

    fn described(&self) -> Described {
        let description = Some(self.description.clone());
        Described { description, providers: 1, capacity: 1, waiting: 0, running: 0, calls: 0, counters: Default::default() }
    }
}

fn failure<K: kind::Kind>(failed: Failed, bytes_max: usize) -> Result<Decision<Kept<K>>, Fault> {
    let Failed { kind, message, value } = failed;
    let value = value.map(|Raw { data, codec }| bursar_proto::v1::Value { data, codec });
    let failure: Failure = read_failure(pb::Failure { r#type: kind, message, value }, bytes_max)?;
    Ok(Decision::Answer(Reply::Invoke(Outcome::Failure(failure))))
}

fn panicked(message: String) -> Failed {
    Failed::new(Failed::PANIC, message)
}

/// What it says, or what it says in panic. The state is only looked at, or never used again.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
    said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

impl<K: kind::Kind> Kind for Kept<K> {
    const NAME: &'static str = Object::NAME;
    type Command = Command;
    type Reply = Reply;
    type Change = Change<K::Change>;

    fn line(command: &Command) -> Option<Line> {
        match command {
            Command::Invoke { waits: Waits::Together, .. } => Some(TOGETHER),
            Command::Invoke { waits: Waits::InTurn, .. } => Some(IN_TURN),
            Command::Abandon | Command::Describe => None,
        }
    }

    fn decide(&self, caller: SessionId, command: &Command, now: Moment) -> Decision<Kept<K>> {
        match command {
            Command::Invoke { invocation, waits: _, bytes_max } => {
                self.invoke(caller, invocation, *bytes_max, now).unwrap_or_else(Decision::Refuse)
            }
            Command::Abandon => Decision::Answer(Reply::Abandon),
            Command::Describe => Decision::Answer(Reply::Describe(self.described())),
        }
    }

    fn overdue(&self, command: &Command, _now: Moment) -> Fault {
        let method = match command {
            Command::Invoke { invocation, .. } => &invocation.method,
            Command::Abandon | Command::Describe => unreachable!("they never wait"),
        };
        Fault::TimedOut { what: format!("{method} could not be answered") }
    }

    fn evolve(&mut self, change: Change<K::Change>) {
        self.broken = match change.event {
            _ if self.broken.is_some() => return,
            Event::Own(change) => guarded(|| self.state.evolve(change)).err(),
            Event::Broken(why) => Some(why),
        };
    }

    fn history(&self) -> Vec<Change<K::Change>> {
        if let Some(why) = &self.broken {
            return vec![Change::broken(why.clone())];
        }
        let written = || -> Result<Vec<_>, String> {
            let history = self.state.history().into_iter();
            history.map(|change| Change::own(change).map_err(|failed| failed.message)).collect()
        };
        guarded(written).and_then(|written| written).unwrap_or_else(|why| vec![Change::broken(why)])
    }

    fn departed(&self, session: SessionId, how: Departure, why: &str, now: Moment) -> Option<Change<K::Change>> {
        self.unasked(|state| state.departed(session, how, why, now))
    }

    fn unheard(&self, caller: SessionId, reply: &Reply, now: Moment) -> Option<Change<K::Change>> {
        let Reply::Invoke(Outcome::Result(Value { data, codec })) = reply else { return None };
        let answer = Raw { data: data.clone(), codec: *codec };
        self.unasked(|state| state.unheard(caller, &answer, now))
    }

    fn due(&self) -> Option<Moment> {
        match &self.broken {
            Some(_) => None,
            // What panics here does so when it is asked what has changed, and is broken then.
            None => guarded(|| self.state.due()).unwrap_or(Some(Moment(0))),
        }
    }

    fn elapsed(&self, now: Moment) -> Option<Change<K::Change>> {
        match self.due() {
            Some(due) if due <= now => self.unasked(|state| {
                state.due();
                state.elapsed(now)
            }),
            _ => None,
        }
    }

    fn awaited(&self, _command: &Command) -> &'static str {
        "for a change of the object"
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let own = guarded(|| self.state.figures()).unwrap_or_default();
        [("broken", u64::from(self.broken.is_some()))].into_iter().chain(own).collect()
    }

    fn violation(&self) -> Option<String> {
        None
    }
}

impl<K: kind::Kind> Wire for Kept<K> {
    fn create(options: &registry::Options, _epoch: u64) -> Result<Kept<K>, Fault> {
        let Some(registry::options::Kind::Object(pb::Options { max_calls, max_bytes, max_calls_per_session, serial, kind: _ })) =
            &options.kind
        else {
            return Err(Fault::bad_argument("options", "expected the options of an object"));
        };
        if (*max_calls, *max_bytes, *max_calls_per_session, *serial) != (0, 0, 0, false) {
            let problem = format!("an object of the kind {:?} has no other options: the broker carries its calls out", K::NAME);
            return Err(Fault::bad_argument("options", problem));
        }
        Kept::new()
    }

    fn options(&self) -> registry::Options {
        let options = pb::Options { kind: K::NAME.to_owned(), ..Default::default() };
        registry::Options { kind: Some(registry::options::Kind::Object(options)) }
    }

    fn command(command: bursar_proto::Command, bytes_max: usize) -> Result<Command, Fault> {
        match Object::command(command, bytes_max)? {
            object::Command::Invoke { invocation, wait_ms: _ } => {
                let waits = guarded(|| K::waits(&invocation.method)).unwrap_or(Waits::Together);
                Ok(Command::Invoke { invocation, waits, bytes_max })
            }
            object::Command::Describe => Ok(Command::Describe),
            object::Command::Abandon { .. } => Ok(Command::Abandon),
            _ => {
                let problem = format!("expected Invoke or Describe: the broker itself carries out the calls of {:?}", K::NAME);
                Err(Fault::bad_argument("verb", problem))
            }
        }
    }

    fn reply(reply: Reply) -> answer::Reply {
        Object::reply(reply)
    }

    fn holding(reply: answer::Reply) -> Option<Reply> {
        let answer::Reply::Object(pb::Reply { verb: Some(pb::reply::Verb::Invoke(pb::InvokeReply { outcome })) }) = reply else {
            return None;
        };
        match outcome? {
            pb::invoke_reply::Outcome::Result(value) => Some(Reply::Invoke(Outcome::Result(Value::recall(Some(value)).ok()?))),
            pb::invoke_reply::Outcome::Failure(_) | pb::invoke_reply::Outcome::Stream(_) => None,
        }
    }

    fn encode(change: &Change<K::Change>) -> Vec<u8> {
        change.bytes.clone()
    }

    fn decode(bytes: &[u8]) -> Result<Change<K::Change>, Damaged> {
        let raw = Raw { data: bytes.to_vec().into(), codec: Raw::MESSAGEPACK };
        let event = Payload::decode(raw).map_err(|error: bursar::CodecError| Damaged(error.to_string()))?;
        Ok(Change { event, bytes: bytes.to_vec() })
    }
}
