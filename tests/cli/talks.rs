//! Channels and topics in pipes and terminals: a line goes out as soon as it came, and what nobody could read is lost by nobody.

use super::{Ran, run, run_args, run_with_input, waiting};
use crate::harness::{Broker, eventually, signal_process};
use bursar::{Manager, Raw, Wait, blocking::block_on};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

/// A command between two pipes.
struct Piped {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Piped {
    /// A line of the shell, split at spaces.
    fn start(broker: &Broker, line: &str) -> Piped {
        let mut command = broker.cli(&line.split(' ').collect::<Vec<_>>());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Piped { child, stdin, stdout }
    }

    fn say(&mut self, line: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Its reader has seen enough.
    fn close_stdout(&mut self) {
        drop(self.stdout.take());
    }

    /// Waits until it ends by itself, though its stdin goes on.
    fn ended(mut self) -> Ran {
        eventually("it ends", || self.child.try_wait().unwrap().is_some());
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.map(|mut rest| rest.read_to_string(&mut stdout).unwrap());
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Ran { code: self.child.wait().unwrap().code().unwrap_or(-1), stdout, stderr }
    }
}

fn figure(broker: &Broker, channel: &str, end: &str, figure: &str) -> u64 {
    run(broker, &format!("channel stats {channel} --json")).json()[0][end][figure].as_u64().unwrap()
}

#[test]
fn a_line_goes_from_pipe_to_pipe_as_soon_as_it_came() {
    let broker = Broker::start();
    for (from, at) in [("a", "b"), ("b", "a")] {
        let talk = format!("talk-{from}");
        let mut receives = Piped::start(&broker, &format!("channel receive {talk} --at {at} --create"));
        let mut sends = Piped::start(&broker, &format!("channel send {talk} --from {from} --create --close"));
        for line in ["one", "", "two words"] {
            sends.say(line);
            assert_eq!(receives.line(), format!("{line}\n"), "before anything follows");
        }
        drop(sends.stdin.take());
        assert_eq!(sends.ended().ok(), "sent 3 messages\n");
        assert_eq!(receives.ended().ok(), "", "the end that sends is closed, and that is the end");
    }
}

#[test]
fn messages_of_a_file_are_received_in_order_and_as_they_were() {
    let broker = Broker::start();
    run(&broker, "objects create channel talk --max-messages 5000").ok();
    let lines: String = (0..3_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(run_with_input(&broker, "channel send talk --from a", lines.as_bytes()).ok(), "sent 3000 messages\n");
    assert_eq!(run(&broker, "channel receive talk --at b --wait 0").ok(), lines);
    assert_eq!(run_with_input(&broker, "channel send talk --from a - -0", b"two\nlines\0").ok(), "sent message 3001\n");
    assert_eq!(run_with_input(&broker, "channel send talk --from a --whole", b"\xff\n").ok(), "sent message 3002\n");
    run_args(&broker, &["channel", "send", "talk", "--from", "a", "--json-messages", r#"{"n": 7}"#, "--header", "kind=x"]).ok();
    assert_eq!(run(&broker, "channel receive talk --at b -n 1 -0").ok(), "two\nlines\0");
    let rest = run(&broker, "channel receive talk --at b -n 2 --json").json();
    assert_eq!((&rest[0]["base64"], &rest[0]["redelivered"]), (&json!("/wo="), &json!(false)));
    assert_eq!((&rest[1]["value"], &rest[1]["headers"]), (&json!({"n": 7}), &json!({"kind": "x"})));
    assert_eq!([figure(&broker, "talk", "b", "received"), figure(&broker, "talk", "b", "waiting")], [3_003, 0]);
}

/// A message larger than a pipe: it cannot have been written before its reader was gone.
#[test]
fn what_could_not_be_written_goes_to_the_next_receiver() {
    let broker = Broker::start();
    run(&broker, "objects create topic news --overload block").ok();
    run(&broker, "topic subscribe news --group g --wait 0").fails(5, &["has no message"]);
    let large = "x".repeat(1 << 20);
    run_with_input(&broker, "channel send talk --from a --create", large.as_bytes()).ok();
    run_with_input(&broker, "topic publish news a", large.as_bytes()).ok();
    let receivers = [
        "channel receive talk --at b --wait 1m",
        "channel receive talk --at b --wait 1m --passive",
        "topic subscribe news --group g --wait 1m --json",
    ];
    for line in receivers {
        let mut receives = Piped::start(&broker, line);
        receives.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        receives.close_stdout();
        assert_eq!(receives.ended().ok(), "", "{line}");
    }
    for line in ["channel receive talk --at b -n 1 --wait 0 --json", "topic subscribe news --group g -n 1 --wait 0 --json"] {
        let again = run(&broker, line).json().remove(0);
        assert_eq!((again["value"].as_str(), &again["redelivered"]), (Some(large.as_str()), &json!(true)));
    }
    run(&broker, "channel receive talk --at b --wait 0").fails(5, &["no message"]);
}

/// As behind `| head -1`: the next message may be long in coming, and is not theirs.
#[test]
fn who_prints_for_nobody_ends_though_nothing_comes() {
    let broker = Broker::start();
    run(&broker, "objects create topic news --overload block").ok();
    run(&broker, "kv put settings color red --create").ok();
    run(&broker, "channel send talk --from a first --create").ok();
    let waits = [
        ("talk", "channel receive talk --at b"),
        ("talk", "channel receive talk --at b --passive"),
        ("talk", "channel chat talk --at b"),
        ("news", "topic subscribe news"),
        ("settings", "kv watch settings --values"),
    ];
    for (object, line) in waits {
        let mut prints = Piped::start(&broker, line);
        if line == "channel receive talk --at b" {
            assert_eq!(prints.line(), "first\n");
        }
        if object != "settings" {
            eventually("it waits", || waiting(&broker, object) == 1);
        }
        prints.close_stdout();
        assert_eq!(prints.ended().ok(), "", "{line}");
    }
    run(&broker, "channel send talk --from a second").ok();
    let second = run(&broker, "channel receive talk --at b --wait 0 --json").json();
    assert_eq!((&second[0]["value"], &second[0]["redelivered"]), (&json!("second"), &json!(false)));
    assert_eq!(second.len(), 1, "the first one was printed, and is done with");
}

#[test]
fn an_interrupted_receiver_takes_nothing_with_it() {
    let broker = Broker::start();
    run(&broker, "objects create topic news --overload block").ok();
    run(&broker, "objects create channel talk").ok();
    let waits = [("talk", "channel receive talk --at b"), ("talk", "channel chat talk --at b"), ("news", "topic subscribe news")];
    for ((object, line), signal) in waits.into_iter().flat_map(|wait| [(wait, Signal::INT), (wait, Signal::TERM)]) {
        let receives = Piped::start(&broker, line);
        eventually("it waits", || waiting(&broker, object) == 1);
        let (why, who) = (run(&broker, &format!("why {object}")).ok(), line.split(" --").next().unwrap());
        assert!(why.contains(&format!("; 1 waits, \"bursar {who}\" (pid {})", receives.child.id())), "{why}");
        signal_process(receives.child.id(), signal);
        receives.ended().fails(130, &["bursar: interrupted"]);
    }
    run(&broker, "channel send talk --from a hello").ok();
    assert_eq!(
        run(&broker, "why talk").ok(),
        "talk (channel) has 0 messages waiting and 0 receivers at end a, 1 message waiting and 0 receivers at end b; nobody waits\n"
    );
    assert_eq!(run(&broker, "channel receive talk --at b -n 1 --wait 0").ok(), "hello\n");
}

#[test]
fn who_is_passive_gets_what_its_headers_let_through() {
    let broker = Broker::start();
    let mut logs = Piped::start(&broker, "channel receive talk --at b --create --passive --header kind=log -n 2 --json");
    eventually("it is there", || run(&broker, "channel stats talk --json").stdout.contains(r#""passive":1"#));
    run(&broker, "channel send talk --from a other --header kind=other").ok();
    run(&broker, "channel send talk --from a one two --header kind=log --header more=yes").ok();
    assert_eq!([logs.json()["value"].clone(), logs.json()["value"].clone()], ["one", "two"]);
    assert_eq!(logs.ended().ok(), "");
    assert_eq!(run(&broker, "channel receive talk --at b --wait 0").ok(), "other\n", "what nobody took waits");
    run(&broker, "channel receive talk --at b --passive --wait 1ms").fails(5, &["channel.receive \"talk\": timed out"]);
    run(&broker, "channel receive talk --at b --passive --wait 0").fails(2, &["--passive is told what comes", "--wait"]);
}

#[test]
fn two_chat_until_one_closes_its_end() {
    let broker = Broker::start();
    let mut one = Piped::start(&broker, "channel chat talk --at a --create --close");
    let mut other = Piped::start(&broker, "channel chat talk --at b --create --json");
    one.say("hello");
    let hello = other.json();
    assert_eq!((&hello["value"], &hello["expects_answer"]), (&json!("hello"), &json!(false)));
    other.say("good morning");
    assert_eq!(one.line(), "good morning\n");
    one.say("bye");
    drop(one.stdin.take());
    assert_eq!(one.ended().ok(), "");
    assert_eq!(other.json()["value"], "bye");
    assert_eq!(other.ended().ok(), "", "it ends though its stdin goes on");
}

#[test]
fn a_question_is_answered_or_refused_at_once() {
    let broker = Broker::start();
    run(&broker, "objects create channel sums").ok();
    run(&broker, "objects create topic news --overload block").ok();
    run(&broker, "channel ask sums --from a 7").fails(5, &["nobody listens"]);
    run(&broker, "topic ask news a.b 7").fails(5, &["nobody listens"]);
    block_on(async {
        let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
        let end = manager.channel::<u64>("sums").open().await.unwrap().b();
        let plus_one = end.listener().on_receive_async(async |question| question.reply(*question + 1).await).await.unwrap();
        assert_eq!(run(&broker, "channel ask sums --from a 7 --json-value").ok(), "8\n");
        plus_one.close().await.unwrap();
        let count = end.listener().on_receive_async(async |question| {
            let replies = question.replies()?;
            replies.send_all(0..*question).await?;
            replies.finish().await
        });
        let count = count.await.unwrap();
        let answers = run(&broker, "channel ask sums --from a 3 --json-value --all --json --wait 30s").json();
        assert_eq!(answers.iter().map(|answer| answer["value"].clone()).collect::<Value>(), json!([0, 1, 2]));
        count.close().await.unwrap();

        let topic = manager.raw_topic("news").open().await.unwrap();
        let echo = topic.subscribe().on_receive_async(async |question| question.reply(Raw::from("here")).await).await.unwrap();
        assert_eq!(run(&broker, "topic ask news who.is who --all").ok(), "here\n");
        echo.close().await.unwrap();
        let mut silent = topic.subscribe().start().await.unwrap();
        run(&broker, "topic ask news who.is who --wait 1ms").fails(5, &["timed out"]);
        assert!(silent.next_within(Wait::Never).await.unwrap().message().unwrap().expects_answer());
    });
}

#[test]
fn what_must_be_heard_is_not_kept_for_later() {
    let broker = Broker::start();
    run(&broker, "objects create topic news --overload block").ok();
    run(&broker, "channel send talk --from a hello --must-be-heard --create").fails(5, &["nobody listens"]);
    run(&broker, "topic publish news a.b hello --must-be-heard").fails(5, &["nobody listens"]);
    assert_eq!(figure(&broker, "talk", "b", "waiting"), 0);
    let mut receives = Piped::start(&broker, "channel receive talk --at b");
    eventually("it waits", || waiting(&broker, "talk") == 1);
    assert_eq!(run(&broker, "channel send talk --from a hello --must-be-heard").ok(), "sent message 1\n");
    assert_eq!(receives.line(), "hello\n");
    receives.close_stdout();
    assert_eq!(receives.ended().ok(), "");
}

#[test]
fn a_closed_or_full_channel_says_so_and_has_what_fitted() {
    let broker = Broker::start();
    run(&broker, "channel send talk --from a x").fails(6, &["no object is named \"talk\""]);
    run(&broker, "objects create channel talk --max-messages 2").ok();
    run(&broker, "channel send talk --from a x y z --wait 0").fails(5, &["2 messages were sent, others not", "--wait"]);
    run_args(&broker, &["channel", "send", "talk", "--from", "b", "1", "{", "--json-messages", "--wait", "0"])
        .fails(2, &["1 messages were sent", "expected JSON, found \"{\""]);
    let described = run(&broker, "channel stats talk").ok();
    let rows: Vec<Vec<&str>> = described.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[..4], [["FIGURE", "A", "B"], ["closed", "false", "false"], ["waiting", "1", "2"], ["given", "0", "0"]]);
    assert_eq!(run(&broker, "channel close talk --at a").ok(), "closed end a of talk, 1 messages for it dropped\n");
    run(&broker, "channel send talk --from b x").fails(7, &["end a of the channel is closed"]);
    let short = run(&broker, "channel receive talk --at b -n 3");
    assert_eq!((short.code, short.stdout.as_str()), (7, "x\ny\n"), "two of three, and then the end: {}", short.stderr);
    for line in ["channel receive talk --at b", "channel receive talk --at a", "channel receive talk --at a --passive"] {
        assert_eq!(run(&broker, line).ok(), "", "{line}: nothing more will come");
    }
    run(&broker, "channel receive talk --at a --passive -n 1").fails(7, &["end a of the channel is closed"]);
    assert!(run(&broker, "why talk").ok().starts_with("talk (channel) has its end a closed, 0 messages waiting"));
    run(&broker, "topic subscribe talk").fails(7, &["kind is channel"]);
}

#[test]
fn subscribers_get_what_their_subjects_and_headers_say() {
    let broker = Broker::start();
    run(&broker, "topic publish news a.b x").fails(6, &["no object is named \"news\""]);
    run(&broker, "objects create topic news --overload drop-oldest --keep-messages 4").ok();
    let mut weather = Piped::start(&broker, "topic subscribe news --subject weather.* --subject sport.> --show-subject");
    eventually("it waits", || waiting(&broker, "news") == 1);
    assert_eq!(run(&broker, "topic publish news weather.berlin rain").ok(), "published message 1, to 1 subscribers\n");
    assert_eq!(run(&broker, "topic publish news weather.a.b no").ok(), "published message 2, to 0 subscribers\n");
    assert_eq!(run_with_input(&broker, "topic publish news sport.a.b", b"1:0\n2:0").ok(), "published 2 messages\n");
    run(&broker, "topic publish news other x --header k=v").ok();
    assert_eq!([weather.line(), weather.line(), weather.line()], ["weather.berlin rain\n", "sport.a.b 1:0\n", "sport.a.b 2:0\n"]);
    weather.close_stdout();
    assert_eq!(weather.ended().ok(), "");

    assert_eq!(run(&broker, "topic subscribe news --last 2 --wait 0 --show-subject").ok(), "sport.a.b 2:0\nother x\n");
    assert_eq!(run(&broker, "topic subscribe news --header k=v --last 9 --wait 0").ok(), "x\n");
    let after = run(&broker, "topic subscribe news --after 4 -n 1 --json").json().remove(0);
    assert_eq!((&after["subject"], &after["position"], &after["headers"]), (&json!("other"), &json!(5), &json!({"k": "v"})));
    let published = run(&broker, "topic publish news a 1 2 --json").json().remove(0);
    assert_eq!(published, json!({"published": 2, "position": 7, "receivers": 0}));
    run(&broker, "topic subscribe news --wait 0").fails(5, &["topic.next \"news\": timed out"]);
    run(&broker, "topic subscribe news --subject a..b").fails(2, &["expected words with single dots"]);
    run(&broker, "topic publish news a.* x").fails(2, &["which stand in patterns only"]);
}

#[test]
fn a_group_shares_and_is_told_what_it_missed() {
    let broker = Broker::start();
    run(&broker, "objects create topic news --overload drop-oldest --buffer-messages 2").ok();
    run(&broker, "topic subscribe news --group g --wait 0").fails(5, &["has no message"]);
    let publish = |messages: &str| run(&broker, &format!("topic publish news a {messages}")).ok();
    publish("1 2 3 4");
    let ran = run(&broker, "topic subscribe news --group g --wait 0");
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "3\n4\n", "bursar: missed 2 messages\n"));
    publish("5 6 7");
    let events = run(&broker, "topic subscribe news --group g --wait 0 --json").json();
    assert_eq!(events.iter().map(|event| event["value"].clone()).collect::<Vec<_>>(), [Value::Null, json!("6"), json!("7")]);
    assert_eq!(events[0], json!({"missed": 1}), "in its place");
    publish("8");
    assert_eq!(run(&broker, "topic subscribe news --group g -n 1").ok(), "8\n");

    let stats = run(&broker, "topic stats news --json").json().remove(0);
    assert_eq!((&stats["position"], &stats["missed"], &stats["behind"][0]["group"]), (&json!(8), &json!(3), &json!("g")));
    let table = run(&broker, "topic stats news").ok();
    assert!(table.contains("WHO") && table.lines().last().unwrap().starts_with("group g of 0  >"), "{table}");
    let why = run(&broker, "why news").ok();
    let sentence =
        "news (topic) has 0 subscriptions and 1 group, 0 messages buffered for them and 3 missed by them; nobody waits\n";
    assert_eq!(why, sentence);
    run(&broker, "topic subscribe news --group g --subject a").fails(7, &["subjects"]);
    assert_eq!(run(&broker, "topic delete-group news g").ok(), "deleted group g of news\n");
    run(&broker, "topic delete-group news g").fails(6, &["no group \"g\"", "bursar topic stats news"]);
}

#[test]
fn a_subscription_that_is_too_slow_ends_where_the_topic_says_so() {
    let broker = Broker::start();
    run(&broker, "objects create topic news --overload disconnect --buffer-messages 1").ok();
    run(&broker, "topic subscribe news --group g --wait 0").fails(5, &["has no message"]);
    run(&broker, "topic publish news a 1 2 3").ok();
    run(&broker, "topic subscribe news --group g").fails(8, &["topic.next \"news\""]);
}
