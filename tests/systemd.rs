//! The broker under a service manager that speaks as systemd does: what it is told, and the sockets that it hands over.

use crate::harness::{BURSAR, Broker, PATIENCE, figure};
use bursar::Manager;
use rustix::process::Signal;
use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener},
    },
    path::Path,
    process::{Command, Stdio},
};

/// Hears what a broker tells its manager.
struct Ear {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Ear {
    fn new() -> Ear {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Ear { socket, directory }
    }

    fn bursar(&self) -> Command {
        let mut bursar = Command::new(BURSAR);
        bursar.env("NOTIFY_SOCKET", self.directory.path().join("notify")).env_remove("WATCHDOG_PID");
        bursar
    }

    /// The next message that has this line, as its lines.
    fn hear(&self, line: &str) -> Vec<String> {
        loop {
            let mut message = [0; 4096];
            let size = self.socket.recv(&mut message).unwrap_or_else(|error| panic!("{line} was never said: {error}"));
            let lines: Vec<String> = String::from_utf8_lossy(&message[..size]).lines().map(str::to_owned).collect();
            if lines.iter().any(|said| said == line) {
                return lines;
            }
        }
    }
}

#[test]
fn the_manager_is_told_that_the_broker_is_up_lives_and_stops() {
    let ear = Ear::new();
    let mut bursar = ear.bursar();
    bursar.env("WATCHDOG_USEC", "20000");
    let mut broker = Broker::start_as(bursar, "", &[]);
    let ready = ear.hear("READY=1");
    let status = format!("STATUS=listening on {}, {}", broker.unix(), broker.tcp());
    assert!(ready.contains(&status), "{ready:?}");
    for _ in 0..3 {
        ear.hear("WATCHDOG=1");
    }
    broker.signal(Signal::TERM);
    let stopping = ear.hear("STOPPING=1");
    assert!(stopping.iter().any(|line| line.starts_with("EXTEND_TIMEOUT_USEC=")), "{stopping:?}");
    assert_eq!(broker.wait().code(), Some(0));
}

/// The manager is there when the broker starts, and may be gone when it stops.
#[test]
fn a_manager_that_does_not_listen_keeps_no_broker_from_its_work() {
    let mut bursar = Command::new(BURSAR);
    bursar.env("NOTIFY_SOCKET", "/nowhere/notify").env("WATCHDOG_USEC", "20000").env_remove("WATCHDOG_PID");
    let mut broker = Broker::start_as(bursar, "", &[]);
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(0));
    assert!(broker.log().contains("the service manager could not be told"), "{}", broker.log());
}

/// A shell that hands its stdin over as the first inherited descriptor, to `pid`, and becomes the broker.
fn activating(socket: impl Into<OwnedFd>, pid: &str) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("LISTEN_PID={pid} LISTEN_FDS=1 LISTEN_FDNAMES=main exec \"$0\" \"$@\" 3<&0 0</dev/null");
    shell.args(["-c", &script, BURSAR]).stdin(Stdio::from(socket.into()));
    shell
}

async fn connect(broker: &Broker, address: &str) -> bursar::Result<Manager> {
    Manager::connect(address, broker.authkey()).await
}

fn unix(directory: &Path) -> (UnixListener, std::path::PathBuf) {
    let path = directory.join("activated.sock");
    (UnixListener::bind(&path).unwrap(), path)
}

#[tokio::test]
async fn an_inherited_socket_is_served_beside_the_configured_ones_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, path) = unix(directory.path());
    let mut broker = Broker::start_as(activating(listener, "$$"), "", &[]);
    for address in [&format!("unix://{}", path.display()), &broker.unix(), broker.tcp()] {
        connect(&broker, address).await.unwrap();
    }
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(0), "{}", broker.log());
    assert!(path.exists(), "it is its maker's");
    assert!(!broker.socket().exists());
}

/// Bound once more it would be in use.
#[tokio::test]
async fn an_inherited_socket_takes_the_place_of_the_configured_one() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, path) = unix(directory.path());
    let address = format!("unix://{}", path.display());
    let broker = Broker::start_as(activating(listener, "$$"), "", &["--listen", &address]);
    connect(&broker, &address).await.unwrap();
    assert!(!directory.path().join("activated.sock.lock").exists(), "it was not bound");
}

#[test]
fn a_broker_that_inherits_a_socket_opens_none_that_nobody_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, path) = unix(directory.path());
    let key = directory.path().join("authkey");
    bursar_proto::AuthKey::generate(&key).unwrap();
    let mut bursar = activating(listener, "$$");
    bursar.args(["serve", "--authkey-file"]).arg(&key).env_remove("BURSAR_ADDRESS").env("XDG_RUNTIME_DIR", directory.path());
    let mut broker = bursar.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(broker.stdout.take().unwrap()).lines().map(Result::unwrap);
    let addresses: Vec<String> = lines.take_while(|line| !line.starts_with("authkey")).collect();
    broker.kill().unwrap();
    broker.wait().unwrap();
    assert_eq!(addresses, [format!("address  unix://{}", path.display())]);
    assert!(!directory.path().join("bursar").exists());
}

#[tokio::test]
async fn tcp_is_inherited_as_well() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let broker = Broker::start_as(activating(listener, "$$"), "", &["--listen", &address]);
    connect(&broker, &address).await.unwrap();
}

/// It would be refused otherwise.
#[test]
fn descriptors_for_another_process_are_left_alone() {
    let nothing = std::fs::File::open("/dev/null").unwrap();
    Broker::start_as(activating(nothing, "1"), "", &[]);
}

#[test]
fn what_is_inherited_and_no_socket_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("authkey");
    bursar_proto::AuthKey::generate(&key).unwrap();
    let nothing = std::fs::File::open("/dev/null").unwrap();
    let mut bursar = activating(nothing, "$$");
    let ended = bursar.args(["serve", "--authkey-file"]).arg(&key).env_remove("BURSAR_ADDRESS").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success());
    assert!(said.contains("the inherited descriptor 3") && said.contains("neither a Unix stream socket nor TCP"), "{said}");
}

/// A file that is shipped.
fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn entry<'a>(unit: &'a str, key: &str) -> &'a str {
    let value = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("it has no {key}"))
}

#[test]
fn the_shipped_units_start_what_there_is() {
    let service = shipped("bursar.service");
    let help = Command::new(BURSAR).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let words: Vec<&str> = entry(&service, "ExecStart").split(' ').collect();
    assert_eq!(words[1], "serve");
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(option), "{option}");
    }
    let listen = words.iter().find_map(|word| word.strip_prefix("unix://")).unwrap();
    assert_eq!(listen, entry(&shipped("bursar.socket"), "ListenStream"), "the one takes the place of the other");
    assert_eq!((entry(&service, "Type"), entry(&service, "KillMode")), ("notify", "mixed"));
}

#[test]
fn systemd_understands_the_shipped_units() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let service = write("bursar.service", shipped("bursar.service").replace("/usr/local/bin/bursar", BURSAR));
    let socket = write("bursar.socket", shipped("bursar.socket"));
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]).args([service, socket]);
    let Ok(verified) = verify.output() else {
        return figure("SKIPPED", "systemd-analyze is missing: the units are not verified");
    };
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}
