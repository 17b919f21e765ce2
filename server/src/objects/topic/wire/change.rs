//! The changes of a topic as they are kept.

use super::{
    super::{
        Change, Counted,
        history::{Entry, Restored, Source},
    },
    *,
};

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;

pub(super) fn encode(change: &Change) -> pb::Change {
    pb::Change { version: VERSION, change: Some(keep(change)) }
}

pub(super) fn decode(pb::Change { version, change }: pb::Change) -> Result<Change, Damaged> {
    match change {
        _ if version > VERSION => Err(Damaged("a change of a topic that only a newer broker understands".into())),
        None => Err(Damaged("an unknown change of a topic".into())),
        Some(change) => recall(change),
    }
}

fn keep(change: &Change) -> pb::change::Change {
    use pb::change::Change as Kept;
    match change {
        Change::Published(messages) => Kept::Published(keep_all(messages)),
        Change::Answered { inbox, message } => {
            Kept::Answered(pb::Answered { inbox: *inbox, message: Some(keep_message(message)) })
        }
        Change::Subscribed { session: SessionId(session), subscribe: Subscribe { wants, group, replay } } => {
            use pb::subscribed::Replay as KeptReplay;
            Kept::Subscribed(pb::Subscribed {
                session: *session,
                wants: wants.as_ref().map(keep_wants),
                group: keep_group(group.as_ref()),
                replay: match *replay {
                    Replay::Nothing => None,
                    Replay::Last(count) => Some(KeptReplay::Last(count)),
                    Replay::After(position) => Some(KeptReplay::After(position)),
                },
            })
        }
        Change::Taken { subscription, done, count } => {
            Kept::Taken(pb::Taken { subscription: *subscription, done: done.clone(), count: *count })
        }
        Change::Settled { subscription, positions } => {
            Kept::Settled(pb::Settled { subscription: *subscription, positions: positions.clone() })
        }
        Change::Unsubscribed { subscription, done } => {
            Kept::Unsubscribed(pb::Unsubscribed { subscription: *subscription, done: done.clone() })
        }
        Change::Returned { subscription, entries, missed } => {
            let entries = entries.iter().map(keep_waiting).collect();
            Kept::Returned(pb::Returned { subscription: *subscription, entries, missed: *missed })
        }
        Change::GroupDeleted { group } => Kept::GroupDeleted(pb::GroupDeleted { group: group.to_string() }),
        Change::Told { subscription } => Kept::Told(pb::Told { subscription: *subscription }),
        Change::Departed { session: SessionId(session) } => Kept::Departed(pb::Departed { session: *session }),
        Change::Restored(part) => Kept::Restored(pb::Restored { part: Some(keep_part(part)) }),
    }
}

fn keep_part(part: &Restored) -> pb::restored::Part {
    use pb::restored::Part;
    match part {
        Restored::Topic { position, floor, last_subscription, missed } => Part::Topic(pb::RestoredTopic {
            position: *position,
            floor: *floor,
            last_subscription: *last_subscription,
            missed: *missed,
        }),
        Restored::Kept(messages) => Part::Kept(keep_all(messages)),
        Restored::Stream { stream, wants, group, is_ended, missed_after, counted: Counted { matched, settled, missed } } => {
            Part::Stream(pb::RestoredStream {
                stream: *stream,
                wants: wants.as_ref().map(keep_wants),
                group: keep_group(group.as_ref()),
                ended: *is_ended,
                missed_after: *missed_after,
                matched: *matched,
                settled: *settled,
                missed: *missed,
            })
        }
        Restored::Entries { stream, entries } => {
            Part::Entries(pb::RestoredEntries { stream: *stream, entries: entries.iter().map(keep_entry).collect() })
        }
        Restored::Subscription { subscription, session: SessionId(session), stream } => {
            Part::Subscription(pb::RestoredSubscription { subscription: *subscription, session: *session, stream: *stream })
        }
    }
}

fn keep_all(messages: &[Arc<Published>]) -> pb::Published {
    pb::Published { messages: messages.iter().map(keep_message).collect() }
}

fn keep_message(message: &Arc<Published>) -> pb::Kept {
    let Published { position, said: Said { subject, content, size: _ }, origin, encoded: _ } = &**message;
    let Content { value, headers, reply_to, answer_to } = content;
    pb::Kept {
        position: *position,
        subject: subject.as_ref().to_owned(),
        value: Some(value.clone().into()),
        headers: message::headers_out(headers.as_ref()),
        reply_to: reply_to.map(Into::into),
        answer_to: answer_to.map(Into::into),
        session: origin.session.0,
        published_ms: origin.sent.0,
    }
}

fn keep_wants(Wants { subjects, headers }: &Wants) -> pb::Wants {
    let subjects = subjects.iter().map(|pattern| pattern.text().to_owned()).collect();
    pb::Wants { subjects, r#match: Some(headers.keep()) }
}

fn keep_group(group: Option<&Arc<str>>) -> String {
    group.map_or_else(String::new, |group| group.to_string())
}

fn keep_waiting(Waiting { message, missed, redelivered }: &Waiting) -> pb::Entry {
    let message = Some(pb::entry::Message::Whole(keep_message(message)));
    pb::Entry { message, missed: *missed, redelivered: *redelivered, given_to: 0 }
}

fn keep_entry(Entry { source, missed, redelivered, given_to }: &Entry) -> pb::Entry {
    let message = match source {
        Source::Whole(message) => pb::entry::Message::Whole(keep_message(message)),
        Source::Kept(position) => pb::entry::Message::Kept(*position),
    };
    pb::Entry { message: Some(message), missed: *missed, redelivered: *redelivered, given_to: given_to.unwrap_or(0) }
}

fn recall(change: pb::change::Change) -> Result<Change, Damaged> {
    use pb::change::Change as Kept;
    Ok(match change {
        Kept::Published(published) => Change::Published(recall_all(published)?),
        Kept::Answered(pb::Answered { inbox, message }) => {
            Change::Answered { inbox, message: recall_message(message.ok_or_else(|| damaged("an answer without its message"))?)? }
        }
        Kept::Subscribed(pb::Subscribed { session, wants, group, replay }) => {
            use pb::subscribed::Replay as KeptReplay;
            let replay = match replay {
                None => Replay::Nothing,
                Some(KeptReplay::Last(count)) => Replay::Last(count),
                Some(KeptReplay::After(position)) => Replay::After(position),
            };
            let wants = wants.map(recall_wants).transpose()?;
            Change::Subscribed { session: SessionId(session), subscribe: Subscribe { wants, group: recall_group(group), replay } }
        }
        Kept::Taken(pb::Taken { subscription, done, count }) => Change::Taken { subscription, done, count },
        Kept::Settled(pb::Settled { subscription, positions }) => Change::Settled { subscription, positions },
        Kept::Unsubscribed(pb::Unsubscribed { subscription, done }) => Change::Unsubscribed { subscription, done },
        Kept::Returned(pb::Returned { subscription, entries, missed }) => {
            let entries = entries.into_iter().map(recall_waiting).collect::<Result<_, _>>()?;
            Change::Returned { subscription, entries, missed }
        }
        Kept::GroupDeleted(pb::GroupDeleted { group }) => Change::GroupDeleted { group: group.into() },
        Kept::Told(pb::Told { subscription }) => Change::Told { subscription },
        Kept::Departed(pb::Departed { session }) => Change::Departed { session: SessionId(session) },
        Kept::Restored(pb::Restored { part }) => {
            Change::Restored(recall_part(part.ok_or_else(|| damaged("an unknown part of a topic"))?)?)
        }
    })
}

fn recall_part(part: pb::restored::Part) -> Result<Restored, Damaged> {
    use pb::restored::Part;
    Ok(match part {
        Part::Topic(pb::RestoredTopic { position, floor, last_subscription, missed }) => {
            Restored::Topic { position, floor, last_subscription, missed }
        }
        Part::Kept(published) => Restored::Kept(recall_all(published)?),
        Part::Stream(pb::RestoredStream { stream, wants, group, ended, missed_after, matched, settled, missed }) => {
            Restored::Stream {
                stream,
                wants: wants.map(recall_wants).transpose()?,
                group: recall_group(group),
                is_ended: ended,
                missed_after,
                counted: Counted { matched, settled, missed },
            }
        }
        Part::Entries(pb::RestoredEntries { stream, entries }) => {
            Restored::Entries { stream, entries: entries.into_iter().map(recall_entry).collect::<Result<_, _>>()? }
        }
        Part::Subscription(pb::RestoredSubscription { subscription, session, stream }) => {
            Restored::Subscription { subscription, session: SessionId(session), stream }
        }
    })
}

fn recall_all(pb::Published { messages }: pb::Published) -> Result<Vec<Arc<Published>>, Damaged> {
    messages.into_iter().map(recall_message).collect()
}

fn recall_message(kept: pb::Kept) -> Result<Arc<Published>, Damaged> {
    let pb::Kept { position, subject, value, headers, reply_to, answer_to, session, published_ms } = kept;
    let headers = (!headers.is_empty()).then(|| Arc::new(headers.into_iter().collect()));
    let (reply_to, answer_to) = (reply_to.map(ReplyTo::from), answer_to.map(AnswerTo::from));
    let content = Content { value: Value::recall(value)?, headers, reply_to, answer_to };
    Ok(Published::new(position, Said::new(subject.into(), content), SessionId(session), Moment(published_ms)))
}

fn recall_wants(pb::Wants { subjects, r#match }: pb::Wants) -> Result<Wants, Damaged> {
    let subjects = subjects.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>().map_err(Damaged)?;
    Ok(Wants { subjects, headers: Match(r#match.unwrap_or_default().headers.into_iter().collect()) })
}

fn recall_group(group: String) -> Option<Arc<str>> {
    (!group.is_empty()).then(|| group.into())
}

fn recall_waiting(entry: pb::Entry) -> Result<Waiting, Damaged> {
    match recall_entry(entry)? {
        Entry { source: Source::Whole(message), missed, redelivered, given_to: _ } => {
            Ok(Waiting { message, missed, redelivered })
        }
        Entry { source: Source::Kept(_), .. } => Err(damaged("a message that came back is not there as a whole")),
    }
}

fn recall_entry(pb::Entry { message, missed, redelivered, given_to }: pb::Entry) -> Result<Entry, Damaged> {
    let source = match message.ok_or_else(|| damaged("an entry without its message"))? {
        pb::entry::Message::Whole(message) => Source::Whole(recall_message(message)?),
        pb::entry::Message::Kept(position) => Source::Kept(position),
    };
    Ok(Entry { source, missed, redelivered, given_to: (given_to != 0).then_some(given_to) })
}

fn damaged(what: &str) -> Damaged {
    Damaged(what.to_owned())
}
