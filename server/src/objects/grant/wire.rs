//! What the options and requests of lock, rwlock and condition have in common.

use bursar_proto::{Fault, Wait, kind_of, v1};
use v1::{OnDeadlock, registry};

/// Whether a wait is refused that could never end.
pub fn refuses_deadlock(on_deadlock: i32) -> Result<bool, Fault> {
    match OnDeadlock::try_from(on_deadlock) {
        Ok(OnDeadlock::Show) => Ok(false),
        Ok(OnDeadlock::Refuse) => Ok(true),
        Err(_) => Err(Fault::bad_argument("on_deadlock", format!("expected SHOW (0) or REFUSE (1), got {on_deadlock}"))),
    }
}

/// The option that says so.
pub fn on_deadlock(refuses_deadlock: bool) -> i32 {
    (if refuses_deadlock { OnDeadlock::Refuse } else { OnDeadlock::Show }).into()
}

/// Whether a request may wait.
pub fn waits(wait_ms: i64) -> Result<bool, Fault> {
    Ok(Wait::from_ms(wait_ms)? != Wait::Never)
}

/// The options are not of this kind.
pub fn foreign_options(expected: &str, options: &registry::Options) -> Fault {
    let got = kind_of(options).unwrap_or("none");
    Fault::bad_argument("options", format!("expected options of the kind {expected}, got {got}"))
}

/// The verb is not of this kind.
pub fn foreign_verb(expected: &str, command: &bursar_proto::Command) -> Fault {
    Fault::bad_argument(
        "object",
        format!("expected a verb of {expected} for an object of that kind, got one of {}", command.kind()),
    )
}
