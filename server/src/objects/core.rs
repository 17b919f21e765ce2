//! The part of a host that is the same for every kind and needs nothing but time as a number: lines of waiters, deadlines, the
//! position up to which answers are durable. The live [host](super::host) drives it under a lock; the simulation drives it bare.
//!
//! ```text
//! call ─► elapsed(now) ─► decide ─┬─ Answer, Refuse ──────────────────────► answer
//!                                 ├─ Change ─► journal ─► evolve ─► settle ► answer (held until durable)
//!                                 └─ Wait ─► line ─► asked again by settle, or overdue, cancelled, departed
//! ```

use super::kind::{Decision, Departure, Kind, LINES, Line, Moment, SessionId};
use crate::engine::Mark;
use bursar_proto::{Fault, Wait};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
};

/// Tells calls apart: sequences are unique within their session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId {
    /// Who asks.
    pub session: SessionId,
    /// Which of its calls.
    pub sequence: u64,
}

/// An answer that may leave: everything it rests on is durable.
#[derive(Debug)]
pub struct Answer<K: Kind, T> {
    /// Where it goes.
    pub ticket: T,
    /// What it says.
    pub result: Result<K::Reply, Fault>,
}

struct Waiter<K: Kind, T> {
    call: CallId,
    command: K::Command,
    deadline: Option<Moment>,
    ticket: T,
}

#[derive(Clone, Copy)]
enum Order {
    FirstComeFirstServed,
    AllAtOnce,
}

/// Where changes are recorded, and what may leave.
pub struct Turn<'a, K: Kind, T> {
    /// What time it is.
    pub now: Moment,
    /// Records a change and says how far the journal must come for it to be kept.
    pub journal: &'a mut dyn FnMut(&K::Change) -> Mark,
    /// Answers that may leave.
    pub out: &'a mut Vec<Answer<K, T>>,
}

/// One object with those who wait for it.
pub struct Core<K: Kind, T> {
    kind: K,
    lines: [BTreeMap<u64, Waiter<K, T>>; LINES],
    orders: [Order; LINES],
    /// Number of the next waiter; the lines are ordered by it.
    arrivals: u64,
    /// Waiters by call, as (line, arrival).
    places: BTreeMap<CallId, (usize, u64)>,
    deadlines: BTreeSet<(Moment, usize, u64)>,
    /// Where the last change of this object stands in the journal.
    position: Mark,
    durable: Mark,
    /// Answers that rest on changes which are not durable yet, oldest first.
    held: VecDeque<(Mark, Answer<K, T>)>,
    /// Set once the object serves nobody any more; every call and answer becomes this fault.
    stopped: Option<Fault>,
}

impl<K: Kind, T> Core<K, T> {
    /// An object with nobody waiting.
    pub fn new(kind: K) -> Core<K, T> {
        Core {
            kind,
            lines: [const { BTreeMap::new() }; LINES],
            orders: [Order::FirstComeFirstServed; LINES],
            arrivals: 0,
            places: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            position: Mark(0),
            durable: Mark(0),
            held: VecDeque::new(),
            stopped: None,
        }
    }

    /// The state machine itself, to look at.
    pub fn kind(&self) -> &K {
        &self.kind
    }

    /// How many calls stand in line.
    pub fn waiting(&self) -> usize {
        self.places.len()
    }

    /// How many answers wait for the journal.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// A waiter that could be answered and was not asked: for tests and simulation, where there must be none.
    pub fn overlooked(&self, now: Moment) -> Option<CallId> {
        self.lines.iter().zip(&self.orders).find_map(|(line, order)| {
            for waiter in line.values() {
                match (self.kind.decide(waiter.call.session, &waiter.command, now), order) {
                    (Decision::Wait, Order::FirstComeFirstServed) => return None,
                    (Decision::Wait | Decision::StandAside, _) => {}
                    _ => return Some(waiter.call),
                }
            }
            None
        })
    }

    /// When [`Core::pass_time`] has something to do next.
    pub fn next_wake(&self) -> Option<Moment> {
        let deadline = self.deadlines.first().map(|(deadline, ..)| *deadline);
        match (self.kind.due(), deadline) {
            (Some(due), Some(deadline)) => Some(due.min(deadline)),
            (due, deadline) => due.or(deadline),
        }
    }

    /// Decides a command, or lets it wait.
    pub fn call(&mut self, call: CallId, command: K::Command, wait: Wait, ticket: T, turn: &mut Turn<'_, K, T>) {
        if let Some(fault) = &self.stopped {
            return turn.out.push(Answer { ticket, result: Err(fault.clone()) });
        }
        self.pass_time(turn);
        let line = K::line(&command);
        let behind_others = matches!(line, Some(Line::Queue(line)) if !self.lines[usize::from(line)].is_empty());
        let decision = if behind_others { Decision::Wait } else { self.kind.decide(call.session, &command, turn.now) };
        match (decision, line) {
            (Decision::Wait | Decision::StandAside, Some(line)) if behind_others || wait != Wait::Never => {
                let place = self.park(line, call, command, wait, ticket, turn.now);
                if behind_others {
                    // Those in front may be standing aside.
                    if self.ask(place.0, turn) {
                        self.settle(turn);
                    }
                    if wait == Wait::Never && self.places.contains_key(&call) {
                        self.give_up(place.0, place.1, turn);
                    }
                }
            }
            (Decision::Wait | Decision::StandAside, _) => {
                let fault = self.kind.overdue(&command);
                self.answer(ticket, Err(fault), turn);
            }
            (Decision::Answer(reply), _) => self.answer(ticket, Ok(reply), turn),
            (Decision::Refuse(fault), _) => self.answer(ticket, Err(fault), turn),
            (Decision::Change(change, reply), _) => {
                self.apply(change, turn);
                self.answer(ticket, Ok(reply), turn);
                self.settle(turn);
            }
        }
    }

    /// Lets time do its work: what is due in the kind, then deadlines of waiters.
    pub fn pass_time(&mut self, turn: &mut Turn<'_, K, T>) {
        let mut changed = false;
        while let Some(change) = self.kind.elapsed(turn.now) {
            self.apply(change, turn);
            changed = true;
        }
        if changed {
            self.settle(turn);
        }
        while let Some(&(deadline, line, arrival)) = self.deadlines.first() {
            if deadline > turn.now {
                break;
            }
            self.give_up(line, arrival, turn);
        }
    }

    /// Takes a waiting call out of its line. False: it does not wait here (any more).
    pub fn cancel(&mut self, call: CallId, turn: &mut Turn<'_, K, T>) -> bool {
        self.pass_time(turn);
        let Some((line, arrival)) = self.places.get(&call).copied() else { return false };
        let waiter = self.remove(line, arrival);
        self.answer(waiter.ticket, Err(Fault::Cancelled {}), turn);
        // Who stood behind it may be served now.
        if self.ask(line, turn) {
            self.settle(turn);
        }
        true
    }

    /// A reply was decided and never reached its caller.
    pub fn unheard(&mut self, caller: SessionId, reply: &K::Reply, turn: &mut Turn<'_, K, T>) {
        self.pass_time(turn);
        if self.stopped.is_none()
            && let Some(change) = self.kind.unheard(caller, reply, turn.now)
        {
            self.apply(change, turn);
            self.settle(turn);
        }
    }

    /// A session ended: its waits are cancelled first, then what it held is given back, in one step.
    pub fn depart(&mut self, session: SessionId, how: Departure, turn: &mut Turn<'_, K, T>) {
        self.pass_time(turn);
        let first = CallId { session, sequence: 0 };
        let last = CallId { session, sequence: u64::MAX };
        let places: Vec<_> =
            self.places.range((Bound::Included(first), Bound::Included(last))).map(|(_, place)| *place).collect();
        for (line, arrival) in &places {
            let waiter = self.remove(*line, *arrival);
            let fault = Fault::SessionEnded { reason: "while the call waited".into() };
            self.answer(waiter.ticket, Err(fault), turn);
        }
        if self.stopped.is_some() {
            return;
        }
        let change = self.kind.departed(session, how, turn.now);
        if change.is_none() && places.is_empty() {
            return;
        }
        if let Some(change) = change {
            self.apply(change, turn);
        }
        self.settle(turn);
    }

    /// Answers everybody who waits with this fault; later calls go on as usual.
    pub fn dismiss(&mut self, fault: &Fault, turn: &mut Turn<'_, K, T>) {
        for line in &mut self.lines {
            for (_, waiter) in std::mem::take(line) {
                turn.out.push(Answer { ticket: waiter.ticket, result: Err(fault.clone()) });
            }
        }
        self.places.clear();
        self.deadlines.clear();
    }

    /// Ends the object: whoever waits, whatever is held and every later call gets this fault.
    pub fn stop(&mut self, fault: Fault, turn: &mut Turn<'_, K, T>) {
        self.dismiss(&fault, turn);
        for (_, answer) in self.held.drain(..) {
            turn.out.push(Answer { ticket: answer.ticket, result: Err(fault.clone()) });
        }
        self.stopped = Some(fault);
    }

    /// The journal has come this far: answers that rest on it may leave.
    pub fn release(&mut self, durable: Mark, out: &mut Vec<Answer<K, T>>) {
        self.durable = self.durable.max(durable);
        while self.held.front().is_some_and(|(mark, _)| *mark <= self.durable) {
            out.extend(self.held.pop_front().map(|(_, answer)| answer));
        }
    }

    fn apply(&mut self, change: K::Change, turn: &mut Turn<'_, K, T>) {
        self.position = self.position.max((turn.journal)(&change));
        self.kind.evolve(change);
    }

    /// Every answer carries the position of the object's last change, refusals and reads included: what they say may rest on it.
    fn answer(&mut self, ticket: T, result: Result<K::Reply, Fault>, turn: &mut Turn<'_, K, T>) {
        let answer = Answer { ticket, result };
        if self.position <= self.durable {
            turn.out.push(answer);
        } else {
            self.held.push_back((self.position, answer));
        }
    }

    fn park(&mut self, line: Line, call: CallId, command: K::Command, wait: Wait, ticket: T, now: Moment) -> (usize, u64) {
        let (line, order) = match line {
            Line::Queue(line) => (usize::from(line), Order::FirstComeFirstServed),
            Line::Crowd(line) => (usize::from(line), Order::AllAtOnce),
        };
        self.orders[line] = order;
        let arrival = self.arrivals;
        self.arrivals += 1;
        let deadline = match wait {
            Wait::For(duration) => Some(now.after_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))),
            Wait::Never | Wait::Forever => None,
        };
        self.deadlines.extend(deadline.map(|deadline| (deadline, line, arrival)));
        self.places.insert(call, (line, arrival));
        self.lines[line].insert(arrival, Waiter { call, command, deadline, ticket });
        (line, arrival)
    }

    fn remove(&mut self, line: usize, arrival: u64) -> Waiter<K, T> {
        let waiter = self.lines[line].remove(&arrival).expect("places and deadlines name waiters that are there");
        self.places.remove(&waiter.call);
        if let Some(deadline) = waiter.deadline {
            self.deadlines.remove(&(deadline, line, arrival));
        }
        waiter
    }

    fn give_up(&mut self, line: usize, arrival: u64, turn: &mut Turn<'_, K, T>) {
        let waiter = self.remove(line, arrival);
        let fault = self.kind.overdue(&waiter.command);
        self.answer(waiter.ticket, Err(fault), turn);
        // Who stood behind a large request may fit; and that may be what others wait for.
        if self.ask(line, turn) {
            self.settle(turn);
        }
    }

    /// Asks all lines again until nothing changes.
    fn settle(&mut self, turn: &mut Turn<'_, K, T>) {
        loop {
            let mut changed = false;
            for line in 0..LINES {
                changed |= self.ask(line, turn);
            }
            if !changed {
                return;
            }
        }
    }

    /// Asks one line; says whether the object changed.
    fn ask(&mut self, line: usize, turn: &mut Turn<'_, K, T>) -> bool {
        let mut changed = false;
        let mut after = None;
        loop {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let Some((&arrival, waiter)) = self.lines[line].range((from, Bound::Unbounded)).next() else {
                return changed;
            };
            let (change, result) = match self.kind.decide(waiter.call.session, &waiter.command, turn.now) {
                Decision::Wait if matches!(self.orders[line], Order::FirstComeFirstServed) => return changed,
                Decision::Wait | Decision::StandAside => {
                    after = Some(arrival);
                    continue;
                }
                Decision::Answer(reply) => (None, Ok(reply)),
                Decision::Refuse(fault) => (None, Err(fault)),
                Decision::Change(change, reply) => (Some(change), Ok(reply)),
            };
            let waiter = self.remove(line, arrival);
            if let Some(change) = change {
                self.apply(change, turn);
                changed = true;
            }
            self.answer(waiter.ticket, result, turn);
        }
    }
}
