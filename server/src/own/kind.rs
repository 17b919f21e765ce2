//! A kind of one's own: a state machine that the broker asks, remembers and brings back.
//!
//! ```
//! use bursar::object::{Description, Failed, Method, Parameter};
//! use bursar_server::own::{Call, Decision, Kind};
//! use serde::{Deserialize, Serialize};
//!
//! /// Numbers that are given out once.
//! #[derive(Default)]
//! struct Tickets { last: u64 }
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Drawn { up_to: u64 }
//!
//! impl Kind for Tickets {
//!     const NAME: &'static str = "tickets";
//!     type Change = Drawn;
//!
//!     fn description() -> Description {
//!         let count = Parameter { name: "count".into(), r#type: "integer".into(), default: "1".into(), ..Default::default() };
//!         let draw = Method { name: "draw".into(), parameters: vec![count], result: "integer".into(), ..Default::default() };
//!         Description { doc: "Numbers that are given out once".into(), methods: vec![draw] }
//!     }
//!
//!     fn decide(&self, call: &Call<'_>) -> Result<Decision<Drawn>, Failed> {
//!         let up_to = self.last + call.argument_or("count", 1)?;
//!         Decision::change(Drawn { up_to }, &up_to)
//!     }
//!
//!     fn evolve(&mut self, Drawn { up_to }: Drawn) {
//!         self.last = up_to;
//!     }
//!
//!     fn history(&self) -> Vec<Drawn> {
//!         vec![Drawn { up_to: self.last }]
//!     }
//! }
//! # Tickets::default();
//! ```

use crate::objects::{
    kind::{Departure, Moment, SessionId},
    object::Invocation,
};
use bursar::{
    CodecError, Encode, Payload, Raw,
    object::{Description, Failed},
};
use serde::{Serialize, de::DeserializeOwned};

/// A kind of object whose calls the broker itself carries out, one after the other, and whose state is kept as that of the built-in
/// ones. It *decides* (looks, does not touch) and *evolves* (touches, cannot fail); it never waits, and reads no clock.
///
/// A new object is `Self::default()`. An object is created with the option `kind`, which is [`Kind::NAME`].
///
/// A panic of `decide` fails the call. One of anything else breaks the object: the change that led there is kept, and every call fails
/// from then on.
pub trait Kind: Default + Send + 'static {
    /// What it is called in the options of its objects: a name as that of an object.
    const NAME: &'static str;

    /// What the object remembers: the only thing that is kept. A persistent format: of what was once written every later version must
    /// be able to read all.
    type Change: Clone + Serialize + DeserializeOwned + Send + 'static;

    /// What there is to call. A method must not be a stream.
    fn description() -> Description;

    /// What comes of a call, whose method and arguments are in the description: looks, and does not touch. A call that waits is asked
    /// again after every change. An error is one of the method itself, and changes nothing.
    fn decide(&self, call: &Call<'_>) -> Result<Decision<Self::Change>, Failed>;

    /// Touches, and cannot fail: the same changes in the same order always lead to the same state.
    fn evolve(&mut self, change: Self::Change);

    /// The shortest history that leads here from a new object.
    fn history(&self) -> Vec<Self::Change>;

    /// How calls of this method wait.
    fn waits(_method: &str) -> Waits {
        Waits::Together
    }

    /// A session ended that called the object, and so it came to that, in words for people: what it held is given back.
    fn departed(&self, _session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Self::Change> {
        None
    }

    /// This answer to a call of this session never arrived: what it gave is taken back. It may come after the session has ended, too.
    fn unheard(&self, _caller: SessionId, _answer: &Raw, _now: Moment) -> Option<Self::Change> {
        None
    }

    /// When time alone will next change the object.
    fn due(&self) -> Option<Moment> {
        None
    }

    /// What time has changed by now; something, if that is not before [`Kind::due`]. Asked again until it says `None`.
    fn elapsed(&self, _now: Moment) -> Option<Self::Change> {
        None
    }

    /// What the object says of itself, in numbers: `bursar objects describe` shows them.
    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// How calls wait that are told to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waits {
    /// All are asked again after a change, in the order in which they came.
    Together,
    /// First come, first served, together with all other methods that say so: who comes later is not asked before those in front are
    /// answered. Not for a method that brings what others wait for: it would stand behind them.
    InTurn,
}

/// What comes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<C> {
    /// Nothing changes.
    Answer(Raw),
    /// This is what changes, and the answer that is right once it has.
    Change(C, Raw),
    /// Not now: the call waits, if its caller has time.
    Wait,
}

impl<C> Decision<C> {
    /// Nothing changes.
    pub fn answer<T: Encode + ?Sized>(answer: &T) -> Result<Decision<C>, Failed> {
        Ok(Decision::Answer(answer.encode().map_err(|error| unwritable("the answer", &error))?))
    }

    /// This is what changes, and the answer that is right once it has.
    pub fn change<T: Encode + ?Sized>(change: C, answer: &T) -> Result<Decision<C>, Failed> {
        Ok(Decision::Change(change, answer.encode().map_err(|error| unwritable("the answer", &error))?))
    }
}

/// A call of an object.
#[derive(Debug)]
pub struct Call<'a> {
    invocation: &'a Invocation,
    /// Who calls.
    pub caller: SessionId,
    /// What time it is.
    pub now: Moment,
}

impl<'a> Call<'a> {
    pub(super) fn new(invocation: &'a Invocation, caller: SessionId, now: Moment) -> Call<'a> {
        Call { invocation, caller, now }
    }

    /// Which method: one of the description.
    pub fn method(&self) -> &'a str {
        &self.invocation.method
    }

    /// An argument; an error, if it is missing or of another type.
    pub fn argument<T: Payload>(&self, name: &str) -> Result<T, Failed> {
        self.optional(name)?.ok_or_else(|| Failed::new(Failed::CODEC, format!("{} needs the argument {name:?}", self.method())))
    }

    /// An argument that need not be there; an error, if it is of another type.
    pub fn argument_or<T: Payload>(&self, name: &str, default: T) -> Result<T, Failed> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// An argument, if it is there; an error, if it is of another type.
    pub fn optional<T: Payload>(&self, name: &str) -> Result<Option<T>, Failed> {
        let argument = self.invocation.arguments.iter().find(|(argument, _)| argument == name);
        let read = |value: &crate::objects::value::Value| T::decode(Raw { data: value.data.clone(), codec: value.codec });
        argument
            .map(|(_, value)| read(value))
            .transpose()
            .map_err(|error| Failed::new(Failed::CODEC, format!("the argument {name:?}: {error}")))
    }
}

pub(super) fn unwritable(what: &str, error: &CodecError) -> Failed {
    Failed::new(Failed::CODEC, format!("{what} could not be written: {error}"))
}
