//! An end of a channel as text, to be handed to another process. It says where, and is no right: the key is not in it.

use super::Side;
use bursar_proto::{Address, Name};
use std::{fmt, fmt::Write, str::FromStr};

/// Names one end of one channel of one broker: `bursar:channel/talk/b?epoch=3&address=unix%3A%2F%2F%2Frun%2Fbursar.sock`.
///
/// ```
/// use bursar::channel::{EndUri, Side};
///
/// let uri: EndUri = "bursar:channel/team/talk/b?epoch=3&address=tcp%3A%2F%2F127.0.0.1%3A7878".parse()?;
/// assert_eq!((uri.name(), uri.side(), uri.epoch()), ("team/talk", Side::B, 3));
/// assert_eq!(uri.address(), "tcp://127.0.0.1:7878");
/// let error = "bursar:channel/talk/c".parse::<EndUri>().unwrap_err();
/// assert!(error.to_string().contains("neither a nor b"));
/// # Ok::<(), bursar::channel::UriError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndUri {
    name: Name,
    side: Side,
    epoch: u64,
    address: String,
}

/// The text does not name an end of a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected bursar:channel/NAME/a or b, then ?epoch=NUMBER&address=ADDRESS (percent-encoded), got {text:?}: {problem}")]
pub struct UriError {
    text: String,
    problem: &'static str,
}

const SCHEME: &str = "bursar:channel/";

impl EndUri {
    pub(super) fn new(name: &str, side: Side, epoch: u64, address: String) -> EndUri {
        let name = name.parse().expect("an object that was opened has a name");
        EndUri { name, side, epoch, address }
    }

    /// The channel's name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The end.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Tells the channel from earlier and later ones of the same name.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Where the broker is, as who made the URI reaches it: for [`Manager::connect`](crate::Manager::connect).
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl fmt::Display for EndUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = self.side.letter();
        write!(formatter, "{SCHEME}{}/{side}?epoch={}&address=", self.name, self.epoch)?;
        for byte in self.address.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => formatter.write_char(char::from(byte))?,
                byte => write!(formatter, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for EndUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<EndUri, UriError> {
        parse(text).map_err(|problem| UriError { text: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<EndUri, &'static str> {
    let rest = text.strip_prefix(SCHEME).ok_or("it does not begin with bursar:channel/")?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (name, side) = path.rsplit_once('/').ok_or("the end is missing")?;
    let side = Side::of_letter(side).ok_or("the end is neither a nor b")?;
    let name = decode(name)?.parse().map_err(|_| "the name is not one (1 to 200 characters of A-Z a-z 0-9 . _ - /)")?;
    let epoch = parameter(query, "epoch")?.parse().map_err(|_| "the epoch is not a number")?;
    let address = decode(parameter(query, "address")?)?;
    if address.contains("://") && address.parse::<Address>().is_err() {
        return Err("the address is none: see bursar::Address");
    }
    Ok(EndUri { name, side, epoch, address })
}

/// Parameters that are not known are those of a later version, and passed over.
fn parameter<'a>(query: &'a str, name: &'static str) -> Result<&'a str, &'static str> {
    let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    let found = parameters.find(|(found, _)| *found == name);
    found.map(|(_, value)| value).ok_or(if name == "epoch" { "the epoch is missing" } else { "the address is missing" })
}

fn decode(text: &str) -> Result<String, &'static str> {
    const PROBLEM: &str = "a % is not followed by two hexadecimal digits";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or(PROBLEM);
                (16 * digit()? + digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 behind its percent signs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_survives_its_text() {
        for address in ["unix:///run/a b/%41&c=d?ü.sock", "tcp://[::1]:7878", "a connector of this program"] {
            let uri = EndUri::new("team/talk-1", Side::A, u64::MAX, address.to_owned());
            let text = uri.to_string();
            assert!(text.is_ascii() && !text.contains(' ') && text.matches('&').count() == 1, "{text}");
            assert_eq!(text.parse(), Ok(uri));
        }
    }

    #[test]
    fn what_is_no_end_is_said_to_be_none() {
        for (text, problem) in [
            ("", "begin with bursar:channel/"),
            ("bursar:topic/news/a?epoch=1&address=x", "begin with bursar:channel/"),
            ("bursar:channel/talk?epoch=1&address=x", "the end is missing"),
            ("bursar:channel/talk/A?epoch=1&address=x", "neither a nor b"),
            ("bursar:channel//a?epoch=1&address=x", "the name is not one"),
            ("bursar:channel/two%20words/a?epoch=1&address=x", "the name is not one"),
            ("bursar:channel/talk/a", "the epoch is missing"),
            ("bursar:channel/talk/a?epoch=-1&address=x", "the epoch is not a number"),
            ("bursar:channel/talk/a?epoch=1", "the address is missing"),
            ("bursar:channel/talk/a?epoch=1&address=%", "two hexadecimal digits"),
            ("bursar:channel/talk/a?epoch=1&address=%+1", "two hexadecimal digits"),
            ("bursar:channel/talk/a?epoch=1&address=%FF", "not UTF-8"),
            ("bursar:channel/talk/a?epoch=1&address=http%3A%2F%2Fx", "the address is none"),
        ] {
            let error = text.parse::<EndUri>().unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("expected bursar:channel/NAME"), "{text}: {error}");
        }
    }
}
