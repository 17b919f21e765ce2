//! The configuration of a broker: the file `bursar.toml`, or a Procfile, merged with the flags of the command line, validated whole.
//!
//! Every mistake is reported, not only the first, each with its place, what was found and what is accepted. A file is read only
//! when it is named: a `bursar.toml` that happens to lie in the working directory changes nothing.
//!
//! Nothing is bound or made here, and no key is read; [`runtime_dir`] alone makes a directory. Besides the file only the `.env` beside a
//! Procfile is read, for its `PORT`. The keys are documented in `docs/configuration.md`.

mod declare;
#[cfg(test)]
mod documented;
pub mod env_file;
mod file;
mod processes;
mod procfile;
mod reader;
mod runtime;
mod units;

pub use reader::{Mistake, Place};
pub use runtime::{RuntimeDirError, default_authkey, default_socket, runtime_dir, runtime_path};
pub use units::{Expected, duration, size, wait};

use bursar_proto::{Address, Name, authkey, limits, v1};
use processes::Written;
use reader::{Value, assign};
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Everything that a broker is told before it starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Where to listen. Empty: nothing was said.
    pub listen: Vec<Address>,
    /// The authkeys that are accepted. Empty: nothing was said.
    pub keys: Vec<KeyFile>,
    /// Take keys of fewer than 16 bytes, on Unix and loopback addresses.
    pub allow_weak_key: bool,
    /// Listen on TCP beyond loopback without TLS.
    pub insecure_tcp: bool,
    /// What is logged, and how.
    pub log: Log,
    /// What a broker takes at most.
    pub limits: Limits,
    /// The objects that exist from the start.
    pub objects: Vec<Declared>,
    /// Whether processes may be added by those who connect. Without it a broker supervises only if it has `processes`.
    pub supervise: bool,
    /// What is started with the broker, and kept.
    pub processes: Vec<bursar::processes::Spec>,
}

/// A file with an authkey, and the id under which clients name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
    pub id: String,
    /// Relative to the working directory; a relative path in a configuration file was resolved against the file's directory.
    pub path: PathBuf,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// A level (`info`), or directives as `tracing_subscriber::EnvFilter` takes them (`info,bursar_server::auth=debug`).
    pub level: String,
}

/// For people or for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line of text for each event.
    Text,
    /// A JSON object on a line for each event.
    Json,
}

/// What a broker takes at most, and for how long. Each default is the one of the protocol's specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; by default 4096, or what the limit of open descriptors leaves.
    pub connections: usize,
    /// Connections that have not proved an authkey yet.
    pub pre_auth_connections: usize,
    /// How long a connection may take to prove an authkey.
    pub pre_auth_deadline: Duration,
    /// HTTP/2 streams of one connection.
    pub streams_per_connection: usize,
    /// The largest payload of an item or value.
    pub payload_bytes: usize,
    /// Bytes in partly received messages of one connection.
    pub partial_bytes_per_connection: usize,
    /// Bytes in partly received messages of all connections.
    pub partial_bytes: usize,
    /// Objects at once.
    pub objects: usize,
    /// Calls of one session that are not answered yet.
    pub calls_in_flight: usize,
    /// The silence after which a session ends, where the client does not ask for another.
    pub session_ttl: Duration,
    /// How long clients have to finish when the broker stops.
    pub shutdown_grace: Duration,
    /// How often a silent connection is asked whether it is alive.
    pub keepalive_interval: Duration,
    /// How long it may take to answer that.
    pub keepalive_timeout: Duration,
}

/// An object that exists from the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Its name.
    pub name: Name,
    /// Its kind and options.
    pub options: v1::registry::Options,
}

impl Default for Log {
    fn default() -> Log {
        Log { format: LogFormat::Text, level: "info".into() }
    }
}

/// Descriptors that are not for connections: sockets that listen, files, the runtime's own.
const DESCRIPTORS_RESERVED: u64 = 128;

impl Default for Limits {
    fn default() -> Limits {
        // The hard limit: the broker raises its own to it when it starts.
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let connections = descriptors.saturating_sub(DESCRIPTORS_RESERVED).clamp(1, 4096) as usize;
        Limits {
            connections,
            pre_auth_connections: connections.min(256),
            pre_auth_deadline: Duration::from_secs(5),
            streams_per_connection: 1024,
            payload_bytes: limits::PAYLOAD_BYTES_MAX,
            partial_bytes_per_connection: 256 << 20,
            partial_bytes: 512 << 20,
            objects: 100_000,
            calls_in_flight: limits::CALLS_IN_FLIGHT_MAX,
            session_ttl: Duration::from_millis(limits::SESSION_TTL_MS),
            shutdown_grace: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(5),
        }
    }
}

/// The flags of `bursar serve`, as they were typed: they are validated together with the file, so that one report says it all.
///
/// `listen` and `authkey_files` replace what the file says; declared objects are added to those of the file, and replace those of
/// the same name.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The file to read; `None` reads none.
    pub config: Option<PathBuf>,
    /// Addresses.
    pub listen: Vec<String>,
    /// `[ID=]PATH`.
    pub authkey_files: Vec<String>,
    /// `NAME[:option=value,...]`.
    pub queues: Vec<String>,
    /// `NAME[:option=value,...]`.
    pub kvs: Vec<String>,
    /// `KIND:NAME[:option=value,...]`.
    pub objects: Vec<String>,
    /// `text` or `json`.
    pub log_format: Option<String>,
    /// As [`Log::level`].
    pub log_level: Option<String>,
    /// A duration.
    pub shutdown_grace: Option<String>,
    /// As [`Config::insecure_tcp`]; the flag can only add it.
    pub insecure_tcp: bool,
    /// As [`Config::allow_weak_key`]; the flag can only add it.
    pub allow_weak_key: bool,
    /// As [`Config::supervise`]; the flag can only add it.
    pub supervise: bool,
}

/// Everything that is wrong with a configuration, in the order of the file, flags last. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(formatter, "the configuration has {count} mistake{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|mistake| write!(formatter, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

impl Config {
    /// The configuration from a file, if one is named, and the flags. All mistakes of both are reported together.
    pub fn read(flags: &Flags) -> Result<Config, Mistakes> {
        let mut draft = Draft::default();
        if let Some(path) = &flags.config {
            match std::fs::read_to_string(path) {
                Ok(text) => draft.file(path, &text),
                Err(error) => draft.mistake(Place::File(path.display().to_string()), format!("cannot be read: {error}")),
            }
        }
        draft.flags(flags);
        draft.finish()
    }

    /// The configuration from the text of a file. `path` is shown in mistakes, and relative paths are relative to its directory. A file
    /// that is called `Procfile`, or `Procfile.` and anything, is read as one.
    ///
    /// ```
    /// use bursar_server::config::Config;
    /// use std::path::Path;
    ///
    /// let text = r#"
    ///     listen = ["unix:///run/bursar.sock"]
    ///     authkey_file = "key"
    ///     [queues.jobs]
    ///     maxsize = 1000
    /// "#;
    /// let config = Config::from_text(Path::new("/etc/bursar/bursar.toml"), text).unwrap();
    /// assert_eq!(config.keys[0].path, Path::new("/etc/bursar/key"));
    ///
    /// let mistakes = Config::from_text(Path::new("bursar.toml"), "lisen = []\n[limits]\nconnections = 'many'").unwrap_err();
    /// assert_eq!(mistakes.0.len(), 2);
    /// assert!(mistakes.to_string().contains("bursar.toml:1:1: lisen: no such key, did you mean listen?"));
    /// ```
    pub fn from_text(path: &Path, text: &str) -> Result<Config, Mistakes> {
        let mut draft = Draft::default();
        draft.file(path, text);
        draft.finish()
    }
}

/// A configuration in the making, with the place of everything that is judged only when all of it is known.
#[derive(Default)]
struct Draft {
    config: Config,
    listen_places: Vec<Place>,
    key_places: Vec<Place>,
    object_places: Vec<Place>,
    process_places: BTreeMap<String, Written>,
    limits_place: Option<Place>,
    mistakes: Vec<Mistake>,
}

impl Draft {
    fn mistake(&mut self, place: Place, problem: impl Into<String>) {
        self.mistakes.push(Mistake { place, problem: problem.into() });
    }

    /// Takes in the text of a file.
    fn file(&mut self, path: &Path, text: &str) {
        if procfile::is_named_so(path) { self.procfile(path, text) } else { self.toml(path, text) }
    }

    fn flags(&mut self, flags: &Flags) {
        self.config.supervise |= flags.supervise;
        self.config.insecure_tcp |= flags.insecure_tcp;
        self.config.allow_weak_key |= flags.allow_weak_key;
        self.flag("--log-format", &flags.log_format, |config, value| assign(&mut config.log.format, log_format(value)));
        self.flag("--log-level", &flags.log_level, |config, value| assign(&mut config.log.level, log_level(value)));
        self.flag("--shutdown-grace", &flags.shutdown_grace, |config, value| {
            assign(&mut config.limits.shutdown_grace, file::shutdown_grace(value))
        });
        self.listen_flags(&flags.listen);
        self.key_flags(&flags.authkey_files);
        self.object_flags(flags);
    }

    fn flag(&mut self, flag: &str, given: &Option<String>, set: fn(&mut Config, Value<'_>) -> Result<(), Expected>) {
        let Some(given) = given else { return };
        if let Err(expected) = set(&mut self.config, Value::Text(given)) {
            self.mistake(Place::Flag(flag.into()), format!("found {given:?}, {expected}"));
        }
    }

    fn listen_flags(&mut self, given: &[String]) {
        if !given.is_empty() {
            self.config.listen.clear();
            self.listen_places.clear();
        }
        for text in given {
            let place = Place::Flag("--listen".into());
            match text.parse() {
                Ok(address) => self.add_listen(place, address),
                Err(error) => self.mistake(place, format!("{error}")),
            }
        }
    }

    fn key_flags(&mut self, given: &[String]) {
        if !given.is_empty() {
            self.config.keys.clear();
            self.key_places.clear();
        }
        for text in given {
            // A path may hold a '=' too: what stands before it is an id only if it looks like one.
            let (id, path) = match text.split_once('=') {
                Some((id, path)) if key_id(Value::Text(id)).is_ok() => (id, path),
                _ => (authkey::DEFAULT_KEY_ID, text.as_str()),
            };
            let place = Place::Flag("--authkey-file".into());
            match path.is_empty() {
                true => self.mistake(place, format!("found {text:?}, expected [ID=]PATH")),
                false => self.add_key(place, KeyFile { id: id.into(), path: path.into() }),
            }
        }
    }

    fn object_flags(&mut self, flags: &Flags) {
        let mut declared = Vec::new();
        let mut declare = |flag: &str, texts: &[String], read: fn(&str) -> Result<Declared, Vec<String>>| {
            for text in texts {
                match read(text) {
                    Ok(object) => declared.push((Place::Flag(flag.into()), object)),
                    Err(problems) => {
                        problems.into_iter().for_each(|problem| self.mistake(Place::Flag(format!("{flag} {text}")), problem));
                    }
                }
            }
        };
        declare("--queue", &flags.queues, |text| declare::from_flag(declare::QUEUE, text));
        declare("--kv", &flags.kvs, |text| declare::from_flag(declare::KV, text));
        declare("--object", &flags.objects, declare::from_object_flag);
        let replaced: HashSet<_> = declared.iter().map(|(_, object)| object.name.clone()).collect();
        let file = std::mem::take(&mut self.config.objects).into_iter().zip(std::mem::take(&mut self.object_places));
        let kept: Vec<_> =
            file.filter(|(object, _)| !replaced.contains(&object.name)).map(|(object, place)| (place, object)).collect();
        kept.into_iter().chain(declared).for_each(|(place, object)| self.add_object(place, object));
    }

    fn add_listen(&mut self, place: Place, address: Address) {
        match self.config.listen.contains(&address) {
            true => self.mistake(place, format!("{address} is listed twice")),
            false => {
                self.config.listen.push(address);
                self.listen_places.push(place);
            }
        }
    }

    fn add_key(&mut self, place: Place, key: KeyFile) {
        match self.config.keys.iter().any(|known| known.id == key.id) {
            true => self
                .mistake(place, format!("two keys have the id {:?}: give each its own, as in --authkey-file new=PATH", key.id)),
            false => {
                self.config.keys.push(key);
                self.key_places.push(place);
            }
        }
    }

    fn add_object(&mut self, place: Place, object: Declared) {
        match self.config.objects.iter().position(|known| known.name == object.name) {
            Some(first) => {
                let first = self.object_places[first].clone();
                self.mistake(place, format!("an object named {:?} is declared already: {first}", object.name));
            }
            None => {
                self.config.objects.push(object);
                self.object_places.push(place);
            }
        }
    }

    /// What can be judged only when file and flags are together.
    fn finish(mut self) -> Result<Config, Mistakes> {
        self.check_exposure();
        self.check_limits();
        self.check_processes();
        if self.mistakes.is_empty() {
            return Ok(self.config);
        }
        self.mistakes.sort_by(|one, other| one.place.cmp(&other.place));
        Err(Mistakes(self.mistakes))
    }

    fn check_exposure(&mut self) {
        let exposed = |address: &Address| matches!(address, Address::Tcp { host, .. } if !is_loopback(host));
        for (address, place) in self.config.listen.clone().iter().zip(self.listen_places.clone()).filter(|(a, _)| exposed(a)) {
            if !self.config.insecure_tcp {
                self.mistake(
                    place.clone(),
                    format!(
                        "{address} can be reached from other hosts, and TCP is not encrypted: listen on 127.0.0.1, or accept the \
                         risk with insecure_tcp = true or --insecure-tcp (the authkey keeps strangers out, but not a relay in between)"
                    ),
                );
            }
            if self.config.allow_weak_key {
                self.mistake(
                    place,
                    format!("{address} can be reached from other hosts: allow_weak_key is only for Unix and loopback"),
                );
            }
        }
    }

    fn check_limits(&mut self) {
        let Some(place) = self.limits_place.clone() else { return };
        let limits = self.config.limits.clone();
        let mut at_most = |small: (&str, usize), large: (&str, usize)| {
            if small.1 > large.1 {
                let problem = format!("limits: {} is {}, expected at most {} ({})", small.0, small.1, large.0, large.1);
                self.mistakes.push(Mistake { place: place.clone(), problem });
            }
        };
        let connection = ("partial_bytes_per_connection", limits.partial_bytes_per_connection);
        at_most(("pre_auth_connections", limits.pre_auth_connections), ("connections", limits.connections));
        at_most(("payload_bytes", limits.payload_bytes), ("half of partial_bytes_per_connection", connection.1 / 2));
        at_most(connection, ("partial_bytes", limits.partial_bytes));
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn log_format(value: Value<'_>) -> Result<LogFormat, Expected> {
    match value {
        Value::Text("text") => Ok(LogFormat::Text),
        Value::Text("json") => Ok(LogFormat::Json),
        _ => units::expected("text or json"),
    }
}

/// `EnvFilter` takes any word for the name of a module: a word alone must be a level here, so that `verbose` is a mistake.
fn log_level(value: Value<'_>) -> Result<String, Expected> {
    const WHAT: &str = "off, error, warn, info, debug, trace, or directives such as info,bursar_server=debug";
    let text = value.text(WHAT)?;
    let good = match text.contains(['=', ',', '[']) {
        true => EnvFilter::try_new(text).is_ok(),
        false => text.parse::<LevelFilter>().is_ok() && text.parse::<u8>().is_err(),
    };
    if good { Ok(text.into()) } else { units::expected(WHAT) }
}

fn key_id(value: Value<'_>) -> Result<String, Expected> {
    const WHAT: &str = "a key id: 1 to 64 characters of A-Z a-z 0-9 . _ -";
    let text = value.text(WHAT)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.len() <= 64 && text.bytes().all(allowed) { Ok(text.into()) } else { units::expected(WHAT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> Vec<String> {
        let mistakes = Config::from_text(Path::new("bursar.toml"), text).expect_err("there are mistakes");
        mistakes.0.iter().map(Mistake::to_string).collect()
    }

    #[test]
    fn a_whole_file() {
        let text = r#"
            listen = ["unix:///run/bursar.sock", "tcp://127.0.0.1:7878"]
            allow_weak_key = true
            [[keys]]
            id = "old"
            file = "/etc/old"
            [[keys]]
            file = "new.key"
            [log]
            format = "json"
            level = "info,bursar_server::auth=debug"
            [limits]
            connections = 100
            pre_auth_connections = 50
            payload_bytes = "1MiB"
            session_ttl = "2.5s"
            [queues.jobs]
            maxsize = 10
            max_bytes = "1kB"
            retry_delay = "1s"
            unique_window = "1m"
            [queues."team/jobs"]
            [kv.settings]
            max_keys = 5
        "#;
        let config = Config::from_text(Path::new("conf/bursar.toml"), text).unwrap();
        assert_eq!(config.listen, [Address::Unix("/run/bursar.sock".into()), "tcp://127.0.0.1:7878".parse().unwrap()]);
        assert!(config.allow_weak_key && !config.insecure_tcp);
        let keys: Vec<_> = config.keys.iter().map(|key| (key.id.as_str(), key.path.to_str().unwrap())).collect();
        assert_eq!(keys, [("old", "/etc/old"), ("default", "conf/new.key")]);
        assert_eq!(config.log, Log { format: LogFormat::Json, level: "info,bursar_server::auth=debug".into() });
        let expected = Limits {
            connections: 100,
            pre_auth_connections: 50,
            payload_bytes: 1 << 20,
            session_ttl: Duration::from_millis(2500),
            ..Limits::default()
        };
        assert_eq!(config.limits, expected);
        let names: Vec<_> = config.objects.iter().map(|object| object.name.as_str()).collect();
        assert_eq!(names, ["jobs", "team/jobs", "settings"]);
        let queue = v1::queue::Options {
            maxsize: 10,
            max_bytes: 1000,
            retry_delay_ms: 1000,
            unique_window_ms: 60_000,
            ..Default::default()
        };
        assert_eq!(config.objects[0].options.kind, Some(v1::registry::options::Kind::Queue(queue)));
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(Config::from_text(Path::new("bursar.toml"), "").unwrap(), Config::default());
        assert_eq!(Config::read(&Flags::default()).unwrap(), Config::default());
    }

    /// A user mends a file once, not once for each mistake.
    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let text = r#"lisen = ["unix:///x"]
listen = ["tcp://0.0.0.0:1", "localhost:7878"]
allow_weak_key = "yes"
[log]
format = "xml"
[limits]
connections = "many"
session_ttl = 10
[queues."two words"]
[queues.jobs]
maxsize = -1
[kv.jobs]
[[keys]]
id = "a"
"#;
        let expected = [
            "bursar.toml:1:1: lisen: no such key, did you mean listen? (known here: listen, authkey_file, ",
            "bursar.toml:2:11: tcp://0.0.0.0:1 can be reached from other hosts, and TCP is not encrypted: listen on 127.0.0.1, or",
            "bursar.toml:2:30: listen: expected unix:///path/to/socket or tcp://host:port, got \"localhost:7878\"",
            "bursar.toml:3:18: allow_weak_key: found \"yes\", expected true or false",
            "bursar.toml:5:10: log.format: found \"xml\", expected text or json",
            "bursar.toml:7:15: limits.connections: found \"many\", expected a whole number from 1 to ",
            "bursar.toml:8:15: limits.session_ttl: found 10, expected a duration with its unit (ms, s, m, h or d)",
            "bursar.toml:9:9: queues: name: expected 1 to 200 characters of A-Z a-z 0-9 . _ - /, got \"two words\"",
            "bursar.toml:11:11: queues.jobs.maxsize: found -1, expected a whole number from 0 to ",
            "bursar.toml:12:5: an object named \"jobs\" is declared already: bursar.toml:10:9",
            "bursar.toml:13:1: keys: no file is named, expected file = \"PATH\"",
        ];
        let report = report(text);
        assert_eq!(report.len(), expected.len(), "{report:#?}");
        for (actual, expected) in report.iter().zip(expected) {
            assert!(actual.starts_with(expected), "expected: {expected}\n  actual: {actual}");
        }
    }

    #[test]
    fn what_is_not_toml_is_reported_with_its_place() {
        let report = report("listen = [\"unix:///a\"]\nlisten = []\n[limits\nobjects = 1\n");
        assert!(report[0].starts_with("bursar.toml:2:1: this is not TOML: "), "{report:#?}");
        assert!(report[1].starts_with("bursar.toml:3:8: this is not TOML: "), "{report:#?}");
    }

    #[test]
    fn tables_and_scalars_are_not_mixed_up() {
        let report = report("log = 3\nlimits = []\nlisten = 'unix:///x'\nkeys = 'key'\n[queues]\njobs = 10\n[authkey_file]\n");
        let expected = [
            "bursar.toml:1:7: log: found 3, expected a table: [log]",
            "bursar.toml:2:10: limits: found an array, expected a table: [limits]",
            "bursar.toml:3:10: listen: found \"unix:///x\", expected an array of addresses: [\"unix:///path\"]",
            "bursar.toml:4:8: keys: found \"key\", expected tables of the form [[keys]]",
            "bursar.toml:6:8: queues.jobs: found 10, expected a table: [queues.jobs]",
            "bursar.toml:7:1: authkey_file: found a table, expected the path of a key file",
        ];
        assert_eq!(report, expected);
    }

    #[test]
    fn limits_that_contradict_each_other_are_reported() {
        let report = report("[limits]\npayload_bytes = '256MiB'\npre_auth_connections = 9\nconnections = 8\n");
        let expected = [
            "bursar.toml:1:1: limits: pre_auth_connections is 9, expected at most connections (8)",
            "bursar.toml:1:1: limits: payload_bytes is 268435456, expected at most half of partial_bytes_per_connection (134217728)",
        ];
        assert_eq!(report, expected);
    }

    #[test]
    fn every_kind_can_be_declared() {
        let text = "[locks.a]\nreentrant = true\nrefuse_deadlock = true\n[rwlocks.b]\n[semaphores.c]\npermits = 3\nbounded = true\n[events.d]\n\
            [latches.e]\ncount = 2\n[conditions.f]\n[barriers.g]\nparties = 2\n[counters.h]\ninitial = -5\n[lists.i]\nmax_len = 9\n\
            [arrays.j]\ntype = 'u8'\nlength = 7\n[queues.k]\n[kv.l]\n[channels.m]\n[topics.n]\noverload = 'drop_oldest'\n[objects.o]\nserial = true\n";
        let config = Config::from_text(Path::new("bursar.toml"), text).unwrap();
        let mut kinds: Vec<_> = config.objects.iter().map(|object| bursar_proto::kind_of(&object.options).unwrap()).collect();
        let mut all = bursar_proto::KINDS.to_vec();
        kinds.sort_unstable();
        all.sort_unstable();
        assert_eq!(kinds, all);
        let array = v1::array::Options { r#type: v1::array::Type::U8.into(), length: 7 };
        let flags = Flags { objects: vec!["array:j:type=u8,length=7".into(), "counter:n:initial=-5".into()], ..Flags::default() };
        let flagged = Config::read(&flags).unwrap();
        assert_eq!(flagged.objects[0].options.kind, Some(v1::registry::options::Kind::Array(array)));
        assert!(config.objects.contains(&flagged.objects[0]));
    }

    #[test]
    fn an_option_without_a_default_must_be_said() {
        let report = report("[barriers.b]\n[arrays.a]\ntype = 'f99'\n");
        let expected = [
            "bursar.toml:1:11: barriers.b: parties must be said",
            "bursar.toml:2:9: arrays.a: length must be said",
            "bursar.toml:3:8: arrays.a.type: found \"f99\", expected i8, u8, i16,",
        ];
        assert_eq!(report.len(), 3, "{report:#?}");
        report.iter().zip(expected).for_each(|(actual, expected)| assert!(actual.starts_with(expected), "{actual}"));
        let flags = Flags { objects: vec!["latch:l".into(), "lok:x".into()], ..Flags::default() };
        let mistakes = Config::read(&flags).unwrap_err().to_string();
        assert!(mistakes.contains("--object latch:l: count must be said"), "{mistakes}");
        assert!(mistakes.contains("--object lok:x: found \"lok\", expected KIND:NAME"), "{mistakes}");
    }

    #[test]
    fn words_that_are_no_level_are_refused() {
        for bad in ["verbose", "3", "", "info,x=loud"] {
            assert!(log_level(Value::Text(bad)).is_err(), "{bad}");
        }
        assert_eq!(log_level(Value::Text("debug")), Ok("debug".into()));
    }

    #[test]
    fn flags_go_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bursar.toml");
        let text = "listen = ['tcp://127.0.0.1:1']\nauthkey_file = 'k'\n[queues.jobs]\n[queues.mail]\nmaxsize = 1\n[log]\nlevel = 'debug'\n";
        std::fs::write(&path, text).unwrap();
        let flags = Flags {
            config: Some(path.clone()),
            listen: vec!["tcp://0.0.0.0:2".into()],
            insecure_tcp: true,
            authkey_files: vec!["a=/k=1".into(), "./b=c".into()],
            queues: vec!["jobs:maxsize=7,retry_delay=2s".into()],
            kvs: vec!["mail".into()],
            shutdown_grace: Some("1s".into()),
            ..Flags::default()
        };
        let config = Config::read(&flags).unwrap();
        assert_eq!(config.listen, ["tcp://0.0.0.0:2".parse().unwrap()]);
        let keys: Vec<_> = config.keys.iter().map(|key| (key.id.as_str(), key.path.to_str().unwrap())).collect();
        assert_eq!(keys, [("a", "/k=1"), ("default", "./b=c")]);
        assert_eq!((config.log.level.as_str(), config.limits.shutdown_grace), ("debug", Duration::from_secs(1)));
        let kinds: Vec<_> =
            config.objects.iter().map(|object| (object.name.as_str(), bursar_proto::kind_of(&object.options).unwrap())).collect();
        assert_eq!(kinds, [("jobs", "queue"), ("mail", "kv")]);

        let file_alone = Config::read(&Flags { config: Some(path), ..Flags::default() }).unwrap();
        assert_eq!(file_alone.listen, ["tcp://127.0.0.1:1".parse().unwrap()]);
        assert_eq!(file_alone.keys[0].path, directory.path().join("k"));
    }

    #[test]
    fn mistakes_in_flags_and_file_are_one_report() {
        let flags = Flags {
            config: Some("/nonexistent/bursar.toml".into()),
            listen: vec!["http://x".into(), "unix:///x".into(), "unix:///x".into()],
            authkey_files: vec!["k".into(), "default=j".into(), "x=".into()],
            queues: vec!["jobs:maxsize=x,nosuch=1,pause".into()],
            log_level: Some("loud".into()),
            shutdown_grace: Some("5".into()),
            ..Flags::default()
        };
        let mistakes = Config::read(&flags).unwrap_err();
        assert_eq!(mistakes.0.len(), 10, "{mistakes}");
        assert!(mistakes.0[0].to_string().starts_with("/nonexistent/bursar.toml: cannot be read: "), "{mistakes}");
        let text = mistakes.to_string();
        for part in [
            "--queue jobs:maxsize=x,nosuch=1,pause: maxsize: found \"x\", expected a whole number",
            "nosuch: no such key (known here: maxsize, max_bytes,",
            "found \"pause\", expected option=value",
            "--log-level: found \"loud\"",
            "two keys have the id \"default\"",
            "unix:///x is listed twice",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn a_weak_key_is_for_this_host_only() {
        let report = report("listen = ['tcp://10.0.0.1:1']\ninsecure_tcp = true\nallow_weak_key = true\n");
        assert_eq!(report.len(), 1);
        assert!(report[0].contains("allow_weak_key is only for Unix and loopback"), "{report:?}");
    }
}
