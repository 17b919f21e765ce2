//! Where one worker runs, and what runs there. It decides nothing: who is to run, and what comes after, is decided above.

use super::{Action, Moment, Run, State};
use crate::Stop;
use std::collections::VecDeque;

/// Where one worker runs.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// In the order of their starts; two at most.
    pub runs: Vec<Running>,
    pub failures: u32,
    pub not_before: Moment,
    /// When it was started again, as far back as the budget looks.
    pub restarts: VecDeque<Moment>,
    pub given_up: Option<GivenUp>,
}

#[derive(Clone, Debug)]
pub struct Running {
    pub id: Run,
    pub version: u64,
    /// Somebody wished that just this one is replaced.
    pub is_stale: bool,
    pub phase: Phase,
    /// When it became ready, if it ever was.
    pub ready_since: Option<Moment>,
    pub why_stopped: Option<WhyStopped>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    Starting { ready_by: Option<Moment> },
    Ready,
    Asked { until: Moment },
    Told { until: Moment },
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WhyStopped {
    Wish,
    /// It did not do what it should.
    Failure,
    /// Its process ended by itself; true if that counts as a failure.
    Ended {
        failed: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GivenUp {
    Finished,
    Spent,
}

impl Place {
    /// What it did before is forgotten.
    pub fn forgive(&mut self) {
        let Place { runs: _, failures, not_before, restarts, given_up } = self;
        (*failures, *not_before, *given_up) = (0, 0, None);
        restarts.clear();
    }

    pub fn state(&self, is_wanted: bool) -> State {
        let phases = || self.runs.iter().map(|running| running.phase);
        match self.given_up {
            _ if phases().any(|phase| phase == Phase::Ready) => State::Ready,
            _ if phases().any(|phase| matches!(phase, Phase::Starting { .. })) => State::Starting,
            _ if !self.runs.is_empty() => State::Stopping,
            Some(GivenUp::Finished) => State::Finished,
            Some(GivenUp::Spent) => State::Spent,
            None if is_wanted => State::Waiting { until: self.not_before },
            None => State::Stopped,
        }
    }
}

impl Running {
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. } | Phase::Ready)
    }

    pub fn deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Starting { ready_by } => ready_by,
            Phase::Asked { until } | Phase::Told { until } => Some(until),
            Phase::Ready | Phase::Killed => None,
        }
    }

    /// Begins to stop it, if nobody has yet.
    pub fn stop(&mut self, now: Moment, stop: &Stop, why: WhyStopped) -> Option<Action> {
        if !self.is_live() {
            return None;
        }
        self.why_stopped = Some(why);
        Some(match stop.ask_ms {
            Some(ask_ms) => {
                self.phase = Phase::Asked { until: now.saturating_add(ask_ms) };
                Action::Ask(self.id)
            }
            None => self.tell(now, stop),
        })
    }

    pub fn tell(&mut self, now: Moment, stop: &Stop) -> Action {
        self.phase = Phase::Told { until: now.saturating_add(stop.timeout_ms) };
        Action::Signal(self.id, stop.signal)
    }
}
