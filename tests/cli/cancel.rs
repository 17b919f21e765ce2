//! Items that are taken from whoever works on them, from the command line.

use super::{run, stat};
use crate::harness::{Broker, signal_process};
use bursar::{Manager, Queue, Wait, blocking::block_on};
use rustix::process::Signal;
use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

#[test]
fn the_command_of_a_cancelled_item_is_stopped_and_killed_if_need_be() {
    let broker = Broker::start();
    run(&broker, "objects create queue jobs --max-failures 1 --max-crashes 1").ok();
    run(&broker, "queue put jobs endless").ok();
    let script = "trap '' TERM; echo started; while :; do sleep 0.01; done";
    let arguments = ["queue", "work", "jobs", "--grace", "10ms", "--json", "--", "sh", "-c", script];
    let mut worker = broker.cli(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "started");
    // The worker would begin it again.
    run(&broker, "queue pause jobs").ok();
    assert_eq!(run(&broker, "queue cancel jobs 1 --grace 1h").ok(), "item 1 is in jobs again\n");
    let report: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&report["id"], &report["outcome"]), (&1.into(), &"cancelled".into()));
    assert!(report["why"].as_str().unwrap().contains("was killed"), "{report}");
    let figures = ["ready", "leased", "failures", "crashes", "parked"].map(|figure| stat(&broker, "jobs", figure));
    assert_eq!(figures, [1, 0, 0, 0, 0]);
    assert_eq!(run(&broker, "queue cancel jobs 1").ok(), "nobody holds item 1: it waits in jobs as before\n");
    signal_process(worker.id(), Signal::TERM);
    assert_eq!(worker.wait().unwrap().code(), Some(0));
}

#[test]
fn a_holder_that_does_not_listen_and_is_no_worker_is_passed_by() {
    let broker = Broker::start();
    block_on(async {
        let manager =
            Manager::builder().address(broker.unix()).unwrap().authkey(broker.authkey()).label("deaf").connect().await.unwrap();
        let jobs: Queue<String> = manager.queue("jobs").create().await.unwrap();
        jobs.put("a".to_owned()).await.unwrap();
        let lease = jobs.get().await.unwrap();
        let said = run(&broker, "queue cancel jobs 1 --grace 0 --then park --why odd").ok();
        assert!(said.starts_with("item 1 of jobs is parked; its holder (deaf, pid "), "{said}");
        assert!(said.contains("was not stopped: it is not a worker of this broker"), "{said}");
        assert!(matches!(lease.done().await.unwrap_err().fault(), Some(bursar::Fault::NotHeld { .. })));
        let parked = jobs.parked().await.unwrap();
        assert_eq!(parked[0].why, "cancelled: odd");
        assert!(matches!(jobs.get_within(Wait::Never).await.unwrap_err().fault(), Some(bursar::Fault::Empty {})));
    });
    run(&broker, "queue cancel jobs 9").fails(2, &["which no item of this queue ever had"]);
}
