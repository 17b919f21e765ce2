//! A client that nobody here wrote: grpcio from PyPI, with nothing of bursar but the `.proto` files, speaks to the real broker. What
//! it expects stands in `interop/*.py`; here it gets its tools, a broker and a verdict.
//!
//! docs/protocol.md is under test as well: its table of faults, its test vectors, and the client that it shows.

mod shelf;

use crate::harness::{self, Broker};
use bursar_proto::Fault;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

#[test]
fn a_stranger_shakes_hands() {
    on_both_transports("handshake.py", &[PROTOCOL_MD]);
}

#[test]
fn a_stranger_calls_one_rpc_per_verb() {
    on_both_transports("unary.py", &[]);
}

#[test]
fn a_stranger_serves_an_object_and_another_calls_it() {
    on_both_transports("served.py", &[]);
}

#[test]
fn a_stranger_uses_the_session_stream() {
    on_both_transports("stream.py", &[]);
}

/// A unary client once lost its lease while it worked on the item: its session ended for silence just before the keepalive ping
/// that would have been heard, and every later call on the connection was refused.
#[test]
fn an_idle_connection_keeps_what_it_holds() {
    let Some(python) = python("an_idle_connection_keeps_what_it_holds") else { return };
    let broker = Broker::start_limited("session_ttl = \"500ms\"");
    run(&python, &here("idle.py"), &broker, &broker.unix(), &[]);
}

#[test]
fn the_client_in_the_documentation_works() {
    let Some(python) = python("the_client_in_the_documentation_works") else { return };
    let broker = Broker::start();
    let script = broker.directory().join("documented.py");
    fs::write(&script, documented_client()).unwrap();
    for address in [broker.unix(), broker.tcp().to_owned()] {
        let output = run(&python, &script, &broker, &address, &[]);
        assert!(output.contains("got b'hello'"), "{output}");
    }
}

#[test]
fn the_documentation_lists_every_fault() {
    let text = fs::read_to_string(PROTOCOL_MD).unwrap();
    let rows: Vec<(u32, &str)> = text.lines().filter_map(fault_of_row).collect();
    assert_eq!(rows, Fault::TABLE, "the table of faults in docs/protocol.md, as (number, name)");
}

const PROTOCOL_MD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");

/// ``| 100 | `Empty` | UNAVAILABLE | ...``
fn fault_of_row(line: &str) -> Option<(u32, &str)> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let number = cells.next()?.parse().ok()?;
    let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
    let is_status = |cell: &str| !cell.is_empty() && cell.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    cells.next().filter(|cell| is_status(cell)).map(|_| (number, name))
}

/// The one Python program of docs/protocol.md.
fn documented_client() -> String {
    let text = fs::read_to_string(PROTOCOL_MD).unwrap();
    let (_, rest) = text.split_once("```python\n").expect("docs/protocol.md shows a client in Python");
    rest.split_once("```").expect("it ends").0.to_owned()
}

fn on_both_transports(script: &str, arguments: &[&str]) {
    let Some(python) = python(script) else { return };
    let broker = Broker::start();
    for address in [broker.unix(), broker.tcp().to_owned()] {
        run(&python, &here(script), &broker, &address, arguments);
    }
}

fn here(script: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/interop")).join(script)
}

/// Runs a script with its arguments, and ends it with the stacks of its threads if it stays: a client that cannot exit is a failure too.
const BOUNDED: &str = "import faulthandler, runpy, sys; faulthandler.dump_traceback_later(120, exit=True); sys.argv.pop(0); \
                       runpy.run_path(sys.argv[0], run_name='__main__')";

/// Runs a script to its end; shows what it said if it failed.
fn run(python: &Path, script: &Path, broker: &Broker, address: &str, arguments: &[&str]) -> String {
    let output = Command::new(python)
        .args(["-B", "-c", BOUNDED]) // -B: no __pycache__ in the source tree
        .arg(script)
        .arg(address)
        .arg(broker.key_file())
        .args(arguments)
        .env("PYTHONPATH", std::env::join_paths([stubs(), here("")]).unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let script = script.display();
    assert!(output.status.success(), "{script} with {address}: {}\n{said}\nthe broker's log:\n{}", output.status, broker.log());
    said
}

/// The interpreter that has grpcio and the stubs; `None`, and a loud word, where it cannot be had.
fn python(test: &str) -> Option<PathBuf> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PYTHON.get_or_init(prepare) {
        Ok(python) => Some(python.clone()),
        Err(problem) => {
            harness::skip(test, "grpcio in a virtualenv", &format!("it needs python3 with venv and pip, and PyPI: {problem}"));
            None
        }
    }
}

fn environment() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is inside of the target directory");
    target.join("interop-venv")
}

fn stubs() -> PathBuf {
    environment().join("gen")
}

/// Makes the virtualenv and the stubs, each again only when what it is made from has changed.
fn prepare() -> Result<PathBuf, String> {
    let environment = environment();
    let python = environment.join("bin/python");
    let lock = environment.with_extension("lock");
    fs::create_dir_all(environment.parent().expect("it is not the root")).map_err(|error| error.to_string())?;
    let lock = File::create(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;

    if !python.exists() {
        // Never made, or its Python was removed from the system.
        let _ = fs::remove_dir_all(&environment);
    }
    let requirements = here("requirements.txt");
    step(&environment.join("installed"), &fs::read_to_string(&requirements).unwrap(), || {
        // Half of an earlier attempt may be there.
        let _ = fs::remove_dir_all(&environment);
        finish(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        finish(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(&requirements),
        )
    })?;
    let proto = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../proto")).canonicalize().unwrap();
    let (files, contents) = contract(&proto);
    step(&environment.join("generated"), &contents, || {
        fs::create_dir_all(stubs()).map_err(|error| error.to_string())?;
        let out = |what: &str| format!("--{what}={}", stubs().display());
        finish(
            Command::new(&python)
                .args(["-m", "grpc_tools.protoc", "-I."])
                .args([out("python_out"), out("grpc_python_out")])
                .args(&files)
                .current_dir(&proto),
        )
    })?;
    Ok(python)
}

/// The `.proto` files relative to the include path, and all that is in them.
fn contract(proto: &Path) -> (Vec<PathBuf>, String) {
    let directory = Path::new("bursar/v1");
    let names = fs::read_dir(proto.join(directory)).unwrap().map(|entry| entry.unwrap().file_name());
    let mut files: Vec<PathBuf> = names.map(|name| directory.join(name)).collect();
    files.sort();
    let contents = files.iter().map(|file| fs::read_to_string(proto.join(file)).unwrap()).collect();
    (files, contents)
}

/// Does the work unless the stamp says that it was done for the same input.
fn step(stamp: &Path, input: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    if fs::read_to_string(stamp).is_ok_and(|done| done == input) {
        return Ok(());
    }
    work()?;
    fs::write(stamp, input).map_err(|error| format!("{}: {error}", stamp.display()))
}

fn finish(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim())),
    }
}
