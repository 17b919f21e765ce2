//! `bursar queue park`: items that were put aside after too many failures or crashes, or by an operator.

use super::super::{
    failure::{Exit, Failure},
    name,
    output::{Output, cell, escaped, unix_ms, utc},
    payload,
};
use bursar::{
    Fence, Manager, Raw,
    queue::{Parked, Seen},
};
use serde_json::{Value, json};

/// See to parked items: list, retry, drop; or park one
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// List parked items, with why
    #[command(after_help = "Example:\n  bursar queue park list jobs --json | jq .history")]
    List {
        /// The queue
        #[arg(value_parser = name)]
        name: String,
    },
    /// Put parked items back into the queue
    #[command(after_help = "Examples:\n  bursar queue park retry jobs 17 18\n  bursar queue park retry jobs --all")]
    Retry(Chosen),
    /// Drop parked items for good
    #[command(after_help = "Examples:\n  bursar queue park drop jobs 17 18\n  bursar queue park drop jobs --all")]
    Drop(Chosen),
    /// Park queued items that should not be worked on for now
    #[command(after_help = "Example:\n  bursar queue park item jobs 17 --why 'waits for a decision'")]
    Item {
        /// The queue
        #[arg(value_parser = name)]
        name: String,
        /// The items, by their ids
        #[arg(required = true)]
        ids: Vec<u64>,
        /// Kept in the items' history
        #[arg(long, default_value = "by an operator")]
        why: String,
        /// Park only while the lock NAME is held under this token
        #[arg(long, value_name = "NAME:TOKEN")]
        fence: Option<Fence>,
    },
}

#[derive(clap::Args, Debug)]
struct Chosen {
    /// The queue
    #[arg(value_parser = name)]
    name: String,
    /// The items, by their ids
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<u64>,
    /// All parked items
    #[arg(long)]
    all: bool,
}

pub async fn run(args: Args, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
    match args.verb {
        Verb::List { name } => list(manager, &name, output).await,
        Verb::Retry(chosen) => {
            let count = super::open(manager, &chosen.name, false).await?.unpark(&chosen.ids).await?;
            let said = output.result(json!({ "retried": count }), format_args!("{count} items are back in {}", chosen.name));
            said.and_then(|()| all_found(&chosen, count))
        }
        Verb::Drop(chosen) => {
            let count = super::open(manager, &chosen.name, false).await?.discard(&chosen.ids).await?;
            let said =
                output.result(json!({ "dropped": count }), format_args!("dropped {count} parked items of {}", chosen.name));
            said.and_then(|()| all_found(&chosen, count))
        }
        Verb::Item { name, ids, why, fence } => {
            let queue = super::fenced(super::open(manager, &name, false).await?, fence.as_ref());
            let missing = queue.park(&ids, why).await?;
            let count = ids.len() - missing.len();
            output.result(json!({ "parked": count, "not_found": missing }), format_args!("parked {count} items of {name}"))?;
            match missing.as_slice() {
                [] => Ok(()),
                missing => Err(Failure::new(Exit::Absent, format!("queue park item {name}: not queued: {missing:?}"))),
            }
        }
    }
}

fn all_found(chosen: &Chosen, count: u64) -> Result<(), Failure> {
    match chosen.ids.len() as u64 {
        asked if asked > count => {
            let message =
                format!("{} of {asked} items are not parked in {}: see `bursar queue park list`", asked - count, chosen.name);
            Err(Failure::new(Exit::Absent, message))
        }
        _ => Ok(()),
    }
}

async fn list(manager: &Manager, name: &str, output: &mut Output) -> Result<(), Failure> {
    let parked = super::open(manager, name, false).await?.parked().await?;
    if output.json {
        return parked.iter().try_for_each(|parked| output.document(&document(parked)));
    }
    let row = |parked: &Parked<Raw>| {
        let item = &parked.seen;
        vec![
            item.id.to_string(),
            utc(parked.parked_at),
            item.failures.to_string(),
            item.crashes.to_string(),
            cell(&parked.why),
            payload::cell(&item.item),
        ]
    };
    let rows: Vec<_> = parked.iter().map(row).collect();
    output.table(&["ID", "PARKED", "FAILURES", "CRASHES", "WHY", "ITEM"], &rows)?;
    parked.iter().flat_map(|parked| in_full(parked.seen.id, &parked.why)).try_for_each(|line| output.line(line))
}

/// What did not fit into the table: below it, with its own lines.
fn in_full(id: u64, why: &str) -> Vec<String> {
    let lines: Vec<String> = why.lines().map(escaped).collect();
    match lines.as_slice() {
        [] => Vec::new(),
        [line] if *line == cell(why) => Vec::new(),
        lines => [format!("\nitem {id}:")].into_iter().chain(lines.iter().map(|line| format!("  {line}"))).collect(),
    }
}

fn document(parked: &Parked<Raw>) -> Value {
    let mut document = seen(&parked.seen);
    let history = parked.history.iter();
    let history = history
        .map(|event| json!({ "at_ms": unix_ms(event.at), "what": event.what, "session": event.session, "why": event.why }));
    document["why"] = json!(parked.why);
    document["parked_ms"] = json!(unix_ms(parked.parked_at));
    document["history"] = history.collect();
    document
}

/// An item that was looked at and not taken.
pub(super) fn seen(item: &Seen<Raw>) -> Value {
    let mut document = payload::object(&item.item);
    document.extend([
        ("id".to_owned(), json!(item.id)),
        ("priority".to_owned(), json!(item.priority)),
        ("put_ms".to_owned(), json!(unix_ms(item.put_at))),
        ("failures".to_owned(), json!(item.failures)),
        ("crashes".to_owned(), json!(item.crashes)),
    ]);
    if !item.headers.is_empty() {
        document.insert("headers".into(), json!(item.headers));
    }
    document.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_a_cell_cannot_hold_is_shown_below_the_table() {
        assert!(in_full(1, "by an operator").is_empty() && in_full(1, "").is_empty());
        assert_eq!(
            in_full(17, "it died; its last words: a\n\u{1b}[31mb"),
            ["\nitem 17:", "  it died; its last words: a", "  \\u{1b}[31mb"]
        );
    }
}
