//! Channels and topics in the words of the contract: options and calls as messages, replies as outcomes.

use super::{
    arguments::{Arguments, Payload},
    kinds,
    script::{Outcome, Part, quote},
};
use bursar::Raw;
use bursar_proto::v1::{
    AnswerTo, Match, ObjectRef, ReplyTo, Value, answer, call::Command, channel, registry::options::Kind, topic,
};
use std::collections::HashMap;

type Object = Option<ObjectRef>;

/// The options that a script gives; `None`: no such kind.
pub fn options(kind: &str, arguments: &mut Arguments) -> Result<Option<Kind>, String> {
    Ok(Some(match kind {
        "channel" => Kind::Channel(channel::Options {
            max_messages: arguments.field("max_messages")?,
            max_bytes: arguments.field("max_bytes")?,
        }),
        "topic" => Kind::Topic(topic::Options {
            overload: overload(arguments)?,
            buffer_messages: arguments.field("buffer_messages")?,
            buffer_bytes: arguments.field("buffer_bytes")?,
            keep_messages: arguments.field("keep_messages")?,
            keep_bytes: arguments.field("keep_bytes")?,
        }),
        _ => return Ok(None),
    }))
}

fn overload(arguments: &mut Arguments) -> Result<i32, String> {
    let name = arguments.text("overload").unwrap_or_default();
    match topic::Overload::from_str_name(&name.to_uppercase()) {
        Some(known) => Ok(known.into()),
        None if name.is_empty() => Ok(0),
        None => name.parse().map_err(|_| format!("overload: expected block, drop_oldest, ... or a number, got {name:?}")),
    }
}

/// A call of one of these kinds; `None`: there is no such kind or verb.
pub fn command(kind: &str, verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<Command>, String> {
    Ok(match kind {
        "channel" => channel_verb(verb, object, arguments)?.map(|verb| Command::Channel(channel::Command { verb: Some(verb) })),
        "topic" => topic_verb(verb, object, arguments)?.map(|verb| Command::Topic(topic::Command { verb: Some(verb) })),
        _ => None,
    })
}

fn channel_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<channel::command::Verb>, String> {
    use channel::command::Verb;
    Ok(Some(match verb {
        "attach" => {
            let end = end(arguments)?;
            let mode = match &*arguments.word("active, passive or inbox")? {
                "active" => channel::Mode::Active.into(),
                "passive" => channel::Mode::Passive.into(),
                "inbox" => channel::Mode::Inbox.into(),
                other => other.parse().map_err(|_| format!("expected active, passive, inbox or a number, got {other:?}"))?,
            };
            Verb::Attach(channel::AttachRequest { object, end, mode, r#match: wanted(arguments) })
        }
        "detach" => {
            let receiver = arguments.number("a receiver")?;
            Verb::Detach(channel::DetachRequest { object, receiver, done: arguments.list("done")? })
        }
        "send" => {
            let (from, wait_ms, must_be_heard) = (end(arguments)?, arguments.wait()?.to_ms(), arguments.field("heard")?);
            let (headers, answer_to) = (headers(arguments), answer_to(arguments)?);
            let reply_to = if answer_to.is_some() { None } else { reply_to(arguments)? };
            let message = |value| channel::Message { value: Some(value), headers: headers.clone(), reply_to, answer_to };
            let messages = values(arguments)?.into_iter().map(message).collect();
            Verb::Send(channel::SendRequest { object, wait_ms, from, messages, must_be_heard })
        }
        "receive" => {
            let (receiver, wait_ms) = (arguments.number("a receiver")?, arguments.wait()?.to_ms());
            let (max, done) = (arguments.field("max")?, arguments.list("done")?);
            Verb::Receive(channel::ReceiveRequest { object, wait_ms, receiver, max, done })
        }
        "done" => {
            let receiver = arguments.number("a receiver")?;
            Verb::Done(channel::DoneRequest { object, receiver, positions: arguments.list("positions")? })
        }
        "close" => Verb::Close(channel::CloseRequest { object, end: end(arguments)? }),
        "stats" => Verb::Stats(channel::StatsRequest { object }),
        _ => return Ok(None),
    }))
}

fn end(arguments: &mut Arguments) -> Result<i32, String> {
    Ok(match &*arguments.word("an end")? {
        "a" => channel::End::A.into(),
        "b" => channel::End::B.into(),
        other => other.parse().map_err(|_| format!("expected a, b or a number, got {other:?}"))?,
    })
}

fn topic_verb(verb: &str, object: Object, arguments: &mut Arguments) -> Result<Option<topic::command::Verb>, String> {
    use topic::{command::Verb, subscribe_request::Replay};
    Ok(Some(match verb {
        "publish" => {
            let (subject, wait_ms) = (arguments.word("a subject")?, arguments.wait()?.to_ms());
            let (must_be_heard, headers, reply_to) = (arguments.field("heard")?, headers(arguments), reply_to(arguments)?);
            let message =
                |value| topic::Message { subject: subject.clone(), value: Some(value), headers: headers.clone(), reply_to };
            let messages = values(arguments)?.into_iter().map(message).collect();
            Verb::Publish(topic::PublishRequest { object, wait_ms, messages, must_be_heard })
        }
        "answer" => {
            let (inbox, correlation) = (arguments.number("an inbox")?, arguments.number("a correlation")?);
            let to = Some(AnswerTo { inbox, correlation, last: arguments.field("last")? });
            let (wait_ms, headers) = (arguments.wait()?.to_ms(), headers(arguments));
            Verb::Answer(topic::AnswerRequest { object, wait_ms, to, value: values(arguments)?.pop(), headers })
        }
        "subscribe" => {
            let replay = match (arguments.optional("last")?, arguments.optional("after")?) {
                (Some(last), None) => Some(Replay::Last(last)),
                (None, Some(after)) => Some(Replay::After(after)),
                (None, None) => None,
                _ => return Err("expected last= or after=, not both".into()),
            };
            let subjects = arguments.text("subjects").unwrap_or_default();
            Verb::Subscribe(topic::SubscribeRequest {
                object,
                subjects: subjects.split(',').filter(|subject| !subject.is_empty()).map(str::to_owned).collect(),
                r#match: wanted(arguments),
                group: arguments.text("group").unwrap_or_default(),
                inbox: arguments.field("inbox")?,
                replay,
            })
        }
        "unsubscribe" => {
            let subscription = arguments.number("a subscription")?;
            Verb::Unsubscribe(topic::UnsubscribeRequest { object, subscription, done: arguments.list("done")? })
        }
        "next" => {
            let (subscription, wait_ms) = (arguments.number("a subscription")?, arguments.wait()?.to_ms());
            let (max, done) = (arguments.field("max")?, arguments.list("done")?);
            Verb::Next(topic::NextRequest { object, wait_ms, subscription, max, done })
        }
        "done" => {
            let subscription = arguments.number("a subscription")?;
            Verb::Done(topic::DoneRequest { object, subscription, positions: arguments.list("positions")? })
        }
        "delete_group" => Verb::DeleteGroup(topic::DeleteGroupRequest { object, group: arguments.word("a group")? }),
        "stats" => Verb::Stats(topic::StatsRequest { object }),
        _ => return Ok(None),
    }))
}

fn wanted(arguments: &mut Arguments) -> Option<Match> {
    let headers = headers(arguments);
    (!headers.is_empty()).then_some(Match { headers })
}

fn headers(arguments: &mut Arguments) -> HashMap<String, String> {
    arguments.headers().into_iter().collect()
}

/// `inbox=RECEIVER correlation=N`.
fn reply_to(arguments: &mut Arguments) -> Result<Option<ReplyTo>, String> {
    let Some(inbox) = arguments.optional("inbox")? else { return Ok(None) };
    Ok(Some(ReplyTo { inbox, correlation: arguments.field("correlation")? }))
}

/// `answers=RECEIVER correlation=N last=true`.
fn answer_to(arguments: &mut Arguments) -> Result<Option<AnswerTo>, String> {
    let Some(inbox) = arguments.optional("answers")? else { return Ok(None) };
    Ok(Some(AnswerTo { inbox, correlation: arguments.field("correlation")?, last: arguments.field("last")? }))
}

fn values(arguments: &mut Arguments) -> Result<Vec<Value>, String> {
    let value = |Payload(Raw { data, codec })| Value { data, codec };
    Ok(if arguments.has_words() { arguments.payloads()?.into_iter().map(value).collect() } else { vec![] })
}

fn ok() -> Part {
    Part::of(["ok".into()])
}

/// A reply of one of these kinds, or of one that holds or counts.
pub fn outcome(reply: answer::Reply, letter: &dyn Fn(u64) -> String) -> Outcome {
    const VERB: &str = "a reply has a verb";
    match reply {
        answer::Reply::Channel(reply) => channel_outcome(reply.verb.expect(VERB)),
        answer::Reply::Topic(reply) => topic_outcome(reply.verb.expect(VERB), letter),
        other => kinds::outcome(other),
    }
}

fn channel_outcome(reply: channel::reply::Verb) -> Outcome {
    use channel::reply::Verb;
    match reply {
        Verb::Attach(channel::AttachReply { receiver }) => ok().with("receiver", receiver).named(receiver).into(),
        Verb::Send(channel::SendReply { positions }) => ok().with_list("positions", positions).into(),
        Verb::Receive(channel::ReceiveReply { messages, receiver: _ }) => {
            Outcome::list(messages.into_iter().map(received).collect())
        }
        Verb::Close(channel::CloseReply { changed, dropped }) => ok().with("changed", changed).with("dropped", dropped).into(),
        Verb::Stats(channel::StatsReply { a, b }) => {
            let end = |name: &str, stats: Option<channel::EndStats>| {
                let stats = stats.expect("both ends have figures");
                let part = Part::of([name.to_owned()]).with("closed", stats.closed);
                let figures = [
                    ("waiting", stats.waiting),
                    ("given", stats.given),
                    ("bytes", stats.bytes),
                    ("active", stats.active),
                    ("passive", stats.passive),
                    ("received", stats.received),
                    ("redelivered", stats.redelivered),
                ];
                figures.into_iter().fold(part, |part, (figure, value)| part.with(figure, value))
            };
            Outcome::list(vec![end("a", a), end("b", b)])
        }
        Verb::Detach(_) | Verb::Done(_) => ok().into(),
    }
}

/// Replies that gave this position to this receiver, or subscription.
pub fn replies_that_give(position: u64) -> Vec<answer::Reply> {
    // As the scenarios have it, the first receiver of its end.
    (1..4)
        .map(|receiver| {
            let messages = vec![channel::Delivered { position, ..Default::default() }];
            let verb = channel::reply::Verb::Receive(channel::ReceiveReply { messages, receiver });
            answer::Reply::Channel(channel::Reply { verb: Some(verb) })
        })
        .collect()
}

fn received(message: channel::Delivered) -> Part {
    let channel::Delivered { position, value, headers, sent_ms: _, session: _, redelivered, reply_to, answer_to } = message;
    let part = said(value, &headers, reply_to, answer_to).with("position", position);
    part.with("redelivered", redelivered).named(position)
}

/// `PAYLOAD header.NAME= inbox= correlation= answers= last=`.
fn said(value: Option<Value>, headers: &HashMap<String, String>, reply_to: Option<ReplyTo>, answer_to: Option<AnswerTo>) -> Part {
    let Value { data, codec } = value.unwrap_or_default();
    let part = Part::of([Payload::of(data, codec).to_string()]);
    let part = headers.iter().fold(part, |part, (key, value)| part.with(&format!("header.{key}"), quote(value)));
    let part = match reply_to {
        Some(ReplyTo { inbox, correlation }) => part.with("inbox", inbox).with("correlation", correlation),
        None => part,
    };
    match answer_to {
        Some(AnswerTo { inbox, correlation, last }) => {
            part.with("answers", inbox).with("correlation", correlation).with("last", last)
        }
        None => part,
    }
}

fn topic_outcome(reply: topic::reply::Verb, letter: &dyn Fn(u64) -> String) -> Outcome {
    use topic::reply::Verb;
    match reply {
        Verb::Publish(topic::PublishReply { position, taken, receivers }) => {
            ok().with("position", position).with("taken", taken).with("receivers", receivers).into()
        }
        Verb::Subscribe(topic::SubscribeReply { subscription, position }) => {
            ok().with("subscription", subscription).with("position", position).named(subscription).into()
        }
        Verb::Next(reply) => {
            let missed = reply.missed;
            let messages = reply.delivered().map(|message| message.expect("a message can be read"));
            let behind = (missed > 0).then(|| Part::default().with("missed", missed));
            Outcome::list(messages.map(|message| published(message, letter)).chain(behind).collect())
        }
        Verb::DeleteGroup(topic::DeleteGroupReply { found }) => ok().with("found", found).into(),
        Verb::Stats(stats) => {
            let part = Part::of(["stats".into()])
                .with("position", stats.position)
                .with("first_kept", stats.first_kept)
                .with("kept_bytes", stats.kept_bytes)
                .with("subscriptions", stats.subscription_count)
                .with("missed", stats.missed);
            let of_one = |stats: topic::SubscriptionStats| {
                Part::of([if stats.group.is_empty() { stats.subscription.to_string() } else { stats.group }])
                    .with("members", stats.members)
                    .with("buffered", stats.buffered)
                    .with("bytes", stats.bytes)
                    .with("given", stats.given)
                    .with("missed", stats.missed)
            };
            Outcome { parts: [part].into_iter().chain(stats.subscriptions.into_iter().map(of_one)).collect() }
        }
        Verb::Answer(_) | Verb::Unsubscribe(_) | Verb::Done(_) => ok().into(),
    }
}

fn published(message: topic::Delivered, letter: &dyn Fn(u64) -> String) -> Part {
    let mut part = said(message.value, &message.headers, message.reply_to, message.answer_to);
    part.words.extend(message.redelivered.then(|| "redelivered".to_owned()));
    part.with("position", message.position)
        .with("subject", message.subject)
        .with("session", letter(message.session))
        .with("missed", message.missed)
}
