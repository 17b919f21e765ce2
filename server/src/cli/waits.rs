//! `bursar waits`: who waits for what, held by whom, and who waits for each other.

use super::{
    Client, Signals,
    failure::Failure,
    name,
    output::{Output, cell, span, unix_ms},
};
use bursar::waits::{Holding, Party, Waiting, Waits};
use serde_json::{Value, json};
use std::{collections::HashMap, time::SystemTime};

/// Show who waits for what, and who holds it
///
/// A circle is a chain of sessions that wait for each other: none of them goes on by itself.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar waits\n  bursar waits deploy\n  bursar waits --json | jq .cycles")]
pub struct Args {
    #[command(flatten)]
    client: Client,
    /// Only those who wait for this object; without it: all
    #[arg(value_parser = name)]
    name: Option<String>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| {
        let waits = match &args.name {
            Some(name) => manager.objects().waits_of(name).await?,
            None => manager.objects().waits().await?,
        };
        match output.json {
            true => output.document(&document(&waits)),
            false => people(&waits, SystemTime::now(), output),
        }
    })
}

fn people(waits: &Waits, now: SystemTime, output: &mut Output) -> Result<(), Failure> {
    let mut holdings: HashMap<&str, Vec<&Holding>> = HashMap::new();
    for holding in &waits.holdings {
        holdings.entry(&holding.object).or_default().push(holding);
    }
    let row = |wait: &Waiting| {
        let held_by = holdings.get(wait.object.as_str()).map_or_else(|| "-".into(), |held| holders(held, now));
        vec![who(&wait.who), wait.what.clone(), wait.object.clone(), since(wait.since, now), held_by]
    };
    let rows: Vec<_> = waits.waits.iter().map(row).collect();
    output.table(&["WHO", "WAITS", "OBJECT", "FOR", "HELD BY"], &rows)?;
    if waits.more {
        output.line("... and more, which are not shown")?;
    }
    waits.cycles.iter().try_for_each(|cycle| output.line(format_args!("circle: {}", circle(cycle))))
}

/// The one who holds it longest, and how many others do.
fn holders(held: &[&Holding], now: SystemTime) -> String {
    let first = held[0];
    let since = first.since.map_or(String::new(), |then| format!(", since {}", since(then, now)));
    let others = if held.len() > 1 { format!(" (and {} others)", held.len() - 1) } else { String::new() };
    format!("{}{since}{others}", who(&first.who))
}

/// Each waits for what the next one holds, and the last for what the first one does.
pub(super) fn circle(cycle: &[Waiting]) -> String {
    let next = |at: usize| &cycle[(at + 1) % cycle.len()].who;
    let part =
        |(at, wait): (usize, &Waiting)| format!("{} waits for {}, which {} holds", who(&wait.who), wait.object, who(next(at)));
    cycle.iter().enumerate().map(part).collect::<Vec<_>>().join("; ")
}

fn who(party: &Party) -> String {
    let session = format!("session {}", party.session);
    let label = if party.label.is_empty() { session } else { cell(&party.label) };
    match party.pid {
        0 => label,
        pid => format!("{label} (pid {pid} on {})", cell(&party.host)),
    }
}

/// How long ago it was, by this host's clock.
pub(super) fn since(then: SystemTime, now: SystemTime) -> String {
    span(now.duration_since(then).unwrap_or_default().as_millis() as u64)
}

pub(super) fn document(waits: &Waits) -> Value {
    let cycle = |cycle: &Vec<Waiting>| cycle.iter().map(waiting).collect::<Value>();
    json!({
        "waits": waits.waits.iter().map(waiting).collect::<Value>(),
        "holdings": waits.holdings.iter().map(holding).collect::<Value>(),
        "cycles": waits.cycles.iter().map(cycle).collect::<Value>(),
        "more": waits.more,
    })
}

fn waiting(wait: &Waiting) -> Value {
    json!({
        "who": party(&wait.who), "object": wait.object, "kind": wait.kind, "what": wait.what,
        "since_ms": unix_ms(wait.since), "deadline_ms": wait.deadline.map(unix_ms),
    })
}

fn holding(holding: &Holding) -> Value {
    json!({
        "who": party(&holding.who), "object": holding.object, "kind": holding.kind, "what": holding.what,
        "since_ms": holding.since.map(unix_ms), "token": holding.token,
    })
}

fn party(party: &Party) -> Value {
    json!({ "session": party.session, "label": party.label, "pid": party.pid, "host": party.host })
}
