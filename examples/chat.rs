//! A chat: a process for each person, who types lines and sees those of all others, and what was said before.
//!
//! ```text
//!   ann ── publish ──► topic "chat", subject ROOM ──► the buffer of each person ── next ──► ann, bob, ...
//!                           └── the last ones are kept for whoever comes
//! ```
//!
//! With the `export` line of a running `bursar serve` pasted into several terminals, in each of them:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin chat -- --name ann
//! ```
//!
//! `/quit` or the end of the input leaves. Who is killed leaves without a word.

use bursar::{
    Manager, Received, Topic,
    topic::{Event, Overload, Subscriber},
};
use bursar_examples::{Access, Outcome, ending};
use clap::Parser;
use serde::{Deserialize, Serialize};
use std::{io, process::ExitCode, thread};
use tokio::sync::mpsc::{Receiver, channel};

/// Talk with everybody in a room; /quit leaves
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
    /// Who you are
    #[arg(long)]
    name: String,
    /// Where: words with dots between them
    #[arg(long, default_value = "lobby")]
    room: String,
    /// How many of the last messages of the room you see first
    #[arg(long, default_value_t = 10)]
    last: u64,
}

/// What somebody did.
#[derive(Serialize, Deserialize)]
struct Note {
    name: String,
    what: What,
}

#[derive(Serialize, Deserialize)]
enum What {
    Came,
    Said(String),
    Left,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ending("chat", run(Args::parse()).await)
}

async fn run(args: Args) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    // Who reads too slowly misses the oldest lines, and slows nobody else.
    let chat: Topic<Note> = manager.topic("chat").overload(Overload::DropOldest).open_or_create().await?;
    let subscriber = chat.subscribe().subject(&args.room).last(args.last).start().await?;
    let person = Person { manager: &manager, chat, args: &args };
    person.talk(subscriber, lines()?).await?;
    manager.close().await;
    Ok(())
}

struct Person<'a> {
    manager: &'a Manager,
    chat: Topic<Note>,
    args: &'a Args,
}

impl Person<'_> {
    async fn talk(&self, mut subscriber: Subscriber<Note>, mut lines: Receiver<String>) -> Outcome {
        self.say(What::Came).await?;
        println!("you are in {}; /quit leaves", self.args.room);
        // All share one order: who has seen itself leave has seen all that was said before.
        let mut left_at = None;
        loop {
            tokio::select! {
                event = subscriber.next() => match event? {
                    Event::Message(message) if left_at.is_some_and(|left| message.position() >= left) => return Ok(()),
                    Event::Message(message) => self.show(&message, subscriber.began_at()),
                    Event::Lagged { missed } => println!("({missed} lines were too quick)"),
                },
                line = lines.recv(), if left_at.is_none() => match line {
                    Some(line) if line.trim() != "/quit" => drop(self.say(What::Said(line)).await?),
                    _ => left_at = Some(self.say(What::Left).await?),
                },
            }
        }
    }

    /// Gives the position of what was said.
    async fn say(&self, what: What) -> bursar::Result<u64> {
        let note = Note { name: self.args.name.clone(), what };
        Ok(self.chat.publish(&self.args.room, note).await?.position)
    }

    /// What one typed oneself is on the screen already.
    fn show(&self, message: &Received<Note>, began_at: u64) {
        if message.session() == self.manager.session_id() {
            return;
        }
        let before = if message.position() <= began_at { "| " } else { "" };
        let Note { name, what } = message.value();
        match what {
            What::Came => println!("{before}{name} has come"),
            What::Said(text) => println!("{before}{name}: {text}"),
            What::Left => println!("{before}{name} has left"),
        }
    }
}

/// What is typed, from a thread of its own: a read of the terminal cannot be given up.
fn lines() -> io::Result<Receiver<String>> {
    let (sender, lines) = channel(1);
    let read = move || io::stdin().lines().map_while(Result::ok).all(|line| sender.blocking_send(line).is_ok());
    thread::Builder::new().name("lines".to_owned()).spawn(read)?;
    Ok(lines)
}
