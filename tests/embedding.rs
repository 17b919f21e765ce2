//! A program that has a broker with workers within it, and loses it: the broker is dropped, or its runtime is, without a word.
//!
//! Between a broker and its workers there is this program itself, in another role; so its main function is its own:
//! `cargo test -p bursar-server --test embedding NAME`.

use bursar::{
    Address, AuthKey, Wait,
    processes::{Spec, Until},
};
use bursar_server::{
    Broker,
    config::Config,
    processes::{command, enter},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};

/// More than anything here takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    enter(&[]);
    let tests: [(&str, fn()); 3] = [
        ("a_broker_that_is_dropped_leaves_no_worker", a_broker_that_is_dropped_leaves_no_worker),
        ("a_runtime_that_is_dropped_leaves_no_worker", a_runtime_that_is_dropped_leaves_no_worker),
        ("a_broker_that_is_stopped_has_no_worker_any_more", a_broker_that_is_stopped_has_no_worker_any_more),
    ];
    let filter = std::env::args().nth(1).filter(|first| !first.starts_with('-')).unwrap_or_default();
    for (name, test) in tests.into_iter().filter(|(name, _)| name.contains(&filter)) {
        test();
        println!("test {name} ... ok");
    }
}

/// A broker with two workers that hear no SIGTERM, each with a daemon of its own.
struct Home {
    directory: tempfile::TempDir,
    broker: Broker,
    /// All that have to be gone.
    pids: Vec<u32>,
}

impl Home {
    async fn new() -> Home {
        let directory = tempfile::tempdir().unwrap();
        let key = AuthKey::generate(directory.path().join("authkey")).unwrap();
        let listen = vec![Address::Unix(directory.path().join("bursar.sock"))];
        let builder = Broker::builder().config(Config { listen, ..Config::default() }).key(key.clone());
        let broker = builder.process(worker(&directory.path().join("pids"))).start().await.unwrap();
        let manager = broker.manager(key).await.unwrap();
        manager.processes().wait("web", Until::Ready, Wait::For(PATIENCE)).await.unwrap();
        let mut home = Home { directory, broker, pids: Vec::new() };
        eventually("all have come", || home.written().len() == 4);
        home.pids = home.written();
        assert!(home.pids.iter().all(|pid| is_there(*pid)));
        manager.close().await;
        home
    }

    fn written(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.directory.path().join("pids")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

fn worker(pids: &Path) -> Spec {
    let pids: PathBuf = pids.to_owned();
    let script = "trap '' TERM; setsid sleep 100000 & echo $! >> \"$0\"; echo $$ >> \"$0\"; while :; do wait; done";
    let mut spec = command("web", ["sh", "-c", script, pids.to_str().unwrap()]).workers(2);
    spec.stop.timeout_ms = 10;
    spec
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn a_broker_that_is_dropped_leaves_no_worker() {
    let runtime = runtime();
    let pids = runtime.block_on(async { Home::new().await.pids });
    eventually("nobody is left", || !pids.iter().any(|pid| is_there(*pid)));
}

fn a_runtime_that_is_dropped_leaves_no_worker() {
    let runtime = runtime();
    let home = runtime.block_on(Home::new());
    drop(runtime);
    eventually("nobody is left", || !home.pids.iter().any(|pid| is_there(*pid)));
}

fn a_broker_that_is_stopped_has_no_worker_any_more() {
    runtime().block_on(async {
        let Home { directory: _directory, broker, pids } = Home::new().await;
        broker.stop().await.unwrap();
        assert!(!pids.iter().any(|pid| is_there(*pid)), "they were gone before it said that it has stopped");
    });
}

fn is_there(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim().starts_with('Z'))
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
