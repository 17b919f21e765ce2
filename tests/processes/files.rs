//! Files of processes: those that are watched, and those that their output goes to.

use super::{Stage, shell, sleeper};
use crate::harness::eventually;
use bursar::processes::{LogFile, Spec, Until, Watch};
use std::{fs, io::Write, os::unix::fs::MetadataExt, path::Path};

/// Whether the broker has asked the kernel to tell it of this folder.
fn is_watched(stage: &Stage, folder: &Path) -> bool {
    let asked = format!(" ino:{:x} ", folder.metadata().unwrap().ino());
    let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", stage.broker.pid())).unwrap();
    let infos = descriptors.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    infos.into_iter().any(|info| info.lines().any(|line| line.starts_with("inotify ") && line.contains(&asked)))
}

#[tokio::test]
async fn a_file_that_changes_restarts_once_and_one_that_does_not_count_does_not() {
    let stage = Stage::new().await;
    let folder = stage.path("code");
    fs::create_dir(&folder).unwrap();
    let paths = vec![folder.to_str().unwrap().to_owned()];
    let watch = Watch { paths, ignore: vec!["*.tmp".into()], delay_ms: 10 };
    stage.add(Spec { watch: Some(watch), ..sleeper("web") }).await;
    let before = stage.until("web", Until::Ready).await;
    eventually("it is watched", || is_watched(&stage, &folder));
    // One event each: it comes from elsewhere.
    for name in ["a.tmp", "b.py"] {
        fs::write(stage.path("new"), name).unwrap();
        fs::rename(stage.path("new"), folder.join(name)).unwrap();
    }
    let changed = stage.activity("web", "changed").await;
    assert_eq!(changed.text, format!("{}: it is restarted", folder.join("b.py").display()));
    stage.activity("web", "restarted").await;
    let after = stage.until("web", Until::Settled).await;
    assert_eq!(after.workers[0].restarts, 1);
    assert_ne!(after.workers[0].pid, before.workers[0].pid);
}

#[tokio::test]
async fn output_goes_to_a_file_that_is_put_aside_when_it_is_large() {
    let stage = Stage::new().await;
    let (orders, log) = (stage.path("orders"), stage.path("web.log"));
    fs::write(&orders, "").unwrap();
    let script = format!("tail -f -n +1 {} & wait", orders.display());
    let file = LogFile { bytes: 4096, kept: 2, ..LogFile::new(log.to_str().unwrap()) };
    stage.add(Spec { command: shell(&script), log: Some(file), ..sleeper("web") }).await;
    // Two of them are too large.
    let line = |number: u32| format!("{number}{}\n", "x".repeat(3000));
    for number in 1..=5 {
        fs::File::options().append(true).open(&orders).unwrap().write_all(line(number).as_bytes()).unwrap();
        eventually("it is written", || fs::read_to_string(&log).is_ok_and(|text| text == line(number)));
    }
    let aside = [1, 2].map(|number| fs::read_to_string(stage.path(&format!("web.log.{number}"))).unwrap());
    assert_eq!(aside, [line(4), line(3)]);
    assert!(!stage.path("web.log.3").exists(), "two are kept");
    assert_eq!(stage.until("web", Until::Ready).await.workers[0].log_dropped_bytes, 0);
}

#[tokio::test]
async fn workers_share_a_file_or_have_one_each_and_a_restart_adds_to_it() {
    let stage = Stage::new().await;
    let of = |name: &str, file: &str| Spec {
        command: shell("echo out $BURSAR_WORKER; echo err $BURSAR_WORKER >&2; exec sleep 100000"),
        workers: 2.into(),
        log: Some(LogFile::new(stage.path(file).to_str().unwrap())),
        ..sleeper(name)
    };
    stage.add(of("shared", "shared.log")).await;
    stage.add(of("own", "own-{worker}.log")).await;
    let sorted = |name: &str| {
        let mut lines = stage.lines(name);
        lines.sort();
        lines
    };
    eventually("all have written to the one", || sorted("shared.log") == ["err 0", "err 1", "out 0", "out 1"]);
    eventually("one has written to its own", || sorted("own-0.log") == ["err 0", "out 0"]);
    eventually("the other, too", || sorted("own-1.log") == ["err 1", "out 1"]);
    stage.until("own", Until::Ready).await;
    stage.processes.restart(vec!["own".into()], Some(0)).await.unwrap();
    eventually("what comes is added", || sorted("own-0.log") == ["err 0", "err 0", "out 0", "out 0"]);
    assert_eq!(sorted("own-1.log").len(), 2);
}
