//! Which processes of this host are whose: those that descend from a worker's keeper belong to its run. Of each run it is known how its own
//! process ended, as long as somebody may ask.

use super::history::History;
use crate::sessions::Witness;
use bursar::processes::Activity;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    ffi::OsString,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::watch;

/// The variable that says which run it is.
pub(super) const MARK: &str = "BURSAR_RUN";
/// How many runs that are over are remembered: sessions end within moments after their processes, so that this is for crash loops.
const ENDED_MAX: usize = 1024;
/// How many kinds of things are remembered that the sessions of a run held.
const HELD_MAX: usize = 100;
/// How far up one looks for a keeper. Nobody has so many ancestors, unless it wants to be a nuisance.
const ANCESTORS_MAX: usize = 1000;

/// All workers of this broker, and what descends from them.
pub struct Family {
    history: Arc<History>,
    last_run: AtomicU64,
    /// Short sections; `/proc` is not read in them.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    runs: HashMap<u64, OfRun>,
    ended: VecDeque<u64>,
}

/// One run.
struct OfRun {
    process: String,
    worker: u32,
    pid: Option<u32>,
    /// How its own process ended, once that is known.
    words: watch::Sender<Option<String>>,
    /// What its sessions held when they ended.
    held: Vec<String>,
}

impl Family {
    /// Nobody. What becomes of what they held is told there.
    pub fn new(history: Arc<History>) -> Family {
        Family { history, last_run: AtomicU64::new(0), known: Mutex::default() }
    }

    /// A run of a worker begins; its number among the runs of all processes.
    pub fn begin(&self, process: &str, worker: u32) -> u64 {
        let run = self.last_run.fetch_add(1, Ordering::Relaxed) + 1;
        let one = OfRun { process: process.to_owned(), worker, pid: None, words: watch::channel(None).0, held: Vec::new() };
        self.known.lock().runs.insert(run, one);
        run
    }

    /// What the keeper of a run has in its environment: from its very beginning, so that nobody of its tree can come earlier.
    pub fn mark(run: u64) -> (OsString, OsString) {
        (MARK.into(), run.to_string().into())
    }

    /// Its own process.
    pub fn started(&self, run: u64, pid: u32) {
        if let Some(one) = self.known.lock().runs.get_mut(&run) {
            one.pid = Some(pid);
        }
    }

    /// What its sessions held when they ended, as far as that has happened.
    pub fn held(&self, run: u64) -> Vec<String> {
        self.known.lock().runs.get(&run).map(|one| one.held.clone()).unwrap_or_default()
    }

    /// Nothing of it is left. How its own process ended, in words, and what it wrote last.
    pub fn gone(&self, run: u64, ended: &str, last_lines: &[String]) {
        let mut known = self.known.lock();
        let Some(one) = known.runs.get_mut(&run) else { return };
        let pid = one.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let last_words = match last_lines {
            [] => String::new(),
            lines => format!("; its last words: {}", lines.join("\n")),
        };
        let words = format!("worker {}/{}{pid} {ended}{last_words}", one.process, one.worker);
        one.words.send_replace(Some(words));
        known.ended.push_back(run);
        if known.ended.len() > ENDED_MAX
            && let Some(oldest) = known.ended.pop_front()
        {
            known.runs.remove(&oldest);
        }
    }
}

impl Witness for Family {
    fn run_of(&self, pid: u32) -> Option<u64> {
        let run = mark_of(keeper_of(pid)?)?;
        self.known.lock().runs.contains_key(&run).then_some(run)
    }

    fn testimony(&self, run: u64, pid: u32) -> BoxFuture<'static, Option<String>> {
        let known = self.known.lock();
        let Some(one) = known.runs.get(&run) else { return Box::pin(async { None }) };
        if one.pid.is_some_and(|own| own != pid) {
            let words = format!("process {pid} of worker {}/{} has ended", one.process, one.worker);
            return Box::pin(async { Some(words) });
        }
        let mut words = one.words.subscribe();
        Box::pin(async move { words.wait_for(Option::is_some).await.ok()?.clone() })
    }

    fn returned(&self, run: u64, what: Vec<String>) {
        let mut known = self.known.lock();
        let Some(one) = known.runs.get_mut(&run) else { return };
        let text = format!("held {}, which went back", what.join(", "));
        let (process, worker) = (one.process.clone(), Some(one.worker));
        let room = HELD_MAX.saturating_sub(one.held.len());
        one.held.extend(what.into_iter().take(room));
        drop(known);
        self.history.tell(Activity { process, worker, what: "returned".into(), text, ..Activity::default() });
    }
}

/// Its ancestor, or itself, that this process has started; none: it has nothing to do with this process.
fn keeper_of(pid: u32) -> Option<u32> {
    let mut pid = pid;
    for _ in 0..ANCESTORS_MAX {
        match parent(pid)? {
            above if above == std::process::id() => return Some(pid),
            0 | 1 => return None,
            above => pid = above,
        }
    }
    None
}

/// Which run it keeps, if it is a keeper of a worker.
fn mark_of(keeper: u32) -> Option<u64> {
    let environment = fs::read(format!("/proc/{keeper}/environ")).ok()?;
    let value = environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// None: it is not there any more.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name before may have anything in it.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    String::from_utf8_lossy(&stat[end + 1..]).split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use futures_util::FutureExt;
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    #[test]
    fn whoever_descends_from_a_keeper_is_of_its_run() {
        let family = Family::new(History::new(Clock::start()));
        let run = family.begin("web", 0);
        let (name, value) = Family::mark(run);
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", "sleep 1000 & echo $!; read line; kill $!"])
            .env(name, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut keeper = keeper.spawn().unwrap();
        let mut below = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut below).unwrap();
        assert_eq!((family.run_of(keeper.id()), family.run_of(below.trim().parse().unwrap())), (Some(run), Some(run)));
        assert_eq!((family.run_of(std::process::id()), family.run_of(1), family.run_of(u32::MAX)), (None, None, None));
        drop(keeper.stdin.take());
        keeper.wait().unwrap();
        let mut stranger = Command::new("cat").env(MARK, "4711").stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(family.run_of(stranger.id()), None, "there is no such run");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn the_end_of_a_run_is_told_when_it_is_known_and_of_others_in_its_tree_at_once() {
        let family = Family::new(History::new(Clock::start()));
        let run = family.begin("web", 0);
        family.started(run, 4711);
        let own = family.testimony(run, 4711);
        assert_eq!(family.testimony(run, 4712).now_or_never().unwrap().unwrap(), "process 4712 of worker web/0 has ended");
        let mut own = std::pin::pin!(own);
        assert_eq!(own.as_mut().now_or_never(), None);
        family.gone(run, "was killed by SIGSEGV", &["one".into(), "two".into()]);
        let words = "worker web/0 (pid 4711) was killed by SIGSEGV; its last words: one\ntwo";
        assert_eq!(own.now_or_never().unwrap().unwrap(), words);
        for _ in 0..=ENDED_MAX {
            let other = family.begin("web", 0);
            family.gone(other, "ended", &[]);
        }
        assert_eq!(family.testimony(run, 4711).now_or_never().unwrap(), None, "that is long ago");
    }
}
