//! Evidence: how the end of a process reaches what its sessions held. The clock runs by itself where only a bound is waited for.

use super::*;
use crate::{
    objects::{agenda::Agenda, host::World, registry::Registry},
    sessions::Link,
    transport::{PartialBytes, Peer},
};
use bursar_proto::v1::{ObjectRef, answer::Reply, queue};
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

/// The number of the run to which this test's process belongs.
const RUN: u64 = 7;

/// Says what it was given, or nothing for ever.
#[derive(Default)]
struct Fake {
    knows_nobody: bool,
    words: Option<String>,
    asked: Mutex<Vec<(u64, u32)>>,
    returned: Mutex<Vec<(u64, Vec<String>)>>,
}

impl Witness for Fake {
    fn run_of(&self, pid: u32) -> Option<u64> {
        (pid == std::process::id() && !self.knows_nobody).then_some(RUN)
    }

    fn testimony(&self, run: u64, pid: u32) -> BoxFuture<'static, Option<String>> {
        self.asked.lock().push((run, pid));
        match self.words.clone() {
            Some(words) => std::future::ready(Some(words)).boxed(),
            None => std::future::pending().boxed(),
        }
    }

    fn returned(&self, run: u64, what: Vec<String>) {
        self.returned.lock().push((run, what));
    }
}

/// A broker with a queue `jobs`, whose item a session of this process holds.
struct Bench {
    table: Arc<Table>,
    witness: Arc<Fake>,
    connection: Arc<Connection>,
    holder: Arc<Session>,
    operator: Arc<Session>,
}

impl Bench {
    fn new(witness: Fake) -> Bench {
        let clock = Clock::start();
        let registry = Registry::new(Arc::new(World::new(clock.clone(), Arc::new(Agenda::default()), None, 1 << 20)), 100);
        let options = v1::registry::options::Kind::Queue(queue::Options { max_crashes: 1, ..Default::default() });
        let options = Some(pb::Options { kind: Some(options) });
        registry.open(SessionId(0), pb::OpenRequest { name: "jobs".into(), options, ..Default::default() }).unwrap();
        let settings = Settings {
            ttl_ms: 60_000,
            payload_bytes_max: 1 << 20,
            calls_in_flight_max: 1000,
            server_id: [0; 16],
            boot_epoch: 1,
            engine: ("memory", "nothing"),
        };
        let table = Table::new(Arc::new(Door::new(registry)), clock.clone(), settings);
        let witness = Arc::new(witness);
        table.set_witness(witness.clone());
        let peer = Peer::Unix { pid: Some(std::process::id()), uid: 0 };
        let connection = Arc::new(Connection::new(1, peer, clock, Arc::new(PartialBytes::new(1, 1))));
        let session = |table: &Arc<Table>| table.open(Caller::default(), 0).unwrap();
        let (holder, operator) = (session(&table), session(&table));
        let link: Arc<dyn Link> = connection.clone();
        holder.attach(link, None, table.clock.now());
        connection.carries(&holder, None);
        table.attribute(&holder, &connection);
        let bench = Bench { table, witness, connection, holder, operator };
        bench.take_item();
        bench
    }

    fn take_item(&self) {
        let object = Some(ObjectRef { name: "jobs".into(), epoch: 0 });
        let put = queue::PutRequest { object: object.clone(), items: vec![queue::Item::default()], ..Default::default() };
        self.ask(&self.operator, queue::command::Verb::Put(put));
        let taken = self.ask(&self.holder, queue::command::Verb::Get(queue::GetRequest { object, ..Default::default() }));
        assert!(matches!(taken, queue::reply::Verb::Get(get) if get.items.len() == 1));
    }

    fn ask(&self, session: &Arc<Session>, verb: queue::command::Verb) -> queue::reply::Verb {
        let said = Arc::new(Said::default());
        let routed = self.table.door.route(Some(call::Command::Queue(queue::Command { verb: Some(verb) }))).unwrap();
        let Routed::Object(host, command, wait, fence) = routed else { panic!("it is for one object") };
        session.touch(&host);
        let ticket = Ticket { call: CallId { session: session.id, sequence: 0 }, inbox: said.clone() };
        self.table.door.call(&*host, ticket, command, wait, fence);
        match said.0.lock().take() {
            Some(Ok(Reply::Queue(queue::Reply { verb: Some(verb) }))) => verb,
            other => panic!("{other:?}"),
        }
    }

    /// Why the item was parked, which its first crash leads to.
    fn why(&self) -> String {
        let object = Some(ObjectRef { name: "jobs".into(), epoch: 0 });
        let parked = queue::ParkedRequest { object, ..Default::default() };
        let queue::reply::Verb::Parked(parked) = self.ask(&self.operator, queue::command::Verb::Parked(parked)) else { panic!() };
        let [item] = parked.items.as_slice() else { panic!("it is not parked") };
        item.history[0].why.clone()
    }
}

#[derive(Default)]
struct Said(Mutex<Option<Result<Reply, Fault>>>);

impl Inbox for Said {
    fn deliver(&self, _sequence: u64, result: Result<Reply, Fault>) {
        *self.0.lock() = Some(result);
    }

    fn has_ended(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn the_words_of_a_witness_reach_what_the_session_held() {
    let words = "worker resize/2 (pid 4711) was killed by SIGSEGV; its last words: out of paper";
    let bench = Bench::new(Fake { words: Some(words.into()), ..Fake::default() });
    assert_eq!(bench.table.sessions_of_run(RUN), [bench.holder.id.0]);
    assert!(bench.table.sessions_of_run(RUN + 1).is_empty());
    bench.table.process_exited(&bench.connection).await;
    assert_eq!(bench.why(), words);
    assert_eq!(*bench.witness.asked.lock(), [(RUN, std::process::id())]);
    assert_eq!(*bench.witness.returned.lock(), [(RUN, vec!["1 item of jobs".to_owned()])]);
    assert!(bench.table.sessions_of_run(RUN).is_empty(), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_says_nothing_keeps_nothing_for_ever() {
    let bench = Bench::new(Fake::default());
    bench.table.process_exited(&bench.connection).await;
    assert_eq!(bench.why(), "its process exited");
}

#[tokio::test(start_paused = true)]
async fn the_session_of_a_process_that_nobody_knows_ends_at_once() {
    let bench = Bench::new(Fake { knows_nobody: true, ..Fake::default() });
    let ended = bench.table.process_exited(&bench.connection).now_or_never();
    assert!(ended.is_some() && bench.holder.has_ended(), "without a wait");
    assert_eq!(bench.why(), "its process exited");
    assert!(bench.witness.asked.lock().is_empty() && bench.witness.returned.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_resumed_elsewhere_while_the_witness_was_asked_lives_on() {
    let bench = Bench::new(Fake::default());
    let exited = bench.table.process_exited(&bench.connection);
    tokio::pin!(exited);
    assert!((&mut exited).now_or_never().is_none(), "the witness is asked");
    let peer = Peer::Unix { pid: None, uid: 0 };
    let elsewhere = Arc::new(Connection::new(2, peer, bench.table.clock.clone(), Arc::new(PartialBytes::new(1, 1))));
    bench.holder.attach(elsewhere, None, bench.table.clock.now());
    exited.await;
    assert!(!bench.holder.has_ended());
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_waits_for_the_end_of_its_process_only_where_a_witness_knows_it() {
    let words = "worker resize/0 (pid 1) exited with 1";
    let bench = Bench::new(Fake { words: Some(words.into()), ..Fake::default() });
    bench.table.connection_closed(&bench.holder, std::future::ready(())).await;
    assert_eq!(bench.why(), words);
    let bench = Bench::new(Fake { words: Some(words.into()), ..Fake::default() });
    bench.table.connection_closed(&bench.holder, std::future::pending()).await;
    assert_eq!(bench.why(), "its connection closed", "its process lives on");
    let bench = Bench::new(Fake { knows_nobody: true, ..Fake::default() });
    assert!(bench.table.connection_closed(&bench.holder, std::future::pending()).now_or_never().is_some(), "without a wait");
}

#[test]
fn of_too_many_words_the_cause_and_the_last_ones_stay() {
    let words = format!("worker resize/2 was killed by SIGSEGV; its last words: {}the end", "é".repeat(2000));
    let short = shortened(words);
    assert!(short.len() <= WORDS_BYTES_MAX && short.len() > WORDS_BYTES_MAX - 8, "{}", short.len());
    assert!(short.starts_with("worker resize/2 was killed by SIGSEGV; ") && short.ends_with("ééthe end"), "{short}");
    assert_eq!(shortened("as it is".into()), "as it is");
}
