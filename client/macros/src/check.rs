//! What is wrong with methods that are each right: names that are taken, streams that nobody could ever change the object beside, and more
//! than fits into a description.

use crate::{
    complaints::Complaints,
    model::{Contract, Method, Stream},
};
use quote::ToTokens;
use std::collections::HashSet;
use syn::Ident;

/// What every client has already.
const RESERVED: [&str; 6] = ["open", "as_object", "as_async", "within", "wait_for_provider", "clone"];
/// The broker takes no more, and no longer ones.
const METHODS_MAX: usize = 256;
const PARAMETERS_MAX: usize = 64;
const NAME_CHARS_MAX: usize = 100;

impl Contract {
    /// Says what is wrong with the whole.
    pub fn check(&self, complaints: &mut Complaints) {
        if self.methods.len() > METHODS_MAX {
            complaints.say(&self.name, format!("an object has up to {METHODS_MAX} methods, and this one {}", self.methods.len()));
        }
        let mut names = HashSet::new();
        for method in &self.methods {
            let name = method.called();
            check_name(&method.name, complaints);
            if RESERVED.contains(&name.as_str()) {
                complaints.say(&method.name, format!("`{name}` is a method of every client: another name is needed"));
            }
            if !names.insert(name.clone()) {
                complaints.say(&method.name, format!("there is a method `{name}` already"));
            }
            method.check(complaints);
            self.check_stream(method, complaints);
        }
    }

    /// A stream that borrows the object keeps it until its end, and that may never come.
    fn check_stream(&self, method: &Method, complaints: &mut Complaints) {
        let Some(Stream { bounds, is_static }) = &method.outcome.stream else { return };
        if self.changes() && !is_static {
            let message = "a stream that borrows the object would keep `&mut self` methods out until its end: \
                           write `impl Stream<Item = T> + 'static`, here and in the implementation";
            complaints.say(bounds, message);
        }
    }
}

impl Method {
    fn check(&self, complaints: &mut Complaints) {
        if self.parameters.len() > PARAMETERS_MAX {
            let message = format!("a method has up to {PARAMETERS_MAX} arguments, and this one {}", self.parameters.len());
            complaints.say(&self.name, message);
        }
        let mut names = HashSet::new();
        for parameter in &self.parameters {
            check_name(&parameter.name, complaints);
            if !names.insert(parameter.called()) {
                complaints.say(&parameter.name, format!("there is an argument `{}` already", parameter.called()));
            }
        }
    }
}

fn check_name(name: &Ident, complaints: &mut Complaints) {
    let text = name.to_token_stream().to_string();
    let is_plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '#');
    if !is_plain || text.len() > NAME_CHARS_MAX {
        complaints.say(name, format!("names travel: up to {NAME_CHARS_MAX} ASCII letters, digits and `_`"));
    }
}
