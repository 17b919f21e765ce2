//! What the mechanics say in the vocabulary of clients, and the other way round. Pure.

use bursar::processes as view;
use bursar_supervisor as mechanics;
use bursar_supervisor::plan::State;

/// What its keeping is to be; error: what is wrong with it.
pub fn policy(spec: &view::Spec) -> Result<mechanics::Policy, String> {
    let view::Backoff { first_ms, max_ms, jitter, reset_ms } = spec.backoff;
    let view::Budget { restarts, within_ms, spent } = spec.budget;
    let view::Stop { ask_ms, ref signal, timeout_ms } = spec.stop;
    let signal = view::signal_number(signal)?;
    Ok(mechanics::Policy {
        restart: restart(spec.restart),
        backoff: mechanics::Backoff { first_ms, max_ms, jitter, reset_ms },
        budget: mechanics::Budget {
            restarts,
            within_ms,
            spent: match spent {
                view::Spent::Worker => mechanics::Spent::Worker,
                view::Spent::Process | view::Spent::Everything => mechanics::Spent::Process,
            },
        },
        stop: mechanics::Stop { ask_ms, signal, timeout_ms },
        ready_ms: spec.startup.as_ref().or(spec.readiness.as_ref()).map(|check| check.within_ms),
        overlap: spec.overlap,
    })
}

fn restart(restart: view::Restart) -> mechanics::Restart {
    match restart {
        view::Restart::Never => mechanics::Restart::Never,
        view::Restart::OnFailure => mechanics::Restart::OnFailure,
        view::Restart::Always => mechanics::Restart::Always,
        view::Restart::UnlessStopped => mechanics::Restart::UnlessStopped,
    }
}

pub fn worker_state(state: State) -> view::WorkerState {
    match state {
        State::Stopped => view::WorkerState::Stopped,
        State::Starting => view::WorkerState::Starting,
        State::Ready => view::WorkerState::Ready,
        State::Stopping => view::WorkerState::Stopping,
        State::Waiting { until: _ } => view::WorkerState::Waiting,
        State::Finished => view::WorkerState::Finished,
        State::Spent => view::WorkerState::Spent,
    }
}

/// How a run ended, as far as that is known at once.
pub fn exit(exit: &mechanics::Exit, expected: bool, out_of_memory: bool) -> view::Exit {
    let (signal, core) = match exit {
        mechanics::Exit::Signal { number, core } => (Some(*number), *core),
        _ => (None, false),
    };
    let exit_text = match exit {
        mechanics::Exit::Code(0) if expected => "has stopped".to_owned(),
        exit => exit.to_string(),
    };
    let why = if out_of_memory { " because its control group had no memory left" } else { "" };
    view::Exit {
        code: exit.code(),
        signal,
        core,
        out_of_memory,
        expected,
        text: format!("{exit_text}{why}"),
        ..view::Exit::default()
    }
}

/// `1.5 s`, `100 ms`.
pub fn duration(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{} s", ms as f64 / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_mechanics_have_the_same_names_for_signals() {
        let by_name = |number: i32| view::signal_number(&mechanics::signal_name(number));
        assert!((1..=31).all(|number| by_name(number) == Ok(number)));
        assert!(by_name(32).is_err());
    }

    #[test]
    fn a_spec_becomes_a_policy() {
        let spec = view::Spec::default();
        let kept = policy(&spec).unwrap();
        assert_eq!((kept.restart, kept.stop, kept.ready_ms), (mechanics::Restart::Always, mechanics::Stop::default(), None));
        let check = view::Check { within_ms: 7, ..view::Check::default() };
        let spec = view::Spec { readiness: Some(check), stop: view::Stop { signal: "QUIT".into(), ..spec.stop }, ..spec };
        let kept = policy(&spec).unwrap();
        assert_eq!((kept.ready_ms, kept.stop.signal), (Some(7), 3));
        let stop = view::Stop { signal: "SIGNAL".into(), ..view::Stop::default() };
        assert!(policy(&view::Spec { stop, ..view::Spec::default() }).unwrap_err().contains("SIGNAL"));
    }

    #[test]
    fn an_exit_says_why() {
        let killed = exit(&mechanics::Exit::Signal { number: 9, core: false }, false, true);
        assert_eq!(killed.text, "was killed by SIGKILL because its control group had no memory left");
        assert_eq!((killed.code, killed.signal, killed.out_of_memory), (137, Some(9), true));
    }
}
