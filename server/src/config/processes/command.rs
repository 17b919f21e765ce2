//! Commands: an array of words, or one string that is split into words as a shell does it.

use super::Value;
use crate::config::{
    reader::{Reader, all},
    units::expected,
};
use toml::{Spanned, de::DeValue};

/// What a shell does and a split does not. Who writes one of these as a word of its own wants a shell.
const OPERATORS: [&str; 13] = ["|", "||", "&", "&&", ";", ">", ">>", "<", "<<", "2>", "2>&1", "(", ")"];

/// A command as it was written, and where.
pub(super) enum Command {
    Words { at: usize, words: Vec<String> },
    Line { at: usize, line: String },
}

impl Command {
    /// What is run; a mistake is written down, and then there is none. Empty for a line without words.
    pub fn words(self, reader: &mut Reader<'_>, path: &str, shell: bool) -> Option<Vec<String>> {
        match (self, shell) {
            (Command::Words { words, .. }, false) => Some(words),
            (Command::Words { at, .. }, true) => {
                reader.mistake(at, format!("{path}.command: found an array, expected one string, because shell = true"));
                None
            }
            (Command::Line { at, line }, false) => split(reader, &format!("{path}.command"), at, &line),
            (Command::Line { line, .. }, true) if line.trim().is_empty() => Some(Vec::new()),
            (Command::Line { line, .. }, true) => Some(in_a_shell(line)),
        }
    }
}

/// A line that a shell reads.
pub(in crate::config) fn in_a_shell(line: impl Into<String>) -> Vec<String> {
    vec!["sh".into(), "-c".into(), line.into()]
}

pub(super) fn command(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Command> {
    let at = value.span().start;
    match value.get_ref() {
        DeValue::String(line) => Some(Command::Line { at, line: line.to_string() }),
        _ => Some(Command::Words { at, words: words(reader, path, value)? }),
    }
}

/// A string, an array of words, or an array of such arrays.
pub(super) fn commands(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<Vec<String>>> {
    match value.get_ref() {
        DeValue::String(line) => Some(vec![split(reader, path, value.span().start, line)?]),
        DeValue::Array(commands) if commands.iter().any(|command| command.get_ref().is_array()) => {
            all(commands.iter().map(|command| words(reader, path, command)))
        }
        DeValue::Array(none) if none.is_empty() => Some(Vec::new()),
        _ => Some(vec![words(reader, path, value)?]),
    }
}

/// Words may be empty: `["grep", ""]`.
fn words(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    let Some(words) = value.get_ref().as_array() else {
        return reader.read(path, value, |_: Value<'_>| expected("a command: an array of strings, or one string"));
    };
    let word = |value: Value<'_>| match value {
        Value::Text(word) => Ok(word.to_owned()),
        _ => expected("a string"),
    };
    all(words.iter().map(|value| reader.read(path, value, word)))
}

/// Quotes and backslashes are as in a shell; nothing is expanded.
fn split(reader: &mut Reader<'_>, path: &str, at: usize, line: &str) -> Option<Vec<String>> {
    let Some(words) = shlex::split(line) else {
        reader.mistake(at, format!("{path}: a quote is not closed, or a backslash is the last letter"));
        return None;
    };
    match words.iter().find(|word| OPERATORS.contains(&word.as_str())) {
        Some(operator) => {
            reader.mistake(
                at,
                format!(
                    "{path}: {operator} is for a shell, and there is none: set shell = true, or use [\"sh\", \"-c\", \"...\"]"
                ),
            );
            None
        }
        None => Some(words),
    }
}
