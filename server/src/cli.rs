//! The command line: `bursar serve`, and a client like any other. It knows nothing of the broker's inside: what it can do, every
//! program can do through the SDK.
//!
//! Results go to stdout, errors and progress to stderr as `bursar: what failed: why; what to do`. Exit codes: `failure`.

mod array;
mod barrier;
mod call;
mod channel;
mod child;
mod condition;
mod connect;
mod counter;
mod describe;
mod event;
mod failure;
mod input;
mod keygen;
mod kv;
mod list;
mod lock;
mod messages;
mod msgpack;
mod objects;
mod output;
mod payload;
mod processes;
mod progress;
mod queue;
mod semaphore;
mod serve;
mod slice;
mod status;
mod top;
mod topic;
mod up;
mod waits;
mod why;

use bursar::{Fault, Manager, Name};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use connect::Client;
use failure::{Exit, Failure};
use output::Output;
use rustix::process::Signal;
use std::{cell::Cell, fs, future::poll_fn, process::ExitCode, sync::Arc, task::Poll, time::Duration};
use tokio::{
    signal::unix::{self, SignalKind},
    sync::Notify,
    task::JoinHandle,
};

/// Shared objects between processes: queues, stores, locks, events and more that survive kill -9 of anybody who uses them
#[derive(Parser, Debug)]
#[command(name = "bursar", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::Args),
    Up(up::Args),
    Down(processes::stopping::Args),
    Ps(processes::ps::Args),
    Top(top::Args),
    Logs(processes::logs::Args),
    Start(processes::wishes::Start),
    Stop(processes::wishes::Stop),
    Kill(processes::wishes::Kill),
    Restart(processes::wishes::Restart),
    Scale(processes::wishes::Scale),
    Signal(processes::wishes::Signal),
    Exec(processes::exec::Args),
    Keygen(keygen::Args),
    Status(status::Args),
    Objects(objects::Args),
    Queue(queue::Args),
    Kv(kv::Args),
    Lock(lock::Args),
    Rwlock(lock::rw::Args),
    Semaphore(semaphore::Args),
    Event(event::Args),
    Latch(event::latch::Args),
    Condition(condition::Args),
    Barrier(barrier::Args),
    Counter(counter::Args),
    List(list::Args),
    Array(array::Args),
    Channel(channel::Args),
    Topic(topic::Args),
    Call(call::Args),
    Describe(describe::Args),
    Waits(waits::Args),
    Why(why::Args),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  bursar completions bash > ~/.local/share/bash-completion/completions/bursar")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

const EXAMPLE: &str = "\
Example, in two terminals:
  bursar serve
  bursar queue put jobs --create hello && bursar queue get jobs

";

/// Runs the command that the arguments of this process name.
pub fn run() -> ExitCode {
    let parsed = grammar().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let command = match parsed {
        Ok(cli) => cli.command,
        Err(error) => {
            // Help for a closed pipe is help that nobody wants.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match execute(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("bursar: {}", failure.message);
            }
            ExitCode::from(failure.exit.code())
        }
    }
}

fn grammar() -> clap::Command {
    Cli::command().after_help(format!("{EXAMPLE}{}", failure::exits_help()))
}

fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Up(args) => up::run(args),
        Command::Down(args) => processes::stopping::run(args),
        Command::Ps(args) => processes::ps::run(args),
        Command::Top(args) => top::run(args),
        Command::Logs(args) => processes::logs::run(args),
        Command::Start(args) => processes::wishes::start(args),
        Command::Stop(args) => processes::wishes::stop(args),
        Command::Kill(args) => processes::wishes::kill(args),
        Command::Restart(args) => processes::wishes::restart(args),
        Command::Scale(args) => processes::wishes::scale(args),
        Command::Signal(args) => processes::wishes::signal(args),
        Command::Exec(args) => processes::exec::run(args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Objects(args) => objects::run(args),
        Command::Queue(args) => queue::run(args),
        Command::Kv(args) => kv::run(args),
        Command::Lock(args) => lock::run(args),
        Command::Rwlock(args) => lock::rw::run(args),
        Command::Semaphore(args) => semaphore::run(args),
        Command::Event(args) => event::run(args),
        Command::Latch(args) => event::latch::run(args),
        Command::Condition(args) => condition::run(args),
        Command::Barrier(args) => barrier::run(args),
        Command::Counter(args) => counter::run(args),
        Command::List(args) => list::run(args),
        Command::Array(args) => array::run(args),
        Command::Channel(args) => channel::run(args),
        Command::Topic(args) => topic::run(args),
        Command::Call(args) => call::run(args),
        Command::Describe(args) => describe::run(args),
        Command::Waits(args) => waits::run(args),
        Command::Why(args) => why::run(args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut grammar(), "bursar", &mut script);
            let mut output = Output::stdout(false);
            output.bytes(&script)?;
            output.flush()
        }
    }
}

/// Who acts on the signals that ask a program to end.
#[derive(Clone, Copy)]
enum Signals<'a> {
    /// They end the command; what it held goes back at once.
    End,
    /// The command does so itself.
    Own(&'a HandedOver),
}

/// Where a command that acts on signals itself finds them: also those that came while the program connected.
#[derive(Default)]
struct HandedOver(Cell<Option<Interrupts>>);

impl HandedOver {
    fn take(&self) -> Interrupts {
        self.0.take().expect("a session hands them over before its command runs, and the command takes them once")
    }
}

/// Connects, runs a command, and ends the session cleanly however the command ended.
fn session(
    client: &Client,
    signals: Signals<'_>,
    command: impl AsyncFnOnce(&Manager, &mut Output) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // The command runs on this thread and may block it, on output above all; signals are seen on another.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("the runtime cannot be started: {error}")))?;
    let result = runtime.block_on(async {
        let stop = Stop::new()?;
        // They listen beside `stop` from the beginning: what that one sees and does not act on any more is not lost.
        let interrupts = Interrupts::new()?;
        let manager = stop.or(client.connect()).await?;
        let mut output = Output::stdout(client.json);
        let result = match signals {
            Signals::End => stop.or(command(&manager, &mut output)).await,
            Signals::Own(handed_over) => {
                stop.disarm();
                handed_over.0.set(Some(interrupts));
                command(&manager, &mut output).await
            }
        };
        let flushed = output.flush();
        manager.close().await;
        result.and(flushed)
    });
    // A read of stdin may never end, and nobody waits for it.
    runtime.shutdown_background();
    result
}

/// Ends a command at the first signal. A command that cannot be ended, because nobody reads its output, is ended with the
/// process: at the second signal, or after a while.
struct Stop {
    asked: Arc<Notify>,
    watcher: JoinHandle<()>,
}

/// A little more than the clean end of a session may take.
const STOP_TIME_MAX: Duration = Duration::from_secs(3);

impl Stop {
    fn new() -> Result<Stop, Failure> {
        let mut interrupts = Interrupts::new()?;
        let asked = Arc::new(Notify::new());
        let asks = asked.clone();
        let watcher = tokio::spawn(async move {
            interrupts.next().await;
            asks.notify_one();
            let _ = tokio::time::timeout(STOP_TIME_MAX, interrupts.next()).await;
            std::process::exit(Exit::Interrupted.code().into());
        });
        Ok(Stop { asked, watcher })
    }

    async fn or<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.asked.notified() => Err(Failure::new(Exit::Interrupted, "interrupted")),
            result = work => result,
        }
    }

    /// From here on signals are somebody else's.
    fn disarm(&self) {
        self.watcher.abort();
    }
}

/// Signals as they come; each is seen once, also if it came while nobody asked.
struct Interrupts(Vec<(Signal, unix::Signal)>);

impl Interrupts {
    /// Those that ask a program to end.
    fn new() -> Result<Interrupts, Failure> {
        Interrupts::of(&[Signal::INT, Signal::TERM, Signal::QUIT, Signal::HUP])
    }

    fn of(signals: &[Signal]) -> Result<Interrupts, Failure> {
        let listen = |&signal: &Signal| Ok((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
        let heard = signals.iter().filter(|&&signal| !stays_ignored(signal));
        let streams: std::io::Result<_> = heard.map(listen).collect();
        Ok(Interrupts(streams.map_err(|error| Failure::new(Exit::Failed, format!("signals cannot be received: {error}")))?))
    }

    async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let came = self.0.iter_mut().find_map(|(signal, stream)| stream.poll_recv(context).is_ready().then_some(*signal));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Whoever starts a program with `nohup` wants it to outlive the terminal, and its command too: what is ignored is inherited.
/// SIGINT and SIGQUIT are heard in any case: every script ignores them for what it runs in the background.
fn stays_ignored(signal: Signal) -> bool {
    let ignorable = signal == Signal::HUP || signal == Signal::TSTP;
    ignorable && ignored() & (1 << (signal.as_raw() - 1)) != 0
}

/// The signals that this process ignores, signal n as bit n - 1.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// What is asked for before a command runs under it; a signal ends the wait, also one that was there before.
async fn acquired<T, E>(interrupts: &mut Interrupts, acquire: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    tokio::select! {
        biased;
        _ = interrupts.next() => Err(Failure::new(Exit::Interrupted, "interrupted")),
        acquired = acquire => Ok(acquired?),
    }
}

/// The time of a wait is over.
fn not_in_time(what: String) -> Failure {
    Failure::new(Exit::NotNow, format!("{what} in time"))
}

/// Opens an object; with `create`, makes one with the default options if there is none. One that is there may have any options.
async fn open<O>(create: bool, open: impl AsyncFn(bool) -> bursar::Result<O>) -> Result<O, Failure> {
    match open(false).await {
        Err(error) if create && matches!(error.fault(), Some(Fault::NoSuchObject { .. })) => Ok(open(true).await?),
        opened => Ok(opened?),
    }
}

/// The name of an object, where an argument is one.
fn name(text: &str) -> Result<String, Fault> {
    text.parse::<Name>().map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        grammar().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example() {
        fn verbs(command: &clap::Command) -> Vec<&clap::Command> {
            let inner = command.get_subcommands().filter(|command| command.get_name() != "help");
            let inner: Vec<_> = inner.flat_map(verbs).collect();
            if inner.is_empty() { vec![command] } else { inner }
        }
        for verb in verbs(&grammar()) {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("bursar") && help.starts_with("Example"), "{}: {help}", verb.get_name());
        }
    }

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn lines_from_the_documentation_are_understood() {
        for line in [
            "bursar serve",
            "bursar serve --listen tcp://127.0.0.1:7878 --listen unix:///x --authkey-file a=k --queue jobs:maxsize=10 --kv settings",
            "bursar up",
            "bursar up web db --config Procfile --exit-with web --timestamps --color always --log-level info",
            "bursar up -d --wait 10s --log-file up.log",
            "bursar down --wait 30s",
            "bursar ps web --json",
            "bursar top --interval 500ms",
            "bursar top --once",
            "bursar logs web db -f -n 20 --no-color -t",
            "bursar start web --wait 1m",
            "bursar stop --no-wait --config conf/bursar.toml",
            "bursar kill web",
            "bursar restart web/1 db",
            "bursar scale web=4 mailer=0",
            "bursar signal HUP web/0 db",
            "bursar signal sigusr1 web",
            "bursar signal 31 web",
            "bursar exec web -- ./manage.py shell --now",
            "bursar keygen key",
            "bursar status --json",
            "bursar objects list --prefix team/",
            "bursar objects create queue jobs --maxsize 10 --retry-delay 5s",
            "bursar objects create kv settings --max-bytes 1MiB",
            "bursar queue put jobs a b c --priority 3 --delay 1s --ttl 1h",
            "bursar queue --address tcp://h:1 put jobs -f items --null",
            "bursar queue put jobs - --json-items --wait forever --create",
            "bursar queue get jobs -n 3 --wait 500ms --address unix:///x",
            "bursar queue get jobs --all -0 -o out",
            "bursar queue park retry jobs 1 2",
            "bursar queue park drop jobs --all",
            "bursar queue work jobs -j 4 -- wc -l --max",
            "bursar kv put settings color blue --ttl 1m --if-absent",
            "bursar kv put settings color blue --if-revision 7",
            "bursar kv incr stats visits -5",
            "bursar kv watch settings --from 17 --prefix a/",
            "bursar kv watch settings color --since start --values -n 2",
            "bursar kv put settings color blue --fence team/deploy:17",
            "bursar queue put jobs a --fence deploy:17",
            "bursar objects list --kind semaphore",
            "bursar objects create lock deploy --reentrant --refuse-deadlock",
            "bursar objects create semaphore downloads --permits 3 --bounded",
            "bursar objects create latch loaded --count 3",
            "bursar objects create barrier step --parties 3",
            "bursar objects create counter visits --initial -10",
            "bursar objects create list steps --max-len 1000 --max-bytes 1MiB",
            "bursar objects create array hits --type u64 --length 7",
            "bursar lock run deploy --create --wait 0 --grace 1s -- ./deploy.sh --now",
            "bursar rwlock run catalog --read -- ./report",
            "bursar semaphore run memory -n 4 --wait 1m -- ./large-job",
            "bursar semaphore add signals 2",
            "bursar event wait reload --after 3 --wait 1m",
            "bursar latch down loaded",
            "bursar condition notify delivered --all",
            "bursar barrier wait step --wait 5m",
            "bursar counter add visits -5",
            "bursar counter cas generation -7 8",
            "bursar list append steps mix bake --create",
            "bursar list read steps ::-1 --json",
            "bursar list read steps -2:",
            "bursar list get steps -1",
            "bursar list pop steps",
            "bursar list insert steps 0 weigh",
            "bursar array get hits -1",
            "bursar array set hits 0 -5",
            "bursar objects create channel talk --max-messages 10 --max-bytes 1MiB",
            "bursar objects create topic news --overload drop-oldest --buffer-messages 10 --keep-bytes 1MiB",
            "bursar objects create topic news --overload drop_newest",
            "bursar channel send talk --from a x y --header kind=log --header k= --must-be-heard --wait 0 --create",
            "bursar channel send talk - --from b --null --json-messages --close",
            "bursar channel send --from b talk -f notes --whole",
            "bursar channel receive talk --at b -n 3 --wait 500ms --json",
            "bursar channel receive talk --at b --passive --header kind=log --raw -0",
            "bursar channel chat talk --at a --create --close",
            "bursar channel ask talk --from a question --wait 5s --all",
            "bursar channel close talk --at a",
            "bursar channel stats talk --json",
            "bursar topic publish news weather.berlin rain --header k=v",
            "bursar topic publish news weather.berlin -f notes -0",
            "bursar topic subscribe news --subject weather.* --subject sport.> --last 10 --wait 0 --show-subject",
            "bursar topic subscribe news --after 17 --group billing -n 2 --json",
            "bursar topic ask services time.now - --wait 5s",
            "bursar topic stats news",
            "bursar topic delete-group news archive",
            "bursar waits",
            "bursar why deploy --json",
            "bursar completions zsh",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn contradictions_and_wrong_values_are_refused() {
        for (line, part) in [
            ("bursar up --exit-with web -d", "cannot be used with"),
            ("bursar up --log-file x", "--detach"),
            ("bursar logs --color always --no-color", "cannot be used with"),
            ("bursar logs -n many", "many"),
            ("bursar start --wait 5s --no-wait", "cannot be used with"),
            ("bursar scale web", "NAME=N"),
            ("bursar scale web=-1", "NAME=N"),
            ("bursar signal NOTHING web", "invalid value"),
            ("bursar signal HUP", "required"),
            ("bursar exec web", "required"),
            ("bursar restart two:words", "A-Z a-z 0-9"),
            ("bursar queue put jobs a -f items", "cannot be used with"),
            ("bursar queue put jobs a --priority 256", "256"),
            ("bursar queue get jobs --wait 5", "with its unit"),
            ("bursar queue get jobs -n 2 --all", "cannot be used with"),
            ("bursar queue get jobs -n 0", "0"),
            ("bursar queue park drop jobs", "required"),
            ("bursar queue park drop jobs 1 --all", "cannot be used with"),
            ("bursar queue work jobs", "required"),
            ("bursar queue work jobs -j 0 -- true", "0"),
            ("bursar kv put s k v --if-absent --if-revision 1", "cannot be used with"),
            ("bursar kv watch s --since yesterday", "start"),
            ("bursar kv watch s key --prefix k", "cannot be used with"),
            ("bursar kv watch s --values --json", "cannot be used with"),
            ("bursar kv watch s -n 0", "0"),
            ("bursar kv put s k v --fence deploy", "NAME:TOKEN"),
            ("bursar lock run deploy", "required"),
            ("bursar lock run deploy --wait 5 -- true", "with its unit"),
            ("bursar rwlock run catalog -- true", "--read|--write"),
            ("bursar rwlock run catalog --read --write -- true", "cannot be used with"),
            ("bursar semaphore run memory -n 0 -- true", "0"),
            ("bursar semaphore add signals 0", "0"),
            ("bursar condition notify delivered -n 2 --all", "cannot be used with"),
            ("bursar event wait reload --after yesterday", "yesterday"),
            ("bursar counter add visits many", "many"),
            ("bursar list read steps 1-5", "START:STOP"),
            ("bursar list get steps --null --json 0", "cannot be used with"),
            ("bursar channel send talk x", "--from"),
            ("bursar channel send talk --from c x", "a or b"),
            ("bursar channel send talk --from a x -f notes", "cannot be used with"),
            ("bursar channel send talk --from a x --header kind", "NAME=VALUE"),
            ("bursar channel receive talk", "--at"),
            ("bursar channel receive talk --at b --header k=v", "--passive"),
            ("bursar channel receive talk --at b -n 0", "0"),
            ("bursar channel receive talk --at b --raw --json", "cannot be used with"),
            ("bursar topic subscribe news --last 3 --after 4", "cannot be used with"),
            ("bursar topic subscribe news --show-subject --json", "cannot be used with"),
            ("bursar objects create topic news", "--overload"),
            ("bursar objects create topic news --overload wait", "possible values"),
            ("bursar objects list --kind lok", "possible values"),
            ("bursar objects create latch loaded", "required"),
            ("bursar objects create barrier step --parties 0", "0"),
            ("bursar objects create array hits --type f99 --length 3", "i8, u8"),
            ("bursar objects create queue two:words", "A-Z a-z 0-9"),
            ("bursar objects create queue jobs --max-bytes lots", "MiB"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
