//! The arguments of a call, read by every driver in the same way: whatever is not read is a mistake of the script.

use super::script::{self, Call};
use bursar::{Raw, Wait};
use std::{
    collections::{BTreeMap, VecDeque},
    str::FromStr,
    time::Duration,
};

/// What is left of a call's arguments.
#[derive(Default)]
pub struct Arguments {
    words: VecDeque<String>,
    fields: BTreeMap<String, String>,
}

impl Arguments {
    pub fn of(call: &Call) -> Arguments {
        Arguments { words: call.words.clone().into(), fields: call.fields.clone() }
    }

    /// The next word, unquoted.
    pub fn word(&mut self, what: &str) -> Result<String, String> {
        self.words.pop_front().map(|word| script::unquoted(&word)).ok_or_else(|| format!("expected {what}"))
    }

    /// The next word as a number.
    pub fn number<N: FromStr>(&mut self, what: &str) -> Result<N, String> {
        let word = self.word(what)?;
        word.parse().map_err(|_| format!("expected {what}, a number, got {word:?}"))
    }

    /// All words that are left, as numbers.
    pub fn numbers(&mut self, what: &str) -> Result<Vec<u64>, String> {
        (0..self.words.len()).map(|_| self.number(what)).collect()
    }

    /// All words that are left, unquoted.
    pub fn words(&mut self, what: &str) -> Result<Vec<String>, String> {
        (0..self.words.len()).map(|_| self.word(what)).collect()
    }

    /// Whether words are left.
    pub fn has_words(&self) -> bool {
        !self.words.is_empty()
    }

    /// The next word as a payload.
    pub fn payload(&mut self) -> Result<Payload, String> {
        self.words.pop_front().ok_or("expected a payload")?.parse()
    }

    /// All words that are left, as payloads; at least one.
    pub fn payloads(&mut self) -> Result<Vec<Payload>, String> {
        (0..self.words.len().max(1)).map(|_| self.payload()).collect()
    }

    /// A named argument as text, unquoted.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.fields.remove(key).map(|value| script::unquoted(&value))
    }

    /// A named argument; its default if it is not there.
    pub fn field<T: FromStr + Default>(&mut self, key: &str) -> Result<T, String> {
        Ok(self.optional(key)?.unwrap_or_default())
    }

    /// A named argument that may be absent.
    pub fn optional<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, String> {
        let Some(value) = self.text(key) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| format!("{key}: {value:?} is not of the right form"))
    }

    /// A named list of numbers.
    pub fn list(&mut self, key: &str) -> Result<Vec<u64>, String> {
        let Some(value) = self.text(key) else { return Ok(vec![]) };
        value.split(',').map(|item| item.parse().map_err(|_| format!("{key}: expected numbers, got {value:?}"))).collect()
    }

    /// A named duration in milliseconds.
    pub fn duration(&mut self, key: &str) -> Result<Duration, String> {
        Ok(Duration::from_millis(self.field(key)?))
    }

    pub fn wait(&mut self) -> Result<Wait, String> {
        match self.text("wait").as_deref() {
            None | Some("never") => Ok(Wait::Never),
            Some("forever") => Ok(Wait::Forever),
            Some(ms) => {
                let ms: u64 = ms.parse().map_err(|_| format!("wait: expected never, forever or milliseconds, got {ms:?}"))?;
                Ok(Duration::from_millis(ms).into())
            }
        }
    }

    /// `header.NAME=` arguments.
    pub fn headers(&mut self) -> BTreeMap<String, String> {
        let keys: Vec<String> = self.fields.keys().filter(|key| key.starts_with("header.")).cloned().collect();
        let header = |key: String| Some((key.strip_prefix("header.")?.to_owned(), script::unquoted(&self.fields.remove(&key)?)));
        keys.into_iter().filter_map(header).collect()
    }

    /// `PREFIX.NAME=` arguments that are payloads.
    pub fn payloads_named(&mut self, prefix: &str) -> Result<BTreeMap<String, Payload>, String> {
        let keys: Vec<String> = self.fields.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
        let mut payloads = BTreeMap::new();
        for key in keys {
            let payload = self.fields.remove(&key).unwrap_or_default().parse()?;
            payloads.insert(key.trim_start_matches(prefix).to_owned(), payload);
        }
        Ok(payloads)
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<(), String> {
        match (self.words.front(), self.fields.keys().next()) {
            (None, None) => Ok(()),
            (Some(word), _) => Err(format!("one word too many for this driver: {word}")),
            (None, Some(key)) => Err(format!("this driver knows no argument {key}= here: what does the scenario need?")),
        }
    }
}

/// What an item or a key holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload(pub Raw);

impl Payload {
    pub fn of(data: impl Into<bytes::Bytes>, codec: u32) -> Payload {
        Payload(Raw { data: data.into(), codec })
    }
}

impl FromStr for Payload {
    type Err = String;

    fn from_str(word: &str) -> Result<Payload, String> {
        if word.starts_with('"') {
            return Ok(Payload::of(script::unquoted(word), Raw::RAW));
        }
        if let Some(text) = word.strip_prefix("json") {
            return Ok(Payload::of(script::unquoted(text), Raw::JSON));
        }
        let integer: i64 = word.parse().map_err(|_| format!("expected a payload, got {word}"))?;
        bursar::Encode::encode(&integer).map(Payload).map_err(|error| error.to_string())
    }
}

impl std::fmt::Display for Payload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Payload(raw) = self;
        let text = String::from_utf8_lossy(&raw.data);
        match raw.codec {
            Raw::RAW => formatter.write_str(&script::quote(&text)),
            Raw::JSON => write!(formatter, "json{}", script::quote(&text)),
            codec => match <i64 as bursar::Payload>::decode(raw.clone()) {
                Ok(integer) => write!(formatter, "{integer}"),
                Err(_) => write!(formatter, "codec{codec}:{}", text.escape_debug()),
            },
        }
    }
}
