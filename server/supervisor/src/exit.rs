//! How a process ended, in the words of who reads it. It waits for nothing.

use std::{fmt, io};

/// How a worker's own process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal, and whether it left a core.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether the kernel wrote a core.
        core: bool,
    },
    /// It never ran: what the system said.
    NotRun(String),
    /// Nobody knows: who watched it was killed.
    Unknown,
}

impl Exit {
    /// Whether it ended as a program that has done its work does.
    pub fn is_success(&self) -> bool {
        *self == Exit::Code(0)
    }

    /// As a shell would tell it: the code, 128 and the signal, 127 if it never ran.
    pub fn code(&self) -> i32 {
        match self {
            Exit::Code(code) => *code,
            Exit::Signal { number, .. } => 128 + number,
            Exit::NotRun(_) => 127,
            Exit::Unknown => 255,
        }
    }

    /// A command that cannot be run.
    pub fn not_run(command: &str, error: &io::Error) -> Exit {
        Exit::NotRun(format!("{command:?} cannot be run: {error}"))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(0) => formatter.write_str("ended by itself"),
            Exit::Code(code) => write!(formatter, "ended with code {code}"),
            Exit::Signal { number, core } => {
                write!(formatter, "was killed by {}", signal_name(*number))?;
                formatter.write_str(if *core { " and left a core" } else { "" })
            }
            Exit::NotRun(error) => formatter.write_str(error),
            Exit::Unknown => formatter.write_str("was lost: the process that watched it was killed"),
        }
    }
}

/// Names of the signals of Linux, by their numbers. Those that differ between its architectures are those of x86 and arm.
const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// `SIGTERM` for 15; a number that has no name is written out.
pub fn signal_name(number: i32) -> String {
    let name = usize::try_from(number).ok().and_then(|number| SIGNALS.get(number.checked_sub(1)?));
    name.map_or_else(|| format!("signal {number}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_says_how_it_was() {
        assert_eq!(Exit::Code(3).to_string(), "ended with code 3");
        assert_eq!(Exit::Signal { number: 11, core: true }.to_string(), "was killed by SIGSEGV and left a core");
        assert_eq!(Exit::Signal { number: 40, core: false }.to_string(), "was killed by signal 40");
        assert_eq!([signal_name(31), signal_name(0), signal_name(-1)], ["SIGSYS", "signal 0", "signal -1"]);
        assert_eq!([Exit::Signal { number: 9, core: false }.code(), Exit::NotRun(String::new()).code()], [137, 127]);
    }
}
