//! Several steps of a transaction on one object, decided in order: for kinds whose state is small enough to try them on a copy
//! of it. A kind whose state is large decides its steps together in a way of its own.

use super::kind::{Decision, Kind, Moment, SessionId, Together};
use bursar_proto::Fault;

/// Each command sees what those before it have changed; the first refusal is that of all.
pub fn in_order<K: Kind + Clone>(
    kind: &K,
    caller: SessionId,
    commands: &[K::Command],
    now: Moment,
) -> Result<Together<K>, Fault> {
    let (mut kind, mut changes, mut replies) = (kind.clone(), Vec::new(), Vec::with_capacity(commands.len()));
    for command in commands {
        match kind.decide(caller, command, now) {
            Decision::Answer(reply) => replies.push(reply),
            Decision::Change(change, reply) | Decision::Overtake(change, reply) => {
                kind.evolve(change.clone());
                changes.push(change);
                replies.push(reply);
            }
            Decision::Wait | Decision::StandAside | Decision::Enter(..) => return Err(kind.overdue(command, now)),
            Decision::Refuse(fault) => return Err(fault),
        }
    }
    Ok((changes, replies))
}
