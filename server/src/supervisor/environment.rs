//! What a worker, a hook or a check is run with: environment, directory, user; and what of the broker's own environment is not for them.

use super::user;
use crate::config::env_file;
use bursar::processes::{Check, Probe, Spec, Surroundings};
use bursar_proto::{Address, AuthKey, authkey};
use bursar_supervisor::Program;
use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Settings of the broker itself that would mislead what it starts: how it finds its own key, and what systemd told it alone.
const NOT_INHERITED: [&str; 10] = [
    super::family::MARK,
    "BURSAR_AUTHKEY_FILE",
    "BURSAR_AUTHKEY_FD",
    "BURSAR_KEY_ID",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];

/// The id of the key that workers use.
pub const KEY_ID: &str = "workers";

/// How what is started finds the broker.
pub struct Connection {
    /// Where it listens, if it does.
    pub address: Option<Address>,
    /// The key of all workers, as memory that they inherit.
    pub key: Arc<OwnedFd>,
}

/// A new key for workers, and its bytes.
pub fn new_key() -> (AuthKey, [u8; 32]) {
    let secret = authkey::random::<32>();
    (AuthKey::new(&secret).expect("it is long enough").with_id(KEY_ID), secret)
}

/// Memory with these bytes, which nobody can change any more, and everybody may read who has it: workers may run as other users.
pub fn sealed(secret: &[u8]) -> io::Result<OwnedFd> {
    const NAME: &str = "bursar-authkey";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know it, and some later ones want it.
    let memory = match memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create(NAME, flags)?,
        memory => memory?,
    };
    let mut memory = File::from(memory);
    memory.write_all(secret)?;
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(memory.into())
}

/// Whose environment it is.
pub struct Seat<'a> {
    pub worker: u32,
    /// Where it says how it is.
    pub notify: Option<&'a Path>,
}

/// The command of a process in one of its places.
pub fn worker(spec: &Spec, connection: &Connection, seat: &Seat<'_>) -> Result<Program, String> {
    let mut variables = of_process(spec, connection);
    variables.insert("BURSAR_WORKER".into(), seat.worker.to_string());
    if let Some(path) = seat.notify {
        variables.insert("NOTIFY_SOCKET".into(), path.to_string_lossy().into_owned());
    }
    if let Some(Check { probe: Probe::Notify, interval_ms, .. }) = &spec.liveness {
        variables.insert("WATCHDOG_USEC".into(), interval_ms.saturating_mul(1000).to_string());
    }
    program(spec, connection, &spec.command, variables)
}

/// Another command with the environment of a process, in its directory.
pub fn aside(spec: &Spec, connection: &Connection, command: &[String]) -> Result<Program, String> {
    program(spec, connection, command, of_process(spec, connection))
}

/// For a command that somebody else runs. The key is not in it: who may ask for it has one.
pub fn surroundings(spec: &Spec, connection: &Connection) -> Result<Surroundings, String> {
    let mut environment = of_process(spec, connection);
    environment.remove("BURSAR_KEY_ID");
    add_own(&mut environment, spec)?;
    Ok(Surroundings { environment, directory: spec.directory.clone(), user: spec.user.clone() })
}

fn of_process(spec: &Spec, connection: &Connection) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([("BURSAR_PROCESS".to_owned(), spec.name.clone())]);
    if let Some(address) = &connection.address {
        variables.insert("BURSAR_ADDRESS".into(), address.to_string());
        variables.insert("BURSAR_KEY_ID".into(), KEY_ID.into());
    }
    variables
}

/// What the process's own description says goes over all else.
fn add_own(variables: &mut BTreeMap<String, String>, spec: &Spec) -> Result<(), String> {
    let directory = spec.directory.as_deref().map(Path::new).unwrap_or(Path::new(""));
    for file in &spec.env_files {
        variables.extend(env_file::read(&directory.join(file))?);
    }
    variables.extend(spec.environment.clone());
    Ok(())
}

fn program(
    spec: &Spec,
    connection: &Connection,
    command: &[String],
    mut variables: BTreeMap<String, String>,
) -> Result<Program, String> {
    let [command, arguments @ ..] = command else { return Err("it has no command".into()) };
    let account = spec.user.as_deref().map(user::find).transpose()?;
    if let Some((name, home)) = account.as_ref().and_then(|account| account.home.clone()) {
        variables.extend([("HOME".to_owned(), home), ("USER".into(), name.clone()), ("LOGNAME".into(), name)]);
    }
    add_own(&mut variables, spec)?;
    Ok(Program {
        environment: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        without: NOT_INHERITED.map(OsString::from).into(),
        directory: spec.directory.clone().map(PathBuf::from),
        user: account.as_ref().map(|account| account.user),
        group: account.as_ref().map(|account| account.group),
        descriptors: vec![("BURSAR_AUTHKEY_FD".into(), connection.key.clone())],
        ..Program::new(command, arguments)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, os::fd::AsRawFd};

    fn connection() -> Connection {
        let address = Some("unix:///run/bursar.sock".parse().unwrap());
        Connection { address, key: Arc::new(sealed(b"secret").unwrap()) }
    }

    fn variable<'a>(program: &'a Program, name: &str) -> Option<&'a str> {
        let value = program.environment.iter().find(|(variable, _)| variable == name);
        value.and_then(|(_, value)| value.to_str())
    }

    #[test]
    fn a_key_is_read_by_whoever_has_it_and_written_by_nobody() {
        let key = sealed(b"secret").unwrap();
        let mut secret = String::new();
        File::open(format!("/proc/self/fd/{}", key.as_raw_fd())).unwrap().read_to_string(&mut secret).unwrap();
        assert_eq!(secret, "secret");
        assert!(File::from(key).write_all(b"other").is_err());
    }

    #[test]
    fn a_worker_finds_its_broker_and_what_is_said_of_the_process_goes_over_all() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("env"), "COLOUR=red\nSHAPE=round\n").unwrap();
        let spec = Spec {
            name: "web".into(),
            command: vec!["./web".into(), "--now".into()],
            environment: [("SHAPE".to_owned(), "square".to_owned())].into(),
            env_files: vec!["env".into()],
            directory: Some(directory.path().to_str().unwrap().into()),
            ..Spec::default()
        };
        let seat = Seat { worker: 3, notify: Some(Path::new("/run/notify")) };
        let program = worker(&spec, &connection(), &seat).unwrap();
        let expected = [
            ("BURSAR_ADDRESS", Some("unix:///run/bursar.sock")),
            ("BURSAR_KEY_ID", Some(KEY_ID)),
            ("BURSAR_PROCESS", Some("web")),
            ("BURSAR_WORKER", Some("3")),
            ("NOTIFY_SOCKET", Some("/run/notify")),
            ("WATCHDOG_USEC", None),
            ("COLOUR", Some("red")),
            ("SHAPE", Some("square")),
        ];
        for (name, value) in expected {
            assert_eq!(variable(&program, name), value, "{name}");
        }
        assert_eq!(program.descriptors[0].0, "BURSAR_AUTHKEY_FD");
        assert!(program.without.contains(&"BURSAR_AUTHKEY_FILE".into()), "it would go over the descriptor");
        let missing = Spec { env_files: vec!["no-such-file".into()], ..spec };
        assert!(aside(&missing, &connection(), &missing.command).unwrap_err().contains("no-such-file"));
    }
}
