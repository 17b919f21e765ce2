//! The topic: publish and subscribe, one to many.
//!
//! ```text
//!   Publish ──► kept for replay (the last ones)
//!          └──► every stream that wants it: waiting ── Next ──► given ──(a group: Done)──► settled
//!                     │ full: the overload policy         ▲         │
//!                     └──► missed, counted, told in place └─ unheard; a member of a group went
//! ```
//!
//! A *stream* is what one subscription, or one group of them, has before it. A message is in memory once, whoever has it. It is
//! no log: what is not kept for replay and waits for nobody is gone. Whoever is slow loses or waits by itself; only BLOCK makes
//! publishers wait for it.
//!
//! What the members of a group have and are not done with counts for its bounds. A publish takes no more than an empty buffer
//! holds, so that no single one overloads who waits in a Next.

mod history;
mod invariants;
mod kept;
mod publish;
mod published;
mod stream;
mod subject;
mod subscribers;
mod subscription;
#[cfg(test)]
mod tests;
mod wire;

use super::{
    kind::{Decision, Departure, Kind, Line, Moment, SessionId},
    message::{AnswerTo, Content},
};
use bursar_proto::Fault;
use history::Restored;
use kept::Kept;
use publish::LastFull;
pub use published::{Published, Said, Waiting, Wants};
use std::{collections::BTreeMap, sync::Arc};
pub use stream::Counted;
use stream::Stream;
pub use subject::Pattern;
use subscribers::{Subscribers, Subscription};

/// Publishers, in order: what one publishes after the other must not pass it.
const PUBLISHERS: Line = Line::Queue(0);
/// Those who answer. One who waits for a full inbox stands aside for the others.
const ANSWERERS: Line = Line::Queue(1);
/// Those who wait for messages, each for its own.
const RECEIVERS: Line = Line::Crowd(2);

/// What happens to a message for a stream whose buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overload {
    /// The publisher waits.
    Block,
    /// The oldest that waits is missed.
    DropOldest,
    /// This one is missed.
    DropNewest,
    /// The stream ends.
    Disconnect,
}

/// How much a stream has at most: what waits, and what a group's members have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    messages: u64,
    bytes: u64,
}

/// What the creator asks for, with every default written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    overload: Overload,
    buffer: Bounds,
    /// For replay.
    keep: Bounds,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// With what is published from now on.
    Nothing,
    /// With the last ones that it wants, of those that are kept.
    Last(u64),
    /// With what was published after this position.
    After(u64),
}

/// What a session wants to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// `None`: answers (an inbox).
    pub wants: Option<Wants>,
    /// With whom it shares.
    pub group: Option<Arc<str>>,
    /// Of a group: the first one says it.
    pub replay: Replay,
}

/// What a session asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Publish {
        /// At least one.
        messages: Vec<Said>,
        must_be_heard: bool,
    },
    Answer {
        to: AnswerTo,
        content: Content,
    },
    Subscribe(Subscribe),
    Unsubscribe {
        subscription: u64,
        done: Vec<u64>,
    },
    Next {
        subscription: u64,
        max: usize,
        done: Vec<u64>,
    },
    Done {
        subscription: u64,
        positions: Vec<u64>,
    },
    DeleteGroup {
        group: Arc<str>,
    },
    Stats,
    /// No session asks this: it is how a call waits on, for no time, whose subscription is over because it could not keep up.
    Lagged {
        missed: u64,
    },
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reply {
    Publish { position: u64, taken: u32, receivers: u64 },
    Answer,
    Subscribe { subscription: u64, position: u64 },
    Unsubscribe,
    Next { subscription: u64, messages: Vec<Waiting>, missed: u64 },
    Done,
    DeleteGroup { found: bool },
    Stats(Stats),
}

/// What the topic says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Of the last message.
    pub position: u64,
    /// Of the oldest that can be replayed; 0: none.
    pub first_kept: u64,
    /// What is kept, in bytes.
    pub kept_bytes: u64,
    /// The first of them, those with the most missed first.
    pub streams: Vec<StreamStats>,
    /// How many there are.
    pub stream_count: u64,
    /// By all together, since the beginning.
    pub missed: u64,
}

/// What it says of one subscription or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStats {
    /// Of a group: 0.
    pub subscription: u64,
    /// Of a group: `None`.
    pub session: Option<SessionId>,
    /// `None`: a subscription by itself.
    pub group: Option<Arc<str>>,
    /// Subscriptions that share it.
    pub members: u32,
    /// Empty: all, or an inbox.
    pub subjects: Vec<String>,
    /// Messages that wait.
    pub buffered: u64,
    /// Of these, and of those that are given and not done with.
    pub bytes: u64,
    /// Of a group: and not done with.
    pub given: u64,
    /// Dropped.
    pub missed: u64,
}

/// What the topic remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The next positions, for whoever wants them.
    Published(Vec<Arc<Published>>),
    /// For this inbox.
    #[allow(missing_docs)]
    Answered { inbox: u64, message: Arc<Published> },
    /// The next number of a subscription.
    #[allow(missing_docs)]
    Subscribed { session: SessionId, subscribe: Subscribe },
    /// A subscription is done with some, and is given the first that wait.
    #[allow(missing_docs)]
    Taken { subscription: u64, done: Vec<u64>, count: u64 },
    /// A member of a group is done with these, where it has them.
    #[allow(missing_docs)]
    Settled { subscription: u64, positions: Vec<u64> },
    /// It is done with these, and gone.
    #[allow(missing_docs)]
    Unsubscribed { subscription: u64, done: Vec<u64> },
    /// It was not given these after all.
    #[allow(missing_docs)]
    Returned { subscription: u64, entries: Vec<Waiting>, missed: u64 },
    /// With all its members.
    #[allow(missing_docs)]
    GroupDeleted { group: Arc<str> },
    /// A subscription that could not keep up knows it, and is gone.
    #[allow(missing_docs)]
    Told { subscription: u64 },
    /// All of its subscriptions are gone.
    #[allow(missing_docs)]
    Departed { session: SessionId },
    /// From [`Kind::history`].
    Restored(Restored),
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    options: Options,
    /// Of the last message.
    position: u64,
    kept: Kept,
    streams: BTreeMap<u64, Stream>,
    subscriptions: Subscribers,
    /// The streams of the groups.
    groups: BTreeMap<Arc<str>, u64>,
    last_subscription: u64,
    /// By all streams that there are and were.
    missed: u64,
    last_full: LastFull,
}

impl Topic {
    fn new(options: Options) -> Topic {
        Topic {
            options,
            position: 0,
            kept: Kept::default(),
            streams: BTreeMap::new(),
            subscriptions: Subscribers::default(),
            groups: BTreeMap::new(),
            last_subscription: 0,
            missed: 0,
            last_full: LastFull::default(),
        }
    }

    /// The stream of a subscription that is the caller's.
    fn stream_of(&self, caller: SessionId, id: u64) -> Result<&Stream, Fault> {
        match self.subscriptions.get(id) {
            Some(subscription) if subscription.session == caller => Ok(&self.streams[&subscription.stream]),
            _ => Err(Fault::NoSuchReceiver { id }),
        }
    }

    fn stream_mut(&mut self, subscription: u64) -> Option<&mut Stream> {
        self.streams.get_mut(&self.subscriptions.get(subscription)?.stream)
    }
}

impl Kind for Topic {
    const NAME: &'static str = "topic";
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    fn line(command: &Command) -> Option<Line> {
        match command {
            Command::Publish { .. } => Some(PUBLISHERS),
            Command::Answer { .. } => Some(ANSWERERS),
            Command::Next { .. } | Command::Lagged { .. } => Some(RECEIVERS),
            _ => None,
        }
    }

    fn decide(&self, caller: SessionId, command: &Command, now: Moment) -> Decision<Topic> {
        let decision = match command {
            Command::Publish { messages, must_be_heard } => Ok(self.publish(caller, messages, *must_be_heard, now)),
            Command::Answer { to, content } => self.answer(caller, *to, content, now),
            Command::Subscribe(subscribe) => self.subscribe(caller, subscribe),
            Command::Unsubscribe { subscription, done } => self.unsubscribe(caller, *subscription, done),
            Command::Next { subscription, max, done } => self.next(caller, *subscription, *max, done),
            Command::Done { subscription, positions } => self.done(caller, *subscription, positions),
            Command::DeleteGroup { group } => Ok(self.delete_group(group)),
            Command::Stats => Ok(Decision::Answer(Reply::Stats(self.stats()))),
            Command::Lagged { missed } => Err(Fault::Lagged { missed: *missed }),
        };
        decision.unwrap_or_else(Decision::Refuse)
    }

    fn overdue(&self, command: &Command, _now: Moment) -> Fault {
        match command {
            Command::Publish { .. } | Command::Answer { .. } => {
                let Bounds { messages, bytes } = self.options.buffer;
                Fault::NoRoom { max_messages: messages, max_bytes: bytes }
            }
            _ => Fault::TimedOut { what: "the subscription has no message".to_owned() },
        }
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Published(messages) => self.take_in(messages),
            Change::Answered { inbox, message } => self.take_answer(inbox, &message),
            Change::Subscribed { session, subscribe } => self.begin(session, subscribe),
            Change::Taken { subscription, done, count } => {
                if let Some(stream) = self.stream_mut(subscription) {
                    stream.settle(subscription, &done);
                    stream.take(subscription, usize::try_from(count).unwrap_or(usize::MAX));
                }
            }
            Change::Settled { subscription, positions } => {
                if let Some(stream) = self.stream_mut(subscription) {
                    stream.settle(subscription, &positions);
                }
            }
            Change::Unsubscribed { subscription, done } => {
                if let Some(stream) = self.stream_mut(subscription) {
                    stream.settle(subscription, &done);
                }
                self.remove(subscription);
            }
            Change::Returned { subscription, entries, missed } => self.put_back(subscription, entries, missed),
            Change::GroupDeleted { group } => self.remove_group(&group),
            Change::Told { subscription } => self.remove_told(subscription),
            Change::Departed { session } => {
                let gone: Vec<_> = self.subscriptions.of(session).collect();
                gone.into_iter().for_each(|subscription| self.remove(subscription));
            }
            Change::Restored(restored) => self.restore(restored),
        }
    }

    /// What one is given concerns those who wait for room, and nobody who waits for messages himself. With many subscribers these are
    /// most of those who wait.
    fn concerns(change: &Change, line: usize) -> bool {
        !matches!((change, RECEIVERS), (Change::Taken { .. }, Line::Crowd(receivers)) if usize::from(receivers) == line)
    }

    fn history(&self) -> Vec<Change> {
        self.parts().into_iter().map(Change::Restored).collect()
    }

    /// Its subscriptions end; what it was given of groups and is not done with goes to the others, in its place.
    fn departed(&self, session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        self.subscriptions.of(session).next().map(|_| Change::Departed { session })
    }

    /// What was given is put back in its place, what was dropped is told again, and a subscription of which nobody knows ends.
    fn unheard(&self, caller: SessionId, reply: &Reply, _now: Moment) -> Option<Change> {
        match reply {
            Reply::Next { subscription, messages, missed } => {
                self.stream_of(caller, *subscription).ok()?;
                Some(Change::Returned { subscription: *subscription, entries: self.shared(messages), missed: *missed })
            }
            Reply::Subscribe { subscription, .. } => {
                self.stream_of(caller, *subscription).ok()?;
                Some(Change::Unsubscribed { subscription: *subscription, done: Vec::new() })
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

    fn awaited(&self, command: &Command) -> &'static str {
        match command {
            Command::Publish { .. } => "for room to publish",
            Command::Answer { .. } => "for room in the inbox",
            _ => "for a message",
        }
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let sum = |of: fn(&Stream) -> usize| self.streams.values().map(|stream| of(stream) as u64).sum();
        vec![
            ("position", self.position),
            ("kept", self.kept.len() as u64),
            ("kept_bytes", self.kept.bytes() as u64),
            ("subscriptions", self.subscriptions.len() as u64),
            ("groups", self.groups.len() as u64),
            ("buffered", sum(|stream| stream.waiting().len())),
            ("given", sum(|stream| stream.given().len())),
            ("missed", self.missed),
        ]
    }

    fn violation(&self) -> Option<String> {
        self.broken()
    }
}
