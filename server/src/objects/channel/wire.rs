//! How the channel looks on the wire and on disk. The only place that names its generated types.

use super::{
    Change, Channel, Command, Counters, Delivered, End, Mode, Options, Reply, Stats,
    history::{Kept, Known, Restored},
};
use crate::objects::{
    kind::{Damaged, Moment, SessionId, Wire},
    message::{AnswerTo, Content, Match, Origin, ReplyTo, wire::headers_out},
    value::Value,
};
use bursar_proto::{
    Fault,
    limits::BATCH_MAX,
    v1::{self, answer, channel as pb, registry},
};
use prost::Message;
use std::sync::Arc;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;
/// As many small messages as a sender is ahead of its receiver without either standing still.
const MAX_MESSAGES: u64 = 1000;
/// A few of the largest payloads.
const MAX_BYTES: u64 = 64 << 20;

impl Wire for Channel {
    fn create(options: &registry::Options, _epoch: u64) -> Result<Channel, Fault> {
        let Some(registry::options::Kind::Channel(options)) = &options.kind else {
            return Err(Fault::bad_argument("options", "expected the options of a channel"));
        };
        let pb::Options { max_messages, max_bytes } = *options;
        let or = |value, default| if value == 0 { default } else { value };
        Ok(Channel::new(Options { max_messages: or(max_messages, MAX_MESSAGES), max_bytes: or(max_bytes, MAX_BYTES) }))
    }

    fn options(&self) -> registry::Options {
        let Options { max_messages, max_bytes } = self.options;
        registry::Options { kind: Some(registry::options::Kind::Channel(pb::Options { max_messages, max_bytes })) }
    }

    fn command(command: bursar_proto::Command, payload_bytes_max: usize) -> Result<Command, Fault> {
        match command {
            bursar_proto::Command::Channel(verb) => read(verb, payload_bytes_max),
            _ => Err(Fault::bad_argument("object", "expected a verb of channel for an object of kind channel")),
        }
    }

    fn reply(reply: Reply) -> answer::Reply {
        answer::Reply::Channel(pb::Reply { verb: Some(write(reply)) })
    }

    fn holding(reply: answer::Reply) -> Option<Reply> {
        use pb::reply::Verb;
        let answer::Reply::Channel(pb::Reply { verb: Some(verb) }) = reply else { return None };
        match verb {
            Verb::Attach(pb::AttachReply { receiver }) => Some(Reply::Attach { receiver }),
            Verb::Receive(pb::ReceiveReply { messages, receiver }) => {
                Some(Reply::Receive { receiver, messages: messages.into_iter().map(heard).collect() })
            }
            _ => None,
        }
    }

    fn encode(change: &Change) -> Vec<u8> {
        pb::Change { version: VERSION, change: Some(keep(change)) }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Change, Damaged> {
        let pb::Change { version, change } = pb::Change::decode(bytes)?;
        match change {
            _ if version > VERSION => Err(damaged("a change of a channel that only a newer broker understands")),
            None => Err(damaged("an unknown change of a channel")),
            Some(change) => recall(change),
        }
    }
}

// Commands, as they come.

fn read(verb: pb::command::Verb, payload_bytes_max: usize) -> Result<Command, Fault> {
    use pb::command::Verb;
    Ok(match verb {
        Verb::Attach(pb::AttachRequest { object: _, end: which, mode: how, r#match }) => {
            Command::Attach { end: end("end", which)?, mode: mode(how, r#match)? }
        }
        Verb::Detach(pb::DetachRequest { object: _, receiver, done }) => {
            Command::Detach { receiver, done: positions("done", done)? }
        }
        Verb::Send(pb::SendRequest { object: _, wait_ms: _, from, messages, must_be_heard }) => {
            batch("messages", messages.len())?;
            let messages = messages.into_iter().map(|message| content(message, payload_bytes_max));
            Command::Send { from: end("from", from)?, messages: messages.collect::<Result<_, _>>()?, must_be_heard }
        }
        Verb::Receive(pb::ReceiveRequest { object: _, wait_ms: _, receiver, max, done }) => {
            let max = (max as usize).max(1);
            batch("max", max)?;
            Command::Receive { receiver, max, done: positions("done", done)? }
        }
        Verb::Done(pb::DoneRequest { object: _, receiver, positions: done }) => {
            Command::Done { receiver, positions: positions("positions", done)? }
        }
        Verb::Close(pb::CloseRequest { object: _, end: which }) => Command::Close { end: end("end", which)? },
        Verb::Stats(pb::StatsRequest { object: _ }) => Command::Stats,
    })
}

fn batch(argument: &str, count: usize) -> Result<(), Fault> {
    match count {
        1..=BATCH_MAX => Ok(()),
        count => Err(Fault::bad_argument(argument, format!("expected 1 to {BATCH_MAX}, got {count}"))),
    }
}

fn positions(argument: &str, positions: Vec<u64>) -> Result<Vec<u64>, Fault> {
    batch(argument, positions.len().max(1)).map(|()| positions)
}

fn end(argument: &str, end: i32) -> Result<End, Fault> {
    known_end(end).ok_or_else(|| Fault::bad_argument(argument, format!("expected A (0) or B (1), got {end}")))
}

fn known_end(end: i32) -> Option<End> {
    match pb::End::try_from(end).ok()? {
        pb::End::A => Some(End::A),
        pb::End::B => Some(End::B),
    }
}

fn mode(mode: i32, wanted: Option<v1::Match>) -> Result<Mode, Fault> {
    let wanted = Match::read(wanted)?;
    match pb::Mode::try_from(mode) {
        Ok(pb::Mode::Passive) => Ok(Mode::Passive(wanted)),
        Ok(_) if wanted != Match::default() => {
            Err(Fault::bad_argument("match", "expected one for a PASSIVE receiver alone, got one for another"))
        }
        Ok(pb::Mode::Active) => Ok(Mode::Active),
        Ok(pb::Mode::Inbox) => Ok(Mode::Inbox),
        Err(_) => Err(Fault::bad_argument("mode", format!("expected ACTIVE (0), PASSIVE (1) or INBOX (2), got {mode}"))),
    }
}

fn content(message: pb::Message, payload_bytes_max: usize) -> Result<Content, Fault> {
    let pb::Message { value, headers, reply_to, answer_to } = message;
    Content::read(value, headers, reply_to, answer_to, payload_bytes_max)
}

// Replies, as they go.

fn write(reply: Reply) -> pb::reply::Verb {
    use pb::reply::Verb;
    match reply {
        Reply::Attach { receiver } => Verb::Attach(pb::AttachReply { receiver }),
        Reply::Detach => Verb::Detach(pb::DetachReply {}),
        Reply::Send { first, count } => Verb::Send(pb::SendReply { positions: (first..first + count).collect() }),
        Reply::Receive { receiver, messages } => {
            Verb::Receive(pb::ReceiveReply { messages: messages.into_iter().map(delivered).collect(), receiver })
        }
        Reply::Done => Verb::Done(pb::DoneReply {}),
        Reply::Close { changed, dropped } => Verb::Close(pb::CloseReply { changed, dropped }),
        Reply::Stats { a, b } => Verb::Stats(pb::StatsReply { a: Some(stats(a)), b: Some(stats(b)) }),
    }
}

fn delivered(delivered: Delivered) -> pb::Delivered {
    let Delivered { position, content, origin, redelivered } = delivered;
    let Origin { session: SessionId(session), sent: Moment(sent_ms) } = origin;
    let pb::Message { value, headers, reply_to, answer_to } = keep_content(content);
    pb::Delivered { position, value, headers, sent_ms, session, redelivered, reply_to, answer_to }
}

/// What is needed of it to take it back: where it was.
fn heard(delivered: pb::Delivered) -> Delivered {
    let value = Value { data: Default::default(), codec: 0 };
    Delivered {
        position: delivered.position,
        content: Content { value, headers: None, reply_to: None, answer_to: None },
        origin: Origin { session: SessionId(delivered.session), sent: Moment(delivered.sent_ms) },
        redelivered: delivered.redelivered,
    }
}

fn stats(stats: Stats) -> pb::EndStats {
    let Stats { closed, waiting, given, bytes, active, passive, counters } = stats;
    let Counters { received, redelivered, dropped: _ } = counters;
    pb::EndStats { closed, waiting, given, bytes, active, passive, received, redelivered }
}

// Changes, as they are kept.

fn keep(change: &Change) -> pb::change::Change {
    use pb::change::Change as Kept;
    match change.clone() {
        Change::Sent { from, origin, messages } => {
            let Origin { session: SessionId(session), sent: Moment(now_ms) } = origin;
            let messages = messages.into_iter().map(keep_content).collect();
            Kept::Sent(pb::Sent { from: keep_end(from), session, now_ms, messages })
        }
        Change::Attached { session: SessionId(session), end, mode } => {
            let (mode, r#match) = keep_mode(mode);
            Kept::Attached(pb::Attached { session, end: keep_end(end), mode, r#match })
        }
        Change::Detached { receiver, done } => Kept::Detached(pb::Detached { receiver, done }),
        Change::Departed { session: SessionId(session) } => Kept::Departed(pb::Departed { session }),
        Change::Received { receiver, done, count } => Kept::Received(pb::Received { receiver, done, count }),
        Change::Finished { receiver, positions } => Kept::Finished(pb::Finished { receiver, positions }),
        Change::TakenBack { receiver, positions } => Kept::TakenBack(pb::TakenBack { receiver, positions }),
        Change::Closed { end } => Kept::Closed(pb::Closed { end: keep_end(end) }),
        Change::Restored(restored) => Kept::Restored(pb::Restored { part: Some(keep_part(restored)) }),
    }
}

fn keep_end(end: End) -> i32 {
    match end {
        End::A => pb::End::A.into(),
        End::B => pb::End::B.into(),
    }
}

fn keep_mode(mode: Mode) -> (i32, Option<v1::Match>) {
    match mode {
        Mode::Active => (pb::Mode::Active.into(), None),
        Mode::Passive(wanted) => (pb::Mode::Passive.into(), Some(wanted.keep())),
        Mode::Inbox => (pb::Mode::Inbox.into(), None),
    }
}

fn keep_content(content: Content) -> pb::Message {
    let Content { value, headers, reply_to, answer_to } = content;
    pb::Message {
        value: Some(value.into()),
        headers: headers_out(headers.as_ref()),
        reply_to: reply_to.map(v1::ReplyTo::from),
        answer_to: answer_to.map(v1::AnswerTo::from),
    }
}

fn keep_part(restored: Restored) -> pb::restored::Part {
    use pb::restored::Part;
    match restored {
        Restored::Ends { receivers, a, b } => {
            Part::Ends(pb::RestoredEnds { receivers, a: Some(keep_known(a)), b: Some(keep_known(b)) })
        }
        Restored::Receiver { receiver, session: SessionId(session), mode, after } => {
            let (mode, r#match) = keep_mode(mode);
            Part::Receiver(pb::RestoredReceiver { receiver, session, mode, r#match, after })
        }
        Restored::Message(kept) => Part::Message(keep_message(*kept)),
    }
}

fn keep_known(known: Known) -> pb::RestoredEnd {
    let Known { closed, last_position, counters: Counters { received, redelivered, dropped } } = known;
    pb::RestoredEnd { closed, last_position, received, redelivered, dropped }
}

fn keep_message(kept: Kept) -> pb::RestoredMessage {
    let Kept { to, position, content, origin, finished, redelivered, in_line, waits_for, given_to } = kept;
    let Origin { session: SessionId(session), sent: Moment(sent_ms) } = origin;
    let (to, message) = (keep_end(to), Some(keep_content(content)));
    pb::RestoredMessage { to, position, session, sent_ms, message, finished, redelivered, in_line, waits_for, given_to }
}

fn recall(change: pb::change::Change) -> Result<Change, Damaged> {
    use pb::change::Change as Kept;
    Ok(match change {
        Kept::Sent(pb::Sent { from, session, now_ms, messages }) => Change::Sent {
            from: recall_end(from)?,
            origin: Origin { session: SessionId(session), sent: Moment(now_ms) },
            messages: messages.into_iter().map(recall_content).collect::<Result<_, _>>()?,
        },
        Kept::Attached(pb::Attached { session, end, mode, r#match }) => {
            Change::Attached { session: SessionId(session), end: recall_end(end)?, mode: recall_mode(mode, r#match)? }
        }
        Kept::Detached(pb::Detached { receiver, done }) => Change::Detached { receiver, done },
        Kept::Departed(pb::Departed { session }) => Change::Departed { session: SessionId(session) },
        Kept::Received(pb::Received { receiver, done, count }) => Change::Received { receiver, done, count },
        Kept::Finished(pb::Finished { receiver, positions }) => Change::Finished { receiver, positions },
        Kept::TakenBack(pb::TakenBack { receiver, positions }) => Change::TakenBack { receiver, positions },
        Kept::Closed(pb::Closed { end }) => Change::Closed { end: recall_end(end)? },
        Kept::Restored(pb::Restored { part }) => {
            Change::Restored(recall_part(part.ok_or_else(|| damaged("an unknown part of a channel"))?)?)
        }
    })
}

fn recall_end(end: i32) -> Result<End, Damaged> {
    known_end(end).ok_or_else(|| damaged("an unknown end of a channel"))
}

fn recall_mode(mode: i32, wanted: Option<v1::Match>) -> Result<Mode, Damaged> {
    Ok(match pb::Mode::try_from(mode).map_err(|_| damaged("an unknown mode of a receiver"))? {
        pb::Mode::Active => Mode::Active,
        pb::Mode::Passive => Mode::Passive(Match(wanted.unwrap_or_default().headers.into_iter().collect())),
        pb::Mode::Inbox => Mode::Inbox,
    })
}

fn recall_content(message: pb::Message) -> Result<Content, Damaged> {
    let pb::Message { value, headers, reply_to, answer_to } = message;
    Ok(Content {
        value: Value::recall(value)?,
        headers: (!headers.is_empty()).then(|| Arc::new(headers.into_iter().collect())),
        reply_to: reply_to.map(ReplyTo::from),
        answer_to: answer_to.map(AnswerTo::from),
    })
}

fn recall_part(part: pb::restored::Part) -> Result<Restored, Damaged> {
    use pb::restored::Part;
    Ok(match part {
        Part::Ends(pb::RestoredEnds { receivers, a, b }) => {
            Restored::Ends { receivers, a: recall_known(a.unwrap_or_default()), b: recall_known(b.unwrap_or_default()) }
        }
        Part::Receiver(pb::RestoredReceiver { receiver, session, mode, r#match, after }) => {
            Restored::Receiver { receiver, session: SessionId(session), mode: recall_mode(mode, r#match)?, after }
        }
        Part::Message(message) => Restored::Message(Box::new(recall_message(message)?)),
    })
}

fn recall_known(known: pb::RestoredEnd) -> Known {
    let pb::RestoredEnd { closed, last_position, received, redelivered, dropped } = known;
    Known { closed, last_position, counters: Counters { received, redelivered, dropped } }
}

fn recall_message(kept: pb::RestoredMessage) -> Result<Kept, Damaged> {
    let pb::RestoredMessage { to, position, session, sent_ms, message, finished, redelivered, in_line, waits_for, given_to } =
        kept;
    Ok(Kept {
        to: recall_end(to)?,
        position,
        content: recall_content(message.ok_or_else(|| damaged("a place without its message"))?)?,
        origin: Origin { session: SessionId(session), sent: Moment(sent_ms) },
        finished,
        redelivered,
        in_line,
        waits_for,
        given_to,
    })
}

fn damaged(what: &str) -> Damaged {
    Damaged(what.to_owned())
}
