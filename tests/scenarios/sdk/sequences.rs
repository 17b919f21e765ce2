//! Kinds with indices: list, array.

use super::{
    Arguments, Outcome, Part, Payload, Result, ok,
    opened::{Opened, open, open_and_keep},
    unknown,
};
use crate::scenarios::wire;
use bursar::{Array, List, Manager, Raw, Slice, array::Number};
use bursar_proto::v1::registry::options::Kind;
use std::str::FromStr;

/// The handles of a session.
#[derive(Default)]
pub struct Sequences {
    lists: Opened<List<Raw>>,
    arrays: Opened<AnyArray>,
}

impl Sequences {
    pub async fn list(&self, manager: &Manager, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        if matches!(verb, "create" | "open" | "open_or_create") {
            let builder = manager.raw_list(name).max_len(arguments.field("max_len")?).max_bytes(arguments.field("max_bytes")?);
            return Ok(open_and_keep!(self.lists, name, builder, verb, arguments));
        }
        let list = self.lists.get(name, manager.raw_list(name).open()).await?;
        let shown = |raw: Raw| Part::of([Payload(raw).to_string()]);
        Ok(match verb {
            "get" => shown(list.get(arguments.number("an index")?).await?).into(),
            "read" => Outcome::list(list.get_range(slice(arguments)?).await?.into_iter().map(shown).collect()),
            "set" => {
                list.set(arguments.number("an index")?, value(arguments)?).await?;
                ok().into()
            }
            "replace" => ok().with("len", list.set_range(slice(arguments)?, values(arguments)?).await?).into(),
            "extend" => ok().with("len", list.extend(values(arguments)?).await?).into(),
            "insert" => ok().with("len", list.insert(arguments.number("an index")?, value(arguments)?).await?).into(),
            "pop" => match arguments.optional("index")? {
                Some(index) => shown(list.pop_at(index).await?).into(),
                None => shown(list.pop().await?).into(),
            },
            "delete" => Outcome::word(list.delete_range(slice(arguments)?).await?),
            "remove" => Outcome::word(list.remove(value(arguments)?).await?),
            "index" => {
                let place = list.index_within(value(arguments)?, slice(arguments)?).await?;
                place.map_or(Outcome::word("no_such_value"), Outcome::word)
            }
            "count" => Outcome::word(list.count(value(arguments)?).await?),
            "reverse" => {
                list.reverse().await?;
                ok().into()
            }
            "len" => Outcome::word(list.len().await?),
            verb => return unknown(verb),
        })
    }

    pub async fn array(&self, manager: &Manager, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        if matches!(verb, "create" | "open" | "open_or_create") {
            let r#type = arguments.text("type").unwrap_or_default();
            let array = AnyArray::open(manager, verb, name, &r#type, arguments).await?;
            let outcome = array.opened();
            self.arrays.keep(name, array);
            return Ok(outcome);
        }
        // In Rust the handle has the type.
        arguments.text("type");
        let array = match self.arrays.known(name) {
            Some(array) => array,
            None => self.arrays.keep(name, AnyArray::open_as_it_is(manager, name).await?),
        };
        array.perform(verb, arguments).await
    }
}

fn slice(arguments: &mut Arguments) -> Result<Slice> {
    Ok(Slice { start: arguments.optional("start")?, stop: arguments.optional("stop")?, step: arguments.optional("step")? })
}

fn value(arguments: &mut Arguments) -> Result<Raw> {
    let Payload(raw) = arguments.payload()?;
    Ok(raw)
}

fn values(arguments: &mut Arguments) -> Result<Vec<Raw>> {
    Ok(if arguments.has_words() { arguments.payloads()?.into_iter().map(|Payload(raw)| raw).collect() } else { vec![] })
}

macro_rules! arrays {
    ($($type:ident $variant:ident),*) => {
        /// An array of any type: scripts choose at run time what programs choose at compile time.
        enum AnyArray { $( $variant(Array<$type>), )* }

        impl AnyArray {
            async fn open(manager: &Manager, mode: &str, name: &str, r#type: &str, arguments: &mut Arguments) -> Result<AnyArray> {
                let length = arguments.field("length")?;
                Ok(match r#type {
                    $( stringify!($type) => {
                        AnyArray::$variant(open!(manager.array::<$type>(name).length(length), mode, arguments))
                    } )*
                    other => return Err(format!("type: expected i8 to f64, got {other:?}: needs: raw?").into()),
                })
            }

            fn opened(&self) -> Outcome {
                match self { $( AnyArray::$variant(array) => wire::opened(array.was_created(), array.epoch()), )* }
            }

            async fn perform(&self, verb: &str, arguments: &mut Arguments) -> Result {
                match self { $( AnyArray::$variant(array) => array_verb(array, verb, arguments).await, )* }
            }
        }
    };
}

arrays!(i8 I8, u8 U8, i16 I16, u16 U16, i32 I32, u32 U32, i64 I64, u64 U64, f32 F32, f64 F64);

impl AnyArray {
    async fn open_as_it_is(manager: &Manager, name: &str) -> Result<AnyArray> {
        let described = manager.objects().describe(name).await?;
        let Some(Kind::Array(options)) = described.options.kind else { return Err(format!("{name} is no array").into()) };
        let r#type = options.r#type().as_str_name().to_lowercase();
        AnyArray::open(manager, "open", name, &r#type, &mut Arguments::default()).await
    }
}

async fn array_verb<N: Number + FromStr + ToString>(array: &Array<N>, verb: &str, arguments: &mut Arguments) -> Result {
    let shown = |number: N| Part::of([number.to_string()]);
    Ok(match verb {
        "get" => Outcome::list(array.get_range(slice(arguments)?).await?.into_iter().map(shown).collect()),
        "set" => {
            array.set_range(slice(arguments)?, &numbers(arguments)?).await?;
            ok().into()
        }
        "add" => {
            let index = arguments.number("an index")?;
            shown(array.add(index, arguments.number("what to add")?).await?).into()
        }
        verb => return unknown(verb),
    })
}

fn numbers<N: FromStr>(arguments: &mut Arguments) -> Result<Vec<N>> {
    let mut numbers = Vec::new();
    while arguments.has_words() {
        numbers.push(arguments.number("a number of the array's type")?);
    }
    Ok(numbers)
}
