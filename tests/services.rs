//! A program's own services on top of a broker, and the broker among them: the order, and that nothing fails alone.

use crate::harness::PATIENCE;
use bursar::{Fault, Manager};
use bursar_proto::{Address, AuthKey};
use bursar_server::{
    Broker, ServeError,
    config::{Config, Limits},
    lifecycle::{Context, Group, Outcome, Service, sequence},
    own::Builder,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{io::AsyncReadExt, sync::Notify, time::timeout};

/// Where a broker of a test is to be.
struct Place {
    directory: tempfile::TempDir,
    key: AuthKey,
}

impl Place {
    fn new() -> Arc<Place> {
        let directory = tempfile::tempdir().unwrap();
        let key = AuthKey::generate(directory.path().join("authkey")).unwrap();
        Arc::new(Place { directory, key })
    }

    fn address(&self) -> Address {
        Address::Unix(self.directory.path().join("bursar.sock"))
    }

    fn builder(&self) -> Builder {
        // Clients of these tests do not leave by themselves.
        let limits = Limits { shutdown_grace: Duration::from_millis(100), ..Limits::default() };
        Broker::builder().config(Config { listen: vec![self.address()], limits, ..Config::default() }).key(self.key.clone())
    }

    async fn connect(&self) -> bursar::Result<Manager> {
        Manager::connect(self.address(), self.key.clone()).await
    }

    /// Whether a broker listens there.
    fn is_open(&self) -> bool {
        std::os::unix::net::UnixStream::connect(self.directory.path().join("bursar.sock")).is_ok()
    }
}

/// What happened, in order.
type Diary = Arc<Mutex<Vec<String>>>;

/// Uses the broker when it starts and when it stops.
struct Worker {
    name: &'static str,
    place: Arc<Place>,
    below: Option<Arc<Worker>>,
    diary: Diary,
}

impl Worker {
    async fn work(&self, when: &str) -> Outcome {
        let done = self.place.connect().await?.queue::<String>("jobs").open_or_create().await;
        done?.put(format!("{} {when}", self.name)).await?;
        self.diary.lock().unwrap().push(format!("{} {when}", self.name));
        Ok(())
    }
}

impl Service for Worker {
    fn name(&self) -> String {
        self.name.into()
    }

    fn dependencies(&self) -> Group {
        Group::sequence(self.below.as_ref())
    }

    async fn start(self: Arc<Self>, _: Context) -> Outcome {
        self.work("started").await
    }

    async fn stop(self: Arc<Self>) -> Outcome {
        self.work("stopped").await
    }
}

#[tokio::test]
async fn what_is_on_top_may_use_the_broker_from_its_start_to_the_end_of_its_stop() {
    let (place, diary) = (Place::new(), Diary::default());
    let worker = |name, below| Arc::new(Worker { name, place: place.clone(), below, diary: diary.clone() });
    let database = worker("database", None);
    let web = worker("web", Some(database));
    let broker = place.builder().service(&web).start().await.unwrap();
    let client = place.connect().await.unwrap();
    let waiting = client.queue::<u32>("others").create().await.unwrap();
    let waiting = tokio::spawn(async move { waiting.take().await });
    while client.objects().describe("others").await.unwrap().waiting == 0 {}
    broker.stop().await.unwrap();
    let refused = timeout(PATIENCE, waiting).await.expect("it is answered").unwrap().unwrap_err();
    assert_eq!(refused.fault(), Some(&Fault::ShuttingDown {}));
    assert_eq!(*diary.lock().unwrap(), ["database started", "web started", "web stopped", "database stopped"]);
    assert!(!place.is_open());
}

/// Fails when it is told to.
struct Fragile {
    at: At,
    now: Arc<Notify>,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Start,
    Work,
    Stop,
}

impl Service for Fragile {
    async fn start(self: Arc<Self>, context: Context) -> Outcome {
        if self.at == At::Start {
            return Err("out of order".into());
        }
        context.add_task("work", async move {
            self.now.notified().await;
            Err("the power is out".into())
        });
        Ok(())
    }

    async fn stop(self: Arc<Self>) -> Outcome {
        if self.at == At::Stop { Err("it is stuck".into()) } else { Ok(()) }
    }
}

fn fragile(at: At) -> (Arc<Fragile>, Arc<Notify>) {
    let now = Arc::new(Notify::new());
    (Arc::new(Fragile { at, now: now.clone() }), now)
}

fn failure<T>(ended: Result<T, ServeError>) -> String {
    match ended {
        Err(ServeError::Service(error)) => error.to_string(),
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("it went well"),
    }
}

#[tokio::test]
async fn a_task_that_fails_brings_the_broker_down_with_its_error() {
    let place = Place::new();
    let (service, fail) = fragile(At::Work);
    let mut broker = place.builder().service(&service).start().await.unwrap();
    let client = place.connect().await.unwrap();
    let queue = client.queue::<u32>("jobs").create().await.unwrap();
    let waiting = tokio::spawn(async move { queue.take().await });
    while client.objects().describe("jobs").await.unwrap().waiting == 0 {}
    fail.notify_one();
    timeout(PATIENCE, broker.ending()).await.expect("it begins to stop");
    let expected = "the task work of the service Fragile failed: the power is out";
    assert_eq!(failure(timeout(PATIENCE, broker.wait()).await.expect("it stops")), expected);
    let refused = timeout(PATIENCE, waiting).await.expect("it is answered").unwrap().unwrap_err();
    assert_eq!(refused.fault(), Some(&Fault::ShuttingDown {}), "clients are told as always");
    assert!(!place.is_open());
    assert_eq!(failure(broker.stop().await), expected, "it is told as often as one asks");
}

#[tokio::test]
async fn a_broker_stops_even_if_what_is_on_top_cannot() {
    let place = Place::new();
    let (service, _work) = fragile(At::Stop);
    let broker = place.builder().service(&service).start().await.unwrap();
    place.connect().await.unwrap();
    let ended = timeout(PATIENCE, broker.stop()).await.expect("it stops");
    assert_eq!(failure(ended), "the service Fragile could not be stopped in order: it is stuck");
    assert!(!place.is_open());
}

#[tokio::test]
async fn a_broker_does_not_start_without_what_is_on_top() {
    let place = Place::new();
    let started = place.builder().service(&fragile(At::Start).0).start().await;
    assert_eq!(failure(started), "the service Fragile could not be started: out of order");
    assert!(!place.is_open());
    place.builder().start().await.expect("nothing is left of it");
}

/// Asks for the end of everything when it is told to.
struct Errand(Notify);

impl Service for Errand {
    async fn start(self: Arc<Self>, context: Context) -> Outcome {
        let asks = context.clone();
        context.add_task("errand", async move {
            self.0.notified().await;
            asks.request_stop();
            Ok(())
        });
        Ok(())
    }
}

#[tokio::test]
async fn a_service_may_ask_for_the_end_and_that_is_no_error() {
    let place = Place::new();
    let errand = Arc::new(Errand(Notify::new()));
    let mut broker = place.builder().service(&errand).start().await.unwrap();
    assert!(futures_util::poll!(Box::pin(broker.ending())).is_pending());
    errand.0.notify_one();
    timeout(PATIENCE, broker.wait()).await.expect("it stops").unwrap();
    assert!(!place.is_open());
}

/// Never stops by itself.
struct Stubborn;

impl Service for Stubborn {
    fn graceful_shutdown_timeout(&self) -> Duration {
        PATIENCE * 10
    }

    async fn stop(self: Arc<Self>) -> Outcome {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_broker_that_is_dropped_waits_for_nobody() {
    let place = Place::new();
    let broker = place.builder().service(&Arc::new(Stubborn)).start().await.unwrap();
    let mut stranger = tokio::net::UnixStream::connect(place.directory.path().join("bursar.sock")).await.unwrap();
    drop(broker);
    let gone = async {
        while place.is_open() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it does not listen any more");
    let end = timeout(PATIENCE, stranger.read(&mut [0])).await.expect("connections are cut");
    assert!(matches!(end, Ok(0) | Err(_)));
}

/// A broker that is a part of a program: it starts behind the program's database, and before what uses both.
struct Brokerage {
    place: Arc<Place>,
    diary: Diary,
    running: tokio::sync::Mutex<Option<Broker>>,
}

impl Service for Brokerage {
    async fn start(self: Arc<Self>, _: Context) -> Outcome {
        *self.running.lock().await = Some(self.place.builder().start().await?);
        self.diary.lock().unwrap().push("broker started".into());
        Ok(())
    }

    async fn stop(self: Arc<Self>) -> Outcome {
        let running = self.running.lock().await.take();
        running.expect("it was started").stop().await?;
        self.diary.lock().unwrap().push("broker stopped".into());
        Ok(())
    }
}

/// As one that is below others in the program's own order.
struct Program {
    brokerage: Arc<Brokerage>,
    worker: Arc<Worker>,
}

impl Service for Program {
    fn dependencies(&self) -> Group {
        sequence![&self.brokerage, &self.worker]
    }
}

#[tokio::test]
async fn a_broker_may_be_one_service_of_a_program() {
    let (place, diary) = (Place::new(), Diary::default());
    let brokerage = Arc::new(Brokerage { place: place.clone(), diary: diary.clone(), running: Default::default() });
    let worker = Arc::new(Worker { name: "web", place, below: None, diary: diary.clone() });
    let program = Arc::new(Program { brokerage, worker });
    bursar_server::lifecycle::scope(&program, async {}).await.unwrap();
    assert_eq!(*diary.lock().unwrap(), ["broker started", "web started", "web stopped", "broker stopped"]);
}
