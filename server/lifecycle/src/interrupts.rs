//! The signals that stop a stack: those of the process, or others in their place.

use crate::{Error, Reason};
use std::fmt;
use tokio::{
    signal::unix::{self, SignalKind},
    sync::mpsc,
};

/// A signal that asks a program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: ctrl-c.
    Interrupt,
    /// SIGTERM: what a supervisor sends.
    Terminate,
}

/// Where the signals come from.
pub struct Interrupts(Source);

enum Source {
    Process { interrupt: unix::Signal, terminate: unix::Signal },
    Given(mpsc::Receiver<Signal>),
}

impl Signal {
    /// Its number, the same on every system.
    pub fn number(self) -> u8 {
        match self {
            Signal::Interrupt => 2,
            Signal::Terminate => 15,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        })
    }
}

impl Interrupts {
    /// SIGINT and SIGTERM of this process. From here on they do not end it by themselves, also when this is gone.
    pub fn of_process() -> Result<Interrupts, Error> {
        let listen =
            |kind| unix::signal(kind).map_err(|source| Error::from(Reason::Signals { source: std::sync::Arc::new(source) }));
        Ok(Interrupts(Source::Process {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        }))
    }

    /// What somebody sends, for programs that get their signals otherwise, and for tests. When the sender is gone, none comes any more.
    pub fn given(receiver: mpsc::Receiver<Signal>) -> Interrupts {
        Interrupts(Source::Given(receiver))
    }

    pub(crate) async fn next(&mut self) -> Signal {
        let came = match &mut self.0 {
            Source::Process { interrupt, terminate } => tokio::select! {
                came = interrupt.recv() => came.map(|()| Signal::Interrupt),
                came = terminate.recv() => came.map(|()| Signal::Terminate),
            },
            Source::Given(receiver) => receiver.recv().await,
        };
        match came {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}
