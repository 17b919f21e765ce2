//! How the counter looks on the wire and on disk. The only place that names its generated types.

use super::{Changed, Command, Counter, Reply};
use crate::objects::kind::{Damaged, Wire};
use bursar_proto::{
    Fault,
    v1::{answer, counter as pb, registry},
};
use prost::Message;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;

impl Wire for Counter {
    fn create(options: &registry::Options, _epoch: u64) -> Result<Counter, Fault> {
        let Some(registry::options::Kind::Counter(pb::Options { initial })) = &options.kind else {
            return Err(Fault::bad_argument("options", "expected the options of a counter"));
        };
        Ok(Counter::new(*initial))
    }

    fn options(&self) -> registry::Options {
        let options = pb::Options { initial: self.initial };
        registry::Options { kind: Some(registry::options::Kind::Counter(options)) }
    }

    fn command(command: bursar_proto::Command, _payload_bytes_max: usize) -> Result<Command, Fault> {
        use pb::command::Verb;
        let bursar_proto::Command::Counter(verb) = command else {
            return Err(Fault::bad_argument("object", "expected a verb of counter for an object of kind counter"));
        };
        Ok(match verb {
            Verb::Get(pb::GetRequest { object: _ }) => Command::Get,
            Verb::Add(pb::AddRequest { object: _, by }) => Command::Add { by },
            Verb::Set(pb::SetRequest { object: _, value }) => Command::Set { value },
            Verb::CompareAndSet(pb::CompareAndSetRequest { object: _, expected, value }) => {
                Command::CompareAndSet { expected, value }
            }
        })
    }

    fn reply(reply: Reply) -> answer::Reply {
        use pb::reply::Verb;
        let verb = match reply {
            Reply::Get { value } => Verb::Get(pb::GetReply { value }),
            Reply::Add { value } => Verb::Add(pb::AddReply { value }),
            Reply::Set { previous } => Verb::Set(pb::SetReply { previous }),
            Reply::CompareAndSet { swapped, value } => Verb::CompareAndSet(pb::CompareAndSetReply { swapped, value }),
        };
        answer::Reply::Counter(pb::Reply { verb: Some(verb) })
    }

    fn holding(_reply: answer::Reply) -> Option<Reply> {
        None
    }

    fn encode(&Changed { value }: &Changed) -> Vec<u8> {
        pb::Change { version: VERSION, change: Some(pb::change::Change::Set(pb::Set { value })) }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Changed, Damaged> {
        let pb::Change { version, change } = pb::Change::decode(bytes)?;
        if version > VERSION {
            return Err(Damaged("a change of a counter that only a newer broker understands".into()));
        }
        let pb::change::Change::Set(pb::Set { value }) =
            change.ok_or_else(|| Damaged("an unknown change of a counter".into()))?;
        Ok(Changed { value })
    }
}
