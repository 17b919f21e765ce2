//! Objects that exist from the start: `[queues.NAME]` and `[kv.NAME]` in the file, `--queue NAME:option=value` on the command
//! line. The options are the ones of the contract; their defaults are the broker's.

use super::{
    Declared,
    reader::{Key, Value, assign, names, unknown_key},
    units::{Expected, duration, expected, size},
};
use bursar_proto::v1::{kv, queue, registry};

type Options = registry::Options;

/// A kind that can be declared: how a new object's options begin, and which keys there are.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub options: fn() -> Options,
    pub keys: &'static [Key<Options>],
}

pub(super) const QUEUE: Kind = Kind {
    options: || Options { kind: Some(registry::options::Kind::Queue(queue::Options::default())) },
    keys: &[
        Key { name: "maxsize", set: |options, value| assign(&mut queue(options).maxsize, value.integer(0..=u64::MAX)) },
        Key { name: "max_bytes", set: |options, value| assign(&mut queue(options).max_bytes, bytes(value)) },
        Key { name: "max_failures", set: |options, value| assign(&mut queue(options).max_failures, count(value)) },
        Key { name: "max_crashes", set: |options, value| assign(&mut queue(options).max_crashes, count(value)) },
        Key { name: "retry_delay", set: |options, value| assign(&mut queue(options).retry_delay_ms, time_ms(value, 1)) },
        Key { name: "unique_window", set: |options, value| assign(&mut queue(options).unique_window_ms, time_ms(value, 0)) },
    ],
};

pub(super) const KV: Kind = Kind {
    options: || Options { kind: Some(registry::options::Kind::Kv(kv::Options::default())) },
    keys: &[
        Key { name: "max_keys", set: |options, value| assign(&mut kv(options).max_keys, value.integer(1..=u64::MAX)) },
        Key { name: "max_bytes", set: |options, value| assign(&mut kv(options).max_bytes, bytes(value)) },
        Key { name: "events_max", set: |options, value| assign(&mut kv(options).events_max, count(value)) },
    ],
};

fn queue(options: &mut Options) -> &mut queue::Options {
    match &mut options.kind {
        Some(registry::options::Kind::Queue(queue)) => queue,
        _ => unreachable!("the keys of QUEUE are set in options that QUEUE made"),
    }
}

fn kv(options: &mut Options) -> &mut kv::Options {
    match &mut options.kind {
        Some(registry::options::Kind::Kv(kv)) => kv,
        _ => unreachable!("the keys of KV are set in options that KV made"),
    }
}

/// On the wire 0 stands for the default: who writes 0 in a configuration means something else, and is told.
fn count(value: Value<'_>) -> Result<u32, Expected> {
    Ok(value.integer(1..=u64::from(u32::MAX))? as u32)
}

fn bytes(value: Value<'_>) -> Result<u64, Expected> {
    match value {
        Value::Text(text) => size(text),
        value => value.integer(1..=u64::MAX),
    }
}

fn time_ms(value: Value<'_>, least_ms: u64) -> Result<u64, Expected> {
    let text = match value {
        Value::Text(text) => text,
        Value::Integer(0) => "0",
        _ => "",
    };
    match duration(text)?.as_millis() as u64 {
        ms if ms < least_ms => expected(format!("a duration of at least {least_ms}ms")),
        ms => Ok(ms),
    }
}

/// `NAME[:option=value,...]`; all that is wrong with it.
pub(super) fn from_flag(kind: Kind, text: &str) -> Result<Declared, Vec<String>> {
    let (name, settings) = text.split_once(':').unwrap_or((text, ""));
    let mut options = (kind.options)();
    let mut problems: Vec<String> = settings
        .split(',')
        .filter(|setting| !setting.is_empty())
        .filter_map(|setting| set(kind, &mut options, setting).err())
        .collect();
    match name.parse() {
        Ok(name) if problems.is_empty() => return Ok(Declared { name, options }),
        Ok(_) => {}
        Err(fault) => problems.insert(0, fault.to_string()),
    }
    Err(problems)
}

fn set(kind: Kind, options: &mut Options, setting: &str) -> Result<(), String> {
    let (name, text) = setting.split_once('=').ok_or_else(|| format!("found {setting:?}, expected option=value"))?;
    let key = kind.keys.iter().find(|key| key.name == name).ok_or_else(|| unknown_key("", name, &names(kind.keys)))?;
    let value = Value::of_flag(text);
    (key.set)(options, value).map_err(|expected| format!("{name}: found {value}, {expected}"))
}
