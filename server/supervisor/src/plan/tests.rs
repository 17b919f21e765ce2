//! Single stories, and a random walk through everything that wishes, workers and time can do.

mod walk;

use super::*;
use crate::{Backoff, Budget, Restart, Stop};

/// No chance, and times that are easy to read.
fn policy() -> Policy {
    let backoff = Backoff { first_ms: 100, max_ms: 1000, jitter: 0.0, reset_ms: 5000 };
    Policy { restart: Restart::Always, backoff, stop: Stop { ask_ms: None, signal: 15, timeout_ms: 1000 }, ..Policy::default() }
}

fn spawn(worker: u32, run: u64) -> Action {
    Action::Spawn { worker, run: Run(run) }
}

fn crash() -> Exit {
    Exit::Code(1)
}

/// A plan with a clock.
struct Played {
    plan: Plan,
    now: Moment,
}

impl Played {
    fn new(policy: Policy, workers: u32) -> Played {
        Played { plan: Plan::new(policy, workers, true), now: 0 }
    }

    /// What is done, without the reports.
    fn does(&mut self, input: Input) -> Vec<Action> {
        let actions = self.plan.step(self.now, input, 0.0);
        actions.into_iter().filter(|action| !matches!(action, Action::Report(_))).collect()
    }

    fn reports(&mut self, input: Input) -> Vec<Report> {
        let actions = self.plan.step(self.now, input, 0.0);
        actions.into_iter().filter_map(|action| if let Action::Report(report) = action { Some(report) } else { None }).collect()
    }

    fn wish(&mut self, wish: Wish) -> Vec<Action> {
        self.does(Input::Wish(wish))
    }

    /// It ends, and so does what it left behind.
    fn ends(&mut self, run: u64, exit: Exit) -> Vec<Action> {
        let mut actions = self.does(Input::Exited(Run(run), exit));
        actions.extend(self.does(Input::Gone(Run(run))));
        actions
    }

    fn wakes(&mut self) -> Vec<Action> {
        self.now = self.plan.wake_at().expect("it waits for something");
        self.does(Input::Time)
    }
}

#[test]
fn a_worker_that_ends_is_replaced_after_its_backoff_and_a_healthy_time_forgets_its_failures() {
    let mut played = Played::new(policy(), 1);
    assert_eq!(played.does(Input::Time), [spawn(0, 1)]);
    for (run, wait) in [(1, 100), (2, 200), (3, 400)] {
        assert_eq!(played.ends(run, crash()), [Action::Kill(Run(run))], "what it left behind goes first");
        assert_eq!(played.plan.states(), [State::Waiting { until: played.now + wait }]);
        assert_eq!(played.wakes(), [spawn(0, run + 1)]);
    }
    played.does(Input::Started(Run(4)));
    played.now += 5000;
    played.ends(4, crash());
    assert_eq!(played.plan.wake_at(), Some(played.now + 100));
}

#[test]
fn nobody_takes_the_place_of_a_worker_before_nothing_is_left_of_it() {
    let mut played = Played::new(policy(), 1);
    played.does(Input::Time);
    assert_eq!(played.does(Input::Exited(Run(1), crash())), [Action::Kill(Run(1))]);
    played.now += 100_000;
    assert_eq!(played.does(Input::Time), []);
    played.does(Input::Gone(Run(1)));
    assert_eq!(played.wakes(), [spawn(0, 2)]);
}

#[test]
fn a_stop_asks_then_signals_then_kills() {
    let stop = Stop { ask_ms: Some(300), signal: 2, timeout_ms: 700 };
    let mut played = Played::new(Policy { stop, ..policy() }, 1);
    played.does(Input::Time);
    assert_eq!(played.wish(Wish::Stop), [Action::Ask(Run(1))]);
    assert_eq!(played.wish(Wish::Stop), [], "a second wish does not begin anew");
    assert_eq!((played.wakes(), played.now), (vec![Action::Signal(Run(1), 2)], 300));
    assert_eq!((played.wakes(), played.now), (vec![Action::Kill(Run(1))], 1000));
    assert_eq!(played.ends(1, Exit::Signal { number: 9, core: false }), []);
    assert_eq!((played.plan.states(), played.plan.wake_at()), (vec![State::Stopped], None));
}

#[test]
fn a_stop_reaches_a_worker_that_is_just_starting() {
    let mut played = Played::new(Policy { ready_ms: Some(60_000), ..policy() }, 2);
    played.does(Input::Time);
    assert_eq!(played.wish(Wish::Stop), [Action::Signal(Run(1), 15), Action::Signal(Run(2), 15)]);
    assert_eq!(played.wish(Wish::Kill), [Action::Kill(Run(1)), Action::Kill(Run(2))]);
}

#[test]
fn a_start_while_it_stops_starts_it_when_it_has_stopped() {
    let mut played = Played::new(policy(), 1);
    played.does(Input::Time);
    played.wish(Wish::Stop);
    assert_eq!(played.wish(Wish::Start), []);
    assert_eq!(played.ends(1, Exit::Code(0)), [Action::Kill(Run(1)), spawn(0, 2)], "at once: it had not failed");
}

#[test]
fn a_restart_replaces_one_after_the_other_and_the_new_one_is_ready_first() {
    let mut played = Played::new(Policy { ready_ms: Some(1000), ..policy() }, 2);
    played.does(Input::Time);
    assert_eq!(played.wish(Wish::Restart), [spawn(0, 3)]);
    assert_eq!(played.does(Input::Started(Run(3))), [], "it runs, but is not ready");
    assert_eq!(played.does(Input::Ready(Run(3))), [Action::Signal(Run(1), 15)]);
    assert_eq!(played.ends(1, Exit::Code(0)), [Action::Kill(Run(1)), spawn(1, 4)]);
    assert_eq!(played.does(Input::Ready(Run(4))), [Action::Signal(Run(2), 15)]);
    played.does(Input::Exited(Run(2), Exit::Code(0)));
    assert_eq!(played.reports(Input::Gone(Run(2))), [Report::Restarted]);
}

#[test]
fn a_restart_without_overlap_stops_the_old_one_first() {
    let mut played = Played::new(Policy { overlap: false, ..policy() }, 2);
    played.does(Input::Time);
    assert_eq!(played.wish(Wish::Restart), [Action::Signal(Run(1), 15)]);
    assert_eq!(played.ends(1, Exit::Code(0)), [Action::Kill(Run(1)), spawn(0, 3)]);
    assert_eq!(played.does(Input::Started(Run(3))), [Action::Signal(Run(2), 15)], "the next, as soon as this one is ready");
}

#[test]
fn a_restart_whose_new_worker_does_not_come_up_is_given_up_and_the_old_ones_stay() {
    let mut played = Played::new(Policy { ready_ms: Some(1000), ..policy() }, 2);
    played.does(Input::Time);
    played.does(Input::Ready(Run(1)));
    played.does(Input::Ready(Run(2)));
    played.wish(Wish::Restart);
    played.does(Input::Exited(Run(3), crash()));
    assert_eq!(played.reports(Input::Gone(Run(3))), [Report::RestartFailed { worker: 0, run: Run(3) }]);
    assert_eq!((played.plan.states(), played.plan.wake_at()), (vec![State::Ready, State::Ready], None));
}

#[test]
fn a_restart_of_one_that_does_not_come_up_is_given_up_for_good() {
    let mut played = Played::new(Policy { ready_ms: Some(1000), ..policy() }, 1);
    played.does(Input::Time);
    played.does(Input::Ready(Run(1)));
    assert_eq!(played.wish(Wish::RestartOne(0)), [spawn(0, 2)]);
    assert_eq!(played.ends(2, crash()), [Action::Kill(Run(2))], "nobody else is tried");
    assert_eq!((played.plan.states(), played.plan.wake_at()), (vec![State::Ready], None));
}

/// The new worker of a restart died after it was ready, while the old one still stopped: its place was then filled without backoff.
#[test]
fn a_worker_that_dies_while_its_predecessor_stops_waits_for_its_backoff() {
    let mut played = Played::new(policy(), 1);
    played.does(Input::Time);
    played.wish(Wish::Restart);
    assert_eq!(played.does(Input::Started(Run(2))), [Action::Signal(Run(1), 15)]);
    played.ends(2, crash());
    assert_eq!(played.ends(1, Exit::Code(0)), [Action::Kill(Run(1))]);
    assert_eq!(played.plan.states(), [State::Waiting { until: 100 }]);
}

#[test]
fn a_worker_may_ask_for_its_own_restart_but_not_undo_a_stop() {
    let mut played = Played::new(policy(), 2);
    played.does(Input::Time);
    assert_eq!(played.wish(Wish::RestartOne(1)), [spawn(1, 3)]);
    played.wish(Wish::Stop);
    assert_eq!(played.wish(Wish::RestartOne(0)), []);
    assert!(!played.plan.is_wanted());
    assert_eq!(played.wish(Wish::RestartOne(77)), [], "who is not there");
}

#[test]
fn who_is_not_ready_in_time_or_not_healthy_is_stopped_and_started_again() {
    let mut played = Played::new(Policy { ready_ms: Some(500), restart: Restart::OnFailure, ..policy() }, 1);
    played.does(Input::Time);
    played.now = 500;
    assert_eq!(played.reports(Input::Time), [Report::NotReady { worker: 0, run: Run(1) }]);
    played.ends(1, Exit::Code(0));
    assert_eq!(played.wakes(), [spawn(0, 2)], "it failed, whatever its code says");
    played.does(Input::Ready(Run(2)));
    assert_eq!(played.does(Input::Unhealthy(Run(2))), [Action::Signal(Run(2), 15)]);
    played.ends(2, Exit::Code(0));
    assert_eq!(played.wakes(), [spawn(0, 3)]);
}

#[test]
fn who_ended_as_it_should_is_left_so_until_somebody_wishes_otherwise() {
    for (restart, exit) in [(Restart::Never, crash()), (Restart::OnFailure, Exit::Code(0))] {
        let mut played = Played::new(Policy { restart, ..policy() }, 1);
        played.does(Input::Time);
        played.ends(1, exit);
        assert_eq!((played.plan.states(), played.plan.wake_at()), (vec![State::Finished], None));
        assert_eq!(played.wish(Wish::Start), [spawn(0, 2)]);
    }
}

#[test]
fn a_budget_that_is_spent_gives_up_the_worker_or_the_process() {
    for (spent, second) in [(Spent::Worker, State::Starting), (Spent::Process, State::Stopping)] {
        let budget = Budget { restarts: Some(2), within_ms: 10_000, spent };
        let mut played = Played::new(Policy { budget, ..policy() }, 2);
        played.does(Input::Time);
        for run in [1, 3] {
            played.ends(run, crash());
            played.wakes();
        }
        played.does(Input::Exited(Run(4), crash()));
        assert_eq!(played.reports(Input::Gone(Run(4))), [Report::Spent { worker: 0 }]);
        assert_eq!(played.plan.states(), [State::Spent, second]);
        played.wish(Wish::Start);
        assert_eq!(played.plan.states()[0], State::Starting, "a wish forgets it");
    }
}

#[test]
fn a_budget_looks_back_so_far_and_no_farther() {
    let budget = Budget { restarts: Some(1), within_ms: 1000, spent: Spent::Worker };
    let mut played = Played::new(Policy { budget, ..policy() }, 1);
    played.does(Input::Time);
    for run in 1..5 {
        played.now += 1000;
        played.ends(run, crash());
        assert!(!played.wakes().is_empty(), "run {run}");
    }
}

#[test]
fn scaling_stops_those_that_are_too_many_and_starts_those_that_are_missing() {
    let mut played = Played::new(policy(), 3);
    assert_eq!(played.does(Input::Time), [spawn(0, 1), spawn(1, 2), spawn(2, 3)]);
    assert_eq!(played.wish(Wish::Scale(1)), [Action::Signal(Run(2), 15), Action::Signal(Run(3), 15)]);
    played.ends(3, Exit::Code(0));
    assert_eq!(played.wish(Wish::Scale(3)), [spawn(2, 4)], "the second one has to stop before it starts again");
    assert_eq!(played.ends(2, Exit::Code(0)), [Action::Kill(Run(2)), spawn(1, 5)]);
}

#[test]
fn a_signal_goes_to_all_who_run() {
    let mut played = Played::new(policy(), 2);
    played.does(Input::Time);
    played.ends(1, crash());
    assert_eq!(played.wish(Wish::Signal(1)), [Action::Signal(Run(2), 1)]);
}

#[test]
fn what_is_told_of_a_run_that_is_over_is_ignored() {
    let mut played = Played::new(policy(), 1);
    played.does(Input::Time);
    played.ends(1, crash());
    let before = played.plan.states();
    for input in [Input::Started(Run(1)), Input::Ready(Run(9)), Input::Unhealthy(Run(1)), Input::Gone(Run(1))] {
        assert_eq!(played.does(input), []);
    }
    assert_eq!(played.does(Input::Exited(Run(1), crash())), []);
    assert_eq!(played.plan.states(), before);
}

#[test]
fn a_run_that_is_told_to_end_is_followed_by_another_at_once_and_is_no_failure() {
    let mut played = Played::new(Policy { backoff: Backoff { first_ms: 500, ..Backoff::default() }, ..Policy::default() }, 1);
    played.does(Input::Time);
    assert_eq!(played.does(Input::End(Run(1))), [Action::Signal(Run(1), 15)]);
    assert_eq!(played.ends(1, crash()), [Action::Kill(Run(1)), spawn(0, 2)]);
}

#[test]
fn a_signal_to_one_worker_is_for_that_one() {
    let mut played = Played::new(Policy::default(), 2);
    played.does(Input::Time);
    assert_eq!(played.wish(Wish::SignalOne(1, 10)), [Action::Signal(Run(2), 10)]);
    assert_eq!(played.wish(Wish::SignalOne(2, 10)), []);
}

#[test]
fn what_is_kept_otherwise_from_now_on_is_kept_so() {
    let mut played = Played::new(Policy::default(), 1);
    played.does(Input::Time);
    played.does(Input::Policy(Policy { restart: Restart::Never, ..Policy::default() }));
    played.ends(1, crash());
    assert_eq!(played.plan.states(), [State::Finished]);
}
