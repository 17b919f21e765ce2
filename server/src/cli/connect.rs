//! The options that every client command has, and the connection that they lead to.

use super::failure::{Exit, Failure};
use crate::config::{self, Config};
use bursar::{AuthKey, Manager};
use bursar_proto::Address;
use std::{ffi::OsString, path::PathBuf, time::Duration};

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

/// How long to try to reach the broker, where nothing was said.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A parent's way to hand a key to its child; the SDK reads it.
const DESCRIPTOR: &str = "BURSAR_AUTHKEY_FD";

impl Client {
    pub async fn connect(&self) -> Result<Manager, Failure> {
        let builder = Manager::builder().address(self.address())?;
        let builder = match &self.authkey_file {
            None if std::env::var_os(DESCRIPTOR).is_some() => builder.from_env()?,
            _ => builder.authkey(self.authkey()?),
        };
        Ok(builder.label(label(std::env::args())).connect_timeout(self.timeout).connect().await?)
    }

    /// For the environment of a command: how it reaches the same broker, as far as it was said here.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        let key = self.authkey_file.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        let pairs = [
            ("BURSAR_ADDRESS", self.address.as_ref().map(OsString::from)),
            ("BURSAR_AUTHKEY_FILE", key.map(OsString::from)),
            ("BURSAR_KEY_ID", self.key_id.as_ref().map(OsString::from)),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Whether it was said which broker is meant.
    pub fn knows_address(&self) -> bool {
        self.address.is_some()
    }

    /// One of the broker of this configuration.
    pub fn of_broker(config: &Config) -> Client {
        Client { address: None, authkey_file: None, key_id: None, timeout: TIMEOUT, json: false }.of(config)
    }

    /// The broker of this configuration, which runs on this host; a key that was said goes over that of the configuration.
    pub fn of(mut self, config: &Config) -> Client {
        let is_unix = |address: &&Address| matches!(address, Address::Unix(_));
        let address = config.listen.iter().find(is_unix).or(config.listen.first());
        self.address = address.map(Address::to_string);
        if let (None, Some(key)) = (&self.authkey_file, config.keys.first()) {
            self.authkey_file = Some(key.path.clone());
            self.key_id = Some(key.id.clone());
        }
        self
    }

    /// For the environment of a command: how it reaches the same broker, whether it was said or not.
    pub fn all_variables(&self) -> Result<Vec<(&'static str, OsString)>, Failure> {
        let mut variables = self.variables();
        if self.address.is_none() {
            variables.push(("BURSAR_ADDRESS", self.address().into()));
        }
        if self.authkey_file.is_none() && std::env::var_os(DESCRIPTOR).is_none() {
            variables.push(("BURSAR_AUTHKEY_FILE", default_authkey()?.into()));
        }
        Ok(variables)
    }

    pub fn address(&self) -> String {
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

/// What others are shown as the one who waits or holds: the command with its object, and nothing of what it stores.
fn label(arguments: impl Iterator<Item = String>) -> String {
    let words = arguments.skip(1).take_while(|word| !word.starts_with('-')).take(3);
    words.fold("bursar".to_owned(), |label, word| label + " " + &word)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_says_what_and_keeps_payloads_to_itself() {
        let label = |line: &str| label(line.split(' ').map(str::to_owned));
        assert_eq!(label("/bin/bursar queue put jobs secret"), "bursar queue put jobs");
        assert_eq!(label("bursar lock run deploy --create -- sh"), "bursar lock run deploy");
        assert_eq!(label("bursar kv --json get settings"), "bursar kv");
    }
}
