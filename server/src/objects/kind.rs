//! What a kind of object is: a pure state machine.
//!
//! A kind *decides* (looks, does not touch) and *evolves* (touches, cannot fail). It never waits, reads no clock, and knows no
//! runtime, transport, disk or client. The [host](super::host) waits, journals and answers for all kinds alike.

use bursar_proto::{Fault, v1};
use bytes::Bytes;
use std::fmt;

/// Who asks and who holds. Never used twice within one life of a broker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u64);

/// A point on the broker's time line: milliseconds since 1970, and it never goes back while the broker runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `ms` milliseconds later; the end of time is not passed.
    pub fn after_ms(self, ms: u64) -> Moment {
        Moment(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 if it is not earlier.
    pub fn ms_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Departure {
    /// Its client closed it: whatever it still held comes back unharmed.
    Closed,
    /// Its process died, or nothing was heard of it any more: what it held may have to do with that.
    Lost,
}

/// How a command leaves its line unanswered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GivenUp {
    /// Its time is over.
    Overdue,
    /// Its caller took it back, or the broker refused it: nothing will come of it.
    TakenBack,
}

/// Where commands stand while they cannot be answered. The number tells the lines of one object apart; it is below [`LINES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// First come, first served: who comes later is not asked before those in front are answered.
    Queue(u8),
    /// All are asked again after a change.
    Crowd(u8),
}

/// The most lines one kind can have.
pub const LINES: usize = 4;

/// What a kind says to a command.
pub enum Decision<K: Kind> {
    /// Nothing changes.
    Answer(K::Reply),
    /// This is what changes, and the answer that is right once it has.
    Change(K::Change, K::Reply),
    /// Not now: stand in line, if the caller has time.
    Wait,
    /// Not now, and those behind in the same line may be asked all the same.
    StandAside,
    /// As `Change`, and whoever stands in line already is not waited for: what the caller asks for is its own.
    Overtake(K::Change, K::Reply),
    /// This changes at once, and the caller waits on with that command instead, which is asked in its own line.
    Enter(K::Change, K::Command),
    /// Never.
    Refuse(Fault),
}

impl<K: Kind> fmt::Debug for Decision<K>
where
    K::Reply: fmt::Debug,
    K::Change: fmt::Debug,
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Answer(reply) => formatter.debug_tuple("Answer").field(reply).finish(),
            Decision::Change(change, reply) => formatter.debug_tuple("Change").field(change).field(reply).finish(),
            Decision::Wait => formatter.write_str("Wait"),
            Decision::StandAside => formatter.write_str("StandAside"),
            Decision::Overtake(change, reply) => formatter.debug_tuple("Overtake").field(change).field(reply).finish(),
            Decision::Enter(change, _) => formatter.debug_tuple("Enter").field(change).finish(),
            Decision::Refuse(fault) => formatter.debug_tuple("Refuse").field(fault).finish(),
        }
    }
}

/// What somebody has of an object until it is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Who has it.
    pub session: SessionId,
    /// What it is: "the lock", "3 permits".
    pub what: String,
    /// Since when; `None`: not remembered.
    pub since: Option<Moment>,
    /// The token of the grant; 0: it has none.
    pub token: u64,
}

/// Who must give something back before a waiting call can go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blocking {
    /// Nobody in particular: anybody may bring what is waited for.
    Anybody,
    /// Every single one of the holders.
    EachHolder,
    /// Any one of the holders.
    AnyHolder,
}

/// How two numbers are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// Whether it holds between these two.
    pub fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
        }
    }
}

/// What can be asked of an object in a transaction. Of the caller's session where it says so.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Test {
    KeyRevision {
        key: String,
        revision: u64,
    },
    KeyValue {
        key: String,
        data: Bytes,
        codec: u32,
    },
    KeyPresent {
        key: String,
        present: bool,
    },
    TokenHeld(u64),
    Number {
        comparison: Comparison,
        value: i64,
    },
    IsSet(bool),
    /// By the caller.
    LeaseHeld(u64),
    IsEmpty(bool),
}

impl Test {
    /// What is asked, without what it is compared with.
    pub fn what(&self) -> &'static str {
        match self {
            Test::KeyRevision { .. } => "the revision of a key",
            Test::KeyValue { .. } => "the value of a key",
            Test::KeyPresent { .. } => "the presence of a key",
            Test::TokenHeld(_) => "the token that is held",
            Test::Number { .. } => "a number",
            Test::IsSet(_) => "whether it is set",
            Test::LeaseHeld(_) => "a lease",
            Test::IsEmpty(_) => "whether it is empty",
        }
    }
}

/// The changes and the replies of several commands, as if they were decided one after the other.
pub type Together<K> = (Vec<<K as Kind>::Change>, Vec<<K as Kind>::Reply>);

/// A type of shared object.
pub trait Kind: Sized + Send + 'static {
    /// What it is called on the wire and in the configuration.
    const NAME: &'static str;
    /// Whether sessions hold it, and others wait for them: what `holdings` and `blocking` speak of.
    const IS_HELD: bool = false;
    /// What a session asks.
    type Command: Send + 'static;
    /// What it is told.
    type Reply: Send + 'static;
    /// What the object remembers: the only thing that is journalled.
    type Change: Clone + Send + 'static;

    /// Where a command may wait; `None` means that it never does.
    fn line(command: &Self::Command) -> Option<Line>;

    /// Looks, and does not touch.
    fn decide(&self, caller: SessionId, command: &Self::Command, now: Moment) -> Decision<Self>;

    /// What a command is told whose time in line is over.
    fn overdue(&self, command: &Self::Command, now: Moment) -> Fault;

    /// What a command is told instead of [`Kind::overdue`], where it is no refusal that its time is over.
    fn late(&self, _command: &Self::Command) -> Option<Self::Reply> {
        None
    }

    /// A command leaves its line unanswered (not because its session ended, that is [`Kind::departed`]). Where this changes
    /// something, an overdue command is asked once more, and waits on without a deadline if it still must.
    fn given_up(&self, _caller: SessionId, _command: &Self::Command, _how: GivenUp, _now: Moment) -> Option<Self::Change> {
        None
    }

    /// Touches, and cannot fail: the same changes in the same order always lead to the same state.
    fn evolve(&mut self, change: Self::Change);

    /// The shortest history that leads here from a new object of the same options.
    fn history(&self) -> Vec<Self::Change>;

    /// Whether this change may be what somebody in this line waits for: only then is the line asked again. Whoever says no to less
    /// than it could is slower with many waiters, and no less right.
    fn concerns(_change: &Self::Change, _line: usize) -> bool {
        true
    }

    /// What of its own a command waits for in a crowd, by number: it is asked after the changes that [name](Kind::named) this number, and
    /// not with its line. With thousands who wait, each for one answer, that is the difference. `None`: it is asked with its line.
    fn awaits(_command: &Self::Command) -> Option<u64> {
        None
    }

    /// The numbers for which a change that is about to happen may be what somebody waits for.
    fn named(&self, _change: &Self::Change) -> Vec<u64> {
        Vec::new()
    }

    /// The session ended, and so it came to that: give back what it held.
    fn departed(&self, session: SessionId, how: Departure, why: &str, now: Moment) -> Option<Self::Change>;

    /// The answer never arrived: take back what it gave.
    fn unheard(&self, caller: SessionId, reply: &Self::Reply, now: Moment) -> Option<Self::Change>;

    /// When time alone will next change the object.
    fn due(&self) -> Option<Moment>;

    /// What time has changed by now. Asked again until it says `None`.
    fn elapsed(&self, now: Moment) -> Option<Self::Change>;

    /// Who has what of it. The one that has it longest comes first.
    fn holdings(&self) -> Vec<Holding> {
        Vec::new()
    }

    /// Which owner of the caller's session asks, where calls of one owner must not wait for each other: once one of them is granted, the
    /// others that stand in line are asked at once. `None`: it makes no difference.
    fn owner(_command: &Self::Command) -> Option<u64> {
        None
    }

    /// For whom this command waits, when it waits.
    fn blocking(&self, _command: &Self::Command) -> Blocking {
        Blocking::Anybody
    }

    /// Whether what this command waits for is being done already: then its caller is not sent away when the broker
    /// stops, as long as there is time.
    fn is_under_way(&self, _command: &Self::Command) -> bool {
        false
    }

    /// For what this command waits, in words: "to acquire it".
    fn awaited(&self, command: &Self::Command) -> &'static str;

    /// Whether a wait is to be refused that could never end.
    fn refuses_deadlock(&self) -> bool {
        false
    }

    /// The token under which it is held exclusively now, which makes it fit for a fence; 0: it is not held so. `None`: the kind
    /// has no such tokens.
    fn exclusive(&self) -> Option<u64> {
        None
    }

    /// The largest token it ever gave: no object created later gives one that is not larger.
    fn last_token(&self) -> u64 {
        0
    }

    /// Whether a transaction may have this command as a step: it gives nothing to hold, and does not wait.
    fn joins(_command: &Self::Command) -> bool {
        false
    }

    /// Decides several commands that [join](Kind::joins) as one: all of them, or the first refusal.
    fn decide_all(&self, caller: SessionId, commands: &[Self::Command], now: Moment) -> Result<Together<Self>, Fault> {
        let [command] = commands else {
            let problem = format!("expected at most one step on one {} in a transaction, got {}", Self::NAME, commands.len());
            return Err(Fault::bad_argument("then, otherwise", problem));
        };
        match self.decide(caller, command, now) {
            Decision::Answer(reply) => Ok((Vec::new(), vec![reply])),
            Decision::Change(change, reply) | Decision::Overtake(change, reply) => Ok((vec![change], vec![reply])),
            Decision::Wait | Decision::StandAside | Decision::Enter(..) => Err(self.overdue(command, now)),
            Decision::Refuse(fault) => Err(fault),
        }
    }

    /// Whether a test holds; `None`: it is none for this kind.
    fn test(&self, _caller: SessionId, _test: &Test) -> Option<bool> {
        None
    }

    /// What the object says of itself, in numbers.
    fn figures(&self) -> Vec<(&'static str, u64)>;

    /// Which of its invariants is broken, by the names of the documentation. Linear in the state: for tests and simulation.
    fn violation(&self) -> Option<String>;
}

/// How a kind looks on the wire and on disk. The only place of a kind that knows generated types: its `mod wire`.
pub trait Wire: Kind {
    /// A new object; faults when the options are of another kind or make no sense. Its first token is larger than its epoch.
    fn create(options: &v1::registry::Options, epoch: u64) -> Result<Self, Fault>;

    /// The options in full, with every default written out, so that two can be compared.
    fn options(&self) -> v1::registry::Options;

    /// A command as it came, validated; payloads above `payload_bytes_max` are faults.
    fn command(command: bursar_proto::Command, payload_bytes_max: usize) -> Result<Self::Command, Fault>;

    /// A reply as it goes.
    fn reply(reply: Self::Reply) -> v1::answer::Reply;

    /// Back from the wire, for replies that `unheard` would take back; `None` for all others.
    fn holding(reply: v1::answer::Reply) -> Option<Self::Reply>;

    /// A change as it is kept. A persistent format: it only grows.
    fn encode(change: &Self::Change) -> Vec<u8>;

    /// The change that was kept.
    fn decode(bytes: &[u8]) -> Result<Self::Change, Damaged>;
}

/// Kept bytes that are no change of this version: damaged, or written by a newer broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kept change cannot be read: {0}")]
pub struct Damaged(pub String);

impl From<prost::DecodeError> for Damaged {
    fn from(error: prost::DecodeError) -> Damaged {
        Damaged(error.to_string())
    }
}
