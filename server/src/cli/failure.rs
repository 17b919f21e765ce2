//! How a command ends: the exit codes, and what is said on stderr when it fails.

use std::{fmt, io};

/// An exit code. Permanent: scripts branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok,
    Failed,
    Usage,
    Unreachable,
    Authkey,
    NotNow,
    Absent,
    Conflict,
    Lost,
    NotRunnable,
    NoCommand,
    Interrupted,
    /// That of the command that was run.
    OfCommand(u8),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Authkey => 4,
            Exit::NotNow => 5,
            Exit::Absent => 6,
            Exit::Conflict => 7,
            Exit::Lost => 8,
            Exit::NotRunnable => 126,
            Exit::NoCommand => 127,
            Exit::Interrupted => 130,
            Exit::OfCommand(code) => code,
        }
    }
}

/// What each exit code means; `bursar --help` prints it.
pub const EXITS: &[(Exit, &str)] = &[
    (Exit::Ok, "it worked (also: stdout was closed by its reader)"),
    (Exit::Failed, "it failed for a reason that has no code of its own"),
    (Exit::Usage, "wrong arguments, wrong configuration"),
    (Exit::Unreachable, "the broker cannot be reached, or the connection to it was lost"),
    (Exit::Authkey, "the authkey is missing or was refused, or the broker could not prove that it knows it"),
    (Exit::NotNow, "timed out; nothing to get; no room; nobody listens or serves; held by somebody else"),
    (Exit::Absent, "no such object, key or item"),
    (Exit::Conflict, "exists already or is otherwise; closed; broken; a condition fails; a duplicate; a deadlock"),
    (
        Exit::Lost,
        "what was held is lost, a subscription too, or the fence is stale: somebody else may be at work; a call has no known outcome",
    ),
    (Exit::NotRunnable, "the command that was to be run cannot be run"),
    (Exit::NoCommand, "the command that was to be run was not found"),
    (Exit::Interrupted, "interrupted by a signal"),
];

/// Why a command ends early.
#[derive(Debug)]
pub struct Failure {
    /// `what failed: why; what to do`, without the name of the program.
    pub message: String,
    pub exit: Exit,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { message: message.into(), exit }
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// Whoever read stdout has seen enough: the command ends, and nothing is said.
    pub fn enough() -> Failure {
        Failure::new(Exit::Ok, "")
    }

    /// The command that was run has failed, and has said so itself.
    pub fn of_command(code: u8) -> Failure {
        Failure::new(Exit::OfCommand(code), "")
    }

    /// Says first what failed.
    pub fn context(self, what: impl fmt::Display) -> Failure {
        match self.exit {
            Exit::Ok | Exit::OfCommand(_) => self,
            exit => Failure::new(exit, format!("{what}: {}", self.message)),
        }
    }

    /// An error while output was written.
    pub fn output(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::enough(),
            _ => Failure::new(Exit::Failed, format!("the output cannot be written: {error}")),
        }
    }
}

/// The section of the help that lists the exit codes.
pub fn exits_help() -> String {
    let lines = EXITS.iter().map(|(exit, meaning)| format!("  {:>3}  {meaning}\n", exit.code()));
    format!("Exit codes:\n{}", lines.collect::<String>())
}

impl From<bursar_proto::KeyError> for Failure {
    fn from(error: bursar_proto::KeyError) -> Failure {
        Failure::new(Exit::Authkey, error.to_string())
    }
}

impl From<&bursar_proto::Fault> for Exit {
    fn from(fault: &bursar_proto::Fault) -> Exit {
        use bursar_proto::Fault::*;
        match fault {
            BadArgument { .. } | TooLarge { .. } | NoSuchMethod { .. } | NoSuchArgument { .. } | MissingArgument { .. } => {
                Exit::Usage
            }
            NoSuchObject { .. } | Gone { .. } | OutOfRange { .. } | NoSuchValue {} => Exit::Absent,
            AlreadyExists { .. }
            | Mismatch { .. }
            | Closed {}
            | EndClosed { .. }
            | Duplicate { .. }
            | RevisionMismatch { .. }
            | NotAnInteger { .. }
            | WouldDeadlock { .. }
            | TooManyPermits { .. }
            | BarrierBroken { .. }
            | CallCycle { .. }
            | ListChanged { .. } => Exit::Conflict,
            TimedOut { .. }
            | Empty {}
            | Full { .. }
            | NoRoom { .. }
            | NoResponders {}
            | NoProvider {}
            | TooManyCalls { .. }
            | TooManyBytes { .. }
            | Held { .. }
            | NoPermits { .. } => Exit::NotNow,
            NotHeld { .. } | StaleToken { .. } | Lagged { .. } | NoSuchReceiver { .. } | ProviderGone {} | Unanswered {} => {
                Exit::Lost
            }
            WrongKey {} | HandshakeRequired {} => Exit::Authkey,
            SessionEnded { .. } | NoSuchSession {} | ShuttingDown {} | Deposed {} => Exit::Unreachable,
            _ => Exit::Failed,
        }
    }
}

impl From<bursar::Error> for Failure {
    fn from(error: bursar::Error) -> Failure {
        use bursar::Error::*;
        let exit = match &error {
            WrongKey { .. } | NoKey(_) | BrokerNotGenuine { .. } => Exit::Authkey,
            Unreachable { .. } | Lost(_) => Exit::Unreachable,
            Address(_) | Setting { .. } => Exit::Usage,
            Fault(refusal) => (&refusal.fault).into(),
            _ => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_documented_once() {
        let mut codes: Vec<u8> = EXITS.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 126, 127, 130]);
        codes.dedup();
        assert_eq!(codes.len(), EXITS.len());
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::output(io::ErrorKind::BrokenPipe.into()).context("queue get jobs");
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Ok, ""));
        let failure = Failure::output(io::ErrorKind::StorageFull.into()).context("queue get jobs");
        assert!(failure.message.starts_with("queue get jobs: the output cannot be written: "));
    }
}
