//! The object that other processes serve: calls go to providers, outcomes come back.
//!
//! ```text
//!   Invoke ──► waiting ── Take ──► given ──────────── Give ──► over ──► told
//!                 ▲  │               │ │                         ▲
//!                 │  └─ deadline ────┼─┼─────────────────────────┤
//!                 │                  │ └─ its provider went ─────┤  ProviderGone
//!                 └──────────────────┴─── its provider went ─────┘
//!                         idempotent, or never heard of
//! ```
//!
//! What a method does is none of its business: it knows names, and what may run beside what. It gives a call to nobody who does not
//! ask for one; of those who ask, to the one with the most free capacity. A call for which nobody waits any more stays in the hands
//! of its provider, and keeps its place there, until that one has answered it: only then does it certainly not run any more.
//!
//! It knows no schedule of its own: that a provider stalls is the business of its session, which then ends.

mod calling;
mod calls;
mod description;
mod history;
mod invariants;
mod provider;
mod serving;
#[cfg(test)]
mod tests;
mod wire;

use super::{
    kind::{Decision, Departure, GivenUp, Kind, Line, Moment, SessionId},
    value::Value,
};
use bursar_proto::Fault;
use calls::{Call, Calls, Stage};
pub(super) use description::nearest;
pub use description::{Description, Method, Parameter};
use history::Restored;
use provider::Provider;
use std::{collections::BTreeMap, sync::Arc};
pub(crate) use wire::{read_description, read_failure};

/// Who waits for what becomes of one call: its outcome, its items, room for its items.
const PARTIES: Line = Line::Crowd(0);
/// Providers that wait for calls.
const PROVIDERS: Line = Line::Crowd(1);

/// What the creator asks for, with every default written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    /// That wait or run.
    calls: u64,
    /// Of their arguments; and of all items that are not read.
    bytes: u64,
    /// Of one caller.
    calls_per_session: u64,
    /// All methods are.
    serial: bool,
}

/// A call above another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// As its caller named it.
    pub object: Arc<str>,
    /// Which object.
    pub epoch: u64,
    /// Which of its calls.
    pub call: u64,
    /// Which of its methods.
    pub method: Arc<str>,
}

/// A method by name, with arguments by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The object, as the caller names it.
    pub object: Arc<str>,
    /// What is to be done.
    pub method: Arc<str>,
    /// Each once.
    pub arguments: Vec<(String, Value)>,
    /// The calls that wait for this one, the first one first.
    pub chain: Vec<Link>,
    /// Where nobody serves the method, it waits for somebody who does.
    pub waits_for_provider: bool,
}

impl Invocation {
    /// Names and values of the arguments, in bytes.
    fn size(&self) -> usize {
        self.arguments.iter().map(|(name, value)| name.len() + value.data.len()).sum()
    }

    /// What is still of interest when nobody will carry it out any more.
    fn without_arguments(&self) -> Invocation {
        Invocation { arguments: Vec::new(), chain: Vec::new(), ..self.clone() }
    }
}

/// An error of the method itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The name of the error's type.
    pub r#type: String,
    /// For people.
    pub message: String,
    /// The error itself.
    pub value: Option<Value>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum End {
    Result(Value),
    Failure(Failure),
    /// A stream, behind its last item.
    Ended,
    /// No provider says so.
    Fault(Fault),
}

/// What a session asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Provide {
        description: Arc<Description>,
        capacity: u64,
    },
    Withdraw {
        provider: u64,
    },
    Take {
        provider: u64,
        /// 0: it is not offered any, and waits for cancellations.
        max: usize,
    },
    Give {
        provider: u64,
        /// `None`: the provider has not begun it.
        ends: Vec<(u64, Option<End>)>,
    },
    /// The one, and then the other.
    GiveAndTake {
        provider: u64,
        ends: Vec<(u64, Option<End>)>,
        max: usize,
    },
    Yield {
        provider: u64,
        call: u64,
        /// At least one.
        items: Vec<Value>,
    },
    Invoke {
        invocation: Arc<Invocation>,
        /// How long the caller waits; `None`: for ever.
        wait_ms: Option<u64>,
    },
    Next {
        call: u64,
        /// At least 1.
        max: usize,
    },
    Abandon {
        call: u64,
    },
    Describe,
    /// How a Take waits on.
    Await {
        provider: u64,
        max: usize,
        ask: u64,
    },
    /// How an Invoke waits on.
    Outcome {
        call: u64,
    },
    /// How a call waits on, for no time, that is forgotten and ends in a fault.
    Refused {
        call: u64,
        fault: Fault,
    },
}

/// A call in the hands of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its number.
    pub call: u64,
    /// Of which object.
    pub epoch: u64,
    /// What is to be done.
    pub invocation: Arc<Invocation>,
    /// Who calls.
    pub session: SessionId,
    /// Until the caller's deadline.
    pub left_ms: Option<u64>,
    /// Another provider had it, and went.
    pub again: bool,
    /// Items are expected.
    pub stream: bool,
}

/// What an Invoke comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Outcome {
    Result(Value),
    Failure(Failure),
    /// The number of the call.
    Stream(u64),
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reply {
    Provide {
        provider: u64,
    },
    Withdraw,
    Take {
        provider: u64,
        calls: Vec<Given>,
        cancelled: Vec<u64>,
    },
    Give {
        unwanted: Vec<u64>,
    },
    Yield {
        taken: u64,
    },
    Invoke(Outcome),
    Next {
        call: u64,
        items: Vec<Value>,
        /// `None`: there may be more.
        end: Option<End>,
    },
    Abandon,
    Describe(Described),
}

/// What the object says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// `None`: it was never served.
    pub description: Option<Arc<Description>>,
    /// How many there are.
    pub providers: u64,
    /// Of all together.
    pub capacity: u64,
    /// Calls that no provider has.
    pub waiting: u64,
    /// Calls that providers have.
    pub running: u64,
    /// Since the beginning.
    pub calls: u64,
    /// What happened to them.
    pub counters: Counters,
}

/// What happened since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that were given to another provider when theirs went.
    pub given_again: u64,
    /// Calls that ended because their provider went.
    pub gone: u64,
}

/// What the object remembers. Which provider is offered what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    /// The next number of a provider.
    Provided { session: SessionId, description: Arc<Description>, capacity: u64 },
    /// It is gone.
    Withdrawn { provider: u64 },
    /// It waits for calls, under the next number.
    Asked { provider: u64 },
    /// It does not any more. `ask` 0: in none of its Takes.
    Stopped { provider: u64, ask: u64 },
    /// It has these calls, and knows that nobody wants those. `ask` 0: it did not wait.
    Taken { provider: u64, ask: u64, calls: Vec<u64>, cancelled: Vec<u64> },
    /// It never heard of them.
    Untaken { provider: u64, calls: Vec<u64>, cancelled: Vec<u64> },
    /// It is done with these.
    Answered { provider: u64, ends: Vec<(u64, Option<End>)> },
    /// Behind those that are there.
    Yielded { call: u64, items: Vec<Value> },
    /// The next number of a call.
    Invoked { session: SessionId, invocation: Arc<Invocation>, deadline: Option<Moment> },
    /// Its caller waits no longer.
    Overdue { call: u64 },
    /// Its caller does not want it any more.
    TakenBack { call: u64 },
    /// Its caller knows how it ended: it is forgotten.
    Told { call: u64 },
    /// Its caller knows that it is a stream.
    Begun { call: u64 },
    /// The first items of a stream; with the end, if it is over.
    Read { call: u64, count: u64, over: bool },
    /// The caller did not get them after all.
    Unread { session: SessionId, call: u64, items: Vec<Value>, end: Option<End> },
    /// Its providers and calls are gone.
    Departed { session: SessionId },
    /// From [`Kind::history`].
    Restored(Restored),
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    options: Options,
    /// Of this object: it stands in chains.
    epoch: u64,
    /// What all providers together say; `None`: none ever said anything.
    description: Option<Arc<Description>>,
    providers: BTreeMap<u64, Provider>,
    calls: Calls,
    last_provider: u64,
    /// Of a provider that waits. They grow with the time of asking.
    last_ask: u64,
    counters: Counters,
}

impl Object {
    fn new(options: Options, epoch: u64) -> Object {
        Object {
            options,
            epoch,
            description: None,
            providers: BTreeMap::new(),
            calls: Calls::default(),
            last_provider: 0,
            last_ask: 0,
            counters: Counters::default(),
        }
    }

    fn described(&self) -> Described {
        Described {
            description: self.description.clone(),
            providers: self.providers.len() as u64,
            capacity: self.capacity(),
            waiting: self.calls.waiting(),
            running: self.running(),
            calls: self.calls.last(),
            counters: self.counters,
        }
    }

    /// Of all providers together.
    fn capacity(&self) -> u64 {
        self.providers.values().map(|provider| provider.capacity).sum()
    }

    fn running(&self) -> u64 {
        self.providers.values().map(|provider| provider.given.len() as u64).sum()
    }
}

impl Kind for Object {
    const NAME: &'static str = "object";
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    fn line(command: &Command) -> Option<Line> {
        match command {
            Command::Invoke { .. } | Command::Outcome { .. } | Command::Next { .. } | Command::Yield { .. } => Some(PARTIES),
            Command::Refused { .. } => Some(PARTIES),
            Command::Take { .. } | Command::GiveAndTake { .. } | Command::Await { .. } => Some(PROVIDERS),
            _ => None,
        }
    }

    fn awaits(command: &Command) -> Option<u64> {
        match command {
            Command::Outcome { call }
            | Command::Next { call, .. }
            | Command::Yield { call, .. }
            | Command::Refused { call, .. } => Some(*call),
            _ => None,
        }
    }

    fn named(&self, change: &Change) -> Vec<u64> {
        match change {
            Change::Answered { ends, .. } => ends.iter().map(|(call, _)| *call).collect(),
            Change::Untaken { calls, .. } => calls.clone(),
            // There may be room for all again.
            Change::TakenBack { .. } | Change::Read { .. } if self.is_clogged() => self.calls.numbers(),
            Change::Yielded { call, .. }
            | Change::Overdue { call }
            | Change::TakenBack { call }
            | Change::Told { call }
            | Change::Begun { call }
            | Change::Read { call, .. }
            | Change::Unread { call, .. } => vec![*call],
            Change::Provided { .. } | Change::Withdrawn { .. } | Change::Departed { .. } => self.calls.numbers(),
            _ => Vec::new(),
        }
    }

    fn concerns(change: &Change, line: usize) -> bool {
        let is_for_providers = matches!(
            change,
            Change::Provided { .. }
                | Change::Withdrawn { .. }
                | Change::Stopped { .. }
                | Change::Taken { .. }
                | Change::Untaken { .. }
                | Change::Answered { .. }
                | Change::Invoked { .. }
                | Change::Overdue { .. }
                | Change::TakenBack { .. }
                | Change::Departed { .. }
        );
        is_for_providers && matches!(PROVIDERS, Line::Crowd(providers) if usize::from(providers) == line)
    }

    fn decide(&self, caller: SessionId, command: &Command, now: Moment) -> Decision<Object> {
        let decision = match command {
            Command::Provide { description, capacity } => self.provide(caller, description, *capacity),
            Command::Withdraw { provider } => self.withdraw(caller, *provider),
            Command::Take { provider, max } => self.take(caller, *provider, *max, None, now),
            Command::Await { provider, max, ask } => self.take(caller, *provider, *max, Some(*ask), now),
            Command::Give { provider, ends } => self.give(caller, *provider, ends),
            Command::GiveAndTake { provider, ends, max } => self.give_and_take(caller, *provider, ends, *max, now),
            Command::Yield { provider, call, items } => self.r#yield(caller, *provider, *call, items),
            Command::Invoke { invocation, wait_ms } => self.invoke(caller, invocation, wait_ms.map(|ms| now.after_ms(ms))),
            Command::Outcome { call } => self.outcome(*call),
            Command::Next { call, max } => self.next(caller, *call, *max),
            Command::Abandon { call } => Ok(self.abandon(caller, *call)),
            Command::Describe => Ok(Decision::Answer(Reply::Describe(self.described()))),
            Command::Refused { fault, .. } => Err(fault.clone()),
        };
        decision.unwrap_or_else(Decision::Refuse)
    }

    fn overdue(&self, command: &Command, _now: Moment) -> Fault {
        match command {
            Command::Yield { .. } => {
                Fault::NoRoom { max_messages: calls::ITEMS_MAX as u64, max_bytes: calls::ITEM_BYTES_MAX as u64 }
            }
            Command::Next { .. } => Fault::TimedOut { what: "the stream has no item".to_owned() },
            Command::Take { .. } | Command::GiveAndTake { .. } | Command::Await { .. } => serving::no_call(),
            _ => Fault::Unanswered {},
        }
    }

    /// Who waits for an outcome takes the call along; who waits for calls is offered none any more.
    fn given_up(&self, _caller: SessionId, command: &Command, how: GivenUp, _now: Moment) -> Option<Change> {
        match (command, how) {
            (Command::Outcome { call }, GivenUp::Overdue) => Some(Change::Overdue { call: *call }),
            (Command::Outcome { call }, GivenUp::TakenBack) => self.calls.get(*call).map(|_| Change::TakenBack { call: *call }),
            (Command::Await { provider, ask, .. }, _) => {
                let asks = self.providers.get(provider).is_some_and(|provider| provider.asks.contains(ask));
                asks.then_some(Change::Stopped { provider: *provider, ask: *ask })
            }
            _ => None,
        }
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Provided { session, description, capacity } => self.begin_to_provide(session, &description, capacity),
            Change::Withdrawn { provider } => self.let_go(provider),
            Change::Asked { provider } => self.begin_to_ask(provider),
            Change::Stopped { provider, ask } => self.stop_asking(provider, ask),
            Change::Taken { provider, ask, calls, cancelled } => self.hand_over(provider, ask, &calls, &cancelled),
            Change::Untaken { provider, calls, cancelled } => self.take_from(provider, &calls, &cancelled),
            Change::Answered { provider, ends } => ends.into_iter().for_each(|(call, end)| self.finish(provider, call, end)),
            Change::Yielded { call, items } => self.calls.change(call, |call| call.add_items(items)),
            Change::Invoked { session, invocation, deadline } => self.enter(session, invocation, deadline),
            Change::Overdue { call } => self.run_out(call),
            Change::TakenBack { call } => self.take_back(call),
            Change::Told { call } => _ = self.calls.remove(call),
            Change::Begun { call } => self.calls.change(call, |call| call.is_begun = true),
            Change::Read { call, count, over } => self.read(call, count, over),
            Change::Unread { session, call, items, end } => self.unread(session, call, items, end),
            Change::Departed { session } => self.forget(session),
            Change::Restored(restored) => return self.restore(restored),
        }
        self.offer();
    }

    fn history(&self) -> Vec<Change> {
        self.parts().into_iter().map(Change::Restored).collect()
    }

    /// Nobody waits for its calls any more, and what its providers had is given to others or fails.
    fn departed(&self, session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        let provides = || self.providers.values().any(|provider| provider.session == session);
        (self.calls.of(session) > 0 || provides()).then_some(Change::Departed { session })
    }

    /// Calls that a provider never heard of may go to others, whatever their method; of a provider or a stream that nobody knows of
    /// nothing is wanted; items are put back. An outcome that got lost is lost: the call was carried out.
    fn unheard(&self, caller: SessionId, reply: &Reply, _now: Moment) -> Option<Change> {
        match reply {
            Reply::Provide { provider } => {
                self.provider_of(caller, *provider).ok()?;
                Some(Change::Withdrawn { provider: *provider })
            }
            Reply::Take { provider, calls, cancelled } => {
                self.provider_of(caller, *provider).ok()?;
                let calls = calls.iter().map(|given| given.call).collect();
                Some(Change::Untaken { provider: *provider, calls, cancelled: cancelled.clone() })
            }
            Reply::Invoke(Outcome::Stream(call)) => {
                self.stream_of(caller, *call).ok()?;
                Some(Change::TakenBack { call: *call })
            }
            Reply::Next { call, items, end } => {
                let is_there = self.stream_of(caller, *call).is_ok() && !items.is_empty();
                let was_last = self.calls.get(*call).is_none() && end.is_some();
                let unread = Change::Unread { session: caller, call: *call, items: items.clone(), end: end.clone() };
                (is_there || was_last).then_some(unread)
            }
            _ => None,
        }
    }

    fn due(&self) -> Option<Moment> {
        None
    }

    fn elapsed(&self, _now: Moment) -> Option<Change> {
        None
    }

    /// A stream goes on for ever, or as long as it is read.
    fn is_under_way(&self, command: &Command) -> bool {
        match command {
            Command::Outcome { call } => {
                let is_running = |call: &Call| matches!(call.stage, Stage::Given(_)) && call.is_wanted && !call.is_stream();
                self.calls.get(*call).is_some_and(is_running)
            }
            _ => false,
        }
    }

    fn awaited(&self, command: &Command) -> &'static str {
        match command {
            Command::Take { .. } | Command::GiveAndTake { .. } | Command::Await { .. } => "for a call",
            Command::Next { .. } => "for an item",
            Command::Yield { .. } => "for room in the stream",
            _ => "for a provider to answer",
        }
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let Described { description: _, providers, capacity, waiting, running, calls, counters } = self.described();
        let Counters { given_again, gone } = counters;
        vec![
            ("providers", providers),
            ("capacity", capacity),
            ("waiting", waiting),
            ("running", running),
            ("bytes", self.calls.bytes() as u64),
            ("calls", calls),
            ("given_again", given_again),
            ("gone", gone),
        ]
    }

    fn violation(&self) -> Option<String> {
        self.broken()
    }
}
