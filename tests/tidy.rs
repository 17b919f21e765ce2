//! Tidiness: the structure that ARCHITECTURE.md promises, checked as text. Each rule says what to do instead.

use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The Rust files below a folder, by their path from the root, without their tests, comments and documentation.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                if !name.ends_with("/tests.rs") && !name.contains("/tests/") {
                    found.push((name, code_of(&fs::read_to_string(&path).unwrap())));
                }
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

fn code_of(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// Every place where one of the words stands in one of the files.
fn places(files: &[(String, String)], words: &[&str]) -> Vec<String> {
    let mut places = Vec::new();
    for (name, code) in files {
        for (number, line) in code.lines().enumerate() {
            places.extend(
                words
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{name} (line {} of its code): {word}: {}", number + 1, line.trim())),
            );
        }
    }
    places
}

fn forbid(files: &[(String, String)], words: &[&str], instead: &str) {
    let places = places(files, words);
    assert!(places.is_empty(), "{instead}:\n  {}", places.join("\n  "));
}

fn without(files: Vec<(String, String)>, names: &[&str]) -> Vec<(String, String)> {
    for name in names {
        assert!(files.iter().any(|(file, _)| file.contains(name)), "the exception {name} is not there any more");
    }
    files.into_iter().filter(|(file, _)| !names.iter().any(|name| file.contains(name))).collect()
}

#[test]
fn crates_know_only_what_they_may() {
    let dependencies = |name: &str| {
        let text = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        manifest["dependencies"].as_table().unwrap().keys().cloned().collect::<BTreeSet<_>>()
    };
    assert!(!dependencies("client").contains("bursar-server"), "the client runs without a broker in it");
    for name in ["bursar", "bursar-server"] {
        assert!(!dependencies("proto").contains(name), "the contract knows neither end");
    }
    let rival = ["redis", "lapin", "async-nats"];
    for name in ["proto", "client", "server", "examples"] {
        assert!(!rival.iter().any(|rival| dependencies(name).contains(*rival)), "rivals stay in bench");
    }
    for name in ["server/lifecycle", "server/supervisor"] {
        assert!(!dependencies(name).iter().any(|other| other.starts_with("bursar")), "{name} knows no broker");
    }
    let server =
        without(sources("server/src"), &["server/src/cli", "server/src/own", "server/src/config", "server/src/supervisor"]);
    forbid(
        &server,
        &["use bursar::", " bursar::"],
        "only cli/ is a client, and own/ and supervisor/ speak of objects as one does",
    );
    let client = sources("client/src");
    forbid(&client, &["bursar_server"], "the client runs without a broker in it");
}

#[test]
fn kinds_are_pure() {
    for kind in bursar_proto::KINDS {
        let mut files = sources("server/src/objects");
        files.retain(|(name, _)| {
            (name.contains(&format!("objects/{kind}.rs")) || name.contains(&format!("objects/{kind}/")))
                && !name.ends_with("wire.rs")
        });
        let impure = [
            "tokio",
            "tonic",
            "tracing",
            "prost",
            "Instant",
            "SystemTime",
            "Mutex",
            "mpsc",
            "oneshot",
            "v1::",
            "host::",
            "async ",
            "fastrand",
            "random",
        ];
        forbid(&files, &impure, "a kind decides and evolves; what it needs of the world is given to it");
        let others = bursar_proto::KINDS.iter().filter(|other| *other != kind);
        let others: Vec<String> = others.flat_map(|other| [format!("super::{other}"), format!("objects::{other}")]).collect();
        forbid(&files, &others.iter().map(String::as_str).collect::<Vec<_>>(), "kinds do not know each other");
    }
}

#[test]
fn what_is_done_with_processes_is_decided_without_them() {
    let files = sources("server/supervisor/src");
    let (pure, others): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|(name, _)| name.ends_with("plan.rs") || name.contains("src/plan/") || name.ends_with("policy.rs"));
    let impure = ["tokio", "rustix", "Instant", "SystemTime", "Mutex", "async ", "fastrand", "random", "process::"];
    forbid(&pure, &impure, "a plan decides; what it needs of the world is given to it");
    let others = without(others, &["src/spawn.rs", "src/spawn/"]);
    forbid(
        &others,
        &["Command::", "kill_process", "pidfd", "rustix::process", "rustix::{process"],
        "processes are started and killed in one room",
    );
}

#[test]
fn rooms_do_not_look_into_each_other() {
    forbid(&sources("server/src/engine"), &["objects::", "sessions::", "transport::"], "an engine keeps opaque changes");
    forbid(
        &sources("server/src/objects"),
        &["memory::", "MemoryLog", "sessions::", "transport::", "auth::"],
        "objects know only the shard",
    );
    let sessions = without(sources("server/src/sessions"), &["stream.rs", "unary.rs", "table.rs"]);
    forbid(&sessions, &["transport::", "tonic"], "a session knows its link, not what it is made of");
    let auth = without(sources("server/src/auth"), &["gate.rs", "service.rs"]);
    forbid(&auth, &["tokio", "tonic", "transport::"], "the handshake is a pure step machine");
}

#[test]
fn statuses_are_made_in_one_file() {
    let files = without(sources("server/src"), &["server/src/faults.rs"]);
    let makers = ["Status::new(", "Status::with_", "Status::from_", " Code::", "(Code::"];
    forbid(&files, &makers, "make a Fault, and its status in faults.rs");
}

#[test]
fn concurrent_maps_stay_in_the_registry_and_the_session_table() {
    let files = without(sources("server/src"), &["objects/registry.rs", "sessions/table.rs"]);
    forbid(&files, &["DashMap", "dashmap"], "their guards must not leave the function: use what registry and table offer");
}

#[test]
fn the_clock_is_read_and_processes_are_started_in_one_file() {
    let files = without(sources("server/src"), &["server/src/clock.rs", "server/src/cli"]);
    forbid(&files, &["Instant::now", "SystemTime::now"], "time is received: take a Clock or a Moment");
    let files = without(sources("server/src"), &["cli/child.rs"]);
    forbid(&files, &["Command::new(\"", "process::Command", ".spawn()?"], "processes are started in one file");
    let files = without(sources("server/src"), &["server/src/cli.rs", "cli/queue/work.rs"]);
    forbid(&files, &["tokio::spawn(", "thread::spawn("], "every task has an owner: a JoinSet or a TaskTracker");
}

#[test]
fn nothing_is_unbounded() {
    let mut files = sources("server/src");
    files.extend(["client/src", "server/lifecycle/src", "server/supervisor/src"].into_iter().flat_map(sources));
    forbid(&files, &["unbounded", "mpsc::channel()"], "every buffer has a size with a reason");
}

/// `proto/bursar/v1` only grows: what tests/contract.txt lists is there for ever, and what is new is added to it.
#[test]
fn the_contract_only_grows() {
    let descriptors = prost_types::FileDescriptorSet::decode(bursar_proto::DESCRIPTORS).unwrap();
    let mut lines = BTreeSet::new();
    for file in &descriptors.file {
        let package = file.package();
        for message in &file.message_type {
            describe(&format!("{package}.{}", message.name()), message, &mut lines);
        }
        for enumeration in &file.enum_type {
            for value in &enumeration.value {
                lines.insert(format!("{package}.{}.{} = {}", enumeration.name(), value.name(), value.number()));
            }
        }
        for service in &file.service {
            for method in &service.method {
                let streams = |is_stream| if is_stream { "stream " } else { "" };
                lines.insert(format!(
                    "{package}.{}/{}({}{}) returns ({}{})",
                    service.name(),
                    method.name(),
                    streams(method.client_streaming()),
                    method.input_type(),
                    streams(method.server_streaming()),
                    method.output_type()
                ));
            }
        }
    }
    lines.extend(bursar_proto::Fault::TABLE.iter().map(|(number, name)| format!("fault {number} {name}")));
    let path = root().join("tests/contract.txt");
    let kept: BTreeSet<String> = fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect();
    let gone: Vec<_> = kept.difference(&lines).collect();
    assert!(gone.is_empty(), "numbers and names are for ever; these are gone or changed: {gone:#?}");
    if std::env::var_os("BURSAR_BLESS").is_some() {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        return fs::write(&path, text).unwrap();
    }
    let new: Vec<_> = lines.difference(&kept).collect();
    assert!(new.is_empty(), "new in the contract; once they are right, run this test with BURSAR_BLESS=1: {new:#?}");
}

fn describe(name: &str, message: &prost_types::DescriptorProto, lines: &mut BTreeSet<String>) {
    for field in &message.field {
        let kind = match field.type_name() {
            "" => format!("{:?}", field.r#type()),
            name => name.to_owned(),
        };
        lines.insert(format!("{name}.{} = {} {:?} {kind}", field.name(), field.number(), field.label()));
    }
    for nested in &message.nested_type {
        describe(&format!("{name}.{}", nested.name()), nested, lines);
    }
    for enumeration in &message.enum_type {
        for value in &enumeration.value {
            lines.insert(format!("{name}.{}.{} = {}", enumeration.name(), value.name(), value.number()));
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_but_in_one_crate() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for name in ["proto", "client", "client/macros", "server", "server/lifecycle", "server/supervisor", "examples", "bench"] {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name}/Cargo.toml takes the lints of the workspace");
    }
    let memory = sources("proto/memory/src");
    let (places, reasons) = (places(&memory, &["unsafe "]).len(), memory_reasons());
    assert!(places <= 4 && reasons >= 3, "unsafe code of proto/memory: {places} places, {reasons} reasons");
}

/// How often it says why unsafe code is sound.
fn memory_reasons() -> usize {
    let texts = ["sealed.rs", "scattered.rs"].map(|name| fs::read_to_string(root().join("proto/memory/src").join(name)).unwrap());
    texts.iter().map(|text| text.matches("// SAFETY: ").count()).sum()
}

#[test]
fn every_file_says_what_it_is() {
    let crates = [
        "proto/src",
        "proto/memory/src",
        "client/src",
        "client/macros",
        "server/src",
        "server/lifecycle/src",
        "server/supervisor/src",
    ];
    for folder in crates.into_iter().chain(["examples", "bench", "tests"]) {
        let mut silent = Vec::new();
        for (name, _) in sources(folder) {
            let text = fs::read_to_string(root().join(&name)).unwrap();
            if !text.starts_with("//!") {
                silent.push(name);
            }
        }
        assert!(silent.is_empty(), "a file opens with what it is, and what it is not: {silent:?}");
    }
}

/// A mutant that does not apply any more tests nothing.
#[test]
fn every_mutant_applies() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("tests/mutants")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            let status = Command::new("git").args(["apply", "--check"]).arg(&path).current_dir(root()).output();
            let Ok(output) = status else { return crate::harness::skip("every_mutant_applies", "git", "install git") };
            assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} mutants");
}

/// The links between documents lead somewhere, and the options that the README names exist.
#[test]
fn documents_point_at_what_is_there() {
    let mut missing = BTreeMap::new();
    let roots = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    let docs = ["docs/configuration.md", "docs/operations.md", "docs/protocol.md", "docs/performance.md"];
    for document in roots.into_iter().chain(docs) {
        let path = root().join(document);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") && !path.parent().unwrap().join(target).exists() {
                missing.insert(link.to_owned(), document);
            }
        }
    }
    assert!(missing.is_empty(), "links to nothing: {missing:?}");
}
