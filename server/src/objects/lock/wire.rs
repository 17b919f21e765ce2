//! A lock on the wire and on disk: the only place that knows its generated types.

use super::super::{
    grant::{Grant, Owner, wire as grant},
    kind::{Damaged, Moment, SessionId, Wire},
};
use super::{Change, Command, Held, Lock, Options, Reply};
use bursar_proto::{
    Fault,
    v1::{answer, lock as pb, registry},
};
use prost::Message;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;

impl Wire for Lock {
    fn create(options: &registry::Options, epoch: u64) -> Result<Lock, Fault> {
        let Some(registry::options::Kind::Lock(pb::Options { reentrant, on_deadlock })) = options.kind else {
            return Err(grant::foreign_options("lock", options));
        };
        Ok(Lock::new(Options { reentrant, refuses_deadlock: grant::refuses_deadlock(on_deadlock)? }, epoch))
    }

    fn options(&self) -> registry::Options {
        let Options { reentrant, refuses_deadlock } = self.options;
        let options = pb::Options { reentrant, on_deadlock: grant::on_deadlock(refuses_deadlock) };
        registry::Options { kind: Some(registry::options::Kind::Lock(options)) }
    }

    fn command(command: bursar_proto::Command, _payload_bytes_max: usize) -> Result<Command, Fault> {
        use pb::command::Verb;
        Ok(match command {
            bursar_proto::Command::Lock(Verb::Acquire(pb::AcquireRequest { object: _, wait_ms, owner })) => {
                Command::Acquire { owner, waits: grant::waits(wait_ms)? }
            }
            bursar_proto::Command::Lock(Verb::Release(pb::ReleaseRequest { object: _, token })) => Command::Release { token },
            other => return Err(grant::foreign_verb("lock", &other)),
        })
    }

    fn reply(reply: Reply) -> answer::Reply {
        use pb::reply::Verb;
        let verb = match reply {
            Reply::Acquire { token, depth } => Verb::Acquire(pb::AcquireReply { token, depth }),
            Reply::Release { depth } => Verb::Release(pb::ReleaseReply { depth }),
        };
        answer::Reply::Lock(pb::Reply { verb: Some(verb) })
    }

    fn holding(reply: answer::Reply) -> Option<Reply> {
        use pb::reply::Verb;
        match reply {
            answer::Reply::Lock(pb::Reply { verb: Some(Verb::Acquire(pb::AcquireReply { token, depth })) }) => {
                Some(Reply::Acquire { token, depth })
            }
            _ => None,
        }
    }

    fn encode(change: &Change) -> Vec<u8> {
        pb::Change { version: VERSION, change: Some(keep(*change)) }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Change, Damaged> {
        let pb::Change { version, change } = pb::Change::decode(bytes)?;
        match change {
            _ if version > VERSION => Err(Damaged("a change of a lock that only a newer broker understands".into())),
            None => Err(Damaged("an unknown change of a lock".into())),
            Some(change) => recall(change),
        }
    }
}

fn keep(change: Change) -> pb::change::Change {
    use pb::change::Change as Kept;
    match change {
        Change::Granted(grant) => Kept::Granted(keep_grant(grant)),
        Change::Released { token, all } => Kept::Released(pb::Released { token, all }),
        Change::Deepened { token } => Kept::Deepened(pb::Deepened { token }),
        Change::Restored { last_token, held } => Kept::Restored(pb::Restored {
            last_token,
            held: held.map(|held| keep_grant(held.grant)),
            depth: held.map_or(0, |held| held.depth),
        }),
    }
}

fn keep_grant(grant: Grant) -> pb::Granted {
    let Grant { token, owner: Owner { session: SessionId(session), number: owner }, since: Moment(now_ms) } = grant;
    pb::Granted { token, session, owner, now_ms }
}

fn recall(change: pb::change::Change) -> Result<Change, Damaged> {
    use pb::change::Change as Kept;
    Ok(match change {
        Kept::Granted(granted) => Change::Granted(recall_grant(granted)),
        Kept::Released(pb::Released { token, all }) => Change::Released { token, all },
        Kept::Deepened(pb::Deepened { token }) => Change::Deepened { token },
        Kept::Restored(pb::Restored { held: Some(_), depth: 0, .. }) => {
            return Err(Damaged("a lock that is held at no level".into()));
        }
        Kept::Restored(pb::Restored { last_token, held, depth }) => {
            Change::Restored { last_token, held: held.map(|granted| Held { grant: recall_grant(granted), depth }) }
        }
    })
}

fn recall_grant(granted: pb::Granted) -> Grant {
    let pb::Granted { token, session, owner, now_ms } = granted;
    Grant { token, owner: Owner { session: SessionId(session), number: owner }, since: Moment(now_ms) }
}
