//! The shortest history of a channel: first the ends, then the receivers, then the messages, each as it is.

use super::{
    Channel, Counters, End, Mode,
    receivers::Receiver,
    side::{Message, Side},
};
use crate::objects::{
    kind::SessionId,
    message::{Content, Origin},
};
use std::collections::BTreeMap;

/// A part of a channel as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Restored {
    /// How many receivers were ever attached, and what is known of each end.
    Ends {
        receivers: u64,
        a: Known,
        b: Known,
    },
    Receiver {
        receiver: u64,
        session: SessionId,
        mode: Mode,
        after: u64,
    },
    Message(Box<Kept>),
}

/// What is known of an end, without its receivers and messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Known {
    pub closed: bool,
    pub last_position: u64,
    pub counters: Counters,
}

/// A message with those who are to get it and those who have it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Kept {
    pub to: End,
    pub position: u64,
    pub content: Content,
    pub origin: Origin,
    pub finished: bool,
    pub redelivered: bool,
    /// For any active receiver.
    pub in_line: bool,
    /// For these.
    pub waits_for: Vec<u64>,
    /// These have it.
    pub given_to: Vec<u64>,
}

impl Channel {
    /// Everything that it is, in an order in which each part finds what it needs.
    pub(super) fn parts(&self) -> Vec<Restored> {
        let (a, b) = (self.side(End::A).known(), self.side(End::B).known());
        if (self.receivers, a, b) == (0, Known::default(), Known::default()) {
            return Vec::new();
        }
        let mut parts = vec![Restored::Ends { receivers: self.receivers, a, b }];
        for side in &self.sides {
            parts.extend(side.receivers.iter().map(|(id, receiver)| Restored::Receiver {
                receiver: id,
                session: receiver.session,
                mode: receiver.mode.clone(),
                after: receiver.after,
            }));
        }
        for end in [End::A, End::B] {
            parts.extend(self.side(end).kept(end).map(|kept| Restored::Message(Box::new(kept))));
        }
        parts
    }

    /// Takes a part as it is: who gets what was decided before.
    pub(super) fn restore(&mut self, restored: Restored) {
        match restored {
            Restored::Ends { receivers, a, b } => {
                self.receivers = receivers;
                self.side_mut(End::A).know(a);
                self.side_mut(End::B).know(b);
            }
            Restored::Receiver { receiver, session, mode, after } => {
                self.side_mut(End::of(receiver)).receivers.add(receiver, Receiver::new(session, mode, after));
            }
            Restored::Message(kept) => self.side_mut(kept.to).keep(*kept),
        }
    }
}

impl Side {
    fn known(&self) -> Known {
        Known { closed: self.closed, last_position: self.last_position, counters: self.counters }
    }

    fn know(&mut self, known: Known) {
        let Known { closed, last_position, counters } = known;
        (self.closed, self.last_position, self.counters) = (closed, last_position, counters);
    }

    fn kept(&self, to: End) -> impl Iterator<Item = Kept> {
        let (mut waits_for, mut given_to): (BTreeMap<u64, Vec<u64>>, BTreeMap<u64, Vec<u64>>) = Default::default();
        for (id, receiver) in self.receivers.iter() {
            receiver.waiting.iter().for_each(|position| waits_for.entry(*position).or_default().push(id));
            receiver.given.iter().for_each(|position| given_to.entry(*position).or_default().push(id));
        }
        self.messages.iter().map(move |(position, message)| Kept {
            to,
            position: *position,
            content: message.content.clone(),
            origin: message.origin,
            finished: message.finished,
            redelivered: message.redelivered,
            in_line: self.line.contains(position),
            waits_for: waits_for.remove(position).unwrap_or_default(),
            given_to: given_to.remove(position).unwrap_or_default(),
        })
    }

    fn keep(&mut self, kept: Kept) {
        let Kept { to: _, position, content, origin, finished, redelivered, in_line, waits_for, given_to } = kept;
        let held = given_to.len() as u32;
        let owed = held + waits_for.len() as u32 + u32::from(in_line);
        let mut claims = u32::from(in_line);
        if in_line {
            self.line.insert(position);
        }
        let places = waits_for.into_iter().map(|id| (id, false)).chain(given_to.into_iter().map(|id| (id, true)));
        for (id, is_given) in places {
            let receiver = self.receivers.get_mut(id).expect("receivers are restored before messages");
            claims += u32::from(receiver.stands_for_an_active_one(position));
            let place = if is_given { &mut receiver.given } else { &mut receiver.waiting };
            place.insert(position);
        }
        self.store(position, Message { content, origin, owed, held, claims, finished, redelivered });
    }
}
