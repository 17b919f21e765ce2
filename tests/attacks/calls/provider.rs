//! A provider that is a process of its own: this test binary, started again as what [`role`] says.

use crate::harness::{Broker, signal_process};
use bursar::{
    blocking::Manager,
    object::{Answer, Answering, Call, Description, Failed, Method, Parameter, Service},
};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    future::pending,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

const LEDGER: &str = "BURSAR_ATTACKS_LEDGER";
const TTL_MS: &str = "BURSAR_ATTACKS_PROVIDER_TTL_MS";
const SERVING: &str = "provider: serving";

/// A file in which every provider notes each call before it does anything else: what was begun outlives whoever is killed.
pub struct Ledger(PathBuf);

impl Ledger {
    pub fn new(broker: &Broker) -> Ledger {
        let path = broker.directory().join("ledger");
        File::create(&path).unwrap();
        Ledger(path)
    }

    /// How often each call was begun.
    pub fn begun(&self) -> BTreeMap<u64, usize> {
        let mut begun = BTreeMap::new();
        for line in std::fs::read_to_string(&self.0).unwrap().lines() {
            *begun.entry(line.trim().parse().unwrap()).or_insert(0) += 1;
        }
        begun
    }
}

/// The other side, seen from the test. Killed when it is dropped.
pub struct Provider {
    child: Child,
}

impl Provider {
    /// It serves when this returns.
    pub fn start(broker: &Broker, address: &str, ledger: &Ledger, ttl: Duration) -> Provider {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attacks::calls::provider::role", "--nocapture"])
            .env("BURSAR_ADDRESS", address)
            .env("BURSAR_AUTHKEY_FILE", broker.key_file())
            .env(LEDGER, &ledger.0)
            .env(TTL_MS, ttl.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(SERVING)), "the provider has ended");
        std::thread::spawn(move || lines.for_each(drop));
        Provider { child }
    }

    pub fn signal(&self, signal: Signal) {
        signal_process(self.child.id(), signal);
    }

    pub fn kill(self) {}
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Work(File);

impl Service for Work {
    fn description(&self) -> Description {
        let number = Parameter { name: "number".into(), r#type: "integer".into(), ..Parameter::default() };
        let method = |name: &str| Method { name: name.into(), ..Method::default() };
        let once = Method { parameters: vec![number], ..method("once") };
        let again = Method { name: "again".into(), idempotent: true, ..once.clone() };
        Description { doc: String::new(), methods: vec![once, again, method("stuck"), method("oops")] }
    }

    fn call(self: Arc<Self>, call: Call) -> Answering {
        Box::pin(async move { self.answer(call).await.unwrap_or_else(Answer::Failed) })
    }
}

impl Work {
    async fn answer(&self, mut call: Call) -> Result<Answer, Failed> {
        match call.method.as_str() {
            "stuck" => pending().await,
            "oops" => return Err(Failed::new("Oops", "as it should")),
            _ => {}
        }
        let number: u64 = call.arguments.take("number")?.unwrap_or_default();
        // One write, appended: lines of several processes do not mix.
        (&self.0).write_all(format!("{number:>10}\n").as_bytes()).expect("the ledger can be written");
        // Some take their time, and are killed in it.
        if number.is_multiple_of(7) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Answer::of(&number))
    }
}

#[test]
fn role() {
    let Ok(ledger) = std::env::var(LEDGER) else { return };
    let ttl = Duration::from_millis(std::env::var(TTL_MS).unwrap().parse().unwrap());
    let file = OpenOptions::new().append(true).open(ledger).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let manager = Manager::builder().from_env().unwrap().ttl(ttl).connect().unwrap();
    runtime.block_on(async {
        let serving = manager.as_async().serve("work", Arc::new(Work(file))).capacity(16).start().await.unwrap();
        println!("\n{SERVING}");
        std::thread::spawn(|| {
            // Whoever started this is gone.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(0);
        });
        serving.ended().await;
    });
}
