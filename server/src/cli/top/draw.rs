//! The picture: from the state to text and colours in a grid of any size. It knows no terminal.

use super::{
    figures, input,
    state::{Log, Mode, State, Table},
    text,
};
use crate::cli::{
    output::{cell, span, table},
    processes::table as processes,
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

/// Lines above the tables: what the broker says of itself, and news.
const HEAD: u16 = 2;
/// Below them: what can be done now.
const FOOT: u16 = 1;
/// With fewer lines there is one table only.
const BOTH_MIN: u16 = 8;

const OBJECTS: [&str; 6] = ["NAME", "KIND", "DEPTH", "OLDEST", "RATE", "WAITERS"];

/// Everything, as far as there is room. Where there is more, what is selected is seen.
pub fn screen(state: &State, area: Rect, buffer: &mut Buffer) {
    let mut page = Page { area, buffer, colors: state.colors };
    if area.height <= HEAD + FOOT {
        return page.line(0, &head(state), Style::new());
    }
    page.line(0, &head(state), Style::new().add_modifier(Modifier::BOLD));
    news(state, &mut page);
    let body = Rect { y: HEAD, height: area.height - HEAD - FOOT, ..area };
    match (&state.mode, &state.log) {
        (Mode::Help, _) => help(&mut page, body),
        (_, Some(log)) => with_log(state, log, &mut page, body),
        _ => tables(state, &mut page, body),
    }
    foot(state, &mut page);
}

/// Everything there is, as text of this width.
pub fn whole(state: &State, width: u16) -> Vec<String> {
    // A header for each table, a line between them, and one for what is said where a table is empty.
    let body = (state.rows().len() + state.objects().len() + 5).max(BOTH_MIN.into());
    let height = usize::from(HEAD + FOOT) + body;
    let area = Rect::new(0, 0, width, u16::try_from(height).unwrap_or(u16::MAX));
    let mut buffer = Buffer::empty(area);
    screen(state, area, &mut buffer);
    let mut lines = text(&buffer);
    lines.pop();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// Lines of a grid. What does not fit is cut.
struct Page<'a> {
    area: Rect,
    buffer: &'a mut Buffer,
    colors: bool,
}

impl Page<'_> {
    fn line(&mut self, y: u16, text: &str, style: Style) {
        self.part(0, y, text, style);
    }

    fn part(&mut self, x: u16, y: u16, text: &str, style: Style) {
        if y < self.area.height && x < self.area.width {
            let (x, y, width) = (self.area.x + x, self.area.y + y, self.area.width - x);
            let style = if self.colors { style } else { Style { fg: None, bg: None, ..style } };
            self.buffer.set_stringn(x, y, text, width.into(), style);
        }
    }

    /// A line over its whole width.
    fn bar(&mut self, y: u16, text: &str, style: Style) {
        let width = usize::from(self.area.width);
        self.line(y, &format!("{text:width$}"), style);
    }
}

fn head(state: &State) -> String {
    let Some(broker) = state.broker() else { return "bursar".into() };
    format!(
        "bursar {}  {}  pid {}  up {}  {} sessions  {} connections  {} objects",
        broker.version,
        broker.address,
        broker.pid,
        span(broker.uptime_ms),
        broker.sessions,
        broker.connections,
        broker.objects
    )
}

fn news(state: &State, page: &mut Page<'_>) {
    match &state.lost {
        Some((why, since)) => {
            let text = format!("no answer for {}: {}", span(state.now_ms.saturating_sub(*since)), why);
            page.line(1, &text, Style::new().fg(Color::Red).add_modifier(Modifier::BOLD));
        }
        None => page.line(1, &state.said, Style::new().fg(Color::Yellow)),
    }
}

fn foot(state: &State, page: &mut Page<'_>) {
    let y = page.area.height - 1;
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    match &state.mode {
        Mode::Ask(wish) => page.bar(y, &format!("{} (y/n)", wish.question()), reversed.fg(Color::Yellow)),
        Mode::Filter => page.bar(y, &format!("/{}_", state.filter), reversed),
        Mode::Help => page.bar(y, "any key: back", reversed),
        Mode::Tables => {
            let filter = if state.filter.is_empty() { String::new() } else { format!("  only names with {:?}", state.filter) };
            page.bar(
                y,
                &format!("tab table  l output  r restart  s stop/start  K kill  / filter  ? help  q quit{filter}"),
                reversed,
            );
        }
    }
}

fn help(page: &mut Page<'_>, body: Rect) {
    for (y, (keys, meaning)) in (body.y..body.bottom()).zip(input::KEYS) {
        page.line(y, &format!("{keys:20}{meaning}"), Style::new());
    }
}

fn tables(state: &State, page: &mut Page<'_>, body: Rect) {
    if body.height < BOTH_MIN {
        return match state.table {
            Table::Processes => process_table(state, page, body),
            Table::Objects => object_table(state, page, body),
        };
    }
    let (rows, objects) = (state.rows().len().max(1) + 1, state.objects().len() + 1);
    let half = usize::from(body.height / 2);
    // Each has half of it, and what the other one leaves.
    let height = rows.min(half.max(usize::from(body.height).saturating_sub(objects + 1))) as u16;
    process_table(state, page, Rect { height, ..body });
    object_table(state, page, Rect { y: body.y + height + 1, height: body.height - height - 1, ..body });
}

fn with_log(state: &State, log: &Log, page: &mut Page<'_>, body: Rect) {
    let height = (body.height / 3).min(state.rows().len() as u16 + 1);
    process_table(state, page, Rect { height, ..body });
    let title = match log.back {
        0 => format!("output of {}", log.name),
        back => format!("output of {}, {back} lines before the end (end: follow)", log.name),
    };
    page.bar(body.y + height, &title, Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED));
    let room = usize::from(body.height - height - 1);
    let end = log.lines.len() - log.back.min(log.lines.len().saturating_sub(room));
    let lines = log.lines.range(end.saturating_sub(room)..end);
    for (y, line) in (body.y + height + 1..).zip(lines) {
        let is_stderr = line.split_whitespace().nth(1) == Some("!");
        page.line(y, line, if is_stderr { Style::new().fg(Color::Red) } else { Style::new() });
    }
}

fn process_table(state: &State, page: &mut Page<'_>, area: Rect) {
    let shown: Vec<_> = state.processes().into_iter().cloned().collect();
    let rows = processes::rows(&shown, state.now_ms, |process, worker| state.cpu(process, worker));
    let lines = table(&processes::HEADER, &rows);
    let nothing = match (state.supervises(), state.filter.is_empty()) {
        (false, _) => "this broker supervises no processes",
        (true, true) => "no processes",
        (true, false) => "no process of such a name",
    };
    rows_of(state, page, area, Table::Processes, &lines, nothing);
    // Once more, and in colour: how each one is.
    let x = lines[0].find(processes::HEADER[1]).unwrap_or(0) as u16;
    for (y, at) in visible(state, area, Table::Processes, rows.len()) {
        let style = if is_selected(state, Table::Processes, at) { SELECTED } else { Style::new() };
        page.part(x, y, &rows[at][1], style.fg(color_of(&rows[at][1])));
    }
}

fn object_table(state: &State, page: &mut Page<'_>, area: Rect) {
    let nothing = || "-".to_owned();
    let row = |object: &&bursar::Described| {
        vec![
            cell(&object.name),
            object.kind.clone(),
            figures::depth_of(object),
            state.oldest_ms(&object.name).map_or_else(nothing, span),
            state.rate(object).unwrap_or_else(nothing),
            object.waiting.to_string(),
        ]
    };
    let rows: Vec<_> = state.objects().iter().map(row).collect();
    rows_of(state, page, area, Table::Objects, &table(&OBJECTS, &rows), "no objects");
}

const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// A header, and as many rows as there is room for.
fn rows_of(state: &State, page: &mut Page<'_>, area: Rect, of: Table, lines: &[String], nothing: &str) {
    if area.height == 0 {
        return;
    }
    let header = Style::new().add_modifier(Modifier::BOLD);
    let header = if state.table == of { header.fg(Color::Cyan).add_modifier(Modifier::UNDERLINED) } else { header };
    page.bar(area.y, &lines[0], header);
    if lines.len() == 1 && area.height > 1 {
        page.line(area.y + 1, nothing, Style::new().add_modifier(Modifier::DIM));
    }
    for (y, at) in visible(state, area, of, lines.len() - 1) {
        match is_selected(state, of, at) {
            true => page.bar(y, &lines[at + 1], SELECTED),
            false => page.line(y, &lines[at + 1], Style::new()),
        }
    }
}

fn is_selected(state: &State, of: Table, at: usize) -> bool {
    state.table == of && state.selected[of as usize] == at
}

/// The rows that are seen, each with its line: the selected one is among them.
fn visible(state: &State, area: Rect, of: Table, count: usize) -> impl Iterator<Item = (u16, usize)> + use<> {
    let room = usize::from(area.height.saturating_sub(1));
    let first = (state.selected[of as usize] + 1).saturating_sub(room);
    (area.y + 1..).zip(first..count.min(first + room))
}

fn color_of(state: &str) -> Color {
    match state {
        "ready" | "finished" => Color::Green,
        "starting" | "stopping" => Color::Yellow,
        "waiting" | "spent" | "unhealthy" => Color::Red,
        _ => Color::DarkGray,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::state::{
            Wish,
            tests::{line, looked, object, process},
        },
        *,
    };
    use bursar::processes::{Exit, WorkerState};

    fn state() -> State {
        let mut state = State::new(true);
        let look = |cpu_ms, put, now_ms: u64| {
            let mut web = process("web", &[(WorkerState::Ready, cpu_ms), (WorkerState::Waiting, 0)]);
            web.workers[1].restarts = 3;
            let text = "was killed by SIGSEGV".to_owned();
            web.workers[1].last_exit = Some(Exit { text, at_ms: now_ms - 2_000, ..Exit::default() });
            let mut mailer = process("mailer", &[]);
            mailer.waits_for = vec!["web to be ready".into()];
            let jobs = object("jobs", "queue", &[("ready", 12), ("put", put)]);
            looked(vec![mailer, web], vec![jobs, object("deploy", "lock", &[("depth", 1), ("last_token", 4)])])
        };
        state.take(Ok(look(100, 50, 60_000)), 60_000);
        state.take(Ok(look(350, 90, 61_000)), 61_000);
        state
    }

    fn drawn(state: &State, width: u16, height: u16) -> Vec<String> {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        screen(state, area, &mut buffer);
        text(&buffer)
    }

    const HEADING: &str = "bursar 0.1.0  unix:///run/bursar.sock  pid 7  up 3m 20s  3 sessions  2 connections  2 objects";
    const KEYS: &str = "tab table  l output  r restart  s stop/start  K kill  / filter  ? help  q quit";

    #[test]
    fn the_whole_screen() {
        let expected = [
            HEADING,
            "",
            "NAME    STATE    PID   UPTIME  RESTARTS  CPU  MEM     NOTE",
            "mailer  waiting  -     -       -         -    -       waits for web to be ready",
            "web/0   ready    4000  1m 0s   0         25%  9.0MiB  -",
            "web/1   waiting  -     -       3         -    -       was killed by SIGSEGV 2s ago",
            "",
            "NAME    KIND   DEPTH     OLDEST  RATE    WAITERS",
            "jobs    queue  12 ready  3s      40.0/s  0",
            "deploy  lock   1 held    -       0.0/s   0",
            "",
            KEYS,
        ];
        assert_eq!(drawn(&state(), 100, 12), expected);
        assert_eq!(whole(&state(), 100), expected[..10]);
    }

    #[test]
    fn a_small_screen_shows_the_selected_row_of_one_table() {
        let mut state = state();
        state.selected[0] = 2;
        let expected = [
            "bursar 0.1.0  unix:///run",
            "",
            "NAME    STATE    PID   UP",
            "web/1   waiting  -     -",
            "tab table  l output  r re",
        ];
        assert_eq!(drawn(&state, 25, 5), expected);
        state.table = Table::Objects;
        assert_eq!(drawn(&state, 25, 5)[3], "jobs    queue  12 ready");
        for (width, height) in [(1, 1), (0, 0), (80, 1), (2, 4), (300, 100)] {
            drawn(&state, width, height);
        }
    }

    #[test]
    fn many_rows_scroll_with_the_selection() {
        let mut state = State::new(false);
        let objects = (0..50).map(|number| object(&format!("o{number}"), "kv", &[("keys", number)])).collect();
        state.take(Ok(looked(vec![], objects)), 1_000);
        (state.table, state.selected[1]) = (Table::Objects, 30);
        let lines = drawn(&state, 60, 12);
        assert_eq!((lines[2].as_str(), lines[3].as_str()), (lines[2].as_str(), "no processes"));
        assert_eq!((&lines[6][..3], &lines[10][..3]), ("o26", "o30"));
    }

    #[test]
    fn a_question_and_a_filter_are_asked_below() {
        let mut state = state();
        state.mode = Mode::Ask(Wish::Stop("web".into()));
        assert_eq!(drawn(&state, 100, 12)[11], "stop web, with all its workers? (y/n)");
        (state.mode, state.filter) = (Mode::Filter, "ma".into());
        let lines = drawn(&state, 100, 12);
        assert_eq!((lines[11].as_str(), &lines[3][..6]), ("/ma_", "mailer"));
        state.mode = Mode::Help;
        assert!(drawn(&state, 100, 12)[2].starts_with("up down k j         select"));
    }

    #[test]
    fn a_lost_broker_is_told_with_what_was_seen_last() {
        let mut state = state();
        state.take(Err("no broker can be reached".into()), 62_000);
        state.take(Err("no broker can be reached".into()), 66_000);
        let lines = drawn(&state, 100, 12);
        assert_eq!((lines[0].as_str(), lines[1].as_str()), (HEADING, "no answer for 4s: no broker can be reached"));
        assert!(lines[4].starts_with("web/0   ready"));
    }

    #[test]
    fn output_follows_or_stays() {
        let mut state = state();
        state.open_log("web".into());
        (0..20).for_each(|number| state.log(&line("web", &format!("line {number}"))));
        let lines = drawn(&state, 60, 12);
        assert_eq!(lines[5], "output of web");
        assert_eq!((lines[6].as_str(), lines[10].as_str()), ("web/0  | line 15", "web/0  | line 19"));
        state.log.as_mut().unwrap().back = 3;
        let lines = drawn(&state, 60, 12);
        assert_eq!(
            (lines[5].as_str(), lines[10].as_str()),
            ("output of web, 3 lines before the end (end: follow)", "web/0  | line 16")
        );
        state.log.as_mut().unwrap().back = 20;
        assert_eq!(drawn(&state, 60, 12)[6], "web/0  | line 0", "the first ones stay");
    }

    #[test]
    fn a_broker_without_a_supervisor_has_objects_only() {
        let mut state = State::new(false);
        let looked = super::super::look::Looked { processes: None, ..looked(vec![], vec![object("jobs", "queue", &[])]) };
        state.take(Ok(looked), 1_000);
        let lines = whole(&state, 80);
        assert_eq!((lines[3].as_str(), &lines[6][..4]), ("this broker supervises no processes", "jobs"));
    }

    #[test]
    fn states_have_colours_where_colours_are_wanted() {
        let area = Rect::new(0, 0, 100, 12);
        let color = |colors| {
            let mut state = state();
            state.colors = colors;
            let mut buffer = Buffer::empty(area);
            screen(&state, area, &mut buffer);
            [4, 5].map(|y| buffer[(8, y)].fg)
        };
        assert_eq!(color(true), [Color::Green, Color::Red]);
        assert_eq!(color(false), [Color::Reset, Color::Reset]);
    }
}
