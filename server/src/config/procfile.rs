//! A Procfile: a line `NAME: COMMAND` for each process, as Heroku made it common and foreman, overmind and honcho read it.
//!
//! As with these, a command is run by `sh -c` in the file's directory, the `.env` beside it is read at every start, and `PORT` is set: 5000
//! for the first process and 100 more for each that follows, or counted from the `PORT` of `.env`. All workers of a process have the same one;
//! a line that wants its own can say `$((PORT + BURSAR_WORKER))`. Otherwise a process is as bursar's are by default, above all: who ends
//! is started again, while those others stop everything.

use super::{
    Draft, Place, env_file,
    processes::{Written, directory_of, in_a_shell},
};
use bursar::processes::Spec;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// What the first process has for `PORT`.
const PORT_FIRST: u16 = 5000;

/// How much more the next one has.
const PORT_STEP: usize = 100;

/// Whether a file is read as a Procfile: by its name alone, as `Procfile` or `Procfile.dev`.
pub(super) fn is_named_so(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == "Procfile" || name.starts_with("Procfile.")
}

impl Draft {
    /// Takes in the text of a Procfile.
    pub(super) fn procfile(&mut self, path: &Path, text: &str) {
        let directory = directory_of(path);
        let env_file = directory.join(".env");
        let env_files = if env_file.is_file() { vec![env_file.to_string_lossy().into_owned()] } else { Vec::new() };
        let port_first = if env_files.is_empty() { Some(PORT_FIRST) } else { self.port_of(&env_file) };
        let mut processes = 0;
        for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let place = Place::Point { file: path.display().to_string(), line: index + 1, column: 1 };
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let Some((name, command)) = line.split_once(':').map(|(name, command)| (name.trim(), command.trim())) else {
                self.mistake(place, format!("found {:?}, expected NAME: COMMAND", line.trim()));
                continue;
            };
            if self.process_places.contains_key(name) {
                self.mistake(place, format!("another process is called {name:?}, too"));
                continue;
            }
            let command = if command.is_empty() { Vec::new() } else { in_a_shell(command) };
            let mut spec = Spec::new(name, command).directory(directory.to_string_lossy());
            spec.env_files.clone_from(&env_files);
            match port_first.map(|first| u16::try_from(usize::from(first) + PORT_STEP * processes)) {
                Some(Ok(port)) => spec = spec.env("PORT", port.to_string()),
                Some(Err(_)) => self.mistake(place.clone(), "no PORT is left for it: begin with a lower one in .env"),
                None => {}
            }
            processes += 1;
            self.add_process(Written { name: place, keys: BTreeMap::new(), bad: BTreeSet::new() }, spec);
        }
        if processes == 0 {
            self.mistake(Place::File(path.display().to_string()), "there is no process in it, expected lines NAME: COMMAND");
        }
    }

    /// The `PORT` of the env file, if it says one.
    fn port_of(&mut self, env_file: &Path) -> Option<u16> {
        let file = Place::File(env_file.display().to_string());
        let variables = match env_file::read(env_file) {
            Ok(variables) => variables,
            Err(problems) => {
                self.mistake(file, problems);
                return None;
            }
        };
        let Some((_, port)) = variables.iter().rfind(|(name, _)| name == "PORT") else { return Some(PORT_FIRST) };
        let parsed = port.parse().ok().filter(|port| *port > 0);
        if parsed.is_none() {
            self.mistake(file, format!("PORT is {port:?}, expected a number from 1 to {}", u16::MAX));
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Mistake};

    fn report(path: &Path, text: &str) -> Vec<String> {
        Config::from_text(path, text).expect_err("there are mistakes").0.iter().map(Mistake::to_string).collect()
    }

    #[test]
    fn every_line_is_a_process() {
        let text = "# the app\r\nweb: python3 web.py --port $PORT\r\n\nworker_2:./work \"a b\" | tee log: x\n";
        let config = Config::from_text(Path::new("/srv/app/Procfile.dev"), text).unwrap();
        let process =
            |name: &str, line: &str, port: &str| Spec::new(name, ["sh", "-c", line]).directory("/srv/app").env("PORT", port);
        let expected =
            [process("web", "python3 web.py --port $PORT", "5000"), process("worker_2", "./work \"a b\" | tee log: x", "5100")];
        assert_eq!(config.processes, expected);
    }

    #[test]
    fn only_the_name_makes_a_procfile() {
        let named = ["Procfile", "a/Procfile", "Procfile.dev", "procfile", "bursar.toml", "My.Procfile", ""];
        assert_eq!(named.map(|path| is_named_so(Path::new(path))), [true, true, true, false, false, false, false]);
    }

    #[test]
    fn mistakes_have_their_lines() {
        let text = "web: x\nnonsense\nweb: y\nb c: z\nempty:\n";
        let expected = [
            "Procfile:2:1: found \"nonsense\", expected NAME: COMMAND",
            "Procfile:3:1: another process is called \"web\", too",
            "Procfile:4:1: processes.b c.name: found \"b c\"",
            "Procfile:5:1: processes.empty.command: found no word",
        ];
        let report_of_text = report(Path::new("Procfile"), text);
        assert_eq!(report_of_text.len(), expected.len(), "{report_of_text:#?}");
        report_of_text.iter().zip(expected).for_each(|(actual, expected)| assert!(actual.starts_with(expected), "{actual}"));
        assert_eq!(
            report(Path::new("Procfile"), "# none"),
            ["Procfile: there is no process in it, expected lines NAME: COMMAND"]
        );
    }

    #[test]
    fn the_env_file_beside_it_is_taken_along_and_says_the_first_port() {
        let directory = tempfile::tempdir().unwrap();
        let (file, env_file) = (directory.path().join("Procfile"), directory.path().join(".env"));
        let ports = |text: &str| {
            std::fs::write(&env_file, text).unwrap();
            let config = Config::from_text(&file, "a: x\nb: y").unwrap();
            assert!(config.processes.iter().all(|spec| spec.env_files == [env_file.to_str().unwrap()]));
            config.processes.iter().map(|spec| spec.environment["PORT"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(ports("A=1\n"), ["5000", "5100"]);
        assert_eq!(ports("PORT=8000\nexport PORT='65000' # the last one counts\n"), ["65000", "65100"]);
        for (text, problem) in [
            ("PORT=x", ".env: PORT is \"x\", expected a number from 1 to 65535"),
            ("PORT", ".env:1: found \"PORT\", expected NAME=value"),
            ("PORT=65500", "Procfile:2:1: no PORT is left for it"),
        ] {
            std::fs::write(&env_file, text).unwrap();
            let report = report(&file, "a: x\nb: y");
            assert!(report.len() == 1 && report[0].contains(problem), "{report:?}");
        }
    }
}
