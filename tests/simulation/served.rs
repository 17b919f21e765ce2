//! Objects that clients serve to each other, simulated like the other kinds: everybody calls, everybody provides, answers get lost,
//! calls are taken back, and whoever it is dies.
//!
//! P1, for every call by the number that it carries: it is answered once; with a result only if a provider finished it; with a fault
//! that says that nothing happened only if no provider began it. What may be done once is begun once at most, of what runs in turn
//! one runs, and the items of a stream come in order and without a gap.

use super::{
    object,
    stage::{CLIENTS, Line, Pending, Stage, with_seeds},
};
use bursar_proto::{
    Fault,
    v1::{self, Value, answer::Reply, call::Command, object as pb, registry::options::Kind},
};
use bursar_server::objects::kind::Departure;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The second one is serial as a whole.
const OBJECTS: [&str; 2] = ["it", "turns"];
const METHODS: [&str; 5] = ["once", "again", "turn", "watch", "tail"];

#[test]
fn served() {
    let (outcomes, figure) = with_seeds("served", |seed, steps| {
        let mut simulation = Simulation::new(seed);
        for step in 0..steps {
            simulation.step();
            simulation.stage.check();
            if step % 64 == 63 {
                simulation.rest();
            }
        }
        simulation.finish()
    });
    let mut seen = BTreeMap::new();
    for (what, count) in outcomes.into_iter().flatten() {
        *seen.entry(what).or_insert(0) += count;
    }
    println!("{figure}, {seen:?}, violations 0");
    for what in ["result", "failure", "stream", "item", "end", "again", "cancelled", "ProviderGone", "NoProvider", "Unanswered"] {
        assert!(seen.contains_key(what), "what never happens is not tested: {what} in {seen:?}");
    }
}

/// What a provider works on.
struct Task {
    object: usize,
    provider: u64,
    call: u64,
    number: u64,
    method: String,
    /// Items that were taken.
    yielded: u64,
    is_yielding: bool,
}

/// A stream that a caller reads.
struct Reading {
    object: usize,
    call: u64,
    number: u64,
    read: u64,
    is_asking: bool,
}

struct Client {
    line: Line<()>,
    /// Object and number.
    providers: Vec<(usize, u64)>,
    tasks: Vec<Task>,
    readings: Vec<Reading>,
}

/// What became of a call.
#[derive(Default)]
struct Fate {
    /// Providers that began it and did not give it back.
    begun: u64,
    /// A provider gave its result, or the end of its stream.
    is_finished: bool,
}

struct Simulation {
    random: fastrand::Rng,
    stage: Stage,
    clients: Vec<Client>,
    /// Of the last call.
    number: u64,
    fates: BTreeMap<u64, Fate>,
    seen: BTreeMap<String, u64>,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let objects = OBJECTS.map(|name| {
            let serial = name == "turns";
            let options = pb::Options { max_calls: 14, max_bytes: 120, max_calls_per_session: 5, serial, kind: String::new() };
            (name, Kind::Object(options))
        });
        let mut simulation = Simulation {
            random: fastrand::Rng::with_seed(seed),
            stage: Stage::new(objects),
            clients: vec![],
            number: 0,
            fates: BTreeMap::new(),
            seen: BTreeMap::new(),
        };
        for _ in 0..CLIENTS {
            let client = simulation.new_client();
            simulation.clients.push(client);
        }
        simulation
    }

    fn new_client(&mut self) -> Client {
        Client { line: self.stage.connect(), providers: vec![], tasks: vec![], readings: vec![] }
    }

    fn saw(&mut self, what: &str) {
        *self.seen.entry(what.to_owned()).or_default() += 1;
    }

    fn step(&mut self) {
        let at = self.random.usize(..CLIENTS);
        match self.random.u32(..100) {
            0..18 => self.invoke(at),
            18..34 => self.take(at),
            34..48 => self.give(at),
            48..54 => self.r#yield(at),
            54..62 => self.next(at),
            62..67 => self.provide(at),
            67 => self.withdraw(at),
            68..90 => self.read(at, false),
            90..92 => self.pass_time(),
            92..95 => self.cancel(at),
            95..97 => self.read(at, true),
            97 => self.reconnect(at),
            98 => self.die(at),
            // As often as the others, time would run out for most calls.
            _ if self.random.bool() => {}
            _ => self.fall_silent(at),
        }
    }

    fn call(&mut self, at: usize, verb: pb::command::Verb) {
        let command = Command::Object(pb::Command { verb: Some(verb) });
        self.stage.call(&mut self.clients[at].line, command, ());
    }

    fn is_busy(&self, at: usize) -> bool {
        self.clients[at].line.pending.len() > 6
    }

    fn wait_ms(&mut self) -> i64 {
        *self.random.choice([0, 5, 60, -1]).as_ref().unwrap()
    }

    fn pick<T>(random: &mut fastrand::Rng, from: &[T]) -> Option<usize> {
        (!from.is_empty()).then(|| random.usize(..from.len()))
    }

    fn invoke(&mut self, at: usize) {
        if self.is_busy(at) {
            return;
        }
        self.number += 1;
        let argument = pb::Argument { name: "n".into(), value: Some(text(&format!("{:08}", self.number))) };
        let request = pb::InvokeRequest {
            object: object(OBJECTS[self.random.usize(..2)]),
            wait_ms: *self.random.choice([5, 60, -1]).as_ref().unwrap(),
            method: (*self.random.choice(METHODS).as_ref().unwrap()).into(),
            arguments: vec![argument],
            wait_for_provider: self.random.bool(),
            chain: vec![],
        };
        self.fates.insert(self.number, Fate::default());
        self.call(at, pb::command::Verb::Invoke(request));
    }

    fn provide(&mut self, at: usize) {
        if self.is_busy(at) || self.clients[at].providers.len() > 1 {
            return;
        }
        let method = |name: &&str| pb::Method {
            name: (*name).to_owned(),
            parameters: vec![pb::Parameter { name: "n".into(), ..Default::default() }],
            stream: ["watch", "tail"].contains(name),
            idempotent: ["again", "tail"].contains(name),
            serial: *name == "turn",
            ..Default::default()
        };
        // Not everybody serves everything.
        let methods = METHODS[..self.random.usize(3..=METHODS.len())].iter().map(method).collect();
        let request = pb::ProvideRequest {
            object: object(OBJECTS[self.random.usize(..2)]),
            description: Some(pb::Description { doc: String::new(), methods }),
            capacity: self.random.u32(1..4),
        };
        self.call(at, pb::command::Verb::Provide(request));
    }

    fn withdraw(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let Some(place) = Self::pick(&mut self.random, &client.providers) else { return };
        let (object_at, provider) = client.providers.swap_remove(place);
        client.tasks.retain(|task| (task.object, task.provider) != (object_at, provider));
        let request = pb::WithdrawRequest { object: object(OBJECTS[object_at]), provider };
        self.call(at, pb::command::Verb::Withdraw(request));
    }

    fn take(&mut self, at: usize) {
        let Some(place) = Self::pick(&mut self.random, &self.clients[at].providers).filter(|_| !self.is_busy(at)) else { return };
        let (object_at, provider) = self.clients[at].providers[place];
        let (wait_ms, max) = (self.wait_ms(), self.random.u32(0..4));
        let (object, outcomes) = (object(OBJECTS[object_at]), Vec::new());
        self.call(
            at,
            pb::command::Verb::Take(pb::TakeRequest { object, wait_ms, provider, max, outcomes, only_cancelled: false }),
        );
    }

    fn give(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let Some(place) = Self::pick(&mut self.random, &client.tasks).filter(|place| !client.tasks[*place].is_yielding) else {
            return;
        };
        let task = client.tasks.swap_remove(place);
        self.answer_task(at, task, false);
    }

    fn answer_task(&mut self, at: usize, task: Task, is_cancelled: bool) {
        use pb::outcome::Outcome;
        let Task { object: object_at, provider, call, number, method, yielded, is_yielding: _ } = task;
        let fate = self.fates.get_mut(&number).unwrap();
        let outcome = match self.random.u32(..8) {
            0 if yielded == 0 => {
                fate.begun -= 1;
                Outcome::NotBegun(pb::NotBegun {})
            }
            1 => Outcome::Failure(pb::Failure { r#type: "Oops".into(), message: number.to_string(), value: None }),
            _ if is_cancelled => Outcome::Failure(pb::Failure::default()),
            _ if ["watch", "tail"].contains(&method.as_str()) => {
                fate.is_finished = true;
                Outcome::Ended(pb::Ended {})
            }
            _ => {
                fate.is_finished = true;
                Outcome::Result(text(&number.to_string()))
            }
        };
        let outcomes = vec![pb::Outcome { call, outcome: Some(outcome) }];
        let object = object(OBJECTS[object_at]);
        let verb = match self.random.bool() && !self.is_busy(at) {
            true => {
                let (wait_ms, max) = (self.wait_ms(), self.random.u32(0..4));
                pb::command::Verb::Take(pb::TakeRequest { object, wait_ms, provider, max, outcomes, only_cancelled: false })
            }
            false => pb::command::Verb::Give(pb::GiveRequest { object, provider, outcomes }),
        };
        self.call(at, verb);
    }

    fn r#yield(&mut self, at: usize) {
        let tasks = &mut self.clients[at].tasks;
        let is_ready = |task: &&mut Task| ["watch", "tail"].contains(&task.method.as_str()) && !task.is_yielding;
        let Some(task) = tasks.iter_mut().find(is_ready) else { return };
        task.is_yielding = true;
        let count = self.random.u64(1..5);
        // Of a size that fills a stream soon.
        let item = |index| text(&format!("{index:08}{}", " ".repeat(60 << 10)));
        let items = (task.yielded..task.yielded + count).map(item).collect();
        let (object, provider, call) = (object(OBJECTS[task.object]), task.provider, task.call);
        let wait_ms = *self.random.choice([0, 5, -1]).as_ref().unwrap();
        self.call(at, pb::command::Verb::Yield(pb::YieldRequest { object, wait_ms, provider, call, items }));
    }

    fn next(&mut self, at: usize) {
        let (wait_ms, max, abandons) = (self.wait_ms(), self.random.u32(0..4), self.random.u8(..8) == 0);
        let client = &mut self.clients[at];
        let Some(place) = client.readings.iter().position(|reading| !reading.is_asking) else { return };
        let call = client.readings[place].call;
        let object = object(OBJECTS[client.readings[place].object]);
        if abandons {
            client.readings.swap_remove(place);
            return self.call(at, pb::command::Verb::Abandon(pb::AbandonRequest { object, call }));
        }
        client.readings[place].is_asking = true;
        self.call(at, pb::command::Verb::Next(pb::NextRequest { object, wait_ms, call, max }));
    }

    fn read(&mut self, at: usize, is_lost: bool) {
        while let Some(entries) = self.clients[at].line.receive() {
            for entry in entries {
                if let Some((pending, reply)) = self.clients[at].line.take(entry, is_lost) {
                    self.answered(at, reply, pending);
                }
            }
        }
        let line = &mut self.clients[at].line;
        if is_lost {
            return self.stage.reconnect(line);
        }
        if self.random.bool() {
            line.acknowledge();
        }
    }

    fn answered(&mut self, at: usize, reply: Reply, Pending { command, is_cancelled, .. }: Pending<()>) {
        let Command::Object(pb::Command { verb: Some(asked) }) = command else { unreachable!("only objects are asked") };
        match reply {
            Reply::Fault(fault) => self.refused(at, &Fault::from(fault), asked),
            Reply::Object(reply) => self.replied(at, reply.verb.unwrap(), asked, is_cancelled),
            reply => panic!("{asked:?} was answered {reply:?}"),
        }
    }

    fn refused(&mut self, at: usize, fault: &Fault, asked: pb::command::Verb) {
        use pb::command::Verb;
        self.saw(fault.name());
        let is_allowed = match &asked {
            Verb::Provide(_) => matches!(fault, Fault::Cancelled {}),
            Verb::Take(_) => matches!(fault, Fault::TimedOut { .. } | Fault::Cancelled {} | Fault::NoSuchProvider { .. }),
            Verb::Give(_) => matches!(fault, Fault::NoSuchProvider { .. }),
            Verb::Yield(_) => {
                matches!(fault, Fault::NoRoom { .. } | Fault::NoSuchCall { .. } | Fault::NoSuchProvider { .. })
            }
            Verb::Next(_) => {
                matches!(fault, Fault::TimedOut { .. } | Fault::Cancelled {} | Fault::NoSuchCall { .. } | Fault::ProviderGone {})
            }
            Verb::Invoke(_) => true,
            _ => false,
        };
        assert!(is_allowed, "{fault}: {asked:?}");
        match asked {
            Verb::Invoke(request) => self.not_called(fault, &request),
            Verb::Yield(request) => self.stopped_yielding(at, &request, 0),
            Verb::Next(request) => {
                let readings = &mut self.clients[at].readings;
                let reading = readings.iter().position(|reading| is_of(reading, &request));
                match (reading, fault) {
                    // A Next that was cancelled when its end had left takes it back; the one behind it is told.
                    (Some(place), Fault::TimedOut { .. } | Fault::Cancelled {}) => readings[place].is_asking = false,
                    (Some(place), Fault::ProviderGone {}) => _ = readings.swap_remove(place),
                    (Some(_), _) => panic!("{fault}: the stream was not told to be over"),
                    (None, _) => {}
                }
            }
            _ => {}
        }
    }

    /// P1: who is told that nothing happened can rely on it.
    fn not_called(&self, fault: &Fault, request: &pb::InvokeRequest) {
        let number = number_of(&request.arguments);
        let fate = &self.fates[&number];
        match fault {
            Fault::TimedOut { .. } | Fault::NoProvider {} | Fault::NoSuchMethod { .. } => {
                assert_eq!(fate.begun, 0, "P1: call {number} was begun, and its caller told {fault}");
            }
            Fault::TooManyCalls { .. } | Fault::TooManyBytes { .. } => assert_eq!(fate.begun, 0, "P1: {number}: {fault}"),
            // What was sent to a provider that died before it read it is gone with it.
            Fault::ProviderGone {} | Fault::Unanswered {} | Fault::Cancelled {} => {}
            fault => panic!("{fault}: {request:?}"),
        }
    }

    fn replied(&mut self, at: usize, reply: pb::reply::Verb, asked: pb::command::Verb, is_cancelled: bool) {
        use pb::{command::Verb as Asked, reply::Verb};
        match (reply, asked) {
            // What was given in an answer to a cancelled call is taken back.
            (Verb::Take(_), Asked::Take(_)) | (Verb::Provide(_), Asked::Provide(_)) if is_cancelled => {}
            (Verb::Provide(reply), Asked::Provide(request)) => {
                self.clients[at].providers.push((object_of(&request.object), reply.provider));
            }
            (Verb::Take(reply), Asked::Take(request)) => self.taken(at, object_of(&request.object), reply),
            (Verb::Yield(reply), Asked::Yield(request)) => {
                assert!(reply.taken > 0 && reply.taken as usize <= request.items.len());
                self.stopped_yielding(at, &request, u64::from(reply.taken));
            }
            (Verb::Invoke(reply), Asked::Invoke(request)) => self.called(at, reply.outcome.unwrap(), &request, is_cancelled),
            (Verb::Next(reply), Asked::Next(request)) => self.given_items(at, reply, &request, is_cancelled),
            (Verb::Withdraw(_), Asked::Withdraw(_)) | (Verb::Give(_), Asked::Give(_)) => {}
            (Verb::Abandon(_), Asked::Abandon(_)) => {}
            (reply, asked) => panic!("{asked:?} was answered {reply:?}"),
        }
    }

    fn stopped_yielding(&mut self, at: usize, request: &pb::YieldRequest, taken: u64) {
        let of = |task: &&mut Task| task.call == request.call && object(OBJECTS[task.object]) == request.object;
        if let Some(task) = self.clients[at].tasks.iter_mut().find(of) {
            task.is_yielding = false;
            task.yielded += taken;
        }
    }

    fn taken(&mut self, at: usize, object_at: usize, pb::TakeReply { provider, calls, cancelled }: pb::TakeReply) {
        assert!(!calls.is_empty() || !cancelled.is_empty(), "an answer that says nothing");
        // Withdrawn meanwhile: what it was given went to others.
        if !self.clients[at].providers.contains(&(object_at, provider)) {
            return;
        }
        for given in calls {
            self.begin(at, object_at, provider, given);
        }
        for call in cancelled {
            self.saw("cancelled");
            let tasks = &mut self.clients[at].tasks;
            let of = |task: &Task| (task.object, task.provider, task.call) == (object_at, provider, call);
            // It may have been answered meanwhile.
            if let Some(place) = tasks.iter().position(of)
                && !tasks[place].is_yielding
            {
                let task = tasks.swap_remove(place);
                self.answer_task(at, task, true);
            }
        }
    }

    fn begin(&mut self, at: usize, object_at: usize, provider: u64, given: pb::Given) {
        let pb::Given { call, method, arguments, again, chain, .. } = given;
        let number = number_of(&arguments);
        assert_eq!(chain.last().map(|link| link.call), Some(call), "the chain ends with the call itself");
        let fate = self.fates.get_mut(&number).unwrap();
        fate.begun += 1;
        let (begun, is_repeatable) = (fate.begun, ["again", "tail"].contains(&method.as_str()));
        assert!(begun == 1 || is_repeatable, "P1: {method}, call {number}, was begun {begun} times");
        assert!(begun == 1 || again, "P1: call {number} was begun before, and does not say so");
        if again {
            self.saw("again");
        }
        let in_turn = |object: usize, method: &str| object == object_at && (object == 1 || method == "turn");
        let running = self.clients.iter().flat_map(|client| &client.tasks).find(|task| in_turn(task.object, &task.method));
        let is_serial = in_turn(object_at, &method);
        assert!(!is_serial || running.is_none(), "P1: {method} {number} beside {:?}", running.map(|task| task.number));
        let of_provider = |task: &&Task| (task.object, task.provider) == (object_at, provider);
        assert!(self.clients[at].tasks.iter().filter(of_provider).count() < 3, "P1: more calls than its capacity");
        let task = Task { object: object_at, provider, call, number, method, yielded: 0, is_yielding: false };
        self.clients[at].tasks.push(task);
    }

    fn called(&mut self, at: usize, outcome: pb::invoke_reply::Outcome, request: &pb::InvokeRequest, is_cancelled: bool) {
        use pb::invoke_reply::Outcome;
        let number = number_of(&request.arguments);
        match outcome {
            Outcome::Result(value) => {
                assert_eq!(value.data, number.to_string(), "P1: the result of another call");
                assert!(self.fates[&number].is_finished, "P1: nobody finished call {number}");
                self.saw("result");
            }
            Outcome::Failure(failure) => {
                assert_eq!(failure.message, number.to_string(), "P1: the failure of another call");
                self.saw("failure");
            }
            // Taken back.
            Outcome::Stream(_) if is_cancelled => {}
            Outcome::Stream(call) => {
                self.saw("stream");
                let reading = Reading { object: object_of(&request.object), call, number, read: 0, is_asking: false };
                self.clients[at].readings.push(reading);
            }
        }
    }

    fn given_items(&mut self, at: usize, reply: pb::NextReply, request: &pb::NextRequest, is_cancelled: bool) {
        assert_eq!(reply.call, request.call);
        let readings = &mut self.clients[at].readings;
        let Some(place) = readings.iter().position(|reading| is_of(reading, request)) else { return };
        let reading = &mut readings[place];
        reading.is_asking = false;
        if is_cancelled {
            return;
        }
        for item in &reply.items {
            assert_eq!(item.data[..8], *format!("{:08}", reading.read).as_bytes(), "P1: an item is missing, or came twice");
            reading.read += 1;
        }
        let number = reading.number;
        if !reply.items.is_empty() {
            self.saw("item");
        }
        if let Some(end) = reply.end {
            self.clients[at].readings.swap_remove(place);
            let is_finished = self.fates[&number].is_finished;
            assert!(is_finished || matches!(end, pb::next_reply::End::Failure(_)), "P1: nobody ended stream {number}");
            self.saw("end");
        }
    }

    fn cancel(&mut self, at: usize) {
        use pb::command::Verb;
        let client = &mut self.clients[at];
        let sequences: Vec<u64> = client.line.pending.keys().copied().collect();
        let Some(sequence) = self.random.choice(&sequences).copied() else { return };
        let pending = &client.line.pending[&sequence];
        let Command::Object(pb::Command { verb: Some(verb) }) = &pending.command else { return };
        let can_be = matches!(verb, Verb::Invoke(_) | Verb::Take(_) | Verb::Next(_) | Verb::Provide(_));
        if can_be && pending.lost_answer.is_none() && !pending.is_cancelled {
            client.line.cancel(sequence);
        }
    }

    fn reconnect(&mut self, at: usize) {
        self.stage.reconnect(&mut self.clients[at].line);
    }

    fn die(&mut self, at: usize) {
        let fresh = self.new_client();
        let dead = std::mem::replace(&mut self.clients[at], fresh);
        let how = if self.random.bool() { Departure::Lost } else { Departure::Closed };
        self.stage.end(&dead.line, how);
    }

    fn fall_silent(&mut self, at: usize) {
        self.clients[at] = self.new_client();
        self.stage.outlast(self.clients.iter().map(|client| &client.line));
        self.stage.wake();
    }

    fn pass_time(&mut self) {
        self.stage.advance(self.random.u64(0..40), self.clients.iter().map(|client| &client.line));
        self.stage.wake();
    }

    fn rest(&mut self) {
        self.stage.wake();
        (0..CLIENTS).for_each(|at| self.read(at, false));
    }

    /// Everybody dies, and nothing is left.
    fn finish(mut self) -> BTreeMap<String, u64> {
        self.rest();
        (0..CLIENTS).for_each(|at| self.die(at));
        self.stage.wake();
        self.stage.check();
        for host in &self.stage.hosts {
            let (waiting, figures) = host.figures();
            let left: BTreeSet<_> = figures.into_iter().filter(|(_, figure)| *figure > 0).map(|(name, _)| name).collect();
            let is_over = left.is_subset(&BTreeSet::from(["calls", "given_again", "gone"]));
            assert!(waiting == 0 && is_over, "P1: {}: {waiting} of the dead wait, {left:?} are left", host.name());
        }
        self.seen
    }
}

fn text(text: &str) -> Value {
    Value { data: Bytes::copy_from_slice(text.as_bytes()), codec: 0 }
}

/// By which a call is known to everybody.
fn number_of(arguments: &[pb::Argument]) -> u64 {
    let value = arguments[0].value.as_ref().expect("an argument has a value");
    std::str::from_utf8(&value.data).unwrap().parse().unwrap()
}

fn object_of(object: &Option<v1::ObjectRef>) -> usize {
    let name = &object.as_ref().unwrap().name;
    OBJECTS.iter().position(|object| object == name).unwrap()
}

fn is_of(reading: &Reading, request: &pb::NextRequest) -> bool {
    reading.call == request.call && object(OBJECTS[reading.object]) == request.object
}
