//! Objects of one's own, for threads.

use super::{
    Manager, block_on,
    opened::{opened, opening},
};
use crate::{
    CallError, Encode, Error, Payload, Result, Wait,
    object::{self, About, Builder, Failed},
};
use futures_util::StreamExt;
use std::{convert::Infallible, fmt, sync::Arc};

/// An object that other processes serve, by the names of its methods: [`bursar::Object`](crate::Object) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::{blocking::Manager, object::{Answer, Answering, Call, Description, Method, Service}};
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
///
/// #[derive(Default)]
/// struct Visits(AtomicU64);
///
/// impl Service for Visits {
///     fn description(&self) -> Description {
///         let count = Method { name: "count".into(), result: "integer".into(), ..Method::default() };
///         Description { doc: "Counts.".into(), methods: vec![count] }
///     }
///
///     fn call(self: Arc<Self>, _call: Call) -> Answering {
///         Box::pin(async move { Answer::of(&(self.0.fetch_add(1, Ordering::SeqCst) + 1)) })
///     }
/// }
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let serving = manager.serve("visits", Arc::new(Visits::default())).start()?;
/// let visits = manager.object("visits").open()?;
/// assert_eq!(visits.call("count").send::<u64>().unwrap(), 1);
/// serving.stop()?;
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Clone)]
pub struct Object {
    inner: crate::Object,
}

opened!(Object);

impl Object {
    /// See [`bursar::Object::wait_for_provider`](crate::Object::wait_for_provider).
    pub fn wait_for_provider(&self) -> Object {
        self.inner.wait_for_provider().into()
    }

    /// Names a method. Nothing happens before one of the last verbs of [`Request`].
    pub fn call(&self, method: impl Into<String>) -> Request {
        Request { inner: self.inner.call(method) }
    }

    /// What the object says of itself, who serves it, and what happened to its calls.
    pub fn describe(&self) -> Result<About> {
        block_on(self.inner.describe())
    }
}

/// What an object is to be, before it is opened: [`object::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct ObjectBuilder {
    inner: Builder,
}

opening!(ObjectBuilder, Object);

impl ObjectBuilder {
    /// See [`Builder::wait_for_provider`].
    pub fn wait_for_provider(self) -> ObjectBuilder {
        self.inner.wait_for_provider().into()
    }

    /// See [`Builder::serial`].
    pub fn serial(self) -> ObjectBuilder {
        self.inner.serial().into()
    }

    /// See [`Builder::max_calls`].
    pub fn max_calls(self, calls: u64) -> ObjectBuilder {
        self.inner.max_calls(calls).into()
    }

    /// See [`Builder::max_bytes`].
    pub fn max_bytes(self, bytes: u64) -> ObjectBuilder {
        self.inner.max_bytes(bytes).into()
    }

    /// See [`Builder::max_calls_per_session`].
    pub fn max_calls_per_session(self, calls: u64) -> ObjectBuilder {
        self.inner.max_calls_per_session(calls).into()
    }

    /// As [`ObjectBuilder::open`], and calls have the names and types of a trait.
    pub fn open_as<C: Client>(self) -> Result<C> {
        self.open().map(C::from)
    }
}

/// A client of a trait with the attribute [`shared`](crate::shared), for threads.
pub trait Client: From<Object> {
    /// The object that it calls.
    fn as_object(&self) -> &Object;

    /// Opens the object of this name. Faults: `NoSuchObject`; `Mismatch`, when it is of another kind.
    fn open(manager: &Manager, name: &str) -> Result<Self> {
        manager.object(name).open_as()
    }
}

/// A call that is being put together: [`object::Request`] for threads.
#[derive(Debug)]
#[must_use = "nothing happens before send or stream"]
pub struct Request {
    inner: object::Request,
}

impl Request {
    /// An argument, by name. See [`object::Request::arg`].
    pub fn arg<T: Encode + ?Sized>(self, name: &str, argument: &T) -> Request {
        Request { inner: self.inner.arg(name, argument) }
    }

    /// An argument that is left out if there is none.
    pub fn arg_if<T: Encode + ?Sized>(self, name: &str, argument: Option<&T>) -> Request {
        Request { inner: self.inner.arg_if(name, argument) }
    }

    /// The deadline of the whole call. See [`object::Request::wait`].
    pub fn wait(self, wait: impl Into<Wait>) -> Request {
        Request { inner: self.inner.wait(wait) }
    }

    /// Where nobody serves the method, the call waits until somebody does.
    pub fn wait_for_provider(self) -> Request {
        Request { inner: self.inner.wait_for_provider() }
    }

    /// Calls, and waits for the result. See [`object::Request::send`].
    pub fn send<T: Payload>(self) -> Result<T, CallError<Failed>> {
        block_on(self.inner.send())
    }

    /// Calls, and gives the items of the stream as they come. See [`object::Request::stream`].
    pub fn stream<T: Payload + 'static>(self) -> Incoming<T, Failed> {
        self.inner.stream().into()
    }
}

/// The items of a call, as they come: [`object::Incoming`] for threads. Dropping it tells the provider to stop.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::{blocking::Manager, object::{Answering, Call, Description, Method, Service}};
/// use std::sync::Arc;
///
/// struct Numbers;
///
/// impl Service for Numbers {
///     fn description(&self) -> Description {
///         let all = Method { name: "all".into(), result: "integer".into(), stream: true, ..Method::default() };
///         Description { doc: "All numbers.".into(), methods: vec![all] }
///     }
///
///     fn call(self: Arc<Self>, call: Call) -> Answering {
///         Box::pin(call.items.give_all::<u64>(futures_util::stream::iter(1..)))
///     }
/// }
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let serving = manager.serve("numbers", Arc::new(Numbers)).start()?;
/// let numbers = manager.object("numbers").open()?;
/// let first: Vec<u64> = numbers.call("all").stream().take(3).collect::<Result<_, _>>().unwrap();
/// assert_eq!(first, [1, 2, 3]);
/// # drop(serving);
/// # Ok::<(), bursar::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is called before the first item is asked for"]
pub struct Incoming<T, E = Infallible> {
    inner: object::Incoming<T, E>,
}

impl<T, E> From<object::Incoming<T, E>> for Incoming<T, E> {
    fn from(inner: object::Incoming<T, E>) -> Incoming<T, E> {
        Incoming { inner }
    }
}

impl<T, E> Iterator for Incoming<T, E> {
    type Item = Result<T, CallError<E>>;

    /// Waits for the next item.
    fn next(&mut self) -> Option<Self::Item> {
        block_on(self.inner.next())
    }
}

/// How an object is to be served: [`object::Serve`] for threads. Each call that is under way has a thread, which it may block.
#[derive(Debug)]
#[must_use = "nothing happens before start"]
pub struct Serve {
    inner: object::Serve,
}

impl From<object::Serve> for Serve {
    fn from(inner: object::Serve) -> Serve {
        Serve { inner }
    }
}

impl Serve {
    /// So many calls at once. See [`object::Serve::capacity`].
    pub fn capacity(self, calls: u32) -> Serve {
        self.inner.capacity(calls).into()
    }

    /// One call at a time. See [`object::Serve::serial`].
    pub fn serial(self) -> Serve {
        self.inner.serial().into()
    }

    /// See [`object::Serve::max_calls`].
    pub fn max_calls(self, calls: u64) -> Serve {
        self.inner.max_calls(calls).into()
    }

    /// See [`object::Serve::max_bytes`].
    pub fn max_bytes(self, bytes: u64) -> Serve {
        self.inner.max_bytes(bytes).into()
    }

    /// See [`object::Serve::max_calls_per_session`].
    pub fn max_calls_per_session(self, calls: u64) -> Serve {
        self.inner.max_calls_per_session(calls).into()
    }

    /// The object goes with the last handle of it, in whichever session that is.
    pub fn ephemeral(self) -> Serve {
        self.inner.ephemeral().into()
    }

    /// Begins to serve. See [`object::Serve::start`].
    pub fn start(self) -> Result<Serving> {
        Ok(Serving { inner: block_on(self.inner.start())? })
    }
}

/// An object that is being served, as long as this lives: [`object::Serving`] for threads.
#[must_use = "a dropped serving has ended"]
pub struct Serving {
    inner: object::Serving,
}

impl Serving {
    /// The object's name.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// The broker's number for this provider of the object.
    pub fn provider(&self) -> u64 {
        self.inner.provider()
    }

    /// Takes no more calls, waits for those that run, and withdraws. See [`object::Serving::stop`].
    pub fn stop(self) -> Result<()> {
        block_on(self.inner.stop())
    }

    /// Waits until it has ended by itself, and gives the error. See [`object::Serving::ended`].
    pub fn ended(&self) -> Option<Arc<Error>> {
        block_on(self.inner.ended())
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.inner.is_over()
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}
