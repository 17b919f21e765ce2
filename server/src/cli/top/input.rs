//! What keys do: they change what is shown, or ask for something to be done. Nothing is done here.

use super::state::{Mode, State, Table, Wish};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What is to be done in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Quit,
    /// Show what this process writes.
    ReadLogs(String),
    LeaveLogs,
    Wish(Wish),
}

/// Rows that page up and page down go by.
const PAGE: usize = 10;

/// All keys, with what they do; `?` shows them.
pub const KEYS: &[(&str, &str)] = &[
    ("up down k j", "select; in the output: scroll"),
    ("pgup pgdn home end", "by ten rows; to the first, to the last (the output follows there)"),
    ("tab", "processes or objects"),
    ("l enter", "what the selected process writes; again: leave it"),
    ("r R", "restart the selected worker; all workers of its process"),
    ("s", "stop its process, or start it"),
    ("K", "kill its process"),
    ("/", "show only names that contain ...; escape: all again"),
    ("q escape", "leave: the output, the filter, this help, then top"),
];

/// A key was pressed.
pub fn key(state: &mut State, key: KeyEvent) -> Option<Effect> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Effect::Quit);
    }
    match state.mode.clone() {
        Mode::Tables => in_tables(state, key.code),
        Mode::Filter => in_filter(state, key.code),
        Mode::Ask(wish) => in_question(state, key.code, wish),
        Mode::Help => {
            state.mode = Mode::Tables;
            None
        }
    }
}

fn in_tables(state: &mut State, code: KeyCode) -> Option<Effect> {
    match code {
        KeyCode::Up | KeyCode::Char('k') => step(state, 1, true),
        KeyCode::Down | KeyCode::Char('j') => step(state, 1, false),
        KeyCode::PageUp => step(state, PAGE, true),
        KeyCode::PageDown => step(state, PAGE, false),
        KeyCode::Home | KeyCode::Char('g') => step(state, usize::MAX, true),
        KeyCode::End | KeyCode::Char('G') => step(state, usize::MAX, false),
        KeyCode::Tab | KeyCode::BackTab => {
            state.table = if state.table == Table::Processes { Table::Objects } else { Table::Processes };
        }
        KeyCode::Char('/') => state.mode = Mode::Filter,
        KeyCode::Char('?') => state.mode = Mode::Help,
        KeyCode::Char('l') | KeyCode::Enter => return logs(state),
        KeyCode::Char('r') => return ask(state, |row| Wish::Restart(row.name, row.worker)),
        KeyCode::Char('R') => return ask(state, |row| Wish::Restart(row.name, None)),
        KeyCode::Char('s') => return ask(state, |row| if row.wanted { Wish::Stop(row.name) } else { Wish::Start(row.name) }),
        KeyCode::Char('K') => return ask(state, |row| Wish::Kill(row.name)),
        KeyCode::Esc | KeyCode::Char('q') => return leave(state),
        _ => {}
    }
    None
}

/// The innermost thing that can be left.
fn leave(state: &mut State) -> Option<Effect> {
    if state.log.take().is_some() {
        return Some(Effect::LeaveLogs);
    }
    if !state.filter.is_empty() {
        state.filter.clear();
        state.keep_selection();
        return None;
    }
    Some(Effect::Quit)
}

fn logs(state: &mut State) -> Option<Effect> {
    if state.log.take().is_some() {
        return Some(Effect::LeaveLogs);
    }
    let name = state.selected_row().filter(|_| state.table == Table::Processes)?.name;
    state.open_log(name.clone());
    Some(Effect::ReadLogs(name))
}

/// What starts something is done at once; what takes something away is asked for first.
fn ask(state: &mut State, wish: impl FnOnce(super::state::Row) -> Wish) -> Option<Effect> {
    let row = state.selected_row().filter(|_| state.table == Table::Processes)?;
    match wish(row) {
        start @ Wish::Start(_) => Some(Effect::Wish(start)),
        wish => {
            state.mode = Mode::Ask(wish);
            None
        }
    }
}

fn in_question(state: &mut State, code: KeyCode, wish: Wish) -> Option<Effect> {
    state.mode = Mode::Tables;
    matches!(code, KeyCode::Char('y' | 'Y')).then_some(Effect::Wish(wish))
}

fn in_filter(state: &mut State, code: KeyCode) -> Option<Effect> {
    match code {
        KeyCode::Enter => state.mode = Mode::Tables,
        KeyCode::Esc => {
            state.filter.clear();
            state.mode = Mode::Tables;
        }
        KeyCode::Backspace => drop(state.filter.pop()),
        KeyCode::Char(letter) => state.filter.push(letter),
        _ => {}
    }
    state.keep_selection();
    None
}

fn step(state: &mut State, by: usize, up: bool) {
    if let Some(log) = &mut state.log {
        log.back = if up { log.back.saturating_add(by).min(log.lines.len()) } else { log.back.saturating_sub(by) };
        return;
    }
    let last = state.count().saturating_sub(1);
    let selected = &mut state.selected[state.table as usize];
    *selected = if up { selected.saturating_sub(by) } else { selected.saturating_add(by).min(last) };
}

#[cfg(test)]
mod tests {
    use super::{
        super::state::tests::{line, looked, object, process},
        *,
    };
    use bursar::processes::WorkerState::Ready;

    fn state() -> State {
        let mut state = State::new(false);
        let mut stopped = process("old", &[]);
        stopped.wanted = false;
        let processes = vec![process("web", &[(Ready, 0), (Ready, 0)]), stopped];
        state.take(Ok(looked(processes, vec![object("jobs", "queue", &[]), object("mail", "queue", &[])])), 1_000);
        state
    }

    fn press(state: &mut State, codes: impl IntoIterator<Item = KeyCode>) -> Vec<Effect> {
        codes.into_iter().filter_map(|code| key(state, KeyEvent::new(code, KeyModifiers::NONE))).collect()
    }

    fn letters(text: &str) -> Vec<KeyCode> {
        text.chars().map(KeyCode::Char).collect()
    }

    #[test]
    fn the_selection_stays_within_its_table() {
        let mut state = state();
        press(&mut state, letters("jjjjj"));
        assert_eq!(state.selected, [2, 0]);
        press(&mut state, [KeyCode::Tab, KeyCode::Down, KeyCode::PageDown]);
        assert_eq!(state.selected, [2, 1]);
        press(&mut state, [KeyCode::Home, KeyCode::BackTab, KeyCode::Up]);
        assert_eq!(state.selected, [1, 0]);
    }

    #[test]
    fn what_takes_something_away_is_asked_for() {
        let mut state = state();
        assert_eq!(press(&mut state, letters("jr")), []);
        assert_eq!(state.mode, Mode::Ask(Wish::Restart("web".into(), Some(1))));
        assert_eq!(press(&mut state, letters("n")), [], "anything but y is no");
        assert_eq!(press(&mut state, letters("ry")), [Effect::Wish(Wish::Restart("web".into(), Some(1)))]);
        assert_eq!(press(&mut state, letters("Ry")), [Effect::Wish(Wish::Restart("web".into(), None))]);
        assert_eq!(press(&mut state, letters("sy")), [Effect::Wish(Wish::Stop("web".into()))]);
        assert_eq!(press(&mut state, letters("Ky")), [Effect::Wish(Wish::Kill("web".into()))]);
        assert_eq!(press(&mut state, letters("js")), [Effect::Wish(Wish::Start("old".into()))], "a start harms nobody");
    }

    #[test]
    fn objects_are_not_stopped() {
        let mut state = state();
        press(&mut state, [KeyCode::Tab]);
        assert_eq!(press(&mut state, letters("rsKl")), []);
        assert_eq!(state.mode, Mode::Tables);
    }

    #[test]
    fn the_filter_takes_letters_until_it_is_left() {
        let mut state = state();
        press(&mut state, letters("/qol"));
        press(&mut state, [KeyCode::Backspace]);
        assert_eq!((state.filter.as_str(), &state.mode), ("qo", &Mode::Filter));
        press(&mut state, [KeyCode::Backspace, KeyCode::Backspace]);
        press(&mut state, letters("old"));
        press(&mut state, [KeyCode::Enter]);
        assert_eq!(state.selected_row().unwrap().name, "old");
        assert_eq!(press(&mut state, [KeyCode::Esc]), [], "it leaves the filter first");
        assert_eq!(press(&mut state, [KeyCode::Esc]), [Effect::Quit]);
    }

    #[test]
    fn output_is_scrolled_and_left() {
        let mut state = state();
        assert_eq!(press(&mut state, letters("l")), [Effect::ReadLogs("web".into())]);
        (0..30).for_each(|number| state.log(&line("web", &number.to_string())));
        press(&mut state, [KeyCode::PageUp, KeyCode::Up, KeyCode::Down]);
        assert_eq!(state.log.as_ref().unwrap().back, 10);
        press(&mut state, [KeyCode::End]);
        assert_eq!(state.log.as_ref().unwrap().back, 0, "it follows again");
        assert_eq!(state.selected, [0, 0]);
        assert_eq!(press(&mut state, letters("q")), [Effect::LeaveLogs]);
        assert_eq!(press(&mut state, letters("q")), [Effect::Quit]);
    }

    #[test]
    fn control_c_quits_everywhere_and_a_released_key_does_nothing() {
        let mut state = state();
        press(&mut state, letters("/"));
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(key(&mut state, control), Some(Effect::Quit));
        let released = KeyEvent::new_with_kind(KeyCode::Char('x'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(key(&mut state, released), None);
        assert_eq!(state.filter, "");
        press(&mut state, [KeyCode::Esc]);
        press(&mut state, letters("?q"));
        assert_eq!(state.mode, Mode::Tables, "any key leaves the help");
    }
}
