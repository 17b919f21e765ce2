//! A service with everything below it, as one thing to start and to stop.

use crate::{Error, Interrupts, Node, Reason, Service, context::Shared, drive::Drive, graph};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinHandle};

/// A service and all it depends on, in order, not started yet.
pub struct Stack {
    steps: Vec<graph::Step>,
    budget: Option<Duration>,
}

/// A stack that was started. Dropped, it begins to stop, gracefully, in the background of its runtime: [`Running::stop`] waits.
pub struct Running {
    shared: Arc<Shared>,
    driver: JoinHandle<Result<(), Error>>,
    ended: Option<Result<(), Error>>,
}

impl Stack {
    /// Asks everybody for what it depends on. [`Reason::Cycle`] if somebody depends on itself.
    pub fn new<S: Service>(service: &Arc<S>) -> Result<Stack, Error> {
        Stack::of(&Node::from(service))
    }

    /// As [`Stack::new`], for a service without its type.
    pub fn of(service: &Node) -> Result<Stack, Error> {
        Ok(Stack { steps: graph::plan(service)?, budget: None })
    }

    /// How long stopping may take in total. Who is not down by then is cut off and named. Without it, only the times of the services
    /// count, one after the other where they depend on each other.
    pub fn graceful_shutdown_timeout(self, budget: Duration) -> Stack {
        Stack { budget: Some(budget), ..self }
    }

    /// The names of the services, each behind all that it waits for.
    pub fn services(&self) -> Vec<String> {
        self.steps.iter().map(|step| step.node.name()).collect()
    }

    /// Starts everything; all is up when this returns. After a failure everything has stopped again. Dropped meanwhile, it stops.
    ///
    /// If a task asked for the stop before all was up, this is no error, and what comes back has ended.
    pub async fn start(self) -> Result<Running, Error> {
        let (up, is_up) = oneshot::channel();
        let mut running = self.launch(up);
        if is_up.await.is_err() {
            running.wait().await?;
        }
        Ok(running)
    }

    /// Runs it until it is stopped, a task fails, or a signal comes: the first stops it gracefully, the second at once. Both are
    /// reported, the first as the reason. They count from the first start on.
    pub async fn run(self, mut interrupts: Interrupts) -> Result<(), Error> {
        let mut running = self.launch(oneshot::channel().0);
        loop {
            tokio::select! {
                ended = running.wait() => return ended,
                signal = interrupts.next() => running.shared.interrupt(signal),
            }
        }
    }

    fn launch(self, up: oneshot::Sender<()>) -> Running {
        let shared = Arc::new(Shared::default());
        let driver = tokio::spawn(Drive::new(self.steps, shared.clone(), self.budget).run(up));
        Running { shared, driver, ended: None }
    }
}

impl Running {
    /// Whether all is up, and nobody has asked for the end.
    pub fn is_running(&self) -> bool {
        !self.shared.stop.is_cancelled() && !self.driver.is_finished()
    }

    /// Waits until somebody asks for the end, or something fails; nothing may have stopped yet.
    pub async fn ending(&self) {
        self.shared.stop.cancelled().await;
    }

    /// Waits until everything has stopped, whoever asked for it. An error if something went wrong, the same one as often as asked.
    pub async fn wait(&mut self) -> Result<(), Error> {
        if self.ended.is_none() {
            self.ended = Some(match (&mut self.driver).await {
                Ok(ended) => ended,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Err(Reason::RuntimeGone.into()),
                },
            });
        }
        self.ended.clone().expect("it was just set")
    }

    /// Stops everything gracefully, and waits for it.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.shared.stop.cancel();
        self.wait().await
    }

    /// Stops everything at once: what runs is dropped at its next await, and no `stop` is called. An error that says who was cut off.
    pub async fn stop_at_once(mut self) -> Result<(), Error> {
        self.shared.cut_off();
        self.wait().await
    }

    /// As [`Running::stop_at_once`], without waiting for it: for who cannot.
    pub fn abandon(self) {
        self.shared.cut_off();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stack").field("services", &self.services()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Running").field("is_running", &self.is_running()).finish_non_exhaustive()
    }
}
