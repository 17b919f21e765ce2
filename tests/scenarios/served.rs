//! Objects that other processes serve, in the words of the contract.

use super::{
    arguments::{Arguments, Payload},
    script::{Outcome, Part, quote},
    talks,
};
use bursar::Raw;
use bursar_proto::v1::{ObjectRef, Value, answer, call::Command, object as pb, registry::options::Kind};

/// The options that a script gives; `None`: another kind.
pub fn options(kind: &str, arguments: &mut Arguments) -> Result<Option<Kind>, String> {
    if kind != "object" {
        return talks::options(kind, arguments);
    }
    Ok(Some(Kind::Object(pb::Options {
        max_calls: arguments.field("max_calls")?,
        max_bytes: arguments.field("max_bytes")?,
        max_calls_per_session: arguments.field("max_calls_per_session")?,
        serial: arguments.field("serial")?,
        kind: arguments.text("kind").unwrap_or_default(),
    })))
}

/// A call; `None`: there is no such kind or verb.
pub fn command(kind: &str, verb: &str, object: Option<ObjectRef>, arguments: &mut Arguments) -> Result<Option<Command>, String> {
    if kind != "object" {
        return talks::command(kind, verb, object, arguments);
    }
    let verb = self::verb(verb, object, arguments)?;
    Ok(verb.map(|verb| Command::Object(pb::Command { verb: Some(verb) })))
}

fn verb(verb: &str, object: Option<ObjectRef>, arguments: &mut Arguments) -> Result<Option<pb::command::Verb>, String> {
    use pb::command::Verb;
    Ok(Some(match verb {
        "provide" => {
            let methods = arguments.words("a method")?.iter().map(|word| method(word)).collect();
            let description = Some(pb::Description { doc: String::new(), methods });
            Verb::Provide(pb::ProvideRequest { object, description, capacity: arguments.field("capacity")? })
        }
        "withdraw" => Verb::Withdraw(pb::WithdrawRequest { object, provider: arguments.number("a provider")? }),
        "take" => {
            let (provider, wait_ms) = (arguments.number("a provider")?, arguments.wait()?.to_ms());
            let outcomes = match arguments.field::<u64>("gives")? {
                0 => Vec::new(),
                call => vec![pb::Outcome { call, outcome: end(arguments)? }],
            };
            Verb::Take(pb::TakeRequest {
                object,
                wait_ms,
                provider,
                max: arguments.field("max")?,
                outcomes,
                only_cancelled: false,
            })
        }
        "give" => {
            let (provider, call) = (arguments.number("a provider")?, arguments.number("a call")?);
            let outcomes = vec![pb::Outcome { call, outcome: end(arguments)? }];
            Verb::Give(pb::GiveRequest { object, provider, outcomes })
        }
        "yield" => {
            let (provider, call) = (arguments.number("a provider")?, arguments.number("a call")?);
            let wait_ms = arguments.wait()?.to_ms();
            let items = arguments.payloads()?.into_iter().map(value).collect();
            Verb::Yield(pb::YieldRequest { object, wait_ms, provider, call, items })
        }
        "invoke" => invoke(object, arguments)?,
        "next" => {
            let (call, wait_ms) = (arguments.number("a stream")?, arguments.wait()?.to_ms());
            Verb::Next(pb::NextRequest { object, wait_ms, call, max: arguments.field("max")? })
        }
        "abandon" => Verb::Abandon(pb::AbandonRequest { object, call: arguments.number("a stream")? }),
        "describe" => Verb::Describe(pb::DescribeRequest { object }),
        _ => return Ok(None),
    }))
}

/// `NAME(PARAMETER,PARAMETER?).MARK`.
fn method(word: &str) -> pb::Method {
    let (signature, marks) = word.split_once('.').unwrap_or((word, ""));
    let (name, parameters) = signature.split_once('(').unwrap_or((signature, ""));
    let parameters = parameters.trim_end_matches(')').split(',').filter(|name| !name.is_empty());
    let parameter = |name: &str| pb::Parameter {
        name: name.trim_end_matches('?').to_owned(),
        r#type: "any".into(),
        optional: name.ends_with('?'),
        ..Default::default()
    };
    let has = |mark: &str| marks.split('.').any(|other| other == mark);
    pb::Method {
        name: name.to_owned(),
        parameters: parameters.map(parameter).collect(),
        stream: has("stream"),
        idempotent: has("idempotent"),
        serial: has("serial"),
        ..Default::default()
    }
}

/// PAYLOAD, or `failure=TYPE "message"`, `ended=true`, `not_begun=true`.
fn end(arguments: &mut Arguments) -> Result<Option<pb::outcome::Outcome>, String> {
    use pb::outcome::Outcome as End;
    if let Some(r#type) = arguments.text("failure") {
        let message = arguments.word("a message")?;
        return Ok(Some(End::Failure(pb::Failure { r#type, message, value: None })));
    }
    Ok(match (arguments.field("ended")?, arguments.field("not_begun")?) {
        (true, _) => Some(End::Ended(pb::Ended {})),
        (_, true) => Some(End::NotBegun(pb::NotBegun {})),
        _ if arguments.has_words() => Some(End::Result(value(arguments.payload()?))),
        _ => None,
    })
}

fn invoke(object: Option<ObjectRef>, arguments: &mut Arguments) -> Result<pb::command::Verb, String> {
    let (method, wait_ms) = (arguments.word("a method")?, arguments.wait()?.to_ms());
    let given = arguments.payloads_named("arg.")?.into_iter();
    let given = given.map(|(name, payload)| pb::Argument { name, value: Some(value(payload)) }).collect();
    let own = object.clone().unwrap_or_default();
    let link = |call| pb::Link { object: own.name.clone(), epoch: own.epoch, call, method: "m".into() };
    let chain = arguments.list("under")?.into_iter().map(link).collect();
    let wait_for_provider = arguments.field("patient")?;
    Ok(pb::command::Verb::Invoke(pb::InvokeRequest { object, wait_ms, method, arguments: given, wait_for_provider, chain }))
}

fn value(Payload(Raw { data, codec }): Payload) -> Value {
    Value { data, codec }
}

fn shown(value: Option<Value>) -> String {
    let Value { data, codec } = value.unwrap_or_default();
    Payload::of(data, codec).to_string()
}

fn ok() -> Part {
    Part::of(["ok".into()])
}

/// A reply of an object, or of another kind.
pub fn outcome(reply: answer::Reply, letter: &dyn Fn(u64) -> String) -> Outcome {
    use pb::reply::Verb;
    let answer::Reply::Object(reply) = reply else { return talks::outcome(reply, letter) };
    match reply.verb.expect("a reply has a verb") {
        Verb::Provide(pb::ProvideReply { provider }) => ok().with("provider", provider).named(provider).into(),
        Verb::Take(pb::TakeReply { provider: _, calls, cancelled }) => {
            let cancelled = cancelled.into_iter().map(|call| Part::of(["cancelled".into(), call.to_string()]));
            Outcome::list(calls.into_iter().map(|call| given(call, letter)).chain(cancelled).collect())
        }
        Verb::Give(pb::GiveReply { unwanted }) => ok().with_list("unwanted", unwanted).into(),
        Verb::Yield(pb::YieldReply { taken }) => ok().with("taken", taken).into(),
        Verb::Invoke(pb::InvokeReply { outcome }) => match outcome.expect("a call has an outcome") {
            pb::invoke_reply::Outcome::Result(value) => Part::of([shown(Some(value))]).into(),
            pb::invoke_reply::Outcome::Failure(failure) => failed(failure).into(),
            pb::invoke_reply::Outcome::Stream(call) => Part::of(["stream".into()]).named(call).into(),
        },
        Verb::Next(pb::NextReply { call: _, items, end }) => {
            let end = end.map(|end| match end {
                pb::next_reply::End::Ended(pb::Ended {}) => Part::of(["ended".into()]),
                pb::next_reply::End::Failure(failure) => failed(failure),
            });
            Outcome::list(items.into_iter().map(|item| Part::of([shown(Some(item))])).chain(end).collect())
        }
        Verb::Describe(described) => self::described(described),
        Verb::Withdraw(_) | Verb::Abandon(_) => ok().into(),
    }
}

fn given(given: pb::Given, letter: &dyn Fn(u64) -> String) -> Part {
    let pb::Given { call, method, arguments, session, left_ms, chain, again, stream } = given;
    let part = Part::of(["call".into(), method]);
    let part =
        arguments.into_iter().fold(part, |part, pb::Argument { name, value }| part.with(&format!("arg.{name}"), shown(value)));
    part.with("call", call)
        .with("session", letter(session))
        .with("left", if left_ms < 0 { "none".to_owned() } else { left_ms.to_string() })
        .with("chain", chain.len())
        .with("again", again)
        .with("stream", stream)
        .named(call)
}

fn failed(pb::Failure { r#type, message, value: _ }: pb::Failure) -> Part {
    Part::of(["failure".into(), r#type, quote(&message)])
}

fn described(described: pb::DescribeReply) -> Outcome {
    let pb::DescribeReply { description, providers, capacity, waiting, running, calls, given_again, gone } = described;
    let part = Part::of(["object".into()])
        .with("providers", providers)
        .with("capacity", capacity)
        .with("waiting", waiting)
        .with("running", running)
        .with("calls", calls)
        .with("given_again", given_again)
        .with("gone", gone);
    let methods = description.unwrap_or_default().methods.into_iter().map(|method| Part::of([method.name]));
    Outcome { parts: [part].into_iter().chain(methods).collect() }
}

/// Replies that gave this call to this provider, or this item to the caller of this stream.
pub fn replies_that_give(call: u64) -> Vec<answer::Reply> {
    // As the scenarios have it, one of the first providers.
    let mut replies: Vec<_> = (1..4)
        .map(|provider| {
            let calls = vec![pb::Given { call, ..Default::default() }];
            let verb = pb::reply::Verb::Take(pb::TakeReply { provider, calls, cancelled: vec![] });
            answer::Reply::Object(pb::Reply { verb: Some(verb) })
        })
        .collect();
    replies.extend(talks::replies_that_give(call));
    replies
}
