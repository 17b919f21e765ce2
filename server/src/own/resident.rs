//! The front of an object that the broker's own process serves: a call of a quick method is carried out right where it comes in, by whoever
//! brings it. What is behind the front is an object as all others, with this process as a provider of it, and gets all calls that are more
//! than that: of streams, of serial and of slow methods, on behalf of other calls, and whatever is refused.
//!
//! ```text
//!   Invoke ──► quick, and plain? ──no──► the object behind
//!                    │
//!                    └──► polled once ──(done)──► answered
//!                              └──(not done)──► a task ──► answered
//!                                                 └──(cancelled, out of time, session or object gone)──► dropped
//! ```
//!
//! Such a call is in no journal and has no number: it ends with this process.

use super::Residents;
use crate::{
    clock::Clock,
    objects::{
        core::{CallId, Fence},
        host::{Entered, Hosted, Inbox, Ticket},
        kind::{Departure, Moment, SessionId, Wire},
        object::{self, Object, read_failure},
    },
};
use bursar::{
    Raw,
    object::{
        Service,
        errand::{Errand, Paces},
        link::{Link, handle_in},
    },
};
use bursar_proto::{
    Command, Fault, Name, Wait,
    v1::{answer::Reply, object as pb, registry},
};
use futures_util::future::{AbortHandle, Abortable};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What an object is made of that has a front.
pub struct Behind {
    pub host: Arc<dyn Hosted>,
    pub service: Arc<dyn Service>,
    pub link: Arc<dyn Link>,
    pub paces: Paces,
    /// Where calls run that are not done at once.
    pub tasks: TaskTracker,
    /// The broker is gone, and they with it.
    pub gone: CancellationToken,
    /// Gives the moment after which a call is out of time.
    pub clock: Clock,
    /// Of a factory: what its results are handles of. One that its caller never got is closed for it.
    pub made: Option<Residents>,
}

/// See the [module](self).
pub struct Resident {
    this: Weak<Resident>,
    behind: Behind,
    /// Those that may be carried out here, by name.
    methods: HashMap<String, Plain>,
    options: pb::Options,
    /// Calls that are not done yet. Short sections, in which nothing else is called.
    running: Mutex<HashMap<CallId, Begun>>,
    /// How many these are, and the bytes of their arguments.
    count: AtomicU64,
    bytes: AtomicU64,
    /// All since the beginning.
    calls: AtomicU64,
    is_stopped: AtomicBool,
}

/// What is to be said in a call of a method.
struct Plain {
    known: Vec<String>,
    required: Vec<String>,
}

struct Begun {
    ticket: Ticket,
    abort: AbortHandle,
    bytes: u64,
}

impl Resident {
    pub fn new(behind: Behind) -> Arc<Resident> {
        let options = match behind.host.options().kind {
            Some(registry::options::Kind::Object(options)) => options,
            _ => unreachable!("a resident is an object"),
        };
        let methods = behind.service.description().methods.into_iter();
        let plain = methods.filter(|method| !method.serial && !method.stream && !options.serial);
        let methods = plain.map(|method| (method.name, Plain::of(&method.parameters))).collect();
        Arc::new_cyclic(|this| Resident {
            this: this.clone(),
            behind,
            methods,
            options,
            running: Mutex::default(),
            count: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
        })
    }

    /// Whether it is carried out here. What is wrong with it in any way is not: the object behind says what.
    fn takes(&self, request: &pb::InvokeRequest, bytes: u64) -> bool {
        let pb::Options { max_calls, max_bytes, max_calls_per_session, serial: _, kind: _ } = &self.options;
        let payload_bytes_max = self.behind.link.payload_bytes_max();
        let fits =
            |argument: &pb::Argument| argument.value.as_ref().is_some_and(|value| value.data.len() as u64 <= payload_bytes_max);
        request.chain.is_empty()
            && self.methods.get(&request.method).is_some_and(|method| method.fits(&request.arguments))
            && request.arguments.iter().all(fits)
            && !self.behind.paces.is_slow(&request.method)
            && self.count.load(Ordering::Relaxed) < *max_calls.min(max_calls_per_session)
            && self.bytes.load(Ordering::Relaxed).saturating_add(bytes) <= *max_bytes
            && !self.is_stopped.load(Ordering::SeqCst)
    }

    fn carry_out(&self, ticket: Ticket, request: pb::InvokeRequest, bytes: u64, wait: Wait) {
        if ticket.inbox.has_ended() {
            return ticket.answer(Err(ended()));
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Behind { service, link, paces, .. } = &self.behind;
        let mut errand = Errand::new(service, link, paces, self.given(ticket.call.session, request, wait));
        match (errand.look(), wait) {
            (Poll::Ready(outcome), _) => ticket.answer(self.reply(outcome)),
            (Poll::Pending, Wait::Never) => {
                drop(errand);
                ticket.answer(Err(Fault::Unanswered {}));
            }
            (Poll::Pending, Wait::For(wait)) => self.go_on(ticket, errand, bytes, Some(wait)),
            (Poll::Pending, Wait::Forever) => self.go_on(ticket, errand, bytes, None),
        }
    }

    fn given(&self, session: SessionId, request: pb::InvokeRequest, wait: Wait) -> pb::Given {
        let pb::InvokeRequest { object, method, arguments, .. } = request;
        // No call of the object has this number: nobody can wait for the turn of this one.
        let (call, epoch) = (0, self.behind.host.epoch());
        let own = pb::Link { object: object.unwrap_or_default().name, epoch, call, method: method.clone() };
        let (session, left_ms) = (session.0, wait.to_ms());
        pb::Given { call, method, arguments, session, left_ms, chain: vec![own], again: false, stream: false }
    }

    fn go_on(&self, ticket: Ticket, errand: Errand, bytes: u64, wait: Option<Duration>) {
        let call = ticket.call;
        let (abort, registration) = AbortHandle::new_pair();
        {
            let mut running = self.running.lock();
            // Under the lock: whoever ends these sets it first, and looks at what runs after.
            let fault = match () {
                () if ticket.inbox.has_ended() => Some(ended()),
                () if self.is_stopped.load(Ordering::SeqCst) => Some(self.gone()),
                () => None,
            };
            if let Some(fault) = fault {
                drop(running);
                drop(errand);
                return ticket.answer(Err(fault));
            }
            self.count.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            running.insert(call, Begun { ticket, abort, bytes });
        }
        let Behind { tasks, clock, gone, .. } = &self.behind;
        let (this, clock, gone) = (self.this.clone(), clock.clone(), gone.clone());
        tasks.spawn(async move {
            let result = until_done(Abortable::new(errand, registration), wait, &clock, &gone).await;
            // The method is gone by now: only then is its caller told.
            if let Some(resident) = this.upgrade() {
                resident.settle(call, result);
            }
        });
    }

    /// It does not run any more, and is still to be answered.
    fn remove(&self, call: CallId) -> Option<Begun> {
        let begun = self.running.lock().remove(&call)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(begun.bytes, Ordering::Relaxed);
        Some(begun)
    }

    /// Nothing happens if it was taken away.
    fn settle(&self, call: CallId, outcome: Option<pb::outcome::Outcome>) {
        if let Some(Begun { ticket, .. }) = self.remove(call) {
            ticket.answer(outcome.map_or(Err(Fault::Unanswered {}), |outcome| self.reply(outcome)));
        }
    }

    /// False: it is not here.
    fn end(&self, call: CallId, fault: Fault) -> bool {
        let Some(Begun { ticket, abort, bytes: _ }) = self.remove(call) else { return false };
        abort.abort();
        ticket.answer(Err(fault));
        true
    }

    fn end_all(&self, is_one: impl Fn(SessionId) -> bool, fault: &Fault) {
        let calls: Vec<CallId> = self.running.lock().keys().copied().filter(|call| is_one(call.session)).collect();
        calls.into_iter().for_each(|call| _ = self.end(call, fault.clone()));
    }

    fn reply(&self, outcome: pb::outcome::Outcome) -> Result<Reply, Fault> {
        use pb::outcome::Outcome;
        match outcome {
            Outcome::Result(value) => {
                let outcome = Some(pb::invoke_reply::Outcome::Result(value));
                let verb = Some(pb::reply::Verb::Invoke(pb::InvokeReply { outcome }));
                Ok(Reply::Object(pb::Reply { verb }))
            }
            Outcome::Failure(failure) => {
                let bytes_max = usize::try_from(self.behind.link.payload_bytes_max()).unwrap_or(usize::MAX);
                let failure = read_failure(failure, bytes_max)?;
                Ok(Object::reply(object::Reply::Invoke(object::Outcome::Failure(failure))))
            }
            Outcome::TooLarge(pb::TooLarge { size }) => {
                Err(Fault::ResultTooLarge { size, limit: self.behind.link.payload_bytes_max() })
            }
            // The one provider that there certainly is.
            Outcome::NotBegun(_) | Outcome::Ended(_) => Err(Fault::NoProvider {}),
        }
    }

    fn gone(&self) -> Fault {
        Fault::Gone { name: self.name().to_string(), old_epoch: self.epoch(), new_epoch: 0 }
    }
}

/// Name and epoch of the object that a call gave a handle of.
fn handle_of(reply: &Reply) -> Option<(String, u64)> {
    use pb::{invoke_reply::Outcome, reply::Verb};
    let Reply::Object(pb::Reply { verb: Some(Verb::Invoke(pb::InvokeReply { outcome: Some(Outcome::Result(value)) })) }) = reply
    else {
        return None;
    };
    handle_in(Raw { data: value.data.clone(), codec: value.codec })
}

fn ended() -> Fault {
    Fault::SessionEnded { reason: "while the call ran".into() }
}

/// The outcome of a method; `None`: it was dropped, as it was taken away or out of time.
async fn until_done(
    errand: Abortable<Errand>,
    wait: Option<Duration>,
    clock: &Clock,
    gone: &CancellationToken,
) -> Option<pb::outcome::Outcome> {
    let overdue = async {
        match wait {
            Some(wait) => clock.sleep(wait).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        outcome = errand => outcome.ok(),
        () = overdue => None,
        () = gone.cancelled() => None,
    }
}

impl Plain {
    fn of(parameters: &[pb::Parameter]) -> Plain {
        let is_required = |parameter: &&pb::Parameter| !parameter.optional && parameter.default.is_empty();
        let name = |parameter: &pb::Parameter| parameter.name.clone();
        Plain {
            known: parameters.iter().map(name).collect(),
            required: parameters.iter().filter(is_required).map(name).collect(),
        }
    }

    /// All that is known, each once, and nothing is missing.
    fn fits(&self, arguments: &[pb::Argument]) -> bool {
        let is_said = |name: &String| arguments.iter().any(|argument| argument.name == *name);
        let is_twice = |(at, argument): (usize, &pb::Argument)| arguments[..at].iter().any(|other| other.name == argument.name);
        arguments.len() <= self.known.len()
            && arguments.iter().all(|argument| self.known.contains(&argument.name))
            && !arguments.iter().enumerate().any(is_twice)
            && self.required.iter().all(is_said)
    }
}

impl Hosted for Resident {
    fn name(&self) -> &Name {
        self.behind.host.name()
    }

    fn epoch(&self) -> u64 {
        self.behind.host.epoch()
    }

    fn kind(&self) -> &'static str {
        self.behind.host.kind()
    }

    fn options(&self) -> registry::Options {
        self.behind.host.options()
    }

    fn figures(&self) -> (u64, Vec<(&'static str, u64)>) {
        let (waiting, figures) = self.behind.host.figures();
        let running = self.count.load(Ordering::Relaxed);
        let own = |name| match name {
            "running" => running,
            "calls" => self.calls.load(Ordering::Relaxed),
            "bytes" => self.bytes.load(Ordering::Relaxed),
            _ => 0,
        };
        (waiting + running, figures.into_iter().map(|(name, figure)| (name, figure + own(name))).collect())
    }

    fn violation(&self) -> Option<String> {
        self.behind.host.violation()
    }

    fn call(&self, ticket: Ticket, command: Command, wait: Wait, fence: Option<Fence>) {
        match command {
            Command::Object(pb::command::Verb::Invoke(request)) => {
                let size =
                    |argument: &pb::Argument| argument.name.len() + argument.value.as_ref().map_or(0, |value| value.data.len());
                let bytes = request.arguments.iter().map(size).sum::<usize>() as u64;
                match self.takes(&request, bytes) {
                    true => self.carry_out(ticket, request, bytes, wait),
                    false => {
                        let command = Command::Object(pb::command::Verb::Invoke(request));
                        self.behind.host.call(ticket, command, wait, fence);
                    }
                }
            }
            Command::Object(pb::command::Verb::Describe(_)) => {
                let (running, calls) = (self.count.load(Ordering::Relaxed), self.calls.load(Ordering::Relaxed));
                let inbox = Arc::new(Adding { inbox: ticket.inbox, running, calls });
                self.behind.host.call(Ticket { call: ticket.call, inbox }, command, wait, fence);
            }
            command => self.behind.host.call(ticket, command, wait, fence),
        }
    }

    fn exclusive(&self) -> Option<Arc<AtomicU64>> {
        self.behind.host.exclusive()
    }

    fn enter(&self, now: Moment) -> Box<dyn Entered + '_> {
        self.behind.host.enter(now)
    }

    fn cancel(&self, call: CallId) -> bool {
        self.end(call, Fault::Cancelled {}) || self.behind.host.cancel(call)
    }

    fn unheard(&self, caller: SessionId, reply: Reply) {
        if let (Some(residents), Some(made)) = (&self.behind.made, handle_of(&reply)) {
            residents.close_for(caller, made);
        }
        self.behind.host.unheard(caller, reply);
    }

    fn held(&self, session: SessionId) -> Option<String> {
        self.behind.host.held(session)
    }

    fn depart(&self, session: SessionId, how: Departure, why: &str) {
        self.end_all(|caller| caller == session, &ended());
        self.behind.host.depart(session, how, why);
    }

    fn wake(&self) {
        self.behind.host.wake();
    }

    /// What runs here is not sent away, as what a provider has is not.
    fn dismiss(&self, fault: &Fault) {
        self.behind.host.dismiss(fault);
    }

    fn stop(&self, fault: Fault) -> (u64, Box<dyn FnOnce()>) {
        self.is_stopped.store(true, Ordering::SeqCst);
        let (last_token, deliver) = self.behind.host.stop(fault.clone());
        let resident = self.this.upgrade().expect("whoever calls this has it");
        let deliver = move || {
            resident.end_all(|_| true, &fault);
            deliver();
        };
        (last_token, Box::new(deliver))
    }
}

/// Adds what the front knows to what the object behind it says of itself.
struct Adding {
    inbox: Arc<dyn Inbox>,
    running: u64,
    calls: u64,
}

impl Inbox for Adding {
    fn deliver(&self, sequence: u64, mut result: Result<Reply, Fault>) {
        if let Ok(Reply::Object(pb::Reply { verb: Some(pb::reply::Verb::Describe(described)) })) = &mut result {
            described.running += self.running;
            described.calls += self.calls;
        }
        self.inbox.deliver(sequence, result);
    }

    fn has_ended(&self) -> bool {
        self.inbox.has_ended()
    }
}
