//! The kinds that sessions hold or wait on, simulated like queue and kv: locks, read-write locks, semaphores, conditions, barriers,
//! events, counters, and writes that are fenced by a lock.
//!
//! What a client *believes* to hold is what it was told and has not given back; from the grant to that moment the broker must agree,
//! so two such beliefs about one lock break L1. Histories of the lock, semaphore, event, counter and a key are checked for
//! linearizability in short runs of many seeds (R18).

use super::{
    object,
    stage::{self, CLIENTS, Line, Stage, with_seed, with_seeds},
};
use crate::linearizable::{
    CounterInput, CounterModel, EventInput, EventModel, EventOutput, KeyInput, KeyModel, KeyOutput, LockInput, LockModel,
    LockOutput, Operation, SemaphoreModel, check,
};
use bursar::blocking::Manager;
use bursar_proto::v1::{
    self, Fence, ObjectRef, Value, answer::Reply, barrier, call::Command, condition, counter, event, kv, latch, lock, registry,
    rwlock, semaphore, txn,
};
use bursar_server::{objects::kind::Departure, testing::TestBroker};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

const PERMITS: usize = 2;
const PARTIES: u32 = 3;
/// Every object, in the order in which they are created.
const NAMES: [&str; 12] =
    ["lock", "reentrant", "rwlock", "semaphore", "condition", "barrier", "event", "counter", "map", "latch", "purse", "ledger"];
/// What purse and ledger hold together, at every moment.
const FUNDS: i64 = 1000;

/// As a fault's number says it.
const NOT_HELD: u32 = 103;
const TIMED_OUT: u32 = 20;
const CANCELLED: u32 = 21;
const HELD: u32 = 140;
const NO_PERMITS: u32 = 141;
const WOULD_DEADLOCK: u32 = 142;
const STALE_TOKEN: u32 = 143;
const BARRIER_BROKEN: u32 = 145;
const REVISION_MISMATCH: u32 = 120;

#[test]
fn holders() {
    let (_, figure) = with_seeds("holders", |seed, steps| run(seed, steps, false));
    println!("{figure}, violations 0");
}

/// R18 on hosts and sessions; `attacks/histories.rs` does it with the real program.
#[test]
fn histories_are_linearizable() {
    let histories: usize = (1..=400).map(|seed| with_seed("histories", seed, 150, || run(seed, 150, true))).sum();
    println!("R18 simulated: {histories} histories, anomalies 0");
}

/// L2: a lock that is deleted and created anew went on with the next epoch, and gave tokens once more that others still showed.
#[test]
fn tokens_grow_across_deletes() {
    let broker = TestBroker::start();
    let manager = Manager::connect(broker.address(), broker.authkey()).unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let lock = manager.lock("deploy").create().unwrap();
        for _ in 0..20 {
            let guard = lock.acquire().unwrap();
            assert!(guard.token() > last, "{} after {last}", guard.token());
            last = guard.token();
            guard.release().unwrap();
        }
        manager.objects().delete("deploy").unwrap();
    }
}

fn run(seed: u64, steps: u64, with_histories: bool) -> usize {
    let mut simulation = Simulation::new(seed, with_histories);
    for step in 0..steps {
        simulation.step();
        simulation.stage.check();
        if step % 64 == 63 {
            simulation.rest();
        }
    }
    simulation.finish()
}

/// What a client was granted and believes to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Grant {
    what: &'static str,
    token: u64,
    is_exclusive: bool,
}

/// What is known of a call that was made.
struct Note {
    expected: Option<counter::reply::Verb>,
    invoked: u64,
    /// It gives back what the client holds: that is never refused.
    is_own: bool,
}

type Pending = stage::Pending<Note>;

struct Client {
    line: Line<Note>,
    grants: Vec<Grant>,
    /// Tokens of the lock that it had once.
    stale: Vec<u64>,
}

#[derive(Default)]
struct Histories {
    lock: Vec<Operation<LockInput, LockOutput>>,
    semaphore: Vec<Operation<LockInput, LockOutput>>,
    counter: Vec<Operation<CounterInput, (i64, bool)>>,
    event: Vec<Operation<EventInput, EventOutput>>,
    key: Vec<Operation<KeyInput, KeyOutput>>,
}

struct Simulation {
    random: fastrand::Rng,
    stage: Stage,
    clients: Vec<Client>,
    /// What the counter holds.
    count: i64,
    tokens: BTreeSet<(&'static str, u64)>,
    /// By generation: the indices of the parties that passed.
    passed: BTreeMap<u64, BTreeSet<u32>>,
    /// The moment of the histories: every frame in and out is one.
    now: u64,
    histories: Option<Histories>,
    /// The call that is being made gives back what the client holds.
    gives_back: bool,
}

impl Simulation {
    fn new(seed: u64, with_histories: bool) -> Simulation {
        use registry::options::Kind;
        let kinds = [
            Kind::Lock(lock::Options::default()),
            Kind::Lock(lock::Options { reentrant: true, ..Default::default() }),
            Kind::Rwlock(rwlock::Options::default()),
            Kind::Semaphore(semaphore::Options { permits: PERMITS as u64, bounded: true, ..Default::default() }),
            Kind::Condition(condition::Options::default()),
            Kind::Barrier(barrier::Options { parties: PARTIES }),
            Kind::Event(event::Options::default()),
            Kind::Counter(counter::Options::default()),
            Kind::Kv(kv::Options::default()),
            Kind::Latch(latch::Options { count: 5 }),
            Kind::Counter(counter::Options { initial: FUNDS }),
            Kind::Kv(kv::Options::default()),
        ];
        let mut simulation = Simulation {
            random: fastrand::Rng::with_seed(seed),
            stage: Stage::new(NAMES.into_iter().zip(kinds)),
            clients: vec![],
            count: 0,
            tokens: BTreeSet::new(),
            passed: BTreeMap::new(),
            now: 0,
            histories: with_histories.then(Histories::default),
            gives_back: false,
        };
        for _ in 0..CLIENTS {
            let client = simulation.new_client();
            simulation.clients.push(client);
        }
        simulation
    }

    fn new_client(&mut self) -> Client {
        Client { line: self.stage.connect(), grants: vec![], stale: vec![] }
    }

    fn step(&mut self) {
        self.now += 1;
        let at = self.random.usize(..CLIENTS);
        match self.random.u32(..100) {
            0..14 => self.acquire(at),
            14..34 => self.release(at),
            34..40 => self.wait_for_others(at),
            40..46 => self.use_condition(at),
            46..52 => self.use_event(at),
            52..56 => self.use_counter(at),
            56..60 => self.transact(at),
            60..66 => self.use_map(at),
            66..84 => self.read(at, false),
            84..88 => self.pass_time(),
            88..92 => self.cancel(at),
            92..94 => self.read(at, true),
            94..96 => self.reconnect(at),
            96..98 => self.meddle(at),
            98 => self.die(at),
            _ => self.fall_silent(at),
        }
    }

    fn call(&mut self, at: usize, command: Command) {
        self.expect(at, command, None);
    }

    fn expect(&mut self, at: usize, command: Command, expected: Option<counter::reply::Verb>) {
        let note = Note { expected, invoked: self.now, is_own: self.gives_back };
        self.stage.call(&mut self.clients[at].line, command, note);
    }

    fn wait_ms(&mut self) -> i64 {
        *self.random.choice([0, 0, 1, 30, -1]).as_ref().unwrap()
    }

    fn acquire(&mut self, at: usize) {
        if self.clients[at].line.pending.len() > 4 || self.clients[at].grants.len() > 4 {
            return;
        }
        let (wait_ms, owner) = (self.wait_ms(), self.random.u64(0..3));
        let command = match self.random.u32(..6) {
            0 | 1 => lock_command(lock::command::Verb::Acquire(lock::AcquireRequest { object: object("lock"), wait_ms, owner })),
            2 => lock_command(lock::command::Verb::Acquire(lock::AcquireRequest { object: object("reentrant"), wait_ms, owner })),
            3 => {
                let write = self.random.bool();
                let request = rwlock::AcquireRequest { object: object("rwlock"), wait_ms, owner, write };
                Command::Rwlock(rwlock::Command { verb: Some(rwlock::command::Verb::Acquire(request)) })
            }
            4 => {
                let request = semaphore::AcquireRequest { object: object("semaphore"), wait_ms, count: 1, consume: false };
                Command::Semaphore(semaphore::Command { verb: Some(semaphore::command::Verb::Acquire(request)) })
            }
            _ => {
                let request = condition::AcquireRequest { object: object("condition"), wait_ms, owner };
                Command::Condition(condition::Command { verb: Some(condition::command::Verb::Acquire(request)) })
            }
        };
        self.call(at, command);
    }

    fn release(&mut self, at: usize) {
        let Some(place) = (!self.clients[at].grants.is_empty()).then(|| self.random.usize(..self.clients[at].grants.len()))
        else {
            return;
        };
        if self.clients[at].grants[place].what == "rwlock"
            && self.clients[at].grants[place].is_exclusive
            && self.random.u8(..3) == 0
        {
            let grant = &mut self.clients[at].grants[place];
            grant.is_exclusive = false;
            let request = rwlock::DowngradeRequest { object: object("rwlock"), token: grant.token };
            let verb = rwlock::command::Verb::Downgrade(request);
            return self.call(at, Command::Rwlock(rwlock::Command { verb: Some(verb) }));
        }
        let grant = self.clients[at].grants.swap_remove(place);
        if grant.what == "lock" {
            self.clients[at].stale.push(grant.token);
        }
        self.gives_back = true;
        self.call(at, release_command(grant.what, grant.token));
        self.gives_back = false;
    }

    /// Releases what others hold, with the tokens of today and of yesterday (L4).
    fn meddle(&mut self, at: usize) {
        let others = self.clients.iter().enumerate().filter(|(other, _)| *other != at);
        let others: Vec<Grant> = others.flat_map(|(_, client)| client.grants.iter().copied()).collect();
        if let Some(grant) = self.random.choice(&others).copied() {
            self.call(at, release_command(grant.what, grant.token));
        }
    }

    /// Barriers and latches.
    fn wait_for_others(&mut self, at: usize) {
        if self.clients[at].line.pending.len() > 4 {
            return;
        }
        let wait_ms = *self.random.choice([30, -1, -1, -1]).as_ref().unwrap();
        let command = match self.random.u32(..12) {
            0..8 => barrier_command(barrier::command::Verb::Wait(barrier::WaitRequest { object: object("barrier"), wait_ms })),
            8 => barrier_command(barrier::command::Verb::Abort(barrier::AbortRequest { object: object("barrier") })),
            9 | 10 => barrier_command(barrier::command::Verb::Reset(barrier::ResetRequest { object: object("barrier") })),
            _ => {
                let request = latch::WaitRequest { object: object("latch"), wait_ms };
                Command::Latch(latch::Command { verb: Some(latch::command::Verb::Wait(request)) })
            }
        };
        self.call(at, command);
    }

    fn use_condition(&mut self, at: usize) {
        let place = self.clients[at].grants.iter().position(|grant| grant.what == "condition");
        let Some(place) = place else { return };
        let (token, wait_ms) = (self.clients[at].grants[place].token, self.wait_ms());
        let object = object("condition");
        let verb = match self.random.u32(..3) {
            0 => {
                self.clients[at].grants.swap_remove(place);
                condition::command::Verb::Wait(condition::WaitRequest { object, wait_ms, token })
            }
            1 => condition::command::Verb::Notify(condition::NotifyRequest { object, token, count: 1, all: false }),
            _ => condition::command::Verb::Notify(condition::NotifyRequest { object, token, count: 0, all: true }),
        };
        self.call(at, Command::Condition(condition::Command { verb: Some(verb) }));
    }

    fn use_event(&mut self, at: usize) {
        if self.clients[at].line.pending.len() > 4 {
            return;
        }
        let object = object("event");
        let verb = match self.random.u32(..5) {
            0 => event::command::Verb::Set(event::SetRequest { object }),
            1 => event::command::Verb::Clear(event::ClearRequest { object }),
            2 => event::command::Verb::Get(event::GetRequest { object }),
            _ => {
                let (wait_ms, after) = (self.wait_ms(), self.random.bool().then_some(0));
                event::command::Verb::Wait(event::WaitRequest { object, wait_ms, after })
            }
        };
        self.call(at, Command::Event(event::Command { verb: Some(verb) }));
    }

    fn use_counter(&mut self, at: usize) {
        let object = object("counter");
        let (verb, reply) = match self.random.u32(..3) {
            0 => {
                let reply = counter::reply::Verb::Get(counter::GetReply { value: self.count });
                (counter::command::Verb::Get(counter::GetRequest { object }), reply)
            }
            1 => {
                let by = self.random.i64(-5..6);
                self.count += by;
                let reply = counter::reply::Verb::Add(counter::AddReply { value: self.count });
                (counter::command::Verb::Add(counter::AddRequest { object, by }), reply)
            }
            _ => {
                let (expected, value) = (self.count + self.random.i64(0..2), self.random.i64(0..9));
                let swapped = expected == self.count;
                self.count = if swapped { value } else { self.count };
                let reply = counter::CompareAndSetReply { swapped, value: self.count };
                let request = counter::CompareAndSetRequest { object, expected, value };
                (counter::command::Verb::CompareAndSet(request), counter::reply::Verb::CompareAndSet(reply))
            }
        };
        self.expect(at, Command::Counter(counter::Command { verb: Some(verb) }), Some(reply));
    }

    /// One key, with and without fence.
    fn use_map(&mut self, at: usize) {
        let client = &self.clients[at];
        let tokens: Vec<u64> = client.grants.iter().filter(|grant| grant.what == "lock").map(|grant| grant.token).collect();
        let tokens: Vec<u64> = tokens.iter().chain(&client.stale).copied().collect();
        let (object, key) = (object("map"), "key".to_owned());
        let verb = match self.random.u32(..5) {
            0 | 1 if !tokens.is_empty() => {
                let token = *self.random.choice(&tokens).unwrap();
                let fence = Some(Fence { lock: super::object("lock"), token });
                let (key, value) = ("fenced".to_owned(), Some(Value::default()));
                kv::command::Verb::Put(kv::PutRequest { object, key, value, fence, ..Default::default() })
            }
            0..3 => {
                let value = Value { data: Bytes::copy_from_slice(&self.now.to_be_bytes()), codec: 0 };
                let condition = (self.random.u8(..3) == 0)
                    .then(|| kv::Condition { condition: Some(kv::condition::Condition::Revision(self.random.u64(0..20))) });
                kv::command::Verb::Put(kv::PutRequest { object, key, value: Some(value), condition, ..Default::default() })
            }
            3 => kv::command::Verb::Get(kv::GetRequest { object, key, touch: false }),
            _ => kv::command::Verb::Delete(kv::DeleteRequest { object, key, ..Default::default() }),
        };
        self.call(at, Command::Kv(kv::Command { verb: Some(verb) }));
    }

    /// Moves something from the purse to the ledger, in one step or, if one part is refused, not at all; or looks at both.
    fn transact(&mut self, at: usize) {
        let by = if self.random.bool() { self.random.i64(1..50) } else { 0 };
        let spend = |by: i64| {
            let verb = counter::command::Verb::Add(counter::AddRequest { object: object("purse"), by: -by });
            txn::step::Command::Counter(counter::Command { verb: Some(verb) })
        };
        let note = |by: i64| {
            let request = kv::IncrRequest { object: object("ledger"), key: "spent".into(), by, ..Default::default() };
            txn::step::Command::Kv(kv::Command { verb: Some(kv::command::Verb::Incr(request)) })
        };
        let refused = || {
            let condition = Some(kv::Condition { condition: Some(kv::condition::Condition::Revision(u64::MAX)) });
            let (object, key, value) = (object("ledger"), "never".to_owned(), Some(Value::default()));
            let request = kv::PutRequest { object, key, value, condition, ..Default::default() };
            txn::step::Command::Kv(kv::Command { verb: Some(kv::command::Verb::Put(request)) })
        };
        // In two parts, so that the second sees what the first has changed.
        let mut commands = vec![spend(by), note(by / 2), note(by - by / 2)];
        if self.random.u8(..4) == 0 {
            commands.push(refused());
        }
        let then = commands.into_iter().map(|command| txn::Step { command: Some(command) }).collect();
        let request = txn::ExecuteRequest { then, ..Default::default() };
        self.call(at, Command::Txn(txn::Command { verb: Some(txn::command::Verb::Execute(request)) }));
    }

    fn read(&mut self, at: usize, is_lost: bool) {
        while let Some(entries) = self.clients[at].line.receive() {
            for entry in entries {
                self.now += 1;
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

    fn answered(&mut self, at: usize, reply: Reply, pending: Pending) {
        self.record(self.clients[at].line.number, &pending, Some(&reply));
        match reply {
            Reply::Fault(fault) => self.refused(&fault, &pending),
            // What is given in an answer to a cancelled call is taken back.
            _ if pending.is_cancelled => {}
            Reply::Counter(reply) => assert_eq!(reply.verb, pending.note.expected, "K1 of the counter"),
            reply => self.replied(at, reply, &pending),
        }
    }

    fn refused(&self, fault: &v1::Fault, pending: &Pending) {
        let allowed: &[u32] = match &pending.command {
            Command::Lock(lock::Command { verb: Some(lock::command::Verb::Acquire(_)) }) => &[HELD, WOULD_DEADLOCK, CANCELLED],
            Command::Rwlock(rwlock::Command { verb: Some(rwlock::command::Verb::Acquire(_)) }) => {
                &[HELD, WOULD_DEADLOCK, CANCELLED]
            }
            Command::Condition(condition::Command { verb: Some(condition::command::Verb::Acquire(_)) }) => {
                &[HELD, WOULD_DEADLOCK, CANCELLED]
            }
            Command::Condition(condition::Command { verb: Some(condition::command::Verb::Wait(_)) }) => &[CANCELLED],
            Command::Semaphore(semaphore::Command { verb: Some(semaphore::command::Verb::Acquire(_)) }) => {
                &[NO_PERMITS, CANCELLED]
            }
            Command::Barrier(_) => &[BARRIER_BROKEN, TIMED_OUT, CANCELLED],
            Command::Event(_) | Command::Latch(_) => &[TIMED_OUT, CANCELLED],
            Command::Kv(_) => &[STALE_TOKEN, REVISION_MISMATCH],
            Command::Txn(_) => &[REVISION_MISMATCH],
            // Releases of others' holdings; the client's own are never refused, as `meddle` only takes others'.
            _ => &[NOT_HELD],
        };
        assert!(allowed.contains(&fault.number), "{}: {:?}", fault.message, pending.command);
        assert!(!pending.note.is_own, "L4: what was held could not be given back: {:?}", pending.command);
    }

    fn replied(&mut self, at: usize, reply: Reply, pending: &Pending) {
        match reply {
            Reply::Lock(lock::Reply { verb: Some(lock::reply::Verb::Acquire(reply)) }) => {
                let what = name_of(&pending.command);
                self.grant(at, Grant { what, token: reply.token, is_exclusive: true }, reply.depth > 1);
            }
            Reply::Rwlock(rwlock::Reply { verb: Some(rwlock::reply::Verb::Acquire(reply)) }) => {
                let Command::Rwlock(rwlock::Command { verb: Some(rwlock::command::Verb::Acquire(request)) }) = &pending.command
                else {
                    panic!("an acquire was answered that was none");
                };
                self.grant(at, Grant { what: "rwlock", token: reply.token, is_exclusive: request.write }, false);
            }
            Reply::Semaphore(semaphore::Reply { verb: Some(semaphore::reply::Verb::Acquire(reply)) }) => {
                self.grant(at, Grant { what: "semaphore", token: reply.token, is_exclusive: false }, false);
            }
            Reply::Condition(condition::Reply { verb: Some(condition::reply::Verb::Acquire(reply)) }) => {
                self.grant(at, Grant { what: "condition", token: reply.token, is_exclusive: true }, false);
            }
            Reply::Condition(condition::Reply { verb: Some(condition::reply::Verb::Wait(reply)) }) => {
                self.grant(at, Grant { what: "condition", token: reply.token, is_exclusive: true }, false);
            }
            Reply::Barrier(barrier::Reply { verb: Some(barrier::reply::Verb::Wait(reply)) }) => {
                let passed = self.passed.entry(reply.generation).or_default();
                assert!(reply.index < PARTIES && passed.insert(reply.index), "B1: index {} twice", reply.index);
            }
            Reply::Txn(txn::Reply { verb: Some(txn::reply::Verb::Execute(reply)) }) => {
                let number = |reply: &txn::StepReply| match &reply.reply {
                    Some(txn::step_reply::Reply::Counter(counter::Reply { verb: Some(counter::reply::Verb::Add(reply)) })) => {
                        reply.value
                    }
                    Some(txn::step_reply::Reply::Kv(kv::Reply { verb: Some(kv::reply::Verb::Incr(reply)) })) => reply.value,
                    other => panic!("no step asks for this: {other:?}"),
                };
                let (purse, ledger) = (number(&reply.replies[0]), number(&reply.replies[2]));
                assert_eq!(purse + ledger, FUNDS, "K1: a transaction was seen half done");
            }
            Reply::Kv(kv::Reply { verb: Some(kv::reply::Verb::Put(_)) }) => {
                let Command::Kv(kv::Command { verb: Some(kv::command::Verb::Put(request)) }) = &pending.command else {
                    panic!("a put was answered that was none");
                };
                if let Some(fence) = &request.fence {
                    let is_known = self.tokens.contains(&("lock", fence.token));
                    assert!(is_known, "L3: a token that nobody was granted was accepted");
                }
            }
            _ => {}
        }
    }

    fn grant(&mut self, at: usize, grant: Grant, is_again: bool) {
        let Grant { what, token, is_exclusive } = grant;
        let is_new = self.tokens.insert((what, token));
        assert!(is_new || is_again, "L2: token {token} of {what} was granted twice");
        let others = self.clients.iter().enumerate().filter(|(other, _)| *other != at);
        let others: Vec<Grant> =
            others.flat_map(|(_, client)| &client.grants).filter(|other| other.what == what).copied().collect();
        match what {
            "semaphore" => {
                let own = self.clients[at].grants.iter().filter(|own| own.what == what).count();
                assert!(others.len() + own < PERMITS, "S1: {} permits are held", others.len() + own + 1);
            }
            _ => {
                let is_shared = others.iter().any(|other| is_exclusive || other.is_exclusive);
                assert!(!is_shared, "L1: {what} is held by {others:?} and {grant:?}");
            }
        }
        self.clients[at].grants.push(grant);
    }

    fn cancel(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let sequences: Vec<u64> = client.line.pending.keys().copied().collect();
        let Some(sequence) = self.random.choice(&sequences).copied() else { return };
        let pending = &client.line.pending[&sequence];
        if !can_be_cancelled(&pending.command) || pending.lost_answer.is_some() || pending.is_cancelled {
            return;
        }
        client.line.cancel(sequence);
        let (number, what) = (client.line.number, name_of(&client.line.pending[&sequence].command));
        self.gave_back(number, Some(what));
    }

    fn reconnect(&mut self, at: usize) {
        self.stage.reconnect(&mut self.clients[at].line);
    }

    fn die(&mut self, at: usize) {
        let fresh = self.new_client();
        let dead = std::mem::replace(&mut self.clients[at], fresh);
        self.now += 1;
        self.abandoned(&dead);
        let how = if self.random.bool() { Departure::Lost } else { Departure::Closed };
        self.stage.end(&dead.line, how);
    }

    fn fall_silent(&mut self, at: usize) {
        let fresh = self.new_client();
        let silent = std::mem::replace(&mut self.clients[at], fresh);
        self.now += 1;
        self.abandoned(&silent);
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

    /// Everybody dies: nothing is held, nobody waits, and whoever comes after gets everything at once.
    fn finish(mut self) -> usize {
        self.rest();
        (0..CLIENTS).for_each(|at| self.die(at));
        self.stage.wake();
        for host in &self.stage.hosts {
            let (waiting, _) = host.figures();
            assert_eq!(waiting, 0, "{}: the dead still wait", host.name());
        }
        let holdings = self.stage.table.door.registry().waits(None).unwrap();
        assert!(holdings.waits.is_empty() && holdings.holdings.is_empty(), "the dead still hold: {holdings:?}");
        for (name, wait_ms) in [("lock", 0), ("reentrant", 0)] {
            let request = lock::AcquireRequest { object: object(name), wait_ms, owner: 0 };
            self.call(0, lock_command(lock::command::Verb::Acquire(request)));
        }
        let request = rwlock::AcquireRequest { object: object("rwlock"), write: true, ..Default::default() };
        self.call(0, Command::Rwlock(rwlock::Command { verb: Some(rwlock::command::Verb::Acquire(request)) }));
        let request = condition::AcquireRequest { object: object("condition"), ..Default::default() };
        self.call(0, Command::Condition(condition::Command { verb: Some(condition::command::Verb::Acquire(request)) }));
        for _ in 0..PERMITS {
            let request = semaphore::AcquireRequest { object: object("semaphore"), ..Default::default() };
            self.call(0, Command::Semaphore(semaphore::Command { verb: Some(semaphore::command::Verb::Acquire(request)) }));
        }
        self.read(0, false);
        assert_eq!(self.clients[0].grants.len(), 4 + PERMITS, "whoever comes after gets everything");
        self.stage.check();
        self.histories.map_or(0, |histories| histories.check())
    }

    // Histories.

    /// The session that had this number ended, or it took back a call for this object.
    fn gave_back(&mut self, client: u64, what: Option<&str>) {
        let invoked = self.now;
        let Some(histories) = &mut self.histories else { return };
        let ended = || Operation { invoked, answered: None, input: LockInput::GaveBack { client } };
        if what.is_none_or(|what| what == "lock") {
            histories.lock.push(ended());
        }
        if what.is_none_or(|what| what == "semaphore") {
            histories.semaphore.push(ended());
        }
    }

    /// What a client that is no more had asked for may have happened or not.
    fn abandoned(&mut self, dead: &Client) {
        for pending in dead.line.pending.values() {
            self.record(dead.line.number, pending, None);
        }
        self.gave_back(dead.line.number, None);
    }

    fn record(&mut self, client: u64, pending: &Pending, reply: Option<&Reply>) {
        let (now, invoked) = (self.now, pending.note.invoked);
        let Some(histories) = &mut self.histories else { return };
        let fault = match reply {
            Some(Reply::Fault(fault)) => Some(fault.number),
            _ => None,
        };
        // What was taken back may have happened or not: it is as if it had not been answered.
        let is_unknown = reply.is_none() || pending.is_cancelled || fault == Some(CANCELLED);
        match &pending.command {
            Command::Lock(lock::Command { verb: Some(verb) }) if name_of(&pending.command) == "lock" => {
                let (input, output) = match verb {
                    lock::command::Verb::Acquire(_) if fault == Some(WOULD_DEADLOCK) => return,
                    lock::command::Verb::Acquire(_) => (LockInput::Acquire { client }, grant_output(reply)),
                    lock::command::Verb::Release(request) => {
                        (LockInput::Release { client, token: request.token }, release_output(reply))
                    }
                };
                let answered = if is_unknown { None } else { output.map(|output| (now, output)) };
                histories.lock.push(Operation { invoked, answered, input });
            }
            Command::Semaphore(semaphore::Command { verb: Some(verb) }) => {
                let (input, output) = match verb {
                    semaphore::command::Verb::Acquire(_) => (LockInput::Acquire { client }, grant_output(reply)),
                    semaphore::command::Verb::Release(request) => {
                        (LockInput::Release { client, token: request.token }, release_output(reply))
                    }
                    semaphore::command::Verb::Add(_) => return,
                };
                let answered = if is_unknown { None } else { output.map(|output| (now, output)) };
                histories.semaphore.push(Operation { invoked, answered, input });
            }
            Command::Counter(counter::Command { verb: Some(verb) }) => {
                use counter::{command::Verb as Asked, reply::Verb};
                let input = match verb {
                    Asked::Get(_) => CounterInput::Get,
                    Asked::Add(request) => CounterInput::Add(request.by),
                    Asked::CompareAndSet(request) => {
                        CounterInput::CompareAndSet { expected: request.expected, value: request.value }
                    }
                    Asked::Set(_) => return,
                };
                let answered = match reply {
                    Some(Reply::Counter(counter::Reply { verb: Some(Verb::Get(reply)) })) => Some((now, (reply.value, false))),
                    Some(Reply::Counter(counter::Reply { verb: Some(Verb::Add(reply)) })) => Some((now, (reply.value, false))),
                    Some(Reply::Counter(counter::Reply { verb: Some(Verb::CompareAndSet(reply)) })) => {
                        Some((now, (reply.value, reply.swapped)))
                    }
                    _ => None,
                };
                histories.counter.push(Operation { invoked, answered, input });
            }
            Command::Event(event::Command { verb: Some(verb) }) => {
                use event::{command::Verb as Asked, reply::Verb};
                let input = match verb {
                    Asked::Set(_) => EventInput::Set,
                    Asked::Clear(_) => EventInput::Clear,
                    Asked::Get(_) => EventInput::Get,
                    Asked::Wait(request) => EventInput::Wait { after: request.after },
                };
                let output = match reply {
                    Some(Reply::Event(event::Reply { verb: Some(verb) })) => Some(match verb {
                        Verb::Set(reply) => EventOutput::State { is_set: true, version: reply.version },
                        Verb::Clear(reply) => EventOutput::State { is_set: false, version: reply.version },
                        Verb::Get(reply) => EventOutput::State { is_set: reply.is_set, version: reply.version },
                        Verb::Wait(reply) => EventOutput::Passed { version: reply.version },
                    }),
                    _ => Some(EventOutput::TimedOut).filter(|_| fault == Some(TIMED_OUT)),
                };
                let answered = if is_unknown { None } else { output.map(|output| (now, output)) };
                histories.event.push(Operation { invoked, answered, input });
            }
            Command::Kv(kv::Command { verb: Some(verb) }) => histories.map_call(now, invoked, verb, reply),
            _ => {}
        }
    }
}

impl Histories {
    fn map_call(&mut self, now: u64, invoked: u64, verb: &kv::command::Verb, reply: Option<&Reply>) {
        use kv::{command::Verb as Asked, reply::Verb};
        let verb_of = |reply: &Reply| match reply {
            Reply::Kv(kv::Reply { verb }) => verb.clone(),
            _ => None,
        };
        let is_refused = matches!(reply, Some(Reply::Fault(_)));
        let reply = reply.and_then(verb_of);
        if let Asked::Put(kv::PutRequest { fence: Some(fence), .. }) = verb {
            let answered = match (reply, is_refused) {
                (Some(_), _) => Some((now, LockOutput::Ok)),
                (None, true) => Some((now, LockOutput::Refused)),
                (None, false) => None,
            };
            return self.lock.push(Operation { invoked, answered, input: LockInput::FencedWrite { token: fence.token } });
        }
        let number = |value: &Option<Value>| {
            let data: [u8; 8] = value.as_ref().unwrap().data[..].try_into().expect("it was written so");
            u64::from_be_bytes(data)
        };
        let input = match verb {
            Asked::Put(put) => {
                let if_revision = match put.condition {
                    Some(kv::Condition { condition: Some(kv::condition::Condition::Revision(revision)) }) => Some(revision),
                    _ => None,
                };
                KeyInput::Put { value: number(&put.value), if_revision }
            }
            Asked::Delete(_) => KeyInput::Delete,
            _ => KeyInput::Get,
        };
        let output = match reply {
            Some(Verb::Get(reply)) => {
                Some(KeyOutput::Entry(reply.entry.map(|entry| (number(&entry.value), entry.modify_revision))))
            }
            Some(Verb::Put(reply)) => Some(KeyOutput::Stored { revision: reply.revision }),
            Some(Verb::Delete(reply)) => Some(KeyOutput::Deleted(reply.previous.is_some())),
            _ => is_refused.then_some(KeyOutput::Mismatch),
        };
        self.key.push(Operation { invoked, answered: output.map(|output| (now, output)), input });
    }

    /// How many there were.
    fn check(self) -> usize {
        check(&LockModel, &self.lock).unwrap_or_else(|problem| panic!("the lock: {problem}"));
        let model = SemaphoreModel { permits: PERMITS };
        check(&model, &self.semaphore).unwrap_or_else(|problem| panic!("the semaphore: {problem}"));
        check(&CounterModel, &self.counter).unwrap_or_else(|problem| panic!("the counter: {problem}"));
        check(&EventModel, &self.event).unwrap_or_else(|problem| panic!("the event: {problem}"));
        check(&KeyModel, &self.key).unwrap_or_else(|problem| panic!("the key: {problem}"));
        5
    }
}

fn grant_output(reply: Option<&Reply>) -> Option<LockOutput> {
    match reply? {
        Reply::Lock(lock::Reply { verb: Some(lock::reply::Verb::Acquire(reply)) }) => Some(LockOutput::Granted(reply.token)),
        Reply::Semaphore(semaphore::Reply { verb: Some(semaphore::reply::Verb::Acquire(reply)) }) => {
            Some(LockOutput::Granted(reply.token))
        }
        _ => Some(LockOutput::Busy),
    }
}

fn release_output(reply: Option<&Reply>) -> Option<LockOutput> {
    match reply? {
        Reply::Fault(_) => Some(LockOutput::Refused),
        _ => Some(LockOutput::Ok),
    }
}

fn lock_command(verb: lock::command::Verb) -> Command {
    Command::Lock(lock::Command { verb: Some(verb) })
}

fn barrier_command(verb: barrier::command::Verb) -> Command {
    Command::Barrier(barrier::Command { verb: Some(verb) })
}

fn release_command(what: &'static str, token: u64) -> Command {
    let object = object(what);
    match what {
        "lock" | "reentrant" => lock_command(lock::command::Verb::Release(lock::ReleaseRequest { object, token })),
        "rwlock" => {
            let verb = rwlock::command::Verb::Release(rwlock::ReleaseRequest { object, token });
            Command::Rwlock(rwlock::Command { verb: Some(verb) })
        }
        "semaphore" => {
            let verb = semaphore::command::Verb::Release(semaphore::ReleaseRequest { object, token });
            Command::Semaphore(semaphore::Command { verb: Some(verb) })
        }
        _ => {
            let verb = condition::command::Verb::Release(condition::ReleaseRequest { object, token });
            Command::Condition(condition::Command { verb: Some(verb) })
        }
    }
}

/// Waits, and what gives something to hold; what is given back stays given back.
fn can_be_cancelled(command: &Command) -> bool {
    matches!(
        command,
        Command::Lock(lock::Command { verb: Some(lock::command::Verb::Acquire(_)) })
            | Command::Rwlock(rwlock::Command { verb: Some(rwlock::command::Verb::Acquire(_)) })
            | Command::Semaphore(semaphore::Command { verb: Some(semaphore::command::Verb::Acquire(_)) })
            | Command::Condition(condition::Command {
                verb: Some(condition::command::Verb::Acquire(_) | condition::command::Verb::Wait(_)),
            })
            | Command::Barrier(barrier::Command { verb: Some(barrier::command::Verb::Wait(_)) })
            | Command::Event(event::Command { verb: Some(event::command::Verb::Wait(_)) })
            | Command::Latch(_)
    )
}

fn name_of(command: &Command) -> &'static str {
    if matches!(command, Command::Txn(_)) {
        return "several";
    }
    use bursar_proto::Targeted;
    let command = bursar_proto::Command::of_call(command.clone()).expect("it is for an object");
    let name = command.object().map(|ObjectRef { name, .. }| name.clone()).expect("it names one");
    NAMES.into_iter().find(|known| *known == name).expect("one of ours")
}
