//! What a spec has to fulfil to be kept. Pure: no file, user or address is looked at, and whether a command can be run is known when it
//! is. All that is wrong is found, not only the first.

use super::{Backoff, Budget, Check, Dependency, Hooks, LogFile, Probe, Spec, Stop, Watch, Workers};
use crate::processes::signal_number;
use bursar_proto::Name;
use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

/// A worker is two processes with a dozen of the broker's descriptors: a thousand is what one host carries, and who writes more has
/// mistyped it.
const WORKERS_MAX: u32 = 1000;

/// An object's name may have 200 letters, and the longest that is made of a process's is `NAME-passive`.
const NAME_BYTES_MAX: usize = 192;

/// As long as times can be said in a configuration; sums of some of them stay far from any limit of numbers.
const TIME_MS_MAX: u64 = 1000 * 86_400_000;

/// What is asked or tried again more often is a busy loop.
const AGAIN_MS_MIN: u64 = 10;

/// A smaller file would be put aside at nearly every line.
const LOG_BYTES_MIN: u64 = 4096;

/// A name in a folder each, and a rename each when the file is full.
const LOGS_KEPT_MAX: u32 = 1000;

/// One thing that is wrong with a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The process.
    pub process: String,
    /// Which field of its [`Spec`], as a path: `stop.signal`.
    pub field: String,
    /// What was found there, and what is expected.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.text)
    }
}

impl Spec {
    /// Whether it can be kept; if not, all that is wrong, each with its field. Other processes are not looked at, see
    /// [`problems_of`](super::problems_of).
    ///
    /// ```
    /// use bursar::processes::{Spec, Stop};
    ///
    /// let stop = Stop { signal: "SIGTREM".into(), ..Stop::default() };
    /// let problems = Spec::new("web", ["./web"]).workers(5000).stop(stop).check().unwrap_err();
    /// assert!(problems[0].starts_with("workers: found 5000, expected "));
    /// assert!(problems[1].starts_with("stop.signal: no signal is called \"SIGTREM\", did you mean SIGTERM?"));
    /// ```
    pub fn check(&self) -> Result<(), Vec<String>> {
        let problems: Vec<String> = self.problems().iter().map(Problem::to_string).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// All that is wrong with it by itself.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let Spec {
            name,
            command,
            environment,
            env_files,
            directory,
            user,
            workers,
            autostart: _,
            restart: _,
            backoff,
            budget,
            stop,
            overlap: _,
            startup,
            readiness,
            liveness,
            dependencies,
            hooks,
            watch,
            log,
        } = self;
        let mut report = Report { process: name, problems: Vec::new() };
        report.name(name);
        report.command("command", command);
        report.environment(environment);
        env_files.iter().for_each(|path| report.path("env_files", path));
        directory.iter().for_each(|path| report.path("directory", path));
        user.iter().for_each(|user| report.user(user));
        report.workers(workers);
        report.backoff(backoff);
        report.budget(budget);
        report.stop(stop);
        startup.iter().for_each(|check| report.check("startup", check, 1));
        readiness.iter().for_each(|check| report.check("readiness", check, 0));
        liveness.iter().for_each(|check| report.check("liveness", check, 0));
        dependencies.iter().flatten().for_each(|dependency| report.dependency(dependency));
        report.hooks(hooks);
        watch.iter().for_each(|watch| report.watch(watch));
        log.iter().for_each(|log| report.log(log));
        report.problems
    }
}

struct Report<'a> {
    process: &'a str,
    problems: Vec<Problem>,
}

impl Report<'_> {
    fn problem(&mut self, field: &str, text: impl Into<String>) {
        self.problems.push(Problem { process: self.process.into(), field: field.into(), text: text.into() });
    }

    fn name(&mut self, name: &str) {
        if let Some(problem) = name_problem(name) {
            self.problem("name", problem);
        }
    }

    fn command(&mut self, field: &str, command: &[String]) {
        match command.first() {
            None => self.problem(field, "found no word, expected a program and its arguments"),
            Some(program) if program.is_empty() => self.problem(field, "the program's name is empty"),
            Some(_) => {}
        }
        if let Some(word) = command.iter().find(|word| word.contains('\0')) {
            self.problem(field, format!("{word:?} has a NUL byte, which no argument can have"));
        }
    }

    fn environment(&mut self, environment: &BTreeMap<String, String>) {
        for (name, value) in environment {
            if name.is_empty() || name.contains(['=', '\0']) {
                self.problem("environment", format!("found {name:?}, expected a name without = and NUL"));
            }
            if value.contains('\0') {
                self.problem("environment", format!("the value of {name} has a NUL byte, which no variable can have"));
            }
        }
    }

    fn path(&mut self, field: &str, path: &str) {
        if path.is_empty() || path.contains('\0') {
            self.problem(field, format!("found {path:?}, expected a path"));
        }
    }

    fn user(&mut self, user: &str) {
        let (name, group) = user.split_once(':').unwrap_or((user, "-"));
        let is_word = |word: &str| !word.is_empty() && !word.contains([':', '\0']) && !word.contains(char::is_whitespace);
        if !is_word(name) || !is_word(group) {
            self.problem("user", format!("found {user:?}, expected USER or USER:GROUP, by name or number"));
        }
    }

    fn workers(&mut self, workers: &Workers) {
        const WHY: &str = "each of them is two processes on this host";
        if workers.most() > WORKERS_MAX {
            self.problem("workers", format!("found {}, expected at most {WORKERS_MAX}: {WHY}", workers.most()));
        }
        let Workers::Lag { min, max, queue, target_lag_ms } = workers else { return };
        if *max == 0 {
            self.problem("workers.max", "found 0, expected at least 1");
        }
        if min > max {
            self.problem("workers.min", format!("found {min}, expected at most max ({max})"));
        }
        if let Err(fault) = queue.parse::<Name>() {
            self.problem("workers.queue", format!("it is the queue whose lag counts; {fault}"));
        }
        self.time("workers.target_lag_ms", *target_lag_ms, 1..=TIME_MS_MAX);
    }

    fn backoff(&mut self, backoff: &Backoff) {
        let Backoff { first_ms, max_ms, jitter, reset_ms } = *backoff;
        self.time("backoff.first_ms", first_ms, AGAIN_MS_MIN..=TIME_MS_MAX);
        self.time("backoff.max_ms", max_ms, AGAIN_MS_MIN..=TIME_MS_MAX);
        self.time("backoff.reset_ms", reset_ms, 0..=TIME_MS_MAX);
        if first_ms > max_ms {
            self.problem("backoff.first_ms", format!("found {first_ms}ms, expected at most max ({max_ms}ms)"));
        }
        if !(0.0..=1.0).contains(&jitter) {
            self.problem("backoff.jitter", format!("found {jitter}, expected a part of the time, from 0 to 1"));
        }
    }

    fn budget(&mut self, budget: &Budget) {
        let Budget { restarts, within_ms, spent: _ } = *budget;
        if restarts == Some(0) {
            self.problem("budget.restarts", "found 0, expected at least 1; who is never to be restarted has restart = \"never\"");
        }
        self.time("budget.within_ms", within_ms, 1..=TIME_MS_MAX);
    }

    fn stop(&mut self, stop: &Stop) {
        let Stop { ask_ms, signal, timeout_ms } = stop;
        ask_ms.iter().for_each(|ask_ms| self.time("stop.ask_ms", *ask_ms, 1..=TIME_MS_MAX));
        if let Err(problem) = signal_number(signal) {
            self.problem("stop.signal", problem);
        }
        self.time("stop.timeout_ms", *timeout_ms, 0..=TIME_MS_MAX);
    }

    fn check(&mut self, field: &str, check: &Check, within_ms_min: u64) {
        let Check { probe, interval_ms, timeout_ms, failures, within_ms } = check;
        match probe {
            Probe::Session | Probe::Notify => {}
            Probe::Command(command) => self.command(&format!("{field}.probe"), command),
            Probe::Tcp(address) if is_host_and_port(address) => {}
            Probe::Tcp(address) => {
                self.problem(&format!("{field}.probe"), format!("found {address:?}, expected HOST:PORT, such as 127.0.0.1:5432"));
            }
            Probe::Http(url) => url_problem(url).into_iter().for_each(|problem| self.problem(&format!("{field}.probe"), problem)),
        }
        self.time(&format!("{field}.interval_ms"), *interval_ms, AGAIN_MS_MIN..=TIME_MS_MAX);
        self.time(&format!("{field}.timeout_ms"), *timeout_ms, 1..=TIME_MS_MAX);
        self.time(&format!("{field}.within_ms"), *within_ms, within_ms_min..=TIME_MS_MAX);
        if *failures == 0 {
            self.problem(&format!("{field}.failures"), "found 0, expected at least 1");
        }
    }

    fn dependency(&mut self, dependency: &Dependency) {
        match dependency {
            Dependency::Process { name, condition: _ } => {
                name_problem(name).into_iter().for_each(|problem| self.problem("dependencies", problem));
            }
            Dependency::Object(name) => {
                name.parse::<Name>().err().into_iter().for_each(|fault| self.problem("dependencies", fault.to_string()));
            }
        }
    }

    fn hooks(&mut self, hooks: &Hooks) {
        let Hooks { before_start, after_start, before_stop, after_stop, before_restart, after_restart } = hooks;
        for (field, commands) in [
            ("hooks.before_start", before_start),
            ("hooks.after_start", after_start),
            ("hooks.before_stop", before_stop),
            ("hooks.after_stop", after_stop),
            ("hooks.before_restart", before_restart),
            ("hooks.after_restart", after_restart),
        ] {
            commands.iter().for_each(|command| self.command(field, command));
        }
    }

    fn watch(&mut self, watch: &Watch) {
        let Watch { paths, ignore, delay_ms } = watch;
        if paths.is_empty() {
            self.problem("watch.paths", "found none, expected files or folders");
        }
        paths.iter().for_each(|path| self.path("watch.paths", path));
        if ignore.iter().any(|pattern| pattern.is_empty() || pattern.contains(['/', '\0'])) {
            self.problem("watch.ignore", "expected names of files or folders, with * for any characters and without /");
        }
        self.time("watch.delay_ms", *delay_ms, 1..=TIME_MS_MAX);
    }

    fn log(&mut self, log: &LogFile) {
        let LogFile { path, bytes, kept } = log;
        self.path("log.path", path);
        if *bytes < LOG_BYTES_MIN {
            self.problem("log.bytes", format!("found {bytes}, expected at least {LOG_BYTES_MIN}"));
        }
        if *kept > LOGS_KEPT_MAX {
            self.problem("log.kept", format!("found {kept}, expected at most {LOGS_KEPT_MAX}"));
        }
    }

    fn time(&mut self, field: &str, ms: u64, range_ms: RangeInclusive<u64>) {
        if ms < *range_ms.start() {
            self.problem(field, format!("found {ms}ms, expected at least {}ms", range_ms.start()));
        }
        if ms > *range_ms.end() {
            self.problem(field, format!("found {ms}ms, expected at most {}d", range_ms.end() / 86_400_000));
        }
    }
}

/// Stricter than an object's name: `/` parts a worker's number from its process (`resize/2`), and what begins with `-` is a flag.
fn name_problem(name: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_good = name.len() <= NAME_BYTES_MAX && name.bytes().all(allowed) && name.starts_with(|c: char| c != '-');
    let shown: String = name.chars().take(40).collect();
    match name {
        "object" => Some("a process cannot be called \"object\": dependencies on objects are written so, object:NAME".into()),
        _ if is_good => None,
        _ => Some(format!(
            "found {shown:?} ({} bytes), expected a name of 1 to {NAME_BYTES_MAX} characters of A-Z a-z 0-9 . _ -, and no - first",
            name.len()
        )),
    }
}

/// `host:port`, a host of IPv6 in brackets.
fn is_host_and_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let host_is_good = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
    };
    host_is_good && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn url_problem(url: &str) -> Option<String> {
    const WHAT: &str = "expected http://HOST[:PORT]/PATH";
    if url.starts_with("https:") {
        return Some(format!("found {url:?}, {WHAT}: a check looks at its own host, and speaks no TLS"));
    }
    let parsed = url.parse::<http::Uri>().ok().filter(|uri| uri.scheme_str() == Some("http"));
    let authority = parsed.as_ref().and_then(http::Uri::authority);
    let is_good = authority.is_some_and(|authority| match authority.port_u16() {
        Some(_) => is_host_and_port(authority.as_str()),
        None => is_host_and_port(&format!("{authority}:80")),
    });
    (!is_good).then(|| format!("found {url:?}, {WHAT}"))
}
