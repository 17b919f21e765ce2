//! Items of a queue and the workers that hold them: what is taken from one that does not let go, and what a death is evidence of.

use super::{PATIENCE, Stage, is_there, sleeper};
use crate::harness::{BURSAR, eventually, signal_process};
use bursar::{
    Queue,
    processes::{Backoff, Check, Probe, Process, Spec, Stop, Until},
    queue::{Outcome, Then},
};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Workers of the queue `jobs`, whose command never ends and hears no SIGTERM; but it writes both down.
fn deaf(stage: &Stage) -> Spec {
    let notes = stage.path("notes");
    let script =
        format!("trap 'echo told >> {0}' TERM; echo $BURSAR_WORKER >> {0}; while :; do sleep 0.01; done", notes.display());
    let command = [BURSAR, "queue", "work", "jobs", "--grace", "1h", "--", "sh", "-c", &script].map(str::to_owned).into();
    Spec {
        command,
        workers: 2.into(),
        readiness: Some(Check::new(Probe::Session)),
        stop: Stop { timeout_ms: 50, ..Stop::default() },
        backoff: Backoff { first_ms: 10, ..Backoff::default() },
        ..sleeper("deaf")
    }
}

impl Stage {
    /// With one item in the queue `jobs`, which is parked at the first crash, and somebody at work on it: who that is, and all of them.
    async fn with_a_deaf_holder(&self) -> (Queue<String>, usize, Process) {
        let arguments = ["objects", "create", "queue", "jobs", "--max-failures", "1", "--max-crashes", "1"];
        assert!(self.broker.cli(&arguments).output().unwrap().status.success());
        let jobs = self.manager.queue::<String>("jobs").open().await.unwrap();
        self.add(deaf(self)).await;
        self.add(sleeper("other")).await;
        self.until("other", Until::Ready).await;
        let before = self.until("deaf", Until::Healthy).await;
        jobs.put("endless".to_owned()).await.unwrap();
        eventually("somebody has begun", || self.lines("notes").len() == 1);
        (jobs, self.lines("notes")[0].parse().unwrap(), before)
    }

    fn cli(&self, line: &str) -> String {
        let output = self.broker.cli(&line.split(' ').collect::<Vec<_>>()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The worker, as `bursar ps --json` shows it.
    fn worker_as_json(&self, number: usize) -> Value {
        let all: Value = serde_json::from_str(&self.cli("ps deaf --json")).unwrap();
        all[0]["workers"][number].clone()
    }
}

#[tokio::test]
async fn an_item_is_taken_from_a_worker_that_does_not_let_go_and_nobody_else_is_touched() {
    let stage = Stage::new().await;
    let (jobs, holder, before) = stage.with_a_deaf_holder().await;
    let others = stage.processes.list(false).await.unwrap();
    let told = jobs.cancel(1).send().await.unwrap();
    assert_eq!(told.outcome, Outcome::Held);
    eventually("its command was told", || stage.lines("notes").contains(&"told".to_owned()));
    assert!(is_there(super::pid(&before, holder)), "being told ends nobody");
    let said = stage.cli("queue cancel jobs 1 --grace 10ms");
    assert!(said.starts_with("item 1 is in jobs again; its holder ("), "{said}");
    assert!(said.ends_with(") did not let go, and was ended\n"), "{said}");
    assert!(!is_there(super::pid(&before, holder)));
    let digit = |line: &&String| line.as_str() != "told";
    eventually("somebody has it again", || stage.lines("notes").iter().filter(digit).count() == 2);
    let after = stage.until("deaf", Until::Healthy).await;
    let exit = after.workers[holder].last_exit.as_ref().unwrap();
    assert!((exit.expected, exit.signal) == (true, Some(9)), "{exit:?}");
    assert_eq!(exit.held, ["1 item of jobs"]);
    let own = &after.workers[holder];
    assert!(own.restarts == 1 && own.pid != before.workers[holder].pid, "its policy has started another: {own:?}");
    let neighbour = 1 - holder;
    assert_eq!((after.workers[neighbour].restarts, after.workers[neighbour].pid), (0, before.workers[neighbour].pid));
    let now = stage.processes.list(false).await.unwrap();
    let other = |all: &[Process]| all.iter().find(|process| process.name == "other").cloned().unwrap();
    assert_eq!(other(&now), other(&others));
    let stats = jobs.stats().await.unwrap();
    assert_eq!((stats.leased, stats.crashes, stats.failures, stats.parked), (1, 0, 0, 0), "{stats:?}");
}

#[tokio::test]
async fn an_item_that_is_cancelled_for_good_is_parked_and_its_holder_started_again() {
    let stage = Stage::new().await;
    let (jobs, holder, before) = stage.with_a_deaf_holder().await;
    let said = stage.cli("queue cancel jobs 1 --grace 10ms --then park --why odd");
    assert!(said.starts_with("item 1 of jobs is parked; its holder ("), "{said}");
    let parked = jobs.parked().await.unwrap();
    assert_eq!((parked.len(), parked[0].why.as_str()), (1, "cancelled: odd"));
    let after = stage.until("deaf", Until::Healthy).await;
    assert_ne!(after.workers[holder].pid, before.workers[holder].pid);
    let stats = jobs.stats().await.unwrap();
    assert_eq!((stats.parked, stats.leased, stats.crashes, stats.failures), (1, 0, 0, 0), "{stats:?}");
    assert_eq!(stage.lines("notes").iter().filter(|line| *line != "told").count(), 1, "nobody has begun it again");
}

#[tokio::test]
async fn a_holder_that_dies_after_it_was_told_to_let_go_has_not_crashed_on_the_item() {
    let stage = Stage::new().await;
    let (jobs, holder, before) = stage.with_a_deaf_holder().await;
    let told = jobs.cancel(1).then(Then::Park).why("odd").send().await.unwrap();
    assert_eq!(told.outcome, Outcome::Held);
    signal_process(super::pid(&before, holder), Signal::KILL);
    let again = jobs.cancel(1).then(Then::Park).why("odd").under(told.lease.unwrap());
    let said = again.grace(PATIENCE).send().await.unwrap();
    assert_eq!(said.outcome, Outcome::Parked);
    let stats = jobs.stats().await.unwrap();
    assert_eq!((stats.parked, stats.crashes), (1, 0), "{stats:?}");
    assert_eq!(jobs.parked().await.unwrap()[0].why, "cancelled: odd");
}

#[tokio::test]
async fn a_crash_is_shown_with_what_was_held_and_is_the_evidence_of_the_item() {
    let stage = Stage::new().await;
    let (jobs, holder, before) = stage.with_a_deaf_holder().await;
    let pid = super::pid(&before, holder);
    signal_process(pid, Signal::KILL);
    eventually("its end is shown with what it held", || {
        stage.worker_as_json(holder)["last_exit"]["held"] == json!(["1 item of jobs"])
    });
    let exit = &stage.worker_as_json(holder)["last_exit"];
    assert_eq!((&exit["expected"], &exit["signal"], &exit["pid"]), (&json!(false), &json!(9), &json!(pid)));
    let parked = jobs.parked().await.unwrap();
    let words = format!("worker deaf/{holder} (pid {pid}) was killed by SIGKILL");
    let evidence = stage.cli("queue park list jobs --json");
    assert!(parked.len() == 1 && evidence.contains(&words), "{evidence}");
    assert_eq!(jobs.stats().await.unwrap().crashes, 1);
}
