//! The signals of the process itself. One test, because there is one process.

use bursar_lifecycle::{
    Outcome, Reason, Signal,
    blocking::{self, Blocking, Context, Service},
    run,
};
use rustix::process::{Signal as Raw, getpid, kill_process};
use std::{future::pending, sync::Arc};

/// Presses ctrl-c when it starts, and again when it stops.
struct Pressed;

impl bursar_lifecycle::Service for Pressed {
    async fn start(self: Arc<Self>, _: bursar_lifecycle::Context) -> Outcome {
        Ok(kill_process(getpid(), Raw::INT)?)
    }

    async fn stop(self: Arc<Self>) -> Outcome {
        kill_process(getpid(), Raw::TERM)?;
        pending().await
    }
}

struct Blocked;

impl Service for Blocked {
    fn start(&self, _: &Context) -> Outcome {
        Ok(kill_process(getpid(), Raw::TERM)?)
    }
}

#[test]
fn signals_of_the_process_stop_first_gracefully_and_then_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(run(&Arc::new(Pressed))).unwrap_err();
    assert_eq!(error.interrupt(), Some(Signal::Interrupt));
    assert!(matches!(error.then(), [Reason::StoppedAtOnce { signal: Some(Signal::Terminate), .. }]), "{error}");

    let error = blocking::run(&Blocking::new(Blocked)).unwrap_err();
    assert_eq!(error.interrupt(), Some(Signal::Terminate));
    assert!(error.then().is_empty(), "{error}");
}
