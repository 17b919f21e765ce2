//! The course of one process between down and up, hooks included. Pure: which phase comes next; what is done in it is the keeper's matter.
//!
//! ```text
//!   Down ─► BeforeStart ─► Up ─► BeforeStop ─► Stopping ── all workers down ──► AfterStop ─► Down
//!             │     ▲      │ ▲        ▲ stop                  │ start
//!             ▼     │      ▼ │        │                       ▼
//!            Retrying   BeforeRestart ┘                  BeforeStart
//! ```
//!
//! The newest wish turns it around wherever it is. Hooks that are overtaken by it are ended, but for those after a stop.

/// Where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of it runs.
    #[default]
    Down,
    /// Hooks run.
    BeforeStart,
    /// One of them failed: they are run again after a time; none: when somebody wishes it.
    Retrying { at_ms: Option<u64> },
    /// Its workers are wanted.
    Up,
    /// They still are; hooks run.
    BeforeRestart,
    /// They still are; hooks run.
    BeforeStop,
    /// They are not wanted any more.
    Stopping,
    /// They are gone; hooks run.
    AfterStop,
}

/// What it goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// It was told to be up.
    pub is_up: bool,
    /// Somebody wishes once more that it starts.
    pub again: bool,
    /// No hook runs any more that the phase waits for; false: one of them failed.
    pub hooks: Option<bool>,
    /// Nothing of its workers is left.
    pub is_gone: bool,
    pub now_ms: u64,
    /// How long it would wait before hooks are run again that failed.
    pub retry_ms: Option<u64>,
}

impl Phase {
    /// The next one; none: it stays.
    pub fn next(self, facts: Facts) -> Option<Phase> {
        let Facts { is_up, again, hooks, is_gone, now_ms, retry_ms } = facts;
        match self {
            Phase::Down if is_up => Some(Phase::BeforeStart),
            Phase::BeforeStart if !is_up => Some(Phase::Stopping),
            Phase::BeforeStart => hooks.map(|went_well| match went_well {
                true => Phase::Up,
                false => Phase::Retrying { at_ms: retry_ms.map(|ms| now_ms.saturating_add(ms)) },
            }),
            Phase::Retrying { .. } if !is_up => Some(Phase::Stopping),
            Phase::Retrying { at_ms } if again || at_ms.is_some_and(|at_ms| at_ms <= now_ms) => Some(Phase::BeforeStart),
            Phase::Up if !is_up => Some(Phase::BeforeStop),
            Phase::BeforeRestart if !is_up => Some(Phase::BeforeStop),
            Phase::BeforeRestart => hooks.map(|_| Phase::Up),
            Phase::BeforeStop if is_up => Some(Phase::Up),
            // Nothing may keep a stop from happening.
            Phase::BeforeStop => hooks.map(|_| Phase::Stopping),
            Phase::Stopping if is_up => Some(Phase::BeforeStart),
            Phase::Stopping if is_gone => Some(Phase::AfterStop),
            Phase::AfterStop => hooks.map(|_| Phase::Down),
            Phase::Down | Phase::Retrying { .. } | Phase::Up | Phase::Stopping => None,
        }
    }

    /// Whether its workers are wanted.
    pub fn wants_workers(self) -> bool {
        matches!(self, Phase::Up | Phase::BeforeRestart | Phase::BeforeStop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: Facts = Facts { is_up: true, again: false, hooks: Some(true), is_gone: true, now_ms: 100, retry_ms: Some(10) };

    fn course(facts: Facts) -> Vec<Phase> {
        std::iter::successors(Some(Phase::Down), |phase| phase.next(facts)).collect()
    }

    #[test]
    fn a_process_goes_up_and_down_by_its_hooks() {
        assert_eq!(course(DONE), [Phase::Down, Phase::BeforeStart, Phase::Up]);
        let down = Facts { is_up: false, ..DONE };
        let phases: Vec<_> = std::iter::successors(Some(Phase::Up), |phase| phase.next(down)).collect();
        assert_eq!(phases, [Phase::Up, Phase::BeforeStop, Phase::Stopping, Phase::AfterStop, Phase::Down]);
        assert_eq!(Phase::Stopping.next(Facts { is_gone: false, ..down }), None);
    }

    #[test]
    fn a_failed_hook_keeps_it_from_starting_but_not_from_stopping() {
        let failed = Facts { hooks: Some(false), ..DONE };
        assert_eq!(course(failed)[2], Phase::Retrying { at_ms: Some(110) });
        assert_eq!(Phase::Retrying { at_ms: Some(101) }.next(DONE), None);
        assert_eq!(Phase::Retrying { at_ms: Some(100) }.next(DONE), Some(Phase::BeforeStart));
        assert_eq!(Phase::Retrying { at_ms: None }.next(Facts { again: true, ..DONE }), Some(Phase::BeforeStart));
        assert_eq!(Phase::BeforeStop.next(Facts { is_up: false, ..failed }), Some(Phase::Stopping));
        assert_eq!(Phase::BeforeRestart.next(failed), Some(Phase::Up), "as it was");
    }

    #[test]
    fn the_newest_wish_turns_it_around_wherever_it_is() {
        let phases = [
            Phase::Down,
            Phase::BeforeStart,
            Phase::Retrying { at_ms: Some(0) },
            Phase::Up,
            Phase::BeforeRestart,
            Phase::BeforeStop,
            Phase::Stopping,
            Phase::AfterStop,
        ];
        for phase in phases {
            let end = |facts| std::iter::successors(Some(phase), |phase| phase.next(facts)).last().unwrap();
            assert_eq!(end(DONE), Phase::Up, "from {phase:?}");
            assert_eq!(end(Facts { is_up: false, ..DONE }), Phase::Down, "from {phase:?}");
        }
    }
}
