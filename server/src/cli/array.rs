//! `bursar array`: a fixed number of numbers of one type. The type is the array's own; it is asked for first.

use super::{Client, Signals, failure::Failure, name, output::Output, slice};
use bursar::{Fault, Manager, Slice, array::Number};
use bursar_proto::v1::{array::Type, registry::options::Kind};
use serde_json::{Value, json};
use std::{fmt::Display, str::FromStr};

/// Read and change an array of numbers
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Print a number, or, one a line, all of them or a part as Python writes it
    #[command(after_help = "Examples:\n  bursar array get hits\n  bursar array get hits -1\n  bursar array get hits 1:5")]
    Get {
        /// The array
        #[arg(value_parser = name)]
        name: String,
        /// Which: an index, negative from the end, or a part
        #[arg(value_name = "INDEX|START:STOP[:STEP]", value_parser = part, default_value = ":", allow_hyphen_values = true)]
        part: Part,
    },
    /// Set the number at an index
    #[command(after_help = "Examples:\n  bursar objects create array hits --type u64 --length 7\n  bursar array set hits 0 5")]
    Set {
        /// The array
        #[arg(value_parser = name)]
        name: String,
        /// Counts from 0, negative from the end
        #[arg(allow_negative_numbers = true)]
        index: i64,
        /// The number
        #[arg(allow_negative_numbers = true)]
        number: String,
    },
    /// Add to the number at an index, and print the sum
    #[command(after_help = "Example:\n  bursar array add hits 0 1")]
    Add {
        /// The array
        #[arg(value_parser = name)]
        name: String,
        /// Counts from 0, negative from the end
        #[arg(allow_negative_numbers = true)]
        index: i64,
        /// What to add
        #[arg(allow_negative_numbers = true, default_value = "1")]
        by: String,
    },
}

/// What is to be printed.
#[derive(Clone, Copy, Debug)]
enum Part {
    One(i64),
    Many(Slice),
}

fn part(text: &str) -> Result<Part, crate::config::Expected> {
    text.parse().map(Part::One).or_else(|_| slice::parse(text).map(Part::Many))
}

/// Calls a function that is generic over the type of the numbers with the type that is named.
macro_rules! typed {
    ($type:expr, $function:ident($($argument:expr),*)) => {
        match $type {
            Type::I8 => $function::<i8>($($argument),*).await,
            Type::U8 => $function::<u8>($($argument),*).await,
            Type::I16 => $function::<i16>($($argument),*).await,
            Type::U16 => $function::<u16>($($argument),*).await,
            Type::I32 => $function::<i32>($($argument),*).await,
            Type::U32 => $function::<u32>($($argument),*).await,
            Type::I64 | Type::Unspecified => $function::<i64>($($argument),*).await,
            Type::U64 => $function::<u64>($($argument),*).await,
            Type::F32 => $function::<f32>($($argument),*).await,
            Type::F64 => $function::<f64>($($argument),*).await,
        }
    };
}

pub(super) use typed;

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| {
        let (Verb::Get { name, .. } | Verb::Set { name, .. } | Verb::Add { name, .. }) = &args.verb;
        typed!(type_of(manager, name).await?, execute(&args.verb, manager, output))
    })
}

/// Of what is no array any type will do: opening it says so.
async fn type_of(manager: &Manager, name: &str) -> Result<Type, Failure> {
    let described = manager.objects().describe(name).await?;
    Ok(match described.options.kind {
        Some(Kind::Array(options)) => options.r#type(),
        _ => Type::Unspecified,
    })
}

async fn execute<N>(verb: &Verb, manager: &Manager, output: &mut Output) -> Result<(), Failure>
where
    N: Number + FromStr + Display + Into<Value>,
{
    let open = async |name: &str| manager.array::<N>(name).open().await;
    match verb {
        Verb::Get { name, part: Part::One(index) } => {
            let number = open(name).await?.get(*index).await?;
            output.result(json!({ "array": name, "index": index, "number": number.into() as Value }), number)
        }
        Verb::Get { name, part: Part::Many(slice) } => print(&open(name).await?.get_range(*slice).await?, output),
        Verb::Set { name, index, number } => {
            let number: N = parse(number)?;
            open(name).await?.set(*index, number).await?;
            output.result(json!({ "array": name, "index": index, "number": number.into() as Value }), number)
        }
        Verb::Add { name, index, by } => {
            let sum = open(name).await?.add(*index, parse(by)?).await?;
            output.result(json!({ "array": name, "index": index, "number": sum.into() as Value }), sum)
        }
    }
}

fn print<N: Number + Display + Into<Value>>(numbers: &[N], output: &mut Output) -> Result<(), Failure> {
    match output.json {
        true => output.document(&numbers.iter().map(|&number| number.into()).collect()),
        false => numbers.iter().try_for_each(|number| output.line(number)),
    }
}

fn parse<N: FromStr>(text: &str) -> Result<N, Failure> {
    let problem = || format!("found {text:?}, expected a number of the array's type, {}", std::any::type_name::<N>());
    text.parse().map_err(|_| Failure::usage(Fault::bad_argument("number", problem()).to_string()))
}
