//! What an object says of itself: all that its trait says.

use crate::connected;
use bursar::{
    Event, Queue, Shared,
    blocking::block_on,
    object::{Description, Method, Parameter, Stream},
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A trait with everything in it.
///
/// It does nothing.
#[bursar::shared]
pub trait Everything {
    /// Takes words.
    async fn words(&self, text: String, letter: char, bytes: bursar::Raw, number: u8, part: f64, is_so: bool);

    /// Takes
    /// what has parts.
    #[shared(idempotent)]
    async fn parts(&self, list: Vec<u8>, pair: (u8, u8), map: HashMap<String, u8>, page: page::Page<page::Line>) -> Vec<String>;

    async fn choices(
        &self,
        /// May be missing.
        note: Option<String>,
        #[shared(default)] list: Vec<String>,
        #[shared(default = "all")] name: String,
        #[shared(default = -1)] r#type: i8,
        #[shared(default = page::Line { text: "x".into() })] line: page::Line,
    ) -> Option<page::Line>;

    async fn change(&mut self, jobs: Queue<String>, event: Event, other: EverythingClient) -> Result<(), page::Torn>;

    /// Gives items.
    fn items(&self) -> impl Stream<Item = u64> + 'static;

    fn lines(&self) -> impl Stream<Item = Result<page::Line, String>> + 'static;

    /// Takes what is called as a handle, and is none.
    async fn look(&self, counter: page::Counter) -> page::Counter;
}

pub mod page {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    pub struct Page<T>(pub Vec<T>);

    #[derive(Debug, Serialize, Deserialize)]
    pub struct Line {
        pub text: String,
    }

    #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
    #[error("torn")]
    pub struct Torn;

    #[derive(Debug, Serialize, Deserialize)]
    pub struct Counter;
}

const EXPECTED: &str = r#"
A trait with everything in it.

It does nothing.
words: Takes words. -> null
  text: string
  letter: string
  bytes: bytes
  number: integer
  part: number
  is_so: boolean
parts: Takes
what has parts. -> array (idempotent)
  list: array
  pair: array
  map: object
  page: Page<Line>
choices:  -> Line
  note?: string, May be missing.
  list: array = []
  name: string = "all"
  type: integer = -1
  line: Line = {"text":"x"}
change:  -> null or Torn (serial)
  jobs: handle:queue
  event: handle:event
  other: handle:object
items: Gives items. -> integer (stream)
lines:  -> Line or string (stream)
look: Takes what is called as a handle, and is none. -> Counter
  counter: Counter
"#;

fn text(description: &Description) -> String {
    let methods: String = description.methods.iter().map(method).collect();
    format!("\n{}\n{methods}", description.doc)
}

fn method(method: &Method) -> String {
    let Method { name, doc, parameters, result, error, stream, idempotent, serial } = method;
    let error = if error.is_empty() { String::new() } else { format!(" or {error}") };
    let marks = [(stream, " (stream)"), (idempotent, " (idempotent)"), (serial, " (serial)")];
    let marks: String = marks.iter().filter(|(is_so, _)| **is_so).map(|(_, mark)| *mark).collect();
    let parameters: String = parameters.iter().map(parameter).collect();
    format!("{name}: {doc} -> {result}{error}{marks}\n{parameters}")
}

fn parameter(parameter: &Parameter) -> String {
    let Parameter { name, r#type, optional, default, doc } = parameter;
    let optional = if *optional { "?" } else { "" };
    let default = if default.is_empty() { String::new() } else { format!(" = {default}") };
    let doc = if doc.is_empty() { String::new() } else { format!(", {doc}") };
    format!("  {name}{optional}: {type}{default}{doc}\n")
}

#[test]
fn the_description_says_all_that_the_trait_says() {
    assert_eq!(text(&EverythingContract::description()), EXPECTED);
}

struct Nothing;

impl Everything for Nothing {
    async fn words(&self, _: String, _: char, _: bursar::Raw, _: u8, _: f64, _: bool) {}

    async fn parts(&self, _: Vec<u8>, _: (u8, u8), _: HashMap<String, u8>, _: page::Page<page::Line>) -> Vec<String> {
        Vec::new()
    }

    async fn choices(&self, _: Option<String>, _: Vec<String>, _: String, _: i8, line: page::Line) -> Option<page::Line> {
        Some(line)
    }

    async fn change(&mut self, _: Queue<String>, _: Event, _: EverythingClient) -> Result<(), page::Torn> {
        Err(page::Torn)
    }

    fn items(&self) -> impl Stream<Item = u64> + 'static {
        futures_util::stream::empty()
    }

    fn lines(&self) -> impl Stream<Item = Result<page::Line, String>> + 'static {
        futures_util::stream::empty()
    }

    async fn look(&self, counter: page::Counter) -> page::Counter {
        counter
    }
}

#[test]
fn the_broker_shows_what_the_trait_says() {
    let (_broker, manager) = connected();
    let _serving = block_on(manager.serve("nothing", Shared::new(Nothing)).start()).unwrap();
    let client = block_on(EverythingClient::open(&manager, "nothing")).unwrap();
    let shown = block_on(client.as_object().describe()).unwrap().description.unwrap();
    let mut declared = EverythingContract::description();
    declared.methods.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(shown, declared);
}

#[test]
fn a_default_is_what_the_method_gets() {
    let (_broker, manager) = connected();
    let _serving = block_on(manager.serve("nothing", Shared::new(Nothing)).start()).unwrap();
    let client = block_on(EverythingClient::open(&manager, "nothing")).unwrap();
    let line: Option<page::Line> = block_on(client.as_object().call("choices").send()).unwrap();
    assert_eq!(line.unwrap().text, "x");
}
