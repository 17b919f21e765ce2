//! `bursar channel`: two ends that send and receive. Which process has which end is what they agree on.

mod chat;
mod receive;

use super::{
    Client, Signals,
    failure::Failure,
    messages::{self, Sent, Shown},
    name,
    output::Output,
    payload,
};
use crate::config::{self, Expected};
use bursar::{
    Channel, Manager, Raw,
    channel::{EndStats, Side, Stats},
};
use bursar_proto::Wait;
use serde_json::{Value, json};

/// Send and receive messages between two ends
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    Send(Send),
    Receive(receive::Args),
    Chat(chat::Args),
    Ask(Ask),
    /// Close an end for ever: it sends and receives no more
    ///
    /// The other end receives what was sent before, and is then told.
    #[command(after_help = "Example:\n  bursar channel close talk --at a")]
    Close {
        /// The channel
        #[arg(value_parser = name)]
        name: String,
        /// The end
        #[arg(long, value_name = "a|b", value_parser = side)]
        at: Side,
    },
    /// Show the two ends in numbers
    #[command(after_help = "Example:\n  bursar channel stats talk --json | jq .b.waiting")]
    Stats {
        /// The channel
        #[arg(value_parser = name)]
        name: String,
    },
}

/// Send messages: arguments, or one for each line of a file or of stdin
///
/// They wait at the broker until somebody at the other end has received them.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar channel send talk --from a hello --create
  tail -f log | bursar channel send talk --from a --header kind=log
  seq 1000 | bursar channel send talk --from a --close
  bursar channel send talk --from b --json-messages '{\"task\": 7}' --wait 5s")]
struct Send {
    /// The channel
    #[arg(value_parser = name)]
    name: String,
    /// The end that sends: the other one receives
    #[arg(long, value_name = "a|b", value_parser = side)]
    from: Side,
    #[command(flatten)]
    given: messages::Given,
    /// Then close this end: who receives at the other one gets what was sent, and learns that no more will come
    #[arg(long)]
    close: bool,
    /// Make the channel if it does not exist
    #[arg(long)]
    create: bool,
}

/// Send a question, and print the answer
///
/// It fails at once when nobody receives at the other end.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar channel ask talk --from a 'how many?' --wait 5s
  bursar channel ask talk --from a '{\"sum\": [1, 2]}' --json-value --all")]
struct Ask {
    /// The channel
    #[arg(value_parser = name)]
    name: String,
    /// The end that asks
    #[arg(long, value_name = "a|b", value_parser = side)]
    from: Side,
    #[command(flatten)]
    question: payload::Given,
    /// How long to wait for the answer (with --all: for each next one): a duration, 0 or forever
    #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
    wait: Wait,
    /// Print every answer until the last, not only the first
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    shown: Shown,
}

fn side(text: &str) -> Result<Side, Expected> {
    match text {
        "a" => Ok(Side::A),
        "b" => Ok(Side::B),
        _ => Err(Expected("a or b".into())),
    }
}

fn letter(side: Side) -> char {
    match side {
        Side::A => 'a',
        Side::B => 'b',
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    match &args.verb {
        Verb::Send(send) => send.given.check("channel send")?,
        Verb::Receive(receive) => receive.check()?,
        _ => {}
    }
    super::session(&args.client, Signals::End, async |manager, output| match args.verb {
        Verb::Send(send) => send.run(manager, output).await,
        Verb::Receive(receive) => receive.run(manager, output).await,
        Verb::Chat(chat) => chat.run(manager, output).await,
        Verb::Ask(ask) => ask.run(manager, output).await,
        Verb::Close { name, at } => {
            let dropped = open(manager, &name, false).await?.end(at).close().await?;
            let (end, document) = (letter(at), json!({ "closed": letter(at), "dropped": dropped }));
            output.result(document, format_args!("closed end {end} of {name}, {dropped} messages for it dropped"))
        }
        Verb::Stats { name } => stats(open(manager, &name, false).await?.stats().await?, output),
    })
}

async fn open(manager: &Manager, name: &str, create: bool) -> Result<Channel<Raw>, Failure> {
    super::open(create, async |create| match create {
        true => manager.raw_channel(name).open_or_create().await,
        false => manager.raw_channel(name).open().await,
    })
    .await
}

impl Send {
    async fn run(self, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
        let end = open(manager, &self.name, self.create).await?.end(self.from);
        let Sent { count, last } = self.given.send(&self.name, async |message, wait| end.send_with(message, wait).await).await?;
        if self.close {
            end.close().await?;
        }
        match last {
            last if output.json => output.document(&json!({ "sent": count, "position": last })),
            Some(position) if count == 1 => output.line(format_args!("sent message {position}")),
            _ => output.line(format_args!("sent {count} messages")),
        }
    }
}

impl Ask {
    async fn run(self, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
        let end = open(manager, &self.name, false).await?.end(self.from);
        let question = self.question.read("channel ask").await?;
        match self.all {
            true => self.shown.print_answers(end.ask_many(question).await?, self.wait, output).await,
            false => self.shown.print(&end.ask(question, self.wait).await?, "", output),
        }
    }
}

fn stats(stats: Stats, output: &mut Output) -> Result<(), Failure> {
    let (a, b) = (figures(&stats.a), figures(&stats.b));
    if output.json {
        let document = |figures: [(&str, Value); 8]| figures.into_iter().collect::<Value>();
        return output.document(&json!({ "a": document(a), "b": document(b) }));
    }
    let rows = a.iter().zip(&b).map(|((name, a), (_, b))| vec![(*name).to_owned(), a.to_string(), b.to_string()]);
    output.table(&["FIGURE", "A", "B"], &rows.collect::<Vec<_>>())
}

fn figures(stats: &EndStats) -> [(&'static str, Value); 8] {
    [
        ("closed", stats.closed.into()),
        ("waiting", stats.waiting.into()),
        ("given", stats.given.into()),
        ("bytes", stats.bytes.into()),
        ("active", stats.active.into()),
        ("passive", stats.passive.into()),
        ("received", stats.received.into()),
        ("redelivered", stats.redelivered.into()),
    ]
}
