//! Tests that `docs/configuration.md` says what is read here: its examples are read, its tables have the keys that are accepted, and the
//! defaults in it are the defaults.

use super::{Config, Limits, declare, file, processes};
use bursar::processes::Spec;
use std::{collections::BTreeSet, path::Path};

const DOCUMENT: &str = include_str!("../../../docs/configuration.md");

/// The blocks of the document in a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    DOCUMENT.split(&*fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn read(text: &str) -> Config {
    Config::from_text(Path::new("/srv/bursar.toml"), text).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"))
}

/// What stands in `backquotes` in a text.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The keys in the table below a heading.
fn keys_below(heading: &str) -> BTreeSet<&'static str> {
    let start = DOCUMENT.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let section = &DOCUMENT[start + heading.len() + 2..];
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row[3..].split('`').next().unwrap()).collect()
}

#[test]
fn every_example_is_taken() {
    assert!(blocks("toml").len() >= 4);
    blocks("toml").into_iter().for_each(|block| drop(read(block)));
    let procfile = Config::from_text(Path::new("/srv/Procfile"), blocks("Procfile")[0]).unwrap();
    assert_eq!(procfile.processes.len(), 2);
    let variables = super::env_file::parse(blocks("sh")[0]).unwrap();
    let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["PORT", "GREETING", "PATTERN", "BANNER"]);
    assert_eq!(variables[3].1, "two\nlines, a tab \t and a quote \"");
}

#[test]
fn every_key_is_documented_and_every_documented_key_is_accepted() {
    for (heading, accepted) in processes::keys().into_iter().chain(file::keys()) {
        assert_eq!(keys_below(heading), accepted.into_iter().collect(), "below {heading}");
    }
    for kind in declare::KINDS {
        let start = format!("| `[{}.NAME]` | ", kind.section);
        let row = DOCUMENT.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("no row {start}"));
        assert_eq!(quoted(row), kind.keys.iter().map(|key| key.name).collect(), "{row}");
        assert_eq!(row.contains("(must be said)"), !kind.required.is_empty(), "{row}");
    }
}

#[test]
fn what_is_said_to_be_the_default_is() {
    let limits = blocks("toml").into_iter().find(|block| block.starts_with("[limits]")).unwrap();
    // What the descriptors of the host leave is not the same everywhere.
    let usual = Limits { connections: 4096, pre_auth_connections: 256, ..Limits::default() };
    assert_eq!(read(limits).limits, usual);
    let twins = blocks("toml").into_iter().find(|block| block.starts_with("[processes.long]")).unwrap();
    let mut twins = read(twins).processes.into_iter();
    let (long, short) = (twins.next().unwrap(), twins.next().unwrap());
    assert_eq!(Spec { directory: short.directory.clone(), ..long }, Spec { name: "long".into(), ..short });
}
