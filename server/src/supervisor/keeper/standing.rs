//! What goes on beside a process as long as its description stays: listening to its workers, counting them by their queue, watching its files.

use super::{Kept, directory};
use crate::supervisor::{
    changes::Changes,
    channels,
    lag::Scaler,
    ledger::{Facts, Ledger},
    order::Step,
    words,
};
use bursar::processes::{Spec, Watch, Workers};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// How often one looks how long a queue is: what comes of it takes longer.
const SCALE: Duration = Duration::from_secs(1);

/// All of it, as tasks.
pub fn begin(kept: &Arc<Kept>, spec: &Spec, tasks: &mut JoinSet<()>) {
    tasks.spawn(channels::listen(kept.clone()));
    if let Workers::Lag { min, max, queue, target_lag_ms } = spec.workers.clone() {
        tasks.spawn(scale(kept.clone(), queue, Scaler::new(min, max, target_lag_ms)));
    }
    if let Some(watch) = spec.watch.clone() {
        tasks.spawn(restart_by_files(
            kept.clone(),
            watch,
            spec.log.as_ref().map(|log| log.path.clone()),
            directory(spec).to_owned(),
        ));
    }
}

/// As many workers as the queue needs.
async fn scale(kept: Arc<Kept>, queue: String, mut scaler: Scaler) {
    let Ledger { world, .. } = &*kept.ledger;
    loop {
        world.clock.sleep(SCALE).await;
        let stats = async { world.manager.raw_queue(&queue).open().await?.stats().await };
        // It may not be there yet, or be something else.
        let Ok(stats) =
            stats.await.inspect_err(|error| tracing::debug!(process = kept.ledger.name, %error, "no queue to scale by"))
        else {
            continue;
        };
        let workers = kept.ledger.look(Facts::worker_count);
        let oldest_ms = stats.oldest.as_millis() as u64;
        let wanted = scaler.wanted(world.clock.now().0, oldest_ms, stats.ready, workers);
        if wanted != workers {
            let text = format!(
                "{wanted} workers instead of {workers}: {} items of {queue} wait, the first for {}",
                stats.ready,
                words::duration(oldest_ms)
            );
            kept.ledger.say(None, "scaled", text);
            kept.ledger.write(|facts| (facts.scaled, facts.goal.version) = (Some(wanted), facts.goal.version + 1));
        }
    }
}

async fn restart_by_files(kept: Arc<Kept>, watch: Watch, log: Option<String>, directory: PathBuf) {
    let mut changes = match Changes::watch(&watch, log.as_deref(), &directory) {
        Ok(changes) => changes,
        Err(problem) => return kept.ledger.say(None, "changed", format!("its files cannot be watched: {problem}")),
    };
    loop {
        let changed = changes.next().await;
        let first = changed.first().map(|path| path.display().to_string()).unwrap_or_default();
        let more = if changed.len() > 1 { format!(" and {} more", changed.len() - 1) } else { String::new() };
        kept.ledger.say(None, "changed", format!("{first}{more}: it is restarted"));
        kept.ledger.obey(Step::Restart(None));
    }
}
