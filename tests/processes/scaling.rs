//! As many workers as a queue needs, and workers that are `bursar queue work`.

use super::{Stage, sleeper};
use crate::harness::BURSAR;
use bursar::processes::{Check, Probe, Spec, Until, Workers};
use std::time::Duration;

#[tokio::test]
async fn workers_grow_while_items_wait_but_not_beyond_their_most_and_go_when_there_is_nothing_to_do() {
    let stage = Stage::new().await;
    let jobs = stage.manager.queue::<u32>("jobs").create().await.unwrap();
    for number in 0..100 {
        jobs.put(number).await.unwrap();
    }
    stage.add(Spec { workers: Workers::lag(1..=3, "jobs", Duration::from_millis(1)), ..sleeper("web") }).await;
    let grown = stage.activity("web", "scaled").await;
    assert!(grown.text.starts_with("3 workers instead of 1: 100 items of jobs wait, the first for "), "{}", grown.text);
    eventually_of(&stage, 3).await;
    assert_eq!(jobs.purge().await.unwrap(), 100);
    eventually_of(&stage, 2).await;
    let scaled = stage.processes.activity(10_000);
    let told = all_scaled(scaled).await;
    assert!(told[1].starts_with("2 workers instead of 3: 0 items"), "from three on there came nobody more: {told:?}");
}

/// Waits until it is of so many workers, all of them up.
async fn eventually_of(stage: &Stage, workers: usize) {
    loop {
        let process = stage.until("web", Until::Ready).await;
        if process.workers.len() == workers {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The first two changes of their number.
async fn all_scaled(
    events: impl futures_util::Stream<Item = Result<bursar::processes::Activity, impl std::fmt::Debug>>,
) -> Vec<String> {
    use futures_util::StreamExt;
    let scaled = events.map(Result::unwrap).filter(|event| std::future::ready(event.what == "scaled"));
    scaled.map(|event| event.text).take(2).collect().await
}

#[tokio::test]
async fn a_worker_of_a_queue_is_ready_by_its_session_and_works_until_it_is_stopped() {
    let stage = Stage::new().await;
    let jobs = stage.manager.queue::<String>("jobs").create().await.unwrap();
    let note = format!("echo done >> {}", stage.path("notes").display());
    let command = [BURSAR, "queue", "work", "jobs", "--", "sh", "-c", &note].map(str::to_owned).into();
    stage.add(Spec { command, workers: 2.into(), readiness: Some(Check::new(Probe::Session)), ..sleeper("worker") }).await;
    let process = stage.until("worker", Until::Healthy).await;
    let sessions = stage.manager.status().await.unwrap().sessions;
    for worker in &process.workers {
        let has_session = sessions.iter().any(|session| Some(session.pid) == worker.pid);
        assert!(worker.healthy && has_session, "{worker:?}");
    }
    for _ in 0..5 {
        jobs.put("work".to_owned()).await.unwrap();
    }
    jobs.join().await.unwrap();
    assert_eq!(stage.lines("notes"), ["done"; 5]);
    stage.processes.stop(vec!["worker".into()]).await.unwrap();
    let process = stage.until("worker", Until::Down).await;
    for worker in process.workers {
        let exit = worker.last_exit.unwrap();
        assert!(exit.expected && exit.code == 0, "it ends its work and goes by itself: {exit:?}");
    }
}
