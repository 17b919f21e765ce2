//! What the examples share: how they are told where the broker is, the items they exchange, and how they end. What each of them
//! shows is in its own file.

use bursar::{AuthKey, Builder};
use serde::{Deserialize, Serialize};
use std::{error::Error, io, path::PathBuf, process::ExitCode};
use tokio::process::{Child, Command};

/// What a program comes to.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Where the broker is. Without these options the environment is asked, as `bursar serve` prints it.
#[derive(clap::Args, Clone, Debug)]
pub struct Access {
    /// The broker's address: unix:///path/to/socket or tcp://host:port [env: BURSAR_ADDRESS]
    #[arg(long)]
    address: Option<String>,
    /// The file with the authkey [env: BURSAR_AUTHKEY_FILE]
    #[arg(long, value_name = "PATH")]
    authkey_file: Option<PathBuf>,
}

impl Access {
    /// A connection that is ready to be made, async or blocking.
    pub fn builder(&self) -> bursar::Result<Builder> {
        let mut builder = bursar::Manager::builder();
        if let Some(address) = &self.address {
            builder = builder.address(address)?;
        }
        if let Some(path) = &self.authkey_file {
            builder = builder.authkey(AuthKey::from_file(path)?);
        }
        builder.from_env()
    }
}

/// An item of the queue that `producer`, `consumer` and `embedded_broker` use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its place in what one producer put.
    pub number: u64,
    /// What is to be done.
    pub text: String,
}

/// Another process of the program that calls this, with the same arguments and these. It is killed when the child is dropped.
pub fn once_more(arguments: &[&str]) -> io::Result<Child> {
    let own = std::env::args_os().skip(1);
    Command::new(std::env::current_exe()?).args(own).args(arguments).kill_on_drop(true).spawn()
}

/// How a program ends: an error goes to stderr in one line, as `program: what went wrong`.
pub fn ending(program: &str, outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}
