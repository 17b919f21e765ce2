//! Faults: the broker refused. One table; a number is permanent, and a retired number is not used again.

use crate::v1;
use std::fmt;

macro_rules! faults {
    ($( $(#[$doc:meta])* $number:literal $variant:ident { $($field:ident : $type:ty),* } $text:literal )*) => {
        /// A refusal by the broker, with what is needed to act on it. On the wire: `bursar.v1.Fault`.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Fault {
            $( $(#[$doc])* #[allow(missing_docs)] $variant { $($field: $type),* }, )*
            /// A fault that this version does not know, from a newer broker.
            Unknown {
                /// Its permanent number.
                number: u32,
                /// Its name in the table.
                name: String,
                /// What the broker says of it.
                message: String,
            },
        }

        impl Fault {
            /// The permanent number.
            pub fn number(&self) -> u32 {
                match self {
                    $( Fault::$variant { .. } => $number, )*
                    Fault::Unknown { number, .. } => *number,
                }
            }

            /// The name in the table.
            pub fn name(&self) -> &str {
                match self {
                    $( Fault::$variant { .. } => stringify!($variant), )*
                    Fault::Unknown { name, .. } => name,
                }
            }

            /// Number and name of every fault, for the documentation and its test.
            pub const TABLE: &'static [(u32, &'static str)] = &[ $( ($number, stringify!($variant)) ),* ];
        }

        impl fmt::Display for Fault {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $( Fault::$variant { $($field),* } => write!(formatter, $text), )*
                    Fault::Unknown { message, .. } => formatter.write_str(message),
                }
            }
        }

        impl From<&Fault> for v1::Fault {
            fn from(fault: &Fault) -> v1::Fault {
                #[allow(unused_mut)]
                let mut fields = std::collections::HashMap::new();
                match fault {
                    $( Fault::$variant { $($field),* } => {
                        $( fields.insert(stringify!($field).to_owned(), $field.to_string()); )*
                    } )*
                    Fault::Unknown { .. } => {}
                }
                v1::Fault { number: fault.number(), name: fault.name().to_owned(), message: fault.to_string(), fields }
            }
        }

        impl From<v1::Fault> for Fault {
            fn from(fault: v1::Fault) -> Fault {
                let known = match fault.number {
                    $( $number => {
                        let parse = || Some(Fault::$variant { $($field: fault.fields.get(stringify!($field))?.parse().ok()?),* });
                        parse()
                    } )*
                    _ => None,
                };
                known.unwrap_or(Fault::Unknown { number: fault.number, name: fault.name, message: fault.message })
            }
        }
    };
}

faults! {
    // 1 to 19: the request.
    /// The request itself is wrong; nothing was changed.
    1 BadArgument { argument: String, problem: String } "{argument}: {problem}"
    /// No object has this name.
    2 NoSuchObject { name: String } "no object is named {name:?}: create it, or see `bursar objects list`"
    /// An object of this name exists, and the request said to create it.
    3 AlreadyExists { name: String, epoch: u64 } "an object named {name:?} exists already (epoch {epoch}): open it, or delete it first"
    /// The object has another kind or other options than the request says.
    4 Mismatch { name: String, what: String, expected: String, actual: String } "{name:?}: {what} is {actual}, the request says {expected}"
    /// The handle names an object that was deleted; `new_epoch` 0: no object has the name now.
    5 Gone { name: String, old_epoch: u64, new_epoch: u64 } "the object {name:?} of epoch {old_epoch} was deleted (its name now has epoch {new_epoch}; 0 is none): open it again"
    /// The payload is larger than the broker takes.
    6 TooLarge { what: String, size: u64, limit: u64 } "{what} has {size} bytes, the limit is {limit}: send less, or raise the limit in the broker's configuration"
    /// A limit of the broker is reached.
    7 LimitReached { what: String, limit: u64 } "{what}: the limit of {limit} is reached"
    /// The broker does not know this verb: it is older than the client.
    8 UnknownVerb { verb: String } "this broker does not know {verb}: it may be older than the client"
    // 20 to 39: waiting.
    /// The deadline of a wait passed.
    20 TimedOut { what: String } "timed out: {what}"
    /// The call was taken back by its caller.
    21 Cancelled {} "the call was cancelled by its caller"
    // 40 to 59: sessions and credentials.
    /// The session is over: what it held was given back.
    40 SessionEnded { reason: String } "the session ended: {reason}; what it held was given back"
    /// No session has this id, or its token is wrong: it ended, or the broker was restarted.
    41 NoSuchSession {} "the session to resume is not known: it ended, or the broker was restarted"
    /// A newer stream has resumed this session.
    42 Superseded { epoch: u64 } "a newer connection has taken over this session (epoch {epoch})"
    /// The answer to this sequence was given and is not kept any more; the call was not executed again.
    43 AnswerForgotten { sequence: u64 } "the answer to call {sequence} is not kept any more, and the call was not executed again"
    /// The peer broke the protocol.
    44 Protocol { problem: String } "protocol violation: {problem}"
    /// The call has no valid credential; it was not executed.
    45 HandshakeRequired {} "this connection has not proved an authkey, or its credential has expired: shake hands and send the call again"
    /// The proof was wrong: another key, another key id, or a relay in between.
    46 WrongKey {} "the authkey was not accepted: compare key and key id with the broker's"
    /// The broker is stopping.
    47 ShuttingDown {} "the broker is stopping"
    /// Memory that a frame names did not arrive on the session's side socket. The stream ends; the session does not.
    48 MemoryLost { problem: String } "memory that was to be shared is lost: {problem}; it is to travel whole, on another connection"
    // 60 to 69: the engine.
    /// The engine failed: what was in flight may or may not be kept.
    60 EngineFailed { problem: String } "the engine failed, and whether this call was kept is unknown: {problem}"
    /// Another broker owns the objects now.
    61 Deposed {} "another broker has taken over these objects: connect to it"
    // 100 to 119: queue.
    /// Nothing to get.
    100 Empty {} "the queue is empty"
    /// No room to put.
    101 Full { maxsize: u64, max_bytes: u64 } "the queue is full (maxsize {maxsize}, max_bytes {max_bytes})"
    /// The queue is closed: nothing can be put, or nothing is left to get.
    102 Closed {} "the queue is closed"
    /// The lease or token is not this session's: it was given back, given to another, or never existed.
    103 NotHeld { lease: u64 } "{lease} is not held by this session (any more): it was given back or settled, or it went to others when its session ended"
    /// More settlements than items, where Python raises ValueError.
    104 TooManyDone { asked: u64, held: u64 } "{asked} items to settle, and this session holds {held}"
    /// An item with this unique key is queued, leased or remembered.
    105 Duplicate { id: u64 } "an item with this unique key exists already (id {id})"
    // 120 to 139: kv.
    /// The key's revision is not the one the condition asks for; 0: the key does not exist.
    120 RevisionMismatch { key: String, actual: u64 } "the condition does not hold: {key:?} has revision {actual} (0: it does not exist)"
    /// The value is not an integer that `Incr` understands.
    121 NotAnInteger { key: String, codec: u32 } "the value of {key:?} (codec {codec}) is not an integer in MessagePack or JSON"
    /// The result does not fit into i64.
    122 Overflow { key: String } "adding to {key:?} would leave the range of i64"
    // 140 to 159: what is held by one, or few, at a time.
    /// Somebody else holds it. `holder` names the session that holds it longest, `others` counts the rest.
    140 Held { session: u64, holder: String, held_ms: u64, others: u64 } "held by session {session} ({holder}) for {held_ms} ms, and by {others} more"
    /// Not so many permits are available.
    141 NoPermits { asked: u64, available: u64 } "not enough permits: {asked} asked for, {available} available"
    /// The wait could never end: the caller holds, itself or through others that wait for it, what it waits for.
    142 WouldDeadlock { cycle: String } "waiting would never end: {cycle}"
    /// The fence does not hold: its token is not the one under which the lock is held. `current` 0: it is not held at all.
    143 StaleToken { lock: String, token: u64, current: u64 } "token {token} of {lock:?} is stale (the lock is held under {current}; 0: not held): stop, somebody else may be at work"
    /// A bounded semaphore has never more permits than at its beginning.
    144 TooManyPermits { asked: u64, limit: u64 } "{asked} permits, and this semaphore never has more than {limit}"
    /// A party died, gave up or timed out, or the barrier was aborted or reset.
    145 BarrierBroken { why: String } "the barrier is broken: {why}"
    // 160 to 179: counter, list, array.
    /// The sum leaves the range of the number.
    160 CounterOverflow { value: String, by: String } "adding {by} to {value} would leave the range of the number"
    /// No such index.
    161 OutOfRange { index: i64, len: u64 } "index {index} is outside of the {len} values"
    /// No such value.
    162 NoSuchValue {} "no value is equal to the one asked for"
    /// The list has changed since the revision that the request names.
    163 ListChanged { revision: u64 } "the list has changed meanwhile: it has revision {revision}"
    // 180 to 189: channel, topic.
    /// One end of the channel was closed: nothing can be sent, or nothing is left to receive.
    180 EndClosed { end: String } "end {end} of the channel is closed"
    /// Nobody listens.
    181 NoResponders {} "nobody listens: no receiver would get the message"
    /// The subscription could not keep up: it was ended, or missed something, as its topic says.
    182 Lagged { missed: u64 } "the subscription fell behind and missed {missed} messages; if it was ended for that, subscribe again"
    /// The receiver or subscription is not this session's: it was detached, or went with its session.
    183 NoSuchReceiver { id: u64 } "{id} is no receiver or subscription of this session (any more)"
    /// The other side does not take the messages as fast as they come.
    184 NoRoom { max_messages: u64, max_bytes: u64 } "no room (at most {max_messages} messages and {max_bytes} bytes that are not received)"
    // 190 to 219: object.
    /// Nobody serves the object, or none of its providers this method.
    190 NoProvider {} "nobody serves this now: ask the call to wait for a provider, or start one"
    /// The provider that had the call went, and the method is not idempotent, or too many providers went with it.
    191 ProviderGone {} "the provider that had the call is gone, and whether it carried it out is unknown"
    /// The description of the object has no such method. `nearest`: the most similar one that it has; empty: it has none.
    192 NoSuchMethod { method: String, nearest: String } "there is no method {method:?}; the nearest one is {nearest:?}"
    /// The method has no such argument. `nearest`: the most similar one that it has; empty: it takes none.
    193 NoSuchArgument { method: String, argument: String, nearest: String } "{method} has no argument {argument:?}; the nearest one is {nearest:?}"
    /// An argument without a default is missing.
    194 MissingArgument { method: String, argument: String } "{method} needs the argument {argument:?}"
    /// The call would wait for itself: calls that wait for it have all of what it needs.
    195 CallCycle { cycle: String } "the call would never be answered, it waits for itself: {cycle}"
    /// So many calls wait or run already. `what`: of whom.
    196 TooManyCalls { what: String, limit: u64 } "{what}: {limit} calls wait or run already, which is the limit"
    /// The arguments of the calls that wait or run take all the memory that the object's options give them.
    197 TooManyBytes { size: u64, limit: u64 } "no room for {size} bytes of arguments: all calls that wait or run have at most {limit}"
    /// The call or stream is not the caller's: it is over, was taken back, or went to another provider.
    198 NoSuchCall { call: u64 } "{call} is no call or stream of this session (any more)"
    /// The provider is not this session's: it was withdrawn, or went with its session.
    199 NoSuchProvider { provider: u64 } "{provider} is no provider of this session (any more)"
    /// The provider carried the call out, and its result is larger than can be given to the caller.
    200 ResultTooLarge { size: u64, limit: u64 } "the call was carried out, but its result has {size} bytes, the limit is {limit}"
    /// The deadline of a call passed that a provider had.
    201 Unanswered {} "the call was not answered in time; its provider is told to stop, and whether it carried it out is unknown"
}

impl Fault {
    /// The request is wrong: which argument, and what was expected.
    pub fn bad_argument(argument: impl Into<String>, problem: impl Into<String>) -> Fault {
        Fault::BadArgument { argument: argument.into(), problem: problem.into() }
    }

    /// The peer broke the protocol.
    pub fn protocol(problem: impl Into<String>) -> Fault {
        Fault::Protocol { problem: problem.into() }
    }

    /// Whether the same call may succeed later without anybody changing it.
    pub fn is_retryable(&self) -> bool {
        use Fault::*;
        matches!(
            self,
            TimedOut { .. }
                | Empty {}
                | Full { .. }
                | NoRoom { .. }
                | NoResponders {}
                | Held { .. }
                | NoPermits { .. }
                | LimitReached { .. }
                | NoProvider {}
                | ProviderGone {}
                | TooManyCalls { .. }
                | TooManyBytes { .. }
                | Unanswered {}
                | ShuttingDown {}
                | HandshakeRequired {}
                | Deposed {}
        )
    }

    /// Whether it is certain that the call changed nothing.
    pub fn has_no_side_effects(&self) -> bool {
        use Fault::*;
        !matches!(
            self,
            EngineFailed { .. }
                | SessionEnded { .. }
                | AnswerForgotten { .. }
                | ProviderGone {}
                | ResultTooLarge { .. }
                | Unanswered {}
                | Unknown { .. }
        )
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_faults_survive_the_wire() {
        let mut numbers: Vec<u32> = Fault::TABLE.iter().map(|(number, _)| *number).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), Fault::TABLE.len());
        for fault in [
            Fault::Empty {},
            Fault::Gone { name: "a".into(), old_epoch: 1, new_epoch: 2 },
            Fault::RevisionMismatch { key: "k".into(), actual: 9 },
            Fault::bad_argument("x", "y: z"),
        ] {
            assert_eq!(Fault::from(v1::Fault::from(&fault)), fault);
        }
    }

    #[test]
    fn a_fault_of_a_newer_broker_keeps_its_number_and_text() {
        let wire = v1::Fault { number: 9999, name: "New".into(), message: "news".into(), ..Default::default() };
        let fault = Fault::from(wire);
        assert_eq!((fault.number(), fault.name(), fault.to_string().as_str()), (9999, "New", "news"));
    }
}
