//! The same SDK for programs without `async`: every call waits in its thread.
//!
//! The names and promises are those of the async side, one to one; the session has its own thread either way. Handles may be shared
//! by threads, and calls of several threads share frames. A call blocks its thread, so inside of an async runtime use the async side.
//!
//! ```
//! # let broker = bursar_server::testing::TestBroker::start();
//! use bursar::blocking::{Manager, Queue};
//!
//! let manager = Manager::connect(broker.address(), broker.authkey())?;
//! let queue: Queue<String> = manager.queue("jobs").open_or_create()?;
//! let worker = std::thread::spawn({
//!     let queue = queue.clone();
//!     move || queue.work(2, |job: String| if job.is_empty() { Err("nothing to do") } else { Ok(()) })
//! });
//! queue.put_many(["a", "b", "c"].map(String::from))?;
//! queue.close()?;
//! queue.join()?;
//! worker.join().unwrap()?;
//! # Ok::<(), bursar::Error>(())
//! ```

mod barrier;
mod condition;
mod counter;
mod event;
mod held;
mod kv;
mod latch;
mod lock;
mod opened;
mod queue;
mod rwlock;
mod semaphore;

pub use barrier::{Barrier, BarrierBuilder};
pub use condition::{Condition, ConditionBuilder, ConditionGuard};
pub use counter::{Counter, CounterBuilder};
pub use event::{Event, EventBuilder};
pub use kv::{Kv, KvBuilder, Watch};
pub use latch::{Latch, LatchBuilder};
pub use lock::{Lock, LockBuilder, LockGuard};
pub use queue::{Lease, Queue, QueueBuilder};
pub use rwlock::{ReadGuard, RwLock, RwLockBuilder, WriteGuard};
pub use semaphore::{Permits, Semaphore, SemaphoreBuilder};

mod channel;
mod message;
mod topic;

pub use channel::{Channel, ChannelBuilder, End, Listener, Messages};
pub use message::{Answers, Received, Replies, Subscription};
pub use topic::{DecidedTopic, Subscribe, Subscriber, Topic, TopicBuilder, TopicEvent};

mod object;
mod reference;

pub use object::{Client, Incoming, Object, ObjectBuilder, Request, Serve, Serving};

mod processes;

pub use processes::{Processes, ThisWorker};

mod array;
mod list;
mod mirror;
mod namespace;
mod on_change;
mod txn;
mod value;

pub use array::{Array, ArrayBuilder};
pub use list::{Items, List, ListBuilder};
pub use mirror::Mirror;
pub use namespace::{Namespace, NamespaceBuilder};
pub use on_change::OnChange;
pub use txn::Txn;
pub use value::Value;

use crate::{
    AuthKey, Connector, Described, Error, IntoAddress, ListFilter, Payload, Raw, Result, State, Waits, array::Number,
    channel::EndUri, object::IntoService, proto::v1,
};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// Runs a future in this thread until it is done. Enough for every future of this crate, because they await nothing but answers that
/// another thread brings.
///
/// ```
/// assert_eq!(bursar::blocking::block_on(async { 7 }), 7);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    // In a task of a tokio runtime, tokio's own types would soon ask to be polled again later, and this loop never gets out of its way.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

/// Whether an iterator ends behind this: an error, except that of a payload which cannot be read.
fn is_final<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(error) if !matches!(error, Error::Codec { .. }))
}

/// A connection to a broker, and the session that holds what this program has leased, bound and waits for:
/// [`bursar::Manager`](crate::Manager) for threads.
#[derive(Clone, Debug)]
pub struct Manager {
    inner: crate::Manager,
}

impl From<crate::Manager> for Manager {
    fn from(inner: crate::Manager) -> Manager {
        Manager { inner }
    }
}

impl Manager {
    /// See [`bursar::Manager::connect`](crate::Manager::connect).
    pub fn connect(address: impl IntoAddress, authkey: AuthKey) -> Result<Manager> {
        Ok(block_on(crate::Manager::connect(address, authkey))?.into())
    }

    /// See [`bursar::Manager::from_env`](crate::Manager::from_env).
    pub fn from_env() -> Result<Manager> {
        Ok(block_on(crate::Manager::from_env())?.into())
    }

    /// All choices of a connection.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The async side of the same session.
    pub fn as_async(&self) -> &crate::Manager {
        &self.inner
    }

    /// Names a queue; see [`bursar::Manager::queue`](crate::Manager::queue).
    pub fn queue<T: Payload>(&self, name: &str) -> QueueBuilder<T> {
        self.inner.queue(name).into()
    }

    /// Names a queue whose payloads stay bytes.
    pub fn raw_queue(&self, name: &str) -> QueueBuilder<Raw> {
        self.queue(name)
    }

    /// Names a key-value store; see [`bursar::Manager::kv`](crate::Manager::kv).
    pub fn kv<V: Payload>(&self, name: &str) -> KvBuilder<V> {
        self.inner.kv(name).into()
    }

    /// Names a key-value store whose values stay bytes.
    pub fn raw_kv(&self, name: &str) -> KvBuilder<Raw> {
        self.kv(name)
    }

    /// Names a lock; see [`bursar::Lock`](crate::Lock).
    pub fn lock(&self, name: &str) -> LockBuilder {
        self.inner.lock(name).into()
    }

    /// Names a lock for many readers or one writer; see [`bursar::RwLock`](crate::RwLock).
    pub fn rwlock(&self, name: &str) -> RwLockBuilder {
        self.inner.rwlock(name).into()
    }

    /// Names a semaphore; see [`bursar::Semaphore`](crate::Semaphore).
    pub fn semaphore(&self, name: &str) -> SemaphoreBuilder {
        self.inner.semaphore(name).into()
    }

    /// Names a condition; see [`bursar::Condition`](crate::Condition).
    pub fn condition(&self, name: &str) -> ConditionBuilder {
        self.inner.condition(name).into()
    }

    /// Names an event; see [`bursar::Event`](crate::Event).
    pub fn event(&self, name: &str) -> EventBuilder {
        self.inner.event(name).into()
    }

    /// Names a latch; see [`bursar::Latch`](crate::Latch).
    pub fn latch(&self, name: &str) -> LatchBuilder {
        self.inner.latch(name).into()
    }

    /// Names a barrier; see [`bursar::Barrier`](crate::Barrier).
    pub fn barrier(&self, name: &str) -> BarrierBuilder {
        self.inner.barrier(name).into()
    }

    /// Names a counter; see [`bursar::Counter`](crate::Counter).
    pub fn counter(&self, name: &str) -> CounterBuilder {
        self.inner.counter(name).into()
    }

    /// Names a list; see [`bursar::Manager::list`](crate::Manager::list).
    pub fn list<T: Payload>(&self, name: &str) -> ListBuilder<T> {
        self.inner.list(name).into()
    }

    /// Names a list whose values stay bytes.
    pub fn raw_list(&self, name: &str) -> ListBuilder<Raw> {
        self.list(name)
    }

    /// Names an array; see [`bursar::Manager::array`](crate::Manager::array).
    pub fn array<N: Number>(&self, name: &str) -> ArrayBuilder<N> {
        self.inner.array(name).into()
    }

    /// Names a namespace; see [`bursar::Manager::namespace`](crate::Manager::namespace).
    pub fn namespace(&self, name: &str) -> NamespaceBuilder {
        self.inner.namespace(name).into()
    }

    /// Names a channel; see [`bursar::Manager::channel`](crate::Manager::channel).
    pub fn channel<T: Payload>(&self, name: &str) -> ChannelBuilder<T> {
        self.inner.channel(name).into()
    }

    /// Names a channel whose messages stay bytes.
    pub fn raw_channel(&self, name: &str) -> ChannelBuilder<Raw> {
        self.channel(name)
    }

    /// Opens an end of a channel that another process has named; see [`bursar::Manager::end`](crate::Manager::end).
    pub fn end<T: Payload>(&self, uri: &EndUri) -> Result<End<T>> {
        Ok(block_on(self.inner.end(uri))?.into())
    }

    /// Names a topic; see [`bursar::Manager::topic`](crate::Manager::topic).
    pub fn topic<T: Payload>(&self, name: &str) -> TopicBuilder<T> {
        self.inner.topic(name).into()
    }

    /// Names a topic whose messages stay bytes.
    pub fn raw_topic(&self, name: &str) -> TopicBuilder<Raw> {
        self.topic(name)
    }

    /// Names an object of one's own, to call its methods; see [`bursar::Manager::object`](crate::Manager::object).
    pub fn object(&self, name: &str) -> ObjectBuilder {
        self.inner.object(name).into()
    }

    /// Makes this program a provider of a named object; nothing happens before [`start`](Serve::start).
    pub fn serve<C>(&self, name: &str, object: impl IntoService<C>) -> Serve {
        self.inner.serve(name, object).in_threads().into()
    }

    /// Which objects there are.
    pub fn objects(&self) -> Objects {
        Objects { inner: self.inner.objects() }
    }

    /// The processes that the broker starts, watches and stops. See [`bursar::Manager::processes`](crate::Manager::processes).
    pub fn processes(&self) -> Processes {
        self.inner.processes().into()
    }

    /// What the broker says of itself.
    pub fn status(&self) -> Result<v1::registry::StatusReply> {
        block_on(self.inner.status())
    }

    /// Where the broker is.
    pub fn address(&self) -> String {
        self.inner.address()
    }

    /// The broker's number for this session.
    pub fn session_id(&self) -> u64 {
        self.inner.session_id()
    }

    /// Whether the session can be relied upon.
    pub fn state(&self) -> State {
        self.inner.state()
    }

    /// See [`bursar::Manager::valid_until`](crate::Manager::valid_until).
    pub fn valid_until(&self) -> Instant {
        self.inner.valid_until()
    }

    /// Follows the state.
    pub fn watch_state(&self) -> StateWatch {
        StateWatch { inner: self.inner.watch_state() }
    }

    /// Waits until the session is lost.
    pub fn lost(&self) {
        block_on(self.inner.lost());
    }

    /// See [`bursar::Manager::close`](crate::Manager::close).
    pub fn close(self) {
        block_on(self.inner.close());
    }
}

/// Follows the state of a session.
#[derive(Clone, Debug)]
pub struct StateWatch {
    inner: crate::StateWatch,
}

impl StateWatch {
    /// The state now.
    pub fn state(&self) -> State {
        self.inner.state()
    }

    /// Waits for another state than the one last seen here, and gives it. Once that was [`State::Lost`] it waits for ever.
    pub fn changed(&mut self) -> State {
        block_on(self.inner.changed())
    }
}

/// Where and how to connect: [`bursar::Builder`](crate::Builder) for threads.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    inner: crate::Builder,
}

impl Builder {
    /// Where the broker is.
    pub fn address(self, address: impl IntoAddress) -> Result<Builder> {
        Ok(Builder { inner: self.inner.address(address)? })
    }

    /// Instead of an address: what makes the byte streams.
    pub fn connector(self, connector: impl Connector) -> Builder {
        Builder { inner: self.inner.connector(connector) }
    }

    /// The key, and the id under which the broker knows it.
    pub fn authkey(self, authkey: AuthKey) -> Builder {
        Builder { inner: self.inner.authkey(authkey) }
    }

    /// Address and authkey as the environment says, as far as they are not set already.
    pub fn from_env(self) -> Result<Builder> {
        Ok(Builder { inner: self.inner.from_env()? })
    }

    /// What the session is called where operators look.
    pub fn label(self, label: impl Into<String>) -> Builder {
        Builder { inner: self.inner.label(label) }
    }

    /// How long the broker keeps the session without hearing from it; see [`bursar::Builder::ttl`](crate::Builder::ttl).
    pub fn ttl(self, ttl: Duration) -> Builder {
        Builder { inner: self.inner.ttl(ttl) }
    }

    /// How long connecting may take, now and again after a lost connection; 5 s by default.
    pub fn connect_timeout(self, timeout: Duration) -> Builder {
        Builder { inner: self.inner.connect_timeout(timeout) }
    }

    /// Connects. See [`bursar::Builder::connect`](crate::Builder::connect).
    pub fn connect(self) -> Result<Manager> {
        Ok(block_on(self.inner.connect())?.into())
    }
}

/// Which objects there are: [`bursar::Objects`](crate::Objects) for threads.
#[derive(Clone, Debug)]
pub struct Objects {
    inner: crate::Objects,
}

impl Objects {
    /// The objects that match, by name.
    pub fn list(&self, filter: impl Into<ListFilter>) -> Result<Vec<Described>> {
        block_on(self.inner.list(filter))
    }

    /// One object. Fault: `NoSuchObject`.
    pub fn describe(&self, name: &str) -> Result<Described> {
        block_on(self.inner.describe(name))
    }

    /// Deletes whichever object has the name. Fault: `NoSuchObject`.
    pub fn delete(&self, name: &str) -> Result<()> {
        block_on(self.inner.delete(name))
    }

    /// Who waits for which object. See [`bursar::Objects::waits`](crate::Objects::waits).
    pub fn waits(&self) -> Result<Waits> {
        block_on(self.inner.waits())
    }

    /// Who waits for one object, and who holds it. Fault: `NoSuchObject`.
    pub fn waits_of(&self, name: &str) -> Result<Waits> {
        block_on(self.inner.waits_of(name))
    }
}
