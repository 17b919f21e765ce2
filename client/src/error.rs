//! What can go wrong, and what to do about it.
//!
//! A *fault* is the broker's refusal, from the numbered table in [`Fault`]; an *error* is everything that can come back from a
//! call, faults included.

use crate::{channel::UriError, codec::CodecError, object::Failed};
use bursar_proto::{AddressError, Fault, KeyError};
use std::{io, path::PathBuf};

/// What every call of this crate gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call did not succeed. The message names the object and the call, and says what to do next where there is something.
///
/// ```
/// use bursar::{AuthKey, Error, blocking::Manager};
///
/// let error = Manager::connect("unix:///no/such/bursar.sock", AuthKey::new(&[7; 32])?).unwrap_err();
/// assert!(matches!(error, Error::Unreachable { .. }));
/// assert!(error.is_retryable() && error.has_no_side_effects());
/// assert!(error.to_string().contains("is `bursar serve` running?"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The broker has another key under this id, or none.
    #[error("the broker at {address} did not accept the authkey {key_id:?}: compare key file and key id with the broker's")]
    WrongKey {
        /// Where the broker is.
        address: String,
        /// The id under which the key was offered.
        key_id: String,
    },
    /// The authkey could not be had.
    #[error(transparent)]
    NoKey(#[from] KeyError),
    /// Who answered does not know the authkey: nothing was told to it.
    #[error(
        "who answers at {address} could not prove that it knows the authkey: it is not the broker, or something stands in between"
    )]
    BrokerNotGenuine {
        /// Where it answered.
        address: String,
    },
    /// Nobody answered at the address, or not as a broker does.
    #[error("no broker can be reached at {address}: {source} (is `bursar serve` running?)")]
    Unreachable {
        /// Where the broker should be.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The directory of the Unix socket lets strangers put a socket of their own there.
    #[error("{} is not a safe place for a broker's socket: {problem}", path.display())]
    UnsafeDirectory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The text is not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The text does not name an end of a channel.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// A setting in the environment or the builder is missing or wrong.
    #[error("{setting}: {problem}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What was expected.
        problem: String,
    },
    /// The broker refused.
    #[error(transparent)]
    Fault(#[from] Box<Refusal>),
    /// The session is over, and what it held went back.
    #[error(transparent)]
    Lost(#[from] SessionEnded),
    /// A payload could not be encoded, or is not what its reader expects.
    #[error("{object:?}: {source}")]
    Codec {
        /// The object it was for, or came from.
        object: String,
        /// What is wrong.
        source: CodecError,
    },
    /// The process was forked after it connected; a session belongs to one process.
    #[error("process {current} uses a session of its parent {connected}: connect a Manager of its own after the fork")]
    Forked {
        /// The process that connected.
        connected: u32,
        /// The process that called.
        current: u32,
    },
    /// The broker's answer makes no sense: a newer or faulty broker.
    #[error("the broker broke the protocol: {problem}")]
    Protocol {
        /// What it answered, and what was expected.
        problem: String,
    },
    /// A method of an object of one's own failed, with an error that its caller's types do not know. See
    /// [`CallError::Other`](crate::object::CallError::Other).
    #[error("{}: {}", .0.kind, .0.message)]
    Failed(Box<Failed>),
    /// The session's thread could not be started.
    #[error("the session's thread could not be started: {0}")]
    Thread(#[source] io::Error),
}

/// A fault, with the call that met it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call}{}: {fault}", on(object))]
pub struct Refusal {
    /// Why.
    pub fault: Fault,
    /// The call, as `kind.verb`.
    pub call: &'static str,
    /// The object's name; empty where the call has none.
    pub object: String,
}

fn on(object: &str) -> String {
    if object.is_empty() { String::new() } else { format!(" {object:?}") }
}

/// The session is over. Its leases went back to their queues, its bound keys are gone, its ephemeral objects too; nothing was
/// silently replaced by a new session, because the program must know that it holds nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is over: {reason}{}; what it held was given back: connect a new Manager",
    if *.may_have_happened { " (this call was sent, and may have been done or not)" } else { "" })]
pub struct SessionEnded {
    /// Why it ended.
    pub reason: String,
    /// Whether the call that met this had been sent: then its effect is unknown.
    pub may_have_happened: bool,
}

impl SessionEnded {
    pub(crate) fn new(reason: impl Into<String>) -> SessionEnded {
        SessionEnded { reason: reason.into(), may_have_happened: false }
    }

    pub(crate) fn closed() -> SessionEnded {
        SessionEnded::new("this program closed it")
    }
}

impl Error {
    pub(crate) fn refused(fault: impl Into<Fault>, call: &'static str, object: impl Into<String>) -> Error {
        Error::Fault(Box::new(Refusal { fault: fault.into(), call, object: object.into() }))
    }

    pub(crate) fn protocol(problem: impl Into<String>) -> Error {
        Error::Protocol { problem: problem.into() }
    }

    /// The same once more, for each of several who are told of it. What cannot be had twice becomes its text.
    pub(crate) fn again(&self) -> Error {
        match self {
            Error::Fault(refusal) => Error::Fault(refusal.clone()),
            Error::Lost(ended) => Error::Lost(ended.clone()),
            Error::Codec { object, source } => Error::Codec { object: object.clone(), source: source.clone() },
            Error::Forked { connected, current } => Error::Forked { connected: *connected, current: *current },
            Error::Protocol { problem } => Error::Protocol { problem: problem.clone() },
            Error::Failed(failed) => Error::Failed(failed.clone()),
            other => Error::protocol(other.to_string()),
        }
    }

    /// The broker's refusal, if that is what this is.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// use bursar::{Fault, Wait, blocking::{Manager, Queue}};
    ///
    /// let manager = Manager::connect(broker.address(), broker.authkey())?;
    /// let queue: Queue<String> = manager.queue("jobs").open_or_create()?;
    /// let error = queue.try_get().unwrap_err();
    /// assert_eq!(error.fault(), Some(&Fault::Empty {}));
    /// # Ok::<(), bursar::Error>(())
    /// ```
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Error::Fault(refusal) => Some(&refusal.fault),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anybody changing it.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Unreachable { .. } => true,
            Error::Fault(refusal) => refusal.fault.is_retryable(),
            _ => false,
        }
    }

    /// Whether it is certain that the call changed nothing at the broker.
    pub fn has_no_side_effects(&self) -> bool {
        match self {
            Error::Fault(refusal) => refusal.fault.has_no_side_effects(),
            Error::Lost(ended) => !ended.may_have_happened,
            Error::Codec { source, .. } => source.is_encoding(),
            Error::Protocol { .. } | Error::Failed(_) => false,
            _ => true,
        }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Error {
        Error::Failed(Box::new(failed))
    }
}
