//! Random callers and providers. Nobody knows what they will do; every call is accounted for: told once, and carried out once at most,
//! unless its method is idempotent or it was told that nobody knows.

use super::*;
use crate::objects::kind::Departure;
use std::collections::BTreeSet;

const CALLERS: [SessionId; 2] = [A, D];
const PROVIDERS: [SessionId; 2] = [B, C];
const METHODS: [&str; 5] = ["once", "again", "turn", "watch", "tail"];

/// What a provider has of a call.
struct Task {
    session: SessionId,
    provider: u64,
    call: u64,
    method: String,
}

struct Model {
    play: Play,
    dice: Dice,
    /// Invokes that were made, by who made them and what.
    invoked: Vec<(SessionId, Number, &'static str)>,
    taking: Vec<(SessionId, u64, Number)>,
    providers: Vec<(SessionId, u64)>,
    tasks: Vec<Task>,
    /// Streams that callers know of.
    streams: BTreeSet<(SessionId, u64)>,
    /// Finished by a provider and heard, by call.
    carried_out: BTreeMap<u64, u64>,
    told: u64,
}

impl Model {
    fn new(seed: u64) -> Model {
        let options = Options { calls: 20, calls_per_session: 12, serial: seed.is_multiple_of(7), ..ROOMY };
        Model {
            play: Play::new(options),
            dice: Dice::new(seed),
            invoked: Vec::new(),
            taking: Vec::new(),
            providers: Vec::new(),
            tasks: Vec::new(),
            streams: BTreeSet::new(),
            carried_out: BTreeMap::new(),
            told: 0,
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.dice.below(from.len() as u64) as usize])
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0 => self.provide(),
            1..=5 => self.invoke(),
            6..=8 => self.take(),
            9..=11 => self.give(),
            12 | 13 => self.r#yield(),
            14 | 15 => self.next(),
            16 => self.cancel(),
            17 => self.play.trial.pass(self.dice.below(40)),
            18 => self.leave(),
            _ => self.die(),
        }
        self.look();
    }

    fn provide(&mut self) {
        let session = self.pick(&PROVIDERS).unwrap();
        let capacity = 1 + self.dice.below(3);
        let provider = self.play.provide(session, capacity);
        self.providers.push((session, provider));
    }

    fn invoke(&mut self) {
        let (session, method) = (self.pick(&CALLERS).unwrap(), self.pick(&METHODS).unwrap());
        let wait_ms = (self.dice.below(2) == 0).then(|| self.dice.below(100));
        let invocation = Arc::new(Invocation { waits_for_provider: self.dice.below(2) == 0, ..invocation(method) });
        let wait = wait_ms.map_or(Wait::Forever, super::wait_ms);
        let number = self.play.trial.call(session, Command::Invoke { invocation, wait_ms }, wait);
        self.invoked.push((session, number, method));
    }

    fn take(&mut self) {
        let Some((session, provider)) = self.pick(&self.providers.clone()) else { return };
        let wait = if self.dice.below(2) == 0 { Wait::Never } else { wait_ms(self.dice.below(50)) };
        let max = 1 + self.dice.below(3) as usize;
        let number = self.play.trial.call(session, take(provider, max), wait);
        self.taking.push((session, provider, number));
    }

    fn give(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let at = self.dice.below(self.tasks.len() as u64) as usize;
        let Task { session, provider, call, method } = self.tasks.swap_remove(at);
        let is_stream = ["watch", "tail"].contains(&method.as_str());
        let end = match self.dice.below(4) {
            0 => End::Failure(failure("no")),
            _ if is_stream => End::Ended,
            _ => result(&call.to_string()),
        };
        let unwanted = self.play.give(session, provider, &[(call, end)]);
        if unwanted.is_empty() {
            *self.carried_out.entry(call).or_default() += 1;
        }
    }

    fn r#yield(&mut self) {
        let streams = self.tasks.iter().filter(|task| ["watch", "tail"].contains(&task.method.as_str()));
        let streams: Vec<_> = streams.map(|task| (task.session, task.provider, task.call)).collect();
        let Some((session, provider, call)) = self.pick(&streams) else { return };
        let items = vec![value("item"); 1 + self.dice.below(3) as usize];
        let answer = self.play.trial.ask(session, Command::Yield { provider, call, items });
        assert!(matches!(answer, Ok(Reply::Yield { .. }) | Err(Fault::NoSuchCall { .. } | Fault::NoRoom { .. })), "{answer:?}");
    }

    fn next(&mut self) {
        let Some((session, call)) = self.pick(&self.streams.iter().copied().collect::<Vec<_>>()) else { return };
        if self.dice.below(6) == 0 {
            self.play.trial.ask(session, Command::Abandon { call }).unwrap();
            self.streams.remove(&(session, call));
            return;
        }
        let number = self.play.trial.call(session, Command::Next { call, max: 2 }, Wait::Never);
        let lost = self.dice.below(4) == 0;
        match self.play.trial.told(number) {
            Ok(_) if lost => self.play.trial.unheard(number),
            Ok(Reply::Next { end: Some(_), .. }) | Err(Fault::NoSuchCall { .. } | Fault::ProviderGone {}) => {
                self.streams.remove(&(session, call));
            }
            Ok(Reply::Next { .. }) | Err(Fault::TimedOut { .. }) => {}
            other => panic!("expected items, got {other:?}"),
        }
    }

    fn cancel(&mut self) {
        let waiting: Vec<_> = self.invoked.iter().map(|(_, number, _)| *number).collect();
        let waiting: Vec<_> = waiting.into_iter().filter(|number| self.play.trial.is_waiting(*number)).collect();
        if let Some(number) = self.pick(&waiting) {
            self.play.trial.cancel(number);
        }
    }

    fn leave(&mut self) {
        let Some((session, provider)) = self.pick(&self.providers.clone()) else { return };
        self.play.trial.ask(session, Command::Withdraw { provider }).unwrap();
        self.providers.retain(|(_, other)| *other != provider);
        self.tasks.retain(|task| task.provider != provider);
    }

    fn die(&mut self) {
        let all: Vec<_> = CALLERS.into_iter().chain(PROVIDERS).collect();
        let session = self.pick(&all).unwrap();
        let how = if self.dice.below(2) == 0 { Departure::Lost } else { Departure::Closed };
        self.play.trial.depart(session, how);
        self.providers.retain(|(other, _)| *other != session);
        self.tasks.retain(|task| task.session != session);
        self.streams.retain(|(other, _)| *other != session);
    }

    /// What everybody was told.
    fn look(&mut self) {
        let over = |model: &Model, number: Number| !model.play.trial.is_waiting(number);
        for at in (0..self.taking.len()).rev() {
            let (session, provider, number) = self.taking[at];
            if over(self, number) {
                self.taking.swap_remove(at);
                self.taken(session, provider, number);
            }
        }
        for at in (0..self.invoked.len()).rev() {
            let (session, number, method) = self.invoked[at];
            if over(self, number) {
                self.invoked.swap_remove(at);
                self.told(session, number, method);
            }
        }
    }

    fn taken(&mut self, session: SessionId, provider: u64, number: Number) {
        let Ok(Reply::Take { calls, .. }) = self.play.trial.told(number) else { return };
        if self.dice.below(5) == 0 {
            return self.play.trial.unheard(number);
        }
        for given in calls {
            let is_free = !self.tasks.iter().any(|task| task.call == given.call);
            assert!(is_free || !self.providers.contains(&(session, provider)), "call {} is given to two", given.call);
            let task = Task { session, provider, call: given.call, method: given.invocation.method.to_string() };
            if self.providers.contains(&(session, provider)) {
                self.tasks.push(task);
            }
        }
    }

    fn told(&mut self, session: SessionId, number: Number, method: &str) {
        self.told += 1;
        match self.play.trial.told(number) {
            Ok(Reply::Invoke(Outcome::Result(value))) => {
                let call = std::str::from_utf8(&value.data).unwrap().parse().unwrap();
                assert_eq!(self.carried_out.get(&call), Some(&1), "{method}");
            }
            Ok(Reply::Invoke(Outcome::Stream(call))) => _ = self.streams.insert((session, call)),
            Ok(Reply::Invoke(Outcome::Failure(_))) => {}
            Err(Fault::ProviderGone {} | Fault::NoProvider {} | Fault::Unanswered {} | Fault::TooManyCalls { .. }) => {}
            Err(Fault::TimedOut { .. } | Fault::Cancelled {} | Fault::SessionEnded { .. }) => {}
            other => panic!("{method}: {other:?}"),
        }
    }

    /// Everybody goes: nobody waits, and nothing is left.
    fn end(mut self) -> u64 {
        CALLERS.into_iter().chain(PROVIDERS).for_each(|session| self.play.trial.die(session));
        self.look();
        assert_eq!((self.invoked.len(), self.taking.len(), self.play.trial.kind().calls.len()), (0, 0, 0));
        self.told
    }
}

#[test]
fn every_call_of_random_callers_to_random_providers_is_accounted_for() {
    let told: u64 = (1..60)
        .map(|seed| {
            let mut model = Model::new(seed);
            (0..400).for_each(|_| model.step());
            model.end()
        })
        .sum();
    assert!(told > 1_000, "only {told} calls were made");
}
