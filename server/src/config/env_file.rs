//! Env files: a line `NAME=value` for each variable, as container runtimes and development tools read them. Nothing is expanded, and no
//! environment is touched.
//!
//! ```text
//!   # a comment
//!   export NAME=value          # `export` is allowed, and a comment behind a space
//!   NAME='as it is, $x, \n'    # over several lines, too
//!   NAME="with \n, \r, \t, \\, \" and \$ as escapes"
//! ```

use rustix::fs::OFlags;
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// An environment that goes to a program is smaller: the kernel takes 2 MiB with all arguments, as it is set up by default.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A mistake, and the line in which it is, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What was found, and what is expected.
    pub problem: String,
}

/// The variables of a file, in its order; of several of one name the last one counts. The error has every mistake with its line.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    let shown = path.display();
    let text = text_of(path).map_err(|error| format!("{shown}: cannot be read: {error}"))?;
    parse(&text).map_err(|bad| {
        let lines: Vec<String> = bad.iter().map(|BadLine { line, problem }| format!("{shown}:{line}: {problem}")).collect();
        lines.join("; ")
    })
}

/// Never waits for another program: opening a FIFO would, and so would reading it.
fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 {
        bytes if bytes > FILE_BYTES_MAX => Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes"))),
        _ => Ok(text),
    }
}

/// The variables in a text.
///
/// ```
/// use bursar_server::config::env_file::parse;
///
/// let variables = parse("# the port\nPORT=8000\nexport GREETING=\"good\\tday\" # to all\n").unwrap();
/// assert_eq!(variables, [("PORT".into(), "8000".into()), ("GREETING".into(), "good\tday".into())]);
///
/// let bad = parse("PORT\nNAME='x").unwrap_err();
/// assert_eq!((bad[0].line, bad[0].problem.as_str()), (1, "found \"PORT\", expected NAME=value"));
/// assert_eq!((bad[1].line, bad[1].problem.as_str()), (2, "the quote that opens here is never closed"));
/// ```
pub fn parse(text: &str) -> Result<Vec<(String, String)>, Vec<BadLine>> {
    let mut rest = Rest { text: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let (mut variables, mut bad) = (Vec::new(), Vec::new());
    while !rest.text.is_empty() {
        let line = rest.line;
        match rest.variable() {
            Ok(variable) => variables.extend(variable),
            Err(problem) => {
                bad.push(BadLine { line, problem });
                rest.end_line();
            }
        }
    }
    if bad.is_empty() { Ok(variables) } else { Err(bad) }
}

/// What is not read yet, and in which line it begins.
struct Rest<'a> {
    text: &'a str,
    line: usize,
}

impl<'a> Rest<'a> {
    /// One line, or several if a quoted value has them; none if there is nothing in it.
    fn variable(&mut self) -> Result<Option<(String, String)>, String> {
        let line = self.text.lines().next().unwrap_or_default();
        let said = line.trim();
        if said.is_empty() || said.starts_with('#') {
            self.end_line();
            return Ok(None);
        }
        let (before, _) = line.split_once('=').ok_or_else(|| format!("found {}, expected NAME=value", shown(said)))?;
        let name = name(before)?;
        self.text = &self.text[before.len() + 1..];
        let value = self.value()?;
        match value.contains('\0') {
            true => Err(format!("the value of {name} has a NUL byte, which no variable can have")),
            false => Ok(Some((name.to_owned(), value))),
        }
    }

    fn value(&mut self) -> Result<String, String> {
        let line = self.text.split('\n').next().unwrap_or_default();
        let start = line.len() - line.trim_start().len();
        match line.trim_start().chars().next() {
            Some(quote @ ('\'' | '"')) => {
                self.text = &self.text[start + 1..];
                let value = self.quoted(quote)?;
                self.nothing_more(quote)?;
                Ok(value)
            }
            _ => {
                self.end_line();
                Ok(without_comment(line).trim().to_owned())
            }
        }
    }

    /// Up to the quote that closes it.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut value = String::new();
        let mut letters = self.text.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                _ if letter == quote => {
                    self.line += self.text[..at].matches('\n').count();
                    self.text = &self.text[at + 1..];
                    return Ok(value);
                }
                '\\' if quote == '"' => match letters.next() {
                    Some((_, escaped)) => value.push(unescaped(escaped)?),
                    None => break,
                },
                _ => value.push(letter),
            }
        }
        self.text = "";
        Err("the quote that opens here is never closed".into())
    }

    fn nothing_more(&mut self, quote: char) -> Result<(), String> {
        let behind = self.text.split('\n').next().unwrap_or_default();
        let more = without_comment(behind).trim();
        match more.is_empty() {
            true => {
                self.end_line();
                Ok(())
            }
            false => Err(format!("found {} behind the closing {quote}, expected the end of the line", shown(more))),
        }
    }

    fn end_line(&mut self) {
        self.text = self.text.split_once('\n').map_or("", |(_, behind)| behind);
        self.line += 1;
    }
}

fn name(before: &str) -> Result<&str, String> {
    let before = before.trim();
    let name = before.strip_prefix("export").filter(|name| name.starts_with([' ', '\t'])).unwrap_or(before).trim_start();
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    match name.chars().all(allowed) && name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') {
        true => Ok(name),
        false => Err(format!("found the name {}, expected letters, digits, _ . and -, and no digit first", shown(name))),
    }
}

/// A `#` begins a comment behind a space only: `A=b#c` and `COLOUR=#fff` have none.
fn without_comment(text: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| text[..*at].ends_with([' ', '\t']);
    text.match_indices('#').find(begins).map_or(text, |(at, _)| &text[..at])
}

fn unescaped(letter: char) -> Result<char, String> {
    match letter {
        'n' => Ok('\n'),
        'r' => Ok('\r'),
        't' => Ok('\t'),
        '\\' | '"' | '$' => Ok(letter),
        _ => Err(format!("\\{letter} is no escape, expected \\n, \\r, \\t, \\\\, \\\" or \\$; within '...' nothing is one")),
    }
}

/// Secrets stand in these files: of what is wrong only the beginning is shown.
fn shown(text: &str) -> String {
    const LETTERS: usize = 12;
    let beginning: String = text.chars().take(LETTERS).collect();
    format!("{beginning:?}{}", if text.chars().count() > LETTERS { "..." } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_reads(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        assert_eq!(parse(text), Ok(expected), "{text:?}");
    }

    #[test]
    fn values_as_people_write_them() {
        assert_reads("", &[]);
        assert_reads("\n \n# A=1\n  # B=2\n", &[]);
        assert_reads("A=1\nB=2", &[("A", "1"), ("B", "2")]);
        assert_reads("\u{feff}A=1\r\nB='2'\r\n", &[("A", "1"), ("B", "2")]);
        assert_reads("export A=1\n\texport\tB = two words \nexport=3", &[("A", "1"), ("B", "two words"), ("export", "3")]);
        assert_reads("A=\nB=''\nC=\"\"\nD= # none", &[("A", ""), ("B", ""), ("C", ""), ("D", "")]);
        assert_reads("A=a#b # comment\nB='a # b' # comment\nC=#fff", &[("A", "a#b"), ("B", "a # b"), ("C", "#fff")]);
        assert_reads(
            "A=$HOME/\\n\nB='$HOME\\n\"'\nC=\"\\$\\\"\\\\'\"",
            &[("A", "$HOME/\\n"), ("B", "$HOME\\n\""), ("C", "$\"\\'")],
        );
        assert_reads("A='1\n 2'\nB=\"x\ny\"\nC==", &[("A", "1\n 2"), ("B", "x\ny"), ("C", "=")]);
        assert_reads("A=1\nA=2", &[("A", "1"), ("A", "2")]);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let table = [
            ("A=1\nnonsense", 2, "found \"nonsense\", expected NAME=value"),
            ("=1", 1, "found the name \"\", expected letters"),
            ("1A=1", 1, "found the name \"1A\""),
            ("a b=1", 1, "found the name \"a b\""),
            ("A='\n\n'\nB", 4, "found \"B\""),
            ("\nA='x' y", 2, "found \"y\" behind the closing ', expected the end of the line"),
            ("A=\"x\"#y", 1, "found \"#y\" behind the closing \""),
            ("A=\"\\q\"", 1, "\\q is no escape"),
            ("A=\"x\n\nB=1", 1, "the quote that opens here is never closed"),
            ("A=\"x\\", 1, "the quote that opens here is never closed"),
            ("A=\0", 1, "the value of A has a NUL byte"),
            ("password:sesame-open-thyself", 1, "found \"password:ses\"..., expected"),
        ];
        for (text, line, problem) in table {
            let bad = parse(text).expect_err(text);
            assert_eq!(bad.len(), 1, "{text:?}: {bad:?}");
            assert_eq!(bad[0].line, line, "{text:?}");
            assert!(bad[0].problem.starts_with(problem), "{text:?}: {}", bad[0].problem);
        }
        assert_eq!(parse("a\nA=1\n\nb\n").unwrap_err().iter().map(|bad| bad.line).collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn files_that_cannot_be_read_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("env");
        assert!(read(&path).unwrap_err().contains("env: cannot be read: "));
        std::fs::write(&path, "A=1\nB\nC").unwrap();
        let told = read(&path).unwrap_err();
        assert!(told.contains("env:2: found \"B\"") && told.contains("env:3: found \"C\""), "{told}");
        std::fs::write(&path, [0xff]).unwrap();
        assert!(read(&path).unwrap_err().contains("UTF-8"));
        std::fs::write(&path, vec![b'#'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(read(&path).unwrap_err().contains("more than 1048576 bytes"));
        assert!(read(Path::new("/dev/zero")).unwrap_err().contains("no regular file"));
        assert!(read(directory.path()).unwrap_err().contains("no regular file"));
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert!(read(&pipe).unwrap_err().contains("no regular file"));
        std::fs::write(&path, "A=1").unwrap();
        assert_eq!(read(&path), Ok(vec![("A".into(), "1".into())]));
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_strange(text in "([A-B=#'\"\\\\ \n\r\t$]|export|\\PC){0,40}") {
            if let Ok(variables) = parse(&text) {
                for (name, value) in variables {
                    assert_eq!(parse(&format!("{name}='{}'", value.replace('\'', ""))).unwrap()[0].1, value.replace('\'', ""));
                }
            }
        }
    }
}
