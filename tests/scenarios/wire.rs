//! Scenarios in the words of the contract: calls as commands, replies as outcomes. For drivers that speak it themselves.

use super::{
    arguments::{Arguments, Payload},
    kinds,
    script::{Call, Outcome, Part, quote},
    served,
};
use bursar::Raw;
use bursar_proto::{
    Fault,
    v1::{self, ObjectRef, answer, call::Command, kv, queue, registry},
};
use std::collections::HashMap;

/// The call of a script as the contract has it.
pub fn command(call: &Call, epoch: u64) -> Result<Command, String> {
    let mut arguments = Arguments::of(call);
    let (kind, verb) = call.verb.split_once('.').expect("the grammar asks for kind.verb");
    let object = Some(ObjectRef { name: call.object.clone(), epoch });
    let command = match (kind, verb) {
        ("objects", verb) => names(verb, object, &mut arguments)?,
        (kind, "create" | "open" | "open_or_create") => open(kind, verb, &call.object, &mut arguments)?,
        ("queue", verb) => Command::Queue(queue::Command { verb: Some(queue_verb(verb, object, &mut arguments)?) }),
        ("kv", verb) => Command::Kv(kv::Command { verb: Some(kv_verb(verb, object, &mut arguments)?) }),
        (kind, verb) => match kinds::command(kind, verb, object, &mut arguments)? {
            Some(command) => command,
            None => {
                let object = Some(ObjectRef { name: call.object.clone(), epoch });
                served::command(kind, verb, object, &mut arguments)?.map_or_else(|| unknown(&call.verb), Ok)?
            }
        },
    };
    let command = fenced(command, &mut arguments)?;
    arguments.end()?;
    Ok(command)
}

/// The command with `fence=LOCK token=TOKEN`, if the script says so.
fn fenced(mut command: Command, arguments: &mut Arguments) -> Result<Command, String> {
    let Some(lock) = arguments.text("fence") else { return Ok(command) };
    let given = Some(v1::Fence { lock: Some(ObjectRef { name: lock, epoch: 0 }), token: arguments.field("token")? });
    let fence = match &mut command {
        Command::Queue(queue::Command { verb: Some(queue::command::Verb::Put(request)) }) => &mut request.fence,
        Command::Queue(queue::Command { verb: Some(queue::command::Verb::Done(request)) }) => &mut request.fence,
        Command::Queue(queue::Command { verb: Some(queue::command::Verb::Return(request)) }) => &mut request.fence,
        Command::Queue(queue::Command { verb: Some(queue::command::Verb::Park(request)) }) => &mut request.fence,
        Command::Kv(kv::Command { verb: Some(kv::command::Verb::Put(request)) }) => &mut request.fence,
        Command::Kv(kv::Command { verb: Some(kv::command::Verb::SetDefault(request)) }) => &mut request.fence,
        Command::Kv(kv::Command { verb: Some(kv::command::Verb::Delete(request)) }) => &mut request.fence,
        Command::Kv(kv::Command { verb: Some(kv::command::Verb::Clear(request)) }) => &mut request.fence,
        Command::Kv(kv::Command { verb: Some(kv::command::Verb::Incr(request)) }) => &mut request.fence,
        Command::Kv(kv::Command { verb: Some(kv::command::Verb::Expire(request)) }) => &mut request.fence,
        _ => return Err("this verb takes no fence".into()),
    };
    *fence = given;
    Ok(command)
}

/// Whether a call goes to the names, and not to an object.
pub fn is_for_names(call: &Call) -> bool {
    call.verb.starts_with("objects.")
        || ["create", "open", "open_or_create"].iter().any(|verb| call.verb.ends_with(&format!(".{verb}")))
}

/// What a session asks that uses an object for the first time.
pub fn open_as_it_is(name: &str) -> Command {
    let mode = registry::Mode::Open.into();
    let request = registry::OpenRequest { name: name.to_owned(), mode, options: None, ephemeral: false };
    Command::Registry(registry::Command { verb: Some(registry::command::Verb::Open(request)) })
}

/// Replies that gave this lease, or this token.
pub fn replies_that_give(lease: u64) -> Vec<answer::Reply> {
    let leased = queue::Leased { lease, ..Default::default() };
    let got = queue::reply::Verb::Get(queue::GetReply { items: vec![leased] });
    let mut replies = vec![answer::Reply::Queue(queue::Reply { verb: Some(got) })];
    replies.extend(kinds::replies_that_give(lease));
    replies.extend(served::replies_that_give(lease));
    replies
}

/// The epoch of the object that this reply opened.
pub fn epoch(reply: &answer::Reply) -> Option<u64> {
    match reply {
        answer::Reply::Registry(registry::Reply { verb: Some(registry::reply::Verb::Open(opened)) }) => Some(opened.epoch),
        _ => None,
    }
}

fn unknown<T>(verb: &str) -> Result<T, String> {
    Err(format!("this driver has no verb {verb}: what does the scenario need?"))
}

fn names(verb: &str, object: Option<ObjectRef>, arguments: &mut Arguments) -> Result<Command, String> {
    use registry::command::Verb;
    let verb = match verb {
        "list" => Verb::List(registry::ListRequest {
            prefix: arguments.text("prefix").unwrap_or_default(),
            kind: arguments.text("kind").unwrap_or_default(),
            ..Default::default()
        }),
        "describe" => Verb::Describe(registry::DescribeRequest { object }),
        "delete" => Verb::Delete(registry::DeleteRequest { object }),
        "close" => Verb::Close(registry::CloseRequest { object }),
        "waits" => Verb::Waits(registry::WaitsRequest { object: object.filter(|object| !object.name.is_empty()) }),
        verb => return unknown(verb),
    };
    Ok(Command::Registry(registry::Command { verb: Some(verb) }))
}

fn open(kind: &str, mode: &str, name: &str, arguments: &mut Arguments) -> Result<Command, String> {
    use registry::{Mode, options::Kind};
    let ephemeral = arguments.field("ephemeral")?;
    let options = match kind {
        "queue" => Kind::Queue(queue::Options {
            maxsize: arguments.field("maxsize")?,
            max_bytes: arguments.field("max_bytes")?,
            max_failures: arguments.field("max_failures")?,
            max_crashes: arguments.field("max_crashes")?,
            retry_delay_ms: arguments.field("retry_delay")?,
            unique_window_ms: arguments.field("unique_window")?,
        }),
        "kv" => Kind::Kv(kv::Options {
            max_keys: arguments.field("max_keys")?,
            max_bytes: arguments.field("max_bytes")?,
            events_max: arguments.field("events_max")?,
        }),
        kind => match kinds::options(kind, arguments)? {
            Some(options) => options,
            None => served::options(kind, arguments)?.map_or_else(|| unknown(kind), Ok)?,
        },
    };
    let mode = match mode {
        "create" => Mode::Create,
        "open" => Mode::Open,
        _ => Mode::OpenOrCreate,
    };
    let options = Some(registry::Options { kind: Some(options) });
    let request = registry::OpenRequest { name: name.to_owned(), mode: mode.into(), options, ephemeral };
    Ok(Command::Registry(registry::Command { verb: Some(registry::command::Verb::Open(request)) }))
}

fn queue_verb(verb: &str, object: Option<ObjectRef>, arguments: &mut Arguments) -> Result<queue::command::Verb, String> {
    use queue::command::Verb;
    Ok(match verb {
        "put" => Verb::Put(put(object, arguments)?),
        "get" => {
            let (wait_ms, max) = (arguments.wait()?.to_ms(), arguments.field("max")?);
            Verb::Get(queue::GetRequest { object, wait_ms, max, buffered: arguments.field("buffered")? })
        }
        "start" => Verb::Start(queue::StartRequest { object, leases: arguments.numbers("a lease")? }),
        "done" => {
            let (leases, oldest) = (arguments.numbers("a lease")?, arguments.field("oldest")?);
            Verb::Done(queue::DoneRequest { fence: None, object, leases, oldest })
        }
        "retry" | "release" => {
            let reason = if verb == "retry" { queue::Reason::Failed } else { queue::Reason::Released };
            let (delay_ms, why) = (arguments.optional("delay")?, arguments.text("why").unwrap_or_default());
            let leases = arguments.numbers("a lease")?;
            Verb::Return(queue::ReturnRequest { fence: None, object, leases, reason: reason.into(), delay_ms, why })
        }
        "park" => {
            let (ids, why) = (arguments.list("ids")?, arguments.text("why").unwrap_or_default());
            Verb::Park(queue::ParkRequest { fence: None, object, leases: arguments.numbers("a lease")?, ids, why })
        }
        "parked" => Verb::Parked(queue::ParkedRequest { object, after_id: 0, limit: 0 }),
        "unpark" => Verb::Unpark(queue::UnparkRequest { object, ids: arguments.list("ids")? }),
        "discard" => Verb::Discard(queue::DiscardRequest { object, ids: arguments.list("ids")? }),
        "join" => Verb::Join(queue::JoinRequest { object, wait_ms: arguments.wait()?.to_ms() }),
        "close" => Verb::Close(queue::CloseRequest { object, immediate: arguments.field("immediate")? }),
        "pause" => Verb::Pause(queue::PauseRequest { object, resume: false }),
        "resume" => Verb::Pause(queue::PauseRequest { object, resume: true }),
        "cancel" => {
            let (wait_ms, why) = (arguments.wait()?.to_ms(), arguments.text("why").unwrap_or_default());
            let (lease, force) = (arguments.field("lease")?, arguments.field("force")?);
            let then = match arguments.text("then").as_deref() {
                Some("park") => queue::Then::Park,
                _ => queue::Then::Requeue,
            };
            let id = arguments.number("an item")?;
            Verb::Cancel(queue::CancelRequest { object, wait_ms, id, lease, then: then.into(), why, force })
        }
        "cancelling" => {
            let (wait_ms, after) = (arguments.wait()?.to_ms(), arguments.field("after")?);
            Verb::Cancelling(queue::CancellingRequest { object, wait_ms, after })
        }
        "stats" => Verb::Stats(queue::StatsRequest { object }),
        "peek" => Verb::Peek(queue::PeekRequest { object, limit: arguments.field("limit")? }),
        "purge" => Verb::Purge(queue::PurgeRequest { object }),
        verb => return unknown(verb),
    })
}

fn put(object: Option<ObjectRef>, arguments: &mut Arguments) -> Result<queue::PutRequest, String> {
    let on_duplicate = match arguments.text("on_duplicate").as_deref() {
        None | Some("reject") => queue::OnDuplicate::Reject,
        Some("replace") => queue::OnDuplicate::Replace,
        Some("merge") => queue::OnDuplicate::Merge,
        Some(other) => return Err(format!("on_duplicate: expected reject, replace or merge, got {other:?}")),
    };
    let plain = queue::Item {
        priority: arguments.field("priority")?,
        delay_ms: arguments.field("delay")?,
        ttl_ms: arguments.field("ttl")?,
        unique_key: arguments.text("unique_key").unwrap_or_default().into(),
        on_duplicate: on_duplicate.into(),
        headers: arguments.headers().into_iter().collect(),
        ..Default::default()
    };
    let wait_ms = arguments.wait()?.to_ms();
    let item = |Payload(Raw { data, codec })| queue::Item { data, codec, ..plain.clone() };
    let items = arguments.payloads()?.into_iter().map(item).collect();
    Ok(queue::PutRequest { fence: None, object, wait_ms, items })
}

fn kv_verb(verb: &str, object: Option<ObjectRef>, arguments: &mut Arguments) -> Result<kv::command::Verb, String> {
    use kv::command::Verb;
    let mut key = || arguments.word("a key");
    Ok(match verb {
        "get" => Verb::Get(kv::GetRequest { object, key: key()?, touch: false }),
        "touch" => Verb::Get(kv::GetRequest { object, key: key()?, touch: true }),
        "put" => {
            let (key, value) = (key()?, Some(value(arguments)?));
            let (condition, ttl_ms) = (condition(arguments)?, arguments.field("ttl")?);
            let (keep_ttl, bind) = (arguments.field("keep_ttl")?, arguments.field("bind")?);
            Verb::Put(kv::PutRequest { fence: None, object, key, value, condition, ttl_ms, keep_ttl, bind })
        }
        "setdefault" => {
            let (key, value) = (key()?, Some(value(arguments)?));
            let (ttl_ms, bind) = (arguments.field("ttl")?, arguments.field("bind")?);
            Verb::SetDefault(kv::SetDefaultRequest { fence: None, object, key, value, ttl_ms, bind })
        }
        "delete" | "pop" => {
            let key = key()?;
            Verb::Delete(kv::DeleteRequest { fence: None, object, key, condition: condition(arguments)? })
        }
        "contains" => Verb::Contains(kv::ContainsRequest { object, key: key()? }),
        "len" => Verb::Len(kv::LenRequest { object, prefix: arguments.text("prefix").unwrap_or_default() }),
        "keys" | "scan" => Verb::Scan(kv::ScanRequest {
            object,
            prefix: arguments.text("prefix").unwrap_or_default(),
            after: arguments.text("after").unwrap_or_default(),
            limit: arguments.field("limit")?,
            keys_only: verb == "keys",
        }),
        "clear" => Verb::Clear(kv::ClearRequest { fence: None, object, prefix: arguments.text("prefix").unwrap_or_default() }),
        "incr" => Verb::Incr(kv::IncrRequest { fence: None, object, key: key()?, by: arguments.number("what to add")? }),
        "expire" => Verb::Expire(kv::ExpireRequest { fence: None, object, key: key()?, ttl_ms: arguments.number("a ttl")? }),
        "persist" => Verb::Expire(kv::ExpireRequest { fence: None, object, key: key()?, ttl_ms: 0 }),
        "next" => Verb::Next(kv::NextRequest {
            object,
            wait_ms: arguments.wait()?.to_ms(),
            prefix: arguments.text("prefix").unwrap_or_default(),
            after: arguments.field("after")?,
            limit: arguments.field("limit")?,
        }),
        verb => return unknown(verb),
    })
}

fn value(arguments: &mut Arguments) -> Result<v1::Value, String> {
    let Payload(Raw { data, codec }) = arguments.payload()?;
    Ok(v1::Value { data, codec })
}

fn condition(arguments: &mut Arguments) -> Result<Option<kv::Condition>, String> {
    use kv::condition::Condition;
    let condition = match (arguments.optional("if_revision")?, arguments.text("if").as_deref()) {
        (None, None) => return Ok(None),
        (Some(revision), None) => Condition::Revision(revision),
        (None, Some("absent")) => Condition::Absent(true),
        (None, Some("present")) => Condition::Absent(false),
        (_, given) => return Err(format!("expected if_revision=N, if=absent or if=present, got if={given:?}")),
    };
    Ok(Some(kv::Condition { condition: Some(condition) }))
}

/// A refusal as an outcome.
pub fn fault(fault: &Fault) -> Outcome {
    let v1::Fault { name, fields, .. } = fault.into();
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    let show = |(key, value): (String, String)| {
        let is_bare = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
        (key, if is_bare { value } else { quote(&value) })
    };
    Part { fields: fields.into_iter().map(show).collect(), ..Part::of([snake]) }.into()
}

/// A reply as an outcome; `letter` knows sessions by their numbers.
pub fn outcome(verb: &str, reply: answer::Reply, letter: &dyn Fn(u64) -> String) -> Outcome {
    match reply {
        answer::Reply::Fault(wire) => fault(&wire.into()),
        answer::Reply::Registry(reply) => named(reply.verb.expect("a reply has a verb"), letter),
        answer::Reply::Queue(reply) => queue_outcome(reply.verb.expect("a reply has a verb")),
        answer::Reply::Kv(reply) => kv_outcome(verb, reply.verb.expect("a reply has a verb"), letter),
        other => served::outcome(other, letter),
    }
}

fn named(reply: registry::reply::Verb, letter: &dyn Fn(u64) -> String) -> Outcome {
    use registry::reply::Verb;
    match reply {
        Verb::Open(registry::OpenReply { epoch, created, options: _, ephemeral: _ }) => opened(created, epoch),
        Verb::List(reply) => Outcome::list(reply.objects.into_iter().map(described).collect()),
        Verb::Describe(reply) => described(reply.object.expect("a description has an object")).into(),
        Verb::Delete(registry::DeleteReply {}) => Outcome::word("ok"),
        Verb::Close(registry::CloseReply {}) => Outcome::word("ok"),
        Verb::Status(_) => Outcome::word("ok"),
        Verb::Waits(reply) => kinds::waits(&reply, letter),
    }
}

/// What opening an object is answered.
pub fn opened(created: bool, epoch: u64) -> Outcome {
    Part::of(["ok".into()]).with("created", created).with("epoch", epoch).named(epoch).into()
}

/// An object as it is described.
pub fn described(object: registry::Described) -> Part {
    use registry::options::Kind;
    let registry::Described { name, epoch, kind, options, ephemeral, created_ms: _, waiting, figures } = object;
    let part = Part::of([name]).with("kind", kind).with("epoch", epoch).with("ephemeral", ephemeral).with("waiting", waiting);
    let part = figures.into_iter().fold(part, |part, (figure, value)| part.with(&figure, value));
    match options {
        Some(registry::Options { kind: Some(Kind::Queue(options)) }) => {
            let queue::Options { maxsize, max_bytes, max_failures, max_crashes, retry_delay_ms, unique_window_ms } = options;
            part.with("maxsize", maxsize)
                .with("max_bytes", max_bytes)
                .with("max_failures", max_failures)
                .with("max_crashes", max_crashes)
                .with("retry_delay", retry_delay_ms)
                .with("unique_window", unique_window_ms)
        }
        Some(options) => kinds::described(part, &options),
        None => part,
    }
}

fn queue_outcome(reply: queue::reply::Verb) -> Outcome {
    use queue::reply::Verb;
    let ok = || Part::of(["ok".into()]);
    match reply {
        Verb::Put(queue::PutReply { ids, duplicates }) => match (&ids[..], &duplicates[..]) {
            ([id], []) => ok().with("id", id).into(),
            ([id], _) => fault(&Fault::Duplicate { id: *id }),
            _ => ok().with_list("ids", ids).with_list("duplicates", duplicates).into(),
        },
        Verb::Get(reply) => Outcome::list(reply.items.into_iter().map(leased).collect()),
        Verb::Start(queue::StartReply { not_held }) => ok().with_list("not_held", not_held).into(),
        Verb::Done(queue::DoneReply { not_held }) => ok().with_list("not_held", not_held).into(),
        Verb::Return(queue::ReturnReply { not_held, parked }) => {
            ok().with_list("not_held", not_held).with("parked", parked).into()
        }
        Verb::Park(queue::ParkReply { not_held, not_found }) => {
            ok().with_list("not_held", not_held).with_list("not_found", not_found).into()
        }
        Verb::Parked(reply) => Outcome::list(reply.items.into_iter().map(parked).collect()),
        Verb::Unpark(queue::UnparkReply { count }) => Outcome::word(count),
        Verb::Discard(queue::DiscardReply { count }) => Outcome::word(count),
        Verb::Join(queue::JoinReply {}) | Verb::Pause(queue::PauseReply {}) => ok().into(),
        Verb::Close(queue::CloseReply { dropped }) => ok().with("dropped", dropped).into(),
        Verb::Stats(reply) => stats(&reply).into(),
        Verb::Peek(reply) => Outcome::list(reply.items.into_iter().map(seen).collect()),
        Verb::Purge(queue::PurgeReply { count }) => Outcome::word(count),
        Verb::Cancel(reply) => {
            let outcome = reply.outcome().as_str_name().to_lowercase();
            Part::of([outcome]).with("lease", reply.lease).into()
        }
        Verb::Cancelling(queue::CancellingReply { leases, upto }) => ok().with_list("leases", leases).with("upto", upto).into(),
    }
}

/// `item ID PAYLOAD`.
fn item(id: u64, payload: Raw) -> Part {
    Part::of(["item".into(), id.to_string(), Payload(payload).to_string()])
}

/// With a field for every header.
fn with_headers(part: Part, headers: &HashMap<String, String>) -> Part {
    headers.iter().fold(part, |part, (key, value)| part.with(&format!("header.{key}"), quote(value)))
}

pub fn leased(leased: queue::Leased) -> Part {
    let queue::Leased { lease, id, attempt, data, codec, priority, headers, put_ms: _, failures, crashes } = leased;
    let part = item(id, Raw { data, codec }).with("attempt", attempt).with("lease", lease).with("priority", priority);
    with_headers(part, &headers).with("failures", failures).with("crashes", crashes).named(lease)
}

pub fn seen(seen: queue::Seen) -> Part {
    let queue::Seen { id, data, codec, priority, headers, put_ms: _, failures, crashes, unique_key } = seen;
    let unique_key = if unique_key.is_empty() { "none".into() } else { String::from_utf8_lossy(&unique_key) };
    let part = item(id, Raw { data, codec }).with("priority", priority).with("unique_key", unique_key);
    with_headers(part, &headers).with("failures", failures).with("crashes", crashes)
}

pub fn parked(parked: queue::ParkedItem) -> Part {
    let queue::ParkedItem { item, why, parked_ms: _, history } = parked;
    let history = history.into_iter().map(|event| event.what);
    seen(item.expect("a parked item is an item")).with("why", quote(&why)).with_list("history", history)
}

pub fn stats(stats: &queue::StatsReply) -> Part {
    let queue::StatsReply { ready, delayed, leased, parked, unfinished, bytes, oldest_ms, closed, paused, .. } = *stats;
    let queue::StatsReply { put, done, expired, dropped, failures, crashes, released, taken_back, .. } = *stats;
    let figures = [
        ("ready", ready),
        ("delayed", delayed),
        ("leased", leased),
        ("parked", parked),
        ("unfinished", unfinished),
        ("bytes", bytes),
        ("oldest", oldest_ms),
        ("put", put),
        ("done", done),
        ("expired", expired),
        ("dropped", dropped),
        ("failures", failures),
        ("crashes", crashes),
        ("released", released),
        ("taken_back", taken_back),
    ];
    let part = Part::of(["stats".into()]).with("closed", closed).with("paused", paused);
    figures.into_iter().fold(part, |part, (figure, value)| part.with(figure, value))
}

fn kv_outcome(verb: &str, reply: kv::reply::Verb, letter: &dyn Fn(u64) -> String) -> Outcome {
    use kv::reply::Verb;
    let held = |entry: Option<kv::Entry>| match entry {
        Some(entry) => held(entry, letter).into(),
        None => Outcome::word("none"),
    };
    match reply {
        Verb::Get(kv::GetReply { entry, .. }) if verb == "kv.touch" => Outcome::word(entry.is_some()),
        Verb::Get(kv::GetReply { entry, .. }) => held(entry),
        Verb::Put(kv::PutReply { revision, .. }) => Part::of(["ok".into()]).with("revision", revision).into(),
        Verb::SetDefault(kv::SetDefaultReply { entry, .. }) => held(entry),
        Verb::Delete(kv::DeleteReply { previous, .. }) if verb == "kv.delete" => Outcome::word(previous.is_some()),
        Verb::Delete(kv::DeleteReply { previous, .. }) => held(previous),
        Verb::Contains(kv::ContainsReply { contains }) => Outcome::word(contains),
        Verb::Len(kv::LenReply { len, .. }) => Outcome::word(len),
        Verb::Scan(reply) if verb == "kv.keys" => {
            Outcome::list(reply.entries.into_iter().map(|entry| Part::of([entry.key])).collect())
        }
        Verb::Scan(reply) => {
            let with_key = |entry: kv::Entry| {
                let key = entry.key.clone();
                let mut part = self::held(entry, letter);
                part.words.insert(0, key);
                part
            };
            Outcome::list(reply.entries.into_iter().map(with_key).collect())
        }
        Verb::Clear(kv::ClearReply { count, .. }) => Outcome::word(count),
        Verb::Incr(kv::IncrReply { value, .. }) => Outcome::word(value),
        Verb::Expire(kv::ExpireReply { found }) => Outcome::word(found),
        Verb::Next(kv::NextReply { events, upto, reset, synced: _ }) => {
            let head = if reset { Part::of(["reset".into()]) } else { Part::default() };
            let events = events.into_iter().map(event);
            Outcome { parts: [head.with("upto", upto)].into_iter().chain(events).collect() }
        }
    }
}

/// What a key holds.
pub fn held(entry: kv::Entry, letter: &dyn Fn(u64) -> String) -> Part {
    let kv::Entry { key: _, value, create_revision, modify_revision, ttl_left_ms, session } = entry;
    let v1::Value { data, codec } = value.unwrap_or_default();
    let or_none = |number: u64, text: String| if number == 0 { "none".to_owned() } else { text };
    Part::of([Payload::of(data, codec).to_string()])
        .with("create_revision", create_revision)
        .with("modify_revision", modify_revision)
        .with("ttl_left", or_none(ttl_left_ms, ttl_left_ms.to_string()))
        .with("session", or_none(session, letter(session)))
}

fn event(event: kv::Event) -> Part {
    let kv::Event { revision, key, entry, cause } = event;
    match entry.and_then(|entry| entry.value) {
        Some(v1::Value { data, codec }) => {
            let payload = Payload::of(data, codec);
            Part::of(["put".into(), key, payload.to_string()]).with("revision", revision)
        }
        None => Part::of(["delete".into(), key]).with("revision", revision).with("cause", cause),
    }
}
