//! What every command has beside its own fields: the object it is for, and how long it may wait.

use crate::v1::{
    self, Fence, ObjectRef, array, barrier, channel, condition, counter, event, kv, latch, list, lock, object, queue, rwlock,
    semaphore, topic,
};

/// The object and the wait of a request.
pub trait Targeted {
    /// The object that the request names.
    fn object(&self) -> Option<&ObjectRef>;
    /// Its `wait_ms`; 0 for verbs that never wait.
    fn wait_ms(&self) -> i64;
    /// What must be held for the request to be executed.
    fn fence(&self) -> Option<&Fence>;
}

/// The list of kinds: their names, and what follows from them alone.
macro_rules! kinds {
    ($($kind:ident $module:ident $name:literal),* $(,)?) => {
        /// A command of any kind of object, as both doors build it.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Command {
            $( $kind($module::command::Verb), )*
        }

        impl Command {
            /// The kind of object that it is for.
            pub fn kind(&self) -> &'static str {
                match self { $( Command::$kind(_) => $name, )* }
            }

            /// The command of a call for an object; `None`: it says nothing, or is for no object.
            pub fn of_call(call: v1::call::Command) -> Option<Command> {
                match call {
                    $( v1::call::Command::$kind(command) => command.verb.map(Command::$kind), )*
                    _ => None,
                }
            }
        }

        impl Targeted for Command {
            fn object(&self) -> Option<&ObjectRef> {
                match self { $( Command::$kind(verb) => verb.object(), )* }
            }

            fn wait_ms(&self) -> i64 {
                match self { $( Command::$kind(verb) => verb.wait_ms(), )* }
            }

            fn fence(&self) -> Option<&Fence> {
                match self { $( Command::$kind(verb) => verb.fence(), )* }
            }
        }

        /// The names of all kinds, in the order of the contract.
        pub const KINDS: &[&str] = &[$($name),*];

        /// The name of the kind that an object's options belong to; `None` when they say nothing.
        pub fn kind_of(options: &v1::registry::Options) -> Option<&'static str> {
            match options.kind.as_ref()? { $( v1::registry::options::Kind::$kind(_) => Some($name), )* }
        }

        /// The options as (field, value), in the order of the contract.
        pub fn option_fields(options: &v1::registry::Options) -> Vec<(String, String)> {
            let text = match &options.kind {
                $( Some(v1::registry::options::Kind::$kind(options)) => format!("{options:?}"), )*
                None => String::new(),
            };
            let inner = text.split_once('{').map_or("", |(_, inner)| inner).trim_end_matches('}');
            let pairs = inner.split(',').filter_map(|pair| pair.split_once(':'));
            // A field whose name is a keyword is raw in Rust only.
            let field_name = |field: &str| field.trim().trim_start_matches("r#").to_owned();
            let text_of = |value: &str| value.trim().trim_matches('"').to_owned();
            pairs.map(|(field, value)| (field_name(field), text_of(value))).collect()
        }
    };
}

kinds!(Queue queue "queue", Kv kv "kv", Lock lock "lock", Rwlock rwlock "rwlock", Semaphore semaphore "semaphore",
    Event event "event", Latch latch "latch", Condition condition "condition", Barrier barrier "barrier",
    Counter counter "counter", List list "list", Array array "array", Channel channel "channel", Topic topic "topic",
    Object object "object");

macro_rules! targeted {
    ($module:ident: $($variant:ident $request:ident $($mark:ident)*),* $(,)?) => {
        $( impl Targeted for $module::$request {
            fn object(&self) -> Option<&ObjectRef> { self.object.as_ref() }
            fn wait_ms(&self) -> i64 { 0 $(+ targeted!(@wait self $mark))* }
            fn fence(&self) -> Option<&Fence> { None$(.or(targeted!(@fence self $mark)))* }
        } )*
        impl Targeted for $module::command::Verb {
            fn object(&self) -> Option<&ObjectRef> {
                match self { $( Self::$variant(request) => request.object.as_ref(), )* }
            }
            fn wait_ms(&self) -> i64 {
                match self { $( Self::$variant(request) => Targeted::wait_ms(request), )* }
            }
            fn fence(&self) -> Option<&Fence> {
                match self { $( Self::$variant(request) => Targeted::fence(request), )* }
            }
        }
    };
    (@wait $self:ident waits) => { $self.wait_ms };
    (@wait $self:ident fenced) => { 0 };
    (@fence $self:ident waits) => { None };
    (@fence $self:ident fenced) => { $self.fence.as_ref() };
}

targeted!(queue: Put PutRequest waits fenced, Get GetRequest waits, Done DoneRequest fenced, Start StartRequest,
    Return ReturnRequest fenced, Park ParkRequest fenced, Unpark UnparkRequest, Discard DiscardRequest, Parked ParkedRequest,
    Join JoinRequest waits, Close CloseRequest, Stats StatsRequest, Peek PeekRequest, Purge PurgeRequest, Pause PauseRequest,
    Cancel CancelRequest waits, Cancelling CancellingRequest waits);
targeted!(kv: Get GetRequest, Put PutRequest fenced, SetDefault SetDefaultRequest fenced, Delete DeleteRequest fenced,
    Contains ContainsRequest, Len LenRequest, Scan ScanRequest, Clear ClearRequest fenced, Incr IncrRequest fenced,
    Expire ExpireRequest fenced, Next NextRequest waits);
targeted!(lock: Acquire AcquireRequest waits, Release ReleaseRequest);
targeted!(rwlock: Acquire AcquireRequest waits, Release ReleaseRequest, Downgrade DowngradeRequest);
targeted!(semaphore: Acquire AcquireRequest waits, Release ReleaseRequest, Add AddRequest);
targeted!(event: Set SetRequest, Clear ClearRequest, Get GetRequest, Wait WaitRequest waits);
targeted!(latch: CountDown CountDownRequest, Get GetRequest, Wait WaitRequest waits);
targeted!(condition: Acquire AcquireRequest waits, Release ReleaseRequest, Wait WaitRequest waits, Notify NotifyRequest);
targeted!(barrier: Wait WaitRequest waits, Abort AbortRequest, Reset ResetRequest, Get GetRequest);
targeted!(counter: Get GetRequest, Add AddRequest, Set SetRequest, CompareAndSet CompareAndSetRequest);
targeted!(list: Get GetRequest, Read ReadRequest, Set SetRequest, Replace ReplaceRequest, Extend ExtendRequest,
    Insert InsertRequest, Pop PopRequest, Delete DeleteRequest, Remove RemoveRequest, Index IndexRequest, Count CountRequest,
    Reverse ReverseRequest, Len LenRequest);
targeted!(array: Get GetRequest, Set SetRequest, Add AddRequest);
targeted!(channel: Attach AttachRequest, Detach DetachRequest, Send SendRequest waits, Receive ReceiveRequest waits,
    Done DoneRequest, Close CloseRequest, Stats StatsRequest);
targeted!(topic: Publish PublishRequest waits, Answer AnswerRequest waits, Subscribe SubscribeRequest,
    Unsubscribe UnsubscribeRequest, Next NextRequest waits, Done DoneRequest, DeleteGroup DeleteGroupRequest,
    Stats StatsRequest);
targeted!(object: Provide ProvideRequest, Withdraw WithdrawRequest, Take TakeRequest waits, Give GiveRequest, Yield YieldRequest waits,
    Invoke InvokeRequest waits, Next NextRequest waits, Abandon AbandonRequest, Describe DescribeRequest);
