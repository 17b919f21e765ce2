//! What serves an object: the broker brings calls, and this carries them out.

use super::{Description, Items, wire};
use crate::{CodecError, Encode, Manager, Payload, Raw, objects::reference};
use bursar_proto::v1;
use futures_util::future::BoxFuture;
use std::{fmt, sync::Arc, time::Instant};

/// What carries out one call.
pub type Answering = BoxFuture<'static, Answer>;

/// What carries out the calls of an object. [`shared`](crate::shared) writes it for a trait; by hand it is for objects whose methods are
/// known at run time only. See [`Object`](super::Object) for an example.
pub trait Service: Send + Sync + 'static {
    /// What there is to call.
    fn description(&self) -> Description;

    /// Carries out one call. The future is dropped where it stands when the caller wants its answer no more; a panic fails this call
    /// only.
    fn call(self: Arc<Self>, call: Call) -> Answering;
}

/// One call, as it came.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call {
    /// Which method; it is in the description.
    pub method: String,
    /// By name.
    pub arguments: Arguments,
    /// Where the items of a stream go.
    pub items: Items,
    /// Whether the method is a stream, as the broker knows it.
    pub is_stream: bool,
    /// The number of the caller's session.
    pub session: u64,
    /// When the caller stops waiting. Calls that are made meanwhile, on this one's behalf, wait no longer than that.
    pub deadline: Option<Instant>,
    /// Another provider had it and went: some of it may have been done already.
    pub again: bool,
}

/// How a call ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With this value.
    Result(Raw),
    /// With an error of the method.
    Failed(Failed),
    /// A stream: all items were given.
    Ended,
    /// Nothing was done about it: another provider gets it.
    NotBegun,
}

impl Answer {
    /// The value, or that it cannot be written.
    pub fn of<T: Encode + ?Sized>(value: &T) -> Answer {
        match value.encode() {
            Ok(raw) => Answer::Result(raw),
            Err(error) => Answer::Failed(Failed::unwritable("the result", &error)),
        }
    }
}

/// An error of a method, as it travels: its type, what it says, and itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failed {
    /// The name of the error's type, such as `OutOfStock`; of what the SDK itself says: `bursar.` and a word.
    pub kind: String,
    /// For people.
    pub message: String,
    /// The error itself, where its type can be written.
    pub value: Option<Raw>,
}

impl Failed {
    /// The method panicked.
    pub const PANIC: &str = "bursar.panic";
    /// An argument, a result, an item or an error could not be read or written.
    pub const CODEC: &str = "bursar.codec";
    /// The provider does not know the method, or not as its description says.
    pub const METHOD: &str = "bursar.method";
    /// The call was cancelled, or its provider stopped.
    pub const STOPPED: &str = "bursar.stopped";
    /// The call would wait for one that waits for it: see [`Shared`](super::Shared).
    pub const CYCLE: &str = "bursar.cycle";

    /// An error with a type and a text, and no value.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Failed {
        Failed { kind: kind.into(), message: message.into(), value: None }
    }

    /// An error of a method's own, whose type has this name.
    pub fn of<E: Encode + fmt::Display + ?Sized>(kind: &str, error: &E) -> Failed {
        let message = error.to_string();
        match error.encode() {
            Ok(value) => Failed { kind: kind.to_owned(), message, value: Some(value) },
            Err(_) => Failed::new(kind, message),
        }
    }

    /// Whether it is the SDK's word about a method, and no error of the method's own.
    pub fn is_of_bursar(&self) -> bool {
        self.kind.starts_with("bursar.")
    }

    pub(super) fn unwritable(what: &str, error: &CodecError) -> Failed {
        Failed::new(Failed::CODEC, format!("{what} could not be written: {error}"))
    }
}

impl From<wire::Failure> for Failed {
    fn from(wire::Failure { r#type, message, value }: wire::Failure) -> Failed {
        Failed { kind: r#type, message, value: value.map(raw) }
    }
}

/// A value as the SDK has it.
pub(super) fn raw(v1::Value { data, codec }: v1::Value) -> Raw {
    Raw { data, codec }
}

/// A value as it travels.
pub(super) fn value(Raw { data, codec }: Raw) -> v1::Value {
    v1::Value { data, codec }
}

/// The arguments of a call, by name.
#[derive(Debug, Default)]
pub struct Arguments {
    /// Few, as a rule: they are looked through.
    values: Vec<wire::Argument>,
    /// By which handles among them become live.
    manager: Option<Manager>,
}

impl Arguments {
    pub(super) fn new(arguments: Vec<wire::Argument>, manager: Option<Manager>) -> Arguments {
        Arguments { values: arguments, manager }
    }

    /// Takes one out. `None`: the caller did not say it. The error is for the caller.
    pub fn take<T: Payload>(&mut self, name: &str) -> Result<Option<T>, Failed> {
        self.remove(name).map(|raw| self.read(name, raw)).transpose()
    }

    /// As [`Arguments::take`]; what is null in MessagePack or JSON is not there either.
    pub(super) fn take_unless_null<T: Payload>(&mut self, name: &str) -> Result<Option<T>, Failed> {
        const NIL: &[u8] = &[0xc0];
        let is_null = |raw: &Raw| match raw.codec {
            Raw::MESSAGEPACK => raw.data == NIL,
            Raw::JSON => raw.data.trim_ascii() == b"null",
            _ => false,
        };
        let raw = self.remove(name).filter(|raw| !is_null(raw));
        raw.map(|raw| self.read(name, raw)).transpose()
    }

    fn remove(&mut self, name: &str) -> Option<Raw> {
        let at = self.values.iter().position(|argument| argument.name == name)?;
        Some(raw(self.values.swap_remove(at).value.unwrap_or_default()))
    }

    fn read<T: Payload>(&self, name: &str, raw: Raw) -> Result<T, Failed> {
        let value = match &self.manager {
            Some(manager) => reference::within(manager, || T::decode(raw)),
            None => T::decode(raw),
        };
        value.map_err(|error| Failed::new(Failed::CODEC, format!("the argument {name:?}: {error}")))
    }

    /// The names of those that are left.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|argument| &*argument.name)
    }
}

/// What can be served: a [`Service`], or what implements a trait with the attribute [`shared`](crate::shared). `C` is the contract, a
/// type that the attribute makes; it is inferred where the object keeps one only.
pub trait IntoService<C> {
    /// What carries out its calls.
    fn into_service(self) -> Arc<dyn Service>;
}

/// The contract of what is a [`Service`] already: known at run time only.
#[derive(Debug)]
pub struct Dynamic;

impl<S: Service> IntoService<Dynamic> for Arc<S> {
    fn into_service(self) -> Arc<dyn Service> {
        self
    }
}

impl IntoService<Dynamic> for Arc<dyn Service> {
    fn into_service(self) -> Arc<dyn Service> {
        self
    }
}
