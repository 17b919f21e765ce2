//! What a process and its supervisor talk through: three channels of its name. Of what comes over the control channel three words are
//! understood; to ask a worker to stop is what goes out.

use super::{
    keeper::Kept,
    ledger::Ledger,
    order::{Step, Wish},
};
use bursar::{Channel, Message, Payload, Raw, Received};
use bursar_proto::Wait;
use bursar_supervisor::plan::{Input, Run};
use std::{sync::Arc, time::Duration};

/// Which number a worker has, in a message for it or from it.
const WORKER: &str = "worker";
/// How long one waits before a control channel that was lost is opened again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a worker may be asked to take a message. There is room as a rule.
const ASK: Duration = Duration::from_secs(1);
/// How much is said of a message that is not understood.
const SHOWN_CHARS: usize = 60;

/// All three are there, or it is told why not.
pub async fn open(ledger: &Ledger) {
    for end in ["active", "passive", "control"] {
        if let Err(error) = channel(ledger, end).await {
            ledger.say(None, "message", format!("its channel {}-{end} cannot be used: {error}", ledger.name));
        }
    }
}

async fn channel(ledger: &Ledger, end: &str) -> bursar::Result<Channel<Raw>> {
    ledger.world.manager.raw_channel(&format!("{}-{end}", ledger.name)).open_or_create().await
}

/// Listens to what workers ask for.
pub async fn listen(kept: Arc<Kept>) {
    loop {
        if let Err(error) = hear_all(&kept).await {
            tracing::debug!(process = kept.ledger.name, %error, "the control channel is lost");
        }
        kept.ledger.world.clock.sleep(AGAIN).await;
    }
}

async fn hear_all(kept: &Arc<Kept>) -> bursar::Result<()> {
    let mut end = channel(&kept.ledger, "control").await?.a();
    loop {
        let message = end.receive_message().await?;
        hear(kept, &message).await;
        message.done().await?;
    }
}

async fn hear(kept: &Kept, message: &Received<Raw>) {
    let text = text(message.value());
    let worker: Option<u32> = message.header(WORKER).and_then(|worker| worker.parse().ok());
    match (text.as_str(), worker) {
        ("restart", worker) => {
            kept.ledger.say(worker, "message", "asks for a restart");
            kept.ledger.obey(Step::Restart(worker));
        }
        ("stop", worker) => {
            kept.ledger.say(worker, "message", "asks to be stopped");
            if let Some(supervisor) = kept.supervisor.upgrade() {
                supervisor.wish(Wish::Stop, std::slice::from_ref(&kept.ledger.name));
            }
        }
        ("ready", Some(worker)) => {
            let newest = kept
                .ledger
                .look(|facts| facts.runs.iter().rev().find(|(_, running)| running.worker == worker).map(|(run, _)| *run));
            if let Some(run) = newest {
                kept.process.tell(Input::Ready(run)).await;
            }
        }
        (text, worker) => {
            let shown: String = text.chars().take(SHOWN_CHARS).collect();
            let problem =
                format!("the message {shown:?} is not understood; expected restart, stop, or ready with a header {WORKER}");
            kept.ledger.say(worker, "message", problem);
        }
    }
}

/// Plain text, or a text as the SDK writes it.
fn text(raw: &Raw) -> String {
    let read = (raw.codec == Raw::MESSAGEPACK || raw.codec == Raw::JSON).then(|| String::decode(raw.clone()).ok()).flatten();
    read.unwrap_or_else(|| String::from_utf8_lossy(&raw.data).trim().to_owned())
}

/// Asks a worker to stop. It is not said to those who come later, should nobody listen.
pub async fn ask(ledger: Arc<Ledger>, run: Run) {
    let Some(worker) = ledger.look(|facts| facts.runs.get(&run).map(|running| running.worker)) else { return };
    let message = Message::new(Raw::from("stop")).header(WORKER, worker.to_string()).must_be_heard();
    let sent = async { channel(&ledger, "control").await?.a().send_with(message, Wait::For(ASK)).await };
    if let Err(error) = sent.await {
        tracing::debug!(process = ledger.name, worker, %error, "a worker could not be asked to stop");
    }
}
