//! `bursar queue work`: runs a command for each item. The item is on the command's stdin; how the command exits settles it.

use super::super::{
    Interrupts, acquired,
    child::{self, Command, Place, Running},
    failure::{Exit, Failure},
    output::Output,
    payload,
};
use bursar::{Fence, Lease, Manager, Raw};
use bursar_proto::Fault;
use rustix::process::Signal;
use serde_json::json;
use std::{
    future::Future,
    os::unix::process::ExitStatusExt,
    pin::Pin,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{io::AsyncWriteExt, sync::watch, task::JoinSet};

/// Run a command for each item, until the queue is closed and drained
///
/// The item is on the command's stdin (MessagePack as JSON; --raw: as stored), its id, attempt and queue in the environment as
/// BURSAR_ITEM_ID, BURSAR_ATTEMPT and BURSAR_QUEUE. Exit code 0: the item is done. 65: it is parked. 75 or any other: it failed
/// and is tried again after a delay, until the queue's limit parks it. SIGTERM, SIGHUP, SIGQUIT or ctrl-c: no new items, running
/// commands finish; a second one kills them, and their items go back unharmed.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar queue work jobs -j 4 -- ./handle-job
  bursar queue work mail -- sh -c 'sendmail \"$(jq -r .to)\"'")]
pub struct Args {
    /// The queue
    #[arg(value_parser = super::super::name)]
    name: String,
    /// How many commands run at a time
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Give the bytes as they are stored, MessagePack too
    #[arg(long)]
    raw: bool,
    /// When an item is cancelled: how long its command has between SIGTERM and SIGKILL
    #[arg(long, value_name = "DURATION", value_parser = crate::config::duration, default_value = "10s")]
    grace: Duration,
    /// Items are settled only while the lock NAME is held under this token
    #[arg(long, value_name = "NAME:TOKEN")]
    fence: Option<Fence>,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// How an item ended.
#[derive(Debug, PartialEq)]
enum Outcome {
    Done,
    Retry(String),
    Park(String),
    /// The command was killed because the user asked for it.
    Killed,
    /// The item was asked back, and the command stopped.
    Cancelled(&'static str),
    /// The item had gone to somebody else before it could be settled.
    Lost(String),
}

/// What one command did.
struct Report {
    id: u64,
    attempt: u32,
    outcome: Outcome,
}

type Getting<'a> = Pin<Box<dyn Future<Output = bursar::Result<Lease<Raw>>> + 'a>>;

/// The commands that run now, and what became of the earlier ones.
struct Work {
    args: Arc<Args>,
    running: JoinSet<Result<Report, Failure>>,
    kill: watch::Sender<bool>,
    /// No new items: a signal came, the queue is drained, or something failed.
    stopping: bool,
    /// The queue is closed and has nothing else: only what runs here may come back into it.
    closed: bool,
    /// Something ended here since an item was asked for: what the broker says of the queue's end may be older.
    ended_since: bool,
    failure: Option<Failure>,
    done: u64,
    failed: u64,
    parked: u64,
    released: u64,
    lost: u64,
}

pub async fn run(args: Args, manager: &Manager, mut interrupts: Interrupts, output: &mut Output) -> Result<(), Failure> {
    let queue = acquired(&mut interrupts, super::open(manager, &args.name, false)).await?;
    let queue = super::fenced(queue, args.fence.as_ref());
    let mut work = Work::new(args);
    let mut getting: Option<Getting<'_>> = None;
    loop {
        match work.wants_more() {
            true if getting.is_none() => {
                work.ended_since = false;
                getting = Some(Box::pin(queue.get()));
            }
            true => {}
            false => getting = None,
        }
        if work.stopping && work.running.is_empty() {
            break;
        }
        tokio::select! {
            lease = async { getting.as_mut().expect("the branch's condition").await }, if getting.is_some() => {
                getting = None;
                work.got(lease);
            }
            Some(report) = work.running.join_next(), if !work.running.is_empty() => {
                work.finished(report.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())), output);
            }
            _ = interrupts.next() => work.interrupted(),
        }
    }
    work.end()
}

impl Work {
    fn new(args: Args) -> Work {
        let (kill, _) = watch::channel(false);
        let running = JoinSet::new();
        Work {
            args: Arc::new(args),
            running,
            kill,
            stopping: false,
            closed: false,
            ended_since: false,
            failure: None,
            done: 0,
            failed: 0,
            parked: 0,
            released: 0,
            lost: 0,
        }
    }

    fn wants_more(&self) -> bool {
        !self.stopping && !self.closed && self.running.len() < usize::from(self.args.jobs)
    }

    fn got(&mut self, lease: bursar::Result<Lease<Raw>>) {
        match lease {
            Ok(lease) => {
                self.running.spawn(handle(self.args.clone(), lease, self.kill.subscribe()));
            }
            Err(error) if matches!(error.fault(), Some(Fault::Closed {})) => {
                if self.ended_since {
                    return;
                }
                self.closed = true;
                self.stopping |= self.running.is_empty();
            }
            Err(error) => self.fail(error.into()),
        }
    }

    fn finished(&mut self, report: Result<Report, Failure>, output: &mut Output) {
        (self.closed, self.ended_since) = (false, true);
        let Report { id, attempt, outcome } = match report {
            Ok(report) => report,
            Err(failure) => return self.fail(failure),
        };
        let (word, why, count) = match &outcome {
            Outcome::Done => ("done", None, &mut self.done),
            Outcome::Retry(why) => ("retry", Some(why.clone()), &mut self.failed),
            Outcome::Park(why) => ("parked", Some(why.clone()), &mut self.parked),
            Outcome::Killed => ("released", None, &mut self.released),
            Outcome::Cancelled(how) => {
                ("cancelled", Some(format!("the item was cancelled, and the command {how}")), &mut self.released)
            }
            Outcome::Lost(why) => ("lost", Some(why.clone()), &mut self.lost),
        };
        *count += 1;
        if output.json {
            let document = json!({ "id": id, "attempt": attempt, "outcome": word, "why": why });
            if let Err(failure) = output.document(&document).and_then(|()| output.flush()) {
                self.fail(failure);
            }
        } else if let Some(why) = why {
            eprintln!("bursar: queue work {}: item {id}, attempt {attempt}: {why}: {word}", self.args.name);
        }
    }

    /// The first failure is the one that is told.
    fn fail(&mut self, failure: Failure) {
        self.stopping = true;
        self.failure.get_or_insert(failure);
    }

    fn interrupted(&mut self) {
        match std::mem::replace(&mut self.stopping, true) {
            false => eprintln!("bursar: queue work {}: stopping when running commands have finished", self.args.name),
            true => {
                self.kill.send_replace(true);
                self.fail(Failure::new(
                    Exit::Interrupted,
                    "interrupted: running commands were killed, their items went back unharmed",
                ));
            }
        }
    }

    fn end(self) -> Result<(), Failure> {
        let Work { done, failed, parked, released, lost, .. } = &self;
        let more = [(released, "given back"), (lost, "lost")].into_iter().filter(|(count, _)| **count > 0);
        let more: String = more.map(|(count, word)| format!(", {count} {word}")).collect();
        eprintln!("bursar: queue work {}: {done} done, {failed} failed, {parked} parked{more}", self.args.name);
        match self.failure {
            Some(failure) => Err(failure.context(format!("queue work {}", self.args.name))),
            None => Ok(()),
        }
    }
}

/// Runs the command for one item and settles the item. An error means that nothing could be run or settled: it ends all work.
async fn handle(args: Arc<Args>, lease: Lease<Raw>, kill: watch::Receiver<bool>) -> Result<Report, Failure> {
    let (id, attempt) = (lease.id(), lease.attempt());
    let input = if args.raw { lease.data.clone() } else { payload::shown(&lease) };
    let mut running = match Running::start(command(&args, id, attempt), Place::Apart) {
        Ok(running) => running,
        Err(error) => {
            lease.release().await?;
            let message = format!("{:?} cannot be run: {error}; item {id} went back unharmed", args.command[0]);
            return Err(Failure::new(Exit::Failed, message));
        }
    };
    let mut stdin = running.child.stdin.take().expect("stdin is piped");
    // A command need not read its item: a closed pipe says nothing about how it ends.
    let feed = async move { _ = stdin.write_all(&input).await };
    let outcome = tokio::join!(feed, outcome(&mut running, kill, lease.cancelled(), args.grace)).1?;
    let settled = match &outcome {
        Outcome::Done => lease.done().await,
        Outcome::Retry(why) => lease.retry_because(why, None).await,
        Outcome::Park(why) => lease.park(why).await,
        Outcome::Killed | Outcome::Cancelled(_) | Outcome::Lost(_) => lease.release().await,
    };
    match settled {
        Ok(()) => Ok(Report { id, attempt, outcome }),
        Err(error) if matches!(error.fault(), Some(Fault::NotHeld { .. })) => {
            Ok(Report { id, attempt, outcome: Outcome::Lost(error.to_string()) })
        }
        Err(error) => Err(error.into()),
    }
}

fn command(args: &Args, id: u64, attempt: u32) -> Command {
    let mut command = child::command(&args.command);
    command.env("BURSAR_ITEM_ID", id.to_string()).env("BURSAR_ATTEMPT", attempt.to_string()).env("BURSAR_QUEUE", &args.name);
    command.stdin(Stdio::piped());
    command
}

async fn outcome(
    running: &mut Running,
    mut kill: watch::Receiver<bool>,
    cancelled: impl Future<Output = ()>,
    grace: Duration,
) -> Result<Outcome, Failure> {
    let lost = |error| Failure::new(Exit::Failed, format!("a command cannot be waited for: {error}"));
    tokio::select! {
        status = running.child.wait() => return Ok(judge(status.map_err(lost)?)),
        () = async { _ = kill.wait_for(|&kill| kill).await } => {}
        () = cancelled => {
            let how = running.stop(grace).await;
            running.child.wait().await.map_err(lost)?;
            return Ok(Outcome::Cancelled(how));
        }
    }
    running.signal(Signal::KILL);
    running.child.wait().await.map_err(lost)?;
    Ok(Outcome::Killed)
}

/// `EX_DATAERR` and `EX_TEMPFAIL` of sysexits.h.
const PARK: i32 = 65;
const RETRY: i32 = 75;

fn judge(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(0), _) => Outcome::Done,
        (Some(PARK), _) => Outcome::Park(format!("the command exited with {PARK}")),
        (Some(RETRY), _) => Outcome::Retry(format!("the command asked for a retry (exit code {RETRY})")),
        (Some(code), _) => Outcome::Retry(format!("the command exited with {code}")),
        (None, signal) => Outcome::Retry(format!("the command was killed by signal {}", signal.unwrap_or(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// A command had failed, and its item was back in the queue. The broker's answer to a question from before that, that nothing is in
    /// the queue but what runs here, was read after it: the work ended, and the item stayed.
    #[test]
    fn an_end_that_was_told_before_an_item_came_back_is_none() {
        let closed = || {
            let refusal = bursar::Refusal { fault: Fault::Closed {}, call: "queue.get", object: "jobs".into() };
            Err(bursar::Error::Fault(Box::new(refusal)))
        };
        let mut work = Work::new(Line::parse_from(["work", "jobs", "--", "false"]).args);
        let report = Report { id: 1, attempt: 1, outcome: Outcome::Retry("it failed".into()) };
        work.finished(Ok(report), &mut Output::stdout(false));
        work.got(closed());
        assert!(work.wants_more(), "the item may be there again");
        work.ended_since = false;
        work.got(closed());
        assert!(work.stopping, "nothing has come back since it asked");
    }

    #[test]
    fn exit_codes_settle_items() {
        let exited = |code: i32| judge(ExitStatus::from_raw(code << 8));
        assert_eq!(exited(0), Outcome::Done);
        assert!(matches!(exited(65), Outcome::Park(_)));
        assert!(matches!(exited(75), Outcome::Retry(why) if why.contains("asked")));
        assert!(matches!(exited(1), Outcome::Retry(why) if why.ends_with("with 1")));
        assert!(matches!(judge(ExitStatus::from_raw(9)), Outcome::Retry(why) if why.ends_with("signal 9")));
    }
}
