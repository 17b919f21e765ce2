//! `bursar exec`: a command here, in the surroundings of a process. This program becomes the command; nobody watches over it.

use super::{Home, failure, open};
use crate::cli::{
    self, Signals,
    child::{Surroundings, become_command},
    failure::{Exit, Failure},
    name,
};
use bursar::processes;
use std::{collections::BTreeMap, fs, path::PathBuf};

/// Run a command with the environment and in the directory of a process
///
/// It runs here, at this terminal, as this user, and beside the workers: the broker does not keep it. Its exit code is that of the
/// command.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar exec web -- env\n  bursar exec web -- ./manage.py shell")]
pub struct Args {
    #[command(flatten)]
    home: Home,
    /// The process
    #[arg(value_parser = name)]
    name: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// What makes a worker out of a process: not for one that is none.
const OF_WORKERS: [&str; 5] = ["BURSAR_AUTHKEY_FD", "BURSAR_WORKER", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

pub fn run(args: Args) -> Result<(), Failure> {
    let client = args.home.client()?;
    let mut told = None;
    cli::session(&client, Signals::End, async |manager, _| {
        told = Some(open(manager).await?.surroundings(args.name.clone()).await.map_err(failure)?);
        Ok(())
    })?;
    let processes::Surroundings { environment, directory, user } = told.expect("a session that went well has asked");
    check_user(&args.name, user.as_deref())?;
    let mut surroundings = Surroundings { directory: directory.map(PathBuf::from), ..of_process(environment) };
    surroundings.set.extend(client.all_variables()?.into_iter().map(|(name, value)| (name.into(), value)));
    Err(become_command(&args.command, surroundings))
}

/// The environment of the process, without what makes a worker of it. How the broker is reached is known here.
fn of_process(environment: BTreeMap<String, String>) -> Surroundings {
    let kept = environment.into_iter().filter(|(name, _)| !OF_WORKERS.contains(&name.as_str()));
    let set = kept.map(|(name, value)| (name.into(), value.into())).collect();
    let mut surroundings = Surroundings { set, ..Surroundings::default() };
    // A key that came to this program by descriptor is handed on.
    surroundings.unset = OF_WORKERS.into_iter().filter(|name| *name != OF_WORKERS[0]).collect();
    surroundings
}

/// Who may become another user does so before.
fn check_user(process: &str, user: Option<&str>) -> Result<(), Failure> {
    let Some(user) = user.map(|user| user.split(':').next().unwrap_or(user)) else { return Ok(()) };
    let own = rustix::process::geteuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if is_user(user, own, &passwd) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::NotRunnable,
        format!("{process} runs as {user}, and this is user {own}: run it as that one, as with `sudo -u {user} bursar exec`"),
    ))
}

fn is_user(user: &str, id: u32, passwd: &str) -> bool {
    let named = |line: &str| {
        let mut fields = line.split(':');
        fields.next() == Some(user) && fields.nth(1) == Some(&id.to_string())
    };
    user.parse() == Ok(id) || passwd.lines().any(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/:/bin/false\n";
        assert!(is_user("33", 33, passwd) && is_user("www", 33, passwd));
        assert!(!is_user("www", 0, passwd) && !is_user("0", 33, passwd) && !is_user("x", 0, passwd));
    }

    #[test]
    fn what_makes_a_worker_is_left_out() {
        let pairs = [("PORT", "80"), ("BURSAR_WORKER", "0"), ("NOTIFY_SOCKET", "@x"), ("BURSAR_PROCESS", "web")];
        let surroundings = of_process(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let names: Vec<_> = surroundings.set.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["BURSAR_PROCESS", "PORT"]);
        assert!(surroundings.unset.contains(&"NOTIFY_SOCKET") && !surroundings.unset.contains(&"BURSAR_AUTHKEY_FD"));
    }
}
