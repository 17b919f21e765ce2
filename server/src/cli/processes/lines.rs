//! Output of many workers in one stream: each line with whose it is before it, aligned, coloured where somebody looks.
//!
//! ```text
//! web/0  | listening
//! web/0  ! a line of its stderr
//! bursar | web/0 was killed by SIGSEGV; started again in 100 ms
//! ```

use crate::cli::output::utc;
use bursar::processes::{Activity, Exit, Line, Process, Source};
use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    io::{IsTerminal, stderr, stdout},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

/// As whom the supervisor speaks.
pub const OWN: &str = "bursar";

/// How output of workers is shown.
#[derive(clap::Args, Clone, Debug)]
pub struct Style {
    /// When to colour: auto is on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// As --color never
    #[arg(long, conflicts_with = "color")]
    no_color: bool,
    /// Begin each line with the time at which it came, in UTC
    #[arg(short, long)]
    timestamps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Style {
    /// Colours for stdout, as it is now.
    pub fn lines(&self) -> Lines {
        Lines::new(self.colors(&stdout()), self.timestamps)
    }

    /// The same for what stands beside them on stderr.
    pub fn beside(&self, lines: &Lines) -> Lines {
        Lines { colors: self.colors(&stderr()), ..lines.clone() }
    }

    fn colors(&self, to: &impl IsTerminal) -> bool {
        match self.color {
            _ if self.no_color => false,
            Color::Always => true,
            Color::Never => false,
            Color::Auto => to.is_terminal() && colors_wanted(|name| env::var(name).ok()),
        }
    }
}

/// What the environment says about colours: <https://no-color.org>, and a terminal that has none.
pub fn colors_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    variable("NO_COLOR").is_none_or(|value| value.is_empty()) && variable("TERM").is_none_or(|term| term != "dumb")
}

/// Of the sixteen that every terminal has those that can be read on black and on white; red is for what is wrong.
const PALETTE: [u8; 10] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];
const RED: u8 = 31;
const DIM: u8 = 2;

/// Formats lines. Whom it has seen once keeps its colour, and the widest name so far sets the column.
#[derive(Clone)]
pub struct Lines {
    colors: bool,
    timestamps: bool,
    /// The same for all clones.
    width: Arc<AtomicUsize>,
    /// A colour for each process, in the order in which they were seen first.
    palette: BTreeMap<String, u8>,
}

impl Lines {
    pub fn new(colors: bool, timestamps: bool) -> Lines {
        Lines { colors, timestamps, width: Arc::new(OWN.len().into()), palette: BTreeMap::new() }
    }

    /// Processes that may write, so that their lines are aligned from the first one on.
    pub fn expect(&mut self, processes: &[Process]) {
        for process in processes {
            self.color(&process.name);
            let last = process.workers.iter().map(|worker| worker.number).max().unwrap_or(0);
            self.width.fetch_max(who(&process.name, Some(last)).len(), Ordering::Relaxed);
        }
    }

    /// A line of a worker, and before it what is missing.
    pub fn output(&mut self, line: &Line, now: SystemTime) -> String {
        let Line { process, worker, source, text, missed_bytes } = line;
        let who = who(process, Some(*worker));
        self.width.fetch_max(who.len(), Ordering::Relaxed);
        let mut lines = String::new();
        if *missed_bytes > 0 {
            let missed = format!("{who}: {} of output before this were not read in time, and are lost", size(*missed_bytes));
            lines = self.own(&missed, now);
        }
        let color = self.color(process);
        let bar = match source {
            Source::Stdout => self.painted("|", color),
            Source::Stderr => self.painted("!", RED),
        };
        // What a worker colours and does not end would colour what others write.
        let end = if self.colors && text.contains('\u{1b}') { "\u{1b}[0m" } else { "" };
        let before = self.before(&who, color, now);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let _ = writeln!(lines, "{before} {bar} {text}{end}");
        lines
    }

    /// Something happened to a process.
    pub fn activity(&self, activity: &Activity, now: SystemTime) -> String {
        told(activity).map_or_else(String::new, |told| self.own(&told, now))
    }

    /// What the supervisor itself says; each line of it on a line.
    pub fn own(&self, text: &str, now: SystemTime) -> String {
        let (before, bar) = (self.before(OWN, DIM, now), self.painted("|", DIM));
        text.lines().map(|line| format!("{before} {bar} {line}\n")).collect()
    }

    fn before(&self, who: &str, color: u8, now: SystemTime) -> String {
        let time = if self.timestamps { self.painted(&utc(now), DIM) + " " } else { String::new() };
        let padding = " ".repeat(self.width.load(Ordering::Relaxed).saturating_sub(who.len()));
        format!("{time}{}{padding}", self.painted(who, color))
    }

    fn painted(&self, text: &str, color: u8) -> String {
        if self.colors { format!("\u{1b}[{color}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn color(&mut self, process: &str) -> u8 {
        let next = PALETTE[self.palette.len() % PALETTE.len()];
        *self.palette.entry(process.to_owned()).or_insert(next)
    }
}

/// `web`, or `web/0`.
pub fn who(process: &str, worker: Option<u32>) -> String {
    worker.map_or_else(|| process.to_owned(), |worker| format!("{process}/{worker}"))
}

/// An event in words: `web/0 was killed by SIGSEGV; started again in 100 ms`. Nothing, where there is no more to say than what the
/// event before it has said.
pub fn told(activity: &Activity) -> Option<String> {
    let Activity { at_ms: _, process, worker, what, text, pid, exit } = activity;
    let who = who(process, *worker);
    let said = match (what.as_str(), pid) {
        // Its exit was told, and its last words were output.
        ("gone", _) => return None,
        ("started", Some(pid)) => format!("started, pid {pid}"),
        _ if text.is_empty() => what.clone(),
        _ => text.clone(),
    };
    let colon = if exit.as_ref().is_some_and(not_run) { ":" } else { "" };
    Some(format!("{who}{colon} {said}").trim_start().to_owned())
}

/// The code of what could not be run, as shells have it.
const NOT_RUN: i32 = 127;

/// Whether this is of a command that could not be run: the text begins with the command, and is a sentence of its own.
pub fn not_run(exit: &Exit) -> bool {
    exit.code == NOT_RUN && !exit.text.starts_with("ended with ")
}

/// Bytes as people say them: `512B`, `1.5KiB`, `23MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut size = bytes as f64;
    // Not 1024: 1023.9 would be shown as 1024.
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && size < 9.95);
    format!("{size:.digits$}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar::processes::Worker;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn line(process: &str, worker: u32, source: Source, text: &str) -> Line {
        Line { process: process.into(), worker, source, text: text.into(), missed_bytes: 0 }
    }

    fn processes() -> [Process; 2] {
        let workers = (0..11).map(|number| Worker { number, ..Worker::default() }).collect();
        [
            Process { name: "db".into(), workers: vec![Worker::default()], ..Process::default() },
            Process { name: "web".into(), workers, ..Process::default() },
        ]
    }

    #[test]
    fn lines_are_aligned_and_say_whose_they_are() {
        let mut lines = Lines::new(false, false);
        lines.expect(&processes());
        assert_eq!(lines.output(&line("db", 0, Source::Stdout, "ready"), NOW), "db/0   | ready\n");
        assert_eq!(lines.output(&line("web", 10, Source::Stderr, "a | b\r"), NOW), "web/10 ! a | b\n");
        assert_eq!(lines.own("db/0 started, pid 7\ntwo", NOW), "bursar | db/0 started, pid 7\nbursar | two\n");
        assert_eq!(lines.output(&line("later-one", 0, Source::Stdout, ""), NOW), "later-one/0 | \n", "who comes later widens it");
        assert_eq!(lines.output(&line("db", 0, Source::Stdout, "x"), NOW), "db/0        | x\n");
    }

    #[test]
    fn times_stand_before_all() {
        let mut lines = Lines::new(false, true);
        assert_eq!(lines.output(&line("db", 0, Source::Stdout, "x"), NOW), "1970-01-01 00:00:00Z db/0   | x\n");
    }

    #[test]
    fn every_process_has_a_colour_and_stderr_is_red() {
        let mut lines = Lines::new(true, false);
        lines.expect(&processes());
        let out = lines.output(&line("db", 0, Source::Stdout, "x"), NOW);
        assert_eq!(out, "\u{1b}[36mdb/0\u{1b}[0m   \u{1b}[36m|\u{1b}[0m x\n");
        let err = lines.output(&line("web", 1, Source::Stderr, "\u{1b}[1mloud"), NOW);
        assert_eq!(
            err, "\u{1b}[33mweb/1\u{1b}[0m  \u{1b}[31m!\u{1b}[0m \u{1b}[1mloud\u{1b}[0m\n",
            "what it colours ends with it"
        );
    }

    #[test]
    fn what_was_missed_is_told_before_the_line() {
        let late = Line { missed_bytes: 12_345, ..line("db", 0, Source::Stdout, "x") };
        let expected = "bursar | db/0: 12KiB of output before this were not read in time, and are lost\ndb/0   | x\n";
        assert_eq!(Lines::new(false, false).output(&late, NOW), expected);
    }

    #[test]
    fn long_lines_stay_whole() {
        let text = "x".repeat(70_000);
        assert_eq!(Lines::new(false, false).output(&line("db", 0, Source::Stdout, &text), NOW), format!("db/0   | {text}\n"));
    }

    #[test]
    fn events_are_sentences() {
        let of = |what: &str, text: &str| Activity {
            process: "web".into(),
            worker: Some(0),
            what: what.into(),
            text: text.into(),
            pid: Some(7),
            ..Activity::default()
        };
        assert_eq!(told(&of("started", "started ./web --port 8000")).unwrap(), "web/0 started, pid 7");
        assert_eq!(told(&of("exited", "was killed by SIGSEGV")).unwrap(), "web/0 was killed by SIGSEGV");
        assert_eq!(told(&of("returned", "held 2 items of jobs")).unwrap(), "web/0 held 2 items of jobs");
        assert_eq!(told(&of("gone", "nothing of it is left")), None, "it adds nothing");
        assert_eq!(told(&Activity { worker: None, ..of("scaled", "") }).unwrap(), "web scaled");
        assert_eq!(
            told(&Activity { what: "missed".into(), text: "3 events".into(), ..Activity::default() }).unwrap(),
            "3 events"
        );
    }

    #[test]
    fn the_environment_may_want_no_colours() {
        let wanted = |name: &'static str, value: &'static str| colors_wanted(move |asked| (asked == name).then(|| value.into()));
        assert!(wanted("NO_COLOR", "") && wanted("TERM", "xterm"));
        assert!(!wanted("NO_COLOR", "1") && !wanted("TERM", "dumb"));
    }

    #[test]
    fn sizes() {
        let sizes = [0, 999, 1000, 1536, 12_345, 52_428_800, 1 << 40].map(size);
        assert_eq!(sizes, ["0B", "999B", "1.0KiB", "1.5KiB", "12KiB", "50MiB", "1.0TiB"]);
    }
}
