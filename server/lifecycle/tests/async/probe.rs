//! A service that writes down what happens to it, and does in its start and its stop what a test gives it.

use bursar_lifecycle::{Context, Group, Outcome, Service};
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What happened, in order.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

pub struct Probe {
    pub name: String,
    pub log: Log,
    pub dependencies: Group,
    pub budget: Option<Duration>,
    pub finishes_start: bool,
    pub on_start: Box<dyn Fn(Context) -> Work + Send + Sync>,
    pub on_stop: Box<dyn Fn() -> Work + Send + Sync>,
}

impl Log {
    pub fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    /// All of it, and the log is empty again.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub fn has(&self, line: &str) -> bool {
        self.0.lock().unwrap().iter().any(|other| other == line)
    }

    /// Writes a line when it is dropped: when what holds it ends, however it ends.
    pub fn at_end(&self, line: &str) -> AtEnd {
        AtEnd(self.clone(), line.to_owned())
    }

    pub fn probe(&self, name: &str) -> Probe {
        Probe {
            name: name.to_owned(),
            log: self.clone(),
            dependencies: Group::none(),
            budget: None,
            finishes_start: false,
            on_start: Box::new(|_| Box::pin(async { Ok(()) })),
            on_stop: Box::new(|| Box::pin(async { Ok(()) })),
        }
    }
}

pub struct AtEnd(Log, String);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.add(self.1.clone());
    }
}

impl Probe {
    pub fn on(self, dependencies: Group) -> Probe {
        Probe { dependencies, ..self }
    }

    pub fn starting<F>(self, start: impl Fn(Context) -> F + Send + Sync + 'static) -> Probe
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Probe { on_start: Box::new(move |context| Box::pin(start(context))), ..self }
    }

    pub fn stopping<F>(self, stop: impl Fn() -> F + Send + Sync + 'static) -> Probe
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Probe { on_stop: Box::new(move || Box::pin(stop())), ..self }
    }

    pub fn arc(self) -> Arc<Probe> {
        Arc::new(self)
    }
}

impl Service for Probe {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn dependencies(&self) -> Group {
        self.dependencies.clone()
    }

    fn graceful_shutdown_timeout(&self) -> Duration {
        self.budget.unwrap_or(bursar_lifecycle::GRACEFUL_SHUTDOWN_TIMEOUT)
    }

    fn finishes_start(&self) -> bool {
        self.finishes_start
    }

    async fn start(self: Arc<Self>, context: Context) -> Outcome {
        (self.on_start)(context).await?;
        self.log.add(format!("{} started", self.name));
        Ok(())
    }

    async fn stop(self: Arc<Self>) -> Outcome {
        (self.on_stop)().await?;
        self.log.add(format!("{} stopped", self.name));
        Ok(())
    }
}
