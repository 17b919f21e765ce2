use super::*;
use std::time::Duration;

fn web() -> Spec {
    Spec::new("web", ["./web"])
}

fn check(probe: Probe) -> Spec {
    web().liveness(probe)
}

#[test]
fn what_people_write_is_kept() {
    let specs = [
        web(),
        web().workers(0).workers(1000),
        web().workers(Workers::lag(0..=8, "team/jobs", Duration::from_secs(5))),
        web().user("www-data").user("1000:1000"),
        web().stop(Stop { signal: "kill".into(), timeout_ms: 0, ask_ms: Some(1000) }),
        web().budget(Budget::new(5, Duration::from_secs(600), Spent::Everything)),
        check(Probe::Session),
        check(Probe::Notify),
        check(Probe::command(["true"])),
        check(Probe::tcp("localhost:80")),
        check(Probe::tcp("[::1]:65535")),
        check(Probe::http("http://127.0.0.1:8000/health?full=1")),
        check(Probe::http("http://my_host/")),
        check(Probe::http("http://[::1]:8000")),
        web().after([Dependency::object("team/jobs")]),
        Spec::new("_under.score-9", ["x", ""]),
        Spec::new("n".repeat(192), ["x"]),
    ];
    for spec in specs {
        assert_eq!(spec.check(), Ok(()), "{spec:?}");
    }
}

/// Each line: a spec that has one mistake, and what is said of it.
#[test]
fn a_mistake_is_told_with_its_field_and_what_is_expected() {
    let backoff = |backoff| web().backoff(backoff);
    let stop = |stop| web().stop(stop);
    let lag = |min, max, queue: &str, ms| web().workers(Workers::lag(min..=max, queue, Duration::from_millis(ms)));
    let hooks = |commands: &[&[&str]]| {
        let commands = commands.iter().map(|command| command.iter().map(|word| (*word).into()).collect()).collect();
        web().hooks(Hooks { before_stop: commands, ..Hooks::default() })
    };
    let table: Vec<(Spec, &str)> = vec![
        (Spec::new("", ["x"]), "name: found \"\" (0 bytes), expected a name of 1 to 192 characters of A-Z a-z 0-9 . _ -"),
        (Spec::new("n".repeat(193), ["x"]), "name: found \"nnn"),
        (Spec::new("a/b", ["x"]), "name: found \"a/b\""),
        (Spec::new("-x", ["x"]), "name: found \"-x\""),
        (Spec::new("object", ["x"]), "name: a process cannot be called \"object\""),
        (Spec::new::<&str>("web", []), "command: found no word"),
        (Spec::new("web", ["", "x"]), "command: the program's name is empty"),
        (Spec::new("web", ["x", "a\0b"]), "command: \"a\\0b\" has a NUL byte"),
        (web().env("A=B", "x"), "environment: found \"A=B\", expected a name without = and NUL"),
        (web().env("", "x"), "environment: found \"\""),
        (web().env("A", "\0"), "environment: the value of A has a NUL byte"),
        (web().env_file(""), "env_files: found \"\", expected a path"),
        (web().directory("a\0"), "directory: found \"a\\0\", expected a path"),
        (web().user("a b"), "user: found \"a b\", expected USER or USER:GROUP"),
        (web().user("a:"), "user: found \"a:\""),
        (web().user("a:b:c"), "user: found \"a:b:c\""),
        (web().workers(1001), "workers: found 1001, expected at most 1000: each of them is two processes on this host"),
        (lag(0, 0, "jobs", 1), "workers.max: found 0, expected at least 1"),
        (lag(3, 2, "jobs", 1), "workers.min: found 3, expected at most max (2)"),
        (lag(1, 2, "", 1), "workers.queue: it is the queue whose lag counts; "),
        (lag(1, 2, "jobs", 0), "workers.target_lag_ms: found 0ms, expected at least 1ms"),
        (backoff(Backoff { first_ms: 0, ..Backoff::default() }), "backoff.first_ms: found 0ms, expected at least 10ms"),
        (
            backoff(Backoff { first_ms: 200, max_ms: 100, ..Backoff::default() }),
            "backoff.first_ms: found 200ms, expected at most max",
        ),
        (backoff(Backoff { jitter: f64::NAN, ..Backoff::default() }), "backoff.jitter: found NaN, expected a part"),
        (backoff(Backoff { jitter: 1.5, ..Backoff::default() }), "backoff.jitter: found 1.5"),
        (
            backoff(Backoff { reset_ms: u64::MAX, ..Backoff::default() }),
            "backoff.reset_ms: found 18446744073709551615ms, expected at most 1000d",
        ),
        (web().budget(Budget::new(0, Duration::from_secs(1), Spent::Worker)), "budget.restarts: found 0, expected at least 1"),
        (web().budget(Budget::new(1, Duration::ZERO, Spent::Worker)), "budget.within_ms: found 0ms"),
        (
            stop(Stop { signal: "SIGHUB".into(), ..Stop::default() }),
            "stop.signal: no signal is called \"SIGHUB\", did you mean SIGHUP?",
        ),
        (stop(Stop { ask_ms: Some(0), ..Stop::default() }), "stop.ask_ms: found 0ms"),
        (check(Probe::command::<&str>([])), "liveness.probe: found no word"),
        (check(Probe::tcp("localhost")), "liveness.probe: found \"localhost\", expected HOST:PORT"),
        (check(Probe::tcp(":80")), "liveness.probe: found \":80\""),
        (check(Probe::tcp("::1:80")), "liveness.probe: found \"::1:80\""),
        (check(Probe::tcp("h:0")), "liveness.probe: found \"h:0\""),
        (check(Probe::tcp("h:+80")), "liveness.probe: found \"h:+80\""),
        (check(Probe::tcp("h:65536")), "liveness.probe: found \"h:65536\""),
        (
            check(Probe::http("https://h/")),
            "liveness.probe: found \"https://h/\", expected http://HOST[:PORT]/PATH: a check looks at its own",
        ),
        (check(Probe::http("http://u@h/")), "liveness.probe: found \"http://u@h/\""),
        (check(Probe::http("http://h:0/")), "liveness.probe: found \"http://h:0/\""),
        (check(Probe::http("http:///x")), "liveness.probe: found \"http:///x\""),
        (check(Probe::http("/health")), "liveness.probe: found \"/health\""),
        (check(Probe::http("http://h/a b")), "liveness.probe: found \"http://h/a b\""),
        (web().readiness(Check::default().every(Duration::ZERO)), "readiness.interval_ms: found 0ms, expected at least 10ms"),
        (web().readiness(Check::default().timeout(Duration::ZERO)), "readiness.timeout_ms: found 0ms"),
        (web().readiness(Check::default().failures(0)), "readiness.failures: found 0, expected at least 1"),
        (web().startup(Check::default().within(Duration::ZERO)), "startup.within_ms: found 0ms"),
        (web().after([Dependency::ready("a:b")]), "dependencies: found \"a:b\""),
        (web().after([Dependency::object("a b")]), "dependencies: name: expected 1 to 200 characters"),
        (hooks(&[&["x"], &[]]), "hooks.before_stop: found no word"),
        (web().watch(Watch::default()), "watch.paths: found none, expected files or folders"),
        (web().watch(Watch { paths: vec!["".into()], ..Watch::default() }), "watch.paths: found \"\""),
        (web().watch(Watch { paths: vec!["x".into()], ignore: vec!["a/b".into()], delay_ms: 1 }), "watch.ignore: expected names"),
        (web().watch(Watch { paths: vec!["x".into()], ignore: vec![], delay_ms: 0 }), "watch.delay_ms: found 0ms"),
        (web().log(LogFile::new("")), "log.path: found \"\""),
        (web().log(LogFile { bytes: 10, ..LogFile::new("x") }), "log.bytes: found 10, expected at least 4096"),
        (web().log(LogFile { kept: 1001, ..LogFile::new("x") }), "log.kept: found 1001, expected at most 1000"),
    ];
    for (spec, expected) in table {
        let problems = spec.check().expect_err(expected);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(expected), "expected: {expected}\n  actual: {}", problems[0]);
    }
}

#[test]
fn all_that_is_wrong_is_told() {
    let spec = Spec::new::<&str>("a b", []).workers(2000).env("", "").stop(Stop { signal: "x".into(), ..Stop::default() });
    assert_eq!(spec.check().unwrap_err().len(), 5);
}

fn texts(specs: &[Spec]) -> Vec<String> {
    problems_of(specs).iter().map(|problem| format!("{}: {}: {}", problem.process, problem.field, problem.text)).collect()
}

#[test]
fn dependencies_have_to_lead_somewhere() {
    let process = |name: &str, on: Dependency| Spec::new(name, ["x"]).after([on]);
    let specs = [
        process("web", Dependency::ready("chache")),
        process("cache", Dependency::ready("cache")),
        process("jobs", Dependency::on("web", Condition::Completed)),
        process("mail", Dependency::on("migrate", Condition::Completed)),
        process("other", Dependency::ready("quite-else")),
        Spec::new("migrate", ["x"]).restart(Restart::OnFailure),
        Spec::new("migrate", ["y"]),
    ];
    let expected = [
        "migrate: name: another process is called \"migrate\", too",
        "web: dependencies: there is no process \"chache\", did you mean \"cache\"?",
        "cache: dependencies: it depends on itself",
        "jobs: dependencies: web never completes, because it is started again whenever it ends: give it restart = \"on-failure\" or \"never\"",
        "other: dependencies: there is no process \"quite-else\"",
    ];
    assert_eq!(texts(&specs), expected);
}

#[test]
fn circles_are_shown() {
    let process = |name: &str, on: &[&str]| Spec::new(name, ["x"]).after(on.iter().map(|name| Dependency::ready(*name)));
    let line = [process("a", &["b", "c"]), process("b", &["d"]), process("c", &["d"]), process("d", &[])];
    assert_eq!(texts(&line), [""; 0]);
    let circle = [process("a", &["b"]), process("b", &["c"]), process("c", &["d", "b"]), process("d", &[])];
    assert_eq!(texts(&circle), ["b: dependencies: dependencies in a circle: b -> c -> b"]);
    let two = [process("a", &["b"]), process("b", &["a"]), process("x", &["y", "a"]), process("y", &["x"])];
    assert_eq!(texts(&two).len(), 2, "{:?}", texts(&two));
}

/// Whatever comes in by rpc is judged, not trusted.
#[test]
fn no_spec_is_too_strange_to_be_judged() {
    let mut random = fastrand::Rng::with_seed(7);
    let words = ["", "a", "b", "object", "-", "a/b", "\0", "http://", "http://h", "[", "]:1", "::", "a:1", "ä", "SIGTERM", "65"];
    let mut word = move || words[random.usize(..words.len())].to_owned();
    let mut random = fastrand::Rng::with_seed(8);
    for _ in 0..5000 {
        let mut number = || [0, 1, 1000, u64::MAX][random.usize(..4)];
        let spec = Spec {
            workers: Workers::Lag { min: number() as u32, max: number() as u32, queue: word(), target_lag_ms: number() },
            stop: Stop { ask_ms: Some(number()), signal: word(), timeout_ms: number() },
            liveness: Some(Check { interval_ms: number(), within_ms: number(), ..Check::new(Probe::Http(word())) }),
            readiness: Some(Check::new(Probe::Tcp(word()))),
            user: Some(word()),
            ..Spec::new(word(), [word()]).after([Dependency::ready(word()), Dependency::ready(word())])
        };
        let others = [spec, Spec::new("a", ["x"]).after([Dependency::ready(word())])];
        problems_of(&others);
    }
}
