//! The keys of `bursar.toml`: which there are, and how each gets into the configuration.

#[cfg(test)]
use super::reader::names;
use super::{
    Config, Declared, Draft, KeyFile, Limits, Log, declare, key_id, log_format, log_level,
    reader::{Key, Reader, Value, as_written, assign, put},
    units::{Expected, duration, expected, size},
};
use bursar_proto::{Address, authkey, limits::SESSION_TTL_MS_RANGE};
use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};
use toml::{Spanned, de::DeValue};

const TOP: &[&str] = &[
    "listen",
    "authkey_file",
    "keys",
    "allow_weak_key",
    "insecure_tcp",
    "log",
    "limits",
    "queues",
    "kv",
    "locks",
    "rwlocks",
    "semaphores",
    "events",
    "latches",
    "conditions",
    "barriers",
    "counters",
    "lists",
    "arrays",
    "channels",
    "topics",
    "objects",
    "supervise",
    "processes",
];

const LOG: &[Key<Log>] = &[
    Key { name: "format", set: |log, value| assign(&mut log.format, log_format(value)) },
    Key { name: "level", set: |log, value| assign(&mut log.level, log_level(value)) },
];

const LIMITS: &[Key<Limits>] = &[
    Key { name: "connections", set: |limits, value| assign(&mut limits.connections, count(value, 1..=1_000_000)) },
    Key {
        name: "pre_auth_connections",
        set: |limits, value| assign(&mut limits.pre_auth_connections, count(value, 1..=1_000_000)),
    },
    Key { name: "pre_auth_deadline", set: |limits, value| assign(&mut limits.pre_auth_deadline, time(value, 100..=600_000)) },
    Key {
        name: "streams_per_connection",
        set: |limits, value| assign(&mut limits.streams_per_connection, count(value, 1..=1_000_000)),
    },
    Key { name: "payload_bytes", set: |limits, value| assign(&mut limits.payload_bytes, bytes(value, 1..=1 << 30)) },
    Key {
        name: "partial_bytes_per_connection",
        set: |limits, value| assign(&mut limits.partial_bytes_per_connection, bytes(value, 1 << 20..=4 << 30)),
    },
    Key { name: "partial_bytes", set: |limits, value| assign(&mut limits.partial_bytes, bytes(value, 1 << 20..=1 << 40)) },
    Key { name: "objects", set: |limits, value| assign(&mut limits.objects, count(value, 1..=1_000_000_000)) },
    Key { name: "calls_in_flight", set: |limits, value| assign(&mut limits.calls_in_flight, count(value, 1..=1_000_000)) },
    Key { name: "session_ttl", set: |limits, value| assign(&mut limits.session_ttl, time(value, SESSION_TTL_MS_RANGE)) },
    Key { name: "shutdown_grace", set: |limits, value| assign(&mut limits.shutdown_grace, shutdown_grace(value)) },
    Key { name: "keepalive_interval", set: |limits, value| assign(&mut limits.keepalive_interval, time(value, 100..=3_600_000)) },
    Key { name: "keepalive_timeout", set: |limits, value| assign(&mut limits.keepalive_timeout, time(value, 100..=600_000)) },
];

/// An entry of `[[keys]]`.
#[derive(Default)]
struct GivenKey {
    id: Option<String>,
    file: Option<PathBuf>,
}

const KEYS: &[Key<GivenKey>] = &[
    Key { name: "id", set: |given, value| assign(&mut given.id, key_id(value).map(Some)) },
    Key {
        name: "file",
        set: |given, value| assign(&mut given.file, value.text("the path of a key file").map(|path| Some(path.into()))),
    },
];

/// 0 closes at once.
pub(super) fn shutdown_grace(value: Value<'_>) -> Result<Duration, Expected> {
    time(value, 0..=3_600_000)
}

fn count(value: Value<'_>, range: RangeInclusive<u64>) -> Result<usize, Expected> {
    Ok(value.integer(range)? as usize)
}

fn bytes(value: Value<'_>, range: RangeInclusive<u64>) -> Result<usize, Expected> {
    let bytes = match value {
        Value::Text(text) => size(text)?,
        value => value.integer(range.clone())?,
    };
    match range.contains(&bytes) {
        true => Ok(bytes as usize),
        false => expected(format!("a size from {} to {} bytes", range.start(), range.end())),
    }
}

fn time(value: Value<'_>, range_ms: RangeInclusive<u64>) -> Result<Duration, Expected> {
    let text = if let Value::Text(text) = value { text } else { "" };
    let time = duration(text)?;
    match range_ms.contains(&(time.as_millis() as u64)) {
        true => Ok(time),
        false => expected(format!("a duration from {}ms to {}ms", range_ms.start(), range_ms.end())),
    }
}

impl Draft {
    /// Takes in the text of a `bursar.toml`.
    pub(super) fn toml(&mut self, path: &Path, text: &str) {
        let mut reader = Reader::new(path, text);
        let directory = path.parent().unwrap_or(Path::new(""));
        let tree = reader.parse();
        for (key, value) in as_written(tree.get_ref()) {
            let Config { allow_weak_key, insecure_tcp, log, limits, supervise, .. } = &mut self.config;
            match key.get_ref().as_ref() {
                "allow_weak_key" => put(allow_weak_key, reader.read("allow_weak_key", value, Value::boolean)),
                "insecure_tcp" => put(insecure_tcp, reader.read("insecure_tcp", value, Value::boolean)),
                "log" => reader.flat("log", value, LOG, log),
                "limits" => {
                    reader.flat("limits", value, LIMITS, limits);
                    self.limits_place = Some(reader.place(value.span().start));
                }
                "listen" => self.listen(&mut reader, value),
                "authkey_file" => {
                    let path = reader.read("authkey_file", value, |value| value.text("the path of a key file"));
                    self.key(&reader, value, authkey::DEFAULT_KEY_ID.into(), path.map(|path| directory.join(path)));
                }
                "keys" => self.keys(&mut reader, value, directory),
                "supervise" => put(supervise, reader.read("supervise", value, Value::boolean)),
                "processes" => self.processes(&mut reader, value, path),
                section => match declare::KINDS.iter().find(|kind| kind.section == section) {
                    Some(kind) => self.objects(&mut reader, value, *kind),
                    None => reader.unknown("", key, TOP),
                },
            }
        }
        self.mistakes.append(&mut reader.mistakes);
    }

    fn listen(&mut self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) {
        let Some(addresses) = value.get_ref().as_array() else {
            reader.read("listen", value, |_| expected::<()>("an array of addresses: [\"unix:///path\"]"));
            return;
        };
        for value in addresses {
            let text = reader.read("listen", value, |value| value.text("an address: unix:///path/to/socket or tcp://host:port"));
            match text.map(str::parse::<Address>) {
                Some(Ok(address)) => self.add_listen(reader.place(value.span().start), address),
                Some(Err(error)) => reader.mistake(value.span().start, format!("listen: {error}")),
                None => {}
            }
        }
    }

    fn keys(&mut self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>, directory: &Path) {
        let Some(tables) = value.get_ref().as_array() else {
            reader.read("keys", value, |_| expected::<()>("tables of the form [[keys]]"));
            return;
        };
        for table in tables {
            let mut given = GivenKey::default();
            let mistakes = reader.mistakes.len();
            reader.flat("keys", table, KEYS, &mut given);
            if given.file.is_none() && reader.mistakes.len() == mistakes {
                reader.mistake(table.span().start, "keys: no file is named, expected file = \"PATH\"");
            }
            let id = given.id.unwrap_or_else(|| authkey::DEFAULT_KEY_ID.into());
            self.key(reader, table, id, given.file.map(|file| directory.join(file)));
        }
    }

    fn key(&mut self, reader: &Reader<'_>, value: &Spanned<DeValue<'_>>, id: String, path: Option<PathBuf>) {
        if let Some(path) = path {
            self.add_key(reader.place(value.span().start), KeyFile { id, path });
        }
    }

    fn objects(&mut self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>, kind: declare::Kind) {
        let section = kind.section;
        let Some(table) = reader.table(section, value) else { return };
        for (name, value) in as_written(table) {
            let mut options = (kind.options)();
            let path = format!("{section}.{}", name.get_ref());
            reader.flat(&path, value, kind.keys, &mut options);
            let given: Vec<&str> =
                value.get_ref().as_table().into_iter().flat_map(|table| table.keys()).map(|key| &**key.get_ref()).collect();
            if let Some(problem) = declare::missing(kind, &given) {
                reader.mistake(name.span().start, format!("{path}: {problem}"));
            }
            match name.get_ref().parse() {
                Ok(parsed) => {
                    let place = reader.place(name.span().start);
                    self.add_object(place, Declared { name: parsed, options });
                }
                Err(fault) => reader.mistake(name.span().start, format!("{section}: {fault}")),
            }
        }
    }
}

/// Every table of keys but those of objects, by its heading in the documentation.
#[cfg(test)]
pub(super) fn keys() -> Vec<(&'static str, Vec<&'static str>)> {
    let is_of_objects = |key: &&str| declare::KINDS.iter().any(|kind| kind.section == *key);
    vec![
        ("## Top level", TOP.iter().copied().filter(|key| !is_of_objects(key)).collect()),
        ("### `[[keys]]`", names(KEYS)),
        ("### `[log]`", names(LOG)),
        ("### `[limits]`", names(LIMITS)),
    ]
}
