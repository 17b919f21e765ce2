//! The commands about processes: what they share. A broker that supervises has them as an object; this is a client of it.

pub mod exec;
pub mod lines;
pub mod logs;
pub mod ps;
pub mod settle;
pub mod stopping;
pub mod table;
pub mod wishes;

use super::{
    Client,
    failure::{Exit, Failure},
};
use crate::config::{Config, Flags};
use bursar::{
    CallError, Fault, Manager,
    processes::{OBJECT, Process, Refused, SuperviseClient},
};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// The file that is meant where none is named.
pub const FILE: &str = "bursar.toml";

/// How to reach a broker that supervises: as every client does, or as the file says that it was started from.
#[derive(clap::Args, Clone, Debug)]
pub struct Home {
    #[command(flatten)]
    pub client: Client,
    /// Where no address is given: the file of the broker that is meant [default: ./bursar.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "BURSAR_CONFIG")]
    config: Option<PathBuf>,
}

impl Home {
    /// The client, with address and key from the file where nothing was said about the address.
    pub fn client(&self) -> Result<Client, Failure> {
        let file = self.config.clone().or_else(|| Path::new(FILE).exists().then(|| FILE.into()));
        match file {
            Some(file) if !self.client.knows_address() => {
                let flags = Flags { config: Some(file), ..Flags::default() };
                let config = Config::read(&flags).map_err(|mistakes| Failure::usage(mistakes.to_string()))?;
                Ok(self.client.clone().of(&config))
            }
            _ => Ok(self.client.clone()),
        }
    }
}

/// The keeper of processes. A broker that has none says what to start.
pub async fn open(manager: &Manager) -> Result<SuperviseClient, Failure> {
    SuperviseClient::open(manager, OBJECT).await.map_err(|error| match error.fault() {
        Some(Fault::NoSuchObject { .. }) => Failure::new(
            Exit::Absent,
            "this broker supervises no processes: start it with `bursar up`, or `bursar serve --supervise`",
        ),
        _ => error.into(),
    })
}

/// What the keeper refused, or what happened on the way to it.
pub fn failure(error: CallError<Refused>) -> Failure {
    match error.into_own() {
        Ok(refused) => {
            let exit = match &refused {
                Refused::NoSuchProcess { .. } => Exit::Absent,
                Refused::BadSpec { .. } => Exit::Usage,
                Refused::Stopping => Exit::Unreachable,
                _ => Exit::Failed,
            };
            Failure::new(exit, refused.to_string())
        }
        Err(error) => error.into(),
    }
}

/// As [`failure`], of what has nothing to refuse.
pub fn broken(error: CallError) -> Failure {
    bursar::Error::from(error).into()
}

/// How those of these names are, as the keeper has them; all, if none is named. The order is that of the names.
pub async fn listed(supervise: &SuperviseClient, names: &[String], usage: bool) -> Result<Vec<Process>, Failure> {
    let all = supervise.list(usage).await.map_err(broken)?;
    if names.is_empty() {
        return Ok(all);
    }
    let known = || all.iter().map(|process| process.name.as_str());
    let find = |name: &String| all.iter().find(|process| process.name == *name).ok_or_else(|| unknown(name, known()));
    names.iter().map(|name| find(name).cloned()).collect()
}

/// There is no process of this name.
pub fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let known: Vec<&str> = known.collect();
    if let Some((process, worker)) = name.rsplit_once('/').filter(|(process, _)| known.contains(process)) {
        return Failure::new(
            Exit::Absent,
            format!("{process} has no worker {worker:?}: a worker is a number, as in {process}/0"),
        );
    }
    let known = known.join(", ");
    let known = if known.is_empty() { "there is none at all".into() } else { format!("there are: {known}") };
    Failure::new(Exit::Absent, format!("there is no process {name:?}; {known}"))
}

/// A process, or one of its workers: `NAME` or `NAME/WORKER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: String,
    pub worker: Option<u32>,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.worker {
            Some(worker) => write!(formatter, "{}/{worker}", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

/// `NAME` or `NAME/WORKER`, where an argument is one. Names of objects may hold a slash; a number behind the last one is a worker's.
fn target(text: &str) -> Result<Target, Fault> {
    let (name, worker) = match text.rsplit_once('/') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => (name, number.parse().ok()),
        _ => (text, None),
    };
    Ok(Target { name: super::name(name)?, worker })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_behind_the_name_is_a_workers() {
        let read = |text: &str| target(text).map(|target| (target.name, target.worker)).ok();
        assert_eq!(read("web"), Some(("web".into(), None)));
        assert_eq!(read("team/web/12"), Some(("team/web".into(), Some(12))));
        assert_eq!(read("team/web"), Some(("team/web".into(), None)));
        assert_eq!(read("two words"), None);
        assert_eq!(target("team/web/12").unwrap().to_string(), "team/web/12");
    }

    #[test]
    fn who_is_not_there_is_told_who_is() {
        let failure = unknown("wbe", ["db", "web"].into_iter());
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Absent, "there is no process \"wbe\"; there are: db, web"));
        let failure = unknown("web/x", ["db", "web"].into_iter());
        assert_eq!(failure.message, "web has no worker \"x\": a worker is a number, as in web/0");
        assert!(unknown("x", [].into_iter()).message.ends_with("there is none at all"));
    }

    #[test]
    fn refusals_have_their_exit_codes() {
        let exit = |refused| failure(CallError::Failed(refused)).exit;
        let absent = Refused::NoSuchProcess { name: "x".into(), nearest: None };
        assert_eq!([exit(absent), exit(Refused::Stopping)], [Exit::Absent, Exit::Unreachable]);
        assert_eq!(exit(Refused::BadSpec { name: "x".into(), problem: "y".into() }), Exit::Usage);
    }
}
