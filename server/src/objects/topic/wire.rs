//! How the topic looks on the wire and on disk. It and its parts are the only place that names generated types.

mod change;
mod runs;

use super::{
    Bounds, Command, Options, Overload, Pattern, Published, Replay, Reply, Said, Stats, StreamStats, Subscribe, Topic, Waiting,
    Wants, subject,
};
use crate::objects::{
    kind::{Damaged, Moment, SessionId, Wire},
    message::{AnswerTo, Content, Match, ReplyTo, wire as message},
    value::Value,
};
use bursar_proto::{
    Fault, limits,
    v1::{self, answer, registry, topic as pb},
};
use prost::Message;
use std::sync::Arc;

/// Every publish compares its subject with each of them.
const PATTERNS_MAX: usize = 64;
/// As the names of objects.
const GROUP_CHARS_MAX: usize = 200;
const MIB: u64 = 1 << 20;

impl Wire for Topic {
    fn create(options: &registry::Options, _epoch: u64) -> Result<Topic, Fault> {
        let Some(registry::options::Kind::Topic(options)) = &options.kind else {
            return Err(Fault::bad_argument("options", "expected the options of a topic"));
        };
        let pb::Options { overload, buffer_messages, buffer_bytes, keep_messages, keep_bytes } = *options;
        let or = |given: u64, default: u64| if given == 0 { default } else { given };
        Ok(Topic::new(Options {
            overload: read_overload(overload)?,
            buffer: Bounds { messages: or(buffer_messages, 1_000), bytes: or(buffer_bytes, 8 * MIB) },
            keep: Bounds { messages: or(keep_messages, 1_000), bytes: or(keep_bytes, 16 * MIB) },
        }))
    }

    fn options(&self) -> registry::Options {
        let Options { overload, buffer, keep } = self.options;
        let overload = match overload {
            Overload::Block => pb::Overload::Block,
            Overload::DropOldest => pb::Overload::DropOldest,
            Overload::DropNewest => pb::Overload::DropNewest,
            Overload::Disconnect => pb::Overload::Disconnect,
        };
        let options = pb::Options {
            overload: overload.into(),
            buffer_messages: buffer.messages,
            buffer_bytes: buffer.bytes,
            keep_messages: keep.messages,
            keep_bytes: keep.bytes,
        };
        registry::Options { kind: Some(registry::options::Kind::Topic(options)) }
    }

    fn command(command: bursar_proto::Command, payload_bytes_max: usize) -> Result<Command, Fault> {
        match command {
            bursar_proto::Command::Topic(verb) => read(verb, payload_bytes_max),
            _ => Err(Fault::bad_argument("object", "expected a verb of topic for an object of kind topic")),
        }
    }

    fn reply(reply: Reply) -> answer::Reply {
        answer::Reply::Topic(pb::Reply { verb: Some(write(reply)) })
    }

    fn holding(reply: answer::Reply) -> Option<Reply> {
        let answer::Reply::Topic(pb::Reply { verb: Some(verb) }) = reply else { return None };
        match verb {
            pb::reply::Verb::Next(reply) => {
                let (missed, subscription) = (reply.missed, reply.subscription);
                let messages = reply.delivered().map(|message| message.map(taken_back)).collect::<Result<_, _>>().ok()?;
                Some(Reply::Next { subscription, messages, missed })
            }
            pb::reply::Verb::Subscribe(pb::SubscribeReply { subscription, position }) => {
                Some(Reply::Subscribe { subscription, position })
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

fn read_overload(overload: i32) -> Result<Overload, Fault> {
    let choices = "BLOCK (the publisher waits), DROP_OLDEST (the subscription misses the oldest that it was not given), \
                   DROP_NEWEST (it misses the new one) or DISCONNECT (it ends, and is told Lagged)";
    match pb::Overload::try_from(overload) {
        Ok(pb::Overload::Block) => Ok(Overload::Block),
        Ok(pb::Overload::DropOldest) => Ok(Overload::DropOldest),
        Ok(pb::Overload::DropNewest) => Ok(Overload::DropNewest),
        Ok(pb::Overload::Disconnect) => Ok(Overload::Disconnect),
        Ok(pb::Overload::Undecided) => {
            let problem = format!("expected a decision what happens when a subscription's buffer is full: {choices}; got none");
            Err(Fault::bad_argument("overload", problem))
        }
        Err(_) => Err(Fault::bad_argument("overload", format!("expected {choices}, got {overload}"))),
    }
}

fn read(verb: pb::command::Verb, bytes_max: usize) -> Result<Command, Fault> {
    use pb::command::Verb;
    Ok(match verb {
        Verb::Publish(pb::PublishRequest { object: _, wait_ms: _, messages, must_be_heard }) => {
            bounded("messages", messages.len())?;
            if messages.is_empty() {
                return Err(Fault::bad_argument("messages", "expected at least one, got none"));
            }
            Command::Publish { messages: read_messages(messages, bytes_max)?, must_be_heard }
        }
        Verb::Answer(pb::AnswerRequest { object: _, wait_ms: _, to, value, headers }) => {
            let to = to.ok_or_else(|| Fault::bad_argument("to", "expected the inbox that is answered, got none"))?;
            Command::Answer { to: AnswerTo::from(to), content: Content::read(value, headers, None, Some(to), bytes_max)? }
        }
        Verb::Subscribe(request) => Command::Subscribe(read_subscribe(request)?),
        Verb::Unsubscribe(pb::UnsubscribeRequest { object: _, subscription, done }) => {
            bounded("done", done.len())?;
            Command::Unsubscribe { subscription, done }
        }
        Verb::Next(pb::NextRequest { object: _, wait_ms: _, subscription, max, done }) => {
            bounded("max", max as usize)?;
            bounded("done", done.len())?;
            Command::Next { subscription, max: max.max(1) as usize, done }
        }
        Verb::Done(pb::DoneRequest { object: _, subscription, positions }) => {
            bounded("positions", positions.len())?;
            Command::Done { subscription, positions }
        }
        Verb::DeleteGroup(pb::DeleteGroupRequest { object: _, group }) => {
            let group =
                read_group(group)?.ok_or_else(|| Fault::bad_argument("group", "expected the name of a group, got none"))?;
            Command::DeleteGroup { group }
        }
        Verb::Stats(pb::StatsRequest { object: _ }) => Command::Stats,
    })
}

fn bounded(argument: &str, count: usize) -> Result<(), Fault> {
    match count {
        0..=limits::BATCH_MAX => Ok(()),
        _ => Err(Fault::bad_argument(argument, format!("expected at most {}, got {count}", limits::BATCH_MAX))),
    }
}

fn read_messages(messages: Vec<pb::Message>, bytes_max: usize) -> Result<Vec<Said>, Fault> {
    // Neighbours have the same subject as a rule: it is checked and kept once.
    let mut last: Arc<str> = Arc::default();
    let read = |pb::Message { subject: text, value, headers, reply_to }| {
        if *last != *text {
            subject::check(&text).map_err(|problem| Fault::bad_argument("subject", problem))?;
            last = text.into();
        } else if last.is_empty() {
            return Err(Fault::bad_argument("subject", "expected a subject, got none"));
        }
        Ok(Said::new(last.clone(), Content::read(value, headers, reply_to, None, bytes_max)?))
    };
    messages.into_iter().map(read).collect()
}

fn read_subscribe(request: pb::SubscribeRequest) -> Result<Subscribe, Fault> {
    use pb::subscribe_request::Replay as Given;
    let pb::SubscribeRequest { object: _, subjects, r#match, replay, group, inbox } = request;
    let replay = match replay {
        None => Replay::Nothing,
        Some(Given::Last(count)) => Replay::Last(count),
        Some(Given::After(position)) => Replay::After(position),
    };
    let (wants, group) = (read_wants(&subjects, r#match)?, read_group(group)?);
    if !inbox {
        return Ok(Subscribe { wants: Some(wants), group, replay });
    }
    if wants != Wants::default() || group.is_some() || replay != Replay::Nothing {
        let problem = "expected neither subjects, match, group nor replay: an inbox gets the answers that are addressed to it";
        return Err(Fault::bad_argument("inbox", problem));
    }
    Ok(Subscribe { wants: None, group: None, replay })
}

fn read_wants(subjects: &[String], wanted: Option<v1::Match>) -> Result<Wants, Fault> {
    if subjects.len() > PATTERNS_MAX {
        return Err(Fault::bad_argument("subjects", format!("expected at most {PATTERNS_MAX}, got {}", subjects.len())));
    }
    let pattern = |text: &String| Pattern::parse(text).map_err(|problem| Fault::bad_argument("subjects", problem));
    let mut subjects: Vec<_> = subjects.iter().map(pattern).collect::<Result<_, _>>()?;
    subjects.sort_unstable();
    subjects.dedup();
    Ok(Wants { subjects, headers: Match::read(wanted)? })
}

/// Empty: none.
fn read_group(group: String) -> Result<Option<Arc<str>>, Fault> {
    match group.chars().count() {
        0 => Ok(None),
        1..=GROUP_CHARS_MAX => Ok(Some(group.into())),
        count => Err(Fault::bad_argument("group", format!("expected 1 to {GROUP_CHARS_MAX} characters, got {count}"))),
    }
}

/// A message that did not arrive. It was one of this broker: nothing is checked again.
fn taken_back(delivered: pb::Delivered) -> Waiting {
    let pb::Delivered { position, subject, value, headers, published_ms, session, redelivered, missed, reply_to, answer_to } =
        delivered;
    let v1::Value { data, codec } = value.unwrap_or_default();
    let headers = (!headers.is_empty()).then(|| Arc::new(headers.into_iter().collect()));
    let (reply_to, answer_to) = (reply_to.map(ReplyTo::from), answer_to.map(AnswerTo::from));
    let content = Content { value: Value { data, codec }, headers, reply_to, answer_to };
    let said = Said::new(subject.into(), content);
    Waiting { message: Published::new(position, said, SessionId(session), Moment(published_ms)), missed, redelivered }
}

// What goes.

fn write(reply: Reply) -> pb::reply::Verb {
    use pb::reply::Verb;
    match reply {
        Reply::Publish { position, taken, receivers } => Verb::Publish(pb::PublishReply { position, taken, receivers }),
        Reply::Answer => Verb::Answer(pb::AnswerReply {}),
        Reply::Subscribe { subscription, position } => Verb::Subscribe(pb::SubscribeReply { subscription, position }),
        Reply::Unsubscribe => Verb::Unsubscribe(pb::UnsubscribeReply {}),
        Reply::Next { subscription, messages, missed } => {
            Verb::Next(pb::NextReply { messages: runs::given(&messages), missed, subscription })
        }
        Reply::Done => Verb::Done(pb::DoneReply {}),
        Reply::DeleteGroup { found } => Verb::DeleteGroup(pb::DeleteGroupReply { found }),
        Reply::Stats(figures) => Verb::Stats(stats(figures)),
    }
}

fn encoded(Waiting { message, missed, redelivered }: &Waiting) -> pb::Delivered {
    let Published { position, said: Said { subject, content, size: _ }, origin, encoded: _ } = &**message;
    let Content { value, headers, reply_to, answer_to } = content;
    pb::Delivered {
        position: *position,
        subject: subject.as_ref().to_owned(),
        value: Some(value.clone().into()),
        headers: message::headers_out(headers.as_ref()),
        published_ms: origin.sent.0,
        session: origin.session.0,
        redelivered: *redelivered,
        missed: *missed,
        reply_to: reply_to.map(v1::ReplyTo::from),
        answer_to: answer_to.map(v1::AnswerTo::from),
    }
}

fn stats(stats: Stats) -> pb::StatsReply {
    let Stats { position, first_kept, kept_bytes, streams, stream_count, missed } = stats;
    let subscriptions = streams.into_iter().map(stream_stats).collect();
    pb::StatsReply { position, first_kept, kept_bytes, subscriptions, subscription_count: stream_count, missed }
}

fn stream_stats(stats: StreamStats) -> pb::SubscriptionStats {
    let StreamStats { subscription, session, group, members, subjects, buffered, bytes, given, missed } = stats;
    let session = session.map_or(0, |SessionId(session)| session);
    let group = group.map_or_else(String::new, |group| group.to_string());
    pb::SubscriptionStats { subscription, session, group, members, subjects, buffered, bytes, given, missed }
}
