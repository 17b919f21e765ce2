//! `bursar why`: one sentence on what an object is up to, who holds it, and who waits.

use super::{
    Client, Signals,
    failure::Failure,
    name,
    output::cell,
    waits::{circle, document, since},
};
use bursar::{
    Described, Manager,
    waits::{Holding, Party, Waiting, Waits},
};
use serde_json::json;
use std::time::SystemTime;

/// Say in one sentence what an object waits for: who holds it, and who waits
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar why deploy\n  bursar why jobs --json | jq -r .why")]
pub struct Args {
    #[command(flatten)]
    client: Client,
    /// The object
    #[arg(value_parser = name)]
    name: String,
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| {
        let object = manager.objects().describe(&args.name).await?;
        let waits = manager.objects().waits_of(&args.name).await?;
        let state = state(manager, &object).await?;
        let why = sentence(&object, &state, &waits, SystemTime::now());
        let mut all = document(&waits);
        all["object"] = json!(object.name);
        all["kind"] = json!(object.kind);
        all["figures"] = json!(object.figures);
        all["why"] = json!(why);
        output.result(all, why)
    })
}

fn sentence(object: &Described, state: &str, waits: &Waits, now: SystemTime) -> String {
    let held = holders(&waits.holdings, now);
    let parts = [state.to_owned(), held].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let circles = waits.cycles.iter().map(|cycle| format!("; in a circle: {}", circle(cycle))).collect::<String>();
    let waiting = waiters(&waits.waits, !waits.holdings.is_empty(), now);
    format!("{} ({}) {parts}; {waiting}{circles}", object.name, object.kind)
}

/// What an object of this kind is, as far as it does not follow from who holds it.
async fn state(manager: &Manager, object: &Described) -> Result<String, Failure> {
    let figure = |name: &str| object.figures.iter().find(|(figure, _)| *figure == name).map_or(0, |(_, number)| *number);
    let free = |is_free: bool| if is_free { "is free".to_owned() } else { String::new() };
    Ok(match object.kind.as_str() {
        "queue" => queue(manager, &object.name).await?,
        "lock" => free(figure("depth") == 0),
        "condition" => match (figure("held"), figure("waiters")) {
            (0, 0) => "is free".into(),
            (0, waiters) => format!("is free, and to be notified wait {waiters}"),
            (_, 0) => String::new(),
            (_, waiters) => format!("has {waiters} who wait to be notified"),
        },
        "rwlock" => free(figure("readers") + figure("writers") == 0),
        "semaphore" => format!("has {}", counted(figure("available"), "permit available", "permits available")),
        "event" if figure("is_set") == 1 => format!("is set (version {})", figure("version")),
        "event" => format!("is clear (version {})", figure("version")),
        "latch" if figure("left") == 0 => "is open".into(),
        "latch" => format!("is closed until it is counted down {}", counted(figure("left"), "more time", "more times")),
        "barrier" if figure("broken") == 1 => "is broken until it is reset".into(),
        "barrier" => {
            let state = manager.barrier(&object.name).open().await?.state().await?;
            format!("has {} of the {} parties that it waits for", state.waiting, state.parties)
        }
        "counter" => format!("holds {}", manager.counter(&object.name).open().await?.get().await?),
        "kv" => format!("has {}", counted(figure("keys"), "key", "keys")),
        "list" => format!("has {}", counted(figure("len"), "value", "values")),
        "array" => format!("has {}", counted(figure("length"), "number", "numbers")),
        "channel" => format!("has {}, {}", end(&figure, 'a'), end(&figure, 'b')),
        "topic" => format!(
            "has {} and {}, {} buffered for them and {} missed by them",
            counted(figure("subscriptions"), "subscription", "subscriptions"),
            counted(figure("groups"), "group", "groups"),
            counted(figure("buffered"), "message", "messages"),
            figure("missed"),
        ),
        "object" if figure("providers") == 0 => "is served by nobody".into(),
        "object" => format!(
            "is served by {}: {} running of the {} that they take, {} waiting",
            counted(figure("providers"), "provider", "providers"),
            counted(figure("running"), "call", "calls"),
            figure("capacity"),
            figure("waiting"),
        ),
        kind => format!("is a kind of object that this program does not know: {kind}"),
    })
}

/// `2 messages waiting and 1 receiver at end a`.
fn end(figure: &impl Fn(&str) -> u64, end: char) -> String {
    let of = |what: &str| figure(&format!("{end}_{what}"));
    if of("closed") == 1 {
        return format!("its end {end} closed");
    }
    let given = if of("given") > 0 { format!(", {} given", of("given")) } else { String::new() };
    let messages = counted(of("waiting"), "message", "messages");
    format!("{messages} waiting{given} and {} at end {end}", counted(of("receivers"), "receiver", "receivers"))
}

async fn queue(manager: &Manager, name: &str) -> Result<String, Failure> {
    let stats = manager.raw_queue(name).open().await?.stats().await?;
    let mut parts = vec![format!("has {} ready", counted(stats.ready, "item", "items"))];
    let more = [(stats.delayed, "delayed"), (stats.leased, "in work"), (stats.parked, "parked")];
    parts.extend(more.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    parts.extend(stats.paused.then(|| "is paused".to_owned()));
    parts.extend(stats.closed.then(|| "is closed".to_owned()));
    Ok(parts.join(", "))
}

/// `is held by session 7 ("worker", pid 4242 on host) for 3m 20s`; of several the one who holds longest, and how many others.
fn holders(holdings: &[Holding], now: SystemTime) -> String {
    let Some(first) = holdings.first() else { return String::new() };
    let is = match first.what.as_str() {
        "the lock" => "is held by".to_owned(),
        "the lock, to read" => "is read by".to_owned(),
        "the lock, to write" => "is written by".to_owned(),
        what => format!("with {what} held by"),
    };
    let time = first.since.map_or(String::new(), |then| format!(" for {}", since(then, now)));
    let others = match holdings.len() - 1 {
        0 => String::new(),
        others => format!(" and by {}", counted(others as u64, "other", "others")),
    };
    format!("{is} {}{time}{others}", holder(&first.who))
}

fn holder(party: &Party) -> String {
    let Party { session, label, pid, host, .. } = party;
    match pid {
        0 => format!("session {session}"),
        pid => format!("session {session} ({:?}, pid {pid} on {})", cell(label), cell(host)),
    }
}

/// `2 others wait, "cron" (pid 17) the longest, for 12s`.
fn waiters(waits: &[Waiting], others: bool, now: SystemTime) -> String {
    let Some(first) = waits.first() else { return "nobody waits".into() };
    let time = since(first.since, now);
    let who = match first.who.pid {
        0 => format!("session {}", first.who.session),
        pid => format!("{:?} (pid {pid})", cell(&first.who.label)),
    };
    match (waits.len(), others) {
        (1, true) => format!("1 other waits, {who}, for {time}"),
        (1, false) => format!("1 waits, {who}, for {time}"),
        (count, true) => format!("{count} others wait, {who} the longest, for {time}"),
        (count, false) => format!("{count} wait, {who} the longest, for {time}"),
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_many() {
        assert_eq!([counted(0, "item", "items"), counted(1, "item", "items")], ["0 items", "1 item"]);
        assert_eq!(waiters(&[], true, SystemTime::UNIX_EPOCH), "nobody waits");
        assert_eq!(holders(&[], SystemTime::UNIX_EPOCH), "");
    }
}
