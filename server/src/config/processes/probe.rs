//! Checks: `"session"`, `"notify"`, `"tcp:HOST:PORT"`, `"http://..."`, or a table with one of them, or a command, and times.

use super::{Field, Value, command::commands, number, put, text, time_ms};
use crate::config::reader::Reader;
use bursar::processes::{Check, Probe};
use toml::{Spanned, de::DeValue};

const WHAT: &str = "\"session\", \"notify\", \"tcp:HOST:PORT\", \"http://HOST:PORT/PATH\" or a table: { command = [\"...\"], interval = \"1s\" }";

/// A check as it is read. What is not said depends on what is asked.
#[derive(Default)]
pub(super) struct Asked {
    probes: Vec<Probe>,
    interval_ms: Option<u64>,
    timeout_ms: Option<u64>,
    failures: Option<u32>,
    within_ms: Option<u64>,
}

macro_rules! field {
    ($name:literal, |$reader:ident, $path:ident, $value:ident, $asked:ident| $read:expr) => {
        Field { name: $name, read: |$reader, $path, $value, $asked: &mut Asked| $read }
    };
}

/// Of `readiness` and `liveness`; those of `startup` are the same without `failures`, because there only the first success counts.
pub(super) const CHECK: &[Field<Asked>] = &[
    field!("failures", |reader, path, value, asked| asked.failures = reader.read(path, value, number)),
    field!("command", |reader, path, value, asked| asked.probes.extend(command(reader, path, value))),
    field!("tcp", |reader, path, value, asked| asked.probes.extend(text(reader, path, value, "HOST:PORT").map(Probe::Tcp))),
    field!("http", |reader, path, value, asked| {
        asked.probes.extend(text(reader, path, value, "http://HOST:PORT/PATH").map(Probe::Http));
    }),
    field!("session", |reader, path, value, asked| asked.probes.extend(chosen(reader, path, value, Probe::Session))),
    field!("notify", |reader, path, value, asked| asked.probes.extend(chosen(reader, path, value, Probe::Notify))),
    field!("interval", |reader, path, value, asked| put(&mut asked.interval_ms, reader.read(path, value, time_ms).map(Some))),
    field!("timeout", |reader, path, value, asked| put(&mut asked.timeout_ms, reader.read(path, value, time_ms).map(Some))),
    field!("within", |reader, path, value, asked| put(&mut asked.within_ms, reader.read(path, value, time_ms).map(Some))),
];

/// A startup check.
pub(super) fn startup(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Check> {
    check(reader, path, value, &CHECK[1..])
}

/// A readiness or liveness check.
pub(super) fn probe(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Check> {
    check(reader, path, value, CHECK)
}

fn check(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>, fields: &[Field<Asked>]) -> Option<Check> {
    if value.get_ref().as_table().is_none() {
        return Some(Check::new(reader.read(path, value, short)?));
    }
    let mistakes = reader.mistakes.len();
    let mut asked = Asked::default();
    reader.fields(path, value, fields, &mut asked);
    let Asked { mut probes, interval_ms, timeout_ms, failures, within_ms } = asked;
    match (probes.pop(), probes.is_empty()) {
        (Some(probe), true) => {
            let default = Check::new(probe);
            Some(Check {
                interval_ms: interval_ms.unwrap_or(default.interval_ms),
                timeout_ms: timeout_ms.unwrap_or(default.timeout_ms),
                failures: failures.unwrap_or(default.failures),
                within_ms: within_ms.unwrap_or(default.within_ms),
                probe: default.probe,
            })
        }
        _ => {
            if reader.mistakes.len() == mistakes {
                reader.mistake(value.span().start, format!("{path}: expected one of command, tcp, http, session and notify"));
            }
            None
        }
    }
}

fn short(value: Value<'_>) -> Result<Probe, super::Expected> {
    match value.text(WHAT)? {
        "session" => Ok(Probe::Session),
        "notify" => Ok(Probe::Notify),
        url if url.starts_with("http://") || url.starts_with("https://") => Ok(Probe::Http(url.into())),
        text => match text.strip_prefix("tcp://").or_else(|| text.strip_prefix("tcp:")) {
            Some(address) => Ok(Probe::Tcp(address.into())),
            None => super::expected(WHAT),
        },
    }
}

fn chosen(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>, probe: Probe) -> Option<Probe> {
    let read = |value: Value<'_>| match value {
        Value::Boolean(true) => Ok(probe),
        _ => super::expected("true; without it the key is left out"),
    };
    reader.read(path, value, read)
}

fn command(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Probe> {
    let mut commands = commands(reader, path, value)?;
    match (commands.pop(), commands.is_empty()) {
        (Some(command), true) => Some(Probe::Command(command)),
        _ => reader.read(path, value, |_: Value<'_>| super::expected("one command: an array of strings, or one string")),
    }
}
