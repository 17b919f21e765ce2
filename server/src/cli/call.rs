//! `bursar call`: calls a method of an object that somebody serves. What the arguments are is read from the object's description.

mod argument;

use super::{
    Client, Signals,
    failure::{Exit, Failure},
    name,
    output::Output,
    payload,
};
use crate::config;
use argument::Given;
use bursar::{
    Manager, Raw, Wait,
    object::{CallError, Failed},
};
use futures_util::StreamExt;
use serde_json::Value;

/// Call a method of an object that a program serves; exit code 1: the method failed
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  bursar describe shelf\n  bursar call shelf reserve sku=apple n=2\n  bursar call shelf stock 'levels:={\"apple\": 7}' --json\n  \
                  bursar call shelf watch | head -3"
)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    /// The object
    #[arg(value_parser = name)]
    name: String,
    /// The method
    method: String,
    /// The arguments: NAME=TEXT, read as the type that the method's description says, or NAME:=JSON
    #[arg(value_parser = argument::given)]
    arguments: Vec<Given>,
    /// How long to wait for the answer (of a stream: for the first item), such as 500ms, 30s, forever
    #[arg(long, default_value = "forever", value_name = "DURATION", value_parser = config::wait)]
    wait: Wait,
    /// Where nobody serves the object, wait until somebody does
    #[arg(long)]
    wait_for_provider: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| call(manager, output, &args).await)
}

async fn call(manager: &Manager, output: &mut Output, args: &Args) -> Result<(), Failure> {
    let builder = manager.object(&args.name);
    let builder = if args.wait_for_provider { builder.wait_for_provider() } else { builder };
    let object = builder.open().await?;
    let description = object.describe().await?.description.unwrap_or_default();
    let method = description.methods.iter().find(|method| method.name == args.method);
    let mut call = object.call(&args.method).wait(args.wait);
    for given in &args.arguments {
        let parameter = method.and_then(|method| method.parameters.iter().find(|parameter| parameter.name == given.name));
        let kind = parameter.map_or("", |parameter| parameter.r#type.as_str());
        call = call.arg(&given.name, &given.read(kind)?);
    }
    let failed = |error| failure(&format!("{}.{}", args.name, args.method), error);
    if !method.is_some_and(|method| method.stream) {
        let result = call.send::<Raw>().await.map_err(failed)?;
        return show(output, &result);
    }
    let mut items = call.stream::<Raw>();
    while let Some(item) = items.next().await {
        show(output, &item.map_err(failed)?)?;
        output.flush()?;
    }
    Ok(())
}

/// A result on a line; with `--json` as one document.
fn show(output: &mut Output, result: &Raw) -> Result<(), Failure> {
    if output.json {
        return output.document(&Value::Object(payload::object(result)));
    }
    output.bytes(&payload::shown(result))?;
    output.bytes(b"\n")
}

fn failure(method: &str, error: CallError<Failed>) -> Failure {
    match error {
        CallError::Failed(Failed { kind, message, .. }) | CallError::Other(Failed { kind, message, .. }) => {
            Failure::new(Exit::Failed, format!("{method} failed: {kind}: {message}"))
        }
        CallError::Broker(error) => error.into(),
    }
}
