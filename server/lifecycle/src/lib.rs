//! Services with dependencies: what is needed starts first and stops last, and nothing fails alone.
//!
//! ```text
//!   Stack ── start ──► starting ── all are up ──► running ── asked, a signal, a task failed ──► stopping ──► ended
//!                         └── a start failed, or a signal: what is not up yet is dropped ───────────▲
//! ```
//!
//! A [`Service`] says what it depends on, how it starts and how it stops. A [`Stack`] is a service with everything below it. What the
//! stack promises:
//!
//! - A service starts when everything it depends on is up, and everything that depends on it has stopped when it stops. Stopping is
//!   exactly the reverse of starting, side by side included. A service that several depend on is started once.
//! - When a start fails, what had started is stopped, in reverse, and the first error is kept; what failed later stands behind it.
//! - A task of a service ([`Context::add_task`]) lives as long as the service. When it fails, panics or just ends, the whole stack
//!   stops and says so: nothing runs on with a part of it missing.
//! - A service has a time to stop in ([`Service::graceful_shutdown_timeout`]), and so may the whole stack. Who takes longer is named
//!   and cut off; the others are stopped all the same.
//! - Under [`run`] the first SIGINT or SIGTERM stops gracefully and is reported to the caller, the second stops at once.
//!
//! ```
//! use bursar_lifecycle::{Context, Group, Outcome, Service, sequence};
//! use std::sync::Arc;
//!
//! struct Database;
//!
//! impl Service for Database {
//!     async fn start(self: Arc<Self>, _: Context) -> Outcome {
//!         println!("database started");
//!         Ok(())
//!     }
//! }
//!
//! struct Web {
//!     database: Arc<Database>,
//! }
//!
//! impl Service for Web {
//!     fn dependencies(&self) -> Group {
//!         sequence![&self.database]
//!     }
//!
//!     async fn start(self: Arc<Self>, context: Context) -> Outcome {
//!         context.add_task("accept", async { std::future::pending().await });
//!         println!("web started");
//!         Ok(())
//!     }
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let web = Arc::new(Web { database: Arc::new(Database) });
//! // A program would call `bursar_lifecycle::run(&web).await`, which ends with a signal.
//! let answer = bursar_lifecycle::scope(&web, async { 6 * 7 }).await?;
//! assert_eq!(answer, 42);
//! # Ok::<(), bursar_lifecycle::Error>(()) }).unwrap();
//! ```
//!
//! For programs without `async` there is [`blocking`]; services of both sorts may depend on each other.
//!
//! This crate knows no broker. It reads no configuration, starts no process and never ends the one it runs in: what a signal means
//! for the exit code is the caller's matter.

pub mod blocking;
mod context;
mod drive;
mod error;
mod graph;
mod group;
mod interrupts;
mod service;
mod stack;

pub use context::Context;
pub use error::{Error, Flaw, Reason};
pub use group::{Group, Node};
pub use interrupts::{Interrupts, Signal};
pub use service::{Outcome, Service};
pub use stack::{Running, Stack};

use std::{panic, sync::Arc};

/// How long a service has to stop if it does not say otherwise: as long as the container runtimes give a program, so that the broker
/// and what runs it agree.
pub const GRACEFUL_SHUTDOWN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Runs a service with everything it depends on, until it is stopped ([`Context::request_stop`]), a task fails, or a signal comes.
///
/// The signals are SIGINT and SIGTERM of the process. The first is reported as an error, [`Reason::Interrupted`], after everything
/// has stopped: see [`Error::interrupt`]. From then on they never again end the process by themselves.
pub async fn run<S: Service>(service: &Arc<S>) -> Result<(), Error> {
    Stack::new(service)?.run(Interrupts::of_process()?).await
}

/// Runs the body while the service and everything it depends on are up, and stops them when the body has ended, also by a panic.
///
/// When the stack fails or is stopped meanwhile, the body is dropped at its next await, while the services stop; the error says why.
pub async fn scope<S: Service, T>(service: &Arc<S>, body: impl Future<Output = T>) -> Result<T, Error> {
    use futures_util::FutureExt;
    let mut running = Stack::new(service)?.start().await?;
    let body = panic::AssertUnwindSafe(body).catch_unwind();
    let value = tokio::select! {
        biased;
        () = running.ending() => None,
        value = body => Some(value),
    };
    let Some(value) = value else { return Err(running.wait().await.err().unwrap_or_else(|| Reason::ScopeStopped.into())) };
    let stopped = running.stop().await;
    match value {
        Ok(value) => stopped.map(|()| value),
        Err(panic) => panic::resume_unwind(panic),
    }
}
