//! How the semaphore looks on the wire and on disk. The only place that names its generated types.

use super::{Change, Command, Grant, Options, PERMITS_MAX, Reply, Semaphore};
use crate::objects::kind::{Damaged, Moment, SessionId, Wire};
use bursar_proto::{
    Fault,
    v1::{OnDeadlock, answer, registry, semaphore as pb},
};
use prost::Message;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;

impl Wire for Semaphore {
    fn create(options: &registry::Options, epoch: u64) -> Result<Semaphore, Fault> {
        let Some(registry::options::Kind::Semaphore(options)) = &options.kind else {
            return Err(Fault::bad_argument("options", "expected the options of a semaphore"));
        };
        let pb::Options { permits, bounded, on_deadlock } = *options;
        if permits > PERMITS_MAX {
            return Err(Fault::bad_argument("permits", format!("expected at most {PERMITS_MAX}, got {permits}")));
        }
        if permits == 0 && bounded {
            let problem = "expected at least 1 where none can be added (bounded), got 0";
            return Err(Fault::bad_argument("permits", problem));
        }
        let refuses_deadlock = match OnDeadlock::try_from(on_deadlock) {
            Ok(OnDeadlock::Show) => false,
            Ok(OnDeadlock::Refuse) => true,
            Err(_) => {
                let problem = format!("expected SHOW (0) or REFUSE (1), got {on_deadlock}");
                return Err(Fault::bad_argument("on_deadlock", problem));
            }
        };
        Ok(Semaphore::new(Options { permits, bounded, refuses_deadlock }, epoch))
    }

    fn options(&self) -> registry::Options {
        let Options { permits, bounded, refuses_deadlock } = self.options;
        let on_deadlock = if refuses_deadlock { OnDeadlock::Refuse } else { OnDeadlock::Show };
        let options = pb::Options { permits, bounded, on_deadlock: on_deadlock.into() };
        registry::Options { kind: Some(registry::options::Kind::Semaphore(options)) }
    }

    fn command(command: bursar_proto::Command, _payload_bytes_max: usize) -> Result<Command, Fault> {
        use pb::command::Verb;
        let bursar_proto::Command::Semaphore(verb) = command else {
            return Err(Fault::bad_argument("object", "expected a verb of semaphore for an object of kind semaphore"));
        };
        Ok(match verb {
            Verb::Acquire(pb::AcquireRequest { object: _, wait_ms: _, count, consume }) => {
                Command::Acquire { count: count.max(1), consume }
            }
            Verb::Release(pb::ReleaseRequest { object: _, token: 0 }) => {
                let problem = "expected the token of an acquire, got 0: what was consumed is not given back";
                return Err(Fault::bad_argument("token", problem));
            }
            Verb::Release(pb::ReleaseRequest { object: _, token }) => Command::Release { token },
            Verb::Add(pb::AddRequest { object: _, count }) => Command::Add { count: count.max(1) },
        })
    }

    fn reply(reply: Reply) -> answer::Reply {
        use pb::reply::Verb;
        let verb = match reply {
            Reply::Acquire { token, count } => Verb::Acquire(pb::AcquireReply { token, count }),
            Reply::Release { available } => Verb::Release(pb::ReleaseReply { available }),
            Reply::Add { available } => Verb::Add(pb::AddReply { available }),
        };
        answer::Reply::Semaphore(pb::Reply { verb: Some(verb) })
    }

    fn holding(reply: answer::Reply) -> Option<Reply> {
        let answer::Reply::Semaphore(pb::Reply { verb: Some(pb::reply::Verb::Acquire(acquired)) }) = reply else {
            return None;
        };
        let pb::AcquireReply { token, count } = acquired;
        Some(Reply::Acquire { token, count })
    }

    fn encode(change: &Change) -> Vec<u8> {
        pb::Change { version: VERSION, change: Some(keep(change)) }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Change, Damaged> {
        let pb::Change { version, change } = pb::Change::decode(bytes)?;
        match change {
            _ if version > VERSION => Err(Damaged("a change of a semaphore that only a newer broker understands".into())),
            None => Err(Damaged("an unknown change of a semaphore".into())),
            Some(change) => Ok(recall(change)),
        }
    }
}

fn keep(change: &Change) -> pb::change::Change {
    use pb::change::Change as Kept;
    match change {
        Change::Granted { token, grant } => Kept::Granted(keep_grant(*token, *grant)),
        Change::Consumed { count } => Kept::Consumed(pb::Consumed { count: *count }),
        Change::Released { tokens } => Kept::Released(pb::Released { tokens: tokens.clone() }),
        Change::Added { count } => Kept::Added(pb::Added { count: *count }),
        Change::Restored { last_token, available, held } => {
            let held = held.iter().map(|(token, grant)| keep_grant(*token, *grant)).collect();
            Kept::Restored(pb::Restored { last_token: *last_token, available: *available, held })
        }
    }
}

fn keep_grant(token: u64, grant: Grant) -> pb::Granted {
    let Grant { session: SessionId(session), count, since: Moment(now_ms) } = grant;
    pb::Granted { token, session, count, now_ms }
}

fn recall(change: pb::change::Change) -> Change {
    use pb::change::Change as Kept;
    match change {
        Kept::Granted(granted) => {
            let (token, grant) = recall_grant(granted);
            Change::Granted { token, grant }
        }
        Kept::Consumed(pb::Consumed { count }) => Change::Consumed { count },
        Kept::Released(pb::Released { tokens }) => Change::Released { tokens },
        Kept::Added(pb::Added { count }) => Change::Added { count },
        Kept::Restored(pb::Restored { last_token, available, held }) => {
            Change::Restored { last_token, available, held: held.into_iter().map(recall_grant).collect() }
        }
    }
}

fn recall_grant(granted: pb::Granted) -> (u64, Grant) {
    let pb::Granted { token, session, count, now_ms } = granted;
    (token, Grant { session: SessionId(session), count, since: Moment(now_ms) })
}
