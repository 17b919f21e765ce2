//! One end of a channel: who is attached to it, and the messages for it. It moves messages, and decides nothing.
//!
//! ```text
//!           ┌─► the line ───────────────► given to an active receiver ──┐
//!   post ───┼─► waiting of a passive one ──────► given to it ───────────┼─► finished by somebody and owed to nobody: settled
//!           └─► waiting of an inbox ───────────► given to it ───────────┘
//!                 ▲      its receivers went, none of them done with it: waits again, where it was
//!                 └───── its active receiver went and was not done with it, whoever else is: waits in the line again
//! ```
//!
//! A message is owed once to the line or to the active receiver that has it, and once to each passive receiver that it went to. The
//! line has a *claim* to it, which goes to whoever gets it from there: an active receiver, or the passive ones that came after it, in the
//! place of one. Until one of these is done with it, the claim is not met, whatever other passive ones do.
//! Nothing comes into the line while no active receiver is attached and a passive one takes it: what waits for an active receiver
//! that never comes is what was not settled when the last one went, and counts for the bounds like everything else.

use super::{
    Counters, Mode,
    receivers::{Receiver, Receivers},
};
use crate::objects::{
    kind::SessionId,
    message::{Content, Origin},
};
use std::collections::{BTreeMap, BTreeSet};

/// A message that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What was said.
    pub content: Content,
    /// When and by whom.
    pub origin: Origin,
    /// How many are not done with it: the line or an active receiver, and passive ones or an inbox.
    pub owed: u32,
    /// How many of them have it.
    pub held: u32,
    /// How many of them have a claim to it.
    pub claims: u32,
    /// One who has a claim is done with it; or anybody, if nobody has one. It does not wait again.
    pub finished: bool,
    /// A receiver that had it went without being done with it.
    pub redelivered: bool,
}

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// It receives no more.
    pub closed: bool,
    /// The last that a message was given; 0: none yet.
    pub last_position: u64,
    /// Who is attached.
    pub receivers: Receivers,
    /// What is not settled, by position: the one owner of every message.
    pub messages: BTreeMap<u64, Message>,
    /// What waits for any active receiver.
    pub line: BTreeSet<u64>,
    /// The sizes of all messages.
    pub bytes: u64,
    /// Messages that somebody has.
    pub held: u64,
    /// Messages for inboxes.
    pub answers: u64,
    /// Their sizes.
    pub answer_bytes: u64,
    /// Since the beginning.
    pub counters: Counters,
}

// What is asked.
impl Side {
    /// Messages that nobody has.
    pub fn waiting(&self) -> u64 {
        self.messages.len() as u64 - self.held
    }

    /// What this receiver would be given next, in order.
    pub fn next_for<'s>(&'s self, receiver: &'s Receiver) -> &'s BTreeSet<u64> {
        if receiver.is_active() { &self.line } else { &receiver.waiting }
    }

    /// Whether a receiver that is no inbox would get this.
    pub fn hears(&self, content: &Content) -> bool {
        self.receivers.active() > 0 || self.receivers.any_takes(content)
    }

    /// Whether an active receiver may get something although nothing is sent any more: what others have waits again if they go.
    pub fn may_come_back(&self, receiver: &Receiver) -> bool {
        receiver.is_active() && self.messages.len() as u64 - self.answers > receiver.given.len() as u64
    }
}

// What happens.
impl Side {
    /// A receiver comes. While no active one is attached, a passive one gets what waits and meets its match.
    pub fn attach(&mut self, id: u64, session: SessionId, mode: Mode) {
        let mut receiver = Receiver::new(session, mode, self.last_position);
        if self.receivers.active() == 0 {
            let Side { line, messages, .. } = self;
            line.retain(|position| {
                let takes = receiver.takes(&messages[position].content);
                if takes {
                    receiver.waiting.insert(*position);
                }
                !takes
            });
        }
        self.receivers.add(id, receiver);
    }

    /// A message comes.
    pub fn post(&mut self, content: Content, origin: Origin) {
        self.last_position += 1;
        let position = self.last_position;
        let (owed, claims) = match content.answer_to {
            Some(answer) => {
                let inbox = self.receivers.get_mut(answer.inbox).expect("answers are sent to inboxes that are there");
                inbox.waiting.insert(position);
                (1, 0)
            }
            None => self.spread(position, &content, true),
        };
        self.store(position, Message { content, origin, owed, held: 0, claims, finished: false, redelivered: false });
    }

    /// Keeps a message, as it is.
    pub fn store(&mut self, position: u64, message: Message) {
        let size = message.content.size() as u64;
        self.bytes += size;
        self.held += u64::from(message.held > 0);
        if let Some(answer) = message.content.answer_to {
            self.answers += 1;
            self.answer_bytes += size;
            let inbox = self.receivers.get_mut(answer.inbox).expect("answers are there as long as their inbox");
            inbox.bytes += size;
        }
        self.messages.insert(position, message);
    }

    /// To the passive receivers that want it and to the line, where the delivery rule says so; says to how many, and how many of
    /// these have a claim. What waits again goes to the passive ones only as what waits for any other reason: while no active one is
    /// attached.
    fn spread(&mut self, position: u64, content: &Content, is_new: bool) -> (u32, u32) {
        let has_active = self.receivers.active() > 0;
        let taken = if is_new || !has_active { self.receivers.offer(position, content, is_new) } else { 0 };
        if taken > 0 && !has_active {
            return (taken, if is_new { 0 } else { taken });
        }
        self.line.insert(position);
        (taken + 1, 1)
    }

    /// A receiver gets the first of what is for it.
    pub fn give(&mut self, id: u64, count: u32) {
        let Some(receiver) = self.receivers.get_mut(id) else { return };
        let from = if receiver.is_active() { &mut self.line } else { &mut receiver.waiting };
        for _ in 0..count {
            let Some(position) = from.pop_first() else { return };
            receiver.given.insert(position);
            let message = self.messages.get_mut(&position).expect("what waits is there");
            message.held += 1;
            self.held += u64::from(message.held == 1);
            self.counters.redelivered += u64::from(message.redelivered);
        }
    }

    /// A receiver is done with these.
    pub fn finish(&mut self, id: u64, positions: &[u64]) {
        for position in positions {
            let Some(receiver) = self.receivers.get_mut(id) else { return };
            if receiver.given.remove(position) {
                let has_claim = receiver.stands_for_an_active_one(*position);
                let message = self.free(*position);
                message.finished |= has_claim || message.claims == 0;
                self.disown(*position, has_claim);
            }
        }
    }

    /// These were never heard of: they wait where they waited.
    pub fn take_back(&mut self, id: u64, positions: &[u64]) {
        for position in positions {
            let Some(receiver) = self.receivers.get_mut(id) else { return };
            if !receiver.given.remove(position) {
                continue;
            }
            let has_claim = receiver.stands_for_an_active_one(*position);
            if !self.closed {
                let back = if receiver.is_active() { &mut self.line } else { &mut receiver.waiting };
                back.insert(*position);
            }
            self.free(*position);
            if self.closed {
                self.disown(*position, has_claim);
            }
        }
    }

    /// These receivers go together: what they had and were not done with waits again, and not for each other.
    pub fn go(&mut self, ids: &[u64]) {
        let had_active = self.receivers.active() > 0;
        let gone: Vec<Receiver> = ids.iter().filter_map(|id| self.receivers.remove(*id)).collect();
        for receiver in gone {
            for position in &receiver.given {
                self.free(*position).redelivered = true;
            }
            for position in receiver.given.iter().chain(&receiver.waiting) {
                self.disown(*position, receiver.stands_for_an_active_one(*position));
            }
        }
        if had_active && self.receivers.active() == 0 {
            self.hand_over_the_line();
        }
    }

    /// It receives no more: what nobody has is dropped.
    pub fn close(&mut self) {
        self.closed = true;
        self.line.clear();
        self.receivers.iter_mut().for_each(|receiver| receiver.waiting.clear());
        self.messages.values_mut().for_each(|message| (message.owed, message.claims) = (message.held, 0));
        for (_, receiver) in self.receivers.iter() {
            for position in receiver.given.iter().filter(|position| receiver.stands_for_an_active_one(**position)) {
                self.messages.get_mut(position).expect("what was given is there").claims += 1;
            }
        }
        let waiting: Vec<u64> = self.messages.iter().filter(|(_, message)| message.held == 0).map(|(at, _)| *at).collect();
        waiting.into_iter().for_each(|position| self.discard(position));
    }

    /// One receiver has it no more.
    fn free(&mut self, position: u64) -> &mut Message {
        let message = self.messages.get_mut(&position).expect("what was given is there");
        message.held -= 1;
        self.held -= u64::from(message.held == 0);
        message
    }

    /// One more has nothing to do with it: it is settled, or waits again, when that was the last, or the last with a claim.
    fn disown(&mut self, position: u64, has_claim: bool) {
        let message = self.messages.get_mut(&position).expect("what is owed is there");
        message.owed -= 1;
        message.claims -= u32::from(has_claim);
        let is_last = message.owed == 0 || (has_claim && message.claims == 0);
        match (message.owed, message.finished) {
            (0, true) => {
                self.remove(position);
                self.counters.received += 1;
            }
            // An answer goes with its inbox.
            (0, false) if self.closed || message.content.answer_to.is_some() => self.discard(position),
            (_, false) if is_last && !self.closed => self.wait_again(position),
            _ => {}
        }
    }

    fn wait_again(&mut self, position: u64) {
        let content = self.messages[&position].content.clone();
        let (owed, claims) = self.spread(position, &content, false);
        let message = self.messages.get_mut(&position).expect("it was just there");
        message.owed += owed;
        message.claims = claims;
    }

    fn discard(&mut self, position: u64) {
        self.remove(position);
        self.counters.dropped += 1;
    }

    fn remove(&mut self, position: u64) {
        let message = self.messages.remove(&position).expect("what is removed is there");
        let size = message.content.size() as u64;
        self.bytes -= size;
        if let Some(answer) = message.content.answer_to {
            self.answers -= 1;
            self.answer_bytes -= size;
            if let Some(inbox) = self.receivers.get_mut(answer.inbox) {
                inbox.bytes -= size;
            }
        }
    }

    /// The last active receiver went: what waited for one is for the passive ones that came after it was sent.
    fn hand_over_the_line(&mut self) {
        let Side { line, messages, receivers, .. } = self;
        line.retain(|position| {
            let message = messages.get_mut(position).expect("what waits is there");
            let taken = receivers.offer(*position, &message.content, false);
            message.owed += taken.saturating_sub(1);
            message.claims += taken.saturating_sub(1);
            taken == 0
        });
    }
}
