//! Two processes that talk: the main one starts a child, hands it its ends of two channels, and sends on both every so often. The child
//! handles the one by callback and the other by asking for the next message; what it answers comes back on the same channels.
//!
//! ```text
//!           ┌── "passive" ── on_receive ──┐
//!   main ◄──┤                             ├──► child
//!           └── "active" ──── receive ────┘
//! ```
//!
//! With the `export` line of a running `bursar serve` pasted into this terminal:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin talk
//! cargo run --release -p bursar-examples --bin talk -- --rounds 1000 --every-ms 0
//! ```

use bursar::{
    Channel, Fault, Manager, Received, Subscription,
    channel::{End, EndUri},
};
use bursar_examples::{Access, Outcome, ending, once_more};
use clap::Parser;
use serde::{Deserialize, Serialize};
use std::{process::ExitCode, time::Duration};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Send to a child process on a passive and an active channel, and hear its answers
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
    /// How many times something is sent on both channels
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// How many milliseconds lie between
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    every_ms: u64,
    /// Be the child, at these ends of the channels: the passive one, and the active one
    #[arg(long, hide = true, num_args = 2)]
    child: Vec<EndUri>,
}

/// What goes through the channels, in either direction.
#[derive(Serialize, Deserialize)]
enum Talk {
    Question(u64),
    Answer(u64),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ending("talk", run(Args::parse()).await)
}

async fn run(args: Args) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    match &args.child[..] {
        [passive, active] => answer(manager.end(passive).await?, manager.end(active).await?).await?,
        _ => lead(&manager, &args).await?,
    }
    manager.close().await;
    Ok(())
}

/// The main process: has end A of both, and gives end B to its child, as text without a secret in it.
async fn lead(manager: &Manager, args: &Args) -> Outcome {
    let passive: Channel<Talk> = manager.channel(&format!("talk/{}/passive", manager.session_id())).ephemeral().create().await?;
    let active: Channel<Talk> = manager.channel(&format!("talk/{}/active", manager.session_id())).ephemeral().create().await?;
    let uris = [passive.b().uri().to_string(), active.b().uri().to_string()];
    let mut child = once_more(&["--child", &uris[0], &uris[1]])?;
    tokio::select! {
        outcome = ask(passive.a(), active.a(), args) => outcome?,
        status = child.wait() => return Err(format!("the child ended early: {}", status?).into()),
    }
    match child.wait().await?.success() {
        true => Ok(()),
        false => Err("the child has failed".into()),
    }
}

async fn ask(passive: End<Talk>, mut active: End<Talk>, args: &Args) -> Outcome {
    let (_subscription, mut answers) = listen(&passive).await?;
    let mut clock = tokio::time::interval(Duration::from_millis(args.every_ms.max(1)));
    for round in 1..=args.rounds {
        clock.tick().await;
        passive.send(Talk::Question(round)).await?;
        active.send(Talk::Question(round)).await?;
        // The child does both at the same time; which answer comes first is open.
        let answer = answers.recv().await.ok_or("the callback is gone")?;
        println!("main: {answer} was answered on the passive channel");
        if let Talk::Answer(answer) = active.receive().await? {
            println!("main: {answer} was answered on the active channel");
        }
    }
    // Closing drops what still waits for this end: it is done when every answer has come. The child is told.
    passive.close().await?;
    active.close().await?;
    Ok(())
}

/// The numbers of the answers, from a callback.
async fn listen(passive: &End<Talk>) -> Outcome<(Subscription, UnboundedReceiver<u64>)> {
    let (heard, answers) = unbounded_channel();
    let is_answer = |talk: &Talk| matches!(talk, Talk::Answer(_));
    let callback = move |talk: &Received<Talk>| match talk.value() {
        Talk::Answer(number) => heard.send(*number),
        Talk::Question(_) => Ok(()),
    };
    Ok((passive.on_receive(is_answer, callback).await?, answers))
}

/// The child: ends when the other side has closed both channels.
async fn answer(passive: End<Talk>, mut active: End<Talk>) -> Outcome {
    let back = passive.clone();
    let callback = move |talk: Received<Talk>| {
        let back = back.clone();
        async move {
            let Talk::Question(number) = *talk else { return Ok(()) };
            println!("child: {number} came by callback");
            back.send(Talk::Answer(number)).await.map(drop)
        }
    };
    let subscription = passive.listener().on_receive_async(callback).await?;
    loop {
        match active.receive().await {
            Ok(Talk::Question(number)) => {
                println!("child: {number} was received");
                active.send(Talk::Answer(number)).await?;
            }
            Ok(Talk::Answer(_)) => {}
            Err(error) if matches!(error.fault(), Some(Fault::EndClosed { .. })) => break,
            Err(error) => return Err(error.into()),
        }
    }
    subscription.wait().await?; // the passive channel is closed, too
    println!("child: the other side has closed");
    Ok(())
}
