//! How the event looks on the wire and on disk. The only place that names its generated types.

use super::{Change, Command, Event, Reply};
use crate::objects::kind::{Damaged, Wire};
use bursar_proto::{
    Fault,
    v1::{answer, event as pb, registry},
};
use prost::Message;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;

impl Wire for Event {
    fn create(options: &registry::Options, _epoch: u64) -> Result<Event, Fault> {
        let Some(registry::options::Kind::Event(pb::Options { initially_set })) = &options.kind else {
            return Err(Fault::bad_argument("options", "expected the options of an event"));
        };
        Ok(Event::new(*initially_set))
    }

    fn options(&self) -> registry::Options {
        let options = pb::Options { initially_set: self.initially_set };
        registry::Options { kind: Some(registry::options::Kind::Event(options)) }
    }

    fn command(command: bursar_proto::Command, _payload_bytes_max: usize) -> Result<Command, Fault> {
        use pb::command::Verb;
        let bursar_proto::Command::Event(verb) = command else {
            return Err(Fault::bad_argument("object", "expected a verb of event for an object of kind event"));
        };
        Ok(match verb {
            Verb::Set(pb::SetRequest { object: _ }) => Command::Set,
            Verb::Clear(pb::ClearRequest { object: _ }) => Command::Clear,
            Verb::Get(pb::GetRequest { object: _ }) => Command::Get,
            Verb::Wait(pb::WaitRequest { object: _, wait_ms: _, after }) => Command::Wait { after },
        })
    }

    fn reply(reply: Reply) -> answer::Reply {
        use pb::reply::Verb;
        let verb = match reply {
            Reply::Set { changed, version } => Verb::Set(pb::SetReply { changed, version }),
            Reply::Clear { changed, version } => Verb::Clear(pb::ClearReply { changed, version }),
            Reply::Get { is_set, version } => Verb::Get(pb::GetReply { is_set, version }),
            Reply::Wait { version } => Verb::Wait(pb::WaitReply { version }),
        };
        answer::Reply::Event(pb::Reply { verb: Some(verb) })
    }

    fn holding(_reply: answer::Reply) -> Option<Reply> {
        None
    }

    fn encode(change: &Change) -> Vec<u8> {
        use pb::change::Change as Kept;
        let change = match *change {
            Change::Set => Kept::Set(pb::Set {}),
            Change::Cleared => Kept::Cleared(pb::Cleared {}),
            Change::Restored { is_set, version } => Kept::Restored(pb::Restored { is_set, event_version: version }),
        };
        pb::Change { version: VERSION, change: Some(change) }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Change, Damaged> {
        use pb::change::Change as Kept;
        let pb::Change { version, change } = pb::Change::decode(bytes)?;
        if version > VERSION {
            return Err(Damaged("a change of an event that only a newer broker understands".into()));
        }
        Ok(match change.ok_or_else(|| Damaged("an unknown change of an event".into()))? {
            Kept::Set(pb::Set {}) => Change::Set,
            Kept::Cleared(pb::Cleared {}) => Change::Cleared,
            Kept::Restored(pb::Restored { is_set, event_version }) => Change::Restored { is_set, version: event_version },
        })
    }
}
