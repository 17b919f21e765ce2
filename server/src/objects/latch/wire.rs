//! How the latch looks on the wire and on disk. The only place that names its generated types.

use super::{Command, Counted, Latch, Reply};
use crate::objects::kind::{Damaged, Wire};
use bursar_proto::{
    Fault,
    v1::{answer, latch as pb, registry},
};
use prost::Message;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;

impl Wire for Latch {
    fn create(options: &registry::Options, _epoch: u64) -> Result<Latch, Fault> {
        match &options.kind {
            Some(registry::options::Kind::Latch(pb::Options { count: 0 })) => {
                Err(Fault::bad_argument("count", "expected at least 1, got 0"))
            }
            Some(registry::options::Kind::Latch(pb::Options { count })) => Ok(Latch::new(*count)),
            _ => Err(Fault::bad_argument("options", "expected the options of a latch")),
        }
    }

    fn options(&self) -> registry::Options {
        let options = pb::Options { count: self.count };
        registry::Options { kind: Some(registry::options::Kind::Latch(options)) }
    }

    fn command(command: bursar_proto::Command, _payload_bytes_max: usize) -> Result<Command, Fault> {
        use pb::command::Verb;
        let bursar_proto::Command::Latch(verb) = command else {
            return Err(Fault::bad_argument("object", "expected a verb of latch for an object of kind latch"));
        };
        Ok(match verb {
            Verb::CountDown(pb::CountDownRequest { object: _, by }) => Command::CountDown { by: by.max(1) },
            Verb::Get(pb::GetRequest { object: _ }) => Command::Get,
            Verb::Wait(pb::WaitRequest { object: _, wait_ms: _ }) => Command::Wait,
        })
    }

    fn reply(reply: Reply) -> answer::Reply {
        use pb::reply::Verb;
        let verb = match reply {
            Reply::CountDown { left } => Verb::CountDown(pb::CountDownReply { left }),
            Reply::Get { left } => Verb::Get(pb::GetReply { left }),
            Reply::Wait => Verb::Wait(pb::WaitReply {}),
        };
        answer::Reply::Latch(pb::Reply { verb: Some(verb) })
    }

    fn holding(_reply: answer::Reply) -> Option<Reply> {
        None
    }

    fn encode(&Counted { by }: &Counted) -> Vec<u8> {
        pb::Change { version: VERSION, change: Some(pb::change::Change::Counted(pb::Counted { by })) }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Counted, Damaged> {
        let pb::Change { version, change } = pb::Change::decode(bytes)?;
        if version > VERSION {
            return Err(Damaged("a change of a latch that only a newer broker understands".into()));
        }
        let pb::change::Change::Counted(pb::Counted { by }) =
            change.ok_or_else(|| Damaged("an unknown change of a latch".into()))?;
        Ok(Counted { by })
    }
}
