//! A party that holds things and is a process of its own: this test binary, started again as what [`role`] says.

use crate::harness::{Broker, PATIENCE, signal_process};
use bursar::{
    Fence,
    blocking::{Barrier, Condition, ConditionGuard, Kv, LockGuard, Manager, Permits, WriteGuard},
};
use rustix::process::Signal;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

const WHAT: &str = "BURSAR_ATTACKS_PARTY";
const TTL_MS: &str = "BURSAR_ATTACKS_PARTY_TTL_MS";
/// What a party says.
pub const HOLDING: &str = "party: holding";
pub const ACCEPTED: &str = "party: accepted";
pub const REFUSED: &str = "party: refused";
const DONE: &str = "party: done";

/// The other side, seen from the test. Killed when it is dropped.
pub struct Party {
    child: Child,
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Party {
    /// Acquires `what`: `lock NAME`, `rwlock NAME`, `semaphore NAME`, `condition NAME`, or `locks COUNT PREFIX`; or waits at a barrier,
    /// and says that it holds once it is about to do so: `barrier NAME`.
    pub fn start(broker: &Broker, address: &str, what: &str, ttl: Duration) -> Party {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attacks::party::role", "--nocapture"])
            .env("BURSAR_ADDRESS", address)
            .env("BURSAR_AUTHKEY_FILE", broker.key_file())
            .env(WHAT, what)
            .env(TTL_MS, ttl.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
        });
        Party { child, stdin, lines }
    }

    /// Waits for this word.
    pub fn says(&self, word: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("the party does not say {word:?}: {error}"));
            if line.contains(word) {
                return;
            }
        }
    }

    /// Tells it to do everything that a holder may do; what was accepted and what was refused.
    pub fn act(&mut self) -> (usize, usize) {
        writeln!(self.stdin, "act").unwrap();
        let (mut accepted, mut refused) = (0, 0);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("the party is not done: {error}"));
            accepted += usize::from(line.contains(ACCEPTED));
            refused += usize::from(line.contains(REFUSED));
            if line.contains(DONE) {
                return (accepted, refused);
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        signal_process(self.child.id(), signal);
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Held {
    Lock(LockGuard),
    Write(WriteGuard),
    Permits(Permits),
    Condition(Condition, ConditionGuard),
    /// Only held.
    Locks(Vec<LockGuard>),
}

/// No test: what the process is that [`Party::start`] starts. In every other process it has nothing to do.
#[test]
fn role() {
    let Ok(what) = std::env::var(WHAT) else { return };
    let ttl = Duration::from_millis(std::env::var(TTL_MS).unwrap().parse().unwrap());
    let manager = Manager::builder().from_env().unwrap().ttl(ttl).label("party").connect().unwrap();
    let held = match what.split(' ').collect::<Vec<_>>()[..] {
        ["lock", name] => Held::Lock(manager.lock(name).open().unwrap().acquire().unwrap()),
        ["rwlock", name] => Held::Write(manager.rwlock(name).open().unwrap().write().unwrap()),
        ["semaphore", name] => Held::Permits(manager.semaphore(name).open().unwrap().acquire().unwrap()),
        ["condition", name] => {
            let condition = manager.condition(name).open().unwrap();
            let guard = condition.acquire().unwrap();
            Held::Condition(condition, guard)
        }
        ["locks", count, prefix] => {
            let acquire = |n| manager.lock(&format!("{prefix}{n}")).open_or_create().unwrap().acquire().unwrap();
            Held::Locks((0..count.parse::<u32>().unwrap()).map(acquire).collect())
        }
        ["barrier", name] => return wait_at(&manager.barrier(name).open().unwrap()),
        _ => panic!("{what}: no such party"),
    };
    println!("\n{HOLDING}");
    let mut line = String::new();
    if matches!(std::io::stdin().read_line(&mut line), Ok(0) | Err(_)) {
        std::process::exit(0); // whoever started this is gone
    }
    act(&manager, held);
    println!("\n{DONE}");
}

fn wait_at(barrier: &Barrier) {
    println!("\n{HOLDING}");
    say(barrier.wait().map(drop));
}

fn say(outcome: bursar::Result<()>) {
    match outcome {
        Ok(()) => println!("\n{ACCEPTED}"),
        Err(error) => println!("\n{REFUSED}: {error}"),
    }
}

/// All that one may do with what one holds: in this session, in the name of its token from another, and giving it back.
fn act(manager: &Manager, held: Held) {
    let write = |manager: &Manager, fence: &Fence| {
        let kv: bursar::Result<Kv<u32>> = manager.kv("guarded").open();
        kv.and_then(|kv| kv.fenced(fence).put("key", 1)).map(drop)
    };
    let another = Manager::builder().from_env().unwrap().connect().unwrap();
    match held {
        Held::Lock(guard) => {
            say(write(manager, &guard.fence()));
            say(write(&another, &guard.fence()));
            say(guard.release());
        }
        Held::Write(guard) => {
            say(write(manager, &guard.fence()));
            say(write(&another, &guard.fence()));
            say(guard.release());
        }
        Held::Permits(permits) => say(permits.release()),
        Held::Condition(condition, guard) => {
            say(guard.notify_all().map(drop));
            say(condition.wait_within(guard, Duration::from_millis(1)).map(drop));
        }
        Held::Locks(guards) => guards.into_iter().for_each(|guard| say(guard.release())),
    }
}
