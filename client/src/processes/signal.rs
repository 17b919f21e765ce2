//! Signals by their names. Nothing is sent here.

use super::nearest;

/// Names and numbers of the signals that one sends to a process. Those that the kernel sends for a fault are left out: who wants one
/// of them writes its number.
const SIGNALS: [(&str, i32); 14] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGABRT", 6),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGUSR2", 12),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGTSTP", 20),
    ("SIGURG", 23),
    ("SIGWINCH", 28),
];

/// The highest signal of Linux, SIGRTMAX.
const NUMBER_MAX: i32 = 64;

/// A signal's number by its name, in letters of any case, with or without `SIG`; or by the number itself, 1 to 64. The error says what
/// is accepted, and the nearest name.
///
/// ```
/// use bursar::processes::signal_number;
/// assert_eq!(signal_number("SIGTERM"), Ok(15));
/// assert_eq!(signal_number("hup"), Ok(1));
/// assert_eq!(signal_number("34"), Ok(34));
/// assert!(signal_number("SIGTREM").unwrap_err().contains("did you mean SIGTERM?"));
/// ```
pub fn signal_number(name: &str) -> Result<i32, String> {
    if let Some(number) = name.parse().ok().filter(|number| (1..=NUMBER_MAX).contains(number)) {
        return Ok(number);
    }
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    SIGNALS.iter().find(|(known, _)| *known == full).map(|(_, number)| *number).ok_or_else(|| unknown(name, &full))
}

fn unknown(name: &str, full: &str) -> String {
    let names = SIGNALS.map(|(name, _)| name);
    let hint = nearest(full, names).map(|known| format!(", did you mean {known}?")).unwrap_or_default();
    format!("no signal is called {name:?}{hint} (expected {}, or a number from 1 to {NUMBER_MAX})", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        for (name, number) in SIGNALS {
            assert_eq!(signal_number(name), Ok(number));
            assert_eq!(signal_number(&name[3..].to_lowercase()), Ok(number));
        }
        use rustix::process::Signal;
        let known = [Signal::HUP, Signal::KILL, Signal::USR2, Signal::TERM, Signal::CONT, Signal::STOP, Signal::WINCH];
        let names = ["HUP", "KILL", "USR2", "TERM", "CONT", "STOP", "WINCH"];
        assert_eq!(names.map(|name| signal_number(name).unwrap()), known.map(Signal::as_raw));
    }

    #[test]
    fn what_is_no_signal_is_told() {
        for bad in ["", "0", "65", "-15", "SIG", "TERM ", "SIGSEGVX", "15.0"] {
            assert!(signal_number(bad).is_err(), "{bad}");
        }
    }
}
