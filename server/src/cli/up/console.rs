//! The foreground of `bursar up`: what workers write and what happens to them, in one stream, until there is an end.
//!
//! Stdout is written by a task of its own: a terminal that is stopped stops the reading of output, and nothing else.

use super::Supervise;
use crate::cli::{
    Interrupts,
    failure::Failure,
    output,
    processes::{broken, failure, lines::Lines, settle, stopping},
};
use bursar::{
    CallError,
    processes::{Activity, Line, Until},
};
use bursar_proto::Address;
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{LocalBoxFuture, try_join_all},
    stream,
};
use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::AsyncWriteExt,
    sync::{
        Notify,
        mpsc::{self, Receiver, Sender},
    },
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

/// Lines that are formatted and written together, where so many are there.
const BATCH: usize = 256;
/// Batches that wait for stdout; the supervisor keeps the rest.
const BATCHES: usize = 4;
/// Processes have been started before anybody could listen: so much of what they have written and what has happened comes first.
const PAST_LINES: u32 = 10_000;
const PAST_EVENTS: u32 = 1_000;
/// What was written before a process ended is on its way within this program; when nothing comes for so long, that was all.
const QUIET: Duration = Duration::from_millis(50);
/// The code of a process that is left as it is and has not run at all.
const NEVER_RAN: i32 = 1;
/// How long a stdout that takes nothing is waited for at the end.
const STUCK: Duration = Duration::from_secs(1);

/// Why there is nothing more to show.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// A signal came.
    Asked,
    /// Nobody reads.
    Unread,
    /// A worker whose end is everybody's has ended with this code.
    Worker(i32),
    /// The supervisor stopped by itself, or because another client said so; `spent`: who failed too often before.
    Supervisor { spent: Option<String> },
}

pub struct Console {
    lines: Lines,
    /// Who failed too often, last.
    spent: Option<String>,
}

enum News {
    Line(Line),
    Activity(Activity),
}

/// The way down.
struct Stopping<'a> {
    end: End,
    down: LocalBoxFuture<'a, Result<(), Failure>>,
    killed: bool,
    /// Who was said to be waited for.
    told: String,
}

impl Console {
    pub fn new(lines: Lines) -> Console {
        Console { lines, spent: None }
    }

    /// What was found, and where it listens.
    pub async fn greet(&mut self, supervise: &Supervise, file: &Path, addresses: &[Address]) -> Result<(), Failure> {
        self.lines.expect(&supervise.list(false).await.map_err(broken)?);
        let addresses = addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(", ");
        let greeting = self.lines.own(&format!("{}, at {addresses}", file.display()), SystemTime::now());
        // Whoever does not read is noticed by the next write.
        let mut stdout = tokio::io::stdout();
        if stdout.write_all(greeting.as_bytes()).await.is_ok() {
            let _ = stdout.flush().await;
        }
        Ok(())
    }

    /// Shows everything until there is an end, and then until all processes are down.
    pub async fn run(
        mut self,
        supervise: &Supervise,
        exit_with: Option<&str>,
        interrupts: &mut Interrupts,
    ) -> Result<End, Failure> {
        let (to, from) = mpsc::channel(BATCHES);
        let closed = Arc::new(Notify::new());
        let mut writer = JoinSet::new();
        writer.spawn(write(from, closed.clone()));
        let mut news = news(supervise);
        let unread = output::unread();
        tokio::pin!(unread);
        let mut tick = interval(stopping::TELL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping: Option<Stopping<'_>> = None;
        let end = loop {
            tokio::select! {
                (batch, room) = next(&mut news, &to) => {
                    let Some(batch) = batch else { break self.over(stopping) };
                    let (text, ended) = self.show(batch, exit_with);
                    room.send(text);
                    match ended {
                        Some(Over::Worker(who, code)) if stopping.is_none() => {
                            self.say(&to, &format!("{who} has ended: everything stops"));
                            stopping = Some(Stopping::begin(supervise, End::Worker(code)));
                        }
                        Some(Over::Supervisor) => break self.over(stopping),
                        _ => {}
                    }
                }
                _ = interrupts.next() => match &mut stopping {
                    None => {
                        self.say(&to, "stopping; once more: at once");
                        stopping = Some(Stopping::begin(supervise, End::Asked));
                    }
                    Some(stopping) if !stopping.killed => {
                        self.say(&to, "stopping at once");
                        stopping.kill(supervise);
                    }
                    Some(_) => break self.over(stopping),
                },
                () = closed.notified(), if stopping.is_none() => stopping = Some(Stopping::begin(supervise, End::Unread)),
                () = &mut unread, if stopping.is_none() => stopping = Some(Stopping::begin(supervise, End::Unread)),
                down = Stopping::is_down(&mut stopping) => {
                    if let Err(failure) = down {
                        self.say(&to, &failure.message);
                    }
                    self.rest(&mut news, &to).await;
                    break self.over(stopping);
                }
                _ = tick.tick() => if let Some(waits) = Stopping::waits_for(&mut stopping, supervise).await {
                    self.say(&to, &format!("waiting for {waits}"));
                },
            }
        };
        drop(to);
        let _ = timeout(STUCK, writer.join_next()).await;
        Ok(end)
    }

    fn over(&mut self, stopping: Option<Stopping<'_>>) -> End {
        stopping.map_or_else(|| End::Supervisor { spent: self.spent.take() }, |stopping| stopping.end)
    }

    /// Own words. Where stdout takes nothing, they are not said: nobody would read them.
    fn say(&self, to: &Sender<String>, text: &str) {
        let _ = to.try_send(self.lines.own(text, SystemTime::now()));
    }

    fn show(&mut self, batch: Vec<Result<News, CallError>>, exit_with: Option<&str>) -> (String, Option<Over>) {
        let (mut text, mut over) = (String::new(), None);
        let now = SystemTime::now();
        for news in batch {
            match news {
                Ok(News::Line(line)) => text += &self.lines.output(&line, now),
                // What the file has is there.
                Ok(News::Activity(activity)) if activity.what == "added" => {}
                Ok(News::Activity(activity)) => {
                    text += &self.lines.activity(&activity, now);
                    over = over.or(self.judge(&activity, exit_with));
                }
                Err(_) => over = Some(Over::Supervisor),
            }
        }
        (text, over)
    }

    /// Whether this is the end of everything.
    fn judge(&mut self, activity: &Activity, exit_with: Option<&str>) -> Option<Over> {
        let who = crate::cli::processes::lines::who(&activity.process, activity.worker);
        if activity.what == "spent" && activity.worker.is_some() {
            self.spent = Some(who.clone());
        }
        if exit_with != Some(activity.process.as_str()) {
            return None;
        }
        match activity.what.as_str() {
            "exited" => activity.exit.as_ref().filter(|exit| !exit.expected).map(|exit| Over::Worker(who, exit.code)),
            // An exit would have ended everything before: this one has never run.
            "finished" | "spent" => Some(Over::Worker(who, NEVER_RAN)),
            _ => None,
        }
    }

    /// What was on its way.
    async fn rest(&mut self, news: &mut (impl Stream<Item = Vec<Result<News, CallError>>> + Unpin), to: &Sender<String>) {
        while let Ok(Some(batch)) = timeout(QUIET, news.next()).await {
            let (text, _) = self.show(batch, None);
            if timeout(STUCK, to.send(text)).await.is_err() {
                return;
            }
        }
    }
}

/// Something ended that everything ends with.
enum Over {
    Worker(String, i32),
    Supervisor,
}

impl<'a> Stopping<'a> {
    fn begin(supervise: &'a Supervise, end: End) -> Stopping<'a> {
        let down = async {
            supervise.stop(Vec::new()).await.map_err(failure)?;
            down(supervise).await
        };
        Stopping { end, down: down.boxed_local(), killed: false, told: String::new() }
    }

    fn kill(&mut self, supervise: &'a Supervise) {
        let down = async {
            supervise.kill(Vec::new()).await.map_err(failure)?;
            down(supervise).await
        };
        (self.down, self.killed) = (down.boxed_local(), true);
    }

    /// Never, unless it is stopping.
    async fn is_down(stopping: &mut Option<Stopping<'a>>) -> Result<(), Failure> {
        match stopping {
            Some(stopping) => (&mut stopping.down).await,
            None => std::future::pending().await,
        }
    }

    /// Who is waited for, if that is news.
    async fn waits_for(stopping: &mut Option<Stopping<'a>>, supervise: &Supervise) -> Option<String> {
        let stopping = stopping.as_mut()?;
        let processes = timeout(stopping::TELL, supervise.list(false)).await.ok()?.ok()?;
        let up = stopping::still_up(&processes);
        let is_news = !up.is_empty() && up != stopping.told;
        is_news.then(|| stopping.told.clone_from(&up)).map(|()| up)
    }
}

async fn down(supervise: &Supervise) -> Result<(), Failure> {
    let names = settle::names(supervise, &[]).await?;
    try_join_all(names.into_iter().map(|name| supervise.wait(name, Until::Down))).await.map(drop).map_err(failure)
}

fn news(supervise: &Supervise) -> impl Stream<Item = Vec<Result<News, CallError>>> + Unpin {
    let lines = supervise.logs(Vec::new(), PAST_LINES, true).map(|line| line.map(News::Line));
    let activity = supervise.activity(PAST_EVENTS).map(|activity| activity.map(News::Activity));
    stream::select(activity, lines).ready_chunks(BATCH)
}

/// What comes next, when there is room for it. Until then nothing is taken, and nothing lost.
async fn next<'a, T>(
    news: &mut (impl Stream<Item = T> + Unpin),
    to: &'a Sender<String>,
) -> (Option<T>, mpsc::Permit<'a, String>) {
    let room = to.reserve().await.expect("the writer goes on until the console is gone");
    (news.next().await, room)
}

/// Writes to stdout. When nobody reads any more it says so, and goes on reading.
async fn write(mut from: Receiver<String>, closed: Arc<Notify>) {
    let mut stdout = tokio::io::stdout();
    while let Some(text) = from.recv().await {
        let written = async {
            stdout.write_all(text.as_bytes()).await?;
            stdout.flush().await
        };
        // A full disk may have room again; a closed pipe never has a reader again.
        if let Err(error) = written.await
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            closed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar::processes::Exit;

    fn exited(process: &str, code: i32, expected: bool) -> Activity {
        let exit = Exit { code, expected, text: format!("ended with code {code}"), ..Exit::default() };
        let text = exit.text.clone();
        Activity {
            process: process.into(),
            worker: Some(0),
            what: "exited".into(),
            text,
            exit: Some(exit),
            ..Activity::default()
        }
    }

    fn shown(news: Vec<Result<News, CallError>>) -> (String, Option<(String, i32)>) {
        let mut console = Console::new(Lines::new(false, false));
        let (text, over) = console.show(news, Some("tests"));
        let worker = over.and_then(|over| match over {
            Over::Worker(who, code) => Some((who, code)),
            Over::Supervisor => None,
        });
        (text, worker)
    }

    #[test]
    fn lines_and_events_are_one_stream() {
        let line = Line { process: "web".into(), text: "hello".into(), ..Line::default() };
        let (text, over) = shown(vec![Ok(News::Line(line)), Ok(News::Activity(exited("web", 3, false)))]);
        assert_eq!((text.as_str(), over), ("web/0  | hello\nbursar | web/0 ended with code 3\n", None));
    }

    #[test]
    fn everything_ends_with_the_worker_that_was_named() {
        let over = |activity| shown(vec![Ok(News::Activity(activity))]).1;
        assert_eq!(over(exited("tests", 3, false)), Some(("tests/0".into(), 3)));
        assert_eq!(over(exited("tests", 143, true)), None, "it had been told to end: a restart");
        let gone = Activity { what: "gone".into(), ..exited("tests", 3, false) };
        assert_eq!(over(gone), None, "told once");
    }

    #[test]
    fn who_never_runs_is_an_end_too() {
        for what in ["finished", "spent"] {
            let activity = Activity { what: what.into(), exit: None, ..exited("tests", 0, false) };
            assert_eq!(shown(vec![Ok(News::Activity(activity.clone()))]).1, Some(("tests/0".into(), 1)), "{what}");
            let other = Activity { process: "web".into(), ..activity };
            assert_eq!(shown(vec![Ok(News::Activity(other))]).1, None);
        }
    }

    #[test]
    fn who_failed_too_often_is_remembered_for_the_end() {
        let mut console = Console::new(Lines::new(false, false));
        let spent = Activity { what: "spent".into(), ..exited("web", 3, false) };
        console.show(vec![Ok(News::Activity(spent))], None);
        assert_eq!(console.over(None), End::Supervisor { spent: Some("web/0".into()) });
    }
}
