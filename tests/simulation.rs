//! Seeded simulation of the real sessions, door, registry, hosts and kinds: only the transport and the clock are played.
//!
//! Clients put, get, settle, cancel and use a map; they die, fall silent, lose connections with answers on the way, and send their
//! calls again. After every step the invariants of all objects are checked (Q3, Q5, Q7 and the books of queue and kv), with
//! every answer Q2, Q3, Q4 and K1, that nobody waits who could be answered, and at the end Q1 and Q7.
//! In calm runs, where nobody dies or cancels, Q6.
//!
//! A failure prints its seed. More of it:
//! `BURSAR_SIM_SEED=7 BURSAR_SIM_SEEDS=1000 BURSAR_SIM_STEPS=100000 cargo test --release --test integration simulation -- --nocapture`

mod holders;
mod served;
mod stage;
mod talks;

use bursar_proto::{
    Fault,
    v1::{self, ObjectRef, answer::Reply, call, kv, queue, registry::options::Kind},
};
use bursar_server::objects::{host::Hosted, kind::Departure};
use bytes::Bytes;
use stage::{CLIENTS, Line, Stage, TTL_MS, with_seeds};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

const MAXSIZE: u64 = 12;
const MAX_BYTES: u64 = 300;

#[test]
fn simulation() {
    let (_, figure) = with_seeds("simulation", |seed, steps| Simulation::new(seed).run(steps));
    println!("{figure}, violations 0");
}

/// What the model says of a call to the map.
type Expected = Option<Result<kv::reply::Verb, u32>>;

type Pending = stage::Pending<Expected>;

struct Client {
    line: Line<Expected>,
    /// What it works on: lease to payload.
    held: BTreeMap<u64, Bytes>,
    /// What it only buffers.
    buffered: BTreeMap<u64, Bytes>,
    producer: u64,
    next_number: u64,
}

/// A map that does what kv should, executed when the broker executes.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, (Bytes, u64, u64)>,
    revision: u64,
}

struct Simulation {
    random: fastrand::Rng,
    is_calm: bool,
    stage: Stage,
    clients: Vec<Client>,
    model: Model,
    producers: u64,
    issued: BTreeSet<Bytes>,
    acknowledged: BTreeSet<Bytes>,
    /// The largest id that a put was told.
    last_id: u64,
    /// Done by a session that held it: final from then on.
    done: BTreeSet<Bytes>,
    /// First deliveries by producer: lease and number.
    first_deliveries: HashMap<u64, Vec<(u64, u64)>>,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let queue_options = queue::Options { maxsize: MAXSIZE, max_bytes: MAX_BYTES, retry_delay_ms: 20, ..Default::default() };
        let kv_options = kv::Options { events_max: 16, ..Default::default() };
        let mut simulation = Simulation {
            random: fastrand::Rng::with_seed(seed),
            is_calm: seed.is_multiple_of(4),
            stage: Stage::new([("q", Kind::Queue(queue_options)), ("m", Kind::Kv(kv_options))]),
            clients: vec![],
            model: Model::default(),
            producers: 0,
            issued: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            last_id: 0,
            done: BTreeSet::new(),
            first_deliveries: HashMap::new(),
        };
        for _ in 0..CLIENTS {
            let client = simulation.new_client();
            simulation.clients.push(client);
        }
        simulation
    }

    fn run(mut self, steps: u64) {
        for step in 0..steps {
            self.step();
            self.stage.check();
            if step % 64 == 0 {
                self.rest();
            }
        }
        self.finish();
    }

    fn new_client(&mut self) -> Client {
        self.producers += 1;
        Client {
            line: self.stage.connect(),
            held: BTreeMap::new(),
            buffered: BTreeMap::new(),
            producer: self.producers,
            next_number: 0,
        }
    }

    fn step(&mut self) {
        let at = self.random.usize(..CLIENTS);
        match self.random.u32(..100) {
            0..18 => self.put(at),
            18..38 => self.get(at),
            38..54 => self.settle(at),
            54..57 => self.start(at),
            57..68 => self.use_map(at),
            68..84 => self.read(at, false),
            84..88 => self.pass_time(),
            88..91 => self.operate(at),
            _ if self.is_calm => self.read(at, false),
            91..94 => self.cancel(at),
            94..96 => self.read(at, true),
            96..98 => self.reconnect(at),
            98 => self.die(at),
            _ => self.fall_silent(at),
        }
    }

    fn call(&mut self, at: usize, command: call::Command, expected: Expected) {
        self.stage.call(&mut self.clients[at].line, command, expected);
    }

    fn queue(&self) -> &Arc<dyn Hosted> {
        &self.stage.hosts[0]
    }

    fn wait_ms(&mut self) -> i64 {
        *self.random.choice([0, 1, 30, -1]).as_ref().unwrap()
    }

    fn put(&mut self, at: usize) {
        if self.clients[at].line.pending.len() > 8 {
            return;
        }
        let wait_ms = self.wait_ms();
        let count = if self.random.u8(..4) == 0 { self.random.usize(2..5) } else { 1 };
        let delay_ms = if self.random.u8(..8) == 0 && !self.is_calm { 15 } else { 0 };
        let unique_key = match self.random.u8(..12) {
            0 if !self.is_calm => Bytes::from(vec![b'k', self.random.u8(..4)]),
            _ => Bytes::new(),
        };
        let client = &mut self.clients[at];
        let items: Vec<queue::Item> = (0..count)
            .map(|_| {
                client.next_number += 1;
                // Of different sizes, so that a small item may fit where the large one in front of it does not.
                let padding = " ".repeat(self.random.usize(..MAX_BYTES as usize / 3));
                let data = Bytes::from(format!("{} {}{padding}", client.producer, client.next_number));
                self.issued.insert(data.clone());
                queue::Item { data, delay_ms, unique_key: unique_key.clone(), ..Default::default() }
            })
            .collect();
        let request = queue::PutRequest { fence: None, object: object("q"), wait_ms, items };
        self.call(at, queue_call(queue::command::Verb::Put(request)), None);
    }

    fn get(&mut self, at: usize) {
        if self.clients[at].line.pending.len() > 8 || self.clients[at].held.len() > 3 {
            return;
        }
        let wait_ms = self.wait_ms();
        let buffered = self.random.u8(..6) == 0 && !self.is_calm;
        let request = queue::GetRequest { object: object("q"), wait_ms, max: self.random.u32(0..4), buffered };
        self.call(at, queue_call(queue::command::Verb::Get(request)), None);
    }

    fn settle(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let leases: Vec<u64> = client.held.keys().copied().collect();
        let Some(&lease) = self.random.choice(&leases) else { return };
        let payload = client.held.remove(&lease).unwrap();
        let (object, leases) = (object("q"), vec![lease]);
        let verb = match self.random.u32(..10) {
            0 if !self.is_calm => queue::command::Verb::Return(queue::ReturnRequest {
                fence: None,
                object,
                leases,
                reason: queue::Reason::Failed as i32,
                delay_ms: self.random.bool().then_some(10),
                why: "simulated".into(),
            }),
            1 if !self.is_calm => queue::command::Verb::Return(queue::ReturnRequest {
                object,
                leases,
                reason: queue::Reason::Released as i32,
                ..Default::default()
            }),
            2 if !self.is_calm && self.random.u8(..4) == 0 => queue::command::Verb::Park(queue::ParkRequest {
                fence: None,
                object,
                leases,
                ids: vec![],
                why: "simulated".into(),
            }),
            _ => {
                assert!(self.done.insert(payload), "Q4: an item was done twice");
                queue::command::Verb::Done(queue::DoneRequest { fence: None, object, leases, oldest: 0 })
            }
        };
        self.call(at, queue_call(verb), None);
    }

    fn start(&mut self, at: usize) {
        let Some((&lease, _)) = self.clients[at].buffered.iter().next() else { return };
        let request = queue::StartRequest { object: object("q"), leases: vec![lease] };
        self.call(at, queue_call(queue::command::Verb::Start(request)), None);
    }

    /// What operators do.
    fn operate(&mut self, at: usize) {
        let object = object("q");
        let verb = match self.random.u32(..8) {
            0 => queue::command::Verb::Stats(queue::StatsRequest { object }),
            1 => queue::command::Verb::Unpark(queue::UnparkRequest { object, ids: vec![] }),
            2 => queue::command::Verb::Peek(queue::PeekRequest { object, limit: 100 }),
            3 if !self.is_calm => queue::command::Verb::Pause(queue::PauseRequest { object, resume: false }),
            4 => queue::command::Verb::Join(queue::JoinRequest { object, wait_ms: 5 }),
            // Never by force: then a holder would be refused what it takes for done.
            5 if !self.is_calm && self.last_id > 0 => queue::command::Verb::Cancel(queue::CancelRequest {
                object,
                wait_ms: 5,
                id: self.random.u64(1..=self.last_id),
                then: i32::from(self.random.bool()),
                why: "simulated".into(),
                ..Default::default()
            }),
            6 => queue::command::Verb::Cancelling(queue::CancellingRequest { object, wait_ms: 5, after: 0 }),
            _ => queue::command::Verb::Pause(queue::PauseRequest { object, resume: true }),
        };
        self.call(at, queue_call(verb), None);
    }

    fn use_map(&mut self, at: usize) {
        if self.clients[at].line.pending.len() > 12 {
            return;
        }
        let key = format!("key {}", self.random.u8(..5));
        let (verb, expected) = match self.random.u32(..6) {
            0 | 1 => self.model_put(key),
            2 => self.model_delete(key),
            3 => self.model_incr(key),
            4 => {
                let len = self.model.entries.len() as u64;
                let reply = kv::LenReply { len, revision: self.model.revision };
                let request = kv::LenRequest { object: object("m"), prefix: String::new() };
                (kv::command::Verb::Len(request), Ok(kv::reply::Verb::Len(reply)))
            }
            _ => {
                let reply = kv::GetReply { entry: self.model.entry(&key), revision: self.model.revision };
                let request = kv::GetRequest { object: object("m"), key, touch: false };
                (kv::command::Verb::Get(request), Ok(kv::reply::Verb::Get(reply)))
            }
        };
        let command = call::Command::Kv(kv::Command { verb: Some(verb) });
        self.call(at, command, Some(expected));
    }

    fn model_put(&mut self, key: String) -> (kv::command::Verb, Result<kv::reply::Verb, u32>) {
        use kv::condition::Condition;
        let actual = self.model.entries.get(&key).map_or(0, |(_, _, modified)| *modified);
        let condition = match self.random.u8(..4) {
            0 => Some(Condition::Revision(if self.random.bool() { actual } else { self.model.revision })),
            1 => Some(Condition::Absent(true)),
            _ => None,
        };
        let holds = match condition {
            None => true,
            Some(Condition::Revision(revision)) => revision == actual,
            Some(Condition::Absent(_)) => actual == 0,
        };
        let data = Bytes::from(format!("value {}", self.random.u16(..)));
        let request = kv::PutRequest {
            object: object("m"),
            key: key.clone(),
            value: Some(v1::Value { data: data.clone(), codec: 0 }),
            condition: condition.map(|condition| kv::Condition { condition: Some(condition) }),
            ..Default::default()
        };
        let expected = if holds {
            let previous = self.model.entry(&key);
            let revision = self.model.set(key, data);
            Ok(kv::reply::Verb::Put(kv::PutReply { revision, previous }))
        } else {
            Err(Fault::RevisionMismatch { key, actual }.number())
        };
        (kv::command::Verb::Put(request), expected)
    }

    fn model_delete(&mut self, key: String) -> (kv::command::Verb, Result<kv::reply::Verb, u32>) {
        let previous = self.model.entry(&key);
        if self.model.entries.remove(&key).is_some() {
            self.model.revision += 1;
        }
        let reply = kv::DeleteReply { previous, revision: self.model.revision };
        let request = kv::DeleteRequest { fence: None, object: object("m"), key, condition: None };
        (kv::command::Verb::Delete(request), Ok(kv::reply::Verb::Delete(reply)))
    }

    fn model_incr(&mut self, key: String) -> (kv::command::Verb, Result<kv::reply::Verb, u32>) {
        let key = format!("count of {key}");
        let before = self.model.entries.get(&key).map_or(0, |(data, ..)| i64::from(data[0]));
        let by = if before > 100 { -before } else { self.random.i64(0..10) };
        let value = before + by;
        // Small integers are one byte in MessagePack.
        let revision = self.model.set(key.clone(), vec![value as u8].into());
        let request = kv::IncrRequest { fence: None, object: object("m"), key, by };
        (kv::command::Verb::Incr(request), Ok(kv::reply::Verb::Incr(kv::IncrReply { value, revision })))
    }

    /// Takes frames of a session until nothing is there. Lost: the connection breaks before they arrive.
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

    fn answered(&mut self, at: usize, reply: Reply, pending: Pending) {
        match (reply, pending) {
            (reply, Pending { note: Some(expected), command, .. }) => {
                let actual = match reply {
                    Reply::Kv(reply) => Ok(reply.verb.unwrap()),
                    Reply::Fault(fault) => Err(fault.number),
                    other => panic!("a map answers {other:?}"),
                };
                assert_eq!(actual, expected, "K1: {command:?}");
            }
            (Reply::Queue(reply), pending) => self.queue_reply(at, reply.verb.unwrap(), pending),
            (Reply::Fault(fault), pending) => {
                let allowed = [100, 101, 20, 21]; // Empty, Full, TimedOut, Cancelled
                let is_settling = is_settlement(&pending.command);
                assert!(allowed.contains(&fault.number) && !is_settling, "{}: {:?}", fault.message, pending.command);
            }
            (other, _) => panic!("unexpected: {other:?}"),
        }
    }

    fn queue_reply(&mut self, at: usize, reply: queue::reply::Verb, pending: Pending) {
        match reply {
            queue::reply::Verb::Put(reply) => {
                let call::Command::Queue(queue::Command { verb: Some(queue::command::Verb::Put(request)) }) = pending.command
                else {
                    panic!("a put was answered that was none");
                };
                self.last_id = reply.ids.iter().copied().fold(self.last_id, u64::max);
                for (index, item) in request.items.iter().take(reply.ids.len()).enumerate() {
                    if !reply.duplicates.contains(&(index as u32)) {
                        self.acknowledged.insert(item.data.clone());
                    }
                }
            }
            queue::reply::Verb::Get(reply) if !pending.is_cancelled => {
                let call::Command::Queue(queue::Command { verb: Some(queue::command::Verb::Get(request)) }) = pending.command
                else {
                    panic!("a get was answered that was none");
                };
                for leased in reply.items {
                    self.delivered(at, leased, request.buffered);
                }
            }
            queue::reply::Verb::Start(reply) => {
                let call::Command::Queue(queue::Command { verb: Some(queue::command::Verb::Start(request)) }) = pending.command
                else {
                    panic!("a start was answered that was none");
                };
                let lease = request.leases[0];
                if let Some(payload) = self.clients[at].buffered.remove(&lease)
                    && reply.not_held.is_empty()
                {
                    self.hold(at, lease, payload);
                }
            }
            queue::reply::Verb::Done(reply) => assert!(reply.not_held.is_empty()),
            queue::reply::Verb::Return(reply) => assert!(reply.not_held.is_empty()),
            queue::reply::Verb::Stats(stats) => assert_eq!(stats.unfinished, stats.ready + stats.delayed + stats.leased),
            _ => {}
        }
    }

    fn delivered(&mut self, at: usize, leased: queue::Leased, buffered: bool) {
        let payload = leased.data;
        assert!(self.issued.contains(&payload), "Q2: {payload:?} was never put");
        if self.is_calm {
            assert_eq!(leased.attempt, 1, "nobody died and nothing was returned");
            let text = std::str::from_utf8(&payload).unwrap();
            let (producer, number) = text.split_once(' ').unwrap();
            let deliveries = self.first_deliveries.entry(producer.parse().unwrap()).or_default();
            deliveries.push((leased.lease, number.trim_end().parse().unwrap()));
        }
        if buffered {
            // It may have been taken back, and done by another, before this was read: Start will tell.
            self.clients[at].buffered.insert(leased.lease, payload);
        } else {
            self.hold(at, leased.lease, payload);
        }
    }

    fn hold(&mut self, at: usize, lease: u64, payload: Bytes) {
        assert!(!self.done.contains(&payload), "Q4: {payload:?} was done and is delivered");
        let holder = self.clients.iter().position(|client| client.held.values().any(|held| *held == payload));
        assert_eq!(holder, None, "Q3: {payload:?} is held twice");
        self.clients[at].held.insert(lease, payload);
    }

    fn cancel(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let sequences: Vec<u64> = client.line.pending.keys().copied().collect();
        let Some(sequence) = self.random.choice(&sequences) else { return };
        let pending = &client.line.pending[sequence];
        // A cancelled settlement may still take place; its item is not followed any further.
        if !is_settlement(&pending.command) && pending.note.is_none() && pending.lost_answer.is_none() {
            client.line.cancel(*sequence);
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
        self.bury(dead);
    }

    fn fall_silent(&mut self, at: usize) {
        let fresh = self.new_client();
        let silent = std::mem::replace(&mut self.clients[at], fresh);
        self.stage.outlast(self.clients.iter().map(|client| &client.line));
        self.bury(silent);
        self.stage.wake();
    }

    /// Nothing is given to the dead.
    fn bury(&mut self, mut dead: Client) {
        let request = queue::GetRequest { object: object("q"), ..Default::default() };
        self.stage.call(&mut dead.line, queue_call(queue::command::Verb::Get(request)), None);
        assert_eq!(self.stage.table.count(), CLIENTS, "a session outlived its client");
    }

    fn pass_time(&mut self) {
        self.stage.advance(self.random.u64(0..40), self.clients.iter().map(|client| &client.line));
        self.stage.wake();
    }

    /// Everybody reads everything: nobody may wait for what is there.
    fn rest(&mut self) {
        self.operate_resume();
        self.stage.wake();
        (0..CLIENTS).for_each(|at| self.read(at, false));
        let (_, figures) = self.queue().figures();
        let figure = |name: &str| figures.iter().find(|(figure, _)| *figure == name).unwrap().1;
        let waits = |verb: fn(&queue::command::Verb) -> bool| {
            self.clients.iter().flat_map(|client| client.line.pending.values()).any(|pending| match &pending.command {
                call::Command::Queue(queue::Command { verb: Some(pending) }) => verb(pending),
                _ => false,
            })
        };
        if figure("ready") > 0 {
            assert!(!waits(|verb| matches!(verb, queue::command::Verb::Get(_))), "a getter starves");
        }
        let count = |of: fn(&Client) -> usize| self.clients.iter().map(of).sum::<usize>() as u64;
        let (held, buffered) = (count(|client| client.held.len()), count(|client| client.buffered.len()));
        let leased = figure("leased");
        // What is buffered may have been taken back; what is held may not; and nobody else has anything.
        assert!((held..=held + buffered).contains(&leased), "{leased} leased, {held} held, {buffered} buffered");
        if figure("unfinished") == 0 {
            assert!(!waits(|verb| matches!(verb, queue::command::Verb::Join(_))), "a joiner hangs");
        }
    }

    fn operate_resume(&mut self) {
        let request = queue::PauseRequest { object: object("q"), resume: true };
        self.call(0, queue_call(queue::command::Verb::Pause(request)), None);
    }

    /// Everybody dies; whoever comes after finds all that was acknowledged and not done.
    fn finish(mut self) {
        self.rest();
        if self.is_calm {
            self.check_order();
            self.is_calm = false;
        }
        (0..CLIENTS).for_each(|at| self.die(at));
        self.stage.clock.advance(TTL_MS / 2);
        self.stage.wake();
        let object = object("q");
        let mut left = BTreeSet::new();
        let unpark = queue::UnparkRequest { object: object.clone(), ids: vec![] };
        self.call(0, queue_call(queue::command::Verb::Unpark(unpark)), None);
        let get = queue::GetRequest { object: object.clone(), max: 10_000, ..Default::default() };
        self.call(0, queue_call(queue::command::Verb::Get(get)), None);
        self.read(0, false);
        for (lease, payload) in std::mem::take(&mut self.clients[0].held) {
            assert!(left.insert(payload), "Q3: an item is there twice");
            let done = queue::DoneRequest { fence: None, object: object.clone(), leases: vec![lease], oldest: 0 };
            self.call(0, queue_call(queue::command::Verb::Done(done)), None);
        }
        let lost: Vec<_> = self.acknowledged.iter().filter(|item| !self.done.contains(*item) && !left.contains(*item)).collect();
        // A queued item whose payload was replaced is no loss; this simulation never replaces.
        assert!(lost.is_empty(), "Q1: acknowledged and gone: {lost:?}");
        let join = queue::JoinRequest { object, wait_ms: 0 };
        self.call(0, queue_call(queue::command::Verb::Join(join)), None);
        self.read(0, false);
        assert!(self.clients[0].line.pending.is_empty());
        self.stage.check();
    }

    fn check_order(&mut self) {
        for (producer, deliveries) in &mut self.first_deliveries {
            deliveries.sort_unstable();
            let numbers: Vec<u64> = deliveries.iter().map(|(_, number)| *number).collect();
            assert!(numbers.is_sorted(), "Q6: producer {producer} is delivered out of order: {numbers:?}");
        }
    }
}

impl Model {
    fn entry(&self, key: &str) -> Option<kv::Entry> {
        let (data, created, modified) = self.entries.get(key)?;
        let codec = if key.starts_with("count") { 1 } else { 0 };
        Some(kv::Entry {
            key: key.to_owned(),
            value: Some(v1::Value { data: data.clone(), codec }),
            create_revision: *created,
            modify_revision: *modified,
            ..Default::default()
        })
    }

    fn set(&mut self, key: String, data: Bytes) -> u64 {
        self.revision += 1;
        let created = self.entries.get(&key).map_or(self.revision, |(_, created, _)| *created);
        self.entries.insert(key, (data, created, self.revision));
        self.revision
    }
}

fn object(name: &str) -> Option<ObjectRef> {
    Some(ObjectRef { name: name.to_owned(), epoch: 0 })
}

fn queue_call(verb: queue::command::Verb) -> call::Command {
    call::Command::Queue(queue::Command { verb: Some(verb) })
}

fn is_settlement(command: &call::Command) -> bool {
    use queue::command::Verb;
    let call::Command::Queue(queue::Command { verb: Some(verb) }) = command else { return false };
    matches!(verb, Verb::Done(_) | Verb::Return(_) | Verb::Park(_) | Verb::Start(_))
}
