//! C1: in each direction every message is settled, or waits, or is given, once for everybody who gets it, in the order of positions,
//! and the counts are those of what is there. Linear: for tests and simulation.

use super::{Channel, Mode, RECEIVERS_MAX, side::Side};
use crate::objects::message::Content;
use std::collections::{BTreeMap, BTreeSet};

impl Channel {
    /// What is contradicted by what.
    pub(super) fn broken(&self) -> Option<String> {
        let numbers: BTreeSet<u64> = self.sides.iter().flat_map(|side| side.receivers.iter()).map(|(id, _)| id / 2).collect();
        let attached: u64 = self.sides.iter().map(|side| side.receivers.len()).sum();
        if numbers.len() as u64 != attached || numbers.last().is_some_and(|last| *last > self.receivers) {
            return Some("a number belongs to two receivers, or to one that was never attached".into());
        }
        self.sides.iter().find_map(|side| {
            let sums = || side.miscounted(self.options.max_messages, self.options.max_bytes);
            side.receivers.contradiction().or_else(|| side.misplaced()).or_else(sums).or_else(|| side.undelivered())
        })
    }
}

impl Side {
    /// A message that is not exactly where its numbers say.
    fn misplaced(&self) -> Option<String> {
        let (mut owed, mut held, mut claims): (BTreeMap<u64, u32>, BTreeMap<u64, u32>, BTreeMap<u64, u32>) = Default::default();
        for position in &self.line {
            *owed.entry(*position).or_default() += 1;
            *claims.entry(*position).or_default() += 1;
        }
        for (id, receiver) in self.receivers.iter() {
            if let Some(position) = receiver.waiting.intersection(&receiver.given).next() {
                return Some(format!("{position} is given to {id} and waits for it"));
            }
            if receiver.is_active() && !receiver.waiting.is_empty() {
                return Some(format!("something waits for the active receiver {id} outside of the line"));
            }
            receiver.given.iter().for_each(|position| *held.entry(*position).or_default() += 1);
            for position in receiver.waiting.union(&receiver.given) {
                *owed.entry(*position).or_default() += 1;
                if receiver.stands_for_an_active_one(*position) {
                    *claims.entry(*position).or_default() += 1;
                }
            }
        }
        let all_owed: BTreeMap<u64, u32> = self.messages.iter().map(|(position, message)| (*position, message.owed)).collect();
        let all_held = self.messages.iter().map(|(position, message)| (*position, message.held)).filter(|(_, held)| *held > 0);
        let all_claims =
            self.messages.iter().map(|(position, message)| (*position, message.claims)).filter(|(_, claims)| *claims > 0);
        let is_right = all_owed == owed && all_held.collect::<BTreeMap<_, _>>() == held;
        (!is_right || all_claims.collect::<BTreeMap<_, _>>() != claims)
            .then(|| "the messages are not those that wait or are given".into())
    }

    fn miscounted(&self, max_messages: u64, max_bytes: u64) -> Option<String> {
        let bytes: u64 = self.messages.values().map(|message| message.content.size() as u64).sum();
        let held = self.messages.values().filter(|message| message.held > 0).count() as u64;
        if (bytes, held) != (self.bytes, self.held) {
            return Some(format!("{bytes} bytes, {held} given; counted are others"));
        }
        let gone = self.counters.received + self.counters.dropped;
        if gone + self.messages.len() as u64 != self.last_position {
            let (there, sent) = (self.messages.len(), self.last_position);
            return Some(format!("{gone} messages are settled or dropped and {there} are there, of {sent}"));
        }
        let (others, other_bytes) = (self.messages.len() as u64 - self.answers, bytes - self.answer_bytes);
        let is_over = others > 1 && (others > max_messages || other_bytes > max_bytes);
        let is_too_much = (is_over || self.receivers.len() > RECEIVERS_MAX).then(|| "more than may be there".into());
        is_too_much.or_else(|| self.miscounted_answers(max_messages, max_bytes))
    }

    /// An inbox has no more than was there when the last of its answers came, and that one.
    fn miscounted_answers(&self, max_messages: u64, max_bytes: u64) -> Option<String> {
        let (mut answers, mut answer_bytes) = (0, 0);
        for (id, inbox) in self.receivers.iter().filter(|(_, receiver)| receiver.mode == Mode::Inbox) {
            let size = |position: &u64| self.messages[position].content.size() as u64;
            let has: BTreeSet<u64> = inbox.waiting.union(&inbox.given).copied().collect();
            let (count, bytes): (u64, u64) = (has.len() as u64, has.iter().map(size).sum());
            let before_last = bytes - has.last().map_or(0, size);
            if bytes != inbox.bytes || count > max_messages || (count > 1 && before_last >= max_bytes) {
                return Some(format!("{count} answers of {bytes} bytes are with {id}, counted are {} bytes", inbox.bytes));
            }
            (answers, answer_bytes) = (answers + count, answer_bytes + bytes);
        }
        ((answers, answer_bytes) != (self.answers, self.answer_bytes))
            .then(|| format!("{answers} answers of {answer_bytes} bytes; counted are others"))
    }

    /// A message that is not with those who should have it.
    fn undelivered(&self) -> Option<String> {
        for (position, message) in &self.messages {
            if *position == 0 || *position > self.last_position || message.owed == 0 {
                return Some(format!("{position} was never sent, or is owed to nobody"));
            }
            if self.closed && message.owed > message.held {
                return Some(format!("{position} waits at a closed end"));
            }
            if let Some(answer) = message.content.answer_to {
                let inbox = self.receivers.get(answer.inbox).filter(|receiver| receiver.mode == Mode::Inbox);
                if !inbox.is_some_and(|inbox| inbox.waiting.contains(position) || inbox.given.contains(position)) {
                    return Some(format!("the answer {position} is not with its inbox"));
                }
            }
        }
        self.receivers.iter().find_map(|(id, receiver)| {
            let had = receiver.waiting.union(&receiver.given).map(|position| (position, &self.messages[position].content));
            if let Some((position, _)) = had.into_iter().find(|(_, content)| !is_for(id, &receiver.mode, content)) {
                return Some(format!("{position} is with {id}, for which it is not"));
            }
            let may_take = |position: &&u64| **position <= receiver.after && receiver.takes(&self.messages[*position].content);
            let missed = self.line.iter().find(may_take).filter(|_| self.receivers.active() == 0);
            missed.map(|position| format!("{position} waits, and {id} would take it"))
        })
    }
}

fn is_for(id: u64, mode: &Mode, content: &Content) -> bool {
    let inbox = content.answer_to.map(|answer| answer.inbox);
    match mode {
        Mode::Active => inbox.is_none(),
        Mode::Passive(wanted) => inbox.is_none() && wanted.wants(content),
        Mode::Inbox => inbox == Some(id),
    }
}
