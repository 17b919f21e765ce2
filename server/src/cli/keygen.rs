//! `bursar keygen`: a new authkey.

use super::{
    failure::{Exit, Failure},
    output::Output,
};
use bursar_proto::{AuthKey, KeyError};
use serde_json::json;
use std::{io::ErrorKind, path::PathBuf};

/// Write a new authkey: 32 random bytes, readable by you alone
///
/// An existing file is never overwritten. Give the same file to the broker and to every client; over a network, copy it by a
/// channel that you trust.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  bursar keygen ~/.config/bursar.key")]
pub struct Args {
    /// The file to make
    file: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    AuthKey::generate(&args.file).map_err(|error| match &error {
        KeyError::Write { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
            let message =
                format!("keygen: {} exists already, and a key is never overwritten: choose another name", args.file.display());
            Failure::new(Exit::Conflict, message)
        }
        _ => Failure::new(Exit::Failed, format!("keygen: {error}")),
    })?;
    let mut output = Output::stdout(args.json);
    let file = args.file.display();
    output.result(json!({ "file": file.to_string() }), format_args!("a new authkey is in {file}"))?;
    output.flush()
}
