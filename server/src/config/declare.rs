//! Objects that exist from the start: `[queues.NAME]`, `[kv.NAME]`, `[locks.NAME]`, ... in the file, `--queue NAME:option=value` or
//! `--object lock:NAME:option=value` on the command line. The options are the ones of the contract; their defaults are the broker's.

use super::{
    Declared,
    reader::{Key, Value, assign, names, unknown_key},
    units::{Expected, duration, expected, size},
};
use bursar_proto::v1::{
    OnDeadlock, array, barrier, channel, condition, counter, event, kv, latch, list, lock, object, queue, registry, rwlock,
    semaphore, topic,
};

type Options = registry::Options;

/// A kind that can be declared: how a new object's options begin, and which keys there are.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// As in the contract.
    pub name: &'static str,
    /// Its section in the file.
    pub section: &'static str,
    pub options: fn() -> Options,
    pub keys: &'static [Key<Options>],
    /// Those that must be said.
    pub required: &'static [&'static str],
}

/// The options of one kind within those of any.
macro_rules! of {
    ($($kind:ident $module:ident),* $(,)?) => { $(
        fn $module(options: &mut Options) -> &mut $module::Options {
            match &mut options.kind {
                Some(registry::options::Kind::$kind(options)) => options,
                _ => unreachable!("a kind's keys are set in options that it made"),
            }
        }
    )* };
}

of!(Queue queue, Kv kv, Lock lock, Rwlock rwlock, Semaphore semaphore, Event event, Latch latch, Condition condition,
    Barrier barrier, Counter counter, List list, Array array, Channel channel, Topic topic, Object object);

macro_rules! kind {
    ($kind:ident $module:ident $section:literal $(required $required:literal)*: $($name:ident = |$options:ident, $value:ident| $set:expr),* $(,)?) => {
        Kind {
            name: stringify!($module),
            section: $section,
            options: || Options { kind: Some(registry::options::Kind::$kind($module::Options::default())) },
            keys: &[ $( Key {
                name: bare(stringify!($name)),
                set: |options, $value| {
                    let $options = $module(options);
                    $set
                },
            } ),* ],
            required: &[$($required),*],
        }
    };
}

/// `type` is a word of Rust, and has to be written as `r#type` above.
const fn bare(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

pub(super) const QUEUE: Kind = kind!(Queue queue "queues":
    maxsize = |options, value| assign(&mut options.maxsize, value.integer(0..=u64::MAX)),
    max_bytes = |options, value| assign(&mut options.max_bytes, bytes(value)),
    max_failures = |options, value| assign(&mut options.max_failures, count(value)),
    max_crashes = |options, value| assign(&mut options.max_crashes, count(value)),
    retry_delay = |options, value| assign(&mut options.retry_delay_ms, time_ms(value, 1)),
    unique_window = |options, value| assign(&mut options.unique_window_ms, time_ms(value, 0)),
);

pub(super) const KV: Kind = kind!(Kv kv "kv":
    max_keys = |options, value| assign(&mut options.max_keys, value.integer(1..=u64::MAX)),
    max_bytes = |options, value| assign(&mut options.max_bytes, bytes(value)),
    events_max = |options, value| assign(&mut options.events_max, count(value)),
);

/// In the order of the contract.
pub(super) const KINDS: &[Kind] = &[
    QUEUE,
    KV,
    kind!(Lock lock "locks":
        reentrant = |options, value| assign(&mut options.reentrant, value.boolean()),
        refuse_deadlock = |options, value| assign(&mut options.on_deadlock, on_deadlock(value)),
    ),
    kind!(Rwlock rwlock "rwlocks":
        refuse_deadlock = |options, value| assign(&mut options.on_deadlock, on_deadlock(value)),
    ),
    kind!(Semaphore semaphore "semaphores" required "permits":
        permits = |options, value| assign(&mut options.permits, value.integer(0..=1 << 32)),
        bounded = |options, value| assign(&mut options.bounded, value.boolean()),
        refuse_deadlock = |options, value| assign(&mut options.on_deadlock, on_deadlock(value)),
    ),
    kind!(Event event "events":
        initially_set = |options, value| assign(&mut options.initially_set, value.boolean()),
    ),
    kind!(Latch latch "latches" required "count":
        count = |options, value| assign(&mut options.count, value.integer(1..=u64::MAX)),
    ),
    kind!(Condition condition "conditions":
        refuse_deadlock = |options, value| assign(&mut options.on_deadlock, on_deadlock(value)),
    ),
    kind!(Barrier barrier "barriers" required "parties":
        parties = |options, value| assign(&mut options.parties, value.integer(1..=100_000).map(|parties| parties as u32)),
    ),
    kind!(Counter counter "counters":
        initial = |options, value| assign(&mut options.initial, whole(value)),
    ),
    kind!(List list "lists":
        max_len = |options, value| assign(&mut options.max_len, value.integer(1..=u64::MAX)),
        max_bytes = |options, value| assign(&mut options.max_bytes, bytes(value)),
    ),
    kind!(Array array "arrays" required "type" required "length":
        r#type = |options, value| assign(&mut options.r#type, number_type(value)),
        length = |options, value| assign(&mut options.length, value.integer(1..=16_777_216)),
    ),
    kind!(Channel channel "channels":
        max_messages = |options, value| assign(&mut options.max_messages, value.integer(1..=u64::MAX)),
        max_bytes = |options, value| assign(&mut options.max_bytes, bytes(value)),
    ),
    kind!(Topic topic "topics" required "overload":
        overload = |options, value| assign(&mut options.overload, overload(value)),
        buffer_messages = |options, value| assign(&mut options.buffer_messages, value.integer(1..=u64::MAX)),
        buffer_bytes = |options, value| assign(&mut options.buffer_bytes, bytes(value)),
        keep_messages = |options, value| assign(&mut options.keep_messages, value.integer(1..=u64::MAX)),
        keep_bytes = |options, value| assign(&mut options.keep_bytes, bytes(value)),
    ),
    kind!(Object object "objects":
        max_calls = |options, value| assign(&mut options.max_calls, value.integer(1..=u64::MAX)),
        max_bytes = |options, value| assign(&mut options.max_bytes, bytes(value)),
        max_calls_per_session = |options, value| assign(&mut options.max_calls_per_session, value.integer(1..=u64::MAX)),
        serial = |options, value| assign(&mut options.serial, value.boolean()),
    ),
];

/// On the wire 0 stands for the default: who writes 0 in a configuration means something else, and is told.
fn count(value: Value<'_>) -> Result<u32, Expected> {
    Ok(value.integer(1..=u64::from(u32::MAX))? as u32)
}

fn overload(value: Value<'_>) -> Result<i32, Expected> {
    const WHAT: &str = "block, drop_oldest, drop_newest or disconnect";
    match topic::Overload::from_str_name(&value.text(WHAT)?.to_uppercase()) {
        None | Some(topic::Overload::Undecided) => expected(WHAT),
        Some(overload) => Ok(overload.into()),
    }
}

fn on_deadlock(value: Value<'_>) -> Result<i32, Expected> {
    Ok(if value.boolean()? { OnDeadlock::Refuse.into() } else { OnDeadlock::default().into() })
}

fn whole(value: Value<'_>) -> Result<i64, Expected> {
    match value {
        Value::Integer(integer) => i64::try_from(integer).or_else(|_| expected("a whole number of 64 bits")),
        _ => expected("a whole number"),
    }
}

fn number_type(value: Value<'_>) -> Result<i32, Expected> {
    const WHAT: &str = "i8, u8, i16, u16, i32, u32, i64, u64, f32 or f64";
    match array::Type::from_str_name(&value.text(WHAT)?.to_uppercase()) {
        None | Some(array::Type::Unspecified) => expected(WHAT),
        Some(known) => Ok(known.into()),
    }
}

/// What must be said and was not, as a mistake.
pub(super) fn missing(kind: Kind, given: &[&str]) -> Option<String> {
    let missing: Vec<&str> = kind.required.iter().filter(|name| !given.contains(name)).copied().collect();
    (!missing.is_empty()).then(|| format!("{} must be said", missing.join(" and ")))
}

/// `KIND:NAME[:option=value,...]`; all that is wrong with it.
pub(super) fn from_object_flag(text: &str) -> Result<Declared, Vec<String>> {
    let (name, rest) = text.split_once(':').unwrap_or((text, ""));
    match KINDS.iter().find(|kind| kind.name == name) {
        Some(kind) => from_flag(*kind, rest),
        None => {
            let known = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
            Err(vec![format!("found {name:?}, expected KIND:NAME[:OPTION=VALUE,...] with one of the kinds {known}")])
        }
    }
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
    let given: Vec<&str> = settings.split(',').filter_map(|setting| Some(setting.split_once('=')?.0)).collect();
    problems.extend(missing(kind, &given));
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
