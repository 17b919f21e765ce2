//! How the object looks on the wire. It and its parts are the only place that names generated types.

mod change;

use super::{
    Command, Counters, Described, Description, End, Failure, Given, Invocation, Link, Method, Object, Options, Outcome,
    Parameter, Reply, description::METHODS_MAX,
};
use crate::objects::{
    kind::{Damaged, SessionId, Wire},
    value::Value,
};
use bursar_proto::{
    Fault, Wait, limits,
    v1::{self, answer, object as pb, registry},
};
use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Whoever looks for the nearest name compares all letters of both.
const NAME_CHARS_MAX: usize = 100;
/// Parameters of one method, and arguments of one call.
const PARAMETERS_MAX: usize = 64;
/// Docs and all: it is kept in memory, and goes to whoever asks.
const DESCRIPTION_BYTES_MAX: usize = 256 << 10;
/// Calls at once of one provider. One that does more does not wait for any of them.
const CAPACITY_MAX: u32 = 65_536;
/// Calls of which each waits for the next. Who gets there calls itself.
const CHAIN_MAX: usize = 64;
/// As a name with its modules.
const TYPE_BYTES_MAX: usize = 200;
/// A message is for people.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
const MIB: u64 = 1 << 20;

impl Wire for Object {
    fn create(options: &registry::Options, epoch: u64) -> Result<Object, Fault> {
        let Some(registry::options::Kind::Object(options)) = &options.kind else {
            return Err(Fault::bad_argument("options", "expected the options of an object"));
        };
        let pb::Options { max_calls, max_bytes, max_calls_per_session, serial, ref kind } = *options;
        if !kind.is_empty() {
            return Err(Fault::bad_argument("kind", format!("an object that is served has none, got {kind:?}")));
        }
        let or = |given: u64, default: u64| if given == 0 { default } else { given };
        let options = Options {
            calls: or(max_calls, 50_000),
            bytes: or(max_bytes, 64 * MIB),
            calls_per_session: or(max_calls_per_session, 10_000),
            serial,
        };
        Ok(Object::new(options, epoch))
    }

    fn options(&self) -> registry::Options {
        let Options { calls, bytes, calls_per_session, serial } = self.options;
        let options = pb::Options {
            max_calls: calls,
            max_bytes: bytes,
            max_calls_per_session: calls_per_session,
            serial,
            kind: String::new(),
        };
        registry::Options { kind: Some(registry::options::Kind::Object(options)) }
    }

    fn command(command: bursar_proto::Command, payload_bytes_max: usize) -> Result<Command, Fault> {
        match command {
            bursar_proto::Command::Object(verb) => read(verb, payload_bytes_max),
            _ => Err(Fault::bad_argument("object", "expected a verb of object for an object of kind object")),
        }
    }

    fn reply(reply: Reply) -> answer::Reply {
        answer::Reply::Object(pb::Reply { verb: Some(write(reply)) })
    }

    fn holding(reply: answer::Reply) -> Option<Reply> {
        let answer::Reply::Object(pb::Reply { verb: Some(verb) }) = reply else { return None };
        match verb {
            pb::reply::Verb::Provide(pb::ProvideReply { provider }) => Some(Reply::Provide { provider }),
            pb::reply::Verb::Take(pb::TakeReply { provider, calls, cancelled }) => {
                Some(Reply::Take { provider, calls: calls.into_iter().map(taken_back).collect(), cancelled })
            }
            pb::reply::Verb::Invoke(pb::InvokeReply { outcome: Some(pb::invoke_reply::Outcome::Stream(call)) }) => {
                Some(Reply::Invoke(Outcome::Stream(call)))
            }
            pb::reply::Verb::Next(pb::NextReply { call, items, end }) => {
                let end = end.map(|end| match end {
                    pb::next_reply::End::Ended(pb::Ended {}) => End::Ended,
                    pb::next_reply::End::Failure(failure) => End::Failure(recall_failure(failure)),
                });
                Some(Reply::Next { call, items: recall_values(items), end })
            }
            _ => None,
        }
    }

    fn encode(change: &super::Change) -> Vec<u8> {
        change::encode(change).encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<super::Change, Damaged> {
        change::decode(pb::Change::decode(bytes)?)
    }
}

// What comes.

fn read(verb: pb::command::Verb, bytes_max: usize) -> Result<Command, Fault> {
    use pb::command::Verb;
    Ok(match verb {
        Verb::Provide(pb::ProvideRequest { object: _, description, capacity }) => {
            if capacity > CAPACITY_MAX {
                return Err(Fault::bad_argument("capacity", format!("expected at most {CAPACITY_MAX}, got {capacity}")));
            }
            let description = Arc::new(read_description(description)?);
            Command::Provide { description, capacity: u64::from(capacity.max(1)) }
        }
        Verb::Withdraw(pb::WithdrawRequest { object: _, provider }) => Command::Withdraw { provider },
        Verb::Take(pb::TakeRequest { object: _, wait_ms: _, provider, max, outcomes, only_cancelled }) => {
            let max = if only_cancelled { 0 } else { batch("max", (max as usize).max(1))? };
            match outcomes.len() {
                0 => Command::Take { provider, max },
                count => {
                    batch("outcomes", count)?;
                    Command::GiveAndTake { provider, ends: read_outcomes(outcomes, bytes_max)?, max }
                }
            }
        }
        Verb::Give(pb::GiveRequest { object: _, provider, outcomes }) => {
            batch("outcomes", outcomes.len())?;
            Command::Give { provider, ends: read_outcomes(outcomes, bytes_max)? }
        }
        Verb::Yield(pb::YieldRequest { object: _, wait_ms: _, provider, call, items }) => {
            batch("items", items.len())?;
            let items = items.into_iter().map(|item| Value::read(Some(item), bytes_max)).collect::<Result<_, _>>()?;
            Command::Yield { provider, call, items }
        }
        Verb::Invoke(request) => read_invoke(request, bytes_max)?,
        Verb::Next(pb::NextRequest { object: _, wait_ms: _, call, max }) => {
            Command::Next { call, max: batch("max", (max as usize).max(1))? }
        }
        Verb::Abandon(pb::AbandonRequest { object: _, call }) => Command::Abandon { call },
        Verb::Describe(pb::DescribeRequest { object: _ }) => Command::Describe,
    })
}

fn batch(argument: &str, count: usize) -> Result<usize, Fault> {
    match count {
        1..=limits::BATCH_MAX => Ok(count),
        _ => Err(Fault::bad_argument(argument, format!("expected 1 to {}, got {count}", limits::BATCH_MAX))),
    }
}

fn at_most(argument: &str, count: usize, max: usize) -> Result<(), Fault> {
    match count <= max {
        true => Ok(()),
        false => Err(Fault::bad_argument(argument, format!("expected at most {max}, got {count}"))),
    }
}

fn read_outcomes(outcomes: Vec<pb::Outcome>, bytes_max: usize) -> Result<Vec<(u64, Option<End>)>, Fault> {
    outcomes.into_iter().map(|outcome| read_outcome(outcome, bytes_max)).collect()
}

/// A result that is too large is known to the caller as such: the call is over either way.
fn read_outcome(pb::Outcome { call, outcome }: pb::Outcome, bytes_max: usize) -> Result<(u64, Option<End>), Fault> {
    use pb::outcome::Outcome as Given;
    let too_large = |size: u64| End::Fault(Fault::ResultTooLarge { size, limit: bytes_max as u64 });
    let end = match outcome {
        Some(Given::Result(value)) if value.data.len() > bytes_max => too_large(value.data.len() as u64),
        Some(Given::Result(value)) => End::Result(Value::read(Some(value), bytes_max)?),
        Some(Given::Failure(pb::Failure { value: Some(value), .. })) if value.data.len() > bytes_max => {
            too_large(value.data.len() as u64)
        }
        Some(Given::Failure(failure)) => End::Failure(read_failure(failure, bytes_max)?),
        Some(Given::Ended(pb::Ended {})) => End::Ended,
        Some(Given::NotBegun(pb::NotBegun {})) => return Ok((call, None)),
        Some(Given::TooLarge(pb::TooLarge { size })) => too_large(size),
        None => {
            let problem = format!("expected a result, a failure or an end of call {call}, got none");
            return Err(Fault::bad_argument("outcomes", problem));
        }
    };
    Ok((call, Some(end)))
}

/// Fault: TooLarge.
pub(crate) fn read_failure(pb::Failure { r#type, message, value }: pb::Failure, bytes_max: usize) -> Result<Failure, Fault> {
    let value = value.map(|value| Value::read(Some(value), bytes_max)).transpose()?;
    Ok(Failure { r#type: cut(r#type, TYPE_BYTES_MAX), message: cut(message, MESSAGE_BYTES_MAX), value })
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn read_invoke(request: pb::InvokeRequest, bytes_max: usize) -> Result<Command, Fault> {
    let pb::InvokeRequest { object, wait_ms, method, arguments, wait_for_provider, chain } = request;
    at_most("arguments", arguments.len(), PARAMETERS_MAX)?;
    at_most("chain", chain.len(), CHAIN_MAX)?;
    check_length("method", &method)?;
    let arguments = arguments.into_iter().map(|argument| read_argument(argument, bytes_max)).collect::<Result<Vec<_>, _>>()?;
    let mut names = BTreeSet::new();
    if let Some((twice, _)) = arguments.iter().find(|(name, _)| !names.insert(name.as_str())) {
        return Err(Fault::bad_argument("arguments", format!("expected each once, got {twice} twice")));
    }
    let invocation = Arc::new(Invocation {
        object: object.unwrap_or_default().name.into(),
        method: method.into(),
        arguments,
        chain: chain.into_iter().map(read_link).collect::<Result<_, _>>()?,
        waits_for_provider: wait_for_provider,
    });
    let wait_ms = match Wait::from_ms(wait_ms)? {
        Wait::Never => Some(0),
        Wait::For(duration) => Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        Wait::Forever => None,
    };
    Ok(Command::Invoke { invocation, wait_ms })
}

fn read_argument(pb::Argument { name, value }: pb::Argument, bytes_max: usize) -> Result<(String, Value), Fault> {
    check_length("arguments", &name)?;
    match Value::read(value, bytes_max) {
        Ok(value) => Ok((name, value)),
        Err(Fault::TooLarge { size, limit, .. }) => Err(Fault::TooLarge { what: format!("argument {name}"), size, limit }),
        Err(_) => Err(Fault::bad_argument("arguments", format!("expected a value of {name}, got none"))),
    }
}

fn read_link(link: pb::Link) -> Result<Link, Fault> {
    at_most("chain", link.object.len(), limits::NAME_BYTES_MAX)?;
    check_length("chain", &link.method)?;
    Ok(recall_link(link))
}

fn recall_link(pb::Link { object, epoch, call, method }: pb::Link) -> Link {
    Link { object: object.into(), epoch, call, method: method.into() }
}

fn check_length(argument: &str, name: &str) -> Result<(), Fault> {
    match name.chars().count() {
        1..=NAME_CHARS_MAX => Ok(()),
        count => Err(Fault::bad_argument(argument, format!("expected a name of 1 to {NAME_CHARS_MAX} characters, got {count}"))),
    }
}

/// A name that every language can have.
fn check_name(name: &str) -> Result<(), Fault> {
    check_length("description", name)?;
    let is_letter = |letter: char| letter == '_' || letter.is_ascii_alphabetic();
    match name.starts_with(is_letter) && name.chars().all(|letter| is_letter(letter) || letter.is_ascii_digit()) {
        true => Ok(()),
        false => {
            let problem = format!("expected names of ASCII letters, digits and _, without a digit in front, got {name:?}");
            Err(Fault::bad_argument("description", problem))
        }
    }
}

/// As a provider says it. Faults: BadArgument, TooLarge.
pub(crate) fn read_description(description: Option<pb::Description>) -> Result<Description, Fault> {
    let missing = || Fault::bad_argument("description", "expected what the provider serves, got nothing");
    let description = description.ok_or_else(missing)?;
    let size = description.encoded_len();
    if size > DESCRIPTION_BYTES_MAX {
        let (size, limit) = (size as u64, DESCRIPTION_BYTES_MAX as u64);
        return Err(Fault::TooLarge { what: "the description".into(), size, limit });
    }
    at_most("description", description.methods.len(), METHODS_MAX)?;
    let mut names = BTreeSet::new();
    for method in &description.methods {
        check_name(&method.name)?;
        at_most("description", method.parameters.len(), PARAMETERS_MAX)?;
        if !names.insert(method.name.as_str()) {
            return Err(Fault::bad_argument("description", format!("expected each method once, got {} twice", method.name)));
        }
        let mut names = BTreeSet::new();
        for pb::Parameter { name, .. } in &method.parameters {
            check_name(name)?;
            if !names.insert(name) {
                let problem = format!("expected each parameter once, got {name} of {} twice", method.name);
                return Err(Fault::bad_argument("description", problem));
            }
        }
    }
    Ok(recall_description(description))
}

fn recall_description(pb::Description { doc, methods }: pb::Description) -> Description {
    let method = |method: pb::Method| {
        let pb::Method { name, doc, parameters, result, error, stream, idempotent, serial } = method;
        let parameters = parameters.into_iter().map(recall_parameter).collect();
        (Arc::from(name), Arc::new(Method { doc, parameters, result, error, stream, idempotent, serial }))
    };
    Description { doc, methods: methods.into_iter().map(method).collect::<BTreeMap<_, _>>() }
}

fn recall_parameter(pb::Parameter { name, r#type, optional, default, doc }: pb::Parameter) -> Parameter {
    Parameter { name, r#type, optional, default, doc }
}

/// A call that did not arrive: only its number matters.
fn taken_back(given: pb::Given) -> Given {
    let pb::Given { call, method, session, again, stream, arguments: _, left_ms: _, chain: _ } = given;
    let invocation = Invocation {
        object: Arc::default(),
        method: method.into(),
        arguments: Vec::new(),
        chain: Vec::new(),
        waits_for_provider: false,
    };
    Given { call, epoch: 0, invocation: Arc::new(invocation), session: SessionId(session), left_ms: None, again, stream }
}

/// It was one of this broker: nothing is checked again.
fn recall_value(v1::Value { data, codec }: v1::Value) -> Value {
    Value { data, codec }
}

fn recall_values(values: Vec<v1::Value>) -> Vec<Value> {
    values.into_iter().map(recall_value).collect()
}

fn recall_failure(pb::Failure { r#type, message, value }: pb::Failure) -> Failure {
    Failure { r#type, message, value: value.map(recall_value) }
}

// What goes.

fn write(reply: Reply) -> pb::reply::Verb {
    use pb::reply::Verb;
    match reply {
        Reply::Provide { provider } => Verb::Provide(pb::ProvideReply { provider }),
        Reply::Withdraw => Verb::Withdraw(pb::WithdrawReply {}),
        Reply::Take { provider, calls, cancelled } => {
            Verb::Take(pb::TakeReply { provider, calls: calls.into_iter().map(given).collect(), cancelled })
        }
        Reply::Give { unwanted } => Verb::Give(pb::GiveReply { unwanted }),
        Reply::Yield { taken } => Verb::Yield(pb::YieldReply { taken: taken as u32 }),
        Reply::Invoke(outcome) => Verb::Invoke(pb::InvokeReply { outcome: Some(write_outcome(outcome)) }),
        Reply::Next { call, items, end } => {
            Verb::Next(pb::NextReply { call, items: write_values(&items), end: end.and_then(write_end) })
        }
        Reply::Abandon => Verb::Abandon(pb::AbandonReply {}),
        Reply::Describe(described) => Verb::Describe(write_described(described)),
    }
}

fn given(given: Given) -> pb::Given {
    let Given { call, epoch, invocation, session, left_ms, again, stream } = given;
    let Invocation { object, method, arguments, chain, waits_for_provider: _ } = &*invocation;
    let own = Link { object: object.clone(), epoch, call, method: method.clone() };
    pb::Given {
        call,
        method: method.to_string(),
        arguments: arguments.iter().map(write_argument).collect(),
        session: session.0,
        left_ms: left_ms.map_or(-1, |left| i64::try_from(left).unwrap_or(i64::MAX)),
        chain: chain.iter().chain([&own]).map(write_link).collect(),
        again,
        stream,
    }
}

fn write_values(values: &[Value]) -> Vec<v1::Value> {
    values.iter().cloned().map(v1::Value::from).collect()
}

fn write_argument((name, value): &(String, Value)) -> pb::Argument {
    pb::Argument { name: name.clone(), value: Some(value.clone().into()) }
}

fn write_link(Link { object, epoch, call, method }: &Link) -> pb::Link {
    pb::Link { object: object.to_string(), epoch: *epoch, call: *call, method: method.to_string() }
}

fn write_outcome(outcome: Outcome) -> pb::invoke_reply::Outcome {
    use pb::invoke_reply::Outcome as Written;
    match outcome {
        Outcome::Result(value) => Written::Result(value.into()),
        Outcome::Failure(failure) => Written::Failure(write_failure(failure)),
        Outcome::Stream(call) => Written::Stream(call),
    }
}

fn write_failure(Failure { r#type, message, value }: Failure) -> pb::Failure {
    pb::Failure { r#type, message, value: value.map(v1::Value::from) }
}

/// Of a stream; it never ends in a result, and a fault is no reply.
fn write_end(end: End) -> Option<pb::next_reply::End> {
    match end {
        End::Ended => Some(pb::next_reply::End::Ended(pb::Ended {})),
        End::Failure(failure) => Some(pb::next_reply::End::Failure(write_failure(failure))),
        End::Result(_) | End::Fault(_) => None,
    }
}

fn write_described(described: Described) -> pb::DescribeReply {
    let Described { description, providers, capacity, waiting, running, calls, counters } = described;
    let Counters { given_again, gone } = counters;
    let description = description.as_deref().map(write_description);
    pb::DescribeReply { description, providers, capacity, waiting, running, calls, given_again, gone }
}

fn write_description(Description { doc, methods }: &Description) -> pb::Description {
    let methods = methods.iter().map(|(name, method)| write_method(name, method)).collect();
    pb::Description { doc: doc.clone(), methods }
}

fn write_method(name: &str, method: &Method) -> pb::Method {
    let Method { doc, parameters, result, error, stream, idempotent, serial } = method;
    pb::Method {
        name: name.to_owned(),
        doc: doc.clone(),
        parameters: parameters.iter().map(write_parameter).collect(),
        result: result.clone(),
        error: error.clone(),
        stream: *stream,
        idempotent: *idempotent,
        serial: *serial,
    }
}

fn write_parameter(Parameter { name, r#type, optional, default, doc }: &Parameter) -> pb::Parameter {
    pb::Parameter { name: name.clone(), r#type: r#type.clone(), optional: *optional, default: default.clone(), doc: doc.clone() }
}
