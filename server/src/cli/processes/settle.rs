//! Waiting until processes are as they were wished to be, telling meanwhile what happens to them.

use super::{
    broken, failure,
    lines::{not_run, told},
    listed, table,
};
use crate::cli::failure::{Exit, Failure};
use bursar::{
    CallError,
    object::Incoming,
    processes::{Activity, Process, SuperviseClient, Until, Worker, WorkerState},
};
use futures_util::{FutureExt, StreamExt, future::try_join_all};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, interval_at};

/// How often one looks, besides whenever something is told to have happened: what was told before one listened is seen so.
const LOOK: Duration = Duration::from_millis(200);

/// What happens to some processes; begun before a wish, so that what the wish leads to is not missed.
pub struct Settling<'a> {
    supervise: &'a SuperviseClient,
    names: &'a [String],
    activity: Incoming<Activity>,
    /// How often each had ended before: what failed then is no news.
    before: Ends,
    /// Where progress is told.
    tell: fn(&str),
    /// A process without workers is one that was wished so.
    may_be_none: bool,
    /// Whether they are to be up, as it was wished: a newer wish of the other kind is the end of this one.
    wished: Option<bool>,
}

/// When each worker ended last, Unix time in milliseconds, and how often it was started again.
type Ends = BTreeMap<(String, u32), (u64, u64)>;

/// How far something is that is to be up.
#[derive(Debug, PartialEq, Eq)]
enum Settled {
    Not,
    Up,
    /// In words, a sentence for each worker that is not up.
    Failed(Vec<String>),
}

impl<'a> Settling<'a> {
    pub async fn begin(supervise: &'a SuperviseClient, names: &'a [String], tell: fn(&str)) -> Result<Settling<'a>, Failure> {
        let before = ends(&listed(supervise, names, false).await?);
        Ok(Settling { before, ..Settling::of_all(supervise, names, tell) })
    }

    /// All that has failed counts, also before.
    pub fn of_all(supervise: &'a SuperviseClient, names: &'a [String], tell: fn(&str)) -> Settling<'a> {
        let mut activity = supervise.activity(0);
        // It begins when it is first asked.
        let _ = activity.next().now_or_never();
        Settling { supervise, names, activity, before: Ends::new(), tell, may_be_none: false, wished: None }
    }

    /// A process without workers is one that was wished so, and not one that is not begun.
    pub fn or_none(mut self) -> Settling<'a> {
        self.may_be_none = true;
        self
    }

    /// What was wished of them. Whoever wishes otherwise meanwhile overtakes it, and that is an error.
    pub fn wished(mut self, is_up: Option<bool>) -> Settling<'a> {
        self.wished = is_up;
        self
    }

    /// Until all are up, or something of them has failed. Gives how they are then.
    pub async fn up(mut self) -> Result<Vec<Process>, Failure> {
        let mut count = None;
        loop {
            let processes = listed(self.supervise, self.names, false).await?;
            overtaken(&processes, self.wished)?;
            let counts = |process: &&Process| !(self.may_be_none && process.workers.is_empty());
            let wanted: Vec<_> = processes.iter().filter(counts).collect();
            match settled(&wanted, &self.before) {
                // Once more: who is up may be the one from before the wish.
                Settled::Up if count == Some(restarts(&processes)) => return Ok(processes),
                Settled::Up => count = Some(restarts(&processes)),
                Settled::Failed(what) => return Err(Failure::new(Exit::Failed, what.join("\n"))),
                Settled::Not => {}
            }
            self.look().await?;
        }
    }

    /// Until this is so of all of them.
    pub async fn until(mut self, until: Until) -> Result<(), Failure> {
        let names = names(self.supervise, self.names).await?;
        let supervise = self.supervise;
        let all = try_join_all(names.into_iter().map(|name| async move { supervise.wait(name, until).await }));
        tokio::pin!(all);
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        loop {
            tokio::select! {
                ended = &mut all => return ended.map(drop).map_err(failure),
                happened = self.activity.next() => self.happened(happened)?,
                _ = looks.tick(), if self.wished.is_some() => {
                    overtaken(&listed(supervise, self.names, false).await?, self.wished)?;
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(), Failure> {
        match tokio::time::timeout(LOOK, self.activity.next()).await {
            Ok(happened) => self.happened(happened),
            Err(_) => Ok(()),
        }
    }

    fn happened(&mut self, happened: Option<Result<Activity, CallError>>) -> Result<(), Failure> {
        let ended = || Failure::new(Exit::Unreachable, "the supervisor has stopped");
        let activity = happened.ok_or_else(ended)?.map_err(broken)?;
        if !self.names.is_empty() && !self.names.contains(&activity.process) {
            return Ok(());
        }
        if let Some(told) = told(&activity) {
            (self.tell)(&told);
        }
        Ok(())
    }
}

/// An error, if somebody has wished otherwise meanwhile. `wished`: whether they are to be up, if anything was said about that.
fn overtaken(processes: &[Process], wished: Option<bool>) -> Result<(), Failure> {
    let is_left = |worker: &Worker| matches!(worker.state, WorkerState::Finished | WorkerState::Spent);
    let is_otherwise = |process: &&Process| match wished {
        Some(false) => process.wanted,
        // Who ends and is left so is not wanted any more, too.
        Some(true) => !process.wanted && !process.workers.iter().any(is_left),
        None => false,
    };
    let how = if wished == Some(true) { "stopped" } else { "started again" };
    let others: Vec<_> = processes.iter().filter(is_otherwise).collect();
    let said: Vec<_> = others.iter().map(|process| format!("{} was {how} meanwhile", process.name)).collect();
    if said.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Conflict, said.join("\n"))) }
}

fn restarts(processes: &[Process]) -> Vec<(u64, Option<u32>)> {
    processes.iter().flat_map(|process| &process.workers).map(|worker| (worker.restarts, worker.pid)).collect()
}

/// Whose names were meant.
pub async fn names(supervise: &SuperviseClient, names: &[String]) -> Result<Vec<String>, Failure> {
    Ok(listed(supervise, names, false).await?.into_iter().map(|process| process.name).collect())
}

fn ends(processes: &[Process]) -> Ends {
    let workers = processes.iter().flat_map(|process| process.workers.iter().map(|worker| (process.name.clone(), worker)));
    workers.filter_map(|(name, worker)| Some(((name, worker.number), end(worker)?))).collect()
}

fn end(worker: &Worker) -> Option<(u64, u64)> {
    worker.last_exit.as_ref().map(|exit| (exit.at_ms, worker.restarts))
}

/// How far they are. `before`: what failed then is no news.
fn settled(processes: &[&Process], before: &Ends) -> Settled {
    let mut unsettled = false;
    let mut problems = Vec::new();
    for process in processes {
        unsettled |= process.wanted && process.workers.is_empty();
        for worker in &process.workers {
            let is_news = || end(worker) != before.get(&(process.name.clone(), worker.number)).copied();
            match worker.state {
                WorkerState::Ready => {}
                // What is not to be up counts only if it has ended just now: who ends and is left so is not wanted any more.
                _ if !process.wanted && !is_news() => {}
                WorkerState::Finished if worker.last_exit.as_ref().is_none_or(|exit| exit.code == 0) => {}
                WorkerState::Finished | WorkerState::Spent => problems.push(problem(process, worker)),
                WorkerState::Waiting if is_news() => problems.push(problem(process, worker)),
                _ => unsettled |= process.wanted,
            }
        }
    }
    match (problems.is_empty(), unsettled) {
        (false, _) => Settled::Failed(problems),
        (true, true) => Settled::Not,
        (true, false) => Settled::Up,
    }
}

fn problem(process: &Process, worker: &Worker) -> String {
    let who = format!("{}/{}", process.name, worker.number);
    let (how, lines) = match &worker.last_exit {
        // It says itself what could not be run.
        Some(exit) if not_run(exit) => (exit.text.clone(), exit.last_lines.as_slice()),
        Some(exit) => (format!("it {}", exit.text), exit.last_lines.as_slice()),
        None => ("it did not start".to_owned(), &[][..]),
    };
    let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
    format!("{who} is not up: {how}, and is {}{lines}", table::state(worker))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar::processes::Exit as ProcessExit;

    fn process(states: &[WorkerState]) -> Process {
        let worker = |(number, &state): (usize, &WorkerState)| Worker { number: number as u32, state, ..Worker::default() };
        let workers = states.iter().enumerate().map(worker).collect();
        Process { name: "web".into(), wanted: true, workers, ..Process::default() }
    }

    #[test]
    fn all_workers_have_to_be_up() {
        use WorkerState::*;
        let settled = |states: &[WorkerState]| settled(&[&process(states)], &Ends::new());
        assert_eq!(settled(&[Ready, Ready]), Settled::Up);
        assert_eq!(settled(&[Ready, Finished]), Settled::Up, "it has ended with 0");
        for states in [&[][..], &[Ready, Starting], &[Stopped], &[Stopping], &[Waiting]] {
            assert_eq!(settled(states), Settled::Not, "{states:?}");
        }
    }

    #[test]
    fn a_newer_wish_of_the_other_kind_is_told() {
        let mut process = process(&[WorkerState::Ready]);
        let told = |process: &Process, wished| {
            let failure = overtaken(std::slice::from_ref(process), wished).err()?;
            Some((failure.exit, failure.message))
        };
        let otherwise = |message: &str| Some((Exit::Conflict, message.to_owned()));
        assert_eq!(told(&process, Some(false)), otherwise("web was started again meanwhile"));
        assert_eq!((told(&process, Some(true)), told(&process, None)), (None, None));
        process.wanted = false;
        assert_eq!(told(&process, Some(true)), otherwise("web was stopped meanwhile"));
        assert_eq!(told(&process, Some(false)), None);
        process.workers[0].state = WorkerState::Finished;
        assert_eq!(told(&process, Some(true)), None, "it has ended by itself");
    }

    #[test]
    fn who_failed_since_says_how() {
        let mut process = process(&[WorkerState::Ready, WorkerState::Waiting]);
        let not_run = ProcessExit { text: "nothing cannot be run: not found".into(), code: 127, ..ProcessExit::default() };
        process.workers[1].last_exit = Some(not_run);
        let expected = "web/1 is not up: nothing cannot be run: not found, and is waiting".to_owned();
        assert_eq!(settled(&[&process], &Ends::new()), Settled::Failed(vec![expected]));
        process.workers[1].last_exit = Some(ProcessExit {
            text: "ended with code 3".into(),
            code: 3,
            last_lines: vec!["no such table".into()],
            ..ProcessExit::default()
        });
        let expected = "web/1 is not up: it ended with code 3, and is waiting\n  no such table".to_owned();
        assert_eq!(settled(&[&process], &Ends::new()), Settled::Failed(vec![expected]));
        let before = ends(std::slice::from_ref(&process));
        assert_eq!(settled(&[&process], &before), Settled::Not, "it failed before");
        process.wanted = false;
        process.workers[1].state = WorkerState::Finished;
        assert!(matches!(settled(&[&process], &Ends::new()), Settled::Failed(_)), "who is left so is not wanted any more");
        assert_eq!(settled(&[&process], &before), Settled::Up, "it is not to be up, and that is no news");
        process.wanted = true;
        process.workers[1].state = WorkerState::Spent;
        assert!(matches!(settled(&[&process], &before), Settled::Failed(_)), "nobody starts it again");
    }
}
