//! A consumer that is a process of its own: this test binary, started again as what [`role`] says.

use crate::harness::{Broker, PATIENCE, signal_process};
use bursar::{Wait, blocking::Manager};
use rustix::process::Signal;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

const QUEUE: &str = "BURSAR_ATTACKS_QUEUE";
const TTL_MS: &str = "BURSAR_ATTACKS_TTL_MS";
/// What a consumer says when it is about to ask for items, when it has them, and when it has settled them.
pub const READY: &str = "consumer: ready";
pub const HOLDING: &str = "consumer: holding";
pub const SETTLED: &str = "consumer: settled";
pub const REFUSED: &str = "consumer: refused";

/// The other side, seen from the test. Killed when it is dropped.
pub struct Consumer {
    child: Child,
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Consumer {
    /// Takes what is in the queue (up to three items) and holds it until it is told to settle.
    pub fn start(broker: &Broker, address: &str, queue: &str, ttl: Duration) -> Consumer {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attacks::consumer::role", "--nocapture"])
            .env("BURSAR_ADDRESS", address)
            .env("BURSAR_AUTHKEY_FILE", broker.key_file())
            .env(QUEUE, queue)
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
        Consumer { child, stdin, lines }
    }

    /// Waits for one of these words, and says which came.
    pub fn says<'a>(&self, words: &[&'a str]) -> &'a str {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("the consumer says none of {words:?}: {error}"));
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                return word;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        signal_process(self.child.id(), signal);
    }

    /// Tells it to settle what it holds.
    pub fn settle(&mut self) {
        writeln!(self.stdin, "settle").unwrap();
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No test: what the process is that [`Consumer::start`] starts. In every other process it has nothing to do.
#[test]
fn role() {
    let Ok(queue) = std::env::var(QUEUE) else { return };
    let ttl = Duration::from_millis(std::env::var(TTL_MS).unwrap().parse().unwrap());
    let manager = Manager::builder().from_env().unwrap().ttl(ttl).connect().unwrap();
    let queue = manager.raw_queue(&queue).open().unwrap();
    println!("\n{READY}");
    let leases = queue.get_many(3, Wait::Forever).unwrap();
    println!("\n{HOLDING}");
    let mut line = String::new();
    if matches!(std::io::stdin().read_line(&mut line), Ok(0) | Err(_)) {
        std::process::exit(0); // whoever started this is gone
    }
    for lease in leases {
        match lease.done() {
            Ok(()) => println!("\n{SETTLED}"),
            Err(error) => println!("\n{REFUSED}: {error}"),
        }
    }
}
