//! `bursar describe`: what can be called on an object, and who serves it; of the other kinds, what `objects describe` shows.

use super::{Client, Signals, failure::Failure, name, objects, output::Output};
use bursar::{
    Manager,
    object::{Method, Parameter},
};
use serde_json::{Value, json};

/// Show what can be called on an object
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar describe shelf\n  bursar describe shelf --json | jq -r '.methods[].name'")]
pub struct Args {
    #[command(flatten)]
    client: Client,
    /// The object
    #[arg(value_parser = name)]
    name: String,
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| {
        let object = manager.objects().describe(&args.name).await?;
        match object.kind.as_str() {
            "object" => methods(manager, output, &args.name).await,
            _ => objects::show(output, &object),
        }
    })
}

async fn methods(manager: &Manager, output: &mut Output, name: &str) -> Result<(), Failure> {
    let served = manager.object(name).open().await?.describe().await?;
    let (was_served, description) = (served.description.is_some(), served.description.unwrap_or_default());
    if output.json {
        return output.document(&json!({
            "name": name, "served": was_served, "doc": description.doc,
            "methods": description.methods.iter().map(method_document).collect::<Vec<_>>(),
            "providers": served.providers, "capacity": served.capacity, "waiting": served.waiting, "running": served.running,
            "calls": served.calls, "given_again": served.given_again, "gone": served.gone,
        }));
    }
    output.line(name)?;
    doc(&description.doc, "  ").try_for_each(|line| output.line(line))?;
    for method in &description.methods {
        output.line("")?;
        method_lines(method).iter().try_for_each(|line| output.line(line))?;
    }
    output.line("")?;
    output.line(format_args!(
        "{}; {} running, {} waiting, {} made so far",
        providers(was_served, served.providers, served.capacity),
        calls(served.running),
        served.waiting,
        served.calls
    ))
}

fn providers(was_served: bool, providers: u64, capacity: u64) -> String {
    match providers {
        0 if was_served => "nobody serves it now".to_owned(),
        0 => "nobody has served it yet".to_owned(),
        1 => format!("1 provider, {} at once", calls(capacity)),
        providers => format!("{providers} providers, {} at once", calls(capacity)),
    }
}

fn calls(count: u64) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{count} calls") }
}

/// The signature, and under it what is said of the method and its arguments.
fn method_lines(method: &Method) -> Vec<String> {
    let mut lines = vec![signature(method)];
    lines.extend(doc(&method.doc, "    "));
    for parameter in method.parameters.iter().filter(|parameter| !parameter.doc.is_empty()) {
        let mut of_parameter = parameter.doc.lines();
        lines.push(format!("    {}: {}", parameter.name, of_parameter.next().unwrap_or_default()));
        lines.extend(of_parameter.map(|line| format!("      {line}")));
    }
    lines
}

/// As in `reserve(sku: string, n: integer = 1) -> Receipt, or OutOfStock  [serial]`.
fn signature(method: &Method) -> String {
    let Method { name, doc: _, parameters, result, error, stream, idempotent, serial } = method;
    let parameters = parameters.iter().map(parameter).collect::<Vec<_>>().join(", ");
    let result = match (result.as_str(), stream) {
        ("", false) => String::new(),
        ("", true) => " -> stream".to_owned(),
        (result, false) => format!(" -> {result}"),
        (result, true) => format!(" -> stream of {result}"),
    };
    let error = if error.is_empty() { String::new() } else { format!(", or {error}") };
    let marks = [(idempotent, "idempotent"), (serial, "serial")].into_iter().filter(|(is_set, _)| **is_set);
    let marks = marks.map(|(_, mark)| mark).collect::<Vec<_>>().join(", ");
    let marks = if marks.is_empty() { String::new() } else { format!("  [{marks}]") };
    format!("{name}({parameters}){result}{error}{marks}")
}

fn parameter(parameter: &Parameter) -> String {
    let Parameter { name, r#type, optional, default, doc: _ } = parameter;
    let kind = if r#type.is_empty() { String::new() } else { format!(": {type}") };
    match (optional, default.as_str()) {
        (false, "") => format!("{name}{kind}"),
        (true, "") => format!("{name}?{kind}"),
        (_, default) => format!("{name}{kind} = {default}"),
    }
}

fn doc<'a>(doc: &'a str, indent: &'a str) -> impl Iterator<Item = String> + 'a {
    doc.trim().lines().map(move |line| format!("{indent}{line}").trim_end().to_owned())
}

fn method_document(method: &Method) -> Value {
    let Method { name, doc, parameters, result, error, stream, idempotent, serial } = method;
    let parameter = |parameter: &Parameter| {
        let Parameter { name, r#type, optional, default, doc } = parameter;
        let default = serde_json::from_str::<Value>(default).ok();
        json!({ "name": name, "type": r#type, "optional": optional, "default": default, "doc": doc })
    };
    json!({
        "name": name, "doc": doc, "parameters": parameters.iter().map(parameter).collect::<Vec<_>>(), "result": result,
        "error": error, "stream": stream, "idempotent": idempotent, "serial": serial,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_reads_as_a_signature_with_its_words_below() {
        let sku = Parameter { name: "sku".into(), r#type: "string".into(), doc: "of what".into(), ..Parameter::default() };
        let count = Parameter { name: "n".into(), r#type: "integer".into(), optional: true, default: "1".into(), ..sku.clone() };
        let note = Parameter { name: "note".into(), r#type: String::new(), optional: true, doc: String::new(), ..sku.clone() };
        let method = Method {
            name: "reserve".into(),
            doc: "Takes some away.\n\nFor good.".into(),
            parameters: vec![sku, Parameter { doc: "how many\nat once".into(), ..count }, note],
            result: "Receipt".into(),
            error: "OutOfStock".into(),
            serial: true,
            ..Method::default()
        };
        let expected = [
            "reserve(sku: string, n: integer = 1, note?) -> Receipt, or OutOfStock  [serial]",
            "    Takes some away.",
            "",
            "    For good.",
            "    sku: of what",
            "    n: how many",
            "      at once",
        ];
        assert_eq!(method_lines(&method), expected);
        let watch = Method { name: "watch".into(), stream: true, idempotent: true, ..Method::default() };
        assert_eq!(signature(&watch), "watch() -> stream  [idempotent]");
        assert_eq!(signature(&Method { name: "clear".into(), ..Method::default() }), "clear()");
    }
}
