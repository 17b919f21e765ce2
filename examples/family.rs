//! One program that is everything: the broker, the parent, and the child, which is the program itself at another entry point. The broker
//! within it starts the child, replaces it when it asks for that, and stops it.
//!
//! ```text
//!            ┌── "child-passive" ── on_receive ──┐
//!   parent ──┤                                   ├──► child, worker 0
//!            └── "child-active" ───── receive ───┘
//!   supervisor ◄── "child-control": restart ───── child
//!   supervisor ─── "child-control": stop ──────► child
//! ```
//!
//! ```text
//! cargo run --release -p bursar-examples --bin family
//! cargo run --release -p bursar-examples --bin family -- --rounds 100 --every-ms 10
//! ```

use bursar::{
    Address, AuthKey, End, Manager, Received, Wait,
    processes::{Check, Probe, Processes, Spec, Stop, ThisWorker, Until},
};
use bursar_examples::{Outcome, ending};
use bursar_server::{
    Broker,
    config::Config,
    processes::{self, HookContext, Turn, enter, entry},
};
use clap::Parser;
use serde::{Deserialize, Serialize};
use std::{process::ExitCode, time::Duration};
use tokio::{
    runtime,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// Start a child at an entry point of this program, talk with it, and stop it
#[derive(Parser)]
struct Args {
    /// How many times something is sent on both channels
    #[arg(long, default_value_t = 6)]
    rounds: u64,
    /// How many milliseconds lie between
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    every_ms: u64,
    /// In which round the child asks to be replaced
    #[arg(long, default_value_t = 3)]
    restart_in: u64,
}

/// What goes through the channels, in either direction.
#[derive(Serialize, Deserialize)]
enum Talk {
    Question(u64),
    Answer { round: u64, pid: u32 },
}

const CHILD: &str = "child";

fn main() -> ExitCode {
    enter(&[(CHILD, child)]); // first of all: the child, and who looks after it, are this program
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be started");
    ending("family", runtime.block_on(parent(&Args::parse())))
}

/// The parent: a broker without anything outside of this program, its child, and a talk with it.
async fn parent(args: &Args) -> Outcome {
    let directory = tempfile::tempdir()?;
    let key = AuthKey::generate(directory.path().join("authkey"))?;
    let listen = vec![Address::Unix(directory.path().join("bursar.sock"))];
    let broker = Broker::builder()
        .config(Config { listen, ..Config::default() })
        .key(key.clone())
        .process(describe(args))
        .hook(CHILD, Turn::BeforeStop, told)
        .hook(CHILD, Turn::BeforeRestart, told)
        .hook(CHILD, Turn::AfterRestart, told)
        .start()
        .await?;
    let manager = broker.manager(key).await?;
    let processes = manager.processes();
    println!("parent: before its start the child is alive: {}", processes.is_alive(CHILD).await?);
    processes.start(CHILD).await?;
    processes.wait(CHILD, Until::Ready, Wait::Forever).await?;
    talk(&processes, args).await?;
    processes.wait(CHILD, Until::Settled, Wait::Forever).await?;
    processes.terminate(CHILD).await?;
    println!("parent: after its end the child is alive: {}", processes.is_alive(CHILD).await?);
    manager.close().await;
    broker.stop().await?;
    Ok(())
}

/// It is up when it has a session, is asked to stop before it is told by a signal, and has two seconds for that.
fn describe(args: &Args) -> Spec {
    Spec {
        autostart: false,
        startup: Some(Check { probe: Probe::Session, ..Check::default() }),
        stop: Stop { ask_ms: Some(2000), ..Stop::default() },
        ..entry(CHILD, CHILD, [args.restart_in.to_string()])
    }
}

async fn told(HookContext { process, turn, .. }: HookContext) -> Result<(), String> {
    match turn {
        Turn::BeforeStop => println!("hook: the {process} is about to stop"),
        Turn::BeforeRestart => println!("hook: the {process} is about to be replaced"),
        _ => println!("hook: the {process} was replaced"),
    }
    Ok(())
}

/// Sends on both channels, and waits for both answers, round by round.
async fn talk(processes: &Processes, args: &Args) -> Outcome {
    let passive: End<Talk> = processes.passive(CHILD).await?;
    let mut active: End<Talk> = processes.active(CHILD).await?;
    let (heard, mut answers) = unbounded_channel();
    let _subscription = passive.on_receive(|_| true, move |talk| hear(talk, &heard)).await?;
    let mut clock = tokio::time::interval(Duration::from_millis(args.every_ms.max(1)));
    for round in 1..=args.rounds {
        clock.tick().await;
        passive.send(Talk::Question(round)).await?;
        active.send(Talk::Question(round)).await?;
        let by_callback = answer_to(round, &mut answers).await?;
        let by_receiving = loop {
            match active.receive().await? {
                Talk::Answer { round: answered, pid } if answered == round => break pid,
                _ => {}
            }
        };
        println!("parent: round {round} was handled by callback in {by_callback}, and by receiving in {by_receiving}");
    }
    Ok(())
}

/// While the child is being replaced, both have a callback, and both answer.
async fn answer_to(round: u64, answers: &mut UnboundedReceiver<(u64, u32)>) -> Outcome<u32> {
    loop {
        match answers.recv().await.ok_or("the callback is gone")? {
            (answered, pid) if answered == round => return Ok(pid),
            _ => {}
        }
    }
}

fn hear(talk: &Received<Talk>, heard: &UnboundedSender<(u64, u32)>) -> Result<(), String> {
    match talk.value() {
        Talk::Answer { round, pid } => heard.send((*round, *pid)).map_err(|error| error.to_string()),
        Talk::Question(_) => Ok(()),
    }
}

/// The child. Where the broker is, and who this is, stand in its environment.
fn child(arguments: Vec<String>) -> processes::Outcome {
    let restart_in = arguments.first().ok_or("expected the round in which to ask for a restart")?.parse()?;
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(answer(restart_in))
}

async fn answer(restart_in: u64) -> processes::Outcome {
    let manager = Manager::from_env().await?;
    let worker = ThisWorker::from_env(&manager).await?;
    let (passive, mut active) = (worker.passive::<Talk>().await?, worker.active::<Talk>().await?);
    let back = passive.clone();
    let _subscription =
        passive.listener().on_receive_async(move |talk: Received<Talk>| reply(talk.into_value(), back.clone())).await?;
    loop {
        tokio::select! {
            talk = active.receive() => {
                let talk = talk?;
                // Its successor is there before this one is asked to stop.
                if matches!(talk, Talk::Question(round) if round == restart_in) {
                    worker.restart().await?;
                }
                reply(talk, active.clone()).await?;
            }
            () = worker.stopping() => break,
        }
    }
    manager.close().await;
    Ok(())
}

async fn reply(talk: Talk, back: End<Talk>) -> bursar::Result<()> {
    match talk {
        Talk::Question(round) => back.send(Talk::Answer { round, pid: std::process::id() }).await.map(drop),
        Talk::Answer { .. } => Ok(()),
    }
}
