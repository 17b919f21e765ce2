//! `bursar objects`: which objects there are, making and deleting them.

use super::{
    Client, Signals,
    failure::Failure,
    name,
    output::{Output, unix_ms, utc},
};
use crate::config;
use bursar::{Described, ListFilter, Manager};
use bursar_proto::v1::registry::{Options, options::Kind};
use serde_json::{Value, json};
use std::time::Duration;

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
        /// Only objects of this kind: queue or kv
        #[arg(long, value_parser = ["queue", "kv"])]
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
        kind: Create,
    },
    /// Delete an object with all that is in it
    #[command(after_help = "Example:\n  bursar objects delete jobs")]
    Delete {
        /// The object
        #[arg(value_parser = name)]
        name: String,
    },
}

#[derive(clap::Subcommand, Debug)]
enum Create {
    /// Make a queue
    #[command(after_help = "Example:\n  bursar objects create queue jobs --maxsize 1000 --max-failures 5 --retry-delay 10s")]
    Queue {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// The most items at a time [default: no limit]
        #[arg(long, value_name = "N")]
        maxsize: Option<u64>,
        /// The most bytes in items at a time [default: 1GiB]
        #[arg(long, value_name = "SIZE", value_parser = config::size)]
        max_bytes: Option<u64>,
        /// Failures after which an item is parked [default: 10]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        max_failures: Option<u32>,
        /// Deaths of its holders after which an item is parked [default: 3]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        max_crashes: Option<u32>,
        /// The first delay of an item that failed; it doubles each time [default: 1s]
        #[arg(long, value_name = "DURATION", value_parser = config::duration)]
        retry_delay: Option<Duration>,
        /// How long a unique key is remembered after its item was done [default: 0]
        #[arg(long, value_name = "DURATION", value_parser = config::duration)]
        unique_window: Option<Duration>,
    },
    /// Make a key-value store
    #[command(after_help = "Example:\n  bursar objects create kv settings --max-keys 10000")]
    Kv {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// The most keys [default: 1000000]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        max_keys: Option<u64>,
        /// The most bytes in keys and values [default: 1GiB]
        #[arg(long, value_name = "SIZE", value_parser = config::size)]
        max_bytes: Option<u64>,
        /// Changes kept for watchers that lag behind [default: 10000]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        events_max: Option<u32>,
    },
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| match args.verb {
        Verb::List { prefix, kind } => list(manager, output, prefix, kind.unwrap_or_default()).await,
        Verb::Describe { name } => describe(manager, output, &name).await,
        Verb::Create { kind } => create(manager, output, kind).await,
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
    let object = manager.objects().describe(name).await?;
    if output.json {
        return output.document(&document(&object));
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

async fn create(manager: &Manager, output: &mut Output, kind: Create) -> Result<(), Failure> {
    let (kind, name) = match kind {
        Create::Queue { name, maxsize, max_bytes, max_failures, max_crashes, retry_delay, unique_window } => {
            let mut builder = manager.raw_queue(&name);
            builder = maxsize.into_iter().fold(builder, |builder, n| builder.maxsize(n));
            builder = max_bytes.into_iter().fold(builder, |builder, n| builder.max_bytes(n));
            builder = max_failures.into_iter().fold(builder, |builder, n| builder.max_failures(n));
            builder = max_crashes.into_iter().fold(builder, |builder, n| builder.max_crashes(n));
            builder = retry_delay.into_iter().fold(builder, |builder, delay| builder.retry_delay(delay));
            builder = unique_window.into_iter().fold(builder, |builder, window| builder.unique_window(window));
            builder.create().await?;
            ("queue", name)
        }
        Create::Kv { name, max_keys, max_bytes, events_max } => {
            let mut builder = manager.raw_kv(&name);
            builder = max_keys.into_iter().fold(builder, |builder, n| builder.max_keys(n));
            builder = max_bytes.into_iter().fold(builder, |builder, n| builder.max_bytes(n));
            builder = events_max.into_iter().fold(builder, |builder, n| builder.events_max(n));
            builder.create().await?;
            ("kv", name)
        }
    };
    output.result(json!({ "created": name, "kind": kind }), format_args!("created {kind} {name}"))
}

fn document(object: &Described) -> Value {
    json!({
        "name": object.name, "kind": object.kind, "epoch": object.epoch, "ephemeral": object.ephemeral,
        "created_ms": unix_ms(object.created), "waiting": object.waiting, "options": options(&object.options),
        "figures": object.figures,
    })
}

fn options(options: &Options) -> Value {
    match &options.kind {
        Some(Kind::Queue(options)) => {
            let bursar_proto::v1::queue::Options {
                maxsize,
                max_bytes,
                max_failures,
                max_crashes,
                retry_delay_ms,
                unique_window_ms,
            } = *options;
            json!({
                "maxsize": maxsize, "max_bytes": max_bytes, "max_failures": max_failures, "max_crashes": max_crashes,
                "retry_delay_ms": retry_delay_ms, "unique_window_ms": unique_window_ms,
            })
        }
        Some(Kind::Kv(options)) => {
            let bursar_proto::v1::kv::Options { max_keys, max_bytes, events_max } = *options;
            json!({ "max_keys": max_keys, "max_bytes": max_bytes, "events_max": events_max })
        }
        None => json!({}),
    }
}
