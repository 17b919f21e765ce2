//! Random calls against a model that keeps every message of every stream for ever, each with what became of it.

use super::*;

const SUBJECTS: [&str; 3] = ["a", "b", "a.b"];
/// Patterns, and which of the subjects they take.
const FILTERS: [(&[&str], &[&str]); 4] = [(&[], &SUBJECTS), (&["a"], &["a"]), (&["a.>"], &["a.b"]), (&["*"], &["a", "b"])];
const SESSIONS: [SessionId; 3] = [A, B, C];
const GROUPS: [&str; 2] = ["g", "h"];

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Waiting { redelivered: bool },
    Given { to: u64 },
    Settled,
    Dropped { told: bool },
}

const UNTOLD: State = State::Dropped { told: false };

#[derive(Clone, Debug)]
struct Token {
    position: u64,
    size: u64,
    state: State,
}

/// What a Next took, to be taken back.
struct Lost {
    call: crate::objects::trial::Number,
    before: Vec<(usize, State)>,
}

#[derive(Default)]
struct ModelStream {
    filter: usize,
    group: Option<&'static str>,
    /// Subscription and session.
    members: Vec<(u64, SessionId)>,
    tokens: Vec<Token>,
    ended: bool,
    /// The last Next of each member, while nothing happened since that would make its return ambiguous.
    lost: BTreeMap<u64, Lost>,
}

impl ModelStream {
    fn takes(&self, subject: &str) -> bool {
        FILTERS[self.filter].1.contains(&subject)
    }

    fn held(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(|token| matches!(token.state, State::Waiting { .. } | State::Given { .. }))
    }

    fn has_room(&self, size: u64, bounds: Bounds) -> bool {
        let (count, bytes) = (self.held().count() as u64, self.held().map(|token| token.size).sum::<u64>());
        count == 0 || (count < bounds.messages && bytes + size <= bounds.bytes)
    }

    fn offer(&mut self, position: u64, size: u64, options: &Options) {
        let mut state = State::Waiting { redelivered: false };
        let is_full = |stream: &ModelStream| !stream.has_room(size, options.buffer);
        if self.ended {
            state = UNTOLD;
        } else if is_full(self) {
            match options.overload {
                Overload::Block => panic!("there is room"),
                Overload::DropNewest => state = UNTOLD,
                Overload::DropOldest => {
                    while is_full(self) && self.drop_oldest() {}
                    if is_full(self) {
                        state = UNTOLD;
                    }
                }
                Overload::Disconnect => {
                    while self.drop_oldest() {}
                    self.tokens.iter_mut().for_each(|token| {
                        if matches!(token.state, State::Given { .. }) {
                            token.state = State::Settled;
                        }
                    });
                    (self.ended, state) = (true, UNTOLD);
                }
            }
        }
        self.tokens.push(Token { position, size, state });
    }

    fn drop_oldest(&mut self) -> bool {
        let oldest = self.tokens.iter_mut().find(|token| matches!(token.state, State::Waiting { .. }));
        oldest.map(|token| token.state = UNTOLD).is_some()
    }

    fn untold(&self) -> u64 {
        self.tokens.iter().filter(|token| token.state == UNTOLD).count() as u64
    }

    fn is_silent(&self) -> bool {
        !self.tokens.iter().any(|token| token.state == UNTOLD || matches!(token.state, State::Waiting { .. }))
    }

    fn settle(&mut self, member: u64, positions: &[u64]) {
        for token in &mut self.tokens {
            if token.state == (State::Given { to: member }) && positions.contains(&token.position) {
                token.state = State::Settled;
            }
        }
    }

    fn leave(&mut self, member: u64) {
        self.members.retain(|(id, _)| *id != member);
        self.lost.remove(&member);
        for token in &mut self.tokens {
            if token.state == (State::Given { to: member }) {
                token.state = State::Waiting { redelivered: true };
            }
        }
    }

    /// What a Next should give, as (position, missed, redelivered), and missed behind; it is given. Where a group's gaps stand is
    /// taken from the reply: only their sum is certain there.
    fn next(&mut self, member: u64, max: usize, reply: (&[Waiting], u64)) -> Vec<(usize, State)> {
        let (messages, behind) = reply;
        let mut before = Vec::new();
        let waiting: Vec<_> =
            (0..self.tokens.len()).filter(|index| matches!(self.tokens[*index].state, State::Waiting { .. })).collect();
        let taken = &waiting[..max.min(waiting.len())];
        assert_eq!(messages.len(), taken.len());
        for (entry, index) in messages.iter().zip(taken) {
            let token = &mut self.tokens[*index];
            assert_eq!(State::Waiting { redelivered: entry.redelivered }, token.state);
            assert_eq!(entry.message.position, token.position);
            before.push((*index, token.state));
            token.state = if self.group.is_some() { State::Given { to: member } } else { State::Settled };
        }
        let mut told = 0;
        if self.group.is_none() {
            let mut start = 0;
            for (entry, index) in messages.iter().zip(taken) {
                assert_eq!(entry.missed, self.tell(start..*index, u64::MAX, &mut before), "before {}", entry.message.position);
                start = *index;
            }
            let rest = if taken.len() == waiting.len() { self.tell(start..self.tokens.len(), u64::MAX, &mut before) } else { 0 };
            assert_eq!(behind, rest, "behind the last");
        } else {
            told = messages.iter().map(|entry| entry.missed).sum::<u64>() + behind;
            assert_eq!(self.tell(0..self.tokens.len(), told, &mut before), told);
        }
        assert!(taken.len() < waiting.len() || self.untold() == 0, "all is told when nothing waits, after {told}");
        before
    }

    /// Up to so many of these are told as missed.
    fn tell(&mut self, range: std::ops::Range<usize>, max: u64, before: &mut Vec<(usize, State)>) -> u64 {
        let mut count = 0;
        for index in range {
            if self.tokens[index].state == UNTOLD && count < max {
                before.push((index, UNTOLD));
                self.tokens[index].state = State::Dropped { told: true };
                count += 1;
            }
        }
        count
    }

    /// What a Next took comes back.
    fn unheard(&mut self, member: u64, before: Vec<(usize, State)>) {
        for (index, state) in before {
            let token = &mut self.tokens[index];
            let is_message = matches!(state, State::Waiting { .. });
            let is_elsewhere = self.group.is_some() && is_message && token.state != State::Given { to: member };
            match is_message && self.ended {
                true => token.state = UNTOLD,
                false if is_elsewhere => {}
                false => token.state = state,
            }
        }
    }
}

struct Model {
    trial: Trial<Topic>,
    options: Options,
    dice: Dice,
    /// Subjects of all messages.
    log: Vec<(&'static str, u64)>,
    streams: Vec<ModelStream>,
    subscriptions: u64,
}

impl Model {
    fn new(options: Options, seed: u64) -> Model {
        let (trial, dice) = (Trial::new(Topic::new(options)), Dice::new(seed));
        Model { trial, options, dice, log: Vec::new(), streams: Vec::new(), subscriptions: 0 }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.dice.below(of.len() as u64) as usize]
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..40 => self.publish(),
            40..52 if self.streams.len() < 8 => self.subscribe(),
            52..54 => self.die(),
            54..56 => self.delete_group(),
            56..60 => self.unsubscribe(),
            60..66 => self.done(),
            66..74 => self.unheard(),
            _ => self.next(),
        }
    }

    fn publish(&mut self) {
        let subject = self.pick(&SUBJECTS);
        let lengths: Vec<usize> = (0..1 + self.dice.below(5)).map(|_| self.dice.below(12) as usize).collect();
        let messages: Vec<_> = lengths.iter().map(|length| said(subject, &"x".repeat(*length))).collect();
        let bounds = self.options.buffer;
        let (mut taken, mut bytes) = (0, 0);
        let before = self.log.len();
        for message in &messages {
            let size = message.size as u64;
            bytes += size;
            let is_too_much = taken > 0 && (taken >= bounds.messages || bytes > bounds.bytes);
            let is_full = |stream: &ModelStream| stream.takes(subject) && !stream.has_room(size, bounds);
            if is_too_much || (self.options.overload == Overload::Block && self.streams.iter().any(is_full)) {
                break;
            }
            taken += 1;
            self.log.push((subject, size));
            for stream in self.streams.iter_mut().filter(|stream| stream.takes(subject)) {
                stream.offer(self.log.len() as u64, size, &self.options);
            }
        }
        let caller = self.pick(&SESSIONS);
        let answer = self.trial.ask(caller, Command::Publish { messages, must_be_heard: false });
        let position = self.log.len() as u64;
        let got = |stream: &&ModelStream| stream.held().any(|token| token.position == position);
        let receivers = self.streams.iter().filter(got).count() as u64;
        match taken {
            0 => assert!(matches!(answer, Err(Fault::NoRoom { .. })), "{answer:?}"),
            _ => assert_eq!(answer, Ok(Reply::Publish { position, taken: taken as u32, receivers }), "behind {before}"),
        }
    }

    fn subscribe(&mut self) {
        let session = self.pick(&SESSIONS);
        let group = if self.dice.below(2) == 0 { Some(self.pick(&GROUPS)) } else { None };
        let filter = match group {
            Some(group) => usize::from(group == "h"),
            None => self.dice.below(FILTERS.len() as u64) as usize,
        };
        let position = self.log.len() as u64;
        let replay = match self.dice.below(3) {
            0 => Replay::Nothing,
            1 => Replay::Last(self.dice.below(10)),
            _ => Replay::After(self.dice.below(position + 1)),
        };
        let subscribe = Subscribe { wants: Some(wants(FILTERS[filter].0)), group: group.map(Arc::from), replay };
        self.subscriptions += 1;
        let id = self.subscriptions;
        assert_eq!(self.trial.ask(session, Command::Subscribe(subscribe)), Ok(Reply::Subscribe { subscription: id, position }));
        let existing = self.streams.iter_mut().find(|stream| group.is_some() && stream.group == group);
        match existing {
            // Begun anew beside those who were not told yet.
            Some(stream) if stream.ended && !stream.members.is_empty() => stream.group = None,
            Some(stream) => return stream.members.push((id, session)),
            None => {}
        }
        let tokens = self.replayed(filter, replay);
        self.streams.push(ModelStream { filter, group, members: vec![(id, session)], tokens, ..Default::default() });
    }

    fn replayed(&self, filter: usize, replay: Replay) -> Vec<Token> {
        let floor = (self.log.len() as u64).saturating_sub(self.options.keep.messages);
        let all = self.log.iter().zip(1..).map(|((subject, size), position)| (*subject, *size, position));
        let kept = all.filter(|(_, _, position)| *position > floor);
        let wanted = kept.filter(|(subject, ..)| FILTERS[filter].1.contains(subject));
        let waiting = State::Waiting { redelivered: false };
        let mut tokens: Vec<_> = wanted.map(|(_, size, position)| Token { position, size, state: waiting }).collect();
        match replay {
            Replay::Nothing => Vec::new(),
            Replay::Last(count) => tokens.split_off(tokens.len().saturating_sub(count as usize)),
            Replay::After(after) => {
                tokens.retain(|token| token.position > after);
                let gone = (after + 1..=floor).map(|position| Token { position, size: 0, state: UNTOLD });
                gone.chain(tokens).collect()
            }
        }
    }

    /// A stream that has members, and one of these.
    fn member(&mut self) -> Option<(usize, u64, SessionId)> {
        let members: Vec<_> = (0..self.streams.len())
            .flat_map(|index| self.streams[index].members.iter().map(move |(id, session)| (index, *id, *session)))
            .collect();
        (!members.is_empty()).then(|| self.pick(&members))
    }

    /// The member's call is told that its stream has ended; it goes, and the last one takes the stream with it.
    fn lags(&mut self, index: usize, member: u64, answer: &Outcome) -> bool {
        let stream = &mut self.streams[index];
        if !stream.ended {
            return false;
        }
        assert_eq!(answer, &Err(Fault::Lagged { missed: stream.untold() }));
        stream.leave(member);
        if stream.members.is_empty() {
            self.streams.remove(index);
        }
        true
    }

    fn some_given(&mut self, index: usize, member: u64) -> Vec<u64> {
        let given: Vec<_> =
            self.streams[index].tokens.iter().filter(|token| token.state == (State::Given { to: member })).collect();
        let positions: Vec<u64> = given.iter().map(|token| token.position).collect();
        positions.into_iter().filter(|_| self.dice.below(2) == 0).collect()
    }

    fn next(&mut self) {
        let Some((index, member, session)) = self.member() else { return };
        let (max, done) = (1 + self.dice.below(6) as usize, self.some_given(index, member));
        let call = self.trial.call(session, Command::Next { subscription: member, max, done: done.clone() }, Wait::Never);
        let answer = self.trial.told(call);
        if self.lags(index, member, &answer) {
            return;
        }
        let stream = &mut self.streams[index];
        stream.settle(member, &done);
        stream.lost.remove(&member);
        match answer {
            Ok(Reply::Next { subscription, messages, missed }) => {
                assert_eq!(subscription, member);
                let before = stream.next(member, max, (&messages, missed));
                stream.lost.insert(member, Lost { call, before });
            }
            Err(Fault::TimedOut { .. }) => assert!(stream.is_silent(), "there is something to tell"),
            other => panic!("expected messages, got {other:?}"),
        }
    }

    fn unheard(&mut self) {
        let Some((index, member, _)) = self.member() else { return };
        let stream = &mut self.streams[index];
        if let Some(Lost { call, before }) = stream.lost.remove(&member) {
            self.trial.unheard(call);
            stream.unheard(member, before);
        }
    }

    fn done(&mut self) {
        let Some((index, member, session)) = self.member() else { return };
        let positions = self.some_given(index, member);
        let answer = self.trial.ask(session, Command::Done { subscription: member, positions: positions.clone() });
        if !self.lags(index, member, &answer) {
            assert_eq!(answer, Ok(Reply::Done));
            // Whoever was done with it has heard of it.
            self.streams[index].lost.remove(&member);
            self.streams[index].settle(member, &positions);
        }
    }

    fn unsubscribe(&mut self) {
        let Some((index, member, session)) = self.member() else { return };
        let done = self.some_given(index, member);
        let answer = self.trial.ask(session, Command::Unsubscribe { subscription: member, done: done.clone() });
        if !self.lags(index, member, &answer) {
            assert_eq!(answer, Ok(Reply::Unsubscribe));
            self.streams[index].settle(member, &done);
            self.streams[index].leave(member);
            self.streams.retain(|stream| stream.group.is_some() || !stream.members.is_empty());
        }
    }

    fn die(&mut self) {
        let session = self.pick(&SESSIONS);
        self.trial.die(session);
        for stream in &mut self.streams {
            let gone: Vec<_> = stream.members.iter().filter(|(_, of)| *of == session).map(|(id, _)| *id).collect();
            gone.into_iter().for_each(|member| stream.leave(member));
        }
        self.streams.retain(|stream| stream.group.is_some() || !stream.members.is_empty());
    }

    fn delete_group(&mut self) {
        let group = self.pick(&GROUPS);
        let found = self.streams.iter().any(|stream| stream.group == Some(group));
        assert_eq!(self.trial.ask(A, Command::DeleteGroup { group: group.into() }), Ok(Reply::DeleteGroup { found }));
        self.streams.retain(|stream| stream.group != Some(group));
    }
}

fn run(overload: Overload) {
    for seed in 1..=6 {
        let buffer = Bounds { messages: 2 * seed, bytes: 16 * seed };
        let keep = Bounds { messages: 20, ..ROOMY.keep };
        let mut model = Model::new(Options { overload, buffer, keep }, seed * 7919);
        for step in 0..800 {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| model.step()));
            if let Err(problem) = result {
                eprintln!("{overload:?}, seed {seed}, step {step}");
                std::panic::resume_unwind(problem);
            }
        }
        assert!(model.log.len() > 50, "only {} messages with seed {seed}", model.log.len());
    }
}

#[test]
fn random_calls_with_block_do_as_the_model() {
    run(Overload::Block);
}

#[test]
fn random_calls_with_drop_oldest_do_as_the_model() {
    run(Overload::DropOldest);
}

#[test]
fn random_calls_with_drop_newest_do_as_the_model() {
    run(Overload::DropNewest);
}

#[test]
fn random_calls_with_disconnect_do_as_the_model() {
    run(Overload::Disconnect);
}
