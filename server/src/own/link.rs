//! How an object that is served from within the broker reaches it: through the door, as a session does, without a transport, without
//! bytes, and without a task in between.

use crate::objects::{
    core::CallId,
    door::Door,
    host::{Hosted, Inbox, Ticket},
    kind::SessionId,
};
use bursar::{Error, Manager, Refusal, Result, object::link::Link};
use bursar_proto::{
    Command, Fault, Wait,
    v1::{answer::Reply, object as pb},
};
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// As whom the broker serves. It never ends, and no session has this number.
pub const BROKER: SessionId = SessionId(0);

/// What all objects within one broker share.
pub struct Inside {
    /// The objects are behind it, and have this: they go with the broker.
    door: Weak<Door>,
    payload_bytes_max: u64,
    /// Of the next call of a provider.
    sequence: AtomicU64,
    /// A session of the broker at itself, for handles among the arguments of calls.
    manager: OnceLock<Manager>,
}

/// One object within the broker.
pub struct Indoors {
    inside: Arc<Inside>,
    host: Arc<dyn Hosted>,
}

impl Inside {
    pub fn new(door: &Arc<Door>) -> Inside {
        let payload_bytes_max = door.registry().world().payload_bytes_max as u64;
        Inside { door: Arc::downgrade(door), payload_bytes_max, sequence: AtomicU64::new(0), manager: OnceLock::new() }
    }

    /// Fault: the broker has stopped.
    pub fn door(&self) -> Result<Arc<Door>, Fault> {
        self.door.upgrade().ok_or(Fault::ShuttingDown {})
    }

    /// From now on handles are read by this session.
    pub fn read_handles_by(&self, manager: Manager) {
        // There is one in a broker's life.
        let _ = self.manager.set(manager);
    }

    pub fn manager(&self) -> Option<&Manager> {
        self.manager.get()
    }
}

impl Indoors {
    pub fn new(inside: Arc<Inside>, host: Arc<dyn Hosted>) -> Indoors {
        Indoors { inside, host }
    }

    fn call(&self, inbox: Arc<dyn Inbox>, verb: pb::command::Verb, wait: Wait) -> CallId {
        let call = CallId { session: BROKER, sequence: self.inside.sequence.fetch_add(1, Ordering::Relaxed) };
        match self.inside.door() {
            Ok(door) => door.call(&*self.host, Ticket { call, inbox }, Command::Object(verb), wait, None),
            Err(fault) => inbox.deliver(call.sequence, Err(fault)),
        }
        call
    }

    /// Nobody waits for the answer.
    fn tell(&self, verb: pb::command::Verb) {
        self.call(Arc::new(Nobody), verb, Wait::Never);
    }

    fn ask(&self, verb: pb::command::Verb, wait: Wait) -> Asked {
        let slot = Arc::new(Slot { host: self.host.clone(), state: Mutex::default() });
        let call = self.call(slot.clone(), verb, wait);
        Asked { slot, call }
    }

    /// Its reply, of which `read` knows the verb.
    fn exchange<T: Send + 'static>(
        &self,
        verb: pb::command::Verb,
        wait: Wait,
        name: &'static str,
        read: fn(pb::reply::Verb) -> Option<T>,
    ) -> BoxFuture<'static, Result<T>> {
        let (asked, host) = (self.ask(verb, wait), self.host.clone());
        let read = move |result| match result {
            Ok(Reply::Object(pb::Reply { verb: Some(verb) })) => Ok(read(verb).expect("a verb is answered by its reply")),
            Ok(_) => unreachable!("an object answers as objects do"),
            Err(fault) => Err(Error::from(Box::new(Refusal { fault, call: name, object: host.name().to_string() }))),
        };
        asked.map(read).boxed()
    }
}

fn wait(wait_ms: i64) -> Wait {
    Wait::from_ms(wait_ms).expect("the SDK's waits make sense")
}

/// The reply of one verb.
macro_rules! reply {
    ($verb:ident) => {
        |verb| match verb {
            pb::reply::Verb::$verb(reply) => Some(reply),
            _ => None,
        }
    };
}

impl Link for Indoors {
    fn provide(&self, request: pb::ProvideRequest) -> BoxFuture<'static, Result<pb::ProvideReply>> {
        self.exchange(pb::command::Verb::Provide(request), Wait::Never, "object.provide", reply!(Provide))
    }

    fn take(&self, request: pb::TakeRequest) -> BoxFuture<'static, Result<pb::TakeReply>> {
        let wait = wait(request.wait_ms);
        self.exchange(pb::command::Verb::Take(request), wait, "object.take", reply!(Take))
    }

    fn give(&self, request: pb::GiveRequest) {
        self.tell(pb::command::Verb::Give(request));
    }

    fn r#yield(&self, request: pb::YieldRequest) -> BoxFuture<'static, Result<pb::YieldReply>> {
        let wait = wait(request.wait_ms);
        self.exchange(pb::command::Verb::Yield(request), wait, "object.yield", reply!(Yield))
    }

    fn withdraw(&self, request: pb::WithdrawRequest) -> BoxFuture<'static, Result<pb::WithdrawReply>> {
        self.exchange(pb::command::Verb::Withdraw(request), Wait::Never, "object.withdraw", reply!(Withdraw))
    }

    fn leave(&self, request: pb::WithdrawRequest) {
        self.tell(pb::command::Verb::Withdraw(request));
    }

    fn payload_bytes_max(&self) -> u64 {
        self.inside.payload_bytes_max
    }

    fn manager(&self) -> Option<&Manager> {
        self.inside.manager()
    }

    fn name(&self) -> &str {
        self.host.name().as_str()
    }
}

/// Where answers go that nobody waits for.
struct Nobody;

impl Inbox for Nobody {
    fn deliver(&self, _sequence: u64, result: std::result::Result<Reply, Fault>) {
        if let Err(fault) = result {
            tracing::debug!(%fault, "an object within the broker told something too late");
        }
    }

    fn has_ended(&self) -> bool {
        false
    }
}

/// Where the answer of one call goes.
struct Slot {
    host: Arc<dyn Hosted>,
    /// Short sections; nothing is called in them.
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    New,
    Waiting(Waker),
    Answered(std::result::Result<Reply, Fault>),
    /// Whoever asked is gone, or has its answer.
    Over,
}

impl Inbox for Slot {
    fn deliver(&self, _sequence: u64, result: std::result::Result<Reply, Fault>) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Over => {
                drop(state);
                self.unhear(result);
            }
            State::Waiting(waker) => {
                *state = State::Answered(result);
                drop(state);
                waker.wake();
            }
            State::New | State::Answered(_) => *state = State::Answered(result),
        }
    }

    fn has_ended(&self) -> bool {
        false
    }
}

impl Slot {
    fn unhear(&self, result: std::result::Result<Reply, Fault>) {
        if let Ok(reply) = result {
            self.host.unheard(BROKER, reply);
        }
    }
}

/// A call of a provider. Dropping it takes the call back, and what its answer gave.
struct Asked {
    slot: Arc<Slot>,
    call: CallId,
}

impl Future for Asked {
    type Output = std::result::Result<Reply, Fault>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.state.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Answered(result) => Poll::Ready(result),
            State::New | State::Waiting(_) => {
                *state = State::Waiting(context.waker().clone());
                Poll::Pending
            }
            State::Over => unreachable!("an answer is given once"),
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *self.slot.state.lock(), State::Over);
        match state {
            State::Over => {}
            State::Answered(result) => self.slot.unhear(result),
            State::New | State::Waiting(_) => _ = self.slot.host.cancel(self.call),
        }
    }
}
