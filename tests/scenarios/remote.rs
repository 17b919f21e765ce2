//! Scenarios on a broker in this process, through a client. Time is real here.
//!
//! That a call waits is read off the broker, which counts those who stand in line, and never off a clock. The looking is done by a
//! session of its own.

use super::{
    play::{CallNumber, Driver},
    script::{Call, Outcome},
    sdk,
};
use crate::harness::PATIENCE;
use bursar::Manager;
use bursar_server::testing::TestBroker;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, task::JoinHandle};

/// How clients reach the broker.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    Unix,
    Tcp,
    Memory,
}

/// What one session of a script is for a client.
pub trait Seat: Sized + Send + Sync + 'static {
    /// What failures call the client.
    const NAME: &'static str;
    /// What it has of what scenarios need.
    const HAS: &'static [&'static str];
    /// A new session.
    fn take(transport: Transport, broker: &TestBroker) -> impl Future<Output = Self>;
    /// The broker's number for it.
    fn session_id(&self) -> u64;
    /// Makes one call. Dropping the future takes the call back.
    fn perform(self: Arc<Self>, errand: Errand) -> impl Future<Output = Outcome> + Send;
    /// Ends the session; waiting calls are then `lost`.
    fn leave(&self, broker: &TestBroker) -> impl Future<Output = ()>;
}

/// A call on its way.
pub struct Errand {
    pub call: Call,
    /// The letters of the sessions, by the broker's numbers.
    pub letters: BTreeMap<u64, String>,
    pub number: CallNumber,
}

pub struct Remote<S> {
    transport: Transport,
    seats: BTreeMap<String, Arc<S>>,
    /// Calls that are not answered yet.
    calls: HashMap<CallNumber, Running>,
    /// Looks at the broker, and takes no part.
    observer: Manager,
    runtime: Runtime,
    broker: TestBroker,
}

struct Running {
    object: String,
    task: JoinHandle<Outcome>,
}

impl<S: Seat> Remote<S> {
    pub fn new(transport: Transport) -> Remote<S> {
        let broker = TestBroker::start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
        let observer = runtime.block_on(sdk::connect(transport, &broker));
        Remote { transport, seats: BTreeMap::new(), calls: HashMap::new(), observer, runtime, broker }
    }

    fn seat(&mut self, letter: &str) -> Arc<S> {
        let seat = self.seats.entry(letter.to_owned());
        seat.or_insert_with(|| Arc::new(self.runtime.block_on(S::take(self.transport, &self.broker)))).clone()
    }

    /// Until as many calls stand in line at the broker as are not answered here.
    async fn settled(&self, object: &str, is_over: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_over() {
            // In this order: a call that has not arrived yet is counted here and not there, and none is counted there only.
            let unanswered = self.calls.values().filter(|call| call.object == object && !call.task.is_finished()).count();
            match self.observer.objects().describe(object).await {
                Ok(described) if described.waiting == unanswered as u64 => return,
                Err(_) if unanswered == 0 => return,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            assert!(start.elapsed() < PATIENCE, "{unanswered} calls of {object} are not answered, and do not all stand in line");
        }
    }

    /// Ends a session, and waits until the broker has given back what it held.
    async fn leave(&self, seat: &S) {
        seat.leave(&self.broker).await;
        let start = Instant::now();
        loop {
            let status = self.observer.status().await.expect("the broker is there");
            if !status.sessions.iter().any(|session| session.id == seat.session_id()) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "a session does not end");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl<S: Seat> Driver for Remote<S> {
    fn name(&self) -> String {
        format!("{} over {:?}", S::NAME, self.transport)
    }

    fn has(&self, need: &str) -> bool {
        S::HAS.contains(&need)
    }

    fn begin(&mut self, number: CallNumber, call: &Call) -> Result<(), String> {
        let seat = self.seat(&call.session);
        let letters = self.seats.iter().map(|(letter, seat)| (seat.session_id(), letter.clone())).collect();
        let task = self.runtime.spawn(seat.perform(Errand { call: call.clone(), letters, number }));
        self.calls.insert(number, Running { object: call.object.clone(), task });
        Ok(())
    }

    fn answer(&mut self, number: CallNumber) -> Outcome {
        let Running { task, .. } = self.calls.remove(&number).expect("a call is answered once");
        let abort = task.abort_handle();
        match self.runtime.block_on(async { tokio::time::timeout(PATIENCE, task).await }) {
            Ok(outcome) => outcome.unwrap_or_else(|error| panic!("a call ended without an outcome: {error}")),
            Err(_) => {
                abort.abort();
                Outcome::word("waits")
            }
        }
    }

    fn waits(&mut self, number: CallNumber) -> Result<(), Outcome> {
        let Running { object, task } = &self.calls[&number];
        self.runtime.block_on(self.settled(object, || task.is_finished()));
        if task.is_finished() { Err(self.answer(number)) } else { Ok(()) }
    }

    fn cancel(&mut self, number: CallNumber) {
        let Running { object, task } = self.calls.remove(&number).expect("the call waits");
        task.abort();
        self.runtime.block_on(async {
            let outcome = task.await;
            assert!(outcome.is_err_and(|error| error.is_cancelled()), "the call waited");
            self.settled(&object, || false).await;
        });
    }

    fn end(&mut self, session: &str, calls: &[CallNumber]) {
        let Some(seat) = self.seats.remove(session) else { return };
        self.runtime.block_on(self.leave(&seat));
        for number in calls {
            assert_eq!(self.answer(*number), Outcome::word("lost"), "what a waiting call is told when its session ends");
        }
    }

    fn miss(&mut self, _session: &str, _lease: &str) -> Result<(), String> {
        Err("  no answer is lost here: what does the scenario need?".into())
    }

    fn pass(&mut self, ms: u64) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(ms)).await });
    }

    fn violation(&mut self) -> Option<String> {
        None
    }

    fn clear(&mut self) {
        self.calls.drain().for_each(|(_, running)| running.task.abort());
        let seats = std::mem::take(&mut self.seats);
        self.runtime.block_on(async {
            for seat in seats.values() {
                self.leave(seat).await;
            }
            for object in self.observer.objects().list("").await.expect("the broker is there") {
                self.observer.objects().delete(&object.name).await.expect("nobody else deletes it");
            }
        });
    }
}
