//! `bursar objects`: which objects there are, making and deleting them.

mod create;

use super::{
    Client, Signals,
    failure::Failure,
    name,
    output::{Output, unix_ms, utc},
};
use bursar::{Described, ListFilter, Manager};
use bursar_proto::{KINDS, option_fields, v1::registry::Options};
use serde_json::{Value, json};

/// List, describe, create and delete objects
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// List objects
    #[command(after_help = "Examples:\n  bursar objects list\n  bursar objects list --kind queue --prefix team/ --json")]
    List {
        /// Only names that begin so
        #[arg(long, default_value = "")]
        prefix: String,
        /// Only objects of this kind
        #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(KINDS))]
        kind: Option<String>,
    },
    /// Show all about one object
    #[command(after_help = "Example:\n  bursar objects describe jobs")]
    Describe {
        /// The object
        #[arg(value_parser = name)]
        name: String,
    },
    /// Make an object; it is an error if it exists
    Create {
        #[command(subcommand)]
        kind: create::Create,
    },
    /// Delete an object with all that is in it
    #[command(after_help = "Example:\n  bursar objects delete jobs")]
    Delete {
        /// The object
        #[arg(value_parser = name)]
        name: String,
    },
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| match args.verb {
        Verb::List { prefix, kind } => list(manager, output, prefix, kind.unwrap_or_default()).await,
        Verb::Describe { name } => describe(manager, output, &name).await,
        Verb::Create { kind } => kind.run(manager, output).await,
        Verb::Delete { name } => {
            manager.objects().delete(&name).await?;
            output.result(json!({ "deleted": name }), format_args!("deleted {name}"))
        }
    })
}

async fn list(manager: &Manager, output: &mut Output, prefix: String, kind: String) -> Result<(), Failure> {
    let objects = manager.objects().list(ListFilter { prefix, kind }).await?;
    if output.json {
        return output.document(&objects.iter().map(document).collect());
    }
    let row = |object: &Described| {
        let figures = object.figures.iter().filter(|(_, number)| **number > 0).map(|(name, number)| format!("{name}={number}"));
        let figures = figures.collect::<Vec<_>>().join(" ");
        vec![object.name.clone(), object.kind.clone(), object.epoch.to_string(), object.waiting.to_string(), figures]
    };
    let rows: Vec<_> = objects.iter().map(row).collect();
    output.table(&["NAME", "KIND", "EPOCH", "WAITING", "FIGURES"], &rows)
}

async fn describe(manager: &Manager, output: &mut Output, name: &str) -> Result<(), Failure> {
    show(output, &manager.objects().describe(name).await?)
}

/// All about one object.
pub fn show(output: &mut Output, object: &Described) -> Result<(), Failure> {
    if output.json {
        return output.document(&document(object));
    }
    output.pairs(&[
        ("name", object.name.clone()),
        ("kind", object.kind.clone()),
        ("epoch", object.epoch.to_string()),
        ("ephemeral", object.ephemeral.to_string()),
        ("created", utc(object.created)),
        ("waiting", object.waiting.to_string()),
    ])?;
    let options = options(&object.options);
    let options = options.as_object().into_iter().flatten().map(|(name, value)| vec![name.clone(), value.to_string()]);
    output.line("")?;
    output.table(&["OPTION", "VALUE"], &options.collect::<Vec<_>>())?;
    let figures = object.figures.iter().map(|(name, number)| vec![name.clone(), number.to_string()]);
    output.line("")?;
    output.table(&["FIGURE", "VALUE"], &figures.collect::<Vec<_>>())
}

fn document(object: &Described) -> Value {
    json!({
        "name": object.name, "kind": object.kind, "epoch": object.epoch, "ephemeral": object.ephemeral,
        "created_ms": unix_ms(object.created), "waiting": object.waiting, "options": options(&object.options),
        "figures": object.figures,
    })
}

fn options(options: &Options) -> Value {
    let fields = option_fields(options).into_iter();
    fields.map(|(field, value)| (field, serde_json::from_str(&value).unwrap_or(Value::String(value)))).collect()
}
