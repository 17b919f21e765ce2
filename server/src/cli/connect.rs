//! The options that every client command has, and the connection that they lead to.

use super::failure::{Exit, Failure};
use crate::config;
use bursar::{AuthKey, Manager};
use std::{path::PathBuf, time::Duration};

/// How to reach the broker, and how to print. Without options: the socket and the authkey of `bursar serve` without options.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Broker and output")]
pub struct Client {
    /// The broker's address: unix:///path/to/socket or tcp://host:port [default: the socket of `bursar serve`]
    #[arg(long, value_name = "ADDRESS", env = "BURSAR_ADDRESS", global = true)]
    address: Option<String>,
    /// The file with the authkey [default: the key of `bursar serve`]
    #[arg(long, value_name = "PATH", env = "BURSAR_AUTHKEY_FILE", global = true)]
    authkey_file: Option<PathBuf>,
    /// The id under which the broker knows the authkey [default: default]
    #[arg(long, value_name = "ID", env = "BURSAR_KEY_ID", global = true)]
    key_id: Option<String>,
    /// How long to try to reach the broker
    #[arg(long, value_name = "DURATION", value_parser = config::duration, default_value = "5s", global = true)]
    timeout: Duration,
    /// Print JSON: one document, or one on each line
    #[arg(long, global = true)]
    pub json: bool,
}

/// A parent's way to hand a key to its child; the SDK reads it.
const DESCRIPTOR: &str = "BURSAR_AUTHKEY_FD";

impl Client {
    pub async fn connect(&self) -> Result<Manager, Failure> {
        let builder = Manager::builder().address(self.address())?;
        let builder = match &self.authkey_file {
            None if std::env::var_os(DESCRIPTOR).is_some() => builder.from_env()?,
            _ => builder.authkey(self.authkey()?),
        };
        Ok(builder.label("bursar command").connect_timeout(self.timeout).connect().await?)
    }

    fn address(&self) -> String {
        let default = || format!("unix://{}", config::default_socket(&config::runtime_path()).display());
        self.address.clone().unwrap_or_else(default)
    }

    fn authkey(&self) -> Result<AuthKey, Failure> {
        let path = match &self.authkey_file {
            Some(path) => path.clone(),
            None => default_authkey()?,
        };
        // Whether a short key will do is for the broker to say.
        let authkey = AuthKey::weak_from_file(path)?;
        Ok(match &self.key_id {
            Some(id) => authkey.with_id(id),
            None => authkey,
        })
    }
}

/// The key that `bursar serve` makes; where there is none, no broker of this user ever ran without options.
fn default_authkey() -> Result<PathBuf, Failure> {
    let path = config::default_authkey(&config::runtime_path());
    if path.exists() {
        return Ok(path);
    }
    let message = format!(
        "no authkey: there is none at {}, where `bursar serve` puts it: start that, or name a broker with --address and \
         --authkey-file",
        path.display()
    );
    Err(Failure::new(Exit::Authkey, message))
}
