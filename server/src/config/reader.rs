//! Walks a parsed `bursar.toml` against tables of known keys and collects every mistake with its place.
//! What the keys are is said by [`super::file`] and [`super::processes`]; nothing here knows one of them.

use super::units::{Expected, expected};
use bursar::processes::nearest;
use std::{fmt, path::Path};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// `file:line:column`, or the flag.
    pub place: Place,
    /// What was found there, what is accepted, and what to do.
    pub problem: String,
}

/// Where a setting was given. Sorted as a reader of the file would meet them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A file as a whole.
    File(String),
    /// A point in a file; line and column count from 1, columns in characters.
    Point {
        /// The file as it was named.
        file: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
    },
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(file) => formatter.write_str(file),
            Place::Point { file, line, column } => write!(formatter, "{file}:{line}:{column}"),
            Place::Flag(flag) => formatter.write_str(flag),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.problem)
    }
}

/// A single setting, from the file or from a flag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Integer(i128),
    Fraction(f64),
    Boolean(bool),
    /// Anything else, by the name of its type.
    Other(&'static str),
}

impl<'a> Value<'a> {
    pub fn of_toml(value: &'a DeValue<'_>) -> Value<'a> {
        match value {
            DeValue::String(text) => Value::Text(text),
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Integer(integer) => match i128::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(integer) => Value::Integer(integer),
                Err(_) => Value::Other("an integer of more than 128 bits"),
            },
            DeValue::Array(_) => Value::Other("an array"),
            DeValue::Table(_) => Value::Other("a table"),
            DeValue::Float(float) => match float.as_str().parse() {
                Ok(fraction) => Value::Fraction(fraction),
                Err(_) => Value::Other("a number with a fraction"),
            },
            DeValue::Datetime(_) => Value::Other("a date or time"),
        }
    }

    /// On the command line nothing is quoted: what looks like a number is one.
    pub fn of_flag(text: &'a str) -> Value<'a> {
        match (text.parse(), text) {
            (Ok(integer), _) => Value::Integer(integer),
            (_, "true") => Value::Boolean(true),
            (_, "false") => Value::Boolean(false),
            _ => Value::Text(text),
        }
    }

    pub fn text(self, what: &str) -> Result<&'a str, Expected> {
        match self {
            Value::Text(text) if !text.is_empty() => Ok(text),
            _ => expected(what),
        }
    }

    pub fn boolean(self) -> Result<bool, Expected> {
        match self {
            Value::Boolean(boolean) => Ok(boolean),
            _ => expected("true or false"),
        }
    }

    pub fn integer(self, range: std::ops::RangeInclusive<u64>) -> Result<u64, Expected> {
        match self {
            Value::Integer(integer) if u64::try_from(integer).is_ok_and(|integer| range.contains(&integer)) => Ok(integer as u64),
            _ => expected(format!("a whole number from {} to {}", range.start(), range.end())),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) if text.chars().count() > 60 => {
                write!(formatter, "{:?}...", text.chars().take(60).collect::<String>())
            }
            Value::Text(text) => write!(formatter, "{text:?}"),
            Value::Integer(integer) => write!(formatter, "{integer}"),
            Value::Fraction(fraction) => write!(formatter, "{fraction}"),
            Value::Boolean(boolean) => write!(formatter, "{boolean}"),
            Value::Other(kind) => formatter.write_str(kind),
        }
    }
}

/// A known key of a flat table: its name, and how its value gets into `T`.
pub(super) struct Key<T> {
    pub name: &'static str,
    pub set: fn(&mut T, Value<'_>) -> Result<(), Expected>,
}

/// A known key of a table in which values may be anything: its name, and how its value is read into `T`.
pub(super) struct Field<T> {
    pub name: &'static str,
    pub read: fn(&mut Reader<'_>, &str, &Spanned<DeValue<'_>>, &mut T),
}

/// Sets what was read, if it could be read.
pub(super) fn assign<T>(target: &mut T, read: Result<T, Expected>) -> Result<(), Expected> {
    *target = read?;
    Ok(())
}

/// The text of one file, and what is wrong in it so far.
pub(super) struct Reader<'a> {
    file: String,
    text: &'a str,
    pub mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    pub fn new(file: &Path, text: &'a str) -> Reader<'a> {
        Reader { file: file.display().to_string(), text, mistakes: Vec::new() }
    }

    pub fn parse(&mut self) -> Spanned<DeTable<'a>> {
        let (tree, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let at = error.span().map_or(self.text.len(), |span| span.start);
            self.mistake(at, format!("this is not TOML: {}", error.message()));
        }
        tree
    }

    pub fn mistake(&mut self, at: usize, problem: impl Into<String>) {
        let place = self.place(at);
        self.mistakes.push(Mistake { place, problem: problem.into() });
    }

    pub fn place(&self, at: usize) -> Place {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::Point {
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    pub fn unknown(&mut self, path: &str, key: &Spanned<DeString<'_>>, known: &[&str]) {
        self.mistake(key.span().start, unknown_key(path, key.get_ref(), known));
    }

    /// One value; a mistake is written down, and then there is none.
    pub fn read<'v, T>(
        &mut self,
        path: &str,
        value: &'v Spanned<DeValue<'_>>,
        parse: impl FnOnce(Value<'v>) -> Result<T, Expected>,
    ) -> Option<T> {
        let given = Value::of_toml(value.get_ref());
        match parse(given) {
            Ok(read) => Some(read),
            Err(expected) => {
                self.mistake(value.span().start, format!("{path}: found {given}, {expected}"));
                None
            }
        }
    }

    /// The value as a table.
    pub fn table<'t, 'i>(&mut self, path: &str, value: &'t Spanned<DeValue<'i>>) -> Option<&'t DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let found = Value::of_toml(value.get_ref());
            self.mistake(value.span().start, format!("{path}: found {found}, expected a table: [{path}]"));
        }
        table
    }

    /// A table in which every value is a single setting.
    pub fn flat<T>(&mut self, path: &str, value: &Spanned<DeValue<'_>>, keys: &[Key<T>], target: &mut T) {
        let Some(table) = self.table(path, value) else { return };
        for (name, value) in table {
            match keys.iter().find(|key| key.name == name.get_ref()) {
                Some(key) => {
                    self.read(&format!("{path}.{}", key.name), value, |value| (key.set)(target, value));
                }
                None => self.unknown(path, name, &names(keys)),
            }
        }
    }

    /// A table in which values may be anything.
    pub fn fields<T>(&mut self, path: &str, value: &Spanned<DeValue<'_>>, fields: &[Field<T>], target: &mut T) {
        let Some(table) = self.table(path, value) else { return };
        for (name, value) in as_written(table) {
            match fields.iter().find(|field| field.name == name.get_ref()) {
                Some(field) => (field.read)(self, &format!("{path}.{}", field.name), value, target),
                None => self.unknown(path, name, &fields.iter().map(|field| field.name).collect::<Vec<_>>()),
            }
        }
    }

    /// An array of texts, or one text alone, each with its place.
    pub fn texts<'v>(&mut self, path: &str, value: &'v Spanned<DeValue<'_>>, what: &str) -> Option<Vec<(usize, &'v str)>> {
        let one = |reader: &mut Self, value: &'v Spanned<DeValue<'_>>| {
            reader.read(path, value, |value| value.text(what)).map(|text| (value.span().start, text))
        };
        match value.get_ref() {
            DeValue::Array(values) => all(values.iter().map(|value| one(self, value))),
            _ => Some(vec![one(self, value)?]),
        }
    }
}

/// Sets what was read, if there is any: what could not be read is a mistake already.
pub(super) fn put<T>(target: &mut T, read: Option<T>) {
    if let Some(read) = read {
        *target = read;
    }
}

/// All of them, or none; each is read, so that every mistake is found.
pub(super) fn all<T>(read: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    read.collect::<Vec<_>>().into_iter().collect()
}

/// The entries of a table in the order in which they are written; the tree itself is sorted by name.
pub(super) fn as_written<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// The names of a table of keys.
pub(super) fn names<T>(keys: &[Key<T>]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

/// What to say of a key that is not known, with the known key that is nearest to it.
pub(super) fn unknown_key(path: &str, key: &str, known: &[&str]) -> String {
    let full = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let hint = nearest(key, known.iter().copied()).map(|known| format!(", did you mean {known}?")).unwrap_or_default();
    format!("{full}: no such key{hint} (known here: {})", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_named_only_when_it_is_near() {
        assert!(unknown_key("", "lisen", &["keys", "listen"]).contains("did you mean listen?"));
        assert!(!unknown_key("", "zzzzzz", &["keys", "listen"]).contains("did you mean"));
    }

    #[test]
    fn columns_count_characters() {
        let reader = Reader::new(Path::new("f"), "a = 1\nä = 2\n");
        assert_eq!(reader.place(9).to_string(), "f:2:3");
        assert_eq!(reader.place(999).to_string(), "f:3:1", "past the end is the end");
    }
}
