//! A broker in a program that brings its own objects along: registered ones, those that a factory makes, kinds of its own.

use crate::harness::PATIENCE;
use bursar::{
    CallError, Error, Fault, Manager, Object,
    object::{Answer, Answering, Call, Description, Dynamic, Failed, Method, Parameter, Service},
};
use bursar_proto::v1::{self, registry::options};
use bursar_server::{
    Broker, ServeError,
    config::Config,
    own::{self, Factory, Kind},
    testing::TestBroker,
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

/// An object with a method for each thing that can become of a call.
#[derive(Default)]
struct Shelf {
    items: AtomicU64,
    /// Told when `wait` has begun.
    begun: Notify,
    /// Ends `wait`.
    go_on: Notify,
    /// Hears of the end of the object.
    end: Option<mpsc::Sender<u64>>,
}

impl Drop for Shelf {
    fn drop(&mut self) {
        if let Some(end) = &self.end {
            let _ = end.try_send(self.items.load(Ordering::SeqCst));
        }
    }
}

fn method(name: &str, arguments: &[&str]) -> Method {
    let parameter = |name: &&str| Parameter { name: (*name).to_owned(), r#type: "integer".into(), ..Parameter::default() };
    Method { name: name.into(), parameters: arguments.iter().map(parameter).collect(), ..Method::default() }
}

impl Service for Shelf {
    fn description(&self) -> Description {
        let methods = vec![
            method("add", &["count"]),
            method("panic", &[]),
            method("refuse", &[]),
            method("wait", &[]),
            Method { stream: true, ..method("count_to", &["count"]) },
            Method { serial: true, ..method("add_in_turn", &["count"]) },
            Method { serial: true, ..method("wait_in_turn", &[]) },
            method("block", &[]),
        ];
        Description { doc: "A shelf".into(), methods }
    }

    fn call(self: Arc<Self>, mut call: Call) -> Answering {
        Box::pin(async move {
            let count = call.arguments.take::<u64>("count").unwrap().unwrap_or(0);
            match call.method.as_str() {
                "add" => Answer::of(&(self.items.fetch_add(count, Ordering::SeqCst) + count)),
                "add_in_turn" => {
                    let before = self.items.load(Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    self.items.store(before + count, Ordering::SeqCst);
                    Answer::of(&(before + count))
                }
                "block" => {
                    thread::sleep(Duration::from_millis(1));
                    Answer::of(&call.session)
                }
                "refuse" => Answer::Failed(Failed::new("Full", "there is no room on the shelf")),
                "wait" | "wait_in_turn" => {
                    self.begun.notify_one();
                    self.go_on.notified().await;
                    Answer::of(&"waited".to_owned())
                }
                "count_to" => {
                    for number in 1..=count {
                        call.items.give(&number).await.unwrap();
                    }
                    Answer::Ended
                }
                _ => panic!("the shelf fell down"),
            }
        })
    }
}

/// In a runtime of its own, which a thread must not start that drives another one.
fn start(build: impl FnOnce(own::Builder) -> own::Builder + Send) -> TestBroker {
    thread::scope(|scope| scope.spawn(|| TestBroker::start_building(build)).join().unwrap())
}

fn start_with(shelf: &Arc<Shelf>) -> TestBroker {
    let shelf = shelf.clone();
    start(|builder| builder.register::<Dynamic>("shelf", shelf))
}

async fn connect(broker: &TestBroker) -> Manager {
    Manager::connect(broker.address(), broker.authkey()).await.unwrap()
}

async fn open(broker: &TestBroker, name: &str) -> Object {
    connect(broker).await.object(name).open().await.unwrap()
}

fn fault<T: std::fmt::Debug>(result: Result<T, CallError<Failed>>) -> Fault {
    match result {
        Err(CallError::Broker(Error::Fault(refusal))) => refusal.fault.clone(),
        other => panic!("expected a fault, got {other:?}"),
    }
}

fn failed<T: std::fmt::Debug>(result: Result<T, CallError<Failed>>) -> Failed {
    match result {
        Err(CallError::Failed(failed) | CallError::Other(failed)) => failed,
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[tokio::test]
async fn a_registered_object_is_there_when_the_broker_is() {
    let broker = start_with(&Arc::default());
    let shelf = open(&broker, "shelf").await;
    assert_eq!(shelf.call("add").arg("count", &3).send::<u64>().await.unwrap(), 3);
    assert_eq!(shelf.call("add").arg("count", &4).send::<u64>().await.unwrap(), 7);
    let about = shelf.describe().await.unwrap();
    assert_eq!((about.providers, about.calls, about.description.unwrap().doc.as_str()), (1, 2, "A shelf"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_calls_under_way_are_each_answered() {
    let shelf = Arc::<Shelf>::default();
    let broker = start_with(&shelf);
    let object = open(&broker, "shelf").await;
    let calls = (0..5000).map(|_| object.call("add").arg("count", &1).send::<u64>());
    let mut sums: Vec<u64> = futures_util::future::try_join_all(calls).await.unwrap();
    sums.sort_unstable();
    assert_eq!(sums, (1..=5000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_panic_and_an_error_are_of_their_calls_alone() {
    let broker = start_with(&Arc::default());
    let shelf = open(&broker, "shelf").await;
    let panic = failed(shelf.call("panic").send::<()>().await);
    assert!(panic.kind == Failed::PANIC && panic.message.contains("the shelf fell down"), "{panic:?}");
    assert_eq!(failed(shelf.call("refuse").send::<()>().await).kind, "Full");
    assert!(matches!(fault(shelf.call("ad").send::<()>().await), Fault::NoSuchMethod { nearest, .. } if nearest == "add"));
    assert_eq!(shelf.call("add").arg("count", &1).send::<u64>().await.unwrap(), 1);
}

#[tokio::test]
async fn items_of_a_stream_come_in_order_however_many() {
    use futures_util::TryStreamExt;
    let broker = start_with(&Arc::default());
    let shelf = open(&broker, "shelf").await;
    let items: Vec<u64> = shelf.call("count_to").arg("count", &3000).stream::<u64>().try_collect().await.unwrap();
    assert_eq!(items, (1..=3000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serial_methods_run_one_at_a_time() {
    let broker = start_with(&Arc::default());
    let shelf = open(&broker, "shelf").await;
    let calls = (0..200).map(|_| shelf.call("add_in_turn").arg("count", &1).send::<u64>());
    let mut sums: Vec<u64> = futures_util::future::try_join_all(calls).await.unwrap();
    sums.sort_unstable();
    assert_eq!(sums, (1..=200).collect::<Vec<_>>());
}

/// It is looked at where it comes in until it was slow, and from then on has a task of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_method_that_blocks_are_answered_like_all_others() {
    let broker = start_with(&Arc::default());
    let shelf = open(&broker, "shelf").await;
    let calls = (0..50).map(|_| shelf.call("block").send::<u64>());
    let callers: Vec<u64> = futures_util::future::try_join_all(calls).await.unwrap();
    assert_eq!(callers, vec![shelf.manager().session_id(); 50]);
    assert_eq!(shelf.describe().await.unwrap().calls, 50);
}

/// Until no method of the object runs.
async fn all_ended(object: &Object) {
    let ended = async { while object.describe().await.unwrap().running > 0 {} };
    timeout(PATIENCE, ended).await.expect("the method is dropped");
}

#[tokio::test]
async fn a_call_that_is_out_of_time_is_told_so_and_its_method_dropped() {
    let shelf = Arc::<Shelf>::default();
    let broker = start_with(&shelf);
    let object = open(&broker, "shelf").await;
    let before = Arc::strong_count(&shelf);
    let late = object.call("wait").wait(Duration::from_millis(5)).send::<String>().await;
    assert!(matches!(fault(late), Fault::Unanswered {}));
    assert!(matches!(fault(object.call("wait").wait(bursar::Wait::Never).send::<String>().await), Fault::Unanswered {}));
    assert_eq!(Arc::strong_count(&shelf), before, "no method has it any more when its caller is told");
}

#[tokio::test]
async fn methods_are_dropped_with_the_session_that_called_them() {
    let shelf = Arc::<Shelf>::default();
    let broker = start_with(&shelf);
    let (object, watching) = (open(&broker, "shelf").await, open(&broker, "shelf").await);
    let session = object.manager().session_id();
    let call = tokio::spawn(async move { object.call("wait").send::<String>().await });
    timeout(PATIENCE, shelf.begun.notified()).await.expect("the call arrives");
    broker.lose_session(session);
    assert!(matches!(call.await.unwrap(), Err(CallError::Broker(Error::Lost(_)))));
    all_ended(&watching).await;
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_its_method() {
    let shelf = Arc::<Shelf>::default();
    let broker = start_with(&shelf);
    let object = open(&broker, "shelf").await;
    let mut call = Box::pin(object.call("wait").send::<String>());
    tokio::select! {
        _ = &mut call => panic!("nobody has let it go on"),
        () = shelf.begun.notified() => {}
    }
    assert_eq!(object.describe().await.unwrap().running, 1);
    drop(call);
    all_ended(&object).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_runs_when_the_broker_stops_is_answered_within_the_grace() {
    // One by the front, one by the object behind it.
    for method in ["wait", "wait_in_turn"] {
        let shelf = Arc::<Shelf>::default();
        let mut broker = start_with(&shelf);
        let object = open(&broker, "shelf").await;
        let queue = object.manager().queue::<u32>("jobs").create().await.unwrap();
        let call = tokio::spawn(async move { object.call(method).send::<String>().await });
        timeout(PATIENCE, shelf.begun.notified()).await.expect("the call arrives");
        let waiting = tokio::spawn(async move { queue.get().await.map(drop) });
        let stopping = tokio::task::spawn_blocking(move || broker.stop());
        let refused = timeout(PATIENCE, waiting).await.expect("nobody waits at a broker that stops").unwrap().unwrap_err();
        assert_eq!(refused.fault(), Some(&Fault::ShuttingDown {}));
        shelf.go_on.notify_one();
        assert_eq!(timeout(PATIENCE, call).await.expect("it is answered").unwrap().unwrap(), "waited", "{method}");
        stopping.await.unwrap();
    }
}

fn shelves(end: mpsc::Sender<u64>) -> TestBroker {
    shelves_and(end, |builder| builder)
}

fn shelves_and(end: mpsc::Sender<u64>, build: impl FnOnce(own::Builder) -> own::Builder + Send) -> TestBroker {
    let factory = Factory::new::<Dynamic, _>(move |arguments| {
        let items = arguments.take::<u64>("items")?.unwrap_or(0);
        if items > 100 {
            return Err(Failed::new("TooMany", "a shelf has room for 100"));
        }
        let (items, end) = (AtomicU64::new(items), Some(end.clone()));
        Ok(Arc::new(Shelf { items, begun: Notify::new(), go_on: Notify::new(), end }))
    });
    start(|builder| build(builder).register_factory("shelves", factory.doc("Shelves").optional("items", "integer")))
}

async fn create(factory: &Object, items: u64) -> Object {
    factory.call("create").arg("items", &items).send::<Object>().await.unwrap()
}

async fn add(shelf: &Object, count: u64) -> u64 {
    shelf.call("add").arg("count", &count).send::<u64>().await.unwrap()
}

#[tokio::test]
async fn a_factory_makes_objects_of_their_own_with_arguments() {
    let broker = shelves(mpsc::channel(9).0);
    let factory = open(&broker, "shelves").await;
    let (one, other) = (create(&factory, 10).await, create(&factory, 20).await);
    assert_eq!((add(&one, 1).await, add(&other, 1).await), (11, 21));
    assert_eq!(failed(factory.call("create").arg("items", &101).send::<Object>().await).kind, "TooMany");
    let unknown = fault(factory.call("create").arg("itmes", &1).send::<Object>().await);
    assert!(matches!(unknown, Fault::NoSuchArgument { nearest, .. } if nearest == "items"));
}

#[tokio::test]
async fn a_made_object_is_dropped_with_its_last_handle() {
    let (end, mut ends) = mpsc::channel(9);
    let broker = shelves(end);
    let factory = open(&broker, "shelves").await;
    let shelf = create(&factory, 1).await;
    let (second, kept) = (shelf.clone(), create(&factory, 2).await);
    drop(shelf);
    assert_eq!(add(&second, 4).await, 5);
    drop(second);
    assert_eq!(timeout(PATIENCE, ends.recv()).await.expect("it is dropped"), Some(5));
    assert_eq!(add(&kept, 0).await, 2);
    assert!(ends.try_recv().is_err());
}

/// Its caller counts as having opened it, and never gets what it could close.
#[tokio::test]
async fn a_made_object_is_dropped_if_its_handle_never_arrives() {
    let (end, mut ends) = mpsc::channel(9);
    let broker = shelves(end);
    let factory = open(&broker, "shelves").await;
    let mut creating = Box::pin(factory.call("create").arg("items", &3).send::<Object>());
    let _ = futures_util::poll!(&mut creating);
    // Behind the answer.
    factory.describe().await.unwrap();
    drop(creating);
    assert_eq!(timeout(PATIENCE, ends.recv()).await.expect("it is dropped"), Some(3));
}

#[tokio::test]
async fn a_made_object_stays_as_long_as_any_session_has_a_handle() {
    let (end, mut ends) = mpsc::channel(9);
    let broker = shelves(end);
    let (factory, other) = (open(&broker, "shelves").await, connect(&broker).await);
    let shelf = create(&factory, 1).await;
    let theirs = other.object(shelf.name()).open().await.unwrap();
    drop(shelf);
    assert_eq!(add(&theirs, 1).await, 2);
    drop(theirs);
    assert_eq!(timeout(PATIENCE, ends.recv()).await.expect("it is dropped"), Some(2));
}

#[tokio::test]
async fn made_objects_are_dropped_with_the_session_that_has_them() {
    let (end, mut ends) = mpsc::channel(9);
    let broker = shelves(end);
    let factory = open(&broker, "shelves").await;
    let _shelves = (create(&factory, 1).await, create(&factory, 2).await);
    broker.lose_session(factory.manager().session_id());
    let mut dropped = Vec::new();
    for _ in 0..2 {
        dropped.extend(timeout(PATIENCE, ends.recv()).await.expect("it is dropped"));
    }
    dropped.sort_unstable();
    assert_eq!(dropped, [1, 2]);
}

#[tokio::test]
async fn a_method_that_runs_is_dropped_with_its_object() {
    let (end, mut ends) = mpsc::channel(9);
    let broker = shelves(end);
    let factory = open(&broker, "shelves").await;
    let shelf = create(&factory, 7).await;
    let call = tokio::spawn({
        let shelf = shelf.clone();
        async move { shelf.call("wait").send::<String>().await }
    });
    let running = async { while shelf.describe().await.unwrap().running == 0 {} };
    timeout(PATIENCE, running).await.expect("it runs");
    factory.manager().objects().delete(shelf.name()).await.unwrap();
    assert_eq!(timeout(PATIENCE, ends.recv()).await.expect("it is dropped"), Some(7));
    assert!(matches!(fault(call.await.unwrap()), Fault::Gone { .. }));
}

#[tokio::test]
async fn objects_are_dropped_with_their_broker() {
    let (end, mut ends) = mpsc::channel(9);
    let registered =
        Arc::new(Shelf { items: AtomicU64::new(1), begun: Notify::new(), go_on: Notify::new(), end: Some(end.clone()) });
    let broker = shelves_and(end, |builder| builder.register::<Dynamic>("shelf", registered));
    let factory = open(&broker, "shelves").await;
    let made = create(&factory, 2).await;
    // One of them runs a method.
    let call = tokio::spawn(async move { made.call("wait").send::<String>().await });
    let running = async { while factory.manager().objects().describe("shelves/1").await.unwrap().figures["running"] == 0 {} };
    timeout(PATIENCE, running).await.expect("it runs");
    drop(broker);
    let mut dropped = Vec::new();
    for _ in 0..2 {
        dropped.extend(timeout(PATIENCE, ends.recv()).await.expect("it is dropped"));
    }
    dropped.sort_unstable();
    assert_eq!(dropped, [1, 2]);
    call.abort();
}

/// A handle of a counter comes in, as an argument, and is live.
struct Filler;

impl Service for Filler {
    fn description(&self) -> Description {
        Description { doc: String::new(), methods: vec![method("fill", &["counter"])] }
    }

    fn call(self: Arc<Self>, mut call: Call) -> Answering {
        Box::pin(async move {
            let counter: bursar::Counter = call.arguments.take("counter").unwrap().unwrap();
            counter.add(7).await.unwrap();
            Answer::of(&())
        })
    }
}

#[tokio::test]
async fn handles_among_the_arguments_are_live_within_the_broker() {
    let broker = start(|builder| builder.register::<Dynamic>("filler", Arc::new(Filler)));
    let filler = open(&broker, "filler").await;
    let counter = filler.manager().counter("level").ephemeral().create().await.unwrap();
    filler.call("fill").arg("counter", &counter).send::<()>().await.unwrap();
    assert_eq!(counter.get().await.unwrap(), 7);
}

/// Seats of which each has one owner.
#[derive(Default)]
struct Seats {
    free: u64,
}

#[derive(Clone, Serialize, Deserialize)]
enum Seating {
    Brought(u64),
    Taken,
}

impl Kind for Seats {
    const NAME: &'static str = "seats";
    type Change = Seating;

    fn description() -> Description {
        Description { doc: "Seats".into(), methods: vec![method("bring", &["count"]), method("take", &[])] }
    }

    fn decide(&self, call: &own::Call<'_>) -> Result<own::Decision<Seating>, Failed> {
        match call.method() {
            "bring" => own::Decision::change(Seating::Brought(call.argument("count")?), &()),
            _ if self.free == 0 => Ok(own::Decision::Wait),
            _ => own::Decision::change(Seating::Taken, &(self.free - 1)),
        }
    }

    fn evolve(&mut self, change: Seating) {
        match change {
            Seating::Brought(count) => self.free += count,
            Seating::Taken => self.free -= 1,
        }
    }

    fn history(&self) -> Vec<Seating> {
        vec![Seating::Brought(self.free)]
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("free", self.free)]
    }
}

#[tokio::test]
async fn an_object_of_a_kind_of_ones_own_waits_as_the_others_do() {
    let broker = start(|builder| builder.kind::<Seats>());
    let manager = connect(&broker).await;
    let seats = manager.object("row").kind("seats").create().await.unwrap();
    let waiting = tokio::spawn({
        let seats = seats.clone();
        async move { seats.call("take").send::<u64>().await }
    });
    let arrived = async { while manager.objects().describe("row").await.unwrap().waiting == 0 {} };
    timeout(PATIENCE, arrived).await.expect("it waits");
    let late = seats.call("take").wait(Duration::from_millis(1)).send::<u64>().await;
    assert!(matches!(fault(late), Fault::TimedOut { .. }));
    seats.call("bring").arg("count", &2).send::<()>().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
    let described = manager.objects().describe("row").await.unwrap();
    assert_eq!((described.kind.as_str(), described.figures["free"]), ("object", 1));
    assert!(matches!(described.options.kind, Some(options::Kind::Object(options)) if options.kind == "seats"));
}

#[tokio::test]
async fn an_unknown_kind_is_refused_with_the_nearest_and_all_there_are() {
    let broker = start(|builder| builder.kind::<Seats>());
    let error = connect(&broker).await.object("row").kind("seat").create().await.unwrap_err().to_string();
    assert!(error.contains("\"seat\"") && error.contains("the nearest one is \"seats\""), "{error}");
    let error = connect(&start(|builder| builder)).await.object("row").kind("seat").create().await.unwrap_err().to_string();
    assert!(error.contains("no kinds of its own"), "{error}");
}

#[tokio::test]
async fn another_kind_is_another_option() {
    let broker = start(|builder| builder.kind::<Seats>());
    let manager = connect(&broker).await;
    manager.object("row").kind("seats").create().await.unwrap();
    manager.object("row").kind("seats").open_or_create().await.unwrap();
    let error = manager.object("row").open_or_create().await.unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::Mismatch { actual, .. }) if actual == "seats"), "{error}");
}

/// What a broker of these says when it does not start.
async fn refused(build: impl FnOnce(own::Builder) -> own::Builder) -> String {
    let builder = Broker::builder().key(bursar::AuthKey::new(&[7; 32]).unwrap());
    match build(builder).start().await {
        Ok(_) => panic!("the broker starts"),
        Err(error @ (ServeError::Registered { .. } | ServeError::OwnKind { .. } | ServeError::Declared { .. })) => {
            error.to_string()
        }
        Err(error) => panic!("another error: {error}"),
    }
}

/// An object that describes itself wrongly.
struct Wrong;

impl Service for Wrong {
    fn description(&self) -> Description {
        Description { doc: String::new(), methods: vec![method("two words", &[])] }
    }

    fn call(self: Arc<Self>, _call: Call) -> Answering {
        Box::pin(async { Answer::Ended })
    }
}

/// A kind whose name is taken.
#[derive(Default)]
struct Queue;

impl Kind for Queue {
    const NAME: &'static str = "queue";
    type Change = ();

    fn description() -> Description {
        Description::default()
    }

    fn decide(&self, _call: &own::Call<'_>) -> Result<own::Decision<()>, Failed> {
        Ok(own::Decision::Wait)
    }

    fn evolve(&mut self, _change: ()) {}

    fn history(&self) -> Vec<()> {
        Vec::new()
    }
}

#[tokio::test]
async fn wrong_use_is_an_error_at_the_start_that_says_what_is_wrong() {
    fn shelf() -> Arc<Shelf> {
        Arc::default()
    }
    let twice = refused(|builder| builder.register::<Dynamic>("a", shelf()).register::<Dynamic>("a", shelf())).await;
    assert!(twice.contains("\"a\"") && twice.contains("two objects"), "{twice}");
    let name = refused(|builder| builder.register::<Dynamic>("two words", shelf())).await;
    assert!(name.contains("two words"), "{name}");
    let description = refused(|builder| builder.register::<Dynamic>("a", Arc::new(Wrong))).await;
    assert!(description.contains("\"a\"") && description.contains("two words"), "{description}");
    let taken = refused(|builder| builder.kind::<Queue>()).await;
    assert!(taken.contains("\"queue\"") && taken.contains("every broker"), "{taken}");
    let kinds = refused(|builder| builder.kind::<Seats>().kind::<Seats>()).await;
    assert!(kinds.contains("\"seats\"") && kinds.contains("two kinds"), "{kinds}");
    let declared = |options| Config {
        objects: vec![bursar_server::config::Declared {
            name: "a".parse().unwrap(),
            options: v1::registry::Options { kind: Some(options) },
        }],
        ..Config::default()
    };
    let unknown = options::Kind::Object(v1::object::Options { kind: "seats".into(), ..Default::default() });
    assert!(refused(|builder| builder.config(declared(unknown))).await.contains("seats"));
    let other = options::Kind::Kv(Default::default());
    let mismatch = refused(|builder| builder.config(declared(other)).register::<Dynamic>("a", shelf())).await;
    assert!(mismatch.contains("kind is kv"), "{mismatch}");
}

#[tokio::test]
async fn an_ephemeral_object_of_ones_own_goes_with_its_last_handle() {
    let broker = start(|builder| builder);
    let (one, other) = (connect(&broker).await, connect(&broker).await);
    let first = one.object("scratch").ephemeral().create().await.unwrap();
    let second = one.object("scratch").open().await.unwrap();
    let theirs = other.object("scratch").open().await.unwrap();
    drop(first);
    drop(theirs);
    other.objects().list("").await.unwrap();
    second.describe().await.unwrap();
    drop(second);
    assert!(one.objects().list("").await.unwrap().is_empty());
    one.object("scratch").create().await.unwrap();
    assert_eq!(other.objects().list("").await.unwrap().len(), 1);
}

/// It was once deleted with a handle that nobody had kept, and what was put through it was gone.
#[tokio::test]
async fn what_was_put_into_an_ephemeral_queue_does_not_depend_on_its_handle() {
    let broker = start(|builder| builder);
    let one = connect(&broker).await;
    one.queue("scratch").ephemeral().create().await.unwrap().put(7).await.unwrap();
    assert_eq!(one.queue::<u32>("scratch").open().await.unwrap().take().await.unwrap(), 7);
}
