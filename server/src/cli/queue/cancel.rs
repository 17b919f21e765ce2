//! `bursar queue cancel`: takes an item from whoever works on it. The holder is told first; a worker of this broker that does not let go
//! is ended by its supervisor; from anybody else the item is taken away.

use super::super::{
    failure::{Exit, Failure},
    name,
    output::Output,
};
use crate::config;
use bursar::{
    Fault, Manager, Queue, Raw,
    processes::{self, SuperviseClient},
    queue::{Cancel, Cancelled, Outcome, Then},
};
use serde_json::json;
use std::time::Duration;

/// How long the end of a worker may take to reach the queue: its session ends when its process is seen to have exited.
const FREED_WITHIN: Duration = Duration::from_secs(10);

/// Take an item from whoever works on it
///
/// The holder is told, and has the grace to let go; `bursar queue work` stops its command. If it does not, and it is a worker of the
/// broker, that worker is ended (and started again, as its restart policy has it). From any other holder the item is taken away: it
/// is not stopped, and what it still does with the item is refused. None of it counts as a failure or a crash of the item.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  bursar queue cancel jobs 17\n  bursar queue cancel jobs 17 --grace 0 --then park --why 'eats all memory'"
)]
pub struct Args {
    /// The queue
    #[arg(value_parser = name)]
    name: String,
    /// The item, by its id
    item: u64,
    /// How long its holder has to let go of it
    #[arg(long, value_name = "DURATION", value_parser = config::duration, default_value = "5s")]
    grace: Duration,
    /// What comes of it
    #[arg(long, value_enum, default_value_t = Fate::Requeue)]
    then: Fate,
    /// Kept in the item's history
    #[arg(long, default_value = "by an operator")]
    why: String,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Fate {
    /// It goes back to the head of the queue
    Requeue,
    /// It is put aside
    Park,
}

/// How it came that the item was let go.
enum How {
    /// By its holder, or nobody held it.
    Freely,
    /// Its holder was ended.
    Ended,
    /// It was taken away.
    Taken,
}

pub async fn run(args: &Args, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
    let queue = super::open(manager, &args.name, false).await?;
    let told = args.cancel(&queue).grace(args.grace).send().await?;
    let holder = match told.session {
        Some(session) => holder(manager, session).await?,
        None => String::new(),
    };
    let (cancelled, how) = match (told.outcome, told.session, told.lease) {
        (Outcome::Held, Some(session), Some(lease)) => args.insist(manager, &queue, session, lease).await?,
        _ => (told, How::Freely),
    };
    args.say(cancelled, &how, &holder, output)
}

impl Args {
    fn cancel(&self, queue: &Queue<Raw>) -> Cancel {
        let then = match self.then {
            Fate::Requeue => Then::Requeue,
            Fate::Park => Then::Park,
        };
        queue.cancel(self.item).then(then).why(&self.why)
    }

    /// The holder does not let go.
    async fn insist(&self, manager: &Manager, queue: &Queue<Raw>, session: u64, lease: u64) -> Result<(Cancelled, How), Failure> {
        if !end_worker(manager, session).await? {
            return Ok((self.cancel(queue).under(lease).force().send().await?, How::Taken));
        }
        let mut told = self.cancel(queue).under(lease).grace(FREED_WITHIN).send().await?;
        if told.outcome == Outcome::Held {
            told = self.cancel(queue).under(lease).force().send().await?;
        }
        Ok((told, How::Ended))
    }

    fn say(&self, cancelled: Cancelled, how: &How, holder: &str, output: &mut Output) -> Result<(), Failure> {
        let (name, item) = (&self.name, self.item);
        let (word, what) = match cancelled.outcome {
            Outcome::Requeued => ("requeued", format!("item {item} is in {name} again")),
            Outcome::Parked => ("parked", format!("item {item} of {name} is parked")),
            Outcome::Done => ("done", format!("item {item} of {name} is done: its holder was faster")),
            Outcome::Queued => ("queued", format!("nobody holds item {item}: it waits in {name} as before")),
            Outcome::Gone => ("gone", format!("nobody holds item {item} of {name}: it was done, dropped or expired before")),
            other => return Err(Failure::new(Exit::Failed, format!("queue cancel {name} {item}: {other:?}"))),
        };
        let (stopped, more) = match how {
            How::Freely => ("", String::new()),
            How::Ended => ("ended", format!("; its holder ({holder}) did not let go, and was ended")),
            How::Taken => (
                "not stopped",
                format!(
                    "; its holder ({holder}) was not stopped: it is not a worker of this broker; \
                     what it still does with the item is refused"
                ),
            ),
        };
        let document = json!({
            "item": item,
            "outcome": word,
            "session": cancelled.session,
            "holder": holder,
            "stopped": stopped,
        });
        output.result(document, format_args!("{what}{more}"))
    }
}

/// False: the session is of no worker of this broker.
async fn end_worker(manager: &Manager, session: u64) -> Result<bool, Failure> {
    let supervisor = match SuperviseClient::open(manager, processes::OBJECT).await {
        Err(error) if matches!(error.fault(), Some(Fault::NoSuchObject { .. })) => return Ok(false),
        supervisor => supervisor?,
    };
    let ended = supervisor.end_worker_of(session).await;
    ended.map_err(|error| Failure::new(Exit::Failed, format!("the worker of session {session} could not be ended: {error}")))
}

/// Who a session is, as operators read it.
async fn holder(manager: &Manager, session: u64) -> Result<String, Failure> {
    let status = manager.status().await?;
    Ok(match status.sessions.into_iter().find(|info| info.id == session) {
        Some(info) if info.pid > 0 => format!("{}, pid {} on {}", info.label, info.pid, info.host),
        Some(info) => format!("{} from {}", info.label, info.peer),
        None => format!("session {session}"),
    })
}
