//! What every simulation stands on: a broker without transport under a played clock, the lines of clients to it, and seeds.
//!
//! Clients know what they asked and what they were told; that each call is answered once, that a retry gets the same answer, and that
//! no session outlives its client is checked here, for all of them.

use super::object;
use bursar_proto::v1::{
    self,
    answer::Reply,
    call::Command,
    client_entry,
    registry::{self, options::Kind},
    server_entry,
};
use bursar_server::{
    clock::Clock,
    objects::{
        agenda::Agenda,
        door::Door,
        host::{Hosted, World},
        kind::{Departure, Moment, SessionId},
        registry::Registry,
    },
    sessions::{Caller, Link, Session, Settings, Table},
};
use bytes::Bytes;
use prost::Message;
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Instant,
};

/// How many clients there are, whoever dies.
pub const CLIENTS: usize = 6;
/// After which a silent client is taken for gone.
pub const TTL_MS: u64 = 10_000;

/// Runs a simulation with each seed that the environment asks for; what they came to, and the figure.
pub fn with_seeds<T>(what: &str, run: impl Fn(u64, u64) -> T) -> (Vec<T>, String) {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number, not {text:?}")))
    };
    // A build that is not optimised is many times slower, and would take a third of the suite's time for 40.
    let usual = if cfg!(debug_assertions) { 16 } else { 40 };
    let (first, seeds, steps) =
        (number("BURSAR_SIM_SEED", 1), number("BURSAR_SIM_SEEDS", usual), number("BURSAR_SIM_STEPS", 10_000));
    let start = Instant::now();
    let outcomes = (first..first + seeds).map(|seed| with_seed(what, seed, steps, || run(seed, steps))).collect();
    let rate = (seeds * steps) as f64 / start.elapsed().as_secs_f64();
    (outcomes, format!("R17 {what}: seeds {first}..{}, {} steps, {rate:.0} steps/s", first + seeds, seeds * steps))
}

/// Says how to run it again, if it fails.
pub fn with_seed<T>(what: &str, seed: u64, steps: u64, run: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        eprintln!("{what} failed with BURSAR_SIM_SEED={seed} BURSAR_SIM_STEPS={steps}");
        resume_unwind(panic)
    })
}

/// A connection that only says when it was last heard.
struct FakeLink {
    id: u64,
    heard: AtomicU64,
}

impl Link for FakeLink {
    fn id(&self) -> u64 {
        self.id
    }

    fn last_heard(&self) -> Moment {
        Moment(self.heard.load(Ordering::Relaxed))
    }
}

/// A call that is not answered yet, as its client knows it.
pub struct Pending<N> {
    pub command: Command,
    pub is_cancelled: bool,
    /// The answer that was lost on its way; a retry must get the same.
    pub lost_answer: Option<Bytes>,
    /// What its simulation wants to know when it is answered.
    pub note: N,
}

/// The session of a client, and its connection.
pub struct Line<N> {
    /// Tells the client from all others, whatever becomes of its connections.
    pub number: u64,
    session: Arc<Session>,
    link: Arc<FakeLink>,
    epoch: u64,
    next_sequence: u64,
    pub pending: BTreeMap<u64, Pending<N>>,
    /// Answers it has and has not told the broker of.
    unacknowledged: Vec<u64>,
}

impl<N> Line<N> {
    /// The next frame, if one has come.
    pub fn receive(&self) -> Option<Vec<Bytes>> {
        let batch = self.session.take(self.epoch, Waker::noop())?;
        assert!(batch.farewell.is_none(), "nobody ended this session: {:?}", batch.farewell);
        Some(batch.entries)
    }

    /// An answer and what it answers. `None`: it is no answer, or it was lost.
    pub fn take(&mut self, entry: Bytes, is_lost: bool) -> Option<(Pending<N>, Reply)> {
        let v1::ServerEntry { sequence, entry: decoded } = v1::ServerEntry::decode(entry.clone()).unwrap();
        let Some(server_entry::Entry::Answer(answer)) = decoded else { return None };
        let Some(pending) = self.pending.get_mut(&sequence) else {
            panic!("call {sequence} is answered twice: {answer:?}");
        };
        if let Some(lost) = &pending.lost_answer {
            assert_eq!(*lost, entry, "a retry of call {sequence} got another answer");
        }
        if is_lost {
            pending.lost_answer = Some(entry);
            return None;
        }
        self.unacknowledged.push(sequence);
        Some((self.pending.remove(&sequence).unwrap(), answer.reply.expect("an answer says something")))
    }

    /// Tells the broker which answers it has.
    pub fn acknowledge(&mut self) {
        for sequence in self.unacknowledged.drain(..) {
            self.session.heard(&v1::Range { first: sequence, count: 1 });
        }
    }

    /// Takes a call back.
    pub fn cancel(&mut self, sequence: u64) {
        self.pending.get_mut(&sequence).expect("it is not answered").is_cancelled = true;
        self.session.cancel(sequence);
    }
}

/// The broker.
pub struct Stage {
    pub clock: Clock,
    pub table: Arc<Table>,
    /// The objects, in the order in which they were created.
    pub hosts: Vec<Arc<dyn Hosted>>,
    agenda: Arc<Agenda>,
    links: u64,
}

impl Stage {
    pub fn new<'a>(objects: impl IntoIterator<Item = (&'a str, Kind)>) -> Stage {
        let clock = Clock::manual(Moment(1_000_000));
        let agenda = Arc::new(Agenda::default());
        let registry = Registry::new(Arc::new(World::new(clock.clone(), agenda.clone(), None, 1 << 20)), 100);
        let create = |(name, kind): (&str, Kind)| {
            let options = Some(registry::Options { kind: Some(kind) });
            let request = registry::OpenRequest { name: name.into(), options, ..Default::default() };
            registry.open(SessionId(0), request).unwrap();
            registry.resolve(object(name).as_ref()).unwrap()
        };
        let hosts = objects.into_iter().map(create).collect();
        let settings = Settings {
            ttl_ms: TTL_MS,
            payload_bytes_max: 1 << 20,
            calls_in_flight_max: 1000,
            server_id: [0; 16],
            boot_epoch: 1,
            engine: ("memory", "nothing"),
        };
        let table = Table::new(Arc::new(Door::new(registry)), clock.clone(), settings);
        Stage { clock, table, hosts, agenda, links: 0 }
    }

    /// A new client's line.
    pub fn connect<N>(&mut self) -> Line<N> {
        let link = self.new_link();
        let session = self.table.open(Caller::default(), 0).unwrap();
        let epoch = session.attach(link.clone(), None, self.clock.now());
        Line { number: self.links, session, link, epoch, next_sequence: 1, pending: BTreeMap::new(), unacknowledged: vec![] }
    }

    fn new_link(&mut self) -> Arc<FakeLink> {
        self.links += 1;
        Arc::new(FakeLink { id: self.links, heard: AtomicU64::new(self.clock.now().0) })
    }

    pub fn call<N>(&self, line: &mut Line<N>, command: Command, note: N) {
        let sequence = line.next_sequence;
        line.next_sequence += 1;
        line.pending.insert(sequence, Pending { command: command.clone(), is_cancelled: false, lost_answer: None, note });
        self.table.call(&line.session, sequence, Some(command));
    }

    /// The connection breaks; the client resumes, and sends again what was not answered.
    pub fn reconnect<N>(&mut self, line: &mut Line<N>) {
        let link = self.new_link();
        line.session.detach(line.epoch);
        let unheard: Vec<v1::Range> = line.pending.keys().map(|sequence| v1::Range { first: *sequence, count: 1 }).collect();
        line.unacknowledged.clear();
        line.epoch = line.session.attach(link.clone(), Some(&unheard), self.clock.now());
        line.link = link;
        for (sequence, Pending { command, is_cancelled, .. }) in &line.pending {
            // As it would come over the wire.
            let call = v1::Call { command: Some(command.clone()) };
            let entry = v1::ClientEntry { sequence: *sequence, entry: Some(client_entry::Entry::Call(call)) };
            let decoded = v1::ClientEntry::decode(entry.encode_to_vec().as_slice()).unwrap();
            let Some(client_entry::Entry::Call(call)) = decoded.entry else { unreachable!() };
            self.table.call(&line.session, *sequence, call.command);
            if *is_cancelled {
                line.session.cancel(*sequence);
            }
        }
    }

    /// The client is gone, and another one has come in its place.
    pub fn end<N>(&self, dead: &Line<N>, how: Departure) {
        self.table.end(&dead.session, how, "simulated death");
        assert_eq!(self.table.count(), CLIENTS, "a session outlived its client");
    }

    /// So much time passes that whoever is not among these is taken for gone; another one has come in its place.
    pub fn outlast<'a, N: 'a>(&self, lines: impl Iterator<Item = &'a Line<N>>) {
        self.advance(TTL_MS + 1, lines);
        self.table.end_silent();
        assert_eq!(self.table.count(), CLIENTS, "a session outlived its client");
    }

    /// Time passes, in which these are heard.
    pub fn advance<'a, N: 'a>(&self, ms: u64, lines: impl Iterator<Item = &'a Line<N>>) {
        self.clock.advance(ms);
        lines.for_each(|line| line.link.heard.store(self.clock.now().0, Ordering::Relaxed));
    }

    /// Whatever is due happens.
    pub fn wake(&self) {
        while self.agenda.wake_one(self.clock.now()) {}
    }

    /// The invariants of all objects.
    pub fn check(&self) {
        for host in &self.hosts {
            if let Some(violation) = host.violation() {
                panic!("{}: {violation}", host.name());
            }
        }
    }
}
