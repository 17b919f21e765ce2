//! How the barrier looks on the wire and on disk. The only place that names its generated types.

use super::{Barrier, Change, Command, PARTIES_MAX, Reply};
use crate::objects::kind::{Damaged, SessionId, Wire};
use bursar_proto::{
    Fault,
    v1::{answer, barrier as pb, registry},
};
use prost::Message;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;

impl Wire for Barrier {
    fn create(options: &registry::Options, _epoch: u64) -> Result<Barrier, Fault> {
        let Some(registry::options::Kind::Barrier(pb::Options { parties })) = &options.kind else {
            return Err(Fault::bad_argument("options", "expected the options of a barrier"));
        };
        match *parties {
            1..=PARTIES_MAX => Ok(Barrier::new(*parties)),
            parties => Err(Fault::bad_argument("parties", format!("expected 1 to {PARTIES_MAX}, got {parties}"))),
        }
    }

    fn options(&self) -> registry::Options {
        let options = pb::Options { parties: self.parties };
        registry::Options { kind: Some(registry::options::Kind::Barrier(options)) }
    }

    fn command(command: bursar_proto::Command, _payload_bytes_max: usize) -> Result<Command, Fault> {
        use pb::command::Verb;
        let bursar_proto::Command::Barrier(verb) = command else {
            return Err(Fault::bad_argument("object", "expected a verb of barrier for an object of kind barrier"));
        };
        Ok(match verb {
            Verb::Wait(pb::WaitRequest { object: _, wait_ms: _ }) => Command::Wait,
            Verb::Abort(pb::AbortRequest { object: _ }) => Command::Abort,
            Verb::Reset(pb::ResetRequest { object: _ }) => Command::Reset,
            Verb::Get(pb::GetRequest { object: _ }) => Command::Get,
        })
    }

    fn reply(reply: Reply) -> answer::Reply {
        use pb::reply::Verb;
        let verb = match reply {
            Reply::Wait { index, generation } => Verb::Wait(pb::WaitReply { index, generation }),
            Reply::Abort => Verb::Abort(pb::AbortReply {}),
            Reply::Reset => Verb::Reset(pb::ResetReply {}),
            Reply::Get { parties, waiting, broken, generation } => {
                Verb::Get(pb::GetReply { parties, waiting, broken, generation })
            }
        };
        answer::Reply::Barrier(pb::Reply { verb: Some(verb) })
    }

    fn holding(_reply: answer::Reply) -> Option<Reply> {
        None
    }

    fn encode(change: &Change) -> Vec<u8> {
        pb::Change { version: VERSION, change: Some(keep(change)) }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Change, Damaged> {
        let pb::Change { version, change } = pb::Change::decode(bytes)?;
        match change {
            _ if version > VERSION => Err(Damaged("a change of a barrier that only a newer broker understands".into())),
            None => Err(Damaged("an unknown change of a barrier".into())),
            Some(change) => Ok(recall(change)),
        }
    }
}

fn keep(change: &Change) -> pb::change::Change {
    use pb::change::Change as Kept;
    match change.clone() {
        Change::Arrived { session: SessionId(session) } => Kept::Arrived(pb::Arrived { session }),
        Change::Passed => Kept::Passed(pb::Passed {}),
        Change::Broken { why } => Kept::Broken(pb::Broken { why }),
        Change::Reset { session: SessionId(session) } => Kept::Reset(pb::Reset { session }),
        Change::Restored { generation, broken, previous } => Kept::Restored(pb::Restored {
            generation,
            broken: broken.is_some(),
            why: broken.unwrap_or_default(),
            previous_why: previous.unwrap_or_default(),
        }),
    }
}

fn recall(change: pb::change::Change) -> Change {
    use pb::change::Change as Kept;
    match change {
        Kept::Arrived(pb::Arrived { session }) => Change::Arrived { session: SessionId(session) },
        Kept::Passed(pb::Passed {}) => Change::Passed,
        Kept::Broken(pb::Broken { why }) => Change::Broken { why },
        Kept::Reset(pb::Reset { session }) => Change::Reset { session: SessionId(session) },
        Kept::Restored(pb::Restored { generation, broken, why, previous_why }) => {
            let previous = (!previous_why.is_empty()).then_some(previous_why);
            Change::Restored { generation, broken: broken.then_some(why), previous }
        }
    }
}
