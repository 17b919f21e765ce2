//! Objects that programs serve, from the command line.

use super::{run, run_args};
use crate::harness::Broker;
use bursar::{
    Raw,
    blocking::Manager,
    object::{Answer, Answering, Call, Description, Failed, Method, Parameter, Service},
};
use serde_json::json;
use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    sync::Arc,
};

/// Says what it was given.
struct Echo;

fn parameter(name: &str, kind: &str) -> Parameter {
    Parameter { name: name.into(), r#type: kind.into(), ..Parameter::default() }
}

impl Service for Echo {
    fn description(&self) -> Description {
        let times = Parameter { optional: true, default: "1".into(), doc: "how often".into(), ..parameter("times", "integer") };
        let say = Method {
            name: "say".into(),
            doc: "Says it.".into(),
            parameters: vec![parameter("what", "string"), times],
            result: "string".into(),
            error: "Hoarse".into(),
            ..Method::default()
        };
        let anything = Method { name: "take".into(), parameters: vec![parameter("it", "any")], ..Method::default() };
        let bytes = Method { name: "bytes".into(), parameters: vec![parameter("it", "bytes")], ..Method::default() };
        let count = Method { name: "count".into(), stream: true, result: "integer".into(), ..Method::default() };
        Description { doc: "An echo.".into(), methods: vec![say, anything, bytes, count] }
    }

    fn call(self: Arc<Self>, call: Call) -> Answering {
        Box::pin(async move { answer(call).await.unwrap_or_else(Answer::Failed) })
    }
}

async fn answer(mut call: Call) -> Result<Answer, Failed> {
    Ok(match call.method.as_str() {
        "say" => {
            let (what, times) = (call.arguments.take::<String>("what")?, call.arguments.take::<usize>("times")?);
            match times.unwrap_or(1) {
                0 => return Err(Failed::new("Hoarse", "not a word")),
                times => Answer::of(&vec![what.unwrap_or_default(); times].join(" ")),
            }
        }
        "count" => call.items.give_all(futures_util::stream::iter(0_u64..)).await,
        _ => Answer::Result(call.arguments.take::<Raw>("it")?.unwrap_or_default()),
    })
}

#[test]
fn methods_are_called_with_what_their_description_says() {
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    let serving = manager.serve("echo", Arc::new(Echo)).start().unwrap();
    assert_eq!(run(&broker, "call echo say what=7 times=2").ok(), "\"7 7\"\n");
    assert_eq!(run(&broker, "call echo say what=a=b --json").json(), [json!({"codec": "messagepack", "value": "a=b"})]);
    assert_eq!(run_args(&broker, &["call", "echo", "take", "it:={\"a\": [1, null]}"]).ok(), "{\"a\":[1,null]}\n");
    assert_eq!(run(&broker, "call echo take it=word").ok(), "\"word\"\n");
    assert_eq!(run(&broker, "call echo bytes it=word").ok(), "word\n");
    run(&broker, "call echo say what=x times=0").fails(1, &["echo.say failed: Hoarse: not a word"]);
    run(&broker, "call echo say what=x times=x").fails(2, &["times: expected an integer, such as 7, found \"x\""]);
    run(&broker, "call echo sya what=x").fails(2, &["no method \"sya\"", "\"say\""]);
    run(&broker, "call echo say waht=x").fails(2, &["no argument \"waht\"", "\"what\""]);
    run(&broker, "call echo say").fails(2, &["needs the argument \"what\""]);
    run(&broker, "call echo say what").fails(2, &["expected NAME=TEXT"]);
    serving.stop().unwrap();
    run(&broker, "call echo say what=x").fails(5, &["nobody serves this now"]);
    run(&broker, "call echo say what=x --wait 10ms --wait-for-provider").fails(5, &[]);
    run(&broker, "call nothing say").fails(6, &["nothing"]);
}

#[test]
fn the_items_of_a_stream_come_line_by_line_for_as_long_as_somebody_reads() {
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    let serving = manager.serve("echo", Arc::new(Echo)).start().unwrap();
    let mut child = broker.cli(&["call", "echo", "count"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(1000).map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(lines, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(child.wait().unwrap().code(), Some(0), "a closed pipe is no failure");
    serving.stop().unwrap();
}

#[test]
fn what_can_be_called_is_described() {
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    run(&broker, "objects create object echo --max-calls 100 --serial").ok();
    assert!(run(&broker, "describe echo").ok().contains("nobody has served it yet"));
    let serving = manager.serve("echo", Arc::new(Echo)).capacity(8).start().unwrap();
    let text = run(&broker, "describe echo").ok();
    for part in [
        "An echo.",
        "say(what: string, times: integer = 1) -> string, or Hoarse",
        "  times: how often",
        "count() -> stream of integer",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(text.contains("1 provider, 8 calls at once"), "{text}");
    let [document] = &run(&broker, "describe echo --json").json()[..] else { panic!("one document") };
    let names: Vec<_> = document["methods"].as_array().unwrap().iter().map(|method| method["name"].as_str().unwrap()).collect();
    assert_eq!((&names[..], &document["providers"]), (&["bytes", "count", "say", "take"][..], &json!(1)));
    assert_eq!(document["methods"][2]["parameters"][1]["default"], json!(1));
    serving.stop().unwrap();
    assert!(run(&broker, "describe echo").ok().contains("nobody serves it now"));
    run(&broker, "objects create object echo").fails(7, &["echo"]);
    run(&broker, "queue put jobs --create x").ok();
    assert!(run(&broker, "describe jobs").ok().contains("queue"), "built-in objects too");
}
