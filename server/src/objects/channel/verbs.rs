//! What a channel says to each verb.

use super::{
    Change, Channel, Command, Delivered, End, Mode, Options, RECEIVERS_MAX, Reply, Stats, receivers::Receiver, side::Side,
};
use crate::objects::{
    kind::{Decision, Moment, SessionId},
    message::{Content, Origin},
    page::Page,
};
use bursar_proto::Fault;

type Verdict = Decision<Channel>;

impl Channel {
    /// A receiver of this session, and its end.
    pub(super) fn attached(&self, caller: SessionId, id: u64) -> Result<(&Side, &Receiver), Fault> {
        let side = self.side(End::of(id));
        let receiver = side.receivers.get(id).filter(|receiver| receiver.session == caller);
        receiver.map(|receiver| (side, receiver)).ok_or(Fault::NoSuchReceiver { id })
    }

    pub(super) fn attach(&self, session: SessionId, end: End, mode: &Mode) -> Result<Verdict, Fault> {
        let side = self.side(end);
        if side.closed {
            return Err(is_closed(end));
        }
        if side.receivers.len() >= RECEIVERS_MAX {
            return Err(Fault::LimitReached { what: "receivers of one end of a channel".into(), limit: RECEIVERS_MAX });
        }
        let change = Change::Attached { session, end, mode: mode.clone() };
        Ok(Decision::Change(change, Reply::Attach { receiver: self.next_receiver(end) }))
    }

    pub(super) fn detach(&self, caller: SessionId, receiver: u64, done: &[u64]) -> Result<Verdict, Fault> {
        let (_, found) = self.attached(caller, receiver)?;
        Ok(Decision::Change(Change::Detached { receiver, done: given_of(found, done) }, Reply::Detach))
    }

    pub(super) fn send(
        &self,
        session: SessionId,
        from: End,
        messages: &[Content],
        must_be_heard: bool,
        sent: Moment,
    ) -> Result<Verdict, Fault> {
        if let Some(end) = [from, from.other()].into_iter().find(|end| self.side(*end).closed) {
            return Err(is_closed(end));
        }
        let to = self.side(from.other());
        let inbox = messages.first().and_then(|first| first.answer_to).map(|answer| answer.inbox);
        let count = match inbox {
            Some(inbox) => self.count_answers(to, inbox, messages),
            None => self.count_fitting(to, messages),
        };
        // While nothing fits, the first alone says whether waiting makes sense: a long request is asked often.
        let sent_or_first = if count == 0 { &messages[..1] } else { messages };
        if let Some(id) = sent_or_first.iter().find_map(|content| stray_answer(to, content)) {
            return Err(Fault::NoSuchReceiver { id });
        }
        // An answer has its inbox.
        if must_be_heard && inbox.is_none() && !to.hears(&messages[0]) {
            return Err(Fault::NoResponders {});
        }
        if count == 0 {
            return Ok(Decision::Wait);
        }
        let reply = Reply::Send { first: to.last_position + 1, count: count as u64 };
        let (origin, messages) = (Origin { session, sent }, messages[..count].to_vec());
        Ok(Decision::Change(Change::Sent { from, origin, messages }, reply))
    }

    /// How many from the front, up to the first answer, there is room for.
    fn count_fitting(&self, to: &Side, messages: &[Content]) -> usize {
        let Options { max_messages, max_bytes } = self.options;
        let (mut count, mut bytes) = (to.messages.len() as u64 - to.answers, to.bytes - to.answer_bytes);
        let fits = |content: &&Content| {
            bytes = bytes.saturating_add(content.size() as u64);
            count += 1;
            content.answer_to.is_none() && (count == 1 || (count <= max_messages && bytes <= max_bytes))
        };
        messages.iter().take_while(fits).count()
    }

    /// How many from the front go to this inbox, and find it open. Whatever the size of the next one, so that no answer overtakes a
    /// larger one that waits.
    fn count_answers(&self, to: &Side, inbox: u64, messages: &[Content]) -> usize {
        let Options { max_messages, max_bytes } = self.options;
        let receiver = to.receivers.get(inbox);
        let has = |receiver: &Receiver| ((receiver.waiting.len() + receiver.given.len()) as u64, receiver.bytes);
        let (mut count, mut bytes) = receiver.map_or((0, 0), has);
        let fits = |content: &&Content| {
            let is_open = count < max_messages && bytes < max_bytes;
            bytes = bytes.saturating_add(content.size() as u64);
            count += 1;
            is_open && content.answer_to.is_some_and(|answer| answer.inbox == inbox)
        };
        messages.iter().take_while(fits).count()
    }

    pub(super) fn receive(&self, caller: SessionId, receiver: u64, max: usize, done: &[u64]) -> Result<Verdict, Fault> {
        let (side, found) = self.attached(caller, receiver)?;
        let (done, messages) = (given_of(found, done), page(side, found, max));
        if !messages.is_empty() {
            let change = Change::Received { receiver, done, count: messages.len() as u32 };
            return Ok(Decision::Change(change, Reply::Receive { receiver, messages }));
        }
        if !done.is_empty() {
            let change = Change::Finished { receiver, positions: done };
            return Ok(Decision::Enter(change, Command::Receive { receiver, max, done: Vec::new() }));
        }
        let end = End::of(receiver);
        if side.closed {
            return Err(is_closed(end));
        }
        if self.side(end.other()).closed && !side.may_come_back(found) {
            return Err(is_closed(end.other()));
        }
        Ok(Decision::Wait)
    }

    pub(super) fn done(&self, caller: SessionId, receiver: u64, positions: &[u64]) -> Result<Verdict, Fault> {
        let positions = given_of(self.attached(caller, receiver)?.1, positions);
        Ok(match positions.is_empty() {
            true => Decision::Answer(Reply::Done),
            false => Decision::Change(Change::Finished { receiver, positions }, Reply::Done),
        })
    }

    pub(super) fn close(&self, end: End) -> Verdict {
        match self.side(end) {
            side if side.closed => Decision::Answer(Reply::Close { changed: false, dropped: 0 }),
            side => Decision::Change(Change::Closed { end }, Reply::Close { changed: true, dropped: side.waiting() }),
        }
    }

    pub(super) fn stats(&self, end: End) -> Stats {
        let side = self.side(end);
        Stats {
            closed: side.closed,
            waiting: side.waiting(),
            given: side.held,
            bytes: side.bytes,
            active: side.receivers.active(),
            passive: side.receivers.passive(),
            counters: side.counters,
        }
    }
}

fn is_closed(end: End) -> Fault {
    Fault::EndClosed { end: end.name().into() }
}

/// The inbox of an answer that is none of this end.
fn stray_answer(to: &Side, content: &Content) -> Option<u64> {
    let id = content.answer_to?.inbox;
    let is_inbox = to.receivers.get(id).is_some_and(|receiver| receiver.mode == Mode::Inbox);
    (!is_inbox).then_some(id)
}

/// Those of the positions that the receiver has: what it was done with before is said again when an answer got lost.
fn given_of(receiver: &Receiver, positions: &[u64]) -> Vec<u64> {
    positions.iter().copied().filter(|position| receiver.given.contains(position)).collect()
}

/// What one reply takes of what waits for the receiver.
fn page(side: &Side, receiver: &Receiver, max: usize) -> Vec<Delivered> {
    let mut page = Page::of(max);
    let waiting = side.next_for(receiver).iter().map(|position| (*position, &side.messages[position]));
    waiting
        .take_while(|(_, message)| page.takes(message.content.size()))
        .map(|(position, message)| Delivered {
            position,
            content: message.content.clone(),
            origin: message.origin,
            redelivered: message.redelivered,
        })
        .collect()
}
