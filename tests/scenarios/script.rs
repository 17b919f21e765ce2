//! Scenario files: their grammar, which README.md describes in full. What a verb does is the drivers' business.

use std::collections::BTreeMap;

/// One promise, and the steps that show it.
#[derive(Debug)]
pub struct Scenario {
    pub file: String,
    pub line: usize,
    pub title: String,
    /// What a driver must have to play it.
    pub needs: Vec<String>,
    pub steps: Vec<Step>,
}

/// One line.
#[derive(Debug)]
pub struct Step {
    pub line: usize,
    pub text: String,
    pub action: Action,
}

#[derive(Debug)]
pub enum Action {
    Call { call: Call, expected: Outcome },
    Answer { who: String, expected: Outcome },
    Cancels { session: String, call: Option<String> },
    Dies { session: String },
    Misses { session: String, lease: String },
    Time { ms: u64 },
}

/// What a session asks, with every name replaced by what it stands for.
#[derive(Clone, Debug)]
pub struct Call {
    pub session: String,
    /// `kind.verb`.
    pub verb: String,
    /// Empty for `objects.list`, and for `objects.waits` of all objects.
    pub object: String,
    pub words: Vec<String>,
    pub fields: BTreeMap<String, String>,
}

/// What a call is answered, or should be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub parts: Vec<Part>,
}

/// One thing in an outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    pub words: Vec<String>,
    pub fields: BTreeMap<String, String>,
    /// Expected: the name it is given. Actual: the value that a name would stand for.
    pub alias: Option<String>,
}

const KINDS: [&str; 16] = [
    "objects",
    "queue",
    "kv",
    "lock",
    "rwlock",
    "semaphore",
    "event",
    "latch",
    "condition",
    "barrier",
    "counter",
    "list",
    "array",
    "channel",
    "topic",
    "object",
];
const NEEDS: [&str; 4] = ["clock", "raw", "sdk", "loss"];

/// All scenarios of a file. An error names file and line.
pub fn parse(file: &str, text: &str) -> Result<Vec<Scenario>, String> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let at = |problem: String| format!("{file}:{line}: {problem}\n    {}", text.trim());
        if let Some(title) = text.strip_prefix("== ") {
            let title = title.trim().to_owned();
            if scenarios.iter().any(|scenario| scenario.title == title) {
                return Err(at("this title is there already".into()));
            }
            scenarios.push(Scenario { file: file.to_owned(), line, title, needs: vec![], steps: vec![] });
            continue;
        }
        let tokens = tokens(text).map_err(at)?;
        let Some(first) = tokens.first() else { continue };
        let scenario = scenarios.last_mut().ok_or_else(|| at("expected `== TITLE` before the first step".into()))?;
        if first == "needs:" {
            scenario.needs = needs(&tokens[1..]).map_err(at)?;
            continue;
        }
        let action = action(&tokens).map_err(at)?;
        scenario.steps.push(Step { line, text: text.trim().to_owned(), action });
    }
    Ok(scenarios)
}

fn needs(tokens: &[String]) -> Result<Vec<String>, String> {
    let needs: Vec<String> = tokens.iter().map(|token| token.trim_end_matches(',').to_owned()).collect();
    match needs.iter().find(|need| !NEEDS.contains(&need.as_str())) {
        Some(unknown) => Err(format!("expected some of {NEEDS:?}, got {unknown:?}")),
        None => Ok(needs),
    }
}

fn action(tokens: &[String]) -> Result<Action, String> {
    let arrow = tokens.iter().position(|token| token == "->");
    let (left, right) = tokens.split_at(arrow.unwrap_or(tokens.len()));
    let words: Vec<&str> = left.iter().map(String::as_str).collect();
    match (&words[..], right) {
        ([], [_, who, expected @ ..]) => match who.strip_suffix(':') {
            Some(who) => Ok(Action::Answer { who: who.to_owned(), expected: outcome(expected)? }),
            None => Err("expected `-> SESSION: OUTCOME`".into()),
        },
        (["time", duration], []) => {
            let ms = duration.strip_prefix('+').and_then(|ms| ms.parse().ok());
            ms.map(|ms| Action::Time { ms }).ok_or_else(|| format!("expected `time +MILLISECONDS`, got {duration:?}"))
        }
        ([session, "dies"], []) => Ok(Action::Dies { session: name(session)? }),
        ([session, "cancels"], []) => Ok(Action::Cancels { session: name(session)?, call: None }),
        ([session, "cancels", call], []) => Ok(Action::Cancels { session: name(session)?, call: Some((*call).to_owned()) }),
        ([session, "misses", lease], []) => Ok(Action::Misses { session: name(session)?, lease: (*lease).to_owned() }),
        ([session, verb, arguments @ ..], [_, expected @ ..]) => {
            Ok(Action::Call { call: call(session, verb, arguments)?, expected: outcome(expected)? })
        }
        _ => Err("expected a step: `SESSION VERB OBJECT ARGUMENT... -> OUTCOME`, or one of the others in README.md".into()),
    }
}

fn name(session: &str) -> Result<String, String> {
    let is_name = !session.is_empty() && session.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_name { Ok(session.to_owned()) } else { Err(format!("expected a session (capital letters), got {session:?}")) }
}

fn call(session: &str, verb: &str, arguments: &[&str]) -> Result<Call, String> {
    let kind = verb.split_once('.').map(|(kind, _)| kind);
    if !kind.is_some_and(|kind| KINDS.contains(&kind)) {
        return Err(format!("expected a verb of {KINDS:?}, such as queue.put, got {verb:?}"));
    }
    let mut words: Vec<String> = Vec::new();
    let mut fields = BTreeMap::new();
    for argument in arguments {
        match field(argument) {
            Some((key, value)) => drop(fields.insert(key.to_owned(), value.to_owned())),
            None => words.push((*argument).to_owned()),
        }
    }
    let object = if verb == "objects.list" || (verb == "objects.waits" && words.is_empty()) {
        String::new()
    } else if words.is_empty() {
        return Err(format!("expected the name of an object after {verb}"));
    } else {
        unquoted(&words.remove(0))
    };
    Ok(Call { session: name(session)?, verb: verb.to_owned(), object, words, fields })
}

fn outcome(tokens: &[String]) -> Result<Outcome, String> {
    let mut parts = vec![Part::default()];
    let mut tokens = tokens.iter();
    while let Some(token) = tokens.next() {
        let part = parts.last_mut().expect("there is always one");
        let (token, ends) = match token.strip_suffix(',') {
            Some(token) => (token, true),
            None => (token.as_str(), false),
        };
        if token == "as" {
            let alias = tokens.next().ok_or("expected a name after `as`")?;
            part.alias = Some(alias.trim_end_matches(',').to_owned());
            if alias.ends_with(',') {
                parts.push(Part::default());
            }
            continue;
        }
        match field(token) {
            Some((key, value)) => drop(part.fields.insert(key.to_owned(), value.to_owned())),
            None => part.words.push(token.to_owned()),
        }
        if ends {
            parts.push(Part::default());
        }
    }
    let is_empty = |part: &Part| part.words.is_empty() && part.fields.is_empty();
    if parts.iter().any(is_empty) {
        return Err("expected an outcome behind `->` and behind every comma".into());
    }
    Ok(Outcome { parts })
}

/// `key=value`, where the key is bare.
fn field(token: &str) -> Option<(&str, &str)> {
    let (key, value) = token.split_once('=')?;
    let is_bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
    is_bare.then_some((key, value))
}

/// The words of a line; quoted texts keep their quotes, and are written out if they are repeated.
fn tokens(line: &str) -> Result<Vec<String>, String> {
    let (mut tokens, mut token) = (Vec::new(), String::new());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '#' if token.is_empty() => break,
            '"' => {
                let text = quoted(&mut characters)?;
                let times = repetition(&mut characters)?;
                token.extend(['"']);
                token.push_str(&text.repeat(times));
                token.extend(['"']);
            }
            blank if blank.is_whitespace() => tokens.extend((!token.is_empty()).then(|| std::mem::take(&mut token))),
            other => token.push(other),
        }
    }
    tokens.extend((!token.is_empty()).then_some(token));
    Ok(tokens)
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Up to the closing quote, escapes as they are.
fn quoted(characters: &mut Characters<'_>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match characters.next() {
            Some('"') => return Ok(text),
            Some('\\') => {
                text.push('\\');
                text.extend(characters.next());
            }
            Some(other) => text.push(other),
            None => return Err("a quote is not closed".into()),
        }
    }
}

/// `*N` behind a quoted text.
fn repetition(characters: &mut Characters<'_>) -> Result<usize, String> {
    if characters.next_if_eq(&'*').is_none() {
        return Ok(1);
    }
    let digits: String = std::iter::from_fn(|| characters.next_if(char::is_ascii_digit)).collect();
    digits.parse().map_err(|_| "expected a number after `*`".to_owned())
}

/// The text that a word stands for, quoted or bare.
pub fn unquoted(word: &str) -> String {
    let Some(inner) = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return word.to_owned() };
    let (mut text, mut characters) = (String::new(), inner.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next().map(|escaped| if escaped == 'n' { '\n' } else { escaped })),
            other => text.push(other),
        }
    }
    text
}

/// A text as it is written in quotes.
pub fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

impl Call {
    /// Names replaced by what they stand for.
    pub fn resolved(&self, names: &BTreeMap<String, String>) -> Call {
        let mut call = self.clone();
        call.words.iter_mut().chain(call.fields.values_mut()).for_each(|word| resolve(word, names));
        call
    }
}

impl Outcome {
    /// Names replaced by what they stand for.
    pub fn resolved(&self, names: &BTreeMap<String, String>) -> Outcome {
        let mut outcome = self.clone();
        for part in &mut outcome.parts {
            part.words.iter_mut().chain(part.fields.values_mut()).for_each(|word| resolve(word, names));
        }
        outcome
    }

    /// Whether the actual outcome is what this expects.
    pub fn matches(&self, actual: &Outcome) -> bool {
        let same = |expected: &Part, actual: &Part| {
            expected.words.len() == actual.words.len()
                && expected.words.iter().zip(&actual.words).all(|(expected, actual)| fits(expected, actual))
                && expected.fields.iter().all(|(key, value)| actual.fields.get(key).is_some_and(|actual| fits(value, actual)))
        };
        self.parts.len() == actual.parts.len()
            && self.parts.iter().zip(&actual.parts).all(|(expected, actual)| same(expected, actual))
    }

    /// One part of bare words.
    pub fn word(word: impl ToString) -> Outcome {
        Part::of([word.to_string()]).into()
    }

    /// A list; without parts it is `none`.
    pub fn list(parts: Vec<Part>) -> Outcome {
        if parts.is_empty() { Outcome::word("none") } else { Outcome { parts } }
    }

    /// Whether the call is said to wait.
    pub fn is_waits(&self) -> bool {
        matches!(&self.parts[..], [part] if part.words == ["waits"])
    }
}

fn fits(expected: &str, actual: &str) -> bool {
    expected == actual || (expected == "*" && actual != "none")
}

/// Every bare item of a list in commas may be a name.
fn resolve(word: &mut String, names: &BTreeMap<String, String>) {
    if !word.contains('"') {
        let resolved: Vec<&str> = word.split(',').map(|item| names.get(item).map_or(item, String::as_str)).collect();
        *word = resolved.join(",");
    }
}

impl Part {
    pub fn of(words: impl IntoIterator<Item = String>) -> Part {
        Part { words: words.into_iter().collect(), ..Part::default() }
    }

    /// With a field.
    pub fn with(mut self, key: &str, value: impl ToString) -> Part {
        self.fields.insert(key.to_owned(), value.to_string());
        self
    }

    /// With a list of numbers as a field.
    pub fn with_list<T: ToString>(self, key: &str, values: impl IntoIterator<Item = T>) -> Part {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        self.with(key, if values.is_empty() { "none".to_owned() } else { values.join(",") })
    }

    /// What `as NAME` would give a name to.
    pub fn named(mut self, value: impl ToString) -> Part {
        self.alias = Some(value.to_string());
        self
    }
}

impl From<Part> for Outcome {
    fn from(part: Part) -> Outcome {
        Outcome { parts: vec![part] }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |part: &Part| {
            let fields = part.fields.iter().map(|(key, value)| format!("{key}={}", shortened(value)));
            part.words.iter().map(|word| shortened(word)).chain(fields).collect::<Vec<_>>().join(" ")
        };
        formatter.write_str(&self.parts.iter().map(part).collect::<Vec<_>>().join(", "))
    }
}

/// For people: nobody reads a mebibyte.
fn shortened(word: &str) -> String {
    match word.char_indices().nth(200) {
        Some((at, _)) => format!("{}... ({} bytes)", &word[..at], word.len()),
        None => word.to_owned(),
    }
}
