//! Messages on the command line, as channels and topics have them: those to be sent come from arguments, a file or stdin; those that
//! come are printed. What could not be written for the reader of stdout was not received: it goes to the next receiver.

use super::{
    failure::{Exit, Failure},
    input::{self, Separator, Source},
    output::{self, Output, unix_ms},
    payload,
    progress::Progress,
};
use crate::config::{self, Expected};
use bursar::{Answers, Fault, Message, Raw, Received, topic::Event};
use bursar_proto::Wait;
use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{io::IsTerminal, path::PathBuf, pin::pin};

/// What is to be sent.
#[derive(clap::Args, Debug)]
pub struct Given {
    /// The messages; none or - reads stdin
    #[arg(value_name = "MESSAGE")]
    messages: Vec<String>,
    /// Read messages from a file
    #[arg(short, long, value_name = "PATH", conflicts_with = "messages")]
    file: Option<PathBuf>,
    /// Messages end with a zero byte instead of a newline
    #[arg(short = '0', long)]
    null: bool,
    /// The whole file or all of stdin is one message
    #[arg(long, conflicts_with = "null")]
    whole: bool,
    #[command(flatten)]
    form: Form,
    /// How long each message waits for room: a duration, 0 or forever
    #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
    wait: Wait,
    /// Fail where nobody would receive the message now, instead of keeping it for later
    #[arg(long)]
    must_be_heard: bool,
}

/// How a message is sent.
#[derive(clap::Args, Debug)]
pub struct Form {
    /// Messages are JSON, which typed programs can read
    #[arg(long)]
    json_messages: bool,
    /// Text beside each message, by which receivers can choose; may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
}

/// Messages that are under way together: calls that are made at once travel in one frame.
const TOGETHER_MAX: usize = 512;

/// What became of messages: how many were sent, and what the broker said of the last.
pub struct Sent<P> {
    pub count: u64,
    pub last: Option<P>,
}

/// The header that an argument names.
pub fn header(text: &str) -> Result<(String, String), Expected> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| Expected("NAME=VALUE".into()))
}

impl Form {
    fn message(&self, data: Bytes) -> Result<Message<Raw>, Failure> {
        let message = Message::new(payload::of(data, self.json_messages)?);
        Ok(self.headers.iter().fold(message, |message, (name, value)| message.header(name, value)))
    }

    /// The lines of stdin, each sent as soon as it is there.
    pub async fn send_lines<P>(&self, send: impl AsyncFn(Message<Raw>) -> bursar::Result<P>) -> Result<(), Failure> {
        let (input, _) = Source::Stdin.open()?;
        let mut lines = input::items(&Source::Stdin, input, Separator::Byte(b'\n'));
        while let Some(line) = lines.recv().await {
            send(self.message(line?)?).await?;
        }
        Ok(())
    }
}

impl Given {
    /// What can be found wrong before anybody connects. `verb` is who asks.
    pub fn check(&self, verb: &str) -> Result<(), Failure> {
        if self.messages.is_empty() && self.file.is_none() && std::io::stdin().is_terminal() {
            return Err(Failure::usage(format!("{verb}: nothing to send: name messages, or - to type them, one on each line")));
        }
        Ok(())
    }

    /// Sends all of them, in order.
    pub async fn send<P>(
        self,
        to: &str,
        send: impl AsyncFn(Message<Raw>, Wait) -> bursar::Result<P>,
    ) -> Result<Sent<P>, Failure> {
        let mut sent = Sent { count: 0, last: None };
        match self.send_to(to, &send, &mut sent).await {
            Ok(()) => Ok(sent),
            Err(failure) if sent.count == 0 => Err(failure),
            Err(failure) => Err(failure.context(format!("{} messages were sent, others not", sent.count))),
        }
    }

    async fn send_to<P>(
        &self,
        to: &str,
        send: &impl AsyncFn(Message<Raw>, Wait) -> bursar::Result<P>,
        sent: &mut Sent<P>,
    ) -> Result<(), Failure> {
        let Some(source) = Source::of(self.file.as_ref(), &self.messages) else {
            for messages in self.messages.chunks(self.together_max()) {
                self.together(messages.iter().cloned().map(Bytes::from).collect(), send, sent).await?;
            }
            return Ok(());
        };
        let (input, size) = source.open()?;
        let mut progress = Progress::new(to, !source.is_typed(), size);
        let mut items = input::items(&source, input, Separator::of(self.whole, self.null));
        while let Some((messages, failure)) = input::batch(&mut items, self.together_max()).await {
            let (count, bytes) = (messages.len(), messages.iter().map(Bytes::len).sum());
            self.together(messages, send, sent).await?;
            progress.add(count, bytes);
            failure.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// What may be refused is sent alone: nothing that is behind it overtakes it.
    fn together_max(&self) -> usize {
        if self.wait == Wait::Forever && !self.must_be_heard { TOGETHER_MAX } else { 1 }
    }

    /// Calls of one session on one object are applied in the order in which they are made: so are the messages.
    async fn together<P>(
        &self,
        messages: Vec<Bytes>,
        send: &impl AsyncFn(Message<Raw>, Wait) -> bursar::Result<P>,
        sent: &mut Sent<P>,
    ) -> Result<(), Failure> {
        let message =
            |data| self.form.message(data).map(|message| if self.must_be_heard { message.must_be_heard() } else { message });
        let messages = messages.into_iter().map(message).collect::<Result<Vec<_>, Failure>>()?;
        let mut failed = None;
        for outcome in join_all(messages.into_iter().map(|message| send(message, self.wait))).await {
            match outcome {
                Ok(position) => *sent = Sent { count: sent.count + 1, last: Some(position) },
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), |error| Err(refused(error)))
    }
}

fn refused(error: bursar::Error) -> Failure {
    let no_room = matches!(error.fault(), Some(Fault::NoRoom { .. }));
    let Failure { message, exit } = error.into();
    match no_room {
        true => Failure::new(exit, format!("{message}; wait longer for room with --wait")),
        false => Failure::new(exit, message),
    }
}

/// How messages are printed.
#[derive(clap::Args, Debug)]
pub struct Shown {
    /// End printed messages with a zero byte instead of a newline
    #[arg(short = '0', long)]
    null: bool,
    /// Print the bytes as they are stored, MessagePack too
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

/// How many messages are printed, and how long the next one is waited for.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Until {
    /// End after so many messages; without it: go on
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    number: Option<u64>,
    /// How long to wait for each next message: a duration, 0 or forever
    #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
    pub wait: Wait,
}

impl Until {
    /// Until the source ends.
    pub const ITS_END: Until = Until { number: None, wait: Wait::Forever };

    /// No more comes. A closed source is the end, and so is a wait that is over behind a message; asked for a number, fewer are a
    /// failure.
    pub fn over(&self, why: Failure, printed: u64) -> Result<(), Failure> {
        let is_end = match why.exit {
            Exit::Conflict => true,
            Exit::NotNow => printed > 0,
            _ => false,
        };
        if is_end && self.number.is_none() { Ok(()) } else { Err(why) }
    }
}

/// Where messages come from. Asking for the next one is being done with the one before.
pub trait Messages {
    /// The next one. A failure of [`Exit::Conflict`]: it is closed, and no more will come; of [`Exit::NotNow`]: none came in time.
    async fn next(&mut self, wait: Wait) -> Result<Event<Raw>, Failure>;
}

impl Shown {
    /// The message, and handed to the reader.
    pub fn print(&self, message: &Received<Raw>, prefix: &str, output: &mut Output) -> Result<(), Failure> {
        if output.json {
            output.document(&document(message))?;
            return output.flush();
        }
        output.bytes(prefix.as_bytes())?;
        match self.raw {
            true => output.bytes(&message.data)?,
            false => output.bytes(&payload::shown(message))?,
        }
        output.bytes(if self.null { b"\0" } else { b"\n" })?;
        output.flush()
    }

    /// Every answer, until the last; each may take so long.
    pub async fn print_answers(&self, mut answers: Answers<Raw>, wait: Wait, output: &mut Output) -> Result<(), Failure> {
        while let Some(answer) = answers.next_within(wait).await? {
            self.print(&answer, "", output)?;
        }
        Ok(())
    }
}

/// Prints what comes, until enough came, nothing more comes, or nobody reads it; `prefix` goes in front of each.
pub async fn print_all(
    mut source: impl Messages,
    until: Until,
    shown: &Shown,
    prefix: impl Fn(&Received<Raw>) -> String,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut unread = pin!(output::unread());
    let (mut printed, mut last, mut outcome) = (0, None, Ok(()));
    while until.number.is_none_or(|number| printed < number) {
        let event = tokio::select! {
            biased;
            () = &mut unread => break,
            event = source.next(until.wait) => event,
        };
        match event {
            Ok(Event::Message(message)) => {
                if let Err(failure) = shown.print(&message, &prefix(&message), output) {
                    // A source that is dropped is done with what it gave. This one is not: it goes with its session, right after this.
                    std::mem::forget(source);
                    return Err(failure);
                }
                (printed, last) = (printed + 1, Some(message));
            }
            Ok(Event::Lagged { missed }) => tell_missed(missed, output)?,
            Err(why) => {
                outcome = until.over(why, printed);
                break;
            }
        }
    }
    if let Some(message) = last {
        let done = message.done().await;
        done.map_err(|error| Failure::from(error).context("a message was printed, but may come again"))?;
    }
    outcome
}

fn tell_missed(missed: u64, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        output.document(&json!({ "missed": missed }))?;
        return output.flush();
    }
    eprintln!("bursar: missed {missed} {}", if missed == 1 { "message" } else { "messages" });
    Ok(())
}

fn document(message: &Received<Raw>) -> Value {
    let mut document = payload::object(message);
    document.extend([
        ("position".to_owned(), json!(message.position())),
        ("sent_ms".to_owned(), json!(unix_ms(message.sent_at()))),
        ("session".to_owned(), json!(message.session())),
        ("redelivered".to_owned(), json!(message.is_redelivered())),
        ("expects_answer".to_owned(), json!(message.expects_answer())),
    ]);
    if !message.subject().is_empty() {
        document.insert("subject".into(), json!(message.subject()));
    }
    if !message.headers().is_empty() {
        document.insert("headers".into(), json!(message.headers()));
    }
    document.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_messages_than_asked_for_are_a_failure() {
        let code = |number, exit, printed| {
            let over = Until { number, ..Until::ITS_END }.over(Failure::new(exit, ""), printed);
            over.map_or_else(|failure| failure.exit, |()| Exit::Ok)
        };
        assert_eq!([code(None, Exit::Conflict, 0), code(Some(3), Exit::Conflict, 2)], [Exit::Ok, Exit::Conflict]);
        assert_eq!([code(None, Exit::NotNow, 1), code(None, Exit::NotNow, 0)], [Exit::Ok, Exit::NotNow]);
        assert_eq!([code(Some(3), Exit::NotNow, 2), code(None, Exit::Lost, 2)], [Exit::NotNow, Exit::Lost]);
    }

    #[test]
    fn a_header_has_a_name_and_may_be_empty() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(header("kind=a=b"), pair("kind", "a=b"));
        assert_eq!(header("kind="), pair("kind", ""));
        assert!(header("kind").is_err() && header("=x").is_err());
    }
}
