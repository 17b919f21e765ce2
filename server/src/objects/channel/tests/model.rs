//! The channel against a model that remembers everything: each message with all whom it ever went to, and one rule that is applied
//! to all of them after every step.

use super::*;
use crate::objects::trial::Dice;
use std::collections::BTreeSet;

const OPTIONS: Options = Options { max_messages: 12, max_bytes: 40 };
const SESSIONS: [SessionId; 4] = [A, B, C, D];

#[derive(Debug)]
struct Sent {
    position: u64,
    content: Content,
    in_line: bool,
    waits_for: BTreeSet<u64>,
    given_to: BTreeSet<u64>,
    /// Whom it ever waited for or was given to.
    went_to: BTreeSet<u64>,
    /// It was in the line, and those who got it from there.
    claimed: bool,
    claimants: BTreeSet<u64>,
    finished: bool,
    marked: bool,
}

impl Sent {
    /// One of these is to be done with it.
    fn has_claimant(&self) -> bool {
        let has_it = |id: &u64| self.waits_for.contains(id) || self.given_to.contains(id);
        self.in_line || self.claimants.iter().any(has_it)
    }
}

#[derive(Debug, Default)]
struct Place {
    closed: bool,
    sent: u64,
    settled: u64,
    receivers: BTreeMap<u64, (SessionId, Mode)>,
    messages: Vec<Sent>,
}

impl Place {
    fn takers(&self, content: &Content) -> BTreeSet<u64> {
        let takes = |mode: &Mode| matches!(mode, Mode::Passive(wanted) if wanted.wants(content));
        self.receivers.iter().filter(|(_, (_, mode))| takes(mode)).map(|(id, _)| *id).collect()
    }

    fn has_active(&self) -> bool {
        self.receivers.values().any(|(_, mode)| *mode == Mode::Active)
    }

    fn send(&mut self, messages: &[Content]) -> usize {
        let mut count = 0;
        let buffer = |content: &Content| content.answer_to.map(|answer| answer.inbox);
        for content in messages {
            let others: Vec<_> = self.messages.iter().filter(|sent| buffer(&sent.content) == buffer(content)).collect();
            let bytes: usize = others.iter().map(|sent| sent.content.size()).sum();
            let is_over = match buffer(content) {
                Some(_) => bytes as u64 >= OPTIONS.max_bytes,
                None => (bytes + content.size()) as u64 > OPTIONS.max_bytes && !others.is_empty(),
            };
            if is_over || others.len() as u64 >= OPTIONS.max_messages || buffer(content) != buffer(&messages[0]) {
                break;
            }
            count += 1;
            self.sent += 1;
            let takers = match content.answer_to {
                Some(answer) => BTreeSet::from([answer.inbox]),
                None => self.takers(content),
            };
            self.messages.push(Sent {
                position: self.sent,
                content: content.clone(),
                in_line: takers.is_empty() || (self.has_active() && content.answer_to.is_none()),
                waits_for: takers.clone(),
                given_to: BTreeSet::new(),
                went_to: takers,
                claimed: false,
                claimants: BTreeSet::new(),
                finished: false,
                marked: false,
            });
        }
        count
    }

    fn receive(&mut self, id: u64, max: usize) -> Vec<(u64, bool)> {
        let is_active = self.receivers[&id].1 == Mode::Active;
        let is_for_it = |sent: &&mut Sent| if is_active { sent.in_line } else { sent.waits_for.contains(&id) };
        let give = |sent: &mut Sent| {
            sent.in_line &= !is_active;
            sent.claimants.extend(is_active.then_some(id));
            sent.waits_for.remove(&id);
            sent.went_to.insert(id);
            sent.given_to.insert(id);
            (sent.position, sent.marked)
        };
        self.messages.iter_mut().filter(is_for_it).take(max).map(give).collect()
    }

    fn done(&mut self, id: u64, positions: &[u64]) {
        for sent in self.messages.iter_mut().filter(|sent| positions.contains(&sent.position)) {
            let counts = !sent.claimed || sent.claimants.contains(&id);
            sent.finished |= sent.given_to.remove(&id) && counts;
        }
    }

    fn take_back(&mut self, id: u64, positions: &[u64]) {
        let Some((_, mode)) = self.receivers.get(&id) else { return };
        for sent in self.messages.iter_mut().filter(|sent| positions.contains(&sent.position)) {
            if sent.given_to.remove(&id) && !self.closed {
                sent.in_line |= *mode == Mode::Active;
                sent.waits_for.extend((*mode != Mode::Active).then_some(id));
            }
        }
    }

    fn go(&mut self, ids: &[u64]) {
        for id in ids {
            self.receivers.remove(id);
            for sent in &mut self.messages {
                sent.waits_for.remove(id);
                sent.marked |= sent.given_to.remove(id);
            }
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.messages.retain(|sent| !sent.given_to.is_empty());
        for sent in &mut self.messages {
            sent.in_line = false;
            sent.waits_for.clear();
        }
    }

    /// The delivery rule, applied to everything.
    fn settle(&mut self) {
        let is_over = |sent: &Sent| !sent.in_line && sent.waits_for.is_empty() && sent.given_to.is_empty();
        self.settled += self.messages.iter().filter(|sent| is_over(sent) && sent.finished).count() as u64;
        let is_lost = |sent: &Sent| self.closed || sent.content.answer_to.is_some();
        self.messages.retain(|sent| !is_over(sent) || !(sent.finished || is_lost(sent)));
        for index in 0..self.messages.len() {
            let takers = if self.has_active() { BTreeSet::new() } else { self.takers(&self.messages[index].content) };
            let sent = &mut self.messages[index];
            let is_unmet = sent.claimed && !sent.finished && !sent.has_claimant();
            sent.in_line |= !self.closed && (is_over(sent) || is_unmet);
            sent.claimed |= sent.in_line;
            let late: Vec<u64> = takers.difference(&sent.went_to).copied().filter(|_| sent.in_line).collect();
            sent.in_line &= late.is_empty();
            sent.waits_for.extend(&late);
            sent.went_to.extend(&late);
            sent.claimants.extend(&late);
        }
    }

    fn numbers(&self) -> (bool, u64, u64, u64) {
        let given = self.messages.iter().filter(|sent| !sent.given_to.is_empty()).count() as u64;
        (self.closed, self.messages.len() as u64 - given, given, self.settled)
    }
}

struct Play {
    trial: Trial<Channel>,
    places: [Place; 2],
    dice: Dice,
    /// Calls whose answers may still get lost.
    received: Vec<(Number, u64, Vec<u64>)>,
}

impl Play {
    fn new(seed: u64) -> Play {
        let trial = Trial::new(Channel::new(OPTIONS));
        Play { trial, places: Default::default(), dice: Dice::new(seed), received: Vec::new() }
    }

    fn place(&mut self, id: u64) -> &mut Place {
        &mut self.places[End::of(id) as usize]
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.dice.below(of.len() as u64) as usize].clone())
    }

    fn end(&mut self) -> End {
        if self.dice.below(4) == 0 { End::A } else { End::B }
    }

    fn receiver(&mut self) -> Option<(u64, SessionId)> {
        let all = self.places.iter().flat_map(|place| &place.receivers).map(|(id, (session, _))| (*id, *session));
        let all: Vec<_> = all.collect();
        self.one_of(&all)
    }

    fn positions(&mut self, id: u64) -> Vec<u64> {
        let most = self.dice.below(4) as usize;
        let given = |sent: &&Sent| sent.given_to.contains(&id);
        self.place(id).messages.iter().filter(given).map(|sent| sent.position).take(most).collect()
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..8 => self.attach(),
            8..12 => self.detach(),
            12..15 => self.die(),
            15..45 => self.send(),
            45..80 => self.receive(),
            80..92 => self.done(),
            92..99 => self.lose(),
            _ if self.dice.below(4) == 0 => self.close(),
            _ => {}
        }
        self.places.iter_mut().for_each(Place::settle);
        for (place, end) in self.places.iter().zip([End::A, End::B]) {
            let stats = self.trial.kind().stats(end);
            assert_eq!((stats.closed, stats.waiting, stats.given, stats.counters.received), place.numbers(), "at {end:?}");
        }
    }

    fn attach(&mut self) {
        let end = self.end();
        let modes = [Mode::Active, Mode::Active, everything(), wanting("color", "red"), wanting("color", "blue"), Mode::Inbox];
        let (mode, session) = (self.one_of(&modes).unwrap(), self.one_of(&SESSIONS).unwrap());
        if self.places[end as usize].closed {
            assert_eq!(self.trial.refused(session, Command::Attach { end, mode }), end_closed(end.name()));
            return;
        }
        let id = self.trial.attach(session, end, mode.clone());
        self.place(id).receivers.insert(id, (session, mode));
    }

    fn detach(&mut self) {
        let Some((receiver, session)) = self.receiver() else { return };
        let done = self.positions(receiver);
        self.trial.ask(session, Command::Detach { receiver, done: done.clone() }).unwrap();
        self.place(receiver).done(receiver, &done);
        self.place(receiver).go(&[receiver]);
    }

    fn die(&mut self) {
        let session = self.one_of(&SESSIONS).unwrap();
        self.trial.die(session);
        for place in &mut self.places {
            let of_it = place.receivers.iter().filter(|(_, (owner, _))| *owner == session).map(|(id, _)| *id);
            let gone: Vec<u64> = of_it.collect();
            place.go(&gone);
        }
    }

    fn message(&mut self, to: End) -> Content {
        let text = "x".repeat(self.dice.below(6) as usize);
        let inboxes = self.places[to as usize].receivers.iter().filter(|(_, (_, mode))| *mode == Mode::Inbox);
        let inboxes: Vec<u64> = inboxes.map(|(id, _)| *id).collect();
        match (self.dice.below(6), self.one_of(&inboxes)) {
            (0, Some(inbox)) => answer(&text, inbox),
            (1, _) => with_header(&text, "color", "blue"),
            (2 | 3, _) => with_header(&text, "color", "red"),
            _ => content(&text),
        }
    }

    fn send(&mut self) {
        let (to, session) = (self.end(), self.one_of(&SESSIONS).unwrap());
        let count = 1 + self.dice.below(4);
        let messages: Vec<_> = (0..count).map(|_| self.message(to)).collect();
        let outcome = self.trial.ask(session, send(to.other(), messages.clone()));
        if self.places.iter().any(|place| place.closed) {
            assert!(matches!(outcome, Err(Fault::EndClosed { .. })));
            return;
        }
        let place = &mut self.places[to as usize];
        let first = place.sent + 1;
        match place.send(&messages) {
            0 => assert!(matches!(outcome, Err(Fault::NoRoom { .. }))),
            count => assert_eq!(outcome, Ok(Reply::Send { first, count: count as u64 })),
        }
    }

    fn receive(&mut self) {
        let Some((receiver, session)) = self.receiver() else { return };
        let (done, max) = (self.positions(receiver), 1 + self.dice.below(4) as usize);
        let number = self.trial.call(session, receive_many(receiver, max, &done), Wait::Never);
        let other_is_closed = self.places[End::of(receiver).other() as usize].closed;
        let place = self.place(receiver);
        place.done(receiver, &done);
        place.settle();
        let expected = place.receive(receiver, max);
        let is_active = place.receivers[&receiver].1 == Mode::Active;
        let may_come_back = |sent: &Sent| sent.content.answer_to.is_none() && !sent.given_to.contains(&receiver);
        let is_over = place.closed || other_is_closed && !(is_active && place.messages.iter().any(may_come_back));
        match self.trial.told(number) {
            Ok(Reply::Receive { receiver: whose, messages }) => {
                let seen: Vec<_> = messages.iter().map(|message| (message.position, message.redelivered)).collect();
                assert_eq!((whose, &seen), (receiver, &expected));
                self.received.push((number, receiver, seen.iter().map(|(position, _)| *position).collect()));
            }
            Err(Fault::EndClosed { .. }) => assert!(expected.is_empty() && is_over),
            Err(Fault::TimedOut { .. }) => assert!(expected.is_empty() && !is_over),
            other => panic!("{other:?}"),
        }
    }

    fn done(&mut self) {
        let Some((receiver, session)) = self.receiver() else { return };
        let mut positions = self.positions(receiver);
        self.place(receiver).done(receiver, &positions);
        positions.push(1_000_000);
        self.trial.done(session, receiver, &positions);
    }

    /// The answer to one of the last receives does not arrive.
    fn lose(&mut self) {
        let Some((number, receiver, positions)) = self.received.pop() else { return };
        self.received.clear();
        self.trial.unheard(number);
        self.place(receiver).take_back(receiver, &positions);
    }

    fn close(&mut self) {
        let end = self.end();
        if !self.places[end as usize].closed {
            self.trial.close(end);
            self.places[end as usize].close();
        }
    }
}

#[test]
fn it_does_what_a_model_does_that_remembers_everything() {
    for seed in 0..40 {
        let mut play = Play::new(seed);
        for _ in 0..200 {
            play.step();
        }
    }
}
