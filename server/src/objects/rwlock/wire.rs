//! An rwlock on the wire and on disk: the only place that knows its generated types.

use super::super::{
    grant::{Grant, Owner, wire as grant},
    kind::{Damaged, Moment, SessionId, Wire},
};
use super::{Change, Command, Granted, Options, Reply, Rwlock};
use bursar_proto::{
    Fault,
    v1::{answer, registry, rwlock as pb},
};
use prost::Message;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;

impl Wire for Rwlock {
    fn create(options: &registry::Options, epoch: u64) -> Result<Rwlock, Fault> {
        let Some(registry::options::Kind::Rwlock(pb::Options { on_deadlock })) = options.kind else {
            return Err(grant::foreign_options("rwlock", options));
        };
        Ok(Rwlock::new(Options { refuses_deadlock: grant::refuses_deadlock(on_deadlock)? }, epoch))
    }

    fn options(&self) -> registry::Options {
        let Options { refuses_deadlock } = self.options;
        let options = pb::Options { on_deadlock: grant::on_deadlock(refuses_deadlock) };
        registry::Options { kind: Some(registry::options::Kind::Rwlock(options)) }
    }

    fn command(command: bursar_proto::Command, _payload_bytes_max: usize) -> Result<Command, Fault> {
        use pb::command::Verb;
        let verb = match command {
            bursar_proto::Command::Rwlock(verb) => verb,
            other => return Err(grant::foreign_verb("rwlock", &other)),
        };
        Ok(match verb {
            Verb::Acquire(pb::AcquireRequest { object: _, wait_ms, owner, write }) => {
                Command::Acquire { owner, write, waits: grant::waits(wait_ms)? }
            }
            Verb::Release(pb::ReleaseRequest { object: _, token }) => Command::Release { token },
            Verb::Downgrade(pb::DowngradeRequest { object: _, token }) => Command::Downgrade { token },
        })
    }

    fn reply(reply: Reply) -> answer::Reply {
        use pb::reply::Verb;
        let verb = match reply {
            Reply::Acquire { token } => Verb::Acquire(pb::AcquireReply { token }),
            Reply::Release => Verb::Release(pb::ReleaseReply {}),
            Reply::Downgrade => Verb::Downgrade(pb::DowngradeReply {}),
        };
        answer::Reply::Rwlock(pb::Reply { verb: Some(verb) })
    }

    fn holding(reply: answer::Reply) -> Option<Reply> {
        use pb::reply::Verb;
        match reply {
            answer::Reply::Rwlock(pb::Reply { verb: Some(Verb::Acquire(pb::AcquireReply { token })) }) => {
                Some(Reply::Acquire { token })
            }
            _ => None,
        }
    }

    fn encode(change: &Change) -> Vec<u8> {
        pb::Change { version: VERSION, change: Some(keep(change.clone())) }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Change, Damaged> {
        let pb::Change { version, change } = pb::Change::decode(bytes)?;
        match change {
            _ if version > VERSION => Err(Damaged("a change of an rwlock that only a newer broker understands".into())),
            None => Err(Damaged("an unknown change of an rwlock".into())),
            Some(change) => Ok(recall(change)),
        }
    }
}

fn keep(change: Change) -> pb::change::Change {
    use pb::change::Change as Kept;
    match change {
        Change::Granted(granted) => Kept::Granted(keep_grant(granted)),
        Change::Released { tokens } => Kept::Released(pb::Released { tokens }),
        Change::Downgraded { token } => Kept::Downgraded(pb::Downgraded { token }),
        Change::Restored { last_token, held } => {
            Kept::Restored(pb::Restored { last_token, held: held.into_iter().map(keep_grant).collect() })
        }
    }
}

fn keep_grant(granted: Granted) -> pb::Granted {
    let Granted { grant: Grant { token, owner, since: Moment(now_ms) }, write } = granted;
    let Owner { session: SessionId(session), number: owner } = owner;
    pb::Granted { token, session, owner, write, now_ms }
}

fn recall(change: pb::change::Change) -> Change {
    use pb::change::Change as Kept;
    match change {
        Kept::Granted(granted) => Change::Granted(recall_grant(granted)),
        Kept::Released(pb::Released { tokens }) => Change::Released { tokens },
        Kept::Downgraded(pb::Downgraded { token }) => Change::Downgraded { token },
        Kept::Restored(pb::Restored { last_token, held }) => {
            Change::Restored { last_token, held: held.into_iter().map(recall_grant).collect() }
        }
    }
}

fn recall_grant(granted: pb::Granted) -> Granted {
    let pb::Granted { token, session, owner, write, now_ms } = granted;
    let owner = Owner { session: SessionId(session), number: owner };
    Granted { grant: Grant { token, owner, since: Moment(now_ms) }, write }
}
