//! A list on the wire and on disk: the only place that knows its generated types.

use super::{Change, Command, List, Options, Reply, Slice, Span, Value};
use crate::objects::kind::{Damaged, Wire};
use bursar_proto::{
    Fault, limits,
    v1::{self, answer, list as pb, registry},
};
use prost::Message;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;
/// A list that nobody bounded is no larger than a map that nobody bounded.
const MAX_LEN: u64 = 1_000_000;
const MAX_BYTES: u64 = 1 << 30;
/// Values in one reply, when the request says nothing, and at most.
const LIMIT: u32 = 1000;
const LIMIT_MAX: u32 = 10_000;

impl Wire for List {
    fn create(options: &registry::Options, _epoch: u64) -> Result<List, Fault> {
        let Some(registry::options::Kind::List(pb::Options { max_len, max_bytes })) = &options.kind else {
            let got = bursar_proto::kind_of(options).unwrap_or("none");
            return Err(Fault::bad_argument("options", format!("expected options of the kind list, got {got}")));
        };
        let or = |given: u64, default: u64| if given == 0 { default } else { given };
        Ok(List::new(Options { max_len: or(*max_len, MAX_LEN), max_bytes: or(*max_bytes, MAX_BYTES) }))
    }

    fn options(&self) -> registry::Options {
        let Options { max_len, max_bytes } = self.options;
        registry::Options { kind: Some(registry::options::Kind::List(pb::Options { max_len, max_bytes })) }
    }

    fn command(command: bursar_proto::Command, payload_bytes_max: usize) -> Result<Command, Fault> {
        match command {
            bursar_proto::Command::List(verb) => read(verb, payload_bytes_max),
            other => Err(Fault::bad_argument("object", format!("expected a verb of list, got one of {}", other.kind()))),
        }
    }

    fn reply(reply: Reply) -> answer::Reply {
        answer::Reply::List(pb::Reply { verb: Some(write(reply)) })
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
            _ if version > VERSION => Err(Damaged("a change of a list that only a newer broker understands".into())),
            None => Err(Damaged("an unknown change of a list".into())),
            Some(change) => recall(change),
        }
    }
}

fn read(verb: pb::command::Verb, bytes_max: usize) -> Result<Command, Fault> {
    use pb::command::Verb;
    Ok(match verb {
        Verb::Get(pb::GetRequest { object: _, index }) => Command::Get { index },
        Verb::Read(pb::ReadRequest { object: _, slice, skip, limit }) => {
            let limit = if limit == 0 { LIMIT } else { limit.min(LIMIT_MAX) };
            Command::Read { slice: Slice::read(slice)?, skip, limit: limit as usize }
        }
        Verb::Set(pb::SetRequest { object: _, index, value, if_revision }) => {
            Command::Set { index, value: Value::read(value, bytes_max)?, if_revision }
        }
        Verb::Replace(pb::ReplaceRequest { object: _, slice, values, if_revision }) => {
            Command::Replace { slice: Slice::read(slice)?, values: several(values, 0, bytes_max)?, if_revision }
        }
        Verb::Extend(pb::ExtendRequest { object: _, values }) => Command::Extend { values: several(values, 1, bytes_max)? },
        Verb::Insert(pb::InsertRequest { object: _, index, value }) => {
            Command::Insert { index, value: Value::read(value, bytes_max)? }
        }
        Verb::Pop(pb::PopRequest { object: _, index }) => Command::Pop { index },
        Verb::Delete(pb::DeleteRequest { object: _, slice, if_revision }) => {
            Command::Delete { slice: Slice::read(slice)?, if_revision }
        }
        Verb::Remove(pb::RemoveRequest { object: _, value }) => Command::Remove { value: Value::read(value, bytes_max)? },
        Verb::Index(pb::IndexRequest { object: _, value, start, stop }) => {
            Command::Index { value: Value::read(value, bytes_max)?, slice: Slice::between(start, stop) }
        }
        Verb::Count(pb::CountRequest { object: _, value }) => Command::Count { value: Value::read(value, bytes_max)? },
        Verb::Reverse(pb::ReverseRequest { object: _ }) => Command::Reverse,
        Verb::Len(pb::LenRequest { object: _ }) => Command::Len,
    })
}

fn several(values: Vec<v1::Value>, least: usize, bytes_max: usize) -> Result<Vec<Value>, Fault> {
    let (count, most) = (values.len(), limits::BATCH_MAX);
    if count < least || count > most {
        return Err(Fault::bad_argument("values", format!("expected {least} to {most}, got {count}")));
    }
    values.into_iter().map(|value| Value::read(Some(value), bytes_max)).collect()
}

fn write(reply: Reply) -> pb::reply::Verb {
    use pb::reply::Verb;
    match reply {
        Reply::Get { value, revision } => Verb::Get(pb::GetReply { value: Some(value.into()), revision }),
        Reply::Read { values, more, revision } => Verb::Read(pb::ReadReply { values: plain(values), more, revision }),
        Reply::Set { revision } => Verb::Set(pb::SetReply { revision }),
        Reply::Replace { len, revision } => Verb::Replace(pb::ReplaceReply { len, revision }),
        Reply::Extend { len, revision } => Verb::Extend(pb::ExtendReply { len, revision }),
        Reply::Insert { len, revision } => Verb::Insert(pb::InsertReply { len, revision }),
        Reply::Pop { value, len, revision } => Verb::Pop(pb::PopReply { value: Some(value.into()), len, revision }),
        Reply::Delete { count, revision } => Verb::Delete(pb::DeleteReply { count, revision }),
        Reply::Remove { index, revision } => Verb::Remove(pb::RemoveReply { index, revision }),
        Reply::Index { index } => Verb::Index(pb::IndexReply { index }),
        Reply::Count { count } => Verb::Count(pb::CountReply { count }),
        Reply::Reverse { revision } => Verb::Reverse(pb::ReverseReply { revision }),
        Reply::Len { len, revision } => Verb::Len(pb::LenReply { len, revision }),
    }
}

fn plain(values: Vec<Value>) -> Vec<v1::Value> {
    values.into_iter().map(v1::Value::from).collect()
}

fn keep(change: &Change) -> pb::change::Change {
    use pb::change::Change as Kept;
    match change.clone() {
        Change::Spliced { at, removed, values } => {
            Kept::Spliced(pb::Spliced { at: at as u64, removed: removed as u64, values: plain(values) })
        }
        Change::Stepped { span: Span { at, step, count }, values } => {
            Kept::Stepped(pb::Stepped { at: at as u64, step, count: count as u64, values: plain(values) })
        }
        Change::Reversed => Kept::Reversed(pb::Reversed {}),
        Change::Restored { revision, values } => Kept::Restored(pb::Restored { revision, values: plain(values) }),
    }
}

fn recall(change: pb::change::Change) -> Result<Change, Damaged> {
    use pb::change::Change as Kept;
    let all = |values: Vec<v1::Value>| values.into_iter().map(|value| Value::recall(Some(value))).collect::<Result<_, _>>();
    Ok(match change {
        Kept::Spliced(pb::Spliced { at, removed, values }) => {
            Change::Spliced { at: at as usize, removed: removed as usize, values: all(values)? }
        }
        Kept::Stepped(pb::Stepped { at, step, count, values }) => {
            Change::Stepped { span: Span { at: at as usize, step, count: count as usize }, values: all(values)? }
        }
        Kept::Reversed(pb::Reversed {}) => Change::Reversed,
        Kept::Restored(pb::Restored { revision, values }) => Change::Restored { revision, values: all(values)? },
    })
}
