//! The worker's own side: who it is, what it asks of its supervisor, and how it learns that it is to end. It knows nothing of other workers,
//! and does nothing about signals.

use super::channels::{self, READY, RESTART, STOP, WORKER};
use crate::{End, Manager, Message, Payload, Raw, Received, Result, Subscription, Wait, environment};
use std::fmt;
use tokio::sync::watch;

/// This process, as a worker that a supervisor has started.
///
/// What it asks travels by the control channel of its process. So does what it is asked: [`stopping`](ThisWorker::stopping) is for those whose
/// description has `stop.ask_ms`. The signal that comes after, or instead, is the program's own matter.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// # for kind in ["active", "passive", "control"] { manager.channel::<bursar::Raw>(&format!("resize-{kind}")).create().await?; }
/// use bursar::processes::ThisWorker;
///
/// // As `ThisWorker::from_env(&manager)` finds in the environment:
/// let worker = ThisWorker::open(&manager, "resize", 2).await?;
/// let mut jobs = worker.active::<String>().await?;
/// worker.ready().await?;
/// # let processes = manager.processes();
/// # processes.active::<String>("resize").await.unwrap().send("a.png".to_owned()).await?;
/// # let stop = bursar::Message::new(bursar::Raw { data: "stop".into(), codec: bursar::Raw::RAW }).header("worker", "2");
/// # processes.control("resize").await.unwrap().send_with(stop, bursar::Wait::Forever).await?;
/// loop {
///     tokio::select! {
///         biased;
///         job = jobs.receive() => println!("resizing {}", job?),
///         () = worker.stopping() => break,
///     }
/// }
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct ThisWorker {
    process: String,
    number: u32,
    control: End<Raw>,
    stop: watch::Receiver<bool>,
    /// Listens for the word to stop.
    _control: Subscription,
}

impl fmt::Debug for ThisWorker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ThisWorker").field("process", &self.process).field("number", &self.number).finish()
    }
}

impl ThisWorker {
    /// The worker that this process is, as its environment says (`BURSAR_PROCESS`, `BURSAR_WORKER`). From now on it can be asked to stop.
    ///
    /// [`Error::Setting`](crate::Error::Setting): no supervisor has started this process. Fault: `NoSuchObject`, when the broker is not the
    /// one that did. As all that listens, it runs in a task of the current tokio runtime, or in a thread of its own.
    pub async fn from_env(manager: &Manager) -> Result<ThisWorker> {
        let (process, number) = environment::worker()?;
        ThisWorker::open(manager, &process, number).await
    }

    /// The worker of this number, whoever has started it.
    pub async fn open(manager: &Manager, process: &str, number: u32) -> Result<ThisWorker> {
        let control = manager.raw_channel(&channels::control(process)).open().await?.b();
        let (told, stop) = watch::channel(false);
        let is_stop = |word: &Raw| *word.data == *STOP.as_bytes();
        let listener = control.listener().header(WORKER, number.to_string()).filter(is_stop);
        let subscription = listener
            .on_receive(move |word: &Received<Raw>| {
                // What a predecessor of this number was told and could not do any more is not for this one.
                if !word.is_redelivered() {
                    told.send_replace(true);
                }
            })
            .await?;
        Ok(ThisWorker { process: process.to_owned(), number, control, stop, _control: subscription })
    }

    /// The name of its process.
    pub fn process(&self) -> &str {
        &self.process
    }

    /// Its number, from 0: the same after a restart.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Says that it can be used now: from then on it is up, also where a check of its startup would find that out later.
    pub async fn ready(&self) -> Result<()> {
        self.say(READY).await
    }

    /// Asks for another worker in its place, which is ready before this one is stopped. It is stopped as any other: it does not end
    /// itself.
    pub async fn restart(&self) -> Result<()> {
        self.say(RESTART).await
    }

    /// Asks that its whole process be down, all its workers, and stays so.
    pub async fn stop(&self) -> Result<()> {
        self.say(STOP).await
    }

    /// Waits until it is asked to stop, by message; at once if that was before. Signals are not heard here.
    pub async fn stopping(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|is_asked| *is_asked).await.is_err() {
            // Nobody listens any more: the session is over. Calls say so.
            std::future::pending().await
        }
    }

    /// Whether it was asked to stop, by message.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// This side's end of the active channel of its process: each message goes to one of the workers that receive.
    pub async fn active<T: Payload>(&self) -> Result<End<T>> {
        self.channel(&channels::active(&self.process)).await
    }

    /// This side's end of the passive channel of its process: callbacks of all workers get each message that they are for.
    pub async fn passive<T: Payload>(&self) -> Result<End<T>> {
        self.channel(&channels::passive(&self.process)).await
    }

    async fn channel<T: Payload>(&self, channel: &str) -> Result<End<T>> {
        Ok(self.control.manager().channel(channel).open().await?.b())
    }

    async fn say(&self, word: &'static str) -> Result<()> {
        let word = Raw { data: word.into(), codec: Raw::RAW };
        let message = Message::new(word).header(WORKER, self.number.to_string());
        self.control.send_with(message, Wait::Forever).await.map(drop)
    }
}
