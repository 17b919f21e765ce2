//! `bursar queue put`: items from the command line, a file or stdin.

use super::super::{
    failure::Failure,
    input::{self, Separator, Source},
    output::Output,
    payload,
    progress::Progress,
};
use crate::config;
use bursar::{Fence, Manager, Raw, queue::PutOptions};
use bursar_proto::{Fault, Wait};
use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use std::{io::IsTerminal, path::PathBuf, time::Duration};

/// Put items: arguments, or one for each line of a file or of stdin
///
/// Items are stored as the bytes that they are; with --json-items as JSON, which typed programs can read.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar queue put jobs hello world
  seq 1000 | bursar queue put jobs --wait forever
  find . -print0 | bursar queue put files -0 --create
  bursar queue put images --whole -f photo.jpg --priority 9
  bursar queue put jobs --json-items '{\"task\": 7}'")]
pub struct Args {
    /// The queue
    #[arg(value_parser = super::super::name)]
    name: String,
    /// The items; none or - reads stdin
    items: Vec<String>,
    /// Read items from a file
    #[arg(short, long, value_name = "PATH", conflicts_with = "items")]
    file: Option<PathBuf>,
    /// Items end with a zero byte instead of a newline
    #[arg(short = '0', long)]
    null: bool,
    /// The whole file or all of stdin is one item
    #[arg(long, conflicts_with = "null")]
    whole: bool,
    /// Items are JSON
    #[arg(long)]
    json_items: bool,
    /// 0 to 255, larger first
    #[arg(long, default_value_t = 0)]
    priority: u8,
    /// Nobody gets the items before this has passed
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    delay: Option<Duration>,
    /// Items that nobody got after this are dropped
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    ttl: Option<Duration>,
    /// Refuse the item if one with this key is queued, in work, or remembered; for a single item
    #[arg(long, value_name = "KEY")]
    unique_key: Option<String>,
    /// How long to wait for room in a full queue: a duration, 0 or forever
    #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "0")]
    wait: Wait,
    /// Make the queue if it does not exist
    #[arg(long)]
    create: bool,
    /// Put only while the lock NAME is held under this token
    #[arg(long, value_name = "NAME:TOKEN")]
    fence: Option<Fence>,
}

/// Items that are under way together: calls that are made at once travel in one frame.
const TOGETHER_MAX: usize = 512;

/// What has been put so far.
struct Putting {
    queue: bursar::Queue<Raw>,
    options: PutOptions,
    wait: Wait,
    json_items: bool,
    ids: Vec<u64>,
    progress: Progress,
}

pub async fn run(args: Args, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
    let (source, separator) = args.input();
    let opened = source.as_ref().map(Source::open).transpose()?;
    let size = opened.as_ref().and_then(|(_, size)| *size);
    let mut putting = Putting {
        queue: super::fenced(super::open(manager, &args.name, args.create).await?, args.fence.as_ref()),
        options: args.options(),
        wait: args.wait,
        json_items: args.json_items,
        ids: Vec::new(),
        progress: Progress::new(&args.name, source.as_ref().is_some_and(|source| !source.is_typed()), size),
    };
    let put = match (source, opened) {
        (Some(source), Some((input, _))) => putting.all_of(input::items(&source, input, separator)).await,
        _ => putting.together(args.items.into_iter().map(Bytes::from).collect()).await,
    };
    let ids = std::mem::take(&mut putting.ids);
    drop(putting);
    match put {
        Ok(()) => report(output, &ids),
        Err(failure) if ids.is_empty() => Err(failure),
        Err(failure) => Err(failure.context(format!("{} items were put, then", ids.len()))),
    }
}

impl Args {
    /// What can be found wrong before anybody connects.
    pub fn check(&self) -> Result<(), Failure> {
        let (source, _) = self.input();
        let single = if source.is_some() { self.whole } else { self.items.len() == 1 };
        if self.unique_key.is_some() && !single {
            return Err(Failure::usage("queue put: --unique-key is for a single item: name one, or use --whole"));
        }
        if self.items.is_empty() && self.file.is_none() && std::io::stdin().is_terminal() {
            return Err(Failure::usage("queue put: nothing to put: name items, or - to type them, one on each line"));
        }
        Ok(())
    }

    /// Where items come from other than the arguments, and what ends them.
    fn input(&self) -> (Option<Source>, Separator) {
        (Source::of(self.file.as_ref(), &self.items), Separator::of(self.whole, self.null))
    }

    fn options(&self) -> PutOptions {
        PutOptions {
            priority: self.priority,
            delay: self.delay.unwrap_or_default(),
            ttl: self.ttl.unwrap_or_default(),
            unique_key: self.unique_key.clone().unwrap_or_default().into(),
            ..PutOptions::default()
        }
    }
}

impl Putting {
    async fn all_of(&mut self, mut items: tokio::sync::mpsc::Receiver<Result<Bytes, Failure>>) -> Result<(), Failure> {
        while let Some((items, failure)) = input::batch(&mut items, TOGETHER_MAX).await {
            self.together(items).await?;
            failure.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// Calls of one session on one object are applied in the order in which they are made: so are the items.
    async fn together(&mut self, items: Vec<Bytes>) -> Result<(), Failure> {
        let (count, bytes) = (items.len(), items.iter().map(Bytes::len).sum());
        let items = items.into_iter().map(|item| match self.json_items {
            true => payload::json(item),
            false => Ok(Raw::from(item)),
        });
        let items = items.collect::<Result<Vec<Raw>, Failure>>()?;
        let puts = items.into_iter().map(|item| self.queue.put_with(item, &self.options, self.wait));
        let mut failed = None;
        for put in join_all(puts).await {
            match put {
                Ok(id) => self.ids.push(id),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        self.progress.add(count, bytes);
        failed.map_or(Ok(()), |error| Err(refused(error)))
    }
}

fn refused(error: bursar::Error) -> Failure {
    let full = matches!(error.fault(), Some(Fault::Full { .. }));
    let Failure { message, exit } = error.into();
    match full {
        true => Failure::new(exit, format!("{message}; wait for room with --wait")),
        false => Failure::new(exit, message),
    }
}

fn report(output: &mut Output, ids: &[u64]) -> Result<(), Failure> {
    match ids {
        ids if output.json => output.document(&json!({ "put": ids.len(), "ids": ids })),
        [id] => output.line(format_args!("put item {id}")),
        ids => output.line(format_args!("put {} items", ids.len())),
    }
}
