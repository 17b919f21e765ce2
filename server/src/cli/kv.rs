//! `bursar kv`: everything that can be done with a key-value store.

use super::{
    Client, Signals,
    failure::{Exit, Failure},
    name,
    output::{self, Output, span},
    payload,
};
use crate::config::{self, Expected};
use bursar::{
    Fence, Kv, Manager, Raw,
    kv::{Condition, Entry, PutOptions, Since, WatchEvent},
};
use serde_json::{Value, json};
use std::{pin::pin, time::Duration};

/// Read, write and watch the keys of a key-value store
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Print the value of a key
    #[command(after_help = "Examples:\n  bursar kv get settings color\n  bursar kv get settings color --json | jq .revision")]
    Get {
        /// The key-value store
        #[arg(value_parser = name)]
        name: String,
        /// The key
        key: String,
        /// Print exactly the bytes that are stored: MessagePack too, and no newline
        #[arg(long, conflicts_with = "json")]
        raw: bool,
    },
    Put(Put),
    /// Delete a key
    #[command(after_help = "Example:\n  bursar kv delete settings color")]
    Delete {
        /// The key-value store
        #[arg(value_parser = name)]
        name: String,
        /// The key
        key: String,
        /// Only while the lock NAME is held under this token
        #[arg(long, value_name = "NAME:TOKEN")]
        fence: Option<Fence>,
    },
    /// List keys and values, in the order of the keys
    #[command(after_help = "Example:\n  bursar kv list settings --prefix color/")]
    List {
        /// The key-value store
        #[arg(value_parser = name)]
        name: String,
        /// Only keys that begin so
        #[arg(long, default_value = "")]
        prefix: String,
    },
    Watch(Watch),
    /// Add to an integer, and print the sum; a key that is not there counts as 0
    #[command(after_help = "Examples:\n  bursar kv incr stats visits\n  bursar kv incr stats visits -5")]
    Incr {
        /// The key-value store
        #[arg(value_parser = name)]
        name: String,
        /// The key
        key: String,
        /// What to add
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
        /// Make the store if it does not exist
        #[arg(long)]
        create: bool,
        /// Only while the lock NAME is held under this token
        #[arg(long, value_name = "NAME:TOKEN")]
        fence: Option<Fence>,
    },
}

/// Store a value under a key, and print the key's new revision
///
/// The value is stored as the bytes that it is; with --json-value as JSON, which typed programs can read.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar kv put settings color blue --create
  bursar kv put settings limits '{\"cpu\": 2}' --json-value
  bursar kv put settings photo - < photo.jpg
  bursar kv put locks leader \"$(hostname)\" --if-absent --ttl 30s")]
struct Put {
    /// The key-value store
    #[arg(value_parser = name)]
    name: String,
    /// The key
    key: String,
    #[command(flatten)]
    value: payload::Given,
    /// Delete the key after this
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    ttl: Option<Duration>,
    /// Only if the key does not exist
    #[arg(long, conflicts_with = "if_revision")]
    if_absent: bool,
    /// Only if the key was last changed by this revision
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
    /// Make the store if it does not exist
    #[arg(long)]
    create: bool,
    /// Only while the lock NAME is held under this token
    #[arg(long, value_name = "NAME:TOKEN")]
    fence: Option<Fence>,
}

/// Print changes as they happen, until interrupted
///
/// With --since start, and after more changes than the store keeps for who lags, a line `reset` comes first, then the keys as they
/// are, then a line `synced`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar kv watch settings
  bursar kv watch settings color --values | while read -r color; do ./repaint \"$color\"; done
  bursar kv watch settings --prefix color/ --since start --json
  bursar kv watch settings ready -n 1 --values")]
struct Watch {
    /// The key-value store
    #[arg(value_parser = name)]
    name: String,
    /// Only this key
    #[arg(conflicts_with = "prefix")]
    key: Option<String>,
    /// Only keys that begin so
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// now: what changes from here on; start: first all that is there; a revision: what changed after it
    #[arg(long, alias = "from", default_value = "now", value_parser = since)]
    since: Since,
    /// End after so many changes, or values
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    number: Option<u64>,
    /// Print the values only, one a line: nothing for a key that goes
    #[arg(long, conflicts_with = "json")]
    values: bool,
}

fn since(text: &str) -> Result<Since, Expected> {
    match (text, text.parse()) {
        ("now", _) => Ok(Since::Now),
        ("start", _) => Ok(Since::Start),
        (_, Ok(revision)) => Ok(Since::Revision(revision)),
        _ => Err(Expected("now, start, or the number of a revision".into())),
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| match args.verb {
        Verb::Get { name, key, raw } => get(&open(manager, &name, false).await?, &name, &key, raw, output).await,
        Verb::Put(put) => put.run(manager, output).await,
        Verb::Delete { name, key, fence } => {
            let kv = fenced(open(manager, &name, false).await?, fence.as_ref());
            match kv.delete(&key).await? {
                true => output.result(json!({ "deleted": key }), format_args!("deleted {key}")),
                false => Err(no_such_key("delete", &name, &key)),
            }
        }
        Verb::List { name, prefix } => list(&open(manager, &name, false).await?, &prefix, output).await,
        Verb::Watch(watch) => watch.run(manager, output).await,
        Verb::Incr { name, key, by, create, fence } => {
            let value = fenced(open(manager, &name, create).await?, fence.as_ref()).incr(&key, by).await?;
            output.result(json!({ "key": key, "value": value }), value)
        }
    })
}

async fn open(manager: &Manager, name: &str, create: bool) -> Result<Kv<Raw>, Failure> {
    super::open(create, async |create| match create {
        true => manager.raw_kv(name).open_or_create().await,
        false => manager.raw_kv(name).open().await,
    })
    .await
}

fn fenced(kv: Kv<Raw>, fence: Option<&Fence>) -> Kv<Raw> {
    fence.map_or(kv.clone(), |fence| kv.fenced(fence))
}

fn no_such_key(verb: &str, name: &str, key: &str) -> Failure {
    Failure::new(Exit::Absent, format!("kv {verb} {name}: no key {key:?}: see `bursar kv list {name}`"))
}

async fn get(kv: &Kv<Raw>, name: &str, key: &str, raw: bool, output: &mut Output) -> Result<(), Failure> {
    let entry = kv.entry(key).await?.ok_or_else(|| no_such_key("get", name, key))?;
    match (output.json, raw) {
        (true, _) => output.document(&document(&entry)),
        (_, true) => output.bytes(&entry.value.data),
        _ => output.bytes(&payload::shown(&entry.value)).and_then(|()| output.line("")),
    }
}

impl Put {
    async fn run(self, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
        let value = self.value.read("kv put").await?;
        let condition = match (self.if_absent, self.if_revision) {
            (true, _) => Some(Condition::Absent),
            (_, Some(revision)) => Some(Condition::Revision(revision)),
            _ => None,
        };
        let options = PutOptions { ttl: self.ttl.unwrap_or_default(), condition, ..PutOptions::default() };
        let kv = fenced(open(manager, &self.name, self.create).await?, self.fence.as_ref());
        let revision = kv.put_with(&self.key, value, &options).await?;
        output.result(json!({ "key": self.key, "revision": revision }), format_args!("revision {revision}"))
    }
}

async fn list(kv: &Kv<Raw>, prefix: &str, output: &mut Output) -> Result<(), Failure> {
    let entries = kv.scan(prefix).await?;
    if output.json {
        return entries.iter().try_for_each(|entry| output.document(&document(entry)));
    }
    let row = |entry: &Entry<Raw>| {
        let ttl = entry.ttl_left.map_or_else(|| "-".to_owned(), |left| span(left.as_millis() as u64));
        vec![output::cell(&entry.key), entry.modify_revision.to_string(), ttl, payload::cell(&entry.value)]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    output.table(&["KEY", "REVISION", "TTL", "VALUE"], &rows)
}

impl Watch {
    /// What came together is handed on together.
    async fn run(self, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
        let kv = open(manager, &self.name, false).await?;
        let mut watch = match &self.key {
            Some(key) => kv.watch_key(key, self.since).await?,
            None => kv.watch(&self.prefix, self.since).await?,
        };
        let mut unread = pin!(output::unread());
        let mut left = self.number.unwrap_or(u64::MAX);
        while left > 0 {
            let mut next = tokio::select! {
                biased;
                () = &mut unread => return Ok(()),
                event = watch.next() => Some(event),
            };
            while let Some(event) = next.take().filter(|_| left > 0) {
                left -= u64::from(self.print(&event?, output)?);
                next = watch.try_next();
            }
            output.flush()?;
        }
        Ok(())
    }

    /// Says whether the event counts.
    fn print(&self, event: &WatchEvent<Raw>, output: &mut Output) -> Result<bool, Failure> {
        match event {
            WatchEvent::Put { value, .. } if self.values => {
                output.bytes(&payload::shown(value))?;
                output.line("")?;
            }
            _ if self.values => return Ok(false),
            event if output.json => output.document(&event_document(event))?,
            event => output.line(event_line(event))?,
        }
        Ok(matches!(event, WatchEvent::Put { .. } | WatchEvent::Delete { .. }))
    }
}

fn document(entry: &Entry<Raw>) -> Value {
    let mut document = payload::object(&entry.value);
    document.extend([
        ("key".to_owned(), json!(entry.key)),
        ("create_revision".to_owned(), json!(entry.create_revision)),
        ("revision".to_owned(), json!(entry.modify_revision)),
        ("ttl_left_ms".to_owned(), json!(entry.ttl_left.map(|left| left.as_millis() as u64))),
    ]);
    document.into()
}

fn event_document(event: &WatchEvent<Raw>) -> Value {
    match event {
        WatchEvent::Put { key, value, revision } => {
            let mut document = payload::object(value);
            document.extend([
                ("event".to_owned(), json!("put")),
                ("key".to_owned(), json!(key)),
                ("revision".to_owned(), json!(revision)),
            ]);
            document.into()
        }
        WatchEvent::Delete { key, revision, cause } => {
            json!({ "event": "delete", "key": key, "revision": revision, "cause": cause })
        }
        WatchEvent::Reset => json!({ "event": "reset" }),
        WatchEvent::Synced { revision } => json!({ "event": "synced", "revision": revision }),
    }
}

fn event_line(event: &WatchEvent<Raw>) -> String {
    match event {
        WatchEvent::Put { key, value, revision } => {
            format!("{revision} put {} {}", output::cell(key), payload::cell(value))
        }
        WatchEvent::Delete { key, revision, cause } => format!("{revision} delete {} ({cause})", output::cell(key)),
        WatchEvent::Reset => "reset: what follows is the whole store".into(),
        WatchEvent::Synced { revision } => format!("{revision} synced"),
    }
}
