//! The part of a host that is the same for every kind and needs nothing but time as a number: lines of waiters, deadlines, the
//! position up to which answers are durable. The live [host](super::host) drives it under a lock; the simulation drives it bare.
//!
//! ```text
//! call ─► elapsed(now) ─► decide ─┬─ Answer, Refuse ──────────────────────► answer
//!                                 ├─ Change ─► journal ─► evolve ─► settle ► answer (held until durable)
//!                                 ├─ Enter ──► journal ─► evolve ─┐
//!                                 └─ Wait ────────────────────────┴► line ─► asked again by settle, or overdue, cancelled, departed
//! ```

use super::kind::{Blocking, Decision, Departure, GivenUp, Kind, LINES, Line, Moment, SessionId, Together};
use crate::engine::Mark;
use bursar_proto::{Fault, Wait, v1};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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
pub struct Answer<K: Kind, T> {
    /// Where it goes.
    pub ticket: T,
    /// What it says.
    pub result: Result<Told<K>, Fault>,
}

/// A reply.
pub enum Told<K: Kind> {
    /// Of this object.
    Own(K::Reply),
    /// Of several objects, of which this one holds the answer back.
    Joint(v1::answer::Reply),
}

/// A command with what must be held for it to be executed.
#[derive(Debug)]
pub struct Asked<C> {
    /// The command.
    pub command: C,
    /// Checked whenever the command is decided.
    pub fence: Option<Fence>,
}

impl<C> From<C> for Asked<C> {
    fn from(command: C) -> Asked<C> {
        Asked { command, fence: None }
    }
}

/// A token, and where the one under which its lock is held now can be read. It is read while the object is locked that the command
/// is for: whatever a later holder of the lock does there comes after.
#[derive(Clone, Debug)]
pub struct Fence {
    /// The name of the lock.
    pub lock: String,
    /// The token that the command says.
    pub token: u64,
    /// The token under which the lock is held; 0: none.
    pub current: Arc<AtomicU64>,
}

impl Fence {
    /// A fault if another token is the current one.
    pub fn check(&self) -> Result<(), Fault> {
        match self.current.load(Ordering::SeqCst) {
            current if current == self.token && current != 0 => Ok(()),
            current => Err(Fault::StaleToken { lock: self.lock.clone(), token: self.token, current }),
        }
    }
}

struct Waiter<K: Kind, T> {
    call: CallId,
    asked: Asked<K::Command>,
    since: Moment,
    deadline: Option<Moment>,
    ticket: T,
}

/// A call that stands in line, as an operator sees it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whose call.
    pub session: SessionId,
    /// For what it waits.
    pub what: &'static str,
    /// For whom.
    pub blocking: Blocking,
    /// Since when.
    pub since: Moment,
    /// Until when.
    pub deadline: Option<Moment>,
    /// The order of arrival.
    pub arrival: u64,
}

/// What asking a waiter came to.
enum Step {
    /// It waits on, and may let others pass.
    Nothing { aside: bool },
    /// It is answered.
    Answer,
    /// The object changed, and the waiter is answered or waits for something else.
    Change,
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
    /// Lines in which somebody may have come closer since they were asked.
    concerned: [bool; LINES],
    /// Waiters that wait for something of their own, as (its number, line, arrival).
    numbered: BTreeSet<(u64, usize, u64)>,
    /// Such numbers for which somebody may have come closer since.
    named: BTreeSet<u64>,
    /// Number of the next waiter; the lines are ordered by it.
    arrivals: u64,
    /// Waiters by call, as (line, arrival).
    places: BTreeMap<CallId, (usize, u64)>,
    deadlines: BTreeSet<(Moment, usize, u64)>,
    /// Waiters by session and owner, as (session, owner, line, arrival), of commands that have one.
    owners: BTreeSet<(SessionId, u64, usize, u64)>,
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
            concerned: [false; LINES],
            numbered: BTreeSet::new(),
            named: BTreeSet::new(),
            arrivals: 0,
            places: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            owners: BTreeSet::new(),
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

    /// Whether it serves nobody any more.
    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// How many calls stand in line.
    pub fn waiting(&self) -> usize {
        self.places.len()
    }

    /// How many answers wait for the journal.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// A waiter that could be answered and was not asked: for tests and simulation, where there must be none. A fence that went stale
    /// meanwhile is no answer by itself: it is looked at when the kind has something to give.
    pub fn overlooked(&self, now: Moment) -> Option<CallId> {
        self.lines.iter().zip(&self.orders).find_map(|(line, order)| {
            let mut is_behind = false;
            for waiter in line.values() {
                let command = &waiter.asked.command;
                match self.kind.decide(waiter.call.session, command, now) {
                    Decision::Wait => is_behind |= matches!(order, Order::FirstComeFirstServed),
                    Decision::StandAside => {}
                    Decision::Overtake(..) | Decision::Refuse(_) if K::owner(command).is_some() => return Some(waiter.call),
                    _ if is_behind => {}
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
    pub fn call(&mut self, call: CallId, asked: Asked<K::Command>, wait: Wait, ticket: T, turn: &mut Turn<'_, K, T>) {
        if let Some(fault) = &self.stopped {
            return turn.out.push(Answer { ticket, result: Err(fault.clone()) });
        }
        self.pass_time(turn);
        let line = K::line(&asked.command);
        let behind_others = line.is_some_and(|line| self.has_others_in_front(line));
        let decision = match self.decide(call.session, &asked, turn.now) {
            Decision::Answer(_) | Decision::Change(..) | Decision::StandAside if behind_others => Decision::Wait,
            decision => decision,
        };
        match decision {
            Decision::Answer(reply) => self.answer(ticket, Ok(reply), turn),
            Decision::Refuse(fault) => self.answer(ticket, Err(fault), turn),
            Decision::Change(change, reply) | Decision::Overtake(change, reply) => {
                self.apply(change, turn);
                self.answer(ticket, Ok(reply), turn);
                self.settle(turn);
            }
            Decision::Enter(change, command) => {
                let deadline = deadline(wait, turn.now);
                self.apply(change, turn);
                let asked = Asked { command, fence: asked.fence };
                let (line, arrival) = self.park(Waiter { call, asked, since: turn.now, deadline, ticket });
                self.point_at(line, arrival);
                self.settle(turn);
                self.dismiss_overdue(turn);
            }
            Decision::Wait | Decision::StandAside if line.is_some() && (behind_others || wait != Wait::Never) => {
                let deadline = deadline(wait, turn.now);
                let (line, _) = self.park(Waiter { call, asked, since: turn.now, deadline, ticket });
                // Those in front may be standing aside.
                if behind_others {
                    self.concerned[line] = true;
                    self.settle(turn);
                }
                self.dismiss_overdue(turn);
            }
            Decision::Wait | Decision::StandAside => {
                let result = self.overdue(&asked.command, turn.now);
                self.answer(ticket, result, turn);
            }
        }
    }

    /// What the kind says, unless the fence does not hold.
    fn decide(&self, session: SessionId, asked: &Asked<K::Command>, now: Moment) -> Decision<K> {
        match asked.fence.as_ref().map_or(Ok(()), Fence::check) {
            Ok(()) => self.kind.decide(session, &asked.command, now),
            Err(stale) => Decision::Refuse(stale),
        }
    }

    fn has_others_in_front(&self, line: Line) -> bool {
        matches!(line, Line::Queue(line) if !self.lines[usize::from(line)].is_empty())
    }

    /// Decides the steps of a transaction on this object. Nothing is changed yet.
    pub fn decide_all(&self, caller: SessionId, commands: &[K::Command], now: Moment) -> Result<Together<K>, Fault> {
        if let Some(fault) = &self.stopped {
            return Err(fault.clone());
        }
        for command in commands {
            if K::line(command).is_some_and(|line| self.has_others_in_front(line)) {
                return Err(self.kind.overdue(command, now));
            }
        }
        self.kind.decide_all(caller, commands, now)
    }

    /// Takes what a transaction has decided and recorded up to this mark.
    pub fn evolve_all(&mut self, changes: Vec<K::Change>, mark: Mark, turn: &mut Turn<'_, K, T>) {
        self.position = self.position.max(mark);
        for change in changes {
            self.evolve(change);
        }
        self.settle(turn);
    }

    /// The mark on which every answer about this object rests.
    pub fn position(&self) -> Mark {
        self.position
    }

    /// Answers for several objects, none of which rests on a later mark than this one.
    pub fn answer_jointly(&mut self, ticket: T, result: Result<v1::answer::Reply, Fault>, turn: &mut Turn<'_, K, T>) {
        let result = match &self.stopped {
            // Nobody lets go of what it holds back any more.
            Some(stopped) => Err(stopped.clone()),
            None => result,
        };
        self.hold(Answer { ticket, result: result.map(Told::Joint) }, turn);
    }

    /// Why it serves nobody any more; `None`: it does.
    pub fn stopped(&self) -> Option<&Fault> {
        self.stopped.as_ref()
    }

    /// The calls in line, in the order of their arrival.
    pub fn standing(&self) -> Vec<Standing> {
        let lines = self.lines.iter().flatten();
        let mut standing: Vec<_> = lines
            .map(|(arrival, waiter)| Standing {
                session: waiter.call.session,
                what: self.kind.awaited(&waiter.asked.command),
                blocking: self.kind.blocking(&waiter.asked.command),
                since: waiter.since,
                deadline: waiter.deadline,
                arrival: *arrival,
            })
            .collect();
        standing.sort_unstable_by_key(|standing| standing.arrival);
        standing
    }

    /// The order of arrival of a call that stands in line.
    pub fn arrival(&self, call: CallId) -> Option<u64> {
        self.places.get(&call).map(|(_, arrival)| *arrival)
    }

    /// Whether a call of this session stands in line.
    pub fn has_waiting(&self, session: SessionId) -> bool {
        let (first, last) = (CallId { session, sequence: 0 }, CallId { session, sequence: u64::MAX });
        self.places.range(first..=last).next().is_some()
    }

    /// Takes a waiting call out of its line and answers it with this fault.
    pub fn refuse(&mut self, call: CallId, fault: Fault, turn: &mut Turn<'_, K, T>) -> bool {
        let Some((line, arrival)) = self.places.get(&call).copied() else { return false };
        let waiter = self.remove(line, arrival);
        let change = self.kind.given_up(call.session, &waiter.asked.command, GivenUp::TakenBack, turn.now);
        self.point_behind(line, &waiter.asked.command);
        self.answer(waiter.ticket, Err(fault), turn);
        if let Some(change) = change {
            self.apply(change, turn);
        }
        self.settle(turn);
        true
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
        self.dismiss_overdue(turn);
    }

    fn dismiss_overdue(&mut self, turn: &mut Turn<'_, K, T>) {
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
        self.refuse(call, Fault::Cancelled {}, turn)
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

    /// A session ended, for this reason: its waits are cancelled first, then what it held is given back, in one step.
    pub fn depart(&mut self, session: SessionId, how: Departure, why: &str, turn: &mut Turn<'_, K, T>) {
        self.pass_time(turn);
        let first = CallId { session, sequence: 0 };
        let last = CallId { session, sequence: u64::MAX };
        let places: Vec<_> =
            self.places.range((Bound::Included(first), Bound::Included(last))).map(|(_, place)| *place).collect();
        for (line, arrival) in &places {
            let waiter = self.remove(*line, *arrival);
            self.point_behind(*line, &waiter.asked.command);
            let fault = Fault::SessionEnded { reason: "while the call waited".into() };
            self.answer(waiter.ticket, Err(fault), turn);
        }
        if self.stopped.is_some() {
            return;
        }
        let change = self.kind.departed(session, how, why, turn.now);
        if change.is_none() && places.is_empty() {
            return;
        }
        if let Some(change) = change {
            self.apply(change, turn);
        }
        self.settle(turn);
    }

    /// Answers everybody who waits with this fault, but for those whose answer is under way; later calls go on as usual.
    pub fn dismiss(&mut self, fault: &Fault, turn: &mut Turn<'_, K, T>) {
        for line in 0..LINES {
            let arrivals: Vec<u64> = self.lines[line].keys().copied().collect();
            for arrival in arrivals {
                if self.stopped.is_none() && self.kind.is_under_way(&self.lines[line][&arrival].asked.command) {
                    continue;
                }
                let Waiter { call, asked, ticket, .. } = self.remove(line, arrival);
                let change = self.kind.given_up(call.session, &asked.command, GivenUp::TakenBack, turn.now);
                if let Some(change) = change.filter(|_| self.stopped.is_none()) {
                    self.apply(change, turn);
                }
                turn.out.push(Answer { ticket, result: Err(fault.clone()) });
            }
        }
        if self.stopped.is_none() {
            self.settle(turn);
        }
    }

    /// Ends the object: whoever waits, whatever is held and every later call gets this fault.
    pub fn stop(&mut self, fault: Fault, turn: &mut Turn<'_, K, T>) {
        self.stopped = Some(fault.clone());
        self.dismiss(&fault, turn);
        for (_, answer) in self.held.drain(..) {
            turn.out.push(Answer { ticket: answer.ticket, result: Err(fault.clone()) });
        }
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
        self.evolve(change);
    }

    fn evolve(&mut self, change: K::Change) {
        for (line, concerned) in self.concerned.iter_mut().enumerate() {
            *concerned |= K::concerns(&change, line);
        }
        self.named.extend(self.kind.named(&change));
        self.kind.evolve(change);
    }

    /// This waiter is to be asked.
    fn point_at(&mut self, line: usize, arrival: u64) {
        match K::awaits(&self.lines[line][&arrival].asked.command) {
            Some(number) => _ = self.named.insert(number),
            None => self.concerned[line] = true,
        }
    }

    /// Whoever stood behind one that has left may be served now; nobody stands behind one that waits for something of its own.
    fn point_behind(&mut self, line: usize, left: &K::Command) {
        self.concerned[line] |= K::awaits(left).is_none();
    }

    fn answer(&mut self, ticket: T, result: Result<K::Reply, Fault>, turn: &mut Turn<'_, K, T>) {
        self.hold(Answer { ticket, result: result.map(Told::Own) }, turn);
    }

    /// Every answer carries the position of the object's last change, refusals and reads included: what they say may rest on it.
    fn hold(&mut self, answer: Answer<K, T>, turn: &mut Turn<'_, K, T>) {
        if self.position <= self.durable || self.stopped.is_some() {
            turn.out.push(answer);
        } else {
            self.held.push_back((self.position, answer));
        }
    }

    /// Puts a waiter into the line of its command; says where it stands.
    fn park(&mut self, waiter: Waiter<K, T>) -> (usize, u64) {
        let (line, order) = match K::line(&waiter.asked.command) {
            Some(Line::Queue(line)) => (usize::from(line), Order::FirstComeFirstServed),
            Some(Line::Crowd(line)) => (usize::from(line), Order::AllAtOnce),
            None => unreachable!("a command without a line is not told to wait"),
        };
        self.orders[line] = order;
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.deadlines.extend(waiter.deadline.map(|deadline| (deadline, line, arrival)));
        self.places.insert(waiter.call, (line, arrival));
        let owner = K::owner(&waiter.asked.command);
        self.owners.extend(owner.map(|owner| (waiter.call.session, owner, line, arrival)));
        self.numbered.extend(K::awaits(&waiter.asked.command).map(|number| (number, line, arrival)));
        self.lines[line].insert(arrival, waiter);
        (line, arrival)
    }

    fn remove(&mut self, line: usize, arrival: u64) -> Waiter<K, T> {
        let waiter = self.lines[line].remove(&arrival).expect("places and deadlines name waiters that are there");
        self.places.remove(&waiter.call);
        if let Some(deadline) = waiter.deadline {
            self.deadlines.remove(&(deadline, line, arrival));
        }
        if let Some(owner) = K::owner(&waiter.asked.command) {
            self.owners.remove(&(waiter.call.session, owner, line, arrival));
        }
        if let Some(number) = K::awaits(&waiter.asked.command) {
            self.numbered.remove(&(number, line, arrival));
        }
        waiter
    }

    /// The deadline of a waiter has come. Where that changes the object, the waiter is asked once more and may have to stay.
    fn give_up(&mut self, line: usize, arrival: u64, turn: &mut Turn<'_, K, T>) {
        let waiter = &self.lines[line][&arrival];
        if let Some(change) = self.kind.given_up(waiter.call.session, &waiter.asked.command, GivenUp::Overdue, turn.now) {
            let waiter = self.lines[line].get_mut(&arrival).expect("deadlines name waiters that are there");
            if let Some(deadline) = waiter.deadline.take() {
                self.deadlines.remove(&(deadline, line, arrival));
            }
            self.point_at(line, arrival);
            self.apply(change, turn);
            return self.settle(turn);
        }
        let waiter = self.remove(line, arrival);
        let result = self.overdue(&waiter.asked.command, turn.now);
        self.point_behind(line, &waiter.asked.command);
        self.answer(waiter.ticket, result, turn);
        // Who stood behind a large request may fit; and that may be what others wait for.
        self.settle(turn);
    }

    fn overdue(&self, command: &K::Command, now: Moment) -> Result<K::Reply, Fault> {
        self.kind.late(command).ok_or_else(|| self.kind.overdue(command, now))
    }

    /// Asks those who are named, and the lines that are concerned, until nobody is.
    fn settle(&mut self, turn: &mut Turn<'_, K, T>) {
        while self.concerned.contains(&true) || !self.named.is_empty() {
            while let Some(number) = self.named.pop_first() {
                self.ask_numbered(number, turn);
            }
            for line in 0..LINES {
                if std::mem::take(&mut self.concerned[line]) {
                    self.ask(line, turn);
                }
            }
        }
    }

    /// Asks those who wait for this number.
    fn ask_numbered(&mut self, number: u64, turn: &mut Turn<'_, K, T>) {
        let waiting = self.numbered.range((number, 0, 0)..=(number, usize::MAX, u64::MAX));
        let waiting: Vec<_> = waiting.map(|(_, line, arrival)| (*line, *arrival)).collect();
        for (line, arrival) in waiting {
            if self.lines[line].contains_key(&arrival) {
                self.ask_one(line, arrival, turn);
            }
        }
    }

    /// Asks one line; says whether the object changed.
    fn ask(&mut self, line: usize, turn: &mut Turn<'_, K, T>) -> bool {
        let mut changed = false;
        let mut after = None;
        loop {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.lines[line].range((from, Bound::Unbounded)).next();
            let Some(arrival) = next.map(|(arrival, _)| *arrival) else { return changed };
            match self.ask_one(line, arrival, turn) {
                Step::Nothing { aside: false } if matches!(self.orders[line], Order::FirstComeFirstServed) => return changed,
                Step::Nothing { .. } => after = Some(arrival),
                Step::Answer => {}
                Step::Change => changed = true,
            }
        }
    }

    fn ask_one(&mut self, line: usize, arrival: u64, turn: &mut Turn<'_, K, T>) -> Step {
        let waiter = &self.lines[line][&arrival];
        let (change, result) = match self.decide(waiter.call.session, &waiter.asked, turn.now) {
            Decision::Wait => return Step::Nothing { aside: false },
            Decision::StandAside => return Step::Nothing { aside: true },
            Decision::Answer(reply) => (None, Ok(reply)),
            Decision::Refuse(fault) => (None, Err(fault)),
            Decision::Change(change, reply) | Decision::Overtake(change, reply) => (Some(change), Ok(reply)),
            Decision::Enter(change, command) => {
                let mut waiter = self.remove(line, arrival);
                waiter.asked.command = command;
                self.apply(change, turn);
                let (line, arrival) = self.park(waiter);
                self.point_at(line, arrival);
                return Step::Change;
            }
        };
        let waiter = self.remove(line, arrival);
        let owner = K::owner(&waiter.asked.command).filter(|_| change.is_some());
        let told = if change.is_some() { Step::Change } else { Step::Answer };
        if let Some(change) = change {
            self.apply(change, turn);
        }
        self.answer(waiter.ticket, result, turn);
        if let Some(owner) = owner {
            self.ask_owner(waiter.call.session, owner, turn);
        }
        told
    }

    /// An owner was granted something: what else it asks for must not wait behind others for what it has itself.
    fn ask_owner(&mut self, session: SessionId, owner: u64, turn: &mut Turn<'_, K, T>) {
        let all = (session, owner, 0, 0)..=(session, owner, usize::MAX, u64::MAX);
        let places: Vec<_> = self.owners.range(all).map(|(.., line, arrival)| (*line, *arrival)).collect();
        for (line, arrival) in places {
            let result = match self.decide(session, &self.lines[line][&arrival].asked, turn.now) {
                Decision::Overtake(change, reply) => {
                    self.apply(change, turn);
                    Ok(reply)
                }
                Decision::Refuse(fault) => Err(fault),
                _ => continue,
            };
            let waiter = self.remove(line, arrival);
            self.answer(waiter.ticket, result, turn);
        }
    }
}

/// Until when a waiter stands in line; one that does not wait stands there for this moment.
fn deadline(wait: Wait, now: Moment) -> Option<Moment> {
    match wait {
        Wait::Never => Some(now),
        Wait::For(duration) => Some(now.after_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))),
        Wait::Forever => None,
    }
}
