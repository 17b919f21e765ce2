//! The scenario files, played on every driver. Their grammar stands in scenarios/README.md.

mod arguments;
mod kind;
mod kinds;
mod play;
mod remote;
mod script;
mod sdk;
mod served;
mod talks;
mod unary;
mod wire;

use play::{Driver, play};
use remote::{Remote, Transport};
use script::Scenario;
use sdk::Sdk;
use std::path::Path;
use unary::Unary;

/// All scenarios of all files.
fn scenarios() -> Vec<Scenario> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let entries = std::fs::read_dir(directory).expect("the directory is there").map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let name = format!("tests/scenarios/{}", path.file_name().unwrap().display());
        script::parse(&name, &std::fs::read_to_string(path).unwrap()).unwrap_or_else(|problem| panic!("{problem}"))
    };
    files.iter().flat_map(read).collect()
}

/// Plays everything that the driver can, and reports every failure.
fn play_all(mut driver: impl Driver) {
    let scenarios = scenarios();
    let playable: Vec<_> = scenarios.iter().filter(|scenario| scenario.needs.iter().all(|need| driver.has(need))).collect();
    assert!(!playable.is_empty(), "nothing to play on {}", driver.name());
    let failures: Vec<String> = playable.iter().filter_map(|scenario| play(&mut driver, scenario).err()).collect();
    println!("{}: played {} of {} scenarios", driver.name(), playable.len(), scenarios.len());
    assert!(failures.is_empty(), "{} of {} scenarios failed\n\n{}\n", failures.len(), playable.len(), failures.join("\n\n"));
}

#[test]
fn kind() {
    play_all(kind::Kinds::new());
}

#[test]
fn unary() {
    play_all(Remote::<Unary>::new(Transport::Tcp));
}

#[test]
fn sdk_over_unix() {
    play_all(Remote::<Sdk>::new(Transport::Unix));
}

#[test]
fn sdk_over_tcp() {
    play_all(Remote::<Sdk>::new(Transport::Tcp));
}

#[test]
fn sdk_in_memory() {
    play_all(Remote::<Sdk>::new(Transport::Memory));
}

/// A test that cannot fail is a defect: a wrong expectation fails, and is reported with all that is needed to mend it.
#[test]
fn a_wrong_expectation_is_reported_with_its_place() {
    let script = "== Two and two\nA queue.create jobs -> ok\n\nA queue.put jobs \"a\" -> ok id=2\n";
    let scenario = &script::parse("sums.txt", script).unwrap()[0];
    let problem = play(&mut kind::Kinds::new(), scenario).unwrap_err();
    let expected = "sums.txt:4 on kind: Two and two\n  step      A queue.put jobs \"a\" -> ok id=2\n  expected  ok id=2\n  actual    ok id=1";
    assert_eq!(problem, expected);
}

#[test]
fn numbers_are_reported_with_the_names_that_the_script_gives_them() {
    let script = "== A token\nA lock.create l -> ok\nA lock.acquire l -> ok as g\nA objects.waits l -> holds B token=g";
    let problem = play(&mut kind::Kinds::new(), &script::parse("f", script).unwrap()[0]).unwrap_err();
    let (_, names) = problem.split_once("\n  names     g=").expect("g is among what is reported");
    assert!(problem.contains(&format!("expected  holds B token={names}\n")), "{problem}");
}

#[test]
fn what_waits_is_checked_then_and_at_the_end() {
    let fails = |steps: &str, problem: &str| {
        let script = format!("== It waits\nA queue.create jobs -> ok\nB queue.get jobs wait=forever -> waits\n{steps}");
        let actual = play(&mut kind::Kinds::new(), &script::parse("f", &script).unwrap()[0]).unwrap_err();
        assert!(actual.contains(problem), "{steps}: {actual}");
    };
    fails("-> B: item 1 \"a\"", "actual    waits");
    fails("A queue.put jobs \"a\" -> ok\n-> B: waits", "actual    item 1 \"a\"");
    fails("A queue.put jobs \"a\" -> ok", "at its end a call of B is answered: item 1 \"a\"");
    fails("C queue.get jobs -> waits", "actual    empty");
    fails("-> C: ok", "no call of C was said to wait");
    fails("B queue.done jobs l1 -> ok", "expected a lease, a number, got \"l1\"");
    fails("B queue.get jobs colour=red -> ok", "colour=");
}

#[test]
fn mistakes_of_grammar_are_refused_with_their_line() {
    for line in [
        "A queue.put jobs \"a -> ok",
        "A queue.put jobs \"a\"",
        "A queue.put jobs \"a\" ->",
        "A queue.put -> ok",
        "A put jobs \"a\" -> ok",
        "a queue.put jobs \"a\" -> ok",
        "time 500",
        "time +soon",
        "-> B item 1",
        "needs: luck",
        "A leaves",
        "A queue.put jobs \"a\"*x -> ok",
        "A queue.get jobs -> item 1 \"a\" as",
    ] {
        let problem = script::parse("f", &format!("== Title\n{line}")).expect_err(line);
        assert!(problem.starts_with("f:2: "), "{problem}");
    }
    assert!(script::parse("f", "A dies").unwrap_err().contains("== TITLE"));
    assert!(script::parse("f", "== One\n== One").unwrap_err().contains("there already"));
}
