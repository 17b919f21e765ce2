//! `bursar serve`: the broker. From flags and file to a configuration, defaults where nothing was said, and then the broker runs.

use super::{
    failure::{Exit, Failure},
    output::Output,
};
use crate::{
    broker::{self, ServeError},
    config::{Config, Flags, KeyFile, Log, LogFormat},
    transport::Inherited,
};
use bursar_proto::{Address, authkey};
use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};
use tracing_subscriber::EnvFilter;

/// Run a broker until SIGTERM or ctrl-c
///
/// Without arguments it listens on a Unix socket in your runtime directory ($XDG_RUNTIME_DIR/bursar, or /tmp/bursar-UID) with an
/// authkey that is made there on the first run; `bursar queue ...` and the other commands look there by themselves. Flags go over
/// the configuration file. The first signal lets clients finish within --shutdown-grace, a second one stops at once.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar serve
  bursar serve --listen tcp://127.0.0.1:7878 --authkey-file ~/.config/bursar.key --queue jobs:maxsize=1000 --kv settings
  bursar serve --object lock:deploy --object semaphore:downloads:permits=3,bounded=true
  bursar serve --config /etc/bursar.toml --log-format json")]
pub struct Args {
    /// Where to listen: unix:///path/to/socket or tcp://host:port; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// A file with an authkey that is accepted; may be repeated with different ids [id: default]
    #[arg(long, value_name = "[ID=]PATH")]
    authkey_file: Vec<String>,
    /// The configuration file; none is read by itself
    #[arg(long, value_name = "FILE", env = "BURSAR_CONFIG")]
    config: Option<PathBuf>,
    /// A queue that exists from the start, as in jobs:maxsize=1000,retry_delay=5s; may be repeated
    #[arg(long, value_name = "NAME[:OPTION=VALUE,...]")]
    queue: Vec<String>,
    /// A key-value store that exists from the start, as in settings:max_keys=1000; may be repeated
    #[arg(long, value_name = "NAME[:OPTION=VALUE,...]")]
    kv: Vec<String>,
    /// An object of any kind that exists from the start, as in semaphore:downloads:permits=3; may be repeated
    #[arg(long, value_name = "KIND:NAME[:OPTION=VALUE,...]")]
    object: Vec<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// off, error, warn, info, debug, trace, or directives such as info,bursar_server=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Listen on TCP beyond this host although nothing is encrypted there
    #[arg(long)]
    insecure_tcp: bool,
    /// Take authkeys of fewer than 16 bytes, on Unix and loopback addresses
    #[arg(long)]
    allow_weak_key: bool,
    /// How long clients have to finish when the broker stops [default: 5s]
    #[arg(long, value_name = "DURATION")]
    shutdown_grace: Option<String>,
    /// Let this user's programs add processes, which run commands as this user; a file with [processes] needs no flag
    #[arg(long)]
    supervise: bool,
}

impl Args {
    fn flags(self) -> Flags {
        let Args {
            listen,
            authkey_file,
            config,
            queue,
            kv,
            object,
            log_format,
            log_level,
            insecure_tcp,
            allow_weak_key,
            shutdown_grace,
            supervise,
        } = self;
        Flags {
            config,
            listen,
            authkey_files: authkey_file,
            queues: queue,
            kvs: kv,
            objects: object,
            log_format,
            log_level,
            shutdown_grace,
            insecure_tcp,
            allow_weak_key,
            supervise,
        }
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mut config = Config::read(&args.flags()).map_err(|mistakes| Failure::usage(mistakes.to_string()))?;
    // As long as there are no threads: it also takes what it has read out of the environment.
    let inherited = Inherited::take().map_err(|error| failure(&error.into()))?;
    broker::fill(&mut config, inherited.is_empty(), true).map_err(|error| failure(&error))?;
    log(&config.log)?;
    let keys = config.keys.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("the runtime cannot be started: {error}")))?;
    let served = runtime.block_on(broker::serve(config, inherited, move |addresses| greet(addresses, &keys)));
    runtime.shutdown_background();
    served.map_err(|error| failure(&error))
}

fn failure(error: &ServeError) -> Failure {
    failure_of("serve", error)
}

/// Why a command that runs a broker has failed, with the exit code of that.
pub fn failure_of(command: &str, error: &ServeError) -> Failure {
    let exit = match error {
        ServeError::Key(_) | ServeError::WeakKey { .. } | ServeError::SameKeyId { .. } => Exit::Authkey,
        _ => Exit::Failed,
    };
    Failure::new(exit, format!("{command}: {}", chain(error)))
}

/// Events go to stderr: stdout is for what is to be pasted.
fn log(log: &Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&log.level).map_err(|error| Failure::usage(format!("serve: the log level: {error}")))?;
    let log_to = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match log.format {
        LogFormat::Text => log_to.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log_to.json().init(),
    }
    Ok(())
}

/// What to paste into the shell of a client. Nobody reading stdout is no reason not to serve.
fn greet(addresses: &[Address], keys: &[KeyFile]) {
    let mut output = Output::stdout(false);
    let said = greeting(addresses, keys).iter().try_for_each(|line| output.line(line)).and_then(|()| output.flush());
    if let Err(failure) = said {
        tracing::warn!(problem = failure.message, "the addresses could not be printed");
    }
}

fn greeting(addresses: &[Address], keys: &[KeyFile]) -> Vec<String> {
    let mut lines: Vec<String> = addresses.iter().map(|address| format!("address  {address}")).collect();
    lines.extend(keys.iter().map(|key| format!("authkey  {} (id {})", key.path.display(), key.id)));
    if let (Some(address), Some(key)) = (addresses.first(), keys.first()) {
        let path = std::path::absolute(&key.path).unwrap_or_else(|_| key.path.clone());
        let mut line = format!("export BURSAR_ADDRESS={} BURSAR_AUTHKEY_FILE={}", quoted(address), quoted(path.display()));
        if key.id != authkey::DEFAULT_KEY_ID {
            line.push_str(&format!(" BURSAR_KEY_ID={}", quoted(&key.id)));
        }
        lines.push("In the shell of a client:".into());
        lines.push(format!("  {line}"));
    }
    lines
}

/// As one word of a shell.
fn quoted(word: impl std::fmt::Display) -> String {
    let word = word.to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:[]".contains(c);
    if word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// An error with what is behind it, unless it says so itself.
fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let inner = error.to_string();
        if !message.contains(&inner) {
            message = format!("{message}: {inner}");
        }
        source = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_can_be_pasted() {
        let addresses = ["unix:///run/my bursar".parse().unwrap(), "tcp://127.0.0.1:7".parse().unwrap()];
        let lines = greeting(&addresses, &[KeyFile { id: "new".into(), path: "/k".into() }]);
        assert_eq!(lines[1], "address  tcp://127.0.0.1:7");
        assert_eq!(
            lines.last().unwrap(),
            "  export BURSAR_ADDRESS='unix:///run/my bursar' BURSAR_AUTHKEY_FILE=/k BURSAR_KEY_ID=new"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
