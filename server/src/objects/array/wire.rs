//! An array on the wire and on disk: the only place that knows its generated types.

use super::{Array, Command, LENGTH_MAX, NUMBERS_MAX, Numbers, Reply, Slice, Stored, Type};
use crate::objects::kind::{Damaged, Wire};
use bursar_proto::{
    Fault,
    v1::{answer, array as pb, registry},
};
use prost::Message;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;

impl Wire for Array {
    fn create(options: &registry::Options, _epoch: u64) -> Result<Array, Fault> {
        let Some(registry::options::Kind::Array(pb::Options { r#type, length })) = &options.kind else {
            let got = bursar_proto::kind_of(options).unwrap_or("none");
            return Err(Fault::bad_argument("options", format!("expected options of the kind array, got {got}")));
        };
        let of = pb::Type::try_from(*r#type).ok().and_then(known);
        let of = of.ok_or_else(|| Fault::bad_argument("type", format!("expected I8 (1) to F64 (10), got {type}")))?;
        if !(1..=LENGTH_MAX).contains(length) {
            return Err(Fault::bad_argument("length", format!("expected 1 to {LENGTH_MAX}, got {length}")));
        }
        Ok(Array::new(of, *length as usize))
    }

    fn options(&self) -> registry::Options {
        let options = pb::Options { r#type: plain(self.cells.of()) as i32, length: self.length as u64 };
        registry::Options { kind: Some(registry::options::Kind::Array(options)) }
    }

    fn command(command: bursar_proto::Command, _payload_bytes_max: usize) -> Result<Command, Fault> {
        match command {
            bursar_proto::Command::Array(verb) => read(verb),
            other => Err(Fault::bad_argument("object", format!("expected a verb of array, got one of {}", other.kind()))),
        }
    }

    fn reply(reply: Reply) -> answer::Reply {
        use pb::reply::Verb;
        let verb = match reply {
            Reply::Get(numbers) => Verb::Get(pb::GetReply { numbers: Some(written(numbers)) }),
            Reply::Set => Verb::Set(pb::SetReply {}),
            Reply::Add(sum) => Verb::Add(pb::AddReply { number: Some(written(sum)) }),
        };
        answer::Reply::Array(pb::Reply { verb: Some(verb) })
    }

    fn holding(_reply: answer::Reply) -> Option<Reply> {
        None
    }

    fn encode(change: &Stored) -> Vec<u8> {
        let Stored { at, step, numbers } = change;
        let stored = pb::Stored { at: *at as u64, step: *step, numbers: Some(written(numbers.clone())) };
        pb::Change { version: VERSION, change: Some(pb::change::Change::Stored(stored)) }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Stored, Damaged> {
        let pb::Change { version, change } = pb::Change::decode(bytes)?;
        if version > VERSION {
            return Err(Damaged("a change of an array that only a newer broker understands".into()));
        }
        let Some(pb::change::Change::Stored(pb::Stored { at, step, numbers })) = change else {
            return Err(Damaged("an unknown change of an array".into()));
        };
        let numbers = form_of(numbers).ok_or_else(|| Damaged("a change of an array without numbers".into()))?;
        Ok(Stored { at: at as usize, step, numbers })
    }
}

fn read(verb: pb::command::Verb) -> Result<Command, Fault> {
    use pb::command::Verb;
    Ok(match verb {
        Verb::Get(pb::GetRequest { object: _, slice }) => Command::Get { slice: Slice::read(slice)? },
        Verb::Set(pb::SetRequest { object: _, slice, numbers }) => {
            Command::Set { slice: Slice::read(slice)?, numbers: several("numbers", numbers, 0, NUMBERS_MAX)? }
        }
        Verb::Add(pb::AddRequest { object: _, index, by }) => Command::Add { index, by: several("by", by, 1, 1)? },
    })
}

fn several(argument: &str, numbers: Option<pb::Numbers>, least: usize, most: usize) -> Result<Numbers, Fault> {
    let none = || Fault::bad_argument(argument, "expected integers, naturals or reals, got none of them");
    let numbers = form_of(numbers).ok_or_else(none)?;
    match numbers.len() {
        count if count >= least && count <= most => Ok(numbers),
        count if least == most => Err(Fault::bad_argument(argument, format!("expected exactly {most} number, got {count}"))),
        count => Err(Fault::bad_argument(argument, format!("expected {least} to {most} numbers, got {count}"))),
    }
}

fn form_of(numbers: Option<pb::Numbers>) -> Option<Numbers> {
    use pb::numbers::Numbers as Form;
    Some(match numbers?.numbers? {
        Form::Integers(pb::Integers { values }) => Numbers::Integers(values),
        Form::Naturals(pb::Naturals { values }) => Numbers::Naturals(values),
        Form::Reals(pb::Reals { values }) => Numbers::Reals(values),
    })
}

fn written(numbers: Numbers) -> pb::Numbers {
    use pb::numbers::Numbers as Form;
    let form = match numbers {
        Numbers::Integers(values) => Form::Integers(pb::Integers { values }),
        Numbers::Naturals(values) => Form::Naturals(pb::Naturals { values }),
        Numbers::Reals(values) => Form::Reals(pb::Reals { values }),
    };
    pb::Numbers { numbers: Some(form) }
}

fn known(of: pb::Type) -> Option<Type> {
    Some(match of {
        pb::Type::Unspecified => return None,
        pb::Type::I8 => Type::I8,
        pb::Type::U8 => Type::U8,
        pb::Type::I16 => Type::I16,
        pb::Type::U16 => Type::U16,
        pb::Type::I32 => Type::I32,
        pb::Type::U32 => Type::U32,
        pb::Type::I64 => Type::I64,
        pb::Type::U64 => Type::U64,
        pb::Type::F32 => Type::F32,
        pb::Type::F64 => Type::F64,
    })
}

fn plain(of: Type) -> pb::Type {
    match of {
        Type::I8 => pb::Type::I8,
        Type::U8 => pb::Type::U8,
        Type::I16 => pb::Type::I16,
        Type::U16 => pb::Type::U16,
        Type::I32 => pb::Type::I32,
        Type::U32 => pb::Type::U32,
        Type::I64 => pb::Type::I64,
        Type::U64 => pb::Type::U64,
        Type::F32 => pb::Type::F32,
        Type::F64 => pb::Type::F64,
    }
}
