//! What an embedding program adds to a broker that supervises: processes, of which some may be this very program at another entry point,
//! and functions as hooks. Starting and watching them is the supervisor's matter.
//!
//! ```text
//!   main ─► enter ─┬─ a keeper, or the step before a command: plays its role, never returns
//!                  ├─ an entry point by name: runs its function, never returns
//!                  └─ otherwise: returns, and the program is what it is
//! ```

pub use crate::supervisor::{HookContext, Turn};

use super::Builder;
use crate::{Broker, supervisor::Hook};
use bursar::{BoxIo, Manager, processes::Spec};
use bursar_proto::AuthKey;
use futures_util::FutureExt;
use std::{any::Any, env, error::Error, ffi::OsString, fmt, panic::AssertUnwindSafe, process::exit, sync::Arc};

/// The program that runs, also when its file was replaced meanwhile: that of who starts it, which is a keeper of this program.
const OWN_BINARY: &str = "/proc/self/exe";

/// The first argument of this program at an entry point. Then: the name of it, and its arguments.
const ENTRY: &str = "bursar:entry";

/// How an entry point has ended: well, with the code 0; or with an error, which is written to stderr, and the code 1.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// The main function of an entry point, with its arguments. It finds the broker by `Manager::from_env` and itself by
/// [`ThisWorker::from_env`](bursar::processes::ThisWorker::from_env). It has no runtime but one that it makes.
pub type Entry = fn(Vec<String>) -> Outcome;

/// The beginning of `main` of a program whose broker supervises: where this process was started as a keeper of another, or at an entry
/// point, it does that and never returns. Nothing may happen before, no thread and no runtime (so `main` is no `async fn`).
///
/// ```no_run
/// use bursar_server::{Broker, processes::{Outcome, enter, entry}};
///
/// fn clean(arguments: Vec<String>) -> Outcome {
///     println!("cleans {arguments:?}, until it is stopped");
///     loop { std::thread::park() }
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     enter(&[("clean", clean)]);
///     let broker = Broker::builder().process(entry("cleaner", "clean", ["/var/tmp/app"]));
///     tokio::runtime::Runtime::new()?.block_on(broker.serve())?;
///     Ok(())
/// }
/// ```
pub fn enter(entries: &[(&str, Entry)]) {
    bursar_supervisor::enter();
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != ENTRY) {
        return;
    }
    let code = match choose(entries, arguments.collect()) {
        Ok((entry, arguments)) => match entry(arguments) {
            Ok(()) => 0,
            Err(error) => complain(&*error, 1),
        },
        // As a shell that does not find a command.
        Err(problem) => complain(&problem, 127),
    };
    exit(code)
}

fn complain(problem: &dyn fmt::Display, code: i32) -> i32 {
    eprintln!("error: {problem}");
    code
}

fn choose(entries: &[(&str, Entry)], arguments: Vec<OsString>) -> Result<(Entry, Vec<String>), String> {
    let text = |argument: OsString| argument.into_string().map_err(|argument| format!("{} is not UTF-8", argument.display()));
    let mut arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?.into_iter();
    let name = arguments.next().unwrap_or_default();
    let names = || entries.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let missing = || format!("this program has no entry point {name:?}, it has: {}", names());
    let (_, entry) = entries.iter().find(|(known, _)| *known == name).ok_or_else(missing)?;
    Ok((*entry, arguments.collect()))
}

/// A process that is a command with its arguments. Everything else of it is as in [`Spec::default`], to be said with `..`.
///
/// ```
/// use bursar::processes::{Spec, Workers};
/// let web = bursar_server::processes::command("web", ["./web", "--port", "8080"]);
/// let web = Spec { workers: Workers::Fixed(2), ..web };
/// assert_eq!(web.command[0], "./web");
/// ```
pub fn command(name: impl Into<String>, command: impl IntoIterator<Item: Into<String>>) -> Spec {
    Spec { name: name.into(), command: command.into_iter().map(Into::into).collect(), ..Spec::default() }
}

/// A process that is this program, started again at one of its entry points ([`enter`]) with these arguments.
pub fn entry(name: impl Into<String>, entry: &str, arguments: impl IntoIterator<Item: Into<String>>) -> Spec {
    let beginning = [OWN_BINARY, ENTRY, entry].map(str::to_owned);
    command(name, beginning.into_iter().chain(arguments.into_iter().map(Into::into)))
}

fn function<E, F>(hook: impl Fn(HookContext) -> F + Send + Sync + 'static) -> Hook
where
    E: fmt::Display,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    let hook = Arc::new(hook);
    Hook::Function(Arc::new(move |context| {
        let hook = hook.clone();
        let running = AssertUnwindSafe(async move { hook(context).await.map_err(|error| error.to_string()) });
        running.catch_unwind().map(|outcome| outcome.unwrap_or_else(|panic| Err(format!("panicked: {}", words(&*panic))))).boxed()
    }))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

impl Builder {
    /// A process that the broker starts, watches and stops, besides those of the configuration. With `autostart: false` it waits to be
    /// started. The program's `main` has to begin with [`enter`].
    pub fn process(mut self, spec: Spec) -> Builder {
        self.config.processes.push(spec);
        self
    }

    /// The broker supervises, also without a process that is known from the start: whoever has its key and is its own user on its host
    /// may add some. The program's `main` has to begin with [`enter`].
    pub fn supervise(mut self) -> Builder {
        self.config.supervise = true;
        self
    }

    /// A function that is run at a turning point of a process, on the runtime of the broker, after the commands that its description has
    /// for that. Several run one after the other. One that fails prevents what it is *before*; one that panics has failed.
    ///
    /// ```
    /// use bursar_server::{Broker, processes::{HookContext, Turn, command}};
    ///
    /// async fn tell(context: HookContext) -> Result<(), String> {
    ///     println!("{} is about to stop", context.process);
    ///     Ok(())
    /// }
    ///
    /// let builder = Broker::builder().process(command("web", ["./web"])).hook("web", Turn::BeforeStop, tell);
    /// ```
    pub fn hook<E, F>(
        mut self,
        process: impl Into<String>,
        turn: Turn,
        hook: impl Fn(HookContext) -> F + Send + Sync + 'static,
    ) -> Builder
    where
        E: fmt::Display,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.additions.add_hook(process.into(), turn, function(hook));
        self
    }
}

impl Broker {
    /// A session at this broker from within its process, without a socket. The key is proved all the same.
    ///
    /// ```
    /// use bursar::{AuthKey, Queue};
    /// use bursar_server::{Broker, config::Config};
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let key = AuthKey::new(&[7; 32])?;
    /// let broker = Broker::builder().key(key.clone()).start().await?;
    /// let manager = broker.manager(key).await?;
    /// let jobs: Queue<String> = manager.queue("jobs").open_or_create().await?;
    /// assert_eq!(jobs.name(), "jobs");
    /// manager.close().await;
    /// broker.stop().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn manager(&self, authkey: AuthKey) -> bursar::Result<Manager> {
        let connector = self.connector();
        let connector = move || {
            let connector = connector.clone();
            async move { Ok(Box::new(connector.connect().await?) as BoxIo) }
        };
        Manager::builder().connector(connector).authkey(authkey).connect().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(_: Vec<String>) -> Outcome {
        Ok(())
    }

    fn second(arguments: Vec<String>) -> Outcome {
        Err(arguments.join(" ").into())
    }

    const ENTRIES: [(&str, Entry); 2] = [("first", first), ("second", second)];

    fn arguments(arguments: &[&str]) -> Vec<OsString> {
        arguments.iter().map(OsString::from).collect()
    }

    #[test]
    fn an_entry_point_gets_what_its_process_was_described_with() {
        let spec = entry("cleaner", "second", ["a", "b c"]);
        assert_eq!((spec.name.as_str(), spec.command[..2].to_vec()), ("cleaner", vec![OWN_BINARY.to_owned(), ENTRY.to_owned()]));
        let given: Vec<&str> = spec.command[2..].iter().map(String::as_str).collect();
        let (entry, arguments) = choose(&ENTRIES, arguments(&given)).unwrap();
        assert_eq!(entry(arguments).unwrap_err().to_string(), "a b c");
    }

    #[test]
    fn an_entry_point_that_is_not_there_is_named_with_those_that_are() {
        let problem = choose(&ENTRIES, arguments(&["third"])).unwrap_err();
        assert_eq!(problem, "this program has no entry point \"third\", it has: first, second");
        assert!(choose(&ENTRIES, Vec::new()).is_err());
    }

    async fn run(hook: &Hook) -> Result<(), String> {
        let Hook::Function(function) = hook else { panic!("it is a function") };
        function(HookContext { process: "web".into(), turn: Turn::AfterStart }).await
    }

    #[tokio::test]
    async fn a_hook_is_told_where_it_is_and_its_error_is_told() {
        let hook = function(|HookContext { process, turn, .. }: HookContext| async move {
            if turn == Turn::AfterStart { Err(format!("{process} is not welcome")) } else { Ok(()) }
        });
        assert_eq!(run(&hook).await, Err("web is not welcome".to_owned()));
    }

    #[tokio::test]
    async fn a_hook_that_panics_has_failed_each_time() {
        let hook = function(|_| async { if true { panic!("no {}", "luck") } else { Ok::<(), String>(()) } });
        for _ in 0..2 {
            assert_eq!(run(&hook).await, Err("panicked: no luck".to_owned()));
        }
    }
}
