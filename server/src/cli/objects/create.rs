//! `bursar objects create`: every kind with its options.

use super::super::{array::typed, failure::Failure, name, output::Output};
use crate::config;
use bursar::{Manager, array::Number, topic::Overload};
use bursar_proto::v1::array::Type;
use serde_json::json;
use std::time::Duration;

#[derive(clap::Subcommand, Debug)]
pub enum Create {
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
    /// Make a lock
    #[command(after_help = "Example:\n  bursar objects create lock deploy --refuse-deadlock")]
    Lock {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// Its holder may acquire it again
        #[arg(long)]
        reentrant: bool,
        /// Refuse a wait that would close a circle of sessions that wait for each other, instead of letting it last for ever
        #[arg(long)]
        refuse_deadlock: bool,
    },
    /// Make a lock for many readers or one writer
    #[command(after_help = "Example:\n  bursar objects create rwlock catalog")]
    Rwlock {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// Refuse a wait that would close a circle of sessions that wait for each other, instead of letting it last for ever
        #[arg(long)]
        refuse_deadlock: bool,
    },
    /// Make a semaphore
    #[command(after_help = "Example:\n  bursar objects create semaphore downloads --permits 3 --bounded")]
    Semaphore {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// How many permits there are at the beginning [default: 1]
        #[arg(long, value_name = "N")]
        permits: Option<u64>,
        /// Never more permits than at the beginning, and none used up
        #[arg(long)]
        bounded: bool,
        /// Refuse a wait that would close a circle of sessions that wait for each other, instead of letting it last for ever
        #[arg(long)]
        refuse_deadlock: bool,
    },
    /// Make an event
    #[command(after_help = "Example:\n  bursar objects create event ready")]
    Event {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// It is set from the beginning
        #[arg(long)]
        initially_set: bool,
    },
    /// Make a latch
    #[command(after_help = "Example:\n  bursar objects create latch loaded --count 3")]
    Latch {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// What it counts down from
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: u64,
    },
    /// Make a condition
    #[command(after_help = "Example:\n  bursar objects create condition delivered")]
    Condition {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// Refuse a wait that would close a circle of sessions that wait for each other, instead of letting it last for ever
        #[arg(long)]
        refuse_deadlock: bool,
    },
    /// Make a barrier
    #[command(after_help = "Example:\n  bursar objects create barrier step --parties 3")]
    Barrier {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// How many pass together
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        parties: u32,
    },
    /// Make a counter
    #[command(after_help = "Example:\n  bursar objects create counter visits --initial 10")]
    Counter {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// What it holds at the beginning
        #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
        initial: i64,
    },
    /// Make a list
    #[command(after_help = "Example:\n  bursar objects create list steps --max-len 1000")]
    List {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// The most values [default: 1000000]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        max_len: Option<u64>,
        /// The most bytes in values [default: 1GiB]
        #[arg(long, value_name = "SIZE", value_parser = config::size)]
        max_bytes: Option<u64>,
    },
    /// Make an array of numbers, all 0 at the beginning
    #[command(after_help = "Example:\n  bursar objects create array hits --type u64 --length 7")]
    Array {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// The type of the numbers: i8, u8, i16, u16, i32, u32, i64, u64, f32 or f64
        #[arg(long, value_name = "TYPE", value_parser = number_type)]
        r#type: Type,
        /// How many numbers
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=16_777_216))]
        length: u64,
    },
    /// Make a channel
    #[command(after_help = "Example:\n  bursar objects create channel talk --max-messages 10000")]
    Channel {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// The most messages that are not received, in each direction [default: 1000]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        max_messages: Option<u64>,
        /// The most bytes of them, in each direction [default: 64MiB]
        #[arg(long, value_name = "SIZE", value_parser = config::size)]
        max_bytes: Option<u64>,
    },
    /// Make a topic
    #[command(after_help = "Example:\n  bursar objects create topic news --overload drop-oldest --keep-messages 100")]
    Topic {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// What happens to a message for a subscription whose buffer is full
        #[arg(long, value_name = "POLICY")]
        overload: Policy,
        /// The most messages that wait for each subscription [default: 1000]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        buffer_messages: Option<u64>,
        /// The most bytes of them [default: 8MiB]
        #[arg(long, value_name = "SIZE", value_parser = config::size)]
        buffer_bytes: Option<u64>,
        /// The last so many are kept, for those who subscribe later [default: 1000]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        keep_messages: Option<u64>,
        /// The most bytes of them [default: 16MiB]
        #[arg(long, value_name = "SIZE", value_parser = config::size)]
        keep_bytes: Option<u64>,
    },
    /// Make an object that programs are to serve; callers may come before them
    #[command(after_help = "Example:\n  bursar objects create object model --max-calls 1000")]
    Object {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// One call at a time, whatever its methods say
        #[arg(long)]
        serial: bool,
        /// The most calls that wait or run [default: 50000]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        max_calls: Option<u64>,
        /// The most bytes of their arguments, and of items that are not read [default: 64MiB]
        #[arg(long, value_name = "SIZE", value_parser = config::size)]
        max_bytes: Option<u64>,
        /// The most calls of one caller that wait or run [default: 10000]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        max_calls_per_session: Option<u64>,
    },
}

/// What happens to a message for a subscription whose buffer is full; spelled as the broker's configuration does, too.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Policy {
    /// Who publishes waits
    Block,
    /// The subscription misses the oldest that it was not given
    #[value(alias = "drop_oldest")]
    DropOldest,
    /// The subscription misses the new one
    #[value(alias = "drop_newest")]
    DropNewest,
    /// The subscription ends
    Disconnect,
}

impl From<Policy> for Overload {
    fn from(policy: Policy) -> Overload {
        match policy {
            Policy::Block => Overload::Block,
            Policy::DropOldest => Overload::DropOldest,
            Policy::DropNewest => Overload::DropNewest,
            Policy::Disconnect => Overload::Disconnect,
        }
    }
}

impl Create {
    pub async fn run(self, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
        let (kind, name) = match self {
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
            Create::Lock { name, reentrant, refuse_deadlock } => {
                let builder = manager.lock(&name);
                let builder = if reentrant { builder.reentrant() } else { builder };
                let builder = if refuse_deadlock { builder.refuse_deadlock() } else { builder };
                builder.create().await?;
                ("lock", name)
            }
            Create::Rwlock { name, refuse_deadlock } => {
                let builder = manager.rwlock(&name);
                let builder = if refuse_deadlock { builder.refuse_deadlock() } else { builder };
                builder.create().await?;
                ("rwlock", name)
            }
            Create::Semaphore { name, permits, bounded, refuse_deadlock } => {
                let builder = manager.semaphore(&name).permits(permits.unwrap_or(1));
                let builder = if bounded { builder.bounded() } else { builder };
                let builder = if refuse_deadlock { builder.refuse_deadlock() } else { builder };
                builder.create().await?;
                ("semaphore", name)
            }
            Create::Event { name, initially_set } => {
                let builder = manager.event(&name);
                let builder = if initially_set { builder.initially_set() } else { builder };
                builder.create().await?;
                ("event", name)
            }
            Create::Latch { name, count } => {
                manager.latch(&name).count(count).create().await?;
                ("latch", name)
            }
            Create::Condition { name, refuse_deadlock } => {
                let builder = manager.condition(&name);
                let builder = if refuse_deadlock { builder.refuse_deadlock() } else { builder };
                builder.create().await?;
                ("condition", name)
            }
            Create::Barrier { name, parties } => {
                manager.barrier(&name).parties(parties).create().await?;
                ("barrier", name)
            }
            Create::Counter { name, initial } => {
                manager.counter(&name).initial(initial).create().await?;
                ("counter", name)
            }
            Create::List { name, max_len, max_bytes } => {
                let mut builder = manager.raw_list(&name);
                builder = max_len.into_iter().fold(builder, |builder, n| builder.max_len(n));
                builder = max_bytes.into_iter().fold(builder, |builder, n| builder.max_bytes(n));
                builder.create().await?;
                ("list", name)
            }
            Create::Array { name, r#type, length } => {
                typed!(r#type, create_array(manager, &name, length))?;
                ("array", name)
            }
            Create::Channel { name, max_messages, max_bytes } => {
                let mut builder = manager.raw_channel(&name);
                builder = max_messages.into_iter().fold(builder, |builder, n| builder.max_messages(n));
                builder = max_bytes.into_iter().fold(builder, |builder, n| builder.max_bytes(n));
                builder.create().await?;
                ("channel", name)
            }
            Create::Topic { name, overload, buffer_messages, buffer_bytes, keep_messages, keep_bytes } => {
                let mut builder = manager.raw_topic(&name).overload(overload.into());
                builder = buffer_messages.into_iter().fold(builder, |builder, n| builder.buffer_messages(n));
                builder = buffer_bytes.into_iter().fold(builder, |builder, n| builder.buffer_bytes(n));
                builder = keep_messages.into_iter().fold(builder, |builder, n| builder.keep_messages(n));
                builder = keep_bytes.into_iter().fold(builder, |builder, n| builder.keep_bytes(n));
                builder.create().await?;
                ("topic", name)
            }
            Create::Object { name, serial, max_calls, max_bytes, max_calls_per_session } => {
                let mut builder = manager.object(&name);
                builder = if serial { builder.serial() } else { builder };
                builder = max_calls.into_iter().fold(builder, |builder, n| builder.max_calls(n));
                builder = max_bytes.into_iter().fold(builder, |builder, n| builder.max_bytes(n));
                builder = max_calls_per_session.into_iter().fold(builder, |builder, n| builder.max_calls_per_session(n));
                builder.create().await?;
                ("object", name)
            }
        };
        output.result(json!({ "created": name, "kind": kind }), format_args!("created {kind} {name}"))
    }
}

async fn create_array<N: Number>(manager: &Manager, name: &str, length: u64) -> Result<(), Failure> {
    manager.array::<N>(name).length(length).create().await?;
    Ok(())
}

fn number_type(text: &str) -> Result<Type, config::Expected> {
    let wrong = || config::Expected("i8, u8, i16, u16, i32, u32, i64, u64, f32 or f64".into());
    Type::from_str_name(&text.to_uppercase()).filter(|found| *found != Type::Unspecified).ok_or_else(wrong)
}
