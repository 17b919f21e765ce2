use super::*;
use crate::config::{Config, Mistake};
use bursar::processes::{Check, Condition, Dependency, Probe};
use std::time::Duration;

fn read(text: &str) -> Vec<Spec> {
    Config::from_text(Path::new("/srv/app/bursar.toml"), text).unwrap_or_else(|mistakes| panic!("{mistakes}")).processes
}

fn report(text: &str) -> Vec<String> {
    let mistakes = Config::from_text(Path::new("bursar.toml"), text).expect_err("there are mistakes");
    mistakes.0.iter().map(Mistake::to_string).collect()
}

fn spec<const N: usize>(name: &str, command: [&str; N]) -> Spec {
    Spec::new(name, command).directory("/srv/app")
}

#[test]
fn a_command_is_all_that_must_be_said() {
    let specs = read("[processes]\nweb = { command = ['./web'] }\n[processes.db]\ncommand = 'db --path \"/a b\" c\\ d # e'");
    assert_eq!(specs, [spec("web", ["./web"]), spec("db", ["db", "--path", "/a b", "c d"])]);
    assert_eq!(read("processes.web = { command = 'a | b', shell = true }"), [spec("web", ["sh", "-c", "a | b"])]);
    assert_eq!(read("processes.web = { command = ['echo', '|', ''] }"), [spec("web", ["echo", "|", ""])]);
}

#[test]
fn everything_that_can_be_said_of_a_process() {
    let text = r#"
        supervise = true
        [processes.web]
        command = ["python3", "web.py"]
        environment = { PORT = 8000, DEBUG = true, RATIO = 0.5, NAME = "x" }
        env_file = "common.env"
        env_files = ["/etc/web.env", "web.env"]
        directory = "web"
        user = "www-data:www-data"
        workers = { max = 8, queue = "jobs", target_lag = "5s" }
        autostart = false
        restart = "on-failure"
        backoff = { first = "1s", max = "1m", jitter = 1, reset = "1h" }
        restarts = { most = 5, within = "10m", then = "everything" }
        stop = { signal = "SIGINT", timeout = "30s", ask = "2s" }
        overlap = false
        startup = { command = "curl -f http://localhost:8000", interval = "2s", timeout = "3s", within = "4s" }
        readiness = "http://127.0.0.1:8000/health"
        liveness = { tcp = "127.0.0.1:8000", failures = 7, within = "1m" }
        depends_on = ["db", ["cache:healthy", "migrate:completed"], "object:team/jobs"]
        watch = { paths = ["src"], ignore = ["*.pyc"], delay = "1s" }
        log = { file = "logs/web-{worker}.log", size = "1MB", keep = 9 }
        [processes.web.hooks]
        before_start = "mkdir -p 'a b'"
        after_start = ["say", "hello world"]
        before_stop = [["one"], ["two", "three"]]
        after_stop = []
        [processes.db]
        command = "db"
        startup = "notify"
        [processes.cache]
        command = "cache"
        startup = "tcp://[::1]:6379"
        readiness = "session"
        liveness = { notify = true, within = "0" }
        watch = "cache.conf"
        log = "/var/log/cache.log"
        stop.signal = 12
        depends_on = "db:started"
        [processes.migrate]
        command = "migrate"
        restart = "never"
        readiness = { session = true }
    "#;
    let config = Config::from_text(Path::new("/srv/app/bursar.toml"), text).unwrap();
    assert!(config.supervise);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let web = Spec {
        env_files: words(&["/srv/app/common.env", "/etc/web.env", "/srv/app/web.env"]),
        hooks: Hooks {
            before_start: vec![words(&["mkdir", "-p", "a b"])],
            after_start: vec![words(&["say", "hello world"])],
            before_stop: vec![words(&["one"]), words(&["two", "three"])],
            ..Hooks::default()
        },
        ..Spec::new("web", ["python3", "web.py"])
    };
    let seconds = Duration::from_secs;
    let curl = Probe::command(["curl", "-f", "http://localhost:8000"]);
    let web = web
        .env("PORT", "8000")
        .env("DEBUG", "true")
        .env("RATIO", "0.5")
        .env("NAME", "x")
        .directory("/srv/app/web")
        .user("www-data:www-data")
        .workers(Workers::lag(1..=8, "jobs", seconds(5)))
        .autostart(false)
        .restart(Restart::OnFailure)
        .backoff(Backoff { first_ms: 1000, max_ms: 60_000, jitter: 1.0, reset_ms: 3_600_000 })
        .budget(Budget::new(5, seconds(600), Spent::Everything))
        .stop(Stop { signal: "SIGINT".into(), timeout_ms: 30_000, ask_ms: Some(2000) })
        .overlap(false)
        .startup(Check::new(curl).every(seconds(2)).timeout(seconds(3)).within(seconds(4)))
        .readiness(Probe::http("http://127.0.0.1:8000/health"))
        .liveness(Check::new(Probe::tcp("127.0.0.1:8000")).failures(7).within(seconds(60)))
        .after([Dependency::ready("db")])
        .after([Dependency::on("cache", Condition::Healthy), Dependency::on("migrate", Condition::Completed)])
        .after([Dependency::object("team/jobs")])
        .watch(Watch { paths: words(&["src"]), ignore: words(&["*.pyc"]), delay_ms: 1000 })
        .log(LogFile { path: "/srv/app/logs/web-{worker}.log".into(), bytes: 1_000_000, kept: 9 });
    let db = spec("db", ["db"]).startup(Probe::Notify);
    let cache = spec("cache", ["cache"])
        .startup(Probe::tcp("[::1]:6379"))
        .readiness(Probe::Session)
        .liveness(Check::new(Probe::Notify).within(Duration::ZERO))
        .watch(Watch { paths: words(&["cache.conf"]), ..Watch::default() })
        .log(LogFile::new("/var/log/cache.log"))
        .stop(Stop { signal: "12".into(), ..Stop::default() })
        .after([Dependency::on("db", Condition::Started)]);
    let migrate = spec("migrate", ["migrate"]).restart(Restart::Never).readiness(Probe::Session);
    assert_eq!(config.processes, [web, db, cache, migrate]);
}

#[test]
fn a_relative_file_is_one_of_the_working_directory() {
    let here = std::env::current_dir().unwrap();
    let config = Config::from_text(Path::new("conf/bursar.toml"), "[processes.web]\ncommand = 'x'\nlog = 'l'").unwrap();
    assert_eq!(config.processes[0].directory.as_deref(), here.join("conf").to_str());
    assert_eq!(config.processes[0].log.as_ref().map(|log| log.path.as_str()), here.join("conf/l").to_str());
}

/// Each line: what is written below `[processes.web]`, and the one thing that is said of it.
#[test]
fn a_mistake_has_its_place() {
    let table = [
        ("", "1:12: processes.web.command: found no word, expected a program and its arguments"),
        ("command = []", "2:11: processes.web.command: found no word"),
        ("command = ''", "2:11: processes.web.command: found no word"),
        ("command = '# x'", "2:11: processes.web.command: found no word"),
        ("command = ' '\nshell = true", "2:11: processes.web.command: found no word"),
        ("command = 7", "2:11: processes.web.command: found 7, expected a command: an array of strings, or one string"),
        ("command = ['x', 7]", "2:17: processes.web.command: found 7, expected a string"),
        ("command = 'echo \"x'", "2:11: processes.web.command: a quote is not closed"),
        ("command = 'a && b'", "2:11: processes.web.command: && is for a shell, and there is none: set shell = true, or"),
        (
            "command = ['x']\nshell = true",
            "2:11: processes.web.command: found an array, expected one string, because shell = true",
        ),
        ("command = 'x'\nshell = 1", "3:9: processes.web.shell: found 1, expected true or false"),
        ("command = 'x'\nwrokers = 1", "3:1: processes.web.wrokers: no such key, did you mean workers? (known here: command, "),
        ("command = 'x'\nenvironment = ['A=1']", "3:15: processes.web.environment: found an array, expected a table"),
        (
            "command = 'x'\nenvironment = { A = [] }",
            "3:21: processes.web.environment.A: found an array, expected a text, a number",
        ),
        (
            "command = 'x'\nenvironment = { 'A=' = '' }",
            "3:15: processes.web.environment: found \"A=\", expected a name without =",
        ),
        ("command = 'x'\nenv_file = 1", "3:12: processes.web.env_file: found 1, expected paths"),
        ("command = 'x'\nenv_file = ''", "3:12: processes.web.env_file: found \"\", expected paths"),
        ("command = 'x'\nenv_file = \"\\u0000\"", "3:12: processes.web.env_files: found \"/"),
        ("command = 'x'\ndirectory = ''", "3:13: processes.web.directory: found \"\", expected a path"),
        ("command = 'x'\nuser = 1000", "3:8: processes.web.user: found 1000, expected USER or USER:GROUP"),
        ("command = 'x'\nworkers = -1", "3:11: processes.web.workers: found -1, expected a whole number, or a table: {"),
        ("command = 'x'\nworkers = 5000", "3:11: processes.web.workers: found 5000, expected at most 1000: each of them"),
        ("command = 'x'\nworkers = { max = 2 }", "3:11: processes.web.workers: max, queue and target_lag must be said"),
        ("command = 'x'\nworkers = { mx = 2 }", "3:13: processes.web.workers.mx: no such key, did you mean max?"),
        (
            "command = 'x'\nworkers = { min = 9, max = 2, queue = 'q', target_lag = '1s' }",
            "3:19: processes.web.workers.min: found 9, expected at most max (2)",
        ),
        ("command = 'x'\nautostart = 'no'", "3:13: processes.web.autostart: found \"no\", expected true or false"),
        ("command = 'x'\nrestart = 'no'", "3:11: processes.web.restart: found \"no\", expected \"always\", \"on-failure\", "),
        ("command = 'x'\nbackoff = '1s'", "3:11: processes.web.backoff: found \"1s\", expected a table"),
        ("command = 'x'\nbackoff.first = 5", "3:17: processes.web.backoff.first: found 5, expected a duration with its unit"),
        ("command = 'x'\nbackoff.first = 0", "3:17: processes.web.backoff.first: found 0ms, expected at least 10ms"),
        ("command = 'x'\nbackoff.jitter = 1.5", "3:18: processes.web.backoff.jitter: found 1.5, expected a part of the time"),
        ("command = 'x'\nbackoff.jitter = 'x'", "3:18: processes.web.backoff.jitter: found \"x\", expected a part of the time"),
        ("command = 'x'\nrestarts.within = '1s'", "3:1: processes.web.restarts: most must be said"),
        (
            "command = 'x'\nrestarts = { most = 1, then = 'exit' }",
            "3:31: processes.web.restarts.then: found \"exit\", expected what",
        ),
        ("command = 'x'\nrestarts.most = 0", "3:17: processes.web.restarts.most: found 0, expected at least 1; who is never"),
        ("command = 'x'\nstop.signal = 'SIGTREM'", "3:15: processes.web.stop.signal: no signal is called \"SIGTREM\", did you"),
        (
            "command = 'x'\nstop.signal = 34",
            "3:15: processes.web.stop.signal: no signal is called \"34\" (expected a name, such as TERM or",
        ),
        ("command = 'x'\nstop = { ask = '0' }", "3:16: processes.web.stop.ask: found 0ms, expected at least 1ms"),
        ("command = 'x'\nstartup = 'ready'", "3:11: processes.web.startup: found \"ready\", expected \"session\", \"notify\", "),
        ("command = 'x'\nstartup = { notify = true, failures = 2 }", "3:28: processes.web.startup.failures: no such key"),
        ("command = 'x'\nreadiness = {}", "3:13: processes.web.readiness: expected one of command, tcp, http, session and"),
        ("command = 'x'\nliveness = { notify = true, tcp = 'h:1' }", "3:12: processes.web.liveness: expected one of"),
        ("command = 'x'\nliveness = { session = false }", "3:24: processes.web.liveness.session: found false, expected true"),
        (
            "command = 'x'\nliveness = { command = [['x'], ['y']] }",
            "3:24: processes.web.liveness.command: found an array, expected one",
        ),
        ("command = 'x'\nliveness = { tcp = 'h' }", "3:12: processes.web.liveness: found \"h\", expected HOST:PORT"),
        ("command = 'x'\nliveness = 'tcp:h'", "3:12: processes.web.liveness: found \"h\", expected HOST:PORT"),
        ("command = 'x'\nliveness = 'https://h/'", "3:12: processes.web.liveness: found \"https://h/\", expected http://"),
        ("command = 'x'\nliveness = { session = true, interval = '0' }", "3:41: processes.web.liveness.interval: found 0ms"),
        ("command = 'x'\ndepends_on = ['wbe']", "3:14: processes.web.depends_on: there is no process \"wbe\""),
        ("command = 'x'\ndepends_on = ['web']", "3:14: processes.web.depends_on: it depends on itself"),
        (
            "command = 'x'\ndepends_on = [['b:helthy']]",
            "3:16: processes.web.depends_on: found \"b:helthy\", expected started, ready, healthy or completed behind the name, did you mean b:healthy?",
        ),
        ("command = 'x'\ndepends_on = [1]", "3:15: processes.web.depends_on: found 1, expected NAME, NAME:started, "),
        ("command = 'x'\nhooks.before = 'x'", "3:7: processes.web.hooks.before: no such key, did you mean before_stop?"),
        (
            "command = 'x'\nhooks.before_stop = [['x'], 'y']",
            "3:29: processes.web.hooks.before_stop: found \"y\", expected a command",
        ),
        ("command = 'x'\nhooks.before_stop = [[]]", "3:21: processes.web.hooks.before_stop: found no word"),
        ("command = 'x'\nhooks.after_stop = 'a > b'", "3:20: processes.web.hooks.after_stop: > is for a shell"),
        ("command = 'x'\nwatch = 1", "3:9: processes.web.watch: found 1, expected paths, or a table"),
        ("command = 'x'\nwatch = { ignore = ['*.pyc'] }", "3:9: processes.web.watch.paths: found none"),
        ("command = 'x'\nlog = true", "3:7: processes.web.log: found true, expected a path, or a table"),
        ("command = 'x'\nlog = { size = '1MB' }", "3:7: processes.web.log.file: found \"\", expected a path"),
        (
            "command = 'x'\nlog = { file = 'l', size = '1 mega' }",
            "3:28: processes.web.log.size: found \"1 mega\", expected a size",
        ),
        ("command = 'x'\nlog = { file = 'l', size = 5 }", "3:28: processes.web.log.size: found 5, expected at least 4096"),
    ];
    for (keys, expected) in table {
        let report = report(&format!("[processes.web]\n{keys}"));
        assert_eq!(report.len(), 1, "{keys}: {report:#?}");
        assert!(
            report[0].starts_with(&format!("bursar.toml:{expected}")),
            "{keys}\nexpected: {expected}\n  actual: {}",
            report[0]
        );
    }
}

#[test]
fn mistakes_of_several_processes_are_one_report() {
    let text = "supervise = 1\n[queues.web-active]\n[channels.web-control]\n[objects.'bursar/processes']\n\
        [processes.web]\ncommand = 'x'\ndepends_on = ['mail']\n\
        [processes.mail]\ncommand = 'y'\ndepends_on = ['web', 'slow:completed']\nworkers = 'two'\n\
        [processes.'s p']\n[processes.slow]\ncommand = 's'\n[processes.object]\ncommand = 'o'\n[processes]\nx = 1\n";
    let expected = [
        "bursar.toml:1:13: supervise: found 1, expected true or false",
        "bursar.toml:2:9: web-active is a channel of the process web: give one of them another name",
        "bursar.toml:4:10: the name bursar/processes is the supervisor's",
        "bursar.toml:10:14: processes.mail.depends_on: slow never completes, because it is started again whenever it ends",
        "bursar.toml:10:14: processes.mail.depends_on: dependencies in a circle: mail -> web -> mail",
        "bursar.toml:11:11: processes.mail.workers: found \"two\", expected a whole number, or a table",
        "bursar.toml:12:12: processes.s p.name: found \"s p\" (3 bytes), expected a name of 1 to 192 characters",
        "bursar.toml:12:12: processes.s p.command: found no word",
        "bursar.toml:15:12: processes.object.name: a process cannot be called \"object\"",
        "bursar.toml:18:5: processes.x: found 1, expected a table: [processes.x]",
    ];
    let report = report(text);
    assert_eq!(report.len(), expected.len(), "{report:#?}");
    for (actual, expected) in report.iter().zip(expected) {
        assert!(actual.starts_with(expected), "expected: {expected}\n  actual: {actual}");
    }
}

proptest::proptest! {
    /// Values of every shape under every key.
    #[test]
    fn no_file_is_too_strange(
        keys in proptest::collection::vec((0..PROCESS.len(), "(-?[0-9]{1,3}|[0-9]\\.[0-9]|true|'\\PC{0,8}'|'(a:b|tcp:|http://|x \\|)'|\\[('a',)?\\]|\\[\\['a'\\],'b'\\]|\\{ ?(min|first|most|signal|tcp|command|paths|file|before_stop) = ('a'|1|\\[\\]) \\})"), 0..6),
    ) {
        let mut text = String::from("[processes.web]\n");
        keys.iter().for_each(|(key, value)| text.push_str(&format!("{} = {value}\n", PROCESS[*key].name)));
        let _ = Config::from_text(Path::new("bursar.toml"), &text);
    }

    #[test]
    fn no_procfile_is_too_strange(text in "([a-c:# \n]|\\PC){0,30}") {
        let _ = Config::from_text(Path::new("/nonexistent/Procfile"), &text);
    }
}
