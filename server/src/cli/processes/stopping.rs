//! `bursar down`: all processes stop, and then the broker does.

use super::{Home, failure, lines::who, open};
use crate::{
    cli::{
        self, Client, Signals,
        failure::{Exit, Failure},
        not_in_time,
    },
    config,
};
use bursar::{
    Manager, Wait,
    processes::{Process, SuperviseClient},
};
use bursar_proto::Address;
use futures_util::StreamExt;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt::socket_peercred,
    process::{PidfdFlags, pidfd_open},
};
use serde_json::json;
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};
use tokio::time::{Instant, interval_at, timeout};

/// How often one looks whether the broker is there still: nobody is left who could tell.
const LOOK: Duration = Duration::from_millis(20);
/// What one waits for is told when it takes longer than people do not notice.
pub const TELL: Duration = Duration::from_secs(1);

/// Stop all processes, then the broker that keeps them, and wait until it is gone
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar down\n  bursar down --wait 30s")]
pub struct Args {
    #[command(flatten)]
    home: Home,
    /// How long to wait until it is gone, such as 500ms, 30s, forever
    #[arg(long, default_value = "forever", value_name = "DURATION", value_parser = config::wait)]
    wait: Wait,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let client = args.home.client()?;
    cli::session(&client, Signals::End, async |manager, output| {
        let supervise = open(manager).await?;
        let pid = manager.status().await?.pid;
        let process = process_of(&client, pid);
        supervise.shut_down().await.map_err(failure)?;
        let gone = gone(&client, manager, &supervise, process);
        match args.wait {
            Wait::Forever => gone.await,
            Wait::Never => return output.result(json!({ "stops": pid }), format_args!("the broker (pid {pid}) is to stop")),
            Wait::For(time) => {
                timeout(time, gone).await.map_err(|_| not_in_time("it stops; it was not gone".into()))?;
            }
        }
        output.result(json!({ "stopped": pid }), format_args!("the broker (pid {pid}) has stopped"))
    })
}

/// The broker's own process, if it is on this host and can be seen.
fn process_of(client: &Client, pid: u32) -> Option<OwnedFd> {
    let Ok(Address::Unix(path)) = client.address().parse() else { return None };
    let stream = UnixStream::connect(path).ok()?;
    let peer = socket_peercred(&stream).ok()?.pid;
    // Its number here is another than there where either is in a container; with a socket that was handed over, it is somebody else's.
    let is_it = u32::try_from(peer.as_raw_nonzero().get()) == Ok(pid);
    is_it.then(|| pidfd_open(peer, PidfdFlags::empty()).ok()).flatten()
}

/// Until the broker has ended, telling what it waits for.
async fn gone(client: &Client, manager: &Manager, supervise: &SuperviseClient, process: Option<OwnedFd>) {
    stopped(supervise).await;
    // The broker gives its clients time to finish, and this one has.
    manager.clone().close().await;
    while is_there(client, process.as_ref()).await {
        tokio::time::sleep(LOOK).await;
    }
}

/// Until the supervisor has ended, and with it all that it could tell.
async fn stopped(supervise: &SuperviseClient) {
    let mut activity = supervise.activity(0);
    let mut tick = interval_at(Instant::now() + TELL, TELL);
    let mut told = String::new();
    loop {
        tokio::select! {
            happened = activity.next() => if !matches!(happened, Some(Ok(_))) {
                return;
            },
            _ = tick.tick() => tell(supervise, &mut told).await,
        }
    }
}

/// Says who is waited for, if that is news.
async fn tell(supervise: &SuperviseClient, told: &mut String) {
    let Ok(Ok(processes)) = timeout(TELL, supervise.list(false)).await else { return };
    let up = still_up(&processes);
    if !up.is_empty() && up != *told {
        eprintln!("waiting for {up}");
        *told = up;
    }
}

/// Who runs still: `web/0 (pid 12), db/0 (pid 10)`.
pub fn still_up(processes: &[Process]) -> String {
    let workers = processes.iter().flat_map(|process| process.workers.iter().map(move |worker| (process, worker)));
    let up = workers
        .filter_map(|(process, worker)| worker.pid.map(|pid| format!("{} (pid {pid})", who(&process.name, Some(worker.number)))));
    up.collect::<Vec<_>>().join(", ")
}

async fn is_there(client: &Client, process: Option<&OwnedFd>) -> bool {
    match process {
        Some(process) => {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            !matches!(poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)), Ok(1..))
        }
        None => match client.connect().await {
            Ok(manager) => {
                manager.close().await;
                true
            }
            Err(failure) => failure.exit != Exit::Unreachable,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar::processes::Worker;

    #[test]
    fn who_runs_still_is_named() {
        let workers = vec![Worker { pid: Some(12), ..Worker::default() }, Worker { number: 1, ..Worker::default() }];
        let web = Process { name: "web".into(), workers, ..Process::default() };
        let db =
            Process { name: "db".into(), workers: vec![Worker { pid: Some(10), ..Worker::default() }], ..Process::default() };
        assert_eq!(still_up(&[web, db]), "web/0 (pid 12), db/0 (pid 10)");
        assert_eq!(still_up(&[]), "");
    }
}
