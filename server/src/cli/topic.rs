//! `bursar topic`: one publishes, any number follow.

use super::{
    Client, Signals,
    failure::{Exit, Failure},
    messages::{self, Messages, Sent, Shown, Until},
    name,
    output::Output,
    payload,
};
use crate::config;
use bursar::{
    Manager, Raw, Received, Topic,
    topic::{Event, Published, Stats, Subscriber, SubscriptionStats},
};
use bursar_proto::Wait;
use serde_json::{Value, json};

/// Publish messages to whoever subscribes, by subject
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    Publish(Publish),
    Subscribe(Subscribe),
    Ask(Ask),
    /// Show the topic in numbers, and how far who follows it is behind
    #[command(after_help = "Example:\n  bursar topic stats news --json | jq .missed")]
    Stats {
        /// The topic
        #[arg(value_parser = name)]
        name: String,
    },
    /// Delete a group with all that is buffered for it; its members are told
    #[command(after_help = "Example:\n  bursar topic delete-group news archive")]
    DeleteGroup {
        /// The topic
        #[arg(value_parser = name)]
        name: String,
        /// The group
        group: String,
    },
}

/// Publish messages about a subject: arguments, or one for each line of a file or of stdin
///
/// A subject is words with dots between them. Topics are made with `bursar objects create topic`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar topic publish news weather.berlin rain
  tail -f log | bursar topic publish logs web.1
  bursar topic publish orders eu.new --json-messages '{\"id\": 7}' --header urgent=yes")]
struct Publish {
    /// The topic
    #[arg(value_parser = name)]
    name: String,
    /// What the messages are about
    subject: String,
    #[command(flatten)]
    given: messages::Given,
}

/// Print messages as they are published, one a line, until interrupted
///
/// What this subscription missed, because it was too slow or came too late, is told on stderr (with --json: in its place).
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar topic subscribe news
  bursar topic subscribe news --subject 'weather.*' --subject 'sport.>' --show-subject
  bursar topic subscribe news --last 10 --wait 0
  bursar topic subscribe orders --group billing | while read -r order; do ./bill \"$order\"; done")]
struct Subscribe {
    /// The topic
    #[arg(value_parser = name)]
    name: String,
    /// Only messages about this: * stands for one word, > at the end for one or more; may be given several times
    #[arg(long = "subject", value_name = "PATTERN")]
    subjects: Vec<String>,
    /// Only messages with this header; given several times, with all of them
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = messages::header)]
    headers: Vec<(String, String)>,
    /// Begin with the last so many that match, of those that are kept
    #[arg(long, value_name = "N", conflicts_with = "after")]
    last: Option<u64>,
    /// Begin behind the message of this position
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    /// Share the messages with all others of this group: each goes to one of them, and to another if that one dies
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    #[command(flatten)]
    until: Until,
    /// Print the subject and a space in front of each message
    #[arg(long, conflicts_with = "json")]
    show_subject: bool,
    #[command(flatten)]
    shown: Shown,
}

/// Publish a question, and print the first answer
///
/// It fails at once when nobody subscribes to the subject.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar topic ask services time.now '' --wait 5s
  bursar topic ask services status who --all --wait 1s")]
struct Ask {
    /// The topic
    #[arg(value_parser = name)]
    name: String,
    /// What the question is about
    subject: String,
    #[command(flatten)]
    question: payload::Given,
    /// How long to wait for the answer (with --all: for each next one): a duration, 0 or forever
    #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
    wait: Wait,
    /// Print every answer until the last of everybody who got the question, not only the first
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    shown: Shown,
}

pub fn run(args: Args) -> Result<(), Failure> {
    if let Verb::Publish(publish) = &args.verb {
        publish.given.check("topic publish")?;
    }
    super::session(&args.client, Signals::End, async |manager, output| match args.verb {
        Verb::Publish(publish) => publish.run(manager, output).await,
        Verb::Subscribe(subscribe) => subscribe.run(manager, output).await,
        Verb::Ask(ask) => ask.run(manager, output).await,
        Verb::Stats { name } => stats(&open(manager, &name).await?.stats().await?, output),
        Verb::DeleteGroup { name, group } => match open(manager, &name).await?.delete_group(&group).await? {
            true => output.result(json!({ "deleted": group }), format_args!("deleted group {group} of {name}")),
            false => Err(Failure::new(
                Exit::Absent,
                format!("topic delete-group {name}: no group {group:?}: see `bursar topic stats {name}`"),
            )),
        },
    })
}

/// There is no `--create`: what happens to who is too slow has to be decided.
async fn open(manager: &Manager, name: &str) -> Result<Topic<Raw>, Failure> {
    Ok(manager.raw_topic(name).open().await?)
}

impl Publish {
    async fn run(self, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
        let topic = open(manager, &self.name).await?;
        let publish = async |message, wait| topic.publish_with(&self.subject, message, wait).await;
        let Sent { count, last } = self.given.send(&self.name, publish).await?;
        match last {
            last if output.json => {
                let (position, receivers) = (last.map(|last| last.position), last.map(|last| last.receivers));
                output.document(&json!({ "published": count, "position": position, "receivers": receivers }))
            }
            Some(Published { position, receivers }) if count == 1 => {
                output.line(format_args!("published message {position}, to {receivers} subscribers"))
            }
            _ => output.line(format_args!("published {count} messages")),
        }
    }
}

impl Messages for Subscriber<Raw> {
    async fn next(&mut self, wait: Wait) -> Result<Event<Raw>, Failure> {
        Ok(self.next_within(wait).await?)
    }
}

impl Subscribe {
    async fn run(self, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
        let topic = open(manager, &self.name).await?;
        let mut wanted = topic.subscribe();
        wanted = self.subjects.into_iter().fold(wanted, |wanted, subject| wanted.subject(subject));
        wanted = self.headers.into_iter().fold(wanted, |wanted, (name, value)| wanted.header(name, value));
        wanted = self.last.into_iter().fold(wanted, |wanted, messages| wanted.last(messages));
        wanted = self.after.into_iter().fold(wanted, |wanted, position| wanted.after(position));
        wanted = self.group.into_iter().fold(wanted, |wanted, group| wanted.group(group));
        let subject = |message: &Received<Raw>| if self.show_subject { format!("{} ", message.subject()) } else { String::new() };
        messages::print_all(wanted.start().await?, self.until, &self.shown, subject, output).await
    }
}

impl Ask {
    async fn run(self, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
        let topic = open(manager, &self.name).await?;
        let question = self.question.read("topic ask").await?;
        match self.all {
            true => self.shown.print_answers(topic.ask_many(&self.subject, question).await?, self.wait, output).await,
            false => self.shown.print(&topic.ask(&self.subject, question, self.wait).await?, "", output),
        }
    }
}

fn stats(stats: &Stats, output: &mut Output) -> Result<(), Failure> {
    let figures = [
        ("position", json!(stats.position)),
        ("first_kept", json!(stats.first_kept)),
        ("kept_bytes", json!(stats.kept_bytes)),
        ("subscriptions", json!(stats.subscription_count)),
        ("missed", json!(stats.missed)),
    ];
    if output.json {
        let mut document: Value = figures.into_iter().collect();
        document["behind"] = stats.subscriptions.iter().map(document_of).collect();
        return output.document(&document);
    }
    let shown = |value: &Value| if value.is_null() { "-".to_owned() } else { value.to_string() };
    output.pairs(&figures.each_ref().map(|(name, value)| (*name, shown(value))))?;
    output.line("")?;
    output.table(
        &["WHO", "SUBJECTS", "BUFFERED", "BYTES", "GIVEN", "MISSED"],
        &stats.subscriptions.iter().map(row).collect::<Vec<_>>(),
    )
}

fn row(behind: &SubscriptionStats) -> Vec<String> {
    let who = match behind.group.as_str() {
        "" => format!("session {}", behind.session),
        group => format!("group {} of {}", super::output::cell(group), behind.members),
    };
    let subjects = if behind.subjects.is_empty() { ">".to_owned() } else { behind.subjects.join(" ") };
    let numbers = [behind.buffered, behind.bytes, behind.given, behind.missed];
    [who, super::output::cell(&subjects)].into_iter().chain(numbers.map(|number| number.to_string())).collect()
}

fn document_of(behind: &SubscriptionStats) -> Value {
    json!({
        "subscription": behind.subscription, "session": behind.session, "group": behind.group, "members": behind.members,
        "subjects": behind.subjects, "buffered": behind.buffered, "bytes": behind.bytes, "given": behind.given,
        "missed": behind.missed,
    })
}
