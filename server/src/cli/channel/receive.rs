//! `bursar channel receive`: prints what comes. A message is received when it was written: what could not be written, and what a killed
//! program had, goes to the next receiver.
//!
//! A passive receiver is a callback, and callbacks run elsewhere; it hands each message over to be written and returns behind that:
//!
//! ```text
//!   callback: given ──► handed over ────────────────────────────► returns: done with
//!   command:                 └──► written ──(asks for the next)──► told
//!                                    └── not: never returns, and goes with the session
//! ```

use super::super::{
    failure::{Exit, Failure},
    messages::{self, Messages, Shown, Until},
    name,
    output::Output,
};
use bursar::{End, Manager, Raw, Received, Subscription, channel::Side, topic::Event};
use bursar_proto::Wait;
use std::future::pending;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Receive messages and print them, one a line, until the other end is closed
///
/// Of several who receive at one end, each message goes to one; who is --passive gets every one that its headers let through.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar channel receive talk --at b | while read -r line; do ./handle \"$line\"; done
  bursar channel receive talk --at b -n 1 --wait 5s
  bursar channel receive talk --at b --wait 0 --json | jq .value
  bursar channel receive talk --at b --passive --header kind=log")]
pub struct Args {
    /// The channel
    #[arg(value_parser = name)]
    name: String,
    /// The end
    #[arg(long, value_name = "a|b", value_parser = super::side)]
    at: Side,
    #[command(flatten)]
    until: Until,
    /// Beside those who share the messages, not as one of them
    #[arg(long)]
    passive: bool,
    /// Only messages with this header; given several times, with all of them
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = messages::header, requires = "passive")]
    headers: Vec<(String, String)>,
    #[command(flatten)]
    shown: Shown,
    /// Make the channel if it does not exist
    #[arg(long)]
    create: bool,
}

impl Args {
    pub fn check(&self) -> Result<(), Failure> {
        match self.passive && self.until.wait == Wait::Never {
            true => Err(Failure::usage("channel receive: --passive is told what comes, and needs a --wait for it: say how long")),
            false => Ok(()),
        }
    }

    pub async fn run(self, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
        let end = super::open(manager, &self.name, self.create).await?.end(self.at);
        if !self.passive {
            return messages::print_all(Active(end), self.until, &self.shown, nothing, output).await;
        }
        match Passive::start(&end, self.headers).await {
            Ok(passive) => messages::print_all(passive, self.until, &self.shown, nothing, output).await,
            Err(failure) => self.until.over(failure, 0),
        }
    }
}

/// There are no subjects.
pub fn nothing(_: &Received<Raw>) -> String {
    String::new()
}

/// Shares the messages with the others.
pub struct Active(pub End<Raw>);

impl Messages for Active {
    async fn next(&mut self, wait: Wait) -> Result<Event<Raw>, Failure> {
        Ok(Event::Message(self.0.receive_message_within(wait).await?))
    }
}

/// A message, and who is to be told that it was written.
type HandedOver = (Received<Raw>, oneshot::Sender<()>);

/// Gets what it wants, whoever else does.
struct Passive {
    name: String,
    messages: mpsc::Receiver<HandedOver>,
    /// Of the message before.
    written: Option<oneshot::Sender<()>>,
    /// `None`: it has ended.
    subscription: Option<Subscription>,
}

impl Passive {
    async fn start(end: &End<Raw>, headers: Vec<(String, String)>) -> Result<Passive, Failure> {
        let (sender, messages) = mpsc::channel(1);
        let listener = headers.into_iter().fold(end.listener(), |listener, (name, value)| listener.header(name, value));
        let subscription = listener.on_receive_async(move |message| hand_over(sender.clone(), message)).await?;
        Ok(Passive { name: end.name().to_owned(), messages, written: None, subscription: Some(subscription) })
    }

    /// Why no more messages come.
    async fn ended(&mut self) -> Failure {
        let ended = match self.subscription.take() {
            Some(subscription) => subscription.wait().await,
            None => Ok(()),
        };
        match ended {
            Ok(()) => self.failure(Exit::Conflict, "an end of the channel is closed"),
            Err(error) => error.into(),
        }
    }

    fn failure(&self, exit: Exit, why: &str) -> Failure {
        Failure::new(exit, format!("channel.receive {:?}: {why}", self.name))
    }
}

/// Returning is being done with the message: so it returns only when that was written.
async fn hand_over(sender: mpsc::Sender<HandedOver>, message: Received<Raw>) {
    let (written, was_written) = oneshot::channel();
    let handed_over = sender.send((message, written)).await.is_ok();
    if !handed_over || was_written.await.is_err() {
        pending::<()>().await;
    }
}

impl Messages for Passive {
    async fn next(&mut self, wait: Wait) -> Result<Event<Raw>, Failure> {
        if let Some(written) = self.written.take() {
            // Nobody hears it when the subscription has ended.
            let _ = written.send(());
        }
        let next = match wait {
            Wait::For(time) => timeout(time, self.messages.recv()).await,
            _ => Ok(self.messages.recv().await),
        };
        match next {
            Ok(Some((message, written))) => {
                self.written = Some(written);
                Ok(Event::Message(message))
            }
            Ok(None) => Err(self.ended().await),
            Err(_) => Err(self.failure(Exit::NotNow, "timed out: no message")),
        }
    }
}
