//! The processes of the file: `[processes.NAME]`. Which keys there are, and how each gets into a [`Spec`]; what a spec has to fulfil is
//! said where that is defined, and only brought to its place in the file here.

mod command;
mod dependencies;
mod probe;

#[cfg(test)]
use super::reader::names;
use super::{
    Draft, Place,
    reader::{Field, Key, Reader, Value, as_written, assign, put},
    units::{Expected, duration, expected, size},
};
use bursar::processes::{
    Backoff, Budget, Hooks, LogFile, OBJECT, Problem, Restart, Spec, Spent, Stop, Watch, Workers, problems_of,
};
pub(super) use command::in_a_shell;
use command::{Command, command, commands};
use dependencies::dependencies;
use probe::{probe, startup};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A process as it is read: two of its keys are judged together.
#[derive(Default)]
struct Entry {
    spec: Spec,
    command: Option<Command>,
    shell: bool,
}

const PROCESS: &[Field<Entry>] = &[
    Field { name: "command", read: |reader, path, value, entry| entry.command = command(reader, path, value) },
    Field { name: "shell", read: |reader, path, value, entry| put(&mut entry.shell, reader.read(path, value, Value::boolean)) },
    Field {
        name: "environment",
        read: |reader, path, value, entry| environment(reader, path, value, &mut entry.spec.environment),
    },
    Field { name: "env_file", read: |reader, path, value, entry| env_files(reader, path, value, &mut entry.spec.env_files) },
    Field { name: "env_files", read: |reader, path, value, entry| env_files(reader, path, value, &mut entry.spec.env_files) },
    Field {
        name: "directory",
        read: |reader, path, value, entry| put(&mut entry.spec.directory, text(reader, path, value, "a path").map(Some)),
    },
    Field {
        name: "user",
        read: |reader, path, value, entry| {
            put(&mut entry.spec.user, text(reader, path, value, "USER or USER:GROUP, by name or number").map(Some));
        },
    },
    Field { name: "workers", read: |reader, path, value, entry| put(&mut entry.spec.workers, workers(reader, path, value)) },
    Field {
        name: "autostart",
        read: |reader, path, value, entry| put(&mut entry.spec.autostart, reader.read(path, value, Value::boolean)),
    },
    Field { name: "restart", read: |reader, path, value, entry| put(&mut entry.spec.restart, reader.read(path, value, restart)) },
    Field { name: "backoff", read: |reader, path, value, entry| reader.flat(path, value, BACKOFF, &mut entry.spec.backoff) },
    Field { name: "restarts", read: |reader, path, value, entry| budget(reader, path, value, &mut entry.spec.budget) },
    Field { name: "stop", read: |reader, path, value, entry| reader.flat(path, value, STOP, &mut entry.spec.stop) },
    Field {
        name: "overlap",
        read: |reader, path, value, entry| put(&mut entry.spec.overlap, reader.read(path, value, Value::boolean)),
    },
    Field { name: "startup", read: |reader, path, value, entry| entry.spec.startup = startup(reader, path, value) },
    Field { name: "readiness", read: |reader, path, value, entry| entry.spec.readiness = probe(reader, path, value) },
    Field { name: "liveness", read: |reader, path, value, entry| entry.spec.liveness = probe(reader, path, value) },
    Field {
        name: "depends_on",
        read: |reader, path, value, entry| put(&mut entry.spec.dependencies, dependencies(reader, path, value)),
    },
    Field { name: "hooks", read: |reader, path, value, entry| reader.fields(path, value, HOOKS, &mut entry.spec.hooks) },
    Field { name: "watch", read: |reader, path, value, entry| entry.spec.watch = watch(reader, path, value) },
    Field { name: "log", read: |reader, path, value, entry| entry.spec.log = log(reader, path, value) },
];

const BACKOFF: &[Key<Backoff>] = &[
    Key { name: "first", set: |backoff, value| assign(&mut backoff.first_ms, time_ms(value)) },
    Key { name: "max", set: |backoff, value| assign(&mut backoff.max_ms, time_ms(value)) },
    Key { name: "jitter", set: |backoff, value| assign(&mut backoff.jitter, fraction(value)) },
    Key { name: "reset", set: |backoff, value| assign(&mut backoff.reset_ms, time_ms(value)) },
];

const RESTARTS: &[Key<Budget>] = &[
    Key { name: "most", set: |budget, value| assign(&mut budget.restarts, number(value).map(Some)) },
    Key { name: "within", set: |budget, value| assign(&mut budget.within_ms, time_ms(value)) },
    Key { name: "then", set: |budget, value| assign(&mut budget.spent, spent(value)) },
];

const STOP: &[Key<Stop>] = &[
    Key { name: "signal", set: |stop, value| assign(&mut stop.signal, signal(value)) },
    Key { name: "timeout", set: |stop, value| assign(&mut stop.timeout_ms, time_ms(value)) },
    Key { name: "ask", set: |stop, value| assign(&mut stop.ask_ms, time_ms(value).map(Some)) },
];

const HOOKS: &[Field<Hooks>] = &[
    Field {
        name: "before_start",
        read: |reader, path, value, hooks| put(&mut hooks.before_start, commands(reader, path, value)),
    },
    Field { name: "after_start", read: |reader, path, value, hooks| put(&mut hooks.after_start, commands(reader, path, value)) },
    Field { name: "before_stop", read: |reader, path, value, hooks| put(&mut hooks.before_stop, commands(reader, path, value)) },
    Field { name: "after_stop", read: |reader, path, value, hooks| put(&mut hooks.after_stop, commands(reader, path, value)) },
    Field {
        name: "before_restart",
        read: |reader, path, value, hooks| put(&mut hooks.before_restart, commands(reader, path, value)),
    },
    Field {
        name: "after_restart",
        read: |reader, path, value, hooks| put(&mut hooks.after_restart, commands(reader, path, value)),
    },
];

const WATCH: &[Field<Watch>] = &[
    Field { name: "paths", read: |reader, path, value, watch| put(&mut watch.paths, texts(reader, path, value, "paths")) },
    Field {
        name: "ignore",
        read: |reader, path, value, watch| put(&mut watch.ignore, texts(reader, path, value, "names such as *.pyc")),
    },
    Field { name: "delay", read: |reader, path, value, watch| put(&mut watch.delay_ms, reader.read(path, value, time_ms)) },
];

const LOG: &[Key<LogFile>] = &[
    Key { name: "file", set: |log, value| assign(&mut log.path, value.text("a path").map(str::to_owned)) },
    Key { name: "size", set: |log, value| assign(&mut log.bytes, bytes(value)) },
    Key { name: "keep", set: |log, value| assign(&mut log.kept, number(value)) },
];

/// The table of `workers`; what is not said is not known.
#[derive(Default)]
struct Lag {
    min: Option<u32>,
    max: Option<u32>,
    queue: Option<String>,
    target_lag_ms: Option<u64>,
}

const WORKERS: &[Key<Lag>] = &[
    Key { name: "min", set: |lag, value| assign(&mut lag.min, number(value).map(Some)) },
    Key { name: "max", set: |lag, value| assign(&mut lag.max, number(value).map(Some)) },
    Key { name: "queue", set: |lag, value| assign(&mut lag.queue, value.text("a queue's name").map(|name| Some(name.into()))) },
    Key { name: "target_lag", set: |lag, value| assign(&mut lag.target_lag_ms, time_ms(value).map(Some)) },
];

/// Where the keys of a process stand, for what is judged only when all processes are known.
pub(super) struct Written {
    pub name: Place,
    /// By key, as `stop` and `stop.signal`.
    pub keys: BTreeMap<String, Place>,
    /// Keys with a mistake that is reported already.
    pub bad: BTreeSet<String>,
}

impl Draft {
    pub(super) fn processes(&mut self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>, file: &Path) {
        let Some(table) = reader.table("processes", value) else { return };
        let directory = directory_of(file);
        for (name, value) in as_written(table) {
            let path = format!("processes.{}", name.get_ref());
            let Some(keys) = reader.table(&path, value) else { continue };
            let mut written = written(reader, reader.place(name.span().start), keys);
            let mut entry = Entry::default();
            for key in as_written(keys) {
                let mistakes = reader.mistakes.len();
                read_key(reader, &path, key, &mut entry);
                if reader.mistakes.len() > mistakes {
                    written.bad.insert(key.0.get_ref().to_string());
                }
            }
            let mut spec = Spec { name: name.get_ref().to_string(), ..entry.spec };
            if let Some(command) = entry.command {
                spec.command = command.words(reader, &path, entry.shell).unwrap_or_else(|| {
                    written.bad.insert("command".into());
                    Vec::new()
                });
            }
            settle(&mut spec, &directory);
            self.add_process(written, spec);
        }
    }

    pub(super) fn add_process(&mut self, written: Written, spec: Spec) {
        self.process_places.insert(spec.name.clone(), written);
        self.config.processes.push(spec);
    }

    /// What is wrong with each process, with several together, and with objects that have the names of theirs.
    pub(super) fn check_processes(&mut self) {
        for problem in problems_of(&self.config.processes) {
            let written = &self.process_places[&problem.process];
            let Problem { process, field, text } = problem;
            let key = key_of(&field);
            if !written.bad.contains(&key) {
                let place = written.place(&key);
                self.mistake(place, format!("processes.{process}.{key}: {text}"));
            }
        }
        self.check_objects_of_processes();
    }

    /// A channel may be declared, with options of its own; anything else in its place would keep the process from having one.
    fn check_objects_of_processes(&mut self) {
        let supervises = self.config.supervise || !self.config.processes.is_empty();
        let mut mistakes = Vec::new();
        for (object, place) in self.config.objects.iter().zip(&self.object_places) {
            let kind = bursar_proto::kind_of(&object.options);
            let process = ["-active", "-passive", "-control"].iter().find_map(|end| object.name.as_str().strip_suffix(end));
            if supervises && object.name.as_str() == OBJECT {
                mistakes.push((place.clone(), format!("the name {OBJECT} is the supervisor's")));
            } else if let Some(process) = process.filter(|name| self.process_places.contains_key(*name))
                && kind != Some("channel")
            {
                let problem = format!("{} is a channel of the process {process}: give one of them another name", object.name);
                mistakes.push((place.clone(), problem));
            }
        }
        mistakes.into_iter().for_each(|(place, problem)| self.mistake(place, problem));
    }
}

impl Written {
    /// The place of a key, else of the table in which it would stand.
    fn place(&self, key: &str) -> Place {
        let table = key.split('.').next().unwrap_or(key);
        self.keys.get(key).or_else(|| self.keys.get(table)).unwrap_or(&self.name).clone()
    }
}

fn read_key(
    reader: &mut Reader<'_>,
    path: &str,
    key: (&Spanned<toml::de::DeString<'_>>, &Spanned<DeValue<'_>>),
    entry: &mut Entry,
) {
    let (name, value) = key;
    match PROCESS.iter().find(|field| field.name == name.get_ref()) {
        Some(field) => (field.read)(reader, &format!("{path}.{}", field.name), value, entry),
        None => reader.unknown(path, name, &PROCESS.iter().map(|field| field.name).collect::<Vec<_>>()),
    }
}

fn written(reader: &Reader<'_>, name: Place, table: &DeTable<'_>) -> Written {
    let mut keys = BTreeMap::new();
    for (key, value) in table {
        // Both are one list in a spec.
        let key = if key.get_ref() == "env_file" { "env_files" } else { key.get_ref() };
        keys.insert(key.to_owned(), reader.place(value.span().start));
        for (inner, value) in value.get_ref().as_table().into_iter().flatten() {
            keys.insert(format!("{key}.{}", inner.get_ref()), reader.place(value.span().start));
        }
    }
    Written { name, keys, bad: BTreeSet::new() }
}

/// What a field of a spec is called in the file.
fn key_of(field: &str) -> String {
    let field = field.strip_suffix("_ms").or_else(|| field.strip_suffix(".probe")).unwrap_or(field);
    match field {
        "budget.restarts" => "restarts.most",
        "budget.within" => "restarts.within",
        "dependencies" => "depends_on",
        "log.path" => "log.file",
        "log.bytes" => "log.size",
        "log.kept" => "log.keep",
        same => same,
    }
    .to_owned()
}

/// The file's directory, from the root: it is shown, and workers and hooks run in it, wherever the broker was started.
pub(super) fn directory_of(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    absolute.parent().unwrap_or(Path::new("/")).to_owned()
}

/// Relative paths are relative to the file's directory, and without another a process runs there.
fn settle(spec: &mut Spec, directory: &Path) {
    let resolve = |path: &str| match path {
        "" => String::new(), // a mistake, and shown as it is
        path => directory.join(path).to_string_lossy().into_owned(),
    };
    spec.directory = Some(spec.directory.as_deref().map_or_else(|| directory.to_string_lossy().into_owned(), resolve));
    spec.env_files.iter_mut().for_each(|path| *path = resolve(path));
    spec.log.iter_mut().for_each(|log| log.path = resolve(&log.path));
}

fn environment(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>, environment: &mut BTreeMap<String, String>) {
    let Some(table) = reader.table(path, value) else { return };
    for (name, value) in table {
        let read = |value: Value<'_>| match value {
            Value::Text(text) => Ok(text.to_owned()),
            Value::Integer(_) | Value::Fraction(_) | Value::Boolean(_) => Ok(value.to_string()),
            Value::Other(_) => expected("a text, a number, true or false"),
        };
        if let Some(text) = reader.read(&format!("{path}.{}", name.get_ref()), value, read) {
            environment.insert(name.get_ref().to_string(), text);
        }
    }
}

fn env_files(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>, files: &mut Vec<String>) {
    files.extend(texts(reader, path, value, "paths").unwrap_or_default());
}

fn text(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>, what: &str) -> Option<String> {
    reader.read(path, value, |value| value.text(what)).map(str::to_owned)
}

fn texts(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>, what: &str) -> Option<Vec<String>> {
    Some(reader.texts(path, value, what)?.into_iter().map(|(_, text)| text.to_owned()).collect())
}

fn workers(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Workers> {
    const WHAT: &str = "a whole number, or a table: { min = 1, max = 8, queue = \"jobs\", target_lag = \"5s\" }";
    if value.get_ref().as_table().is_none() {
        let read = |value: Value<'_>| number(value).or_else(|_| expected(WHAT));
        return reader.read(path, value, read).map(Workers::Fixed);
    }
    let mistakes = reader.mistakes.len();
    let mut lag = Lag::default();
    reader.flat(path, value, WORKERS, &mut lag);
    match lag {
        Lag { min, max: Some(max), queue: Some(queue), target_lag_ms: Some(target_lag_ms) } => {
            Some(Workers::Lag { min: min.unwrap_or(1), max, queue, target_lag_ms })
        }
        _ => {
            if reader.mistakes.len() == mistakes {
                reader.mistake(value.span().start, format!("{path}: max, queue and target_lag must be said"));
            }
            None
        }
    }
}

fn budget(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>, budget: &mut Budget) {
    let mistakes = reader.mistakes.len();
    reader.flat(path, value, RESTARTS, budget);
    if budget.restarts.is_none() && reader.mistakes.len() == mistakes {
        reader.mistake(value.span().start, format!("{path}: most must be said: how many restarts within the time"));
    }
}

fn watch(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Watch> {
    let mut watch = Watch::default();
    match value.get_ref() {
        DeValue::Table(_) => reader.fields(path, value, WATCH, &mut watch),
        _ => {
            watch.paths =
                texts(reader, path, value, "paths, or a table: { paths = [\"src\"], ignore = [\"*.pyc\"], delay = \"200ms\" }")?
        }
    }
    Some(watch)
}

fn log(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<LogFile> {
    const WHAT: &str = "a path, or a table: { file = \"web.log\", size = \"10MiB\", keep = 3 }";
    let mut log = LogFile::default();
    match value.get_ref() {
        DeValue::Table(_) => reader.flat(path, value, LOG, &mut log),
        _ => log.path = text(reader, path, value, WHAT)?,
    }
    Some(log)
}

fn restart(value: Value<'_>) -> Result<Restart, Expected> {
    match value {
        Value::Text("always") => Ok(Restart::Always),
        Value::Text("on-failure") => Ok(Restart::OnFailure),
        Value::Text("unless-stopped") => Ok(Restart::UnlessStopped),
        Value::Text("never") => Ok(Restart::Never),
        _ => expected("\"always\", \"on-failure\", \"unless-stopped\" or \"never\""),
    }
}

fn spent(value: Value<'_>) -> Result<Spent, Expected> {
    match value {
        Value::Text("worker") => Ok(Spent::Worker),
        Value::Text("process") => Ok(Spent::Process),
        Value::Text("everything") => Ok(Spent::Everything),
        _ => expected("what is given up: \"worker\", \"process\" or \"everything\""),
    }
}

fn signal(value: Value<'_>) -> Result<String, Expected> {
    match value {
        Value::Integer(number) => Ok(number.to_string()),
        value => value.text("a signal, such as SIGTERM").map(str::to_owned),
    }
}

fn number(value: Value<'_>) -> Result<u32, Expected> {
    Ok(value.integer(0..=u64::from(u32::MAX))? as u32)
}

fn fraction(value: Value<'_>) -> Result<f64, Expected> {
    match value {
        Value::Fraction(fraction) => Ok(fraction),
        Value::Integer(whole @ 0..=1) => Ok(whole as f64),
        _ => expected("a part of the time, from 0 to 1, such as 0.2"),
    }
}

fn bytes(value: Value<'_>) -> Result<u64, Expected> {
    match value {
        Value::Text(text) => size(text),
        value => value.integer(0..=u64::MAX),
    }
}

fn time_ms(value: Value<'_>) -> Result<u64, Expected> {
    let text = match value {
        Value::Text(text) => text,
        Value::Integer(0) => "0",
        _ => "",
    };
    Ok(duration(text)?.as_millis() as u64)
}

/// Every table of keys, by its heading in the documentation.
#[cfg(test)]
pub(super) fn keys() -> Vec<(&'static str, Vec<&'static str>)> {
    fn of<T>(fields: &[Field<T>]) -> Vec<&'static str> {
        fields.iter().map(|field| field.name).collect()
    }
    vec![
        ("## `[processes.NAME]`", of(PROCESS)),
        ("### `workers`", names(WORKERS)),
        ("### `backoff`", names(BACKOFF)),
        ("### `restarts`", names(RESTARTS)),
        ("### `stop`", names(STOP)),
        ("### Checks", of(probe::CHECK)),
        ("### `hooks`", of(HOOKS)),
        ("### `watch`", of(WATCH)),
        ("### `log` of a process", names(LOG)),
    ]
}

#[cfg(test)]
mod tests;
