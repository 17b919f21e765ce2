//! Signals by their names. Nothing is sent here.

use super::nearest;

/// Names of the signals of Linux, by their numbers, from 1 on. Those that differ between its architectures are those of x86 and arm.
#[rustfmt::skip]
const SIGNALS: [&str; 31] = [
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV",
    "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN",
    "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
];

/// A signal's number by its name, in letters of any case, with or without `SIG`; or by the number itself. The error says what is
/// accepted, and the nearest name. Signals of real time are refused: who keeps the processes sends those alone that have a name.
///
/// ```
/// use bursar::processes::signal_number;
/// assert_eq!(signal_number("SIGTERM"), Ok(15));
/// assert_eq!(signal_number("hup"), Ok(1));
/// assert_eq!(signal_number("31"), Ok(31));
/// assert!(signal_number("SIGTREM").unwrap_err().contains("did you mean SIGTERM?"));
/// ```
pub fn signal_number(name: &str) -> Result<i32, String> {
    let numbered = || (1..).zip(SIGNALS);
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let by_number = name.parse().ok().filter(|number| numbered().any(|(known, _)| known == *number));
    let by_name = || numbered().find(|(_, known)| &known[3..] == short).map(|(number, _)| number);
    by_number.or_else(by_name).ok_or_else(|| {
        let known = SIGNALS.iter().map(|known| &known[3..]);
        let hint = nearest(short, known).map(|known| format!(", did you mean SIG{known}?")).unwrap_or_default();
        format!(
            "no signal is called {name:?}{hint} (expected a name, such as TERM or SIGTERM, or a number from 1 to {})",
            SIGNALS.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        for (name, number) in SIGNALS.into_iter().zip(1..) {
            assert_eq!(signal_number(name), Ok(number));
            assert_eq!(signal_number(&name[3..].to_lowercase()), Ok(number));
            assert_eq!(signal_number(&number.to_string()), Ok(number));
        }
        use rustix::process::Signal;
        let known = [Signal::HUP, Signal::KILL, Signal::USR2, Signal::TERM, Signal::CONT, Signal::STOP, Signal::SYS];
        let names = ["HUP", "KILL", "USR2", "TERM", "CONT", "STOP", "SYS"];
        assert_eq!(names.map(|name| signal_number(name).unwrap()), known.map(Signal::as_raw));
    }

    #[test]
    fn what_is_no_signal_is_told() {
        for bad in ["", "0", "32", "34", "65", "-15", "SIG", "TERM ", "SIGSEGVX", "15.0"] {
            assert!(signal_number(bad).is_err(), "{bad}");
        }
    }
}
