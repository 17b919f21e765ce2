//! `bursar start`, `stop`, `kill`, `restart`, `scale` and `signal`: what processes are to be. The newest wish wins.

use super::{Home, Target, failure, listed, open, ps, settle::Settling, target};
use crate::{
    cli::{
        self, Signals,
        failure::{Exit, Failure},
        name, not_in_time,
        output::Output,
    },
    config,
};
use bursar::{
    Manager, Wait,
    processes::{Process, SuperviseClient, Until},
};
use serde_json::json;

/// How long a command stays.
#[derive(clap::Args, Clone, Debug)]
struct Patience {
    /// Do not wait until it is so
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// How long to wait until it is so, such as 500ms, 30s, forever
    #[arg(long, default_value = "forever", value_name = "DURATION", value_parser = config::wait)]
    wait: Wait,
}

/// What `start`, `stop` and `kill` take.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    home: Home,
    /// These; without: all
    #[arg(value_parser = name)]
    name: Vec<String>,
    #[command(flatten)]
    patience: Patience,
}

/// Start processes, and those they depend on; exit code 1: one did not come up
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar start\n  bursar start web --wait 30s")]
pub struct Start {
    #[command(flatten)]
    args: Args,
}

/// Stop processes, and before them those that depend on them
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar stop\n  bursar stop web db --no-wait")]
pub struct Stop {
    #[command(flatten)]
    args: Args,
}

/// Kill processes with all that they have started, at once
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  bursar kill web")]
pub struct Kill {
    #[command(flatten)]
    args: Args,
}

/// Replace workers one after the other, each new one ready before its old one goes; exit code 1: one did not come up
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar restart\n  bursar restart web\n  bursar restart web/1 --wait 1m")]
pub struct Restart {
    #[command(flatten)]
    home: Home,
    /// These; with a number, only that worker; without: all
    #[arg(value_name = "NAME[/WORKER]", value_parser = target)]
    target: Vec<Target>,
    #[command(flatten)]
    patience: Patience,
}

/// Change how many workers processes have; exit code 1: one did not come up
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  bursar scale web=4 mailer=0")]
pub struct Scale {
    #[command(flatten)]
    home: Home,
    /// A process, and its workers from now on
    #[arg(required = true, value_name = "NAME=N", value_parser = scaled)]
    to: Vec<(String, u32)>,
    #[command(flatten)]
    patience: Patience,
}

/// Send a signal to workers: to the processes that were started as such, not to what these have started
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar signal HUP web\n  bursar signal 10 web/0 db")]
pub struct Signal {
    #[command(flatten)]
    home: Home,
    /// The signal, by name or number
    #[arg(value_parser = bursar::processes::signal_number)]
    signal: i32,
    /// To all workers of these; with a number, only to that one
    #[arg(required = true, value_name = "NAME[/WORKER]", value_parser = target)]
    target: Vec<Target>,
}

pub fn start(args: Start) -> Result<(), Failure> {
    let Args { home, name, patience } = args.args;
    wish(&home, &patience, name, Goal::Up, async |supervise, names| supervise.start(names.to_vec()).await.map_err(failure))
}

pub fn stop(args: Stop) -> Result<(), Failure> {
    let Args { home, name, patience } = args.args;
    wish(&home, &patience, name, Goal::Down, async |supervise, names| supervise.stop(names.to_vec()).await.map_err(failure))
}

pub fn kill(args: Kill) -> Result<(), Failure> {
    let Args { home, name, patience } = args.args;
    wish(&home, &patience, name, Goal::Down, async |supervise, names| supervise.kill(names.to_vec()).await.map_err(failure))
}

pub fn restart(args: Restart) -> Result<(), Failure> {
    let Restart { home, target, patience } = args;
    let names = target.iter().map(|target| target.name.clone()).collect();
    wish(&home, &patience, names, Goal::Replaced, async |supervise, _| {
        if target.is_empty() {
            return supervise.restart(Vec::new(), None).await.map_err(failure);
        }
        has_workers(supervise, &target).await?;
        for Target { name, worker } in &target {
            supervise.restart(vec![name.clone()], *worker).await.map_err(failure)?;
        }
        Ok(())
    })
}

pub fn scale(args: Scale) -> Result<(), Failure> {
    let Scale { home, to, patience } = args;
    let names = to.iter().map(|(name, _)| name.clone()).collect();
    wish(&home, &patience, names, Goal::Workers, async |supervise, _| {
        for (name, workers) in &to {
            supervise.scale(name.clone(), *workers).await.map_err(failure)?;
        }
        Ok(())
    })
}

pub fn signal(args: Signal) -> Result<(), Failure> {
    cli::session(&args.home.client()?, Signals::End, async |manager, output| {
        let supervise = open(manager).await?;
        has_workers(&supervise, &args.target).await?;
        for target in &args.target {
            supervise.signal(target.name.clone(), args.signal, target.worker).await.map_err(failure)?;
            let name = bursar_supervisor::signal_name(args.signal);
            let document = json!({ "name": target.name, "worker": target.worker, "signal": args.signal });
            output.result(document, format_args!("{target}: {name} was sent"))?;
        }
        Ok(())
    })
}

/// An error, if one of these is a worker that its process does not have.
async fn has_workers(supervise: &SuperviseClient, targets: &[Target]) -> Result<(), Failure> {
    let names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
    let processes = listed(supervise, &names, false).await?;
    targets.iter().zip(&processes).try_for_each(|(target, process)| has_worker(target, process))
}

fn has_worker(target: &Target, process: &Process) -> Result<(), Failure> {
    let missing = target.worker.filter(|number| process.workers.iter().all(|worker| worker.number != *number));
    match missing {
        Some(number) => Err(Failure::new(Exit::Usage, format!("{} has no worker {number}", process.name))),
        None => Ok(()),
    }
}

/// What processes are to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Up,
    /// As `Up`, when what was begun has ended.
    Replaced,
    /// As `Up`, with as many as were wished; none is all right, too.
    Workers,
    Down,
}

impl Goal {
    /// Whether processes are to be up then; none: that is as it was.
    fn is_up(self) -> Option<bool> {
        match self {
            Goal::Up | Goal::Replaced => Some(true),
            Goal::Workers => None,
            Goal::Down => Some(false),
        }
    }
}

fn wish(
    home: &Home,
    patience: &Patience,
    names: Vec<String>,
    goal: Goal,
    wish: impl AsyncFnOnce(&SuperviseClient, &[String]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    cli::session(&home.client()?, Signals::End, async |manager: &Manager, output| {
        let supervise = open(manager).await?;
        let settling = Settling::begin(&supervise, &names, |progress| eprintln!("{progress}")).await?;
        let settling = settling.wished(goal.is_up());
        wish(&supervise, &names).await?;
        if patience.no_wait {
            return Ok(());
        }
        within(patience.wait, reach(goal, settling, &supervise, &names)).await?;
        finish(&supervise, &names, output).await
    })
}

async fn reach(goal: Goal, settling: Settling<'_>, supervise: &SuperviseClient, names: &[String]) -> Result<(), Failure> {
    match goal {
        Goal::Up => settling.up().await.map(drop),
        Goal::Down => settling.until(Until::Down).await,
        Goal::Workers | Goal::Replaced => {
            settling.until(Until::Settled).await?;
            // Who failed meanwhile has failed at this.
            let after = Settling::of_all(supervise, names, |_| {}).wished(goal.is_up());
            let after = if goal == Goal::Workers { after.or_none() } else { after };
            after.up().await.map(drop)
        }
    }
}

async fn within(wait: Wait, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    match wait {
        Wait::Forever => work.await,
        Wait::Never => Err(late()),
        Wait::For(time) => tokio::time::timeout(time, work).await.unwrap_or_else(|_| Err(late())),
    }
}

fn late() -> Failure {
    not_in_time("the wish stays; it did not come true".into())
}

/// What has come of it, in a line for each process.
async fn finish(supervise: &SuperviseClient, names: &[String], output: &mut Output) -> Result<(), Failure> {
    let processes = listed(supervise, names, false).await?;
    match output.json {
        true => output.document(&processes.iter().map(ps::document).collect()),
        false => processes.iter().try_for_each(|process| output.line(summary(process))),
    }
}

/// `web: 2 ready, 1 finished`.
fn summary(process: &Process) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for state in process.workers.iter().map(|worker| super::table::state_in(process, worker)) {
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    let counts = counts.iter().map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", ");
    let counts = if counts.is_empty() { "no workers".to_owned() } else { counts };
    format!("{}: {counts}", process.name)
}

fn scaled(text: &str) -> Result<(String, u32), String> {
    let expected = || format!("expected NAME=N, such as web=4, got {text:?}");
    let (name_text, workers) = text.split_once('=').ok_or_else(expected)?;
    let workers = workers.parse().map_err(|_| expected())?;
    Ok((name(name_text).map_err(|fault| fault.to_string())?, workers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar::processes::{Worker, WorkerState};

    #[test]
    fn a_number_of_workers_is_read() {
        assert_eq!(scaled("web=4"), Ok(("web".into(), 4)));
        for bad in ["web", "web=", "web=-1", "web=many", "=3"] {
            assert!(scaled(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_worker_that_is_not_there_is_told() {
        let slow = Process { name: "slow".into(), workers: vec![Worker::default()], ..Process::default() };
        let target = |worker| Target { name: "slow".into(), worker };
        assert!(has_worker(&target(None), &slow).is_ok() && has_worker(&target(Some(0)), &slow).is_ok());
        assert_eq!(has_worker(&target(Some(9)), &slow).unwrap_err().message, "slow has no worker 9");
    }

    #[test]
    fn the_summary_counts_workers_by_state() {
        let worker = |state| Worker { state, healthy: true, ..Worker::default() };
        let workers = vec![worker(WorkerState::Ready), worker(WorkerState::Waiting), worker(WorkerState::Ready)];
        assert_eq!(summary(&Process { name: "web".into(), workers, ..Process::default() }), "web: 2 ready, 1 waiting");
        assert_eq!(summary(&Process { name: "web".into(), ..Process::default() }), "web: no workers");
    }
}
