//! The channel: two ends, each of which sends to the other and receives from it.
//!
//! ```text
//!   Send ──► waits at the other end ── Receive ──► given ── Done ──► settled
//!                    ▲                               │
//!                    └── Detach, the session ended ──┘   where it was; redelivered
//! ```
//!
//! Which receivers get a message is the delivery rule of the contract; `side` carries it out. A channel is no queue: a message has no
//! priority, no time and no number of attempts, it stays until somebody of the other end is done with it. Its sender has no part in
//! that: what was sent stays when its session ends.

mod history;
mod invariants;
mod receivers;
mod side;
#[cfg(test)]
mod tests;
mod verbs;
mod wire;

use super::{
    kind::{Decision, Departure, Holding, Kind, Line, Moment, SessionId},
    message::{Content, Match, Origin},
};
use bursar_proto::Fault;
use history::Restored;
use side::Side;
use std::collections::BTreeMap;

/// Receivers of one end: each passive one is looked at for every message, and the end of a session lets all of its go in one change.
const RECEIVERS_MAX: u64 = 10_000;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum End {
    A,
    B,
}

impl End {
    fn other(self) -> End {
        match self {
            End::A => End::B,
            End::B => End::A,
        }
    }

    /// As numbers of receivers say it: so that a line is known by its command alone.
    fn of(receiver: u64) -> End {
        if receiver.is_multiple_of(2) { End::A } else { End::B }
    }

    fn name(self) -> &'static str {
        match self {
            End::A => "a",
            End::B => "b",
        }
    }

    /// Who waits for room to send from here: what one sends after the other must not pass it.
    fn senders(self) -> Line {
        Line::Queue(self as u8)
    }
}

/// Those of both ends who wait for messages, each for its own: asked in the order in which they came.
const RECEIVERS: Line = Line::Crowd(2);
/// Those of both ends who wait for room in an inbox. An inbox is open for all who answer it, or for none: nobody passes another.
const ANSWERERS: Line = Line::Crowd(3);

/// What a receiver gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Of each message one active receiver of the end gets it.
    Active,
    /// Each message that it wants.
    Passive(Match),
    /// The answers that name it.
    Inbox,
}

/// What a session asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Attach {
        end: End,
        mode: Mode,
    },
    /// It is done with these, and goes.
    Detach {
        receiver: u64,
        done: Vec<u64>,
    },
    /// Waits while there is no room for the first.
    Send {
        from: End,
        /// At least one. What goes where the first goes is taken: to its inbox, or to all others.
        messages: Vec<Content>,
        /// Refused if nobody would get the first.
        must_be_heard: bool,
    },
    /// Waits while there is nothing for it.
    Receive {
        receiver: u64,
        /// At least 1.
        max: usize,
        done: Vec<u64>,
    },
    Done {
        receiver: u64,
        positions: Vec<u64>,
    },
    Close {
        end: End,
    },
    Stats,
}

/// A message in the hands of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Of its direction.
    pub position: u64,
    /// What was said.
    pub content: Content,
    /// When and by whom.
    pub origin: Origin,
    /// It was given before to a receiver that went without being done with it.
    pub redelivered: bool,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reply {
    Attach { receiver: u64 },
    Detach,
    Send { first: u64, count: u64 },
    Receive { receiver: u64, messages: Vec<Delivered> },
    Done,
    Close { changed: bool, dropped: u64 },
    Stats { a: Stats, b: Stats },
}

/// The figures of one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// It receives no more.
    pub closed: bool,
    /// Messages for it that nobody has.
    pub waiting: u64,
    /// Messages that receivers of it have.
    pub given: u64,
    /// Of both.
    pub bytes: u64,
    /// Active receivers.
    pub active: u64,
    /// Passive receivers.
    pub passive: u64,
    /// What was counted.
    pub counters: Counters,
}

/// What happened at one end since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages settled.
    pub received: u64,
    /// Deliveries that were repeated.
    pub redelivered: u64,
    /// Messages that nobody was done with: their end was closed, or their inbox went.
    pub dropped: u64,
}

/// What the channel remembers. Who gets what follows from it by the delivery rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    /// At the next positions.
    Sent { from: End, origin: Origin, messages: Vec<Content> },
    /// The next number of a receiver.
    Attached { session: SessionId, end: End, mode: Mode },
    /// Done with these, it went.
    Detached { receiver: u64, done: Vec<u64> },
    /// All receivers of the session went.
    Departed { session: SessionId },
    /// Done with these, it got the first of what was for it.
    Received { receiver: u64, done: Vec<u64>, count: u32 },
    /// Done with these.
    Finished { receiver: u64, positions: Vec<u64> },
    /// These never reached it: they wait again.
    TakenBack { receiver: u64, positions: Vec<u64> },
    /// The end receives and sends no more.
    Closed { end: End },
    /// From [`Kind::history`].
    Restored(Restored),
}

/// What is not settled, in each direction by itself, and of answers in each inbox by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    /// At most so many.
    max_messages: u64,
    /// Of their payloads and headers; a larger one comes when nothing else is there. An inbox may pass it by one answer.
    max_bytes: u64,
}

/// Two ends. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// As it was created.
    options: Options,
    /// Receivers that were ever attached.
    receivers: u64,
    /// The ends, each with what is for it.
    sides: [Side; 2],
}

impl Channel {
    fn new(options: Options) -> Channel {
        Channel { options, receivers: 0, sides: [Side::default(), Side::default()] }
    }

    fn side(&self, end: End) -> &Side {
        &self.sides[end as usize]
    }

    fn side_mut(&mut self, end: End) -> &mut Side {
        &mut self.sides[end as usize]
    }

    /// The number that the next receiver has there.
    fn next_receiver(&self, end: End) -> u64 {
        (self.receivers + 1) * 2 + end as u64
    }
}

impl Kind for Channel {
    const NAME: &'static str = "channel";
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    fn line(command: &Command) -> Option<Line> {
        match command {
            Command::Send { messages, .. } if messages.first().is_some_and(|first| first.answer_to.is_some()) => Some(ANSWERERS),
            Command::Send { from, .. } => Some(from.senders()),
            Command::Receive { .. } => Some(RECEIVERS),
            _ => None,
        }
    }

    fn decide(&self, caller: SessionId, command: &Command, now: Moment) -> Decision<Channel> {
        let verdict = match command {
            Command::Attach { end, mode } => self.attach(caller, *end, mode),
            Command::Detach { receiver, done } => self.detach(caller, *receiver, done),
            Command::Send { from, messages, must_be_heard } => self.send(caller, *from, messages, *must_be_heard, now),
            Command::Receive { receiver, max, done } => self.receive(caller, *receiver, *max, done),
            Command::Done { receiver, positions } => self.done(caller, *receiver, positions),
            Command::Close { end } => Ok(self.close(*end)),
            Command::Stats => Ok(Decision::Answer(Reply::Stats { a: self.stats(End::A), b: self.stats(End::B) })),
        };
        verdict.unwrap_or_else(Decision::Refuse)
    }

    fn overdue(&self, command: &Command, _now: Moment) -> Fault {
        let Options { max_messages, max_bytes } = self.options;
        match command {
            Command::Send { .. } => Fault::NoRoom { max_messages, max_bytes },
            _ => Fault::TimedOut { what: "no message".into() },
        }
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Sent { from, origin, messages } => {
                let to = self.side_mut(from.other());
                messages.into_iter().for_each(|content| to.post(content, origin));
            }
            Change::Attached { session, end, mode } => {
                let id = self.next_receiver(end);
                self.receivers += 1;
                self.side_mut(end).attach(id, session, mode);
            }
            Change::Detached { receiver, done } => {
                let side = self.side_mut(End::of(receiver));
                side.finish(receiver, &done);
                side.go(&[receiver]);
            }
            Change::Departed { session } => self.sides.iter_mut().for_each(|side| {
                let gone: Vec<u64> = side.receivers.of(session).collect();
                side.go(&gone);
            }),
            Change::Received { receiver, done, count } => {
                let side = self.side_mut(End::of(receiver));
                side.finish(receiver, &done);
                side.give(receiver, count);
            }
            Change::Finished { receiver, positions } => self.side_mut(End::of(receiver)).finish(receiver, &positions),
            Change::TakenBack { receiver, positions } => self.side_mut(End::of(receiver)).take_back(receiver, &positions),
            Change::Closed { end } => self.side_mut(end).close(),
            Change::Restored(restored) => self.restore(restored),
        }
    }

    fn history(&self) -> Vec<Change> {
        self.parts().into_iter().map(Change::Restored).collect()
    }

    /// What it sent stays.
    fn departed(&self, session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        let is_attached = self.sides.iter().any(|side| side.receivers.of(session).next().is_some());
        is_attached.then_some(Change::Departed { session })
    }

    /// A receiver that nobody knows would hold up what is sent, and messages that nobody has heard of come again, unmarked.
    fn unheard(&self, caller: SessionId, reply: &Reply, _now: Moment) -> Option<Change> {
        match reply {
            Reply::Attach { receiver } => {
                let is_attached = self.attached(caller, *receiver).is_ok();
                is_attached.then(|| Change::Detached { receiver: *receiver, done: Vec::new() })
            }
            Reply::Receive { receiver, messages } => {
                let (_, found) = self.attached(caller, *receiver).ok()?;
                let given = messages.iter().map(|message| message.position).filter(|position| found.given.contains(position));
                let positions: Vec<u64> = given.collect();
                (!positions.is_empty()).then_some(Change::TakenBack { receiver: *receiver, positions })
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

    fn holdings(&self) -> Vec<Holding> {
        let mut given: BTreeMap<SessionId, usize> = BTreeMap::new();
        for (_, receiver) in self.sides.iter().flat_map(|side| side.receivers.iter()) {
            *given.entry(receiver.session).or_default() += receiver.given.len();
        }
        let given = given.into_iter().filter(|(_, count)| *count > 0);
        let what = |count| if count == 1 { "1 message".into() } else { format!("{count} messages") };
        given.map(|(session, count)| Holding { session, what: what(count), since: None, token: 0 }).collect()
    }

    fn awaited(&self, command: &Command) -> &'static str {
        match command {
            Command::Send { messages, .. } if messages.first().is_some_and(|first| first.answer_to.is_some()) => {
                "for room in the inbox"
            }
            Command::Send { .. } => "for room to send",
            _ => "for a message",
        }
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let (a, b) = (self.stats(End::A), self.stats(End::B));
        vec![
            ("a_closed", u64::from(a.closed)),
            ("a_waiting", a.waiting),
            ("a_given", a.given),
            ("a_bytes", a.bytes),
            ("a_receivers", self.side(End::A).receivers.len()),
            ("a_received", a.counters.received),
            ("a_dropped", a.counters.dropped),
            ("b_closed", u64::from(b.closed)),
            ("b_waiting", b.waiting),
            ("b_given", b.given),
            ("b_bytes", b.bytes),
            ("b_receivers", self.side(End::B).receivers.len()),
            ("b_received", b.counters.received),
            ("b_dropped", b.counters.dropped),
        ]
    }

    fn violation(&self) -> Option<String> {
        self.broken().map(|what| format!("C1: {what}"))
    }
}
