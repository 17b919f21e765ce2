//! The kinds beside queue and kv in the words of the contract: options and calls as messages, replies as outcomes.

use super::{
    arguments::{Arguments, Payload},
    script::{Outcome, Part, quote},
};
use bursar::Raw;
use bursar_proto::v1::{
    self, ObjectRef, OnDeadlock, Slice, Value, array, barrier, call::Command, condition, counter, event, latch, list, lock,
    registry, registry::options::Kind, rwlock, semaphore,
};
use std::str::FromStr;

type Object = Option<ObjectRef>;

/// The options that a script gives; `None`: no such kind.
pub fn options(kind: &str, arguments: &mut Arguments) -> Result<Option<Kind>, String> {
    let mut on_deadlock = || match arguments.text("on_deadlock").as_deref() {
        None | Some("show") => Ok(OnDeadlock::Show.into()),
        Some("refuse") => Ok(OnDeadlock::Refuse.into()),
        Some(other) => other.parse().map_err(|_| format!("on_deadlock: expected show, refuse or a number, got {other:?}")),
    };
    Ok(Some(match kind {
        "lock" => Kind::Lock(lock::Options { on_deadlock: on_deadlock()?, reentrant: arguments.field("reentrant")? }),
        "rwlock" => Kind::Rwlock(rwlock::Options { on_deadlock: on_deadlock()? }),
        "condition" => Kind::Condition(condition::Options { on_deadlock: on_deadlock()? }),
        "semaphore" => Kind::Semaphore(semaphore::Options {
            on_deadlock: on_deadlock()?,
            permits: arguments.field("permits")?,
            bounded: arguments.field("bounded")?,
        }),
        "event" => Kind::Event(event::Options { initially_set: arguments.field("initially_set")? }),
        "latch" => Kind::Latch(latch::Options { count: arguments.field("count")? }),
        "barrier" => Kind::Barrier(barrier::Options { parties: arguments.field("parties")? }),
        "counter" => Kind::Counter(counter::Options { initial: arguments.field("initial")? }),
        "list" => Kind::List(list::Options { max_len: arguments.field("max_len")?, max_bytes: arguments.field("max_bytes")? }),
        "array" => Kind::Array(array::Options { r#type: type_of(arguments)?, length: arguments.field("length")? }),
        _ => return Ok(None),
    }))
}

fn type_of(arguments: &mut Arguments) -> Result<i32, String> {
    let name = arguments.text("type").unwrap_or_default();
    match array::Type::from_str_name(&name.to_uppercase()) {
        Some(known) => Ok(known.into()),
        None if name.is_empty() => Ok(0),
        None => name.parse().map_err(|_| format!("type: expected i8 to f64 or a number, got {name:?}")),
    }
}

/// The options as they are described.
pub fn described(part: Part, options: &registry::Options) -> Part {
    let shown = |value: String| value.trim_matches('"').to_lowercase();
    bursar_proto::option_fields(options).into_iter().fold(part, |part, (field, value)| part.with(&field, shown(value)))
}

/// A call of one of these kinds; `None`: there is no such kind or verb.
pub fn command(kind: &str, verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<Command>, String> {
    Ok(match kind {
        "lock" => lock_verb(verb, object, arguments)?.map(|verb| Command::Lock(lock::Command { verb: Some(verb) })),
        "rwlock" => rwlock_verb(verb, object, arguments)?.map(|verb| Command::Rwlock(rwlock::Command { verb: Some(verb) })),
        "semaphore" => {
            semaphore_verb(verb, object, arguments)?.map(|verb| Command::Semaphore(semaphore::Command { verb: Some(verb) }))
        }
        "condition" => {
            condition_verb(verb, object, arguments)?.map(|verb| Command::Condition(condition::Command { verb: Some(verb) }))
        }
        "event" => event_verb(verb, object, arguments)?.map(|verb| Command::Event(event::Command { verb: Some(verb) })),
        "latch" => latch_verb(verb, object, arguments)?.map(|verb| Command::Latch(latch::Command { verb: Some(verb) })),
        "barrier" => barrier_verb(verb, object, arguments)?.map(|verb| Command::Barrier(barrier::Command { verb: Some(verb) })),
        "counter" => counter_verb(verb, object, arguments)?.map(|verb| Command::Counter(counter::Command { verb: Some(verb) })),
        "list" => list_verb(verb, object, arguments)?.map(|verb| Command::List(list::Command { verb: Some(verb) })),
        "array" => array_verb(verb, object, arguments)?.map(|verb| Command::Array(array::Command { verb: Some(verb) })),
        _ => None,
    })
}

fn lock_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<lock::command::Verb>, String> {
    use lock::command::Verb;
    Ok(Some(match verb {
        "acquire" => {
            let (wait_ms, owner) = (arguments.wait()?.to_ms(), arguments.field("owner")?);
            Verb::Acquire(lock::AcquireRequest { object, wait_ms, owner })
        }
        "release" => Verb::Release(lock::ReleaseRequest { object, token: arguments.number("a token")? }),
        _ => return Ok(None),
    }))
}

fn rwlock_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<rwlock::command::Verb>, String> {
    use rwlock::command::Verb;
    Ok(Some(match verb {
        "read" | "write" => {
            let (wait_ms, owner) = (arguments.wait()?.to_ms(), arguments.field("owner")?);
            Verb::Acquire(rwlock::AcquireRequest { object, wait_ms, owner, write: verb == "write" })
        }
        "release" => Verb::Release(rwlock::ReleaseRequest { object, token: arguments.number("a token")? }),
        "downgrade" => Verb::Downgrade(rwlock::DowngradeRequest { object, token: arguments.number("a token")? }),
        _ => return Ok(None),
    }))
}

fn semaphore_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<semaphore::command::Verb>, String> {
    use semaphore::command::Verb;
    Ok(Some(match verb {
        "acquire" => {
            let (wait_ms, count, consume) = (arguments.wait()?.to_ms(), arguments.field("count")?, arguments.field("consume")?);
            Verb::Acquire(semaphore::AcquireRequest { object, wait_ms, count, consume })
        }
        "release" => Verb::Release(semaphore::ReleaseRequest { object, token: arguments.number("a token")? }),
        "add" => Verb::Add(semaphore::AddRequest { object, count: arguments.field("count")? }),
        _ => return Ok(None),
    }))
}

fn condition_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<condition::command::Verb>, String> {
    use condition::command::Verb;
    Ok(Some(match verb {
        "acquire" => {
            let (wait_ms, owner) = (arguments.wait()?.to_ms(), arguments.field("owner")?);
            Verb::Acquire(condition::AcquireRequest { object, wait_ms, owner })
        }
        "release" => Verb::Release(condition::ReleaseRequest { object, token: arguments.number("a token")? }),
        "wait" => {
            let (wait_ms, token) = (arguments.wait()?.to_ms(), arguments.number("a token")?);
            Verb::Wait(condition::WaitRequest { object, wait_ms, token })
        }
        "notify" => {
            let (token, count, all) = (arguments.number("a token")?, arguments.field("count")?, arguments.field("all")?);
            Verb::Notify(condition::NotifyRequest { object, token, count, all })
        }
        _ => return Ok(None),
    }))
}

fn event_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<event::command::Verb>, String> {
    use event::command::Verb;
    Ok(Some(match verb {
        "set" => Verb::Set(event::SetRequest { object }),
        "clear" => Verb::Clear(event::ClearRequest { object }),
        "get" => Verb::Get(event::GetRequest { object }),
        "wait" => {
            let (wait_ms, after) = (arguments.wait()?.to_ms(), arguments.optional("after")?);
            Verb::Wait(event::WaitRequest { object, wait_ms, after })
        }
        _ => return Ok(None),
    }))
}

fn latch_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<latch::command::Verb>, String> {
    use latch::command::Verb;
    Ok(Some(match verb {
        "down" => Verb::CountDown(latch::CountDownRequest { object, by: arguments.field("by")? }),
        "get" => Verb::Get(latch::GetRequest { object }),
        "wait" => Verb::Wait(latch::WaitRequest { object, wait_ms: arguments.wait()?.to_ms() }),
        _ => return Ok(None),
    }))
}

fn barrier_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<barrier::command::Verb>, String> {
    use barrier::command::Verb;
    Ok(Some(match verb {
        "wait" => Verb::Wait(barrier::WaitRequest { object, wait_ms: arguments.wait()?.to_ms() }),
        "abort" => Verb::Abort(barrier::AbortRequest { object }),
        "reset" => Verb::Reset(barrier::ResetRequest { object }),
        "get" => Verb::Get(barrier::GetRequest { object }),
        _ => return Ok(None),
    }))
}

fn counter_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<counter::command::Verb>, String> {
    use counter::command::Verb;
    Ok(Some(match verb {
        "get" => Verb::Get(counter::GetRequest { object }),
        "add" => Verb::Add(counter::AddRequest { object, by: arguments.number("what to add")? }),
        "set" => Verb::Set(counter::SetRequest { object, value: arguments.number("a value")? }),
        "cas" => {
            let (expected, value) = (arguments.number("what is expected")?, arguments.number("a value")?);
            Verb::CompareAndSet(counter::CompareAndSetRequest { object, expected, value })
        }
        _ => return Ok(None),
    }))
}

fn list_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<list::command::Verb>, String> {
    use list::command::Verb;
    Ok(Some(match verb {
        "get" => Verb::Get(list::GetRequest { object, index: arguments.number("an index")? }),
        "read" => {
            let (slice, skip, limit) = (slice(arguments)?, arguments.field("skip")?, arguments.field("limit")?);
            Verb::Read(list::ReadRequest { object, slice, skip, limit })
        }
        "set" => {
            let (index, value) = (arguments.number("an index")?, Some(value(arguments)?));
            Verb::Set(list::SetRequest { object, index, value, if_revision: arguments.optional("if_revision")? })
        }
        "replace" => {
            let (slice, if_revision) = (slice(arguments)?, arguments.optional("if_revision")?);
            Verb::Replace(list::ReplaceRequest { object, slice, values: values(arguments)?, if_revision })
        }
        "extend" => Verb::Extend(list::ExtendRequest { object, values: values(arguments)? }),
        "insert" => {
            let index = arguments.number("an index")?;
            Verb::Insert(list::InsertRequest { object, index, value: Some(value(arguments)?) })
        }
        "pop" => Verb::Pop(list::PopRequest { object, index: arguments.optional("index")? }),
        "delete" => {
            let (slice, if_revision) = (slice(arguments)?, arguments.optional("if_revision")?);
            Verb::Delete(list::DeleteRequest { object, slice, if_revision })
        }
        "remove" => Verb::Remove(list::RemoveRequest { object, value: Some(value(arguments)?) }),
        "index" => {
            let (start, stop) = (arguments.optional("start")?, arguments.optional("stop")?);
            Verb::Index(list::IndexRequest { object, value: Some(value(arguments)?), start, stop })
        }
        "count" => Verb::Count(list::CountRequest { object, value: Some(value(arguments)?) }),
        "reverse" => Verb::Reverse(list::ReverseRequest { object }),
        "len" => Verb::Len(list::LenRequest { object }),
        _ => return Ok(None),
    }))
}

fn array_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<array::command::Verb>, String> {
    use array::command::Verb;
    Ok(Some(match verb {
        "get" => Verb::Get(array::GetRequest { object, slice: slice(arguments)? }),
        "set" => {
            let slice = slice(arguments)?;
            Verb::Set(array::SetRequest { object, slice, numbers: Some(numbers(arguments)?) })
        }
        "add" => {
            let index = arguments.number("an index")?;
            Verb::Add(array::AddRequest { object, index, by: Some(numbers(arguments)?) })
        }
        _ => return Ok(None),
    }))
}

/// Numbers as the array's `type=` has them.
fn numbers(arguments: &mut Arguments) -> Result<array::Numbers, String> {
    use array::numbers::Numbers;
    let r#type = arguments.text("type").unwrap_or_default();
    let numbers = match r#type.chars().next() {
        Some('u') => Numbers::Naturals(array::Naturals { values: all(arguments)? }),
        Some('f') => Numbers::Reals(array::Reals { values: all(arguments)? }),
        Some('i') | None => Numbers::Integers(array::Integers { values: all(arguments)? }),
        Some(_) => return Err(format!("type: expected i8 to f64, got {type:?}")),
    };
    Ok(array::Numbers { numbers: Some(numbers) })
}

/// All words that are left, as numbers.
fn all<N: FromStr>(arguments: &mut Arguments) -> Result<Vec<N>, String> {
    let words = arguments.words("a number")?;
    words.iter().map(|word| word.parse().map_err(|_| format!("expected a number, got {word:?}"))).collect()
}

fn slice(arguments: &mut Arguments) -> Result<Option<Slice>, String> {
    let slice =
        Slice { start: arguments.optional("start")?, stop: arguments.optional("stop")?, step: arguments.optional("step")? };
    Ok((slice != Slice::default()).then_some(slice))
}

fn value(arguments: &mut Arguments) -> Result<Value, String> {
    let Payload(Raw { data, codec }) = arguments.payload()?;
    Ok(Value { data, codec })
}

fn values(arguments: &mut Arguments) -> Result<Vec<Value>, String> {
    let value = |Payload(Raw { data, codec })| Value { data, codec };
    Ok(if arguments.has_words() { arguments.payloads()?.into_iter().map(value).collect() } else { vec![] })
}

fn ok() -> Part {
    Part::of(["ok".into()])
}

/// A reply of one of these kinds.
pub fn outcome(reply: v1::answer::Reply) -> Outcome {
    use v1::answer::Reply;
    const VERB: &str = "a reply has a verb";
    match reply {
        Reply::Lock(reply) => lock_outcome(reply.verb.expect(VERB)),
        Reply::Rwlock(reply) => rwlock_outcome(reply.verb.expect(VERB)),
        Reply::Semaphore(reply) => semaphore_outcome(reply.verb.expect(VERB)),
        Reply::Condition(reply) => condition_outcome(reply.verb.expect(VERB)),
        Reply::Event(reply) => event_outcome(reply.verb.expect(VERB)),
        Reply::Latch(reply) => latch_outcome(reply.verb.expect(VERB)),
        Reply::Barrier(reply) => barrier_outcome(reply.verb.expect(VERB)),
        Reply::Counter(reply) => counter_outcome(reply.verb.expect(VERB)),
        Reply::List(reply) => list_outcome(reply.verb.expect(VERB)),
        Reply::Array(reply) => array_outcome(reply.verb.expect(VERB)),
        other => panic!("no scenario asks for this: {other:?}"),
    }
}

/// Replies that gave this token. A host takes back only what its own kind gave.
pub fn replies_that_give(token: u64) -> Vec<v1::answer::Reply> {
    use v1::answer::Reply;
    let lock = lock::reply::Verb::Acquire(lock::AcquireReply { token, depth: 1 });
    let rwlock = rwlock::reply::Verb::Acquire(rwlock::AcquireReply { token });
    let semaphore = semaphore::reply::Verb::Acquire(semaphore::AcquireReply { token, count: 1 });
    let condition = condition::reply::Verb::Acquire(condition::AcquireReply { token });
    vec![
        Reply::Lock(lock::Reply { verb: Some(lock) }),
        Reply::Rwlock(rwlock::Reply { verb: Some(rwlock) }),
        Reply::Semaphore(semaphore::Reply { verb: Some(semaphore) }),
        Reply::Condition(condition::Reply { verb: Some(condition) }),
    ]
}

/// A grant: `as` names its token.
pub fn token(token: u64) -> Part {
    ok().with("token", token).named(token)
}

fn lock_outcome(reply: lock::reply::Verb) -> Outcome {
    use lock::reply::Verb;
    match reply {
        Verb::Acquire(lock::AcquireReply { token: granted, depth }) => token(granted).with("depth", depth).into(),
        Verb::Release(lock::ReleaseReply { depth }) => ok().with("depth", depth).into(),
    }
}

fn rwlock_outcome(reply: rwlock::reply::Verb) -> Outcome {
    use rwlock::reply::Verb;
    match reply {
        Verb::Acquire(rwlock::AcquireReply { token: granted }) => token(granted).into(),
        Verb::Release(rwlock::ReleaseReply {}) | Verb::Downgrade(rwlock::DowngradeReply {}) => ok().into(),
    }
}

fn semaphore_outcome(reply: semaphore::reply::Verb) -> Outcome {
    use semaphore::reply::Verb;
    match reply {
        Verb::Acquire(semaphore::AcquireReply { token: granted, count }) => token(granted).with("count", count).into(),
        Verb::Release(semaphore::ReleaseReply { available }) | Verb::Add(semaphore::AddReply { available }) => {
            ok().with("available", available).into()
        }
    }
}

fn condition_outcome(reply: condition::reply::Verb) -> Outcome {
    use condition::reply::Verb;
    match reply {
        Verb::Acquire(condition::AcquireReply { token: granted }) => token(granted).into(),
        Verb::Release(condition::ReleaseReply {}) => ok().into(),
        Verb::Wait(condition::WaitReply { token: granted, notified }) => token(granted).with("notified", notified).into(),
        Verb::Notify(condition::NotifyReply { count }) => ok().with("count", count).into(),
    }
}

fn event_outcome(reply: event::reply::Verb) -> Outcome {
    use event::reply::Verb;
    let changed = |changed: bool, version: u64| ok().with("changed", changed).with("version", version).into();
    match reply {
        Verb::Set(event::SetReply { changed: news, version }) => changed(news, version),
        Verb::Clear(event::ClearReply { changed: news, version }) => changed(news, version),
        Verb::Get(event::GetReply { is_set, version }) => {
            Part::of([if is_set { "set" } else { "clear" }.to_owned()]).with("version", version).into()
        }
        Verb::Wait(event::WaitReply { version }) => ok().with("version", version).into(),
    }
}

fn latch_outcome(reply: latch::reply::Verb) -> Outcome {
    use latch::reply::Verb;
    match reply {
        Verb::CountDown(latch::CountDownReply { left }) => ok().with("left", left).into(),
        Verb::Get(latch::GetReply { left }) => Outcome::word(left),
        Verb::Wait(latch::WaitReply {}) => ok().into(),
    }
}

fn barrier_outcome(reply: barrier::reply::Verb) -> Outcome {
    use barrier::reply::Verb;
    match reply {
        Verb::Wait(barrier::WaitReply { index, generation }) => ok().with("index", index).with("generation", generation).into(),
        Verb::Abort(barrier::AbortReply {}) | Verb::Reset(barrier::ResetReply {}) => ok().into(),
        Verb::Get(barrier::GetReply { parties, waiting, broken, generation }) => Part::of(["barrier".into()])
            .with("parties", parties)
            .with("waiting", waiting)
            .with("broken", broken)
            .with("generation", generation)
            .into(),
    }
}

fn counter_outcome(reply: counter::reply::Verb) -> Outcome {
    use counter::reply::Verb;
    match reply {
        Verb::Get(counter::GetReply { value }) | Verb::Add(counter::AddReply { value }) => Outcome::word(value),
        Verb::Set(counter::SetReply { previous }) => ok().with("previous", previous).into(),
        Verb::CompareAndSet(counter::CompareAndSetReply { swapped, value }) => {
            ok().with("swapped", swapped).with("value", value).into()
        }
    }
}

fn list_outcome(reply: list::reply::Verb) -> Outcome {
    use list::reply::Verb;
    let payload = |value: Option<Value>| {
        let Value { data, codec } = value.unwrap_or_default();
        Part::of([Payload::of(data, codec).to_string()])
    };
    let grown = |len: u64, revision: u64| ok().with("len", len).with("revision", revision).into();
    match reply {
        Verb::Get(list::GetReply { value, revision }) => payload(value).with("revision", revision).into(),
        Verb::Read(reply) => Outcome::list(reply.values.into_iter().map(|value| payload(Some(value))).collect()),
        Verb::Set(list::SetReply { revision }) | Verb::Reverse(list::ReverseReply { revision }) => {
            ok().with("revision", revision).into()
        }
        Verb::Replace(list::ReplaceReply { len, revision }) => grown(len, revision),
        Verb::Extend(list::ExtendReply { len, revision }) => grown(len, revision),
        Verb::Insert(list::InsertReply { len, revision }) => grown(len, revision),
        Verb::Pop(list::PopReply { value, len, revision }) => payload(value).with("len", len).with("revision", revision).into(),
        Verb::Delete(list::DeleteReply { count, .. }) => Outcome::word(count),
        Verb::Remove(list::RemoveReply { index, .. }) | Verb::Index(list::IndexReply { index }) => Outcome::word(index),
        Verb::Count(list::CountReply { count }) => Outcome::word(count),
        Verb::Len(list::LenReply { len, .. }) => Outcome::word(len),
    }
}

fn array_outcome(reply: array::reply::Verb) -> Outcome {
    use array::{numbers::Numbers, reply::Verb};
    let shown = |numbers: Option<array::Numbers>| {
        let words: Vec<String> = match numbers.and_then(|numbers| numbers.numbers) {
            Some(Numbers::Integers(array::Integers { values })) => values.iter().map(i64::to_string).collect(),
            Some(Numbers::Naturals(array::Naturals { values })) => values.iter().map(u64::to_string).collect(),
            Some(Numbers::Reals(array::Reals { values })) => values.iter().map(f64::to_string).collect(),
            None => vec![],
        };
        Outcome::list(words.into_iter().map(|word| Part::of([word])).collect())
    };
    match reply {
        Verb::Get(array::GetReply { numbers }) => shown(numbers),
        Verb::Set(array::SetReply {}) => ok().into(),
        Verb::Add(array::AddReply { number }) => shown(number),
    }
}

/// Who waits for what: `waits A what=`, ..., `holds B token=`, ..., `cycle A B`.
pub fn waits(reply: &registry::WaitsReply, letter: &dyn Fn(u64) -> String) -> Outcome {
    let letter = |who: &Option<registry::Party>| letter(who.as_ref().map_or(0, |who| who.session));
    let waits = reply
        .waits
        .iter()
        .map(|wait| Part::of(["waits".into(), letter(&wait.who)]).with("object", &wait.object).with("what", quote(&wait.what)));
    let holdings = reply.holdings.iter().map(|held| {
        Part::of(["holds".into(), letter(&held.who)])
            .with("object", &held.object)
            .with("what", quote(&held.what))
            .with("token", held.token)
    });
    let cycles = reply.cycles.iter().map(|cycle| {
        let letters = cycle.waits.iter().map(|wait| letter(&wait.who));
        Part::of(["cycle".to_owned()].into_iter().chain(letters))
    });
    Outcome::list(waits.chain(holdings).chain(cycles).collect())
}
