//! The one small harness: a broker process, directories, waiting with an end, tools that may be missing.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The `bursar` binary of this build.
pub const BURSAR: &str = env!("CARGO_BIN_EXE_bursar");

/// Long enough for a loaded machine; a wait that ends for this reason is a failure, never a measurement.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A real broker process with a socket, a TCP port and a key of its own. Killed when it is dropped.
pub struct Broker {
    child: Child,
    directory: tempfile::TempDir,
    tcp: String,
}

impl Broker {
    pub fn start() -> Broker {
        Broker::start_with(&[])
    }

    /// With more arguments for `bursar serve`.
    pub fn start_with(arguments: &[&str]) -> Broker {
        Broker::start_as(Command::new(BURSAR), "", arguments)
    }

    /// With these lines in the section `limits` of its configuration.
    pub fn start_limited(limits: &str) -> Broker {
        Broker::start_configured(&format!("[limits]\n{limits}\n"))
    }

    /// With this configuration; addresses and key are given to it besides.
    pub fn start_configured(config: &str) -> Broker {
        Broker::start_as(Command::new(BURSAR), config, &[])
    }

    /// `program` takes the place of `bursar` in `bursar serve ...`: a shell, say, that sets a limit and then becomes it.
    pub fn start_as(mut program: Command, text: &str, arguments: &[&str]) -> Broker {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("bursar.toml");
        std::fs::write(&config, text).unwrap();
        let key = directory.path().join("authkey");
        bursar_proto::AuthKey::generate(&key).unwrap();
        let socket = format!("unix://{}", directory.path().join("bursar.sock").display());
        let mut child = program
            .args(["serve", "--listen", &socket, "--listen", "tcp://127.0.0.1:0", "--config"])
            .arg(&config)
            .arg("--authkey-file")
            .arg(&key)
            .args(arguments)
            .env_remove("BURSAR_ADDRESS")
            .stdout(Stdio::piped())
            .stderr(Stdio::from(std::fs::File::create(directory.path().join("log")).unwrap()))
            .spawn()
            .unwrap();
        // It prints where it listens once it does.
        let mut tcp = None;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while tcp.is_none() {
            match lines.next() {
                Some(line) => {
                    let line = line.unwrap();
                    tcp = line.split_whitespace().find(|word| word.starts_with("tcp://")).map(str::to_owned);
                }
                None => panic!("the broker did not start: {}", std::fs::read_to_string(directory.path().join("log")).unwrap()),
            }
        }
        // Nobody reads on, and the broker must not block or die for that.
        std::thread::spawn(move || lines.for_each(drop));
        Broker { child, directory, tcp: tcp.unwrap() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("bursar.sock")
    }

    pub fn unix(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn tcp(&self) -> &str {
        &self.tcp
    }

    pub fn key_file(&self) -> PathBuf {
        self.directory.path().join("authkey")
    }

    pub fn authkey(&self) -> bursar_proto::AuthKey {
        bursar_proto::AuthKey::from_file(self.key_file()).unwrap()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// `bursar ARGUMENTS...` as a client of this broker.
    pub fn cli(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BURSAR);
        command.args(arguments).env("BURSAR_ADDRESS", self.unix()).env("BURSAR_AUTHKEY_FILE", self.key_file());
        command
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        signal_process(self.pid(), signal);
    }

    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal_process(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// A figure that a test measured, in one line that the test runner does not hold back.
pub fn figure(row: &str, text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{row} {text}");
}

/// Asks again until it is so; panics when it never becomes so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A test whose tool is missing says so in one loud line and counts as skipped; where `CI=true`, it fails.
pub fn skip(test: &str, tool: &str, get: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: {tool} is missing ({get})");
    figure("SKIPPED", format!("{test}: {tool} is missing; {get}"));
}
