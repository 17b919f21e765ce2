//! `bursar list`: a sequence of values. They are stored and shown as those of `bursar kv`.

use super::{
    Client, Signals,
    failure::{Exit, Failure},
    name,
    output::Output,
    payload, slice,
};
use bursar::{List, Manager, Raw, Slice};
use bytes::Bytes;
use serde_json::json;

/// Read and change a list of values
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Print a value; indices count from 0, negative ones from the end
    #[command(after_help = "Example:\n  bursar list get steps -1")]
    Get {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        form: Form,
    },
    /// Print values, one a line: all, or a part as Python writes it
    #[command(
        after_help = "Examples:\n  bursar list read steps\n  bursar list read steps 1:5\n  bursar list read steps ::-1 --json"
    )]
    Read {
        /// The list
        #[arg(value_parser = name)]
        name: String,
        /// Which part
        #[arg(value_name = "START:STOP[:STEP]", value_parser = slice::parse, default_value = ":", allow_hyphen_values = true)]
        slice: Slice,
        #[command(flatten)]
        form: Form,
    },
    /// Add values at the end, in one step, and print the length
    #[command(after_help = "\
Examples:
  bursar list append steps mix bake --create
  bursar list append steps --json-value '{\"stir\": 3}'
  bursar list append photos - < photo.jpg")]
    Append {
        /// The list
        #[arg(value_parser = name)]
        name: String,
        /// The values; - alone reads one from stdin
        #[arg(required = true)]
        values: Vec<String>,
        /// The values are JSON
        #[arg(long)]
        json_value: bool,
        /// Make the list if it does not exist
        #[arg(long)]
        create: bool,
    },
    /// Insert a value in front of the one at an index, and print the length
    #[command(after_help = "Example:\n  bursar list insert steps 0 weigh")]
    Insert {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        value: payload::Given,
    },
    /// Put a value into the place of another
    #[command(after_help = "Example:\n  bursar list set steps -1 'bake longer'")]
    Set {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        value: payload::Given,
    },
    /// Remove a value and print it: the last one, or the one at an index
    #[command(after_help = "Examples:\n  bursar list pop steps\n  bursar list pop steps 0")]
    Pop {
        /// The list
        #[arg(value_parser = name)]
        name: String,
        /// Which one
        #[arg(allow_negative_numbers = true, default_value_t = -1)]
        index: i64,
        #[command(flatten)]
        form: Form,
    },
    /// Remove the first value that is equal, and print the index that it had
    ///
    /// Values are equal when their bytes are, and both are JSON, or neither.
    #[command(after_help = "Example:\n  bursar list remove steps mix")]
    Remove {
        /// The list
        #[arg(value_parser = name)]
        name: String,
        #[command(flatten)]
        value: payload::Given,
    },
    /// Print the index of the first value that is equal
    #[command(after_help = "Example:\n  bursar list index steps bake")]
    Index {
        /// The list
        #[arg(value_parser = name)]
        name: String,
        #[command(flatten)]
        value: payload::Given,
    },
    /// Remove a part of the list, as Python writes it, and print how many values it had
    #[command(after_help = "Example:\n  bursar list delete steps :2")]
    Delete {
        /// The list
        #[arg(value_parser = name)]
        name: String,
        /// Which part
        #[arg(value_name = "START:STOP[:STEP]", value_parser = slice::parse, allow_hyphen_values = true)]
        slice: Slice,
    },
    /// Print how many values there are
    #[command(after_help = "Example:\n  bursar list len steps")]
    Len {
        /// The list
        #[arg(value_parser = name)]
        name: String,
    },
    /// Turn the list round
    #[command(after_help = "Example:\n  bursar list reverse steps")]
    Reverse {
        /// The list
        #[arg(value_parser = name)]
        name: String,
    },
    /// Remove all values, and print how many they were
    #[command(after_help = "Example:\n  bursar list clear steps")]
    Clear {
        /// The list
        #[arg(value_parser = name)]
        name: String,
    },
}

#[derive(clap::Args, Debug)]
struct At {
    /// The list
    #[arg(value_parser = name)]
    name: String,
    /// Counts from 0, negative from the end
    #[arg(allow_negative_numbers = true)]
    index: i64,
}

/// How values are printed.
#[derive(clap::Args, Debug)]
struct Form {
    /// End values with a zero byte instead of a newline
    #[arg(short = '0', long, conflicts_with = "json")]
    null: bool,
    /// Print the bytes as they are stored, MessagePack too
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| match args.verb {
        Verb::Get { at, form } => form.print(&open(manager, &at.name, false).await?.get(at.index).await?, output),
        Verb::Read { name, slice, form } => {
            let values = open(manager, &name, false).await?.get_range(slice).await?;
            values.iter().try_for_each(|value| form.print(value, output))
        }
        Verb::Append { name, values, json_value, create } => {
            let values = given(values, json_value).await?;
            let len = open(manager, &name, create).await?.extend(values).await?;
            said_len(&name, len, output)
        }
        Verb::Insert { at, value } => {
            let value = value.read("list insert").await?;
            let len = open(manager, &at.name, false).await?.insert(at.index, value).await?;
            said_len(&at.name, len, output)
        }
        Verb::Set { at, value } => {
            let value = value.read("list set").await?;
            open(manager, &at.name, false).await?.set(at.index, value).await?;
            output.result(json!({ "list": at.name, "index": at.index }), format_args!("{}: set", at.name))
        }
        Verb::Pop { name, index, form } => form.print(&open(manager, &name, false).await?.pop_at(index).await?, output),
        Verb::Remove { name, value } => {
            let value = value.read("list remove").await?;
            let index = open(manager, &name, false).await?.remove(value).await?;
            output.result(json!({ "list": name, "index": index }), index)
        }
        Verb::Index { name, value } => {
            let value = value.read("list index").await?;
            let index = open(manager, &name, false).await?.index_of(value).await?;
            let index = index.ok_or_else(|| Failure::new(Exit::Absent, format!("list index {name}: no value is equal")))?;
            output.result(json!({ "list": name, "index": index }), index)
        }
        Verb::Delete { name, slice } => {
            let count = open(manager, &name, false).await?.delete_range(slice).await?;
            output.result(json!({ "list": name, "removed": count }), count)
        }
        Verb::Len { name } => said_len(&name, open(manager, &name, false).await?.len().await?, output),
        Verb::Reverse { name } => {
            open(manager, &name, false).await?.reverse().await?;
            output.result(json!({ "reversed": name }), format_args!("{name}: reversed"))
        }
        Verb::Clear { name } => {
            let count = open(manager, &name, false).await?.clear().await?;
            output.result(json!({ "list": name, "removed": count }), count)
        }
    })
}

async fn open(manager: &Manager, name: &str, create: bool) -> Result<List<Raw>, Failure> {
    super::open(create, async |create| match create {
        true => manager.raw_list(name).open_or_create().await,
        false => manager.raw_list(name).open().await,
    })
    .await
}

async fn given(values: Vec<String>, json_value: bool) -> Result<Vec<Raw>, Failure> {
    match values.as_slice() {
        [value] if value == "-" => Ok(vec![payload::Given::stdin(json_value).read("list append").await?]),
        _ => values.into_iter().map(|value| payload::of(Bytes::from(value), json_value)).collect(),
    }
}

fn said_len(name: &str, len: u64, output: &mut Output) -> Result<(), Failure> {
    output.result(json!({ "list": name, "len": len }), len)
}

impl Form {
    fn print(&self, value: &Raw, output: &mut Output) -> Result<(), Failure> {
        if output.json {
            return output.document(&payload::object(value).into());
        }
        let bytes = if self.raw { value.data.clone() } else { payload::shown(value) };
        output.bytes(&bytes)?;
        output.bytes(if self.null { b"\0" } else { b"\n" })
    }
}
