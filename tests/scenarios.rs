//! The scenario files, played on every driver. Their grammar stands in scenarios/README.md.

mod arguments;
mod kind;
mod play;
mod script;
mod sdk;
mod wire;

use play::{Driver, play};
use script::Scenario;
use std::path::Path;

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
fn sdk_over_unix() {
    play_all(sdk::Sdk::new(sdk::Transport::Unix));
}

#[test]
fn sdk_over_tcp() {
    play_all(sdk::Sdk::new(sdk::Transport::Tcp));
}

#[test]
fn sdk_in_memory() {
    play_all(sdk::Sdk::new(sdk::Transport::Memory));
}
