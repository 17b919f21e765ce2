//! What has to be there first: `depends_on = ["db", ["cache:healthy", "migrate:completed"], "object:jobs"]`.

use crate::config::reader::{Reader, all};
use bursar::processes::{Condition, Dependency, nearest};
use toml::{Spanned, de::DeValue};

/// One group after the other, those of a group side by side.
pub(super) fn dependencies(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<Vec<Dependency>>> {
    let DeValue::Array(groups) = value.get_ref() else { return Some(vec![group(reader, path, value)?]) };
    all(groups.iter().map(|value| group(reader, path, value)))
}

fn group(reader: &mut Reader<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<Dependency>> {
    const WHAT: &str =
        "NAME, NAME:started, NAME:ready, NAME:healthy, NAME:completed or object:NAME, or an array of them for some side by side";
    let mut group = Vec::new();
    for (at, text) in reader.texts(path, value, WHAT)? {
        match dependency(text) {
            Ok(dependency) => group.push(dependency),
            Err(problem) => reader.mistake(at, format!("{path}: {problem}")),
        }
    }
    Some(group)
}

fn dependency(text: &str) -> Result<Dependency, String> {
    const CONDITIONS: [(&str, Condition); 4] = [
        ("started", Condition::Started),
        ("ready", Condition::Ready),
        ("healthy", Condition::Healthy),
        ("completed", Condition::Completed),
    ];
    let (name, condition) = text.split_once(':').unwrap_or((text, "ready"));
    if name == "object" {
        return Ok(Dependency::Object(condition.into()));
    }
    match CONDITIONS.iter().find(|(known, _)| *known == condition) {
        Some((_, condition)) => Ok(Dependency::Process { name: name.into(), condition: *condition }),
        None => {
            let near = nearest(condition, CONDITIONS.iter().map(|(known, _)| *known));
            let hint = near.map(|near| format!(", did you mean {name}:{near}?")).unwrap_or_default();
            Err(format!("found {text:?}, expected started, ready, healthy or completed behind the name{hint}"))
        }
    }
}
