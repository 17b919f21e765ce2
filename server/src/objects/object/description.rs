//! What providers say of an object: its methods, their parameters, and what may be done with them.

use super::{Fault, Invocation};
use bursar_proto::distance;
use std::{collections::BTreeMap, sync::Arc};

/// All methods of an object together. An interface with more is several.
pub(super) const METHODS_MAX: usize = 256;

/// What there is to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Of the object.
    pub doc: String,
    /// By name.
    pub methods: BTreeMap<Arc<str>, Arc<Method>>,
}

/// One method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Method {
    /// What it is for.
    pub doc: String,
    /// In the order of its declaration.
    pub parameters: Vec<Parameter>,
    /// The type of the result, or of each item.
    pub result: String,
    /// The type of the error; empty: none of its own.
    pub error: String,
    /// It answers with items.
    pub stream: bool,
    /// A call may be carried out twice.
    pub idempotent: bool,
    /// Not while another such method runs.
    pub serial: bool,
}

/// One parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameter {
    /// By which it is given.
    pub name: String,
    /// To be shown.
    pub r#type: String,
    /// It need not be given.
    pub optional: bool,
    /// As JSON, to be shown.
    pub default: String,
    /// What it is for.
    pub doc: String,
}

impl Parameter {
    fn is_required(&self) -> bool {
        !self.optional && self.default.is_empty()
    }

    fn signature(&self) -> String {
        let Parameter { name, r#type, optional, default, doc: _ } = self;
        let optional = if *optional { "?" } else { "" };
        let default = if default.is_empty() { String::new() } else { format!(" = {default}") };
        format!("{name}{optional}: {}{default}", r#type)
    }
}

impl Method {
    /// All that two providers must agree about, as people read it.
    pub(super) fn signature(&self, name: &str) -> String {
        let Method { doc: _, parameters, result, error, stream, idempotent, serial } = self;
        let parameters: Vec<_> = parameters.iter().map(Parameter::signature).collect();
        let error = if error.is_empty() { String::new() } else { format!(" or {error}") };
        let marks = [(*stream, "stream"), (*idempotent, "idempotent"), (*serial, "serial")];
        let marks: String = marks.iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| format!(", {mark}")).collect();
        format!("{name}({}) -> {result}{error}{marks}", parameters.join(", "))
    }

    fn check(&self, invocation: &Invocation) -> Result<(), Fault> {
        let Invocation { method, arguments, .. } = invocation;
        let is_known = |name: &String| self.parameters.iter().any(|parameter| parameter.name == *name);
        if let Some((unknown, _)) = arguments.iter().find(|(name, _)| !is_known(name)) {
            let nearest = nearest(unknown, self.parameters.iter().map(|parameter| parameter.name.as_str()));
            return Err(Fault::NoSuchArgument { method: method.to_string(), argument: unknown.clone(), nearest });
        }
        let is_missing =
            |parameter: &&Parameter| parameter.is_required() && !arguments.iter().any(|(name, _)| *name == parameter.name);
        match self.parameters.iter().find(is_missing) {
            Some(missing) => Err(Fault::MissingArgument { method: method.to_string(), argument: missing.name.clone() }),
            None => Ok(()),
        }
    }
}

impl Description {
    /// Whether a call makes sense.
    pub(crate) fn check(&self, invocation: &Invocation) -> Result<(), Fault> {
        match self.methods.get(&invocation.method) {
            Some(method) => method.check(invocation),
            None => {
                let nearest = nearest(&invocation.method, self.methods.keys().map(AsRef::as_ref));
                Err(Fault::NoSuchMethod { method: invocation.method.to_string(), nearest })
            }
        }
    }

    /// What both say; a fault where they contradict each other.
    pub(super) fn and(&self, other: &Description) -> Result<Description, Fault> {
        let mut both = self.clone();
        for (name, method) in &other.methods {
            let Some(known) = self.methods.get(name) else {
                both.methods.insert(name.clone(), method.clone());
                continue;
            };
            let (actual, expected) = (known.signature(name), method.signature(name));
            if actual != expected {
                return Err(Fault::Mismatch { name: name.to_string(), what: "the method".into(), expected, actual });
            }
        }
        match both.methods.len() {
            0..=METHODS_MAX => Ok(both),
            _ => Err(Fault::LimitReached { what: "methods of this object".into(), limit: METHODS_MAX as u64 }),
        }
    }
}

/// The most similar of those that are known; empty: none is.
pub(in crate::objects) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> String {
    known.min_by_key(|name| distance(unknown, name)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_the_first_of_the_most_similar() {
        assert_eq!(nearest("ad", ["set", "add", "sub"].into_iter()), "add");
        assert_eq!(nearest("x", ["b", "a"].into_iter()), "b");
        assert_eq!(nearest("x", [].into_iter()), "");
    }
}
