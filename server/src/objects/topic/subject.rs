//! Subjects and patterns: words with dots between them. Pure text; it knows no messages and no subscriptions.
//!
//! ```text
//!   orders.eu.new    matched by    orders.eu.new   orders.*.new   orders.>   >
//!                    not by        orders.eu   orders.*   orders.eu.new.>
//! ```

use std::sync::Arc;

/// Longer ones are no names any more, but content: that belongs into headers or the value.
const BYTES_MAX: usize = 256;

/// What is wrong with this subject, in words; `Ok`: nothing.
pub(super) fn check(subject: &str) -> Result<(), String> {
    check_text(subject)?;
    match subject.contains(['*', '>']) {
        true => Err(format!("expected a subject without `*` and `>`, which stand in patterns only, got {subject:?}")),
        false => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), String> {
    if !(1..=BYTES_MAX).contains(&text.len()) {
        return Err(format!("expected 1 to {BYTES_MAX} bytes, got {}", text.len()));
    }
    if text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(format!("expected words without blanks and control characters, got {text:?}"));
    }
    match text.split('.').any(str::is_empty) {
        true => Err(format!("expected words with single dots between them, got {text:?}")),
        false => Ok(()),
    }
}

/// Which subjects: `*` stands for one word, `>` at the end for one or more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    text: Arc<str>,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    All,
    Exact,
    Words {
        /// `None`: any.
        words: Box<[Option<Box<str>>]>,
        /// One or more words follow.
        rest: bool,
    },
}

impl Pattern {
    /// As it is written; else what is wrong with it, in words.
    pub(super) fn parse(text: &str) -> Result<Pattern, String> {
        check_text(text)?;
        let words: Vec<&str> = text.split('.').collect();
        let is_misplaced = |(index, word): (usize, &&str)| match *word {
            "*" => false,
            ">" => index + 1 < words.len(),
            word => word.contains(['*', '>']),
        };
        if words.iter().enumerate().any(is_misplaced) {
            return Err(format!("expected `*` as a whole word and `>` as the last one, got {text:?}"));
        }
        Ok(Pattern { text: text.into(), form: Form::of(&words) })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this is one of its subjects.
    pub fn matches(&self, subject: &str) -> bool {
        match &self.form {
            Form::All => true,
            Form::Exact => *self.text == *subject,
            Form::Words { words, rest } => {
                let mut left = subject.split('.');
                let is_wanted = |word: &Option<Box<str>>, actual: &str| word.as_deref().is_none_or(|word| word == actual);
                words.iter().all(|word| left.next().is_some_and(|actual| is_wanted(word, actual)))
                    && left.next().is_some() == *rest
            }
        }
    }
}

impl Form {
    fn of(words: &[&str]) -> Form {
        let rest = words.last() == Some(&">");
        let words = if rest { &words[..words.len() - 1] } else { words };
        match () {
            () if words.is_empty() => Form::All,
            () if !rest && !words.contains(&"*") => Form::Exact,
            () => Form::Words { words: words.iter().map(|word| (*word != "*").then(|| (*word).into())).collect(), rest },
        }
    }
}
