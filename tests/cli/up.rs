//! `bursar up`: broker and processes from one file, with the real supervisor.

use super::Ran;
use crate::harness::{BURSAR, eventually, signal_process};
use rustix::process::Signal;
use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

/// A directory with a file, and a runtime directory.
struct Home(tempfile::TempDir);

const SLEEPER: &str = "[processes.web]\ncommand = ['sh', '-c', 'echo hello; exec sleep 1000']\n";

impl Home {
    fn with(name: &str, text: &str) -> Home {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(name), text).unwrap();
        Home(directory)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(BURSAR);
        for name in ["BURSAR_ADDRESS", "BURSAR_AUTHKEY_FILE", "BURSAR_CONFIG", "BURSAR_KEY_ID"] {
            command.env_remove(name);
        }
        command.args(line.split(' ')).env("XDG_RUNTIME_DIR", self.0.path()).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Ran {
        Ran::of(self.command(line).output().unwrap())
    }

    fn start(&self, line: &str) -> Up {
        let mut child = self.command(line).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Up { child, lines }
    }
}

impl Drop for Home {
    /// Whoever is left in the background when a test fails.
    fn drop(&mut self) {
        self.run("down");
    }
}

/// One in the foreground.
struct Up {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Up {
    /// Reads on until a line ends so; gives that one.
    fn until(&mut self, end: &str) -> String {
        let mut seen = Vec::new();
        for line in self.lines.by_ref().map(Result::unwrap) {
            if line.ends_with(end) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line ends with {end:?}: {seen:#?}");
    }

    fn interrupt(&self) {
        signal_process(self.child.id(), Signal::INT);
    }

    fn code(mut self) -> Option<i32> {
        self.lines.by_ref().for_each(drop);
        self.child.wait().unwrap().code()
    }
}

#[test]
fn everything_ends_with_the_process_that_was_named_and_with_its_code() {
    let web = "[processes.web]\ncommand = ['sh', '-c', 'echo hello; touch up; exec sleep 1000']\n";
    let tests = "[processes.tests]\ncommand = ['sh', '-c', 'until [ -e up ]; do sleep 0.01; done; echo tested; echo badly >&2; exit 7']\n";
    let home = Home::with("bursar.toml", &format!("{web}{tests}"));
    let ran = home.run("up --exit-with tests");
    assert_eq!(ran.code, 7, "{} {}", ran.stdout, ran.stderr);
    for line in ["web/0   | hello", "tests/0 | tested", "tests/0 ! badly", "bursar  | tests/0 ended with code 7"] {
        assert!(ran.stdout.lines().any(|printed| printed == line), "{line:?} is not in: {}", ran.stdout);
    }
    home.run("up --exit-with test").fails(2, &["there is no process \"test\"; there are:"]);
}

#[test]
fn the_first_signal_stops_in_order() {
    let home = Home::with("bursar.toml", SLEEPER);
    let mut up = home.start("up");
    up.until("| hello");
    up.interrupt();
    up.until("stopping; once more: at once");
    up.until("web/0 was killed by SIGTERM");
    assert_eq!(up.code(), Some(0));
}

#[test]
fn the_second_signal_kills_who_does_not_stop() {
    let deaf = "[processes.deaf]\ncommand = ['sh', '-c', 'trap \"\" TERM; echo ready; while :; do sleep 0.05; done']\n";
    let home = Home::with("bursar.toml", &format!("{deaf}stop = {{ timeout = '1h' }}\n"));
    let mut up = home.start("up");
    up.until("| ready");
    up.interrupt();
    let waits = up.lines.find(|line| line.as_ref().unwrap().contains("waiting for deaf/0 (pid ")).unwrap().unwrap();
    assert!(waits.starts_with("bursar | "), "{waits}");
    up.interrupt();
    up.until("deaf/0 was killed by SIGKILL");
    assert_eq!(up.code(), Some(0));
}

#[test]
fn when_nobody_reads_any_more_it_stops_in_order() {
    let home = Home::with("bursar.toml", SLEEPER);
    let mut up = home.start("up");
    up.until("| hello");
    let Up { mut child, lines } = up;
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    home.run("ps").fails(3, &["no broker can be reached"]);
}

#[test]
fn in_the_background_it_goes_on_until_it_is_told_to_stop() {
    let home = Home::with("bursar.toml", SLEEPER);
    let shown = home.run("up -d").ok();
    assert!(shown.starts_with("NAME") && shown.contains("web/0  ready"), "{shown}");
    assert!(home.run("ps").ok().contains("web/0  ready"));
    eventually("it has said so", || home.run("logs web").ok().contains("web/0  | hello"));
    home.run("up -d").fails(1, &["it did not come up; the last lines of", "cannot listen on"]);
    let down = home.run("down");
    assert!(down.code == 0 && down.stdout.ends_with("has stopped\n"), "{} {}", down.stdout, down.stderr);
    home.run("ps").fails(3, &["no broker can be reached"]);
    let path = shown.trim_end().rsplit_once("is in ").expect("the path is shown").1;
    let log = std::fs::read_to_string(path).unwrap();
    assert!(log.contains("web/0  | hello"), "{log}");
}

#[test]
fn what_does_not_come_up_in_the_background_is_told_and_shown() {
    let fails =
        "[processes.bad]\ncommand = ['sh', '-c', 'echo no such table >&2; exit 3']\nrestart = 'never'\nreadiness = 'notify'\n";
    let home = Home::with("bursar.toml", &format!("{SLEEPER}{fails}"));
    let ran = home.run("up -d");
    assert_eq!(ran.code, 1, "{} {}", ran.stdout, ran.stderr);
    for part in ["bad/0 is not up: it ended with code 3", "no such table", "`bursar down` stops them"] {
        assert!(ran.stderr.contains(part), "{part:?} is not in: {}", ran.stderr);
    }
    assert!(ran.stdout.contains("web/0"), "{}", ran.stdout);
}

#[test]
fn a_procfile_will_do_and_only_what_is_named_is_started() {
    let home = Home::with("Procfile", "web: echo web; exec sleep 1000\nclock: echo tick; exec sleep 1000\n");
    let mut up = home.start("up clock");
    up.until("| tick");
    eventually("one is up, and the other is not", || {
        let table = home.run("ps").ok();
        let is = |name: &str, state: &str| table.lines().any(|line| line.starts_with(name) && line.contains(state));
        is("clock", "ready") && is("web", "stopped")
    });
    up.interrupt();
    assert_eq!(up.code(), Some(0));
}
