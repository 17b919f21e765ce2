//! `bursar queue`: everything that can be done with a queue.

mod cancel;
mod get;
mod park;
mod put;
mod work;

use super::{
    Client, HandedOver, Signals,
    failure::Failure,
    name,
    output::{Output, span},
    payload,
};
use crate::config;
use bursar::{Fence, Manager, Queue, Raw};
use bursar_proto::Wait;
use serde_json::{Value, json};

/// Put, get and work on the items of a queue
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    Put(put::Args),
    Get(get::Args),
    /// Show the items that would come next, without taking them
    #[command(after_help = "Example:\n  bursar queue peek jobs -n 10")]
    Peek {
        /// The queue
        #[arg(value_parser = name)]
        name: String,
        /// Show up to so many items
        #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
        number: u32,
    },
    /// Wait until every item that was put is done
    #[command(after_help = "Example:\n  bursar queue join jobs --wait 10m && echo all done")]
    Join {
        /// The queue
        #[arg(value_parser = name)]
        name: String,
        /// How long to wait: a duration, 0 or forever
        #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
        wait: Wait,
    },
    /// Show the queue in numbers
    #[command(after_help = "Example:\n  bursar queue stats jobs --json | jq .unfinished")]
    Stats {
        /// The queue
        #[arg(value_parser = name)]
        name: String,
    },
    /// Close the queue: nothing can be put any more, and workers end when it is drained
    #[command(after_help = "Example:\n  bursar queue close jobs")]
    Close {
        /// The queue
        #[arg(value_parser = name)]
        name: String,
        /// Drop what is queued, and refuse getters at once
        #[arg(long)]
        immediate: bool,
    },
    /// Drop all items that nobody works on
    #[command(after_help = "Example:\n  bursar queue purge jobs")]
    Purge {
        /// The queue
        #[arg(value_parser = name)]
        name: String,
    },
    /// Give out no more items until `resume`
    #[command(after_help = "Example:\n  bursar queue pause jobs")]
    Pause {
        /// The queue
        #[arg(value_parser = name)]
        name: String,
    },
    /// Give out items again
    #[command(after_help = "Example:\n  bursar queue resume jobs")]
    Resume {
        /// The queue
        #[arg(value_parser = name)]
        name: String,
    },
    Cancel(cancel::Args),
    Park(park::Args),
    Work(work::Args),
}

pub fn run(args: Args) -> Result<(), Failure> {
    if let Verb::Put(put) = &args.verb {
        put.check()?;
    }
    let handed_over = HandedOver::default();
    let signals = if matches!(args.verb, Verb::Work(_)) { Signals::Own(&handed_over) } else { Signals::End };
    super::session(&args.client, signals, async |manager, output| match args.verb {
        Verb::Put(args) => put::run(args, manager, output).await,
        Verb::Get(args) => get::run(&args, manager, output).await,
        Verb::Peek { name, number } => peek(&open(manager, &name, false).await?, number, output).await,
        Verb::Join { name, wait } => {
            open(manager, &name, false).await?.join_within(wait).await?;
            output.result(json!({ "joined": name }), format_args!("every item of {name} is done"))
        }
        Verb::Stats { name } => stats(&open(manager, &name, false).await?, output).await,
        Verb::Close { name, immediate } => close(&open(manager, &name, false).await?, &name, immediate, output).await,
        Verb::Purge { name } => {
            let count = open(manager, &name, false).await?.purge().await?;
            output.result(json!({ "dropped": count }), format_args!("dropped {count} items of {name}"))
        }
        Verb::Pause { name } => {
            open(manager, &name, false).await?.pause().await?;
            output.result(json!({ "paused": name }), format_args!("{name} gives out no items until `bursar queue resume {name}`"))
        }
        Verb::Resume { name } => {
            open(manager, &name, false).await?.resume().await?;
            output.result(json!({ "resumed": name }), format_args!("{name} gives out items"))
        }
        Verb::Cancel(args) => cancel::run(&args, manager, output).await,
        Verb::Park(args) => park::run(args, manager, output).await,
        Verb::Work(args) => work::run(args, manager, handed_over.take(), output).await,
    })
}

async fn open(manager: &Manager, name: &str, create: bool) -> Result<Queue<Raw>, Failure> {
    super::open(create, async |create| match create {
        true => manager.raw_queue(name).open_or_create().await,
        false => manager.raw_queue(name).open().await,
    })
    .await
}

fn fenced(queue: Queue<Raw>, fence: Option<&Fence>) -> Queue<Raw> {
    fence.map_or(queue.clone(), |fence| queue.fenced(fence))
}

async fn peek(queue: &Queue<Raw>, number: u32, output: &mut Output) -> Result<(), Failure> {
    let items = queue.peek(number).await?;
    if output.json {
        return items.iter().try_for_each(|item| output.document(&park::seen(item)));
    }
    let row = |item: &bursar::queue::Seen<Raw>| {
        vec![
            item.id.to_string(),
            item.priority.to_string(),
            item.failures.to_string(),
            item.crashes.to_string(),
            payload::cell(&item.item),
        ]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    output.table(&["ID", "PRIORITY", "FAILURES", "CRASHES", "ITEM"], &rows)
}

async fn stats(queue: &Queue<Raw>, output: &mut Output) -> Result<(), Failure> {
    let stats = queue.stats().await?;
    let oldest_ms = stats.oldest.as_millis() as u64;
    let figures: [(&str, Value); 17] = [
        ("ready", stats.ready.into()),
        ("delayed", stats.delayed.into()),
        ("leased", stats.leased.into()),
        ("parked", stats.parked.into()),
        ("unfinished", stats.unfinished.into()),
        ("bytes", stats.bytes.into()),
        ("oldest_ms", oldest_ms.into()),
        ("closed", stats.closed.into()),
        ("paused", stats.paused.into()),
        ("put", stats.put.into()),
        ("done", stats.done.into()),
        ("expired", stats.expired.into()),
        ("dropped", stats.dropped.into()),
        ("failures", stats.failures.into()),
        ("crashes", stats.crashes.into()),
        ("released", stats.released.into()),
        ("taken_back", stats.taken_back.into()),
    ];
    if output.json {
        return output.document(&figures.into_iter().collect());
    }
    let row = |(name, value): &(&str, Value)| match *name {
        "oldest_ms" => vec!["oldest".to_owned(), span(oldest_ms)],
        name => vec![name.replace('_', " "), value.to_string()],
    };
    output.table(&["FIGURE", "VALUE"], &figures.iter().map(row).collect::<Vec<_>>())
}

async fn close(queue: &Queue<Raw>, name: &str, immediate: bool, output: &mut Output) -> Result<(), Failure> {
    let dropped = queue.shutdown(immediate).await?;
    output.result(json!({ "closed": name, "dropped": dropped }), format_args!("closed {name}, {dropped} items dropped"))
}
