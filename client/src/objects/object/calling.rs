//! One call of an object, from the side of the caller.

use super::{
    Failed, Incoming, Object, context,
    service::{raw, value},
    wire,
};
use crate::{Encode, Error, Fault, Payload, Result, Wait, call::Verb, objects::Handle};
use std::{convert::Infallible, fmt};

/// A call that is being put together. See [`Object::call`].
///
/// It is made when one of its last verbs is first polled. A call that is made while a method is carried out is made on behalf of that
/// method's call: it waits no longer than its caller does, and would it wait for itself it is refused with `CallCycle`. A task that the method
/// starts by itself works on nobody's behalf.
#[derive(Debug)]
#[must_use = "nothing happens before send or stream"]
pub struct Request {
    object: Object,
    method: String,
    arguments: Vec<wire::Argument>,
    wait: Wait,
    /// An argument that could not be written.
    problem: Option<Error>,
}

/// The name of the verb, for errors.
const INVOKE: &str = wire::InvokeRequest::CALL;

impl Request {
    pub(super) fn new(object: Object, method: String) -> Request {
        Request { object, method, arguments: Vec::new(), wait: Wait::Forever, problem: None }
    }

    /// An argument, by name; each once. One that cannot be written is told by the last verb.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// use bursar::{Manager, Shared};
    ///
    /// #[bursar::shared]
    /// trait Shelf { async fn take(&mut self, sku: String, #[shared(default = 1)] n: usize) -> usize; }
    ///
    /// struct Taken(Vec<String>);
    ///
    /// impl Shelf for Taken {
    ///     async fn take(&mut self, sku: String, n: usize) -> usize {
    ///         self.0.extend(std::iter::repeat_n(sku, n));
    ///         self.0.len()
    ///     }
    /// }
    ///
    /// # bursar::blocking::block_on(async {
    /// # let manager = Manager::connect(broker.address(), broker.authkey()).await?;
    /// let _serving = manager.serve("shelf", Shared::new(Taken(vec![]))).start().await?;
    /// let shelf = manager.object("shelf").open().await?;
    /// let taken: usize = shelf.call("take").arg("sku", "apple").arg("n", &2).send().await.unwrap();
    /// assert_eq!(taken, 2);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn arg<T: Encode + ?Sized>(mut self, name: &str, argument: &T) -> Request {
        match self.object.handle.encode(argument, INVOKE) {
            Ok(raw) => self.arguments.push(wire::Argument { name: name.to_owned(), value: Some(value(raw)) }),
            Err(error) => self.problem = Some(error),
        }
        self
    }

    /// An argument that is left out if there is none.
    pub fn arg_if<T: Encode + ?Sized>(self, name: &str, argument: Option<&T>) -> Request {
        match argument {
            Some(argument) => self.arg(name, argument),
            None => self,
        }
    }

    /// The deadline of the whole call, of which its provider is told; of a stream, that of its first item. Without it the call waits for
    /// ever. Fault: `Unanswered`.
    pub fn wait(mut self, wait: impl Into<Wait>) -> Request {
        self.wait = wait.into();
        self
    }

    /// Where nobody serves the method, the call waits until somebody does. Without it the fault is `NoProvider`.
    pub fn wait_for_provider(mut self) -> Request {
        self.object.waits_for_provider = true;
        self
    }

    /// Calls, and waits for the result. Dropping the future takes the call back: its provider is told to stop.
    ///
    /// Faults, in [`CallError::Broker`]: `NoProvider`, `ProviderGone`, `NoSuchMethod`, `NoSuchArgument`, `MissingArgument`, `CallCycle`,
    /// `TooManyCalls`, `TooManyBytes`, `ResultTooLarge`, `Unanswered`.
    pub async fn send<T: Payload>(self) -> Result<T, CallError<Failed>> {
        self.finish(Reader::any()).await
    }

    /// Calls, and gives the items of the stream as they come. The call is made when the stream is first polled; dropping the stream tells
    /// the provider to stop.
    pub fn stream<T: Payload + 'static>(self) -> Incoming<T, Failed> {
        Incoming::new(self, Reader::any())
    }

    pub(super) async fn finish<T: Payload, E>(self, read: Reader<E>) -> Result<T, CallError<E>> {
        let handle = self.object.handle.clone();
        match self.invoke().await? {
            Reached::Result(value) => Ok(handle.decode(raw(value))?),
            Reached::Failed(failed) => Err(read.read(failed, &handle)),
            Reached::Stream(call) => {
                handle.tell(wire::AbandonRequest { object: handle.object(), call });
                Err(unfit("the method is a stream: ask for its items by `stream`"))
            }
        }
    }

    pub(super) async fn invoke(self) -> Result<Reached> {
        let Request { object: Object { handle, waits_for_provider }, method, arguments, wait, problem } = self;
        if let Some(problem) = problem {
            return Err(problem);
        }
        let request = wire::InvokeRequest {
            object: handle.object(),
            wait_ms: context::bounded(wait).to_ms(),
            method,
            arguments,
            wait_for_provider: waits_for_provider,
            chain: context::chain(),
        };
        handle.check_size(&request)?;
        match handle.call(request).await?.outcome {
            Some(wire::invoke_reply::Outcome::Result(value)) => Ok(Reached::Result(value)),
            Some(wire::invoke_reply::Outcome::Failure(failure)) => Ok(Reached::Failed(failure.into())),
            Some(wire::invoke_reply::Outcome::Stream(call)) => Ok(Reached::Stream(call)),
            None => Err(Error::protocol(format!("{INVOKE}: an empty outcome"))),
        }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.object.handle
    }
}

/// What a call has come to.
pub(super) enum Reached {
    Result(bursar_proto::v1::Value),
    Failed(Failed),
    /// The number of the call.
    Stream(u64),
}

/// The method answers in another way than its caller expects. It was carried out all the same.
pub(super) fn unfit<E>(problem: &str) -> CallError<E> {
    CallError::Other(Failed::new(Failed::METHOD, problem))
}

/// How the error of a method is read.
pub(super) struct Reader<E> {
    /// Of its type; of one without a name all are, but for those of the SDK.
    name: Option<&'static str>,
    read: fn(Failed, &Handle) -> CallError<E>,
}

impl<E> Clone for Reader<E> {
    fn clone(&self) -> Reader<E> {
        *self
    }
}

impl<E> Copy for Reader<E> {}

impl<E> Reader<E> {
    pub fn read(self, failed: Failed, handle: &Handle) -> CallError<E> {
        let is_own = self.name.map_or(!failed.is_of_bursar(), |name| failed.kind == name);
        if is_own { (self.read)(failed, handle) } else { CallError::Other(failed) }
    }
}

impl Reader<Failed> {
    /// Any error.
    pub const fn any() -> Reader<Failed> {
        Reader { name: None, read: |failed, _| CallError::Failed(failed) }
    }
}

impl Reader<Infallible> {
    /// There is none.
    pub const fn none() -> Reader<Infallible> {
        Reader { name: None, read: |failed, _| CallError::Other(failed) }
    }
}

impl<E: Payload> Reader<E> {
    /// Of the type with this name. What bears its name and cannot be read is another one.
    pub const fn typed(name: &'static str) -> Reader<E> {
        let read = |failed: Failed, handle: &Handle| {
            let error = failed.value.clone().and_then(|value| handle.decode(value).ok());
            error.map_or(CallError::Other(failed), CallError::Failed)
        };
        Reader { name: Some(name), read }
    }
}

/// Why a call has no result. `E` is the error of the method; of one that has none of its own, [`Infallible`].
#[derive(Debug)]
pub enum CallError<E = Infallible> {
    /// The method's own error.
    Failed(E),
    /// The method failed with an error of another type than its caller expects, it panicked, or an argument, result or error could not be
    /// written or read by who serves the object.
    Other(Failed),
    /// The call did not reach the method, or its result did not come back.
    Broker(Error),
}

impl<E> CallError<E> {
    /// The method's own error, if that is what this is.
    pub fn failed(&self) -> Option<&E> {
        match self {
            CallError::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// The broker's refusal, if that is what this is.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            CallError::Broker(error) => error.fault(),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anybody changing it. Of the method's own error nothing is known.
    pub fn is_retryable(&self) -> bool {
        matches!(self, CallError::Broker(error) if error.is_retryable())
    }

    /// Whether it is certain that the method was not carried out.
    pub fn has_no_side_effects(&self) -> bool {
        // These may come while a provider has the call.
        let may_come_later = |fault| matches!(fault, &Fault::ShuttingDown {} | &Fault::Deposed {} | &Fault::Gone { .. });
        matches!(self, CallError::Broker(error) if error.has_no_side_effects()) && !self.fault().is_some_and(may_come_later)
    }

    /// All but the method's own error, as an error of this crate.
    pub fn into_own(self) -> Result<E, Error> {
        match self {
            CallError::Failed(error) => Ok(error),
            CallError::Other(failed) => Err(failed.into()),
            CallError::Broker(error) => Err(error),
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Failed(error) => error.fmt(formatter),
            CallError::Other(failed) => write!(formatter, "{}: {failed}", failed.kind),
            CallError::Broker(error) => error.fmt(formatter),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for CallError<E> {}

impl<E> From<Error> for CallError<E> {
    fn from(error: Error) -> CallError<E> {
        CallError::Broker(error)
    }
}

/// A method that has no error of its own failed all the same.
impl From<CallError> for Error {
    fn from(error: CallError) -> Error {
        match error.into_own() {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }
}
