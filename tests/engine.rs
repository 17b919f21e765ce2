//! Answers wait for the engine: refusals and reads too, in any order of acknowledgements, and after a failure nothing is promised.
//!
//! One thread, one runtime: "has not happened" means that nothing is left to run that could make it happen.

use bursar_proto::{
    Command, Fault, Wait,
    v1::{answer::Reply, journal, queue, registry},
};
use bursar_server::{
    clock::Clock,
    engine::{AppendError, Log, LogLimits, Position, ReadError, Survives, memory::MemoryLog, shard::Shard},
    objects::{
        agenda::Agenda,
        core::CallId,
        host::{Host, Hosted, Inbox, Ticket, World},
        kind::{Departure, Kind, Moment, SessionId, Wire},
        queue::Queue,
    },
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use prost::Message;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tokio::sync::oneshot;

/// A log that keeps at once and acknowledges when the test says so, in the order in which it says so; or fails as scripted.
#[derive(Default)]
struct TestLog {
    memory: MemoryLog,
    acknowledgements: Mutex<VecDeque<Option<oneshot::Sender<()>>>>,
    /// What the next appends come to, instead of an acknowledgement.
    script: Mutex<VecDeque<(Kept, AppendError)>>,
}

#[derive(PartialEq)]
enum Kept {
    Yes,
    No,
}

impl TestLog {
    fn in_flight(&self) -> usize {
        self.acknowledgements.lock().unwrap().iter().flatten().count()
    }

    /// Acknowledges the append with this number, counted from the first ever.
    fn acknowledge(&self, number: usize) {
        let sender = self.acknowledgements.lock().unwrap()[number].take().expect("it is in flight");
        sender.send(()).unwrap();
    }

    fn fail_next(&self, kept: Kept, error: AppendError) {
        self.script.lock().unwrap().push_back((kept, error));
    }
}

impl Log for TestLog {
    fn limits(&self) -> LogLimits {
        LogLimits { record_bytes_max: 1 << 20, in_flight_max: 4, survives: Survives::PowerLoss }
    }

    fn first(&self) -> BoxFuture<'static, Result<Position, ReadError>> {
        self.memory.first()
    }

    fn tail(&self) -> BoxFuture<'static, Result<Position, ReadError>> {
        self.memory.tail()
    }

    fn append(&self, expect: Position, record: Bytes) -> BoxFuture<'static, Result<Position, AppendError>> {
        if let Some((kept, error)) = self.script.lock().unwrap().pop_front() {
            if kept == Kept::Yes {
                drop(self.memory.append(expect, record));
            }
            return Box::pin(std::future::ready(Err(error)));
        }
        let (sender, receiver) = oneshot::channel();
        self.acknowledgements.lock().unwrap().push_back(Some(sender));
        let stored = self.memory.append(expect, record);
        Box::pin(async move {
            receiver.await.expect("the test acknowledges");
            stored.await
        })
    }

    fn read(&self, after: Position, limit: usize) -> BoxFuture<'static, Result<Vec<(Position, Bytes)>, ReadError>> {
        self.memory.read(after, limit)
    }

    fn truncate(&self, upto: Position) -> BoxFuture<'static, Result<(), ReadError>> {
        self.memory.truncate(upto)
    }
}

#[derive(Default)]
struct Answers(Mutex<Vec<(u64, Result<Reply, Fault>)>>);

impl Inbox for Answers {
    fn deliver(&self, sequence: u64, result: Result<Reply, Fault>) {
        self.0.lock().unwrap().push((sequence, result));
    }

    fn has_ended(&self) -> bool {
        false
    }
}

struct Bench {
    log: Arc<TestLog>,
    host: Arc<Host<Queue>>,
    answers: Arc<Answers>,
    sequence: u64,
}

impl Bench {
    fn new() -> Bench {
        let log = Arc::new(TestLog::default());
        let shard = Shard::new(log.clone());
        tokio::spawn(shard.clone().run());
        let world = World::new(Clock::manual(Moment(1)), Arc::new(Agenda::default()), Some(shard), 1 << 20);
        let options = registry::options::Kind::Queue(queue::Options { maxsize: 2, ..Default::default() });
        let kind = Queue::create(&registry::Options { kind: Some(options) }, 7).unwrap();
        let host = Host::start("q".parse().unwrap(), 7, kind, Arc::new(world));
        Bench { log, host, answers: Arc::default(), sequence: 0 }
    }

    fn call(&mut self, verb: queue::command::Verb) -> u64 {
        self.sequence += 1;
        let call = CallId { session: SessionId(1), sequence: self.sequence };
        let ticket = Ticket { call, inbox: self.answers.clone() };
        self.host.call(ticket, Command::Queue(verb), Wait::Never, None);
        self.sequence
    }

    fn put(&mut self, data: &str) -> u64 {
        let items = vec![queue::Item { data: Bytes::copy_from_slice(data.as_bytes()), ..Default::default() }];
        self.call(queue::command::Verb::Put(queue::PutRequest { items, ..Default::default() }))
    }

    fn get(&mut self) -> u64 {
        self.call(queue::command::Verb::Get(queue::GetRequest::default()))
    }

    fn stats(&mut self) -> u64 {
        self.call(queue::command::Verb::Stats(queue::StatsRequest::default()))
    }

    /// Sequences that are answered, after everything that can run has run.
    async fn answered(&self) -> Vec<u64> {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.answers.0.lock().unwrap().iter().map(|(sequence, _)| *sequence).collect()
    }

    fn result(&self, sequence: u64) -> Result<Reply, Fault> {
        let answers = self.answers.0.lock().unwrap();
        answers.iter().find(|(answered, _)| *answered == sequence).expect("it is answered").1.clone()
    }
}

#[tokio::test]
async fn answers_refusals_and_reads_wait_for_the_last_change() {
    let mut bench = Bench::new();
    let full = |bench: &Bench, sequence| matches!(bench.result(sequence), Err(Fault::Full { .. }));
    let first = bench.get();
    assert_eq!(bench.answered().await, [first], "nothing has changed yet: a refusal has nothing to wait for");
    let (one, two) = (bench.put("1"), bench.put("2"));
    let (refused, read) = (bench.put("3"), bench.stats());
    assert_eq!(bench.answered().await, [first], "nothing is durable");
    // The first append took what was there; the rest was collected while it was under way.
    bench.log.acknowledge(0);
    while bench.log.in_flight() > 0 {
        let next = bench.log.acknowledgements.lock().unwrap().len() - 1;
        bench.log.acknowledge(next);
        bench.answered().await;
    }
    assert_eq!(bench.answered().await, [first, one, two, refused, read]);
    assert!(full(&bench, refused), "it rests on what was not durable when it was decided");
}

#[tokio::test]
async fn acknowledgements_out_of_order_release_in_order() {
    let mut bench = Bench::new();
    let one = bench.put("1");
    assert!(bench.answered().await.is_empty());
    let two = bench.put("2");
    assert!(bench.answered().await.is_empty());
    assert_eq!(bench.log.in_flight(), 2, "the second append does not wait for the first");
    bench.log.acknowledge(1);
    assert!(bench.answered().await.is_empty(), "what stands before it is not durable");
    bench.log.acknowledge(0);
    assert_eq!(bench.answered().await, [one, two]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_append_is_sent_again_and_kept_once() {
    for kept in [Kept::Yes, Kept::No] {
        let mut bench = Bench::new();
        bench.log.fail_next(kept, AppendError::Unknown("the line broke".into()));
        let one = bench.put("1");
        // The pause before the second try passes by itself: the runtime's clock is paused and moves when all wait.
        while bench.log.in_flight() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(bench.answered().await.is_empty());
        bench.log.acknowledge(0);
        assert_eq!(bench.answered().await, [one]);
        assert!(bench.result(one).is_ok());
        assert_eq!(bench.log.tail().await, Ok(1), "one record, however often it was sent");
    }
}

#[tokio::test]
async fn after_a_failure_nothing_is_promised() {
    for (error, fault) in [
        (AppendError::Failed("EIO".into()), Fault::EngineFailed { problem: "the engine has failed: EIO".into() }),
        (AppendError::Conflict { expect: 0 }, Fault::Deposed {}),
    ] {
        let mut bench = Bench::new();
        bench.log.fail_next(Kept::No, error);
        let (put, read) = (bench.put("1"), bench.stats());
        assert_eq!(bench.answered().await, [put, read]);
        assert_eq!(bench.result(put), Err(fault.clone()));
        assert_eq!(bench.result(read), Err(fault.clone()), "a read rests on what may not be kept");
        let later = bench.put("2");
        assert_eq!(bench.answered().await, [put, read, later]);
        assert_eq!(bench.result(later), Err(fault));
    }
}

#[tokio::test]
async fn the_records_lead_to_the_state() {
    let mut bench = Bench::new();
    for data in ["1", "2"] {
        bench.put(data);
    }
    bench.get();
    let done = queue::DoneRequest { leases: vec![1], ..Default::default() };
    bench.call(queue::command::Verb::Done(done));
    bench.get();
    bench.host.depart(SessionId(1), Departure::Lost, "");
    let mut acknowledged = 0;
    loop {
        bench.answered().await;
        if acknowledged == bench.log.acknowledgements.lock().unwrap().len() {
            break;
        }
        bench.log.acknowledge(acknowledged);
        acknowledged += 1;
    }
    let mut again = Queue::create(&bench.host.options(), 7).unwrap();
    for (_, record) in bench.log.read(0, 100).await.unwrap() {
        let record = journal::Record::decode(record).unwrap();
        assert_eq!(record.version, 1);
        for entry in record.entries {
            assert_eq!(entry.object, 7);
            again.evolve(Queue::decode(&entry.change).unwrap());
        }
    }
    let figures: Vec<_> = again.figures();
    assert_eq!(figures, bench.host.figures().1);
    assert_eq!((figures[0], again.violation()), (("ready", 1), None));
    // Item 2 came back from the session that ended, and the snapshot says the same as the journal.
    let mut from_snapshot = Queue::create(&bench.host.options(), 7).unwrap();
    again.history().into_iter().for_each(|change| from_snapshot.evolve(change));
    assert_eq!(from_snapshot.history(), again.history());
}
