//! The state in parts, as a history has it, and back. Messages that are kept for replay are named by their position.

use super::{Counted, Kept, Published, SessionId, Stream, Subscription, Topic, Waiting, Wants};
use std::sync::Arc;

/// Messages in one part.
const PART_MAX: usize = 1_000;
/// Bytes of messages in one part, unless a single one is larger: engines bound their records.
const PART_BYTES_MAX: usize = 1 << 20;

/// A part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Restored {
    Topic { position: u64, floor: u64, last_subscription: u64, missed: u64 },
    Kept(Vec<Arc<Published>>),
    Stream { stream: u64, wants: Option<Wants>, group: Option<Arc<str>>, is_ended: bool, missed_after: u64, counted: Counted },
    Entries { stream: u64, entries: Vec<Entry> },
    Subscription { subscription: u64, session: SessionId, stream: u64 },
}

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Source {
    Whole(Arc<Published>),
    /// Among those that are kept for replay, at this position.
    Kept(u64),
}

/// A message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Entry {
    pub source: Source,
    pub missed: u64,
    pub redelivered: bool,
    /// `None`: it waits.
    pub given_to: Option<u64>,
}

impl Topic {
    pub(super) fn parts(&self) -> Vec<Restored> {
        if self.position == 0 && self.last_subscription == 0 {
            return Vec::new();
        }
        let (floor, last_subscription) = (self.kept.floor(), self.last_subscription);
        let mut parts = vec![Restored::Topic { position: self.position, floor, last_subscription, missed: self.missed }];
        parts.extend(cut(self.kept.all().cloned(), |message| message.said.size).into_iter().map(Restored::Kept));
        for (id, stream) in &self.streams {
            self.add_stream(*id, stream, &mut parts);
        }
        parts.extend(self.subscriptions.iter().map(|(subscription, Subscription { session, stream })| Restored::Subscription {
            subscription,
            session,
            stream,
        }));
        parts
    }

    fn add_stream(&self, id: u64, stream: &Stream, parts: &mut Vec<Restored>) {
        parts.push(Restored::Stream {
            stream: id,
            wants: stream.wants.clone(),
            group: stream.group.clone(),
            is_ended: stream.is_ended(),
            missed_after: stream.missed_after(),
            counted: stream.counted(),
        });
        let given = stream.given().map(|given| self.entry(&given.entry, Some(given.to)));
        let entries = given.chain(stream.waiting().map(|entry| self.entry(entry, None)));
        let size = |entry: &Entry| match &entry.source {
            Source::Whole(message) => message.said.size,
            Source::Kept(_) => 0,
        };
        parts.extend(cut(entries, size).into_iter().map(|entries| Restored::Entries { stream: id, entries }));
    }

    fn entry(&self, Waiting { message, missed, redelivered }: &Waiting, given_to: Option<u64>) -> Entry {
        let source = match self.kept.at(message.position) {
            Some(_) => Source::Kept(message.position),
            None => Source::Whole(message.clone()),
        };
        Entry { source, missed: *missed, redelivered: *redelivered, given_to }
    }

    pub(super) fn restore(&mut self, part: Restored) {
        match part {
            Restored::Topic { position, floor, last_subscription, missed } => {
                (self.position, self.last_subscription, self.missed) = (position, last_subscription, missed);
                self.kept = Kept::after(floor);
            }
            Restored::Kept(messages) => {
                let keep = self.options.keep;
                messages.into_iter().for_each(|message| self.kept.push(message, keep.messages, keep.bytes));
            }
            Restored::Stream { stream, wants, group, is_ended, missed_after, counted } => {
                self.groups.extend(group.clone().map(|group| (group, stream)));
                self.streams.insert(stream, Stream::restored(wants, group, is_ended, missed_after, counted));
            }
            Restored::Entries { stream, entries } => {
                let Some(stream) = self.streams.get_mut(&stream) else { return };
                for Entry { source, missed, redelivered, given_to } in entries {
                    let message = match source {
                        Source::Whole(message) => Some(message),
                        Source::Kept(position) => self.kept.at(position).cloned(),
                    };
                    if let Some(message) = message {
                        stream.restore(Waiting { message, missed, redelivered }, given_to);
                    }
                }
            }
            Restored::Subscription { subscription, session, stream } => {
                self.subscriptions.add(subscription, Subscription { session, stream });
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.members += 1;
                }
            }
        }
    }
}

/// In order, in parts of bounded size.
fn cut<T>(all: impl Iterator<Item = T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut parts, mut bytes) = (Vec::new(), 0);
    for one in all {
        bytes += size(&one);
        match parts.last_mut() {
            Some(part) if Vec::len(part) < PART_MAX && bytes <= PART_BYTES_MAX => part.push(one),
            _ => {
                bytes = size(&one);
                parts.push(vec![one]);
            }
        }
    }
    parts
}
