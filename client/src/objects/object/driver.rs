//! What brings calls to a service, and outcomes back to the broker.
//!
//! ```text
//!   Take ──► polled once right here ──(done)──────────────────────┐
//!                │                                                ├──► Give
//!                └──(not done)──► a job of its own ──(done)───────┘
//!                                     └──(cancelled: dropped)─────┘
//! ```
//!
//! One Take is always under way, also when nothing is free: cancellations come by it. What is done at once goes with the next Take. What is
//! done later is told by a Give and not awaited: the number of outcomes is bounded by the capacity, since the broker gives no more calls than
//! that before it has their outcomes.

use super::{
    Answer, Arguments, Call, Failed, Items, Service, attempt::Attempt, context::Context, crew::Crew, errand::Paces, link::Link,
    service::value, wire,
};
use crate::{Error, Fault, Result, objects::chunk::Chunk};
use futures_util::future::{AbortHandle, AbortRegistration, Abortable, BoxFuture, Either, select};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot};

/// What the broker allows for the name of an error's type.
const KIND_BYTES_MAX: usize = 200;
/// Calls of one Take, whatever the capacity.
const TAKE_MAX: u32 = bursar_proto::limits::BATCH_MAX as u32;

/// One provider.
pub(super) struct Driver {
    service: Arc<dyn Service>,
    desk: Arc<Desk>,
    crew: Crew,
    max: u32,
    paces: Paces,
}

/// What the driver shares with the jobs that it started.
struct Desk {
    link: Arc<dyn Link>,
    provider: u64,
    /// Calls with a job of their own. Never locked across an await.
    running: Mutex<HashMap<u64, Job>>,
    next_job: AtomicU64,
    /// Told when none of them is left.
    idle: Notify,
}

/// What a call is carried out by. The same call may come again, once it was given back, before its first job is quite over.
struct Job {
    number: u64,
    handle: AbortHandle,
}

/// How a serving is asked to end; a sender that is dropped asks for the end at once.
#[derive(Debug)]
pub(super) struct Stop;

impl Driver {
    pub fn new(service: Arc<dyn Service>, link: Arc<dyn Link>, provider: u64, capacity: u32, crew: Crew, paces: Paces) -> Driver {
        let desk = Desk { link, provider, running: Mutex::default(), next_job: AtomicU64::new(1), idle: Notify::new() };
        Driver { service, desk: Arc::new(desk), crew, max: capacity.clamp(1, TAKE_MAX), paces }
    }

    /// Until it is asked to stop, or the object or the session is gone.
    pub async fn run(self, mut stop: oneshot::Receiver<Stop>) -> Result<()> {
        let mut outcomes = Vec::new();
        let ended = loop {
            let take = self.desk.link.take(self.desk.asking(self.max, outcomes.clone()));
            // The Take first: when it is told to stop, it has asked.
            match select(take, &mut stop).await {
                Either::Left((Ok(reply), _)) => outcomes = self.begin_all(reply),
                Either::Left((Err(error), _)) if is_leaving(&error) => break Some(Err(error)),
                Either::Left((Err(error), _)) => return Err(error),
                Either::Right((Ok(Stop), take)) => break Some(self.take_last(take).await),
                Either::Right((Err(_), _)) => break None,
            }
        };
        // The Take may have been refused, or taken back before it left. What was given already is not wanted a second time.
        self.desk.give(outcomes);
        let Some(ended) = ended else { return Ok(()) };
        self.desk.drain().await;
        let withdrawn = self.desk.link.withdraw(self.desk.withdrawal()).await;
        ended.and(withdrawn.map(drop))
    }

    /// Asks for no more calls, and begins those that the last Take brings. Were it taken back instead, they could be under way while the
    /// provider withdraws, and be taken for begun.
    async fn take_last(&self, mut take: BoxFuture<'static, Result<wire::TakeReply>>) -> Result<()> {
        loop {
            match select(take, self.desk.link.take(self.desk.only_cancelled())).await {
                Either::Left((Ok(reply), _)) => {
                    let outcomes = self.begin_all(reply);
                    self.desk.give(outcomes);
                    return Ok(());
                }
                Either::Left((Err(error), _)) if matches!(error.fault(), Some(Fault::TimedOut { .. })) => return Ok(()),
                Either::Left((Err(error), _)) | Either::Right((Err(error), _)) => return Err(error),
                Either::Right((Ok(reply), last)) => {
                    self.desk.cancel(&reply.cancelled);
                    take = last;
                }
            }
        }
    }

    /// The outcomes that are there at once, as many as the next Take carries.
    fn begin_all(&self, wire::TakeReply { provider: _, calls, cancelled }: wire::TakeReply) -> Vec<wire::Outcome> {
        self.desk.cancel(&cancelled);
        let mut outcomes = calls.into_iter().filter_map(|given| self.begin(given)).map(Ok::<_, Infallible>);
        let mut next = None;
        let Ok(first) = Chunk::fill(&mut next, &mut outcomes);
        self.desk.give(next.into_iter().chain(outcomes.flatten()).collect());
        first
    }

    /// The outcome, if it is there at once.
    fn begin(&self, given: wire::Given) -> Option<wire::Outcome> {
        let wire::Given { call, method, arguments, session, left_ms, chain, again, stream } = given;
        let pace = self.paces.get(&method).cloned();
        let may_look = self.crew.may_look() && !pace.as_ref().is_some_and(|pace| pace.is_slow());
        let deadline = u64::try_from(left_ms).ok().and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
        let arguments = Arguments::new(arguments, self.desk.link.manager().cloned());
        let items = Items::new(self.desk.link.clone(), self.desk.provider, call);
        let begun = Call { method, arguments, items, is_stream: stream, session, deadline, again };
        let mut attempt = Attempt::new(self.service.clone(), begun, Context::new(chain, deadline), pace);
        if may_look && let Poll::Ready(answer) = attempt.look() {
            return Some(self.desk.outcome(call, stream, answer));
        }
        let (handle, registration) = AbortHandle::new_pair();
        let number = self.desk.next_job.fetch_add(1, Ordering::Relaxed);
        self.desk.running.lock().insert(call, Job { number, handle });
        let owed = Owed { desk: self.desk.clone(), call, number, is_stream: stream, is_settled: false };
        self.crew.spawn(owed.carry_out(attempt, registration));
        None
    }
}

/// The broker gives no more calls, and waits for the outcomes of those that run.
fn is_leaving(error: &Error) -> bool {
    matches!(error.fault(), Some(Fault::ShuttingDown {}))
}

impl Drop for Driver {
    /// Whatever ended it: nothing runs any more for which nobody waits.
    fn drop(&mut self) {
        self.desk.link.leave(self.desk.withdrawal());
        self.desk.running.lock().values().for_each(|job| job.handle.abort());
        self.crew.end();
    }
}

impl Desk {
    fn withdrawal(&self) -> wire::WithdrawRequest {
        wire::WithdrawRequest { object: None, provider: self.provider }
    }

    fn asking(&self, max: u32, outcomes: Vec<wire::Outcome>) -> wire::TakeRequest {
        wire::TakeRequest { object: None, wait_ms: -1, provider: self.provider, max, outcomes, only_cancelled: false }
    }

    fn only_cancelled(&self) -> wire::TakeRequest {
        wire::TakeRequest { only_cancelled: true, ..self.asking(0, Vec::new()) }
    }

    /// One that is not there was answered meanwhile.
    fn cancel(&self, calls: &[u64]) {
        let running = self.running.lock();
        calls.iter().filter_map(|call| running.get(call)).for_each(|job| job.handle.abort());
    }

    /// Waits until no job is left; what nobody wants any more ends meanwhile.
    async fn drain(&self) {
        let mut drained = pin!(self.drained());
        loop {
            match select(drained.as_mut(), self.link.take(self.only_cancelled())).await {
                Either::Left(_) => return,
                Either::Right((Ok(reply), _)) => self.cancel(&reply.cancelled),
                // The broker stops, too, or is gone: then nobody says what is wanted.
                Either::Right((Err(_), _)) => return drained.await,
            }
        }
    }

    /// Waits until no job is left.
    async fn drained(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.running.lock().is_empty() {
                return;
            }
            idle.await;
        }
    }

    fn outcome(&self, call: u64, is_stream: bool, answer: Answer) -> wire::Outcome {
        wire::Outcome { call, outcome: Some(outcome(answer, is_stream, self.link.payload_bytes_max())) }
    }

    /// In as few requests as frames would take.
    fn give(&self, outcomes: Vec<wire::Outcome>) {
        let (mut next, mut outcomes) = (None, outcomes.into_iter().map(Ok::<_, Infallible>));
        loop {
            let Ok(outcomes) = Chunk::fill(&mut next, &mut outcomes);
            if outcomes.is_empty() {
                return;
            }
            self.link.give(wire::GiveRequest { object: None, provider: self.provider, outcomes });
        }
    }
}

/// As the broker takes it: whatever does not fit the method would be refused, and with it all that is given at the same time.
pub(super) fn outcome(answer: Answer, is_stream: bool, payload_bytes_max: u64) -> wire::outcome::Outcome {
    use wire::outcome::Outcome;
    match answer {
        Answer::Result(raw) if !is_stream => match raw.data.len() as u64 {
            size if size > payload_bytes_max => Outcome::TooLarge(wire::TooLarge { size }),
            _ => Outcome::Result(value(raw)),
        },
        Answer::Ended if is_stream => Outcome::Ended(wire::Ended {}),
        Answer::NotBegun if !is_stream => Outcome::NotBegun(wire::NotBegun {}),
        Answer::Failed(failed) => Outcome::Failure(failure(failed)),
        Answer::Result(_) => Outcome::Failure(unfit("one result, and the method is a stream")),
        Answer::Ended => Outcome::Failure(unfit("items, and the method is no stream")),
        Answer::NotBegun => Outcome::Failure(unfit("nothing: a stream cannot be given back")),
    }
}

fn unfit(gave: &str) -> wire::Failure {
    failure(Failed::new(Failed::METHOD, format!("the provider gave {gave}")))
}

fn failure(Failed { mut kind, message, value: error }: Failed) -> wire::Failure {
    while kind.len() > KIND_BYTES_MAX {
        kind.pop();
    }
    wire::Failure { r#type: kind, message, value: error.map(value) }
}

/// A call whose outcome has to be given once, whatever becomes of its job.
struct Owed {
    desk: Arc<Desk>,
    call: u64,
    /// Of its job.
    number: u64,
    is_stream: bool,
    is_settled: bool,
}

impl Owed {
    async fn carry_out(mut self, attempt: Attempt, registration: AbortRegistration) {
        // At the end of this statement the method is gone: only then may another one run in its place.
        let answer = Abortable::new(attempt, registration).await;
        self.settle(answer.unwrap_or_else(|_| stopped()));
    }

    /// It runs until its outcome was given: whoever waits for the last one withdraws next.
    fn settle(&mut self, answer: Answer) {
        self.is_settled = true;
        self.desk.give(vec![self.desk.outcome(self.call, self.is_stream, answer)]);
        let is_last = {
            let mut running = self.desk.running.lock();
            if running.get(&self.call).is_some_and(|job| job.number == self.number) {
                running.remove(&self.call);
            }
            running.is_empty()
        };
        if is_last {
            self.desk.idle.notify_waiters();
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if !self.is_settled {
            self.settle(stopped());
        }
    }
}

fn stopped() -> Answer {
    Answer::Failed(Failed::new(Failed::STOPPED, "the call was cancelled, or its provider has stopped"))
}
