//! What `top` shows: the last look and the one before it, what is selected, and what the user is about to do.

use super::{
    figures,
    look::{Broker, Looked},
};
use crate::cli::processes::lines::{self, size, who};
use bursar::{
    Described,
    processes::{Line, Process, Worker},
};
use std::collections::VecDeque;

/// Lines of output that can be scrolled through.
const LOG_LINES_MAX: usize = 5000;

/// See the module.
#[derive(Debug, Default)]
pub struct State {
    pub colors: bool,
    pub table: Table,
    /// The rows that are selected in each table, of those that the filter leaves.
    pub selected: [usize; 2],
    /// Names that contain this.
    pub filter: String,
    pub mode: Mode,
    pub log: Option<Log>,
    /// The broker does not answer: why, and since when, Unix time in milliseconds.
    pub lost: Option<(String, u64)>,
    /// What became of the last wish.
    pub said: String,
    pub now_ms: u64,
    last: Option<(Looked, u64)>,
    /// The look before, and its time.
    before: Option<(Looked, u64)>,
}

/// Which table has the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Table {
    #[default]
    Processes,
    Objects,
}

/// What keys mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Tables,
    /// They are letters of the filter.
    Filter,
    /// They are yes or no.
    Ask(Wish),
    Help,
}

/// What the user wants of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Start(String),
    Stop(String),
    Kill(String),
    /// One worker, or all.
    Restart(String, Option<u32>),
}

impl Wish {
    /// `stop web?`
    pub fn question(&self) -> String {
        match self {
            Wish::Start(name) => format!("start {name}?"),
            Wish::Stop(name) => format!("stop {name}, with all its workers?"),
            Wish::Kill(name) => format!("kill {name}, with all its workers, at once?"),
            Wish::Restart(name, worker) => format!("restart {}?", who(name, *worker)),
        }
    }
}

/// What a process writes.
#[derive(Debug)]
pub struct Log {
    pub name: String,
    pub lines: VecDeque<String>,
    /// How many lines one has scrolled up from the end; 0: it follows.
    pub back: usize,
}

/// A row of processes: one of a worker, or of a process that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub worker: Option<u32>,
    pub wanted: bool,
}

impl State {
    pub fn new(colors: bool) -> State {
        State { colors, ..State::default() }
    }

    /// What the broker says now, or why it says nothing.
    pub fn take(&mut self, looked: Result<Looked, String>, now_ms: u64) {
        self.now_ms = now_ms;
        match looked {
            Ok(looked) => {
                self.lost = None;
                self.before = self.last.replace((looked, now_ms));
                self.keep_selection();
            }
            Err(why) => {
                let since = self.lost.take().map_or(now_ms, |(_, since)| since);
                self.lost = Some((why, since));
            }
        }
    }

    pub fn say(&mut self, text: String) {
        self.said = text;
    }

    pub fn broker(&self) -> Option<&Broker> {
        self.last.as_ref().map(|(looked, _)| &looked.broker)
    }

    /// Whether the broker keeps processes at all.
    pub fn supervises(&self) -> bool {
        self.last.as_ref().is_some_and(|(looked, _)| looked.processes.is_some())
    }

    /// Those that the filter leaves.
    pub fn processes(&self) -> Vec<&Process> {
        let all = self.last.iter().flat_map(|(looked, _)| looked.processes.iter().flatten());
        all.filter(|process| process.name.contains(&self.filter)).collect()
    }

    pub fn rows(&self) -> Vec<Row> {
        let row = |process: &Process, worker| Row { name: process.name.clone(), worker, wanted: process.wanted };
        let of_process = |process: &&Process| match process.workers.is_empty() {
            true => vec![row(process, None)],
            false => process.workers.iter().map(|worker| row(process, Some(worker.number))).collect(),
        };
        self.processes().iter().flat_map(of_process).collect()
    }

    pub fn objects(&self) -> Vec<&Described> {
        let all = self.last.iter().flat_map(|(looked, _)| &looked.objects);
        all.filter(|object| object.name.contains(&self.filter)).collect()
    }

    /// The age of the first item of a queue that can be had.
    pub fn oldest_ms(&self, object: &str) -> Option<u64> {
        self.last.as_ref().and_then(|(looked, _)| looked.oldest_ms.get(object).copied())
    }

    pub fn selected_row(&self) -> Option<Row> {
        self.rows().into_iter().nth(self.selected[Table::Processes as usize])
    }

    /// Between the last two looks, of one core: `12%`. Nothing, if it is another run or there was one look only.
    pub fn cpu(&self, process: &Process, worker: &Worker) -> Option<String> {
        let (before, elapsed_ms) = self.before()?;
        let process = before.processes.iter().flatten().find(|other| other.name == process.name)?;
        let same = process.workers.iter().find(|other| other.number == worker.number && other.pid == worker.pid)?;
        let used = worker.cpu_ms.saturating_sub(same.cpu_ms) as f64;
        Some(format!("{:.0}%", 100.0 * used / elapsed_ms as f64))
    }

    /// Uses between the last two looks: `12.5/s`.
    pub fn rate(&self, object: &Described) -> Option<String> {
        let (before, elapsed_ms) = self.before()?;
        let same = before.objects.iter().find(|other| other.name == object.name && other.epoch == object.epoch)?;
        let uses = figures::uses_of(object)?.saturating_sub(figures::uses_of(same)?);
        let rate = uses as f64 * 1000.0 / elapsed_ms as f64;
        let digits = usize::from(rate < 99.95);
        Some(format!("{rate:.digits$}/s"))
    }

    /// The look before the last one, and how long before that it was.
    fn before(&self) -> Option<(&Looked, u64)> {
        let ((_, last_ms), (before, before_ms)) = (self.last.as_ref()?, self.before.as_ref()?);
        let elapsed_ms = last_ms.saturating_sub(*before_ms);
        (elapsed_ms > 0).then_some((before, elapsed_ms))
    }

    /// Rows of the table that has the keys.
    pub fn count(&self) -> usize {
        match self.table {
            Table::Processes => self.rows().len(),
            Table::Objects => self.objects().len(),
        }
    }

    /// A row that has gone is not selected any more.
    pub fn keep_selection(&mut self) {
        let counts = [self.rows().len(), self.objects().len()];
        for (selected, count) in self.selected.iter_mut().zip(counts) {
            *selected = (*selected).min(count.saturating_sub(1));
        }
    }

    pub fn open_log(&mut self, name: String) {
        self.log = Some(Log { name, lines: VecDeque::new(), back: 0 });
    }

    /// A line that was written by the process whose output is shown.
    pub fn log(&mut self, line: &Line) {
        let Some(log) = self.log.as_mut().filter(|log| log.name == line.process) else { return };
        if line.missed_bytes > 0 {
            log.push(format!("... {} were not read in time, and are lost", size(line.missed_bytes)));
        }
        let mut plain = lines::Lines::new(false, false);
        let shown = plain.output(&Line { missed_bytes: 0, ..line.clone() }, std::time::SystemTime::UNIX_EPOCH);
        log.push(visible(shown.trim_end()));
    }

    pub fn log_ended(&mut self, why: String) {
        if let Some(log) = &mut self.log {
            log.push(format!("({why})"));
        }
    }
}

impl Log {
    fn push(&mut self, line: String) {
        if self.lines.len() == LOG_LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        // Who has scrolled up goes on seeing the same.
        if self.back > 0 {
            self.back = (self.back + 1).min(self.lines.len());
        }
    }
}

/// Without what would move the cursor or change the colours; a tab is some spaces.
fn visible(line: &str) -> String {
    let mut characters = line.chars().peekable();
    let mut visible = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\t' => visible += "    ",
            // A sequence of the form ESC [ parameters letter.
            '\u{1b}' if characters.next_if_eq(&'[').is_some() => {
                while characters.next().is_some_and(|next| !next.is_ascii_alphabetic()) {}
            }
            character if character.is_control() => {}
            character => visible.push(character),
        }
    }
    visible
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use bursar::processes::WorkerState;
    use std::collections::BTreeMap;

    pub fn object(name: &str, kind: &str, figures: &[(&str, u64)]) -> Described {
        let wire = bursar_proto::v1::registry::Described {
            name: name.into(),
            kind: kind.into(),
            epoch: 1,
            figures: figures.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect(),
            ..Default::default()
        };
        Described::from(wire)
    }

    pub fn process(name: &str, workers: &[(WorkerState, u64)]) -> Process {
        let worker = |(number, &(state, cpu_ms)): (usize, &(WorkerState, u64))| {
            let pid = matches!(state, WorkerState::Ready | WorkerState::Starting).then_some(4000 + number as u32);
            Worker {
                number: number as u32,
                state,
                healthy: true,
                pid,
                started_ms: 1_000,
                cpu_ms,
                memory_bytes: 9 << 20,
                ..Worker::default()
            }
        };
        let workers = workers.iter().enumerate().map(worker).collect();
        Process { name: name.into(), wanted: true, workers, ..Process::default() }
    }

    pub fn looked(processes: Vec<Process>, objects: Vec<Described>) -> Looked {
        let broker = Broker {
            address: "unix:///run/bursar.sock".into(),
            version: "0.1.0".into(),
            pid: 7,
            uptime_ms: 200_000,
            sessions: 3,
            connections: 2,
            objects: objects.len() as u64,
        };
        Looked { broker, processes: Some(processes), objects, oldest_ms: BTreeMap::from([("jobs".into(), 3_000)]) }
    }

    pub fn line(process: &str, text: &str) -> Line {
        Line { process: process.into(), text: text.into(), ..Line::default() }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let mut state = State::new(false);
        let look = |cpu_ms, put| {
            looked(vec![process("web", &[(WorkerState::Ready, cpu_ms)])], vec![object("jobs", "queue", &[("put", put)])])
        };
        state.take(Ok(look(100, 10)), 5_000);
        let (web, jobs) = (state.processes()[0].clone(), state.objects()[0].clone());
        assert_eq!((state.cpu(&web, &web.workers[0]), state.rate(&jobs)), (None, None), "one look is no rate");
        state.take(Ok(look(1_600, 15)), 6_000);
        let (web, jobs) = (state.processes()[0].clone(), state.objects()[0].clone());
        assert_eq!((state.cpu(&web, &web.workers[0]), state.rate(&jobs)), (Some("150%".into()), Some("5.0/s".into())));
        let mut again = web.clone();
        again.workers[0].pid = Some(1);
        assert_eq!(state.cpu(&again, &again.workers[0]), None, "another run");
    }

    #[test]
    fn a_lost_broker_is_remembered_until_it_answers() {
        let mut state = State::new(false);
        state.take(Ok(looked(vec![], vec![])), 1_000);
        state.take(Err("gone".into()), 2_000);
        state.take(Err("gone still".into()), 3_000);
        assert_eq!(state.lost, Some(("gone still".into(), 2_000)));
        assert!(state.broker().is_some(), "what was seen last is shown");
        state.take(Ok(looked(vec![], vec![])), 4_000);
        assert_eq!(state.lost, None);
    }

    #[test]
    fn a_row_that_has_gone_is_not_selected() {
        let mut state = State::new(false);
        state.take(Ok(looked(vec![process("web", &[(WorkerState::Ready, 0); 3])], vec![])), 1_000);
        state.selected[0] = 2;
        state.take(Ok(looked(vec![process("web", &[(WorkerState::Ready, 0)])], vec![])), 2_000);
        assert_eq!(state.selected_row(), Some(Row { name: "web".into(), worker: Some(0), wanted: true }));
        state.filter = "x".into();
        state.keep_selection();
        assert_eq!(state.selected_row(), None);
    }

    #[test]
    fn who_has_scrolled_up_goes_on_seeing_the_same() {
        let mut state = State::new(false);
        state.open_log("web".into());
        (0..10).for_each(|number| state.log(&line("web", &number.to_string())));
        state.log(&line("db", "of somebody else"));
        assert_eq!(state.log.as_ref().unwrap().lines.len(), 10);
        state.log.as_mut().unwrap().back = 4;
        state.log(&line("web", "new"));
        assert_eq!(state.log.as_ref().unwrap().back, 5);
        (0..LOG_LINES_MAX).for_each(|_| state.log(&line("web", "x")));
        assert_eq!(state.log.as_ref().unwrap().lines.len(), LOG_LINES_MAX);
    }

    #[test]
    fn output_cannot_move_the_cursor() {
        assert_eq!(visible("\u{1b}[31;1mred\u{1b}[0m\ta\rb\u{7}"), "red    ab");
        assert_eq!(visible("\u{1b}["), "");
    }
}
