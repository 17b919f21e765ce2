//! What several specs have to fulfil together: dependencies that lead somewhere, and never in a circle.

use super::{Condition, Dependency, Restart, Spec, rules::Problem};
use crate::processes::nearest;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// All that is wrong with processes that are to be kept side by side: each by itself, and their dependencies on each other. Each problem
/// names its process and field. Objects that one depends on are not looked at: others may make them.
///
/// ```
/// use bursar::processes::{Dependency, Spec, problems_of};
///
/// let web = Spec::new("web", ["./web"]).after([Dependency::ready("chache")]);
/// let cache = Spec::new("cache", ["./cache"]);
/// let problems = problems_of(&[web, cache]);
/// assert_eq!(problems.len(), 1);
/// assert_eq!(problems[0].text, "there is no process \"chache\", did you mean \"cache\"?");
/// ```
pub fn problems_of(specs: &[Spec]) -> Vec<Problem> {
    let mut problems: Vec<Problem> = specs.iter().flat_map(Spec::problems).collect();
    let mut known: BTreeMap<&str, &Spec> = BTreeMap::new();
    for spec in specs {
        match known.entry(&spec.name) {
            Entry::Vacant(place) => {
                place.insert(spec);
            }
            Entry::Occupied(_) => problems.push(problem(spec, "name", format!("another process is called {:?}, too", spec.name))),
        }
    }
    for spec in specs {
        for (name, condition) in processes_before(spec) {
            problems.extend(dependency_problem(spec, name, condition, &known).map(|text| problem(spec, "dependencies", text)));
        }
    }
    problems.extend(circles(&known).into_iter().map(|circle| circle_problem(&circle, &known)));
    problems
}

fn problem(spec: &Spec, field: &str, text: String) -> Problem {
    Problem { process: spec.name.clone(), field: field.into(), text }
}

fn processes_before(spec: &Spec) -> impl Iterator<Item = (&str, Condition)> {
    spec.dependencies.iter().flatten().filter_map(|dependency| match dependency {
        Dependency::Process { name, condition } => Some((name.as_str(), *condition)),
        Dependency::Object(_) => None,
    })
}

fn dependency_problem(spec: &Spec, name: &str, condition: Condition, known: &BTreeMap<&str, &Spec>) -> Option<String> {
    if name == spec.name {
        return Some("it depends on itself".into());
    }
    let Some(other) = known.get(name) else {
        let others = known.keys().copied().filter(|other| *other != spec.name);
        let hint = nearest(name, others).map(|near| format!(", did you mean {near:?}?")).unwrap_or_default();
        return Some(format!("there is no process {name:?}{hint}"));
    };
    let comes_back = matches!(other.restart, Restart::Always | Restart::UnlessStopped);
    (condition == Condition::Completed && comes_back).then(|| {
        format!(
            "{name} never completes, because it is started again whenever it ends: give it restart = \"on-failure\" or \"never\""
        )
    })
}

/// Every circle of dependencies that is met on a walk through all; a process that depends on itself alone is no circle here.
fn circles<'a>(known: &BTreeMap<&'a str, &'a Spec>) -> Vec<Vec<&'a str>> {
    let mut walk = Walk { known, done: BTreeSet::new(), path: Vec::new(), circles: Vec::new() };
    known.keys().for_each(|name| walk.visit(name));
    walk.circles
}

struct Walk<'w, 'a> {
    known: &'w BTreeMap<&'a str, &'a Spec>,
    done: BTreeSet<&'a str>,
    path: Vec<&'a str>,
    circles: Vec<Vec<&'a str>>,
}

impl<'a> Walk<'_, 'a> {
    /// Without recursion: the number of processes is not bounded by a stack.
    fn visit(&mut self, first: &'a str) {
        let mut open = vec![(first, self.next_of(first))];
        self.path.push(first);
        while let Some((name, next)) = open.last_mut() {
            let Some(other) = next.pop() else {
                self.done.insert(name);
                self.path.pop();
                open.pop();
                continue;
            };
            if let Some(start) = self.path.iter().position(|on_path| *on_path == other) {
                self.circles.push(self.path[start..].to_vec());
            } else if !self.done.contains(other) {
                self.path.push(other);
                open.push((other, self.next_of(other)));
            }
        }
    }

    /// In the order in which they are said, the last first.
    fn next_of(&self, name: &'a str) -> Vec<&'a str> {
        if self.done.contains(name) {
            return Vec::new();
        }
        let spec = self.known[name];
        let mut next: Vec<&str> = processes_before(spec)
            .map(|(other, _)| other)
            .filter(|other| *other != name && self.known.contains_key(other))
            .collect();
        next.reverse();
        next
    }
}

fn circle_problem(circle: &[&str], known: &BTreeMap<&str, &Spec>) -> Problem {
    let shown: Vec<&str> = circle.iter().chain(circle.first()).copied().collect();
    problem(known[circle[0]], "dependencies", format!("dependencies in a circle: {}", shown.join(" -> ")))
}
