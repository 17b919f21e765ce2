//! Which file is meant, and which of its processes are started.

use crate::cli::{
    failure::Failure,
    processes::{FILE, unknown},
};
use bursar::processes::{Dependency, Spec};
use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

const PROCFILE: &str = "Procfile";

/// The file that was named, or the one that lies here.
pub fn file(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let found = named.map(Path::to_owned).or_else(|| [FILE, PROCFILE].map(PathBuf::from).into_iter().find(|path| path.is_file()));
    found.ok_or_else(|| {
        let message = format!(
            "up: there is neither ./{FILE} nor ./{PROCFILE} here: go where one is, name it with --config, or write one, such as\n\
             \n  [processes.web]\n  command = [\"./web\", \"--port\", \"8000\"]"
        );
        Failure::usage(message)
    })
}

/// Only these are to be started, and those they depend on: the others are there, and can be started later. No names: as the file says.
pub fn choose(specs: &mut [Spec], names: &[String]) -> Result<(), Failure> {
    if specs.is_empty() {
        return Err(Failure::usage("up: the file has no processes: add a table [processes.NAME] with a command"));
    }
    names.iter().try_for_each(|name| check(specs, name))?;
    if names.is_empty() {
        return Ok(());
    }
    let chosen = with_dependencies(specs, names);
    for spec in specs {
        spec.autostart = chosen.contains(&spec.name);
    }
    Ok(())
}

/// There has to be a process of this name.
pub fn check(specs: &[Spec], name: &str) -> Result<(), Failure> {
    let known = || specs.iter().map(|spec| spec.name.as_str());
    if known().any(|known| known == name) { Ok(()) } else { Err(Failure::usage(unknown(name, known()).message).context("up")) }
}

fn with_dependencies(specs: &[Spec], names: &[String]) -> BTreeSet<String> {
    let by_name: HashMap<&str, &Spec> = specs.iter().map(|spec| (spec.name.as_str(), spec)).collect();
    let mut chosen = BTreeSet::new();
    let mut left: Vec<&str> = names.iter().map(String::as_str).collect();
    while let Some(name) = left.pop() {
        if !chosen.insert(name.to_owned()) {
            continue;
        }
        let dependencies = by_name.get(name).into_iter().flat_map(|spec| spec.dependencies.iter().flatten());
        left.extend(dependencies.filter_map(|dependency| match dependency {
            Dependency::Process { name, .. } => Some(name.as_str()),
            Dependency::Object(_) => None,
        }));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar::processes::Condition;

    fn spec(name: &str, on: &[&str]) -> Spec {
        let depends = |name: &&str| Dependency::Process { name: (*name).to_owned(), condition: Condition::Ready };
        let dependencies = vec![vec![Dependency::Object("jobs".into())], on.iter().map(depends).collect()];
        Spec { name: name.into(), dependencies, ..Spec::default() }
    }

    fn specs() -> Vec<Spec> {
        let mut specs = vec![spec("db", &[]), spec("cache", &["db"]), spec("web", &["cache", "web"]), spec("mailer", &["db"])];
        specs[0].autostart = false;
        specs
    }

    fn started(specs: &[Spec]) -> Vec<&str> {
        specs.iter().filter(|spec| spec.autostart).map(|spec| spec.name.as_str()).collect()
    }

    #[test]
    fn who_is_named_is_started_with_all_that_it_depends_on() {
        let mut specs = specs();
        choose(&mut specs, &[]).unwrap();
        assert_eq!(started(&specs), ["cache", "web", "mailer"], "as the file says");
        choose(&mut specs, &["web".into()]).unwrap();
        assert_eq!(started(&specs), ["db", "cache", "web"]);
    }

    #[test]
    fn who_is_not_in_the_file_is_refused() {
        let failure = choose(&mut specs(), &["wbe".into()]).unwrap_err();
        assert_eq!(failure.message, "up: there is no process \"wbe\"; there are: db, cache, web, mailer");
        assert!(choose(&mut [], &[]).unwrap_err().message.contains("[processes.NAME]"));
    }
}
