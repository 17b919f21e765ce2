//! Why a stack ended.

use crate::Signal;
use std::{error, fmt, io, sync::Arc, time::Duration};

/// A stack did not end well: the first reason, and what else went wrong on the way down.
#[derive(Clone, Debug)]
pub struct Error {
    reason: Reason,
    then: Vec<Reason>,
}

/// One thing that went wrong.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Reason {
    #[error("services depend on each other in a circle: {}; take one of these dependencies out", services.join(", "))]
    Cycle { services: Vec<String> },
    #[error("the service {service} could not be started: {flaw}")]
    Start { service: String, flaw: Flaw },
    #[error("the service {service} could not be stopped in order: {flaw}")]
    Stop { service: String, flaw: Flaw },
    #[error("the task {task} of the service {service} failed: {flaw}")]
    Task { service: String, task: String, flaw: Flaw },
    #[error(
        "the service {service} did not stop within {budget:?}: {} still ran; it was cut off, give it a longer graceful_shutdown_timeout if it needs more",
        what_ran.join(", ")
    )]
    Overrun { service: String, budget: Duration, what_ran: Vec<String> },
    #[error("not everything stopped within the {budget:?} of the whole stack; cut off: {}", services.join(", "))]
    StackOverrun { budget: Duration, services: Vec<String> },
    #[error("interrupted by {signal}")]
    Interrupted { signal: Signal },
    #[error("{} stopped at once; cut off: {}", signal.map_or("it was".into(), |signal| format!("a second signal, {signal},")), services.join(", "))]
    StoppedAtOnce { signal: Option<Signal>, services: Vec<String> },
    #[error("the services were stopped before their scope had ended")]
    ScopeStopped,
    #[error("cannot listen for signals: {source}")]
    Signals { source: Arc<io::Error> },
    #[error("the runtime ended before the services had stopped; stop them, or wait for them, while it still runs")]
    RuntimeGone,
    #[error("no runtime could be made for the services: {source}")]
    NoRuntime { source: Arc<io::Error> },
}

/// How a start, a stop or a task failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Flaw {
    /// It said so.
    Error(Arc<dyn error::Error + Send + Sync>),
    /// It panicked, with this message.
    Panic(String),
    /// A task ended without an error, but nobody had stopped it.
    Ended,
}

impl Error {
    /// What went wrong first.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// What went wrong after that, while things were stopped.
    pub fn then(&self) -> &[Reason] {
        &self.then
    }

    /// The signal that ended the stack, if that is why it ended.
    pub fn interrupt(&self) -> Option<Signal> {
        match &self.reason {
            Reason::Interrupted { signal } => Some(*signal),
            _ => None,
        }
    }

    /// None, if nothing went wrong.
    pub(crate) fn of(reasons: Vec<Reason>) -> Option<Error> {
        let mut reasons = reasons.into_iter();
        reasons.next().map(|reason| Error { reason, then: reasons.collect() })
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Error {
        Error { reason, then: Vec::new() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.reason)?;
        self.then.iter().try_for_each(|reason| write!(formatter, "; then {reason}"))
    }
}

impl error::Error for Error {
    /// The error that the service or its task gave, if it gave one.
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.reason {
            Reason::Start { flaw: Flaw::Error(error), .. }
            | Reason::Stop { flaw: Flaw::Error(error), .. }
            | Reason::Task { flaw: Flaw::Error(error), .. } => Some(&**error),
            _ => None,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Error(error) => error.fmt(formatter),
            Flaw::Panic(message) => write!(formatter, "it panicked: {message}"),
            Flaw::Ended => formatter.write_str("it ended, although nobody had stopped it"),
        }
    }
}
