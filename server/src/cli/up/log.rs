//! What the broker itself has to say while its processes' output is shown: on stderr, in the same form.

use crate::{
    cli::{failure::Failure, processes::lines::Lines},
    config::Log,
};
use std::{
    io::{self, Write, stderr},
    time::SystemTime,
};
use tracing_subscriber::EnvFilter;

/// What is to be said if nobody has said otherwise: the output of the processes is what one wants to see.
const LEVEL: &str = "warn";

/// What happens to processes is told on stdout; what the supervisor could not do is told nowhere else.
const SUPERVISOR: &str = "bursar_server::supervisor=error";

/// Why a service failed is what the command ends with: it is said once.
const SERVICES: &str = "bursar_lifecycle::context=off";

/// From here on events are shown. A level in the file counts if it is another than the one of `bursar serve`.
pub fn start(log: &Log, is_said: bool, lines: Lines) -> Result<(), Failure> {
    let level = if is_said || *log != Log::default() { &log.level } else { LEVEL };
    let filter = EnvFilter::try_new(format!("{SUPERVISOR},{SERVICES},{level}"))
        .map_err(|error| Failure::usage(format!("up: the log level: {error}")))?;
    let events = tracing_subscriber::fmt().with_env_filter(filter).without_time().with_target(false).with_ansi(false);
    events.compact().with_writer(move || Own(lines.clone())).init();
    Ok(())
}

/// Gets an event with each write, and writes it as the supervisor's own words.
struct Own(Lines);

impl Write for Own {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        stderr().write_all(self.0.own(text.trim(), SystemTime::now()).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
