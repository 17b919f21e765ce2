//! What every command has beside its own fields: the object it is for, and how long it may wait.

use crate::v1::{self, ObjectRef, kv, queue};

/// The object and the wait of a request.
pub trait Targeted {
    /// The object that the request names.
    fn object(&self) -> Option<&ObjectRef>;
    /// Its `wait_ms`; 0 for verbs that never wait.
    fn wait_ms(&self) -> i64;
}

/// A command of any kind of object, as both doors build it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Command {
    Queue(queue::command::Verb),
    Kv(kv::command::Verb),
}

macro_rules! targeted {
    ($module:ident: $($variant:ident $request:ident $($wait:ident)?),* $(,)?) => {
        $( impl Targeted for $module::$request {
            fn object(&self) -> Option<&ObjectRef> { self.object.as_ref() }
            fn wait_ms(&self) -> i64 { targeted!(@wait self $($wait)?) }
        } )*
        impl Targeted for $module::command::Verb {
            fn object(&self) -> Option<&ObjectRef> {
                match self { $( Self::$variant(request) => request.object.as_ref(), )* }
            }
            fn wait_ms(&self) -> i64 {
                match self { $( Self::$variant(request) => Targeted::wait_ms(request), )* }
            }
        }
    };
    (@wait $self:ident) => { 0 };
    (@wait $self:ident waits) => { $self.wait_ms };
}

targeted!(queue: Put PutRequest waits, Get GetRequest waits, Done DoneRequest, Start StartRequest, Return ReturnRequest,
    Park ParkRequest, Unpark UnparkRequest, Discard DiscardRequest, Parked ParkedRequest, Join JoinRequest waits,
    Close CloseRequest, Stats StatsRequest, Peek PeekRequest, Purge PurgeRequest, Pause PauseRequest);
targeted!(kv: Get GetRequest, Put PutRequest, SetDefault SetDefaultRequest, Delete DeleteRequest, Contains ContainsRequest,
    Len LenRequest, Scan ScanRequest, Clear ClearRequest, Incr IncrRequest, Expire ExpireRequest, Next NextRequest waits);

impl Command {
    /// The kind of object that it is for.
    pub fn kind(&self) -> &'static str {
        match self {
            Command::Queue(_) => "queue",
            Command::Kv(_) => "kv",
        }
    }
}

impl Targeted for Command {
    fn object(&self) -> Option<&ObjectRef> {
        match self {
            Command::Queue(verb) => verb.object(),
            Command::Kv(verb) => verb.object(),
        }
    }

    fn wait_ms(&self) -> i64 {
        match self {
            Command::Queue(verb) => verb.wait_ms(),
            Command::Kv(verb) => verb.wait_ms(),
        }
    }
}

/// The name of the kind that an object's options belong to; `None` when they say nothing.
pub fn kind_of(options: &v1::registry::Options) -> Option<&'static str> {
    use v1::registry::options::Kind;
    match options.kind.as_ref()? {
        Kind::Queue(_) => Some("queue"),
        Kind::Kv(_) => Some("kv"),
    }
}
