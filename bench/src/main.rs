//! `bursar-bench`: bursar beside what one would otherwise use, on the same work, in one run.
//!
//! ```text
//! cargo run --profile dist -p bursar-bench
//! cargo run --profile dist -p bursar-bench -- --only round --rounds 9
//! cargo run -p bursar-bench -- --quick
//! ```
//!
//! Every server is a process of its own (for bursar: what `bursar serve` runs) on a Unix socket, NATS on TCP. Producers and consumers
//! are threads with a connection each; for the Python manager they are processes. Every figure is the median of several rounds, and
//! within a round every peer takes its turn, because one machine at one moment is the only fair comparison: ratios mean something,
//! absolute figures do not. A peer that is not installed is left out, loudly. Round trips are pinned to one core: what they cost
//! across cores is mostly the waking of a core.

mod fan;
mod measure;
mod peer;
mod peers;
mod server;
mod table;

use clap::Parser;
use measure::{MEASURES, Measure};
use peer::{Kind, Outcome, Peer};
use server::Pinned;
use std::{process::ExitCode, time::Duration};
use table::Figures;

/// Measure bursar beside other brokers
#[derive(Parser)]
struct Args {
    /// How many rounds count; one more goes ahead of them
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long one peer takes for one measure in one round, about
    #[arg(long, value_name = "MS", default_value_t = 700)]
    turn_ms: u64,
    /// Only measures whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Only peers whose name contains this, and bursar
    #[arg(long, value_name = "TEXT", default_value = "")]
    peers: String,
    /// The size of an item
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    payload: usize,
    /// One round of very little: whether everything works, not how fast
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    // The servers that are not installed programs are this program in another role.
    match std::env::args().nth(1).as_deref() {
        Some("serve") => return bursar_server::cli::run(),
        Some(peers::calls::PROVIDER) => return ended(peers::calls::provide()),
        Some(peers::calls::EMBEDDING) => return ended(peers::calls::embed()),
        Some(peers::echo::ROLE) => return ended(peers::echo::serve()),
        _ => {}
    }
    ended(run(&Args::parse()))
}

fn ended(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bursar-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome {
    let turn = Duration::from_millis(if args.quick { 5 } else { args.turn_ms });
    let rounds = if args.quick { 1 } else { args.rounds.max(1) };
    let part = if args.quick { 20 } else { 1 };
    let kinds = installed(args);
    let measures: Vec<_> = MEASURES.iter().filter(|measure| measure.name.contains(&args.only)).collect();
    if measures.is_empty() {
        let names: Vec<_> = MEASURES.iter().map(|measure| format!("  {}", measure.name)).collect();
        return Err(format!("no measure's name contains {:?}; there are:\n{}", args.only, names.join("\n")).into());
    }
    for measure in measures {
        let figures = take(measure, &kinds, args.payload, turn, rounds, part)?;
        table::print(measure, &figures, rounds);
    }
    Ok(())
}

fn installed(args: &Args) -> Vec<Kind> {
    let wanted = Kind::ALL.into_iter().filter(|kind| *kind == Kind::Bursar || kind.name().contains(&args.peers));
    let (there, missing): (Vec<_>, Vec<_>) = wanted.partition(|kind| kind.is_installed());
    for kind in missing {
        eprintln!("MISSING: {} is left out: {}", kind.name(), kind.how_to_install());
    }
    there
}

/// One measure of every peer that can do it, of which the smallest size is divided by `part`.
fn take(measure: &Measure, kinds: &[Kind], payload: usize, turn: Duration, rounds: usize, part: u64) -> Outcome<Vec<Figures>> {
    let _pinned = measure.is_pinned.then(Pinned::to_one_core).transpose()?;
    let mut contenders = Vec::new();
    for kind in kinds.iter().filter(|kind| (measure.can)(**kind)) {
        contenders.push((kind.start(payload)?, Figures::new(*kind), measure.least / part));
    }
    let rounds = if measure.is_once { 0 } else { rounds };
    for round in 0..=rounds {
        for (peer, figures, size) in &mut contenders {
            let (figure, took) = measured(measure, &mut **peer, *size)?;
            // The first round warms up, and says how much fills a turn.
            if round == 0 {
                let fits = *size as f64 * turn.as_secs_f64() / took.as_secs_f64().max(1e-6);
                *size = (fits as u64).clamp(measure.least / part, measure.most);
            }
            if round > 0 || rounds == 0 {
                figures.add(figure);
            }
        }
    }
    Ok(contenders.into_iter().map(|(_, figures, _)| figures).collect())
}

fn measured(measure: &Measure, peer: &mut dyn Peer, size: u64) -> Outcome<(f64, Duration)> {
    let start = std::time::Instant::now();
    let figure = (measure.run)(peer, size).map_err(|error| format!("{}, {}: {error}", measure.name, peer.kind().name()))?;
    Ok((figure, start.elapsed()))
}
