//! `bursar lock` and `bursar rwlock`: a command runs while the lock is held.

use super::{Client, HandedOver, Interrupts, Signals, acquired, child, failure::Failure, name};
use crate::config;
use bursar::{Fence, Lock, Manager, RwLock};
use bursar_proto::Wait;

/// Hold a lock while a command runs
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    client: Client,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    Run(Run),
}

/// Acquire the lock, run a command, release the lock
///
/// The command has BURSAR_FENCE=NAME:TOKEN and BURSAR_TOKEN=TOKEN in its environment: changes with --fence "$BURSAR_FENCE" are refused
/// when the lock has gone on to somebody else. The exit code is the command's (128 + n: it was killed by signal n).
///
/// When the lock is lost with the session, every process of the command gets SIGTERM, those that are still there after --grace get
/// SIGKILL, and the exit code is 8. Its processes are the members of its process group and all that descend from it; not found is
/// one whose parents had ended before and which is in another group, as a daemon is. With a terminal as stdin, the command is in the
/// group of `bursar lock run`, and this holds for everything whose parents had ended before.
///
/// SIGINT, SIGTERM, SIGQUIT and SIGHUP are passed on to the command. Ctrl-Z stops it too; when it is continued and the lock was lost
/// meanwhile, it is told to end. The lock is released when the command itself ends: what it leaves running is not protected. If
/// `bursar lock run` is killed by SIGKILL or stopped by SIGSTOP, the lock goes on and the command does not notice: fence what must
/// not happen then.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  bursar lock run deploy --create -- ./deploy.sh
  bursar lock run nightly --wait 0 -- ./backup || echo somebody else is at it
  bursar lock run leader -- sh -c 'bursar kv put state leader \"$(hostname)\" --fence \"$BURSAR_FENCE\"'")]
struct Run {
    /// The lock
    #[arg(value_parser = name)]
    name: String,
    /// How long to wait for the lock: a duration, 0 or forever
    #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
    wait: Wait,
    /// Make the lock if it does not exist
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    run: child::Args,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { client, verb: Verb::Run(args) } = args;
    let signals = HandedOver::default();
    super::session(&client, Signals::Own(&signals), async |manager, _| {
        let mut interrupts = signals.take();
        let lock = acquired(&mut interrupts, open(manager, &args.name, args.create)).await?;
        let guard = acquired(&mut interrupts, lock.acquire_within(args.wait)).await?;
        let ran = args.run.run(&client, &variables(guard.fence()), &mut interrupts, guard.lost(), || guard.valid_until()).await;
        child::give_back(ran, guard.release()).await.map_err(|failure| failure.context(format!("lock run {}", args.name)))
    })
}

async fn open(manager: &Manager, name: &str, create: bool) -> Result<Lock, Failure> {
    super::open(create, async |create| match create {
        true => manager.lock(name).open_or_create().await,
        false => manager.lock(name).open().await,
    })
    .await
}

fn variables(fence: Fence) -> [(&'static str, String); 2] {
    [("BURSAR_FENCE", fence.to_string()), ("BURSAR_TOKEN", fence.token().to_string())]
}

/// The lock for many readers or one writer.
pub mod rw {
    use super::*;

    /// Hold a lock for many readers or one writer while a command runs
    #[derive(clap::Args, Debug)]
    pub struct Args {
        #[command(flatten)]
        client: Client,
        #[command(subcommand)]
        verb: Verb,
    }

    #[derive(clap::Subcommand, Debug)]
    enum Verb {
        Run(Run),
    }

    /// Acquire the lock to read or to write, run a command, release the lock
    ///
    /// As `bursar lock run`. With --read others may read at the same time, and there is no BURSAR_FENCE.
    #[derive(clap::Args, Debug)]
    #[command(after_help = "\
Examples:
  bursar rwlock run catalog --read --create -- ./report
  bursar rwlock run catalog --write --wait 1m -- ./rebuild")]
    #[group(id = "mode", required = true, multiple = false, args = ["read", "write"])]
    struct Run {
        /// The lock
        #[arg(value_parser = name)]
        name: String,
        /// Hold it to read: beside others who read
        #[arg(long)]
        read: bool,
        /// Hold it to write: alone
        #[arg(long)]
        write: bool,
        /// How long to wait for the lock: a duration, 0 or forever
        #[arg(long, value_name = "DURATION", value_parser = config::wait, default_value = "forever")]
        wait: Wait,
        /// Make the lock if it does not exist
        #[arg(long)]
        create: bool,
        #[command(flatten)]
        run: child::Args,
    }

    pub fn run(args: Args) -> Result<(), Failure> {
        let Args { client, verb: Verb::Run(args) } = args;
        let signals = HandedOver::default();
        super::super::session(&client, Signals::Own(&signals), async |manager, _| {
            let mut interrupts = signals.take();
            let lock = acquired(&mut interrupts, open(manager, &args.name, args.create)).await?;
            let ran = match args.write {
                true => args.writing(&client, &lock, &mut interrupts).await,
                false => args.reading(&client, &lock, &mut interrupts).await,
            };
            ran.map_err(|failure| failure.context(format!("rwlock run {}", args.name)))
        })
    }

    async fn open(manager: &Manager, name: &str, create: bool) -> Result<RwLock, Failure> {
        super::super::open(create, async |create| match create {
            true => manager.rwlock(name).open_or_create().await,
            false => manager.rwlock(name).open().await,
        })
        .await
    }

    impl Run {
        async fn writing(&self, client: &Client, lock: &RwLock, interrupts: &mut Interrupts) -> Result<(), Failure> {
            let guard = acquired(interrupts, lock.write_within(self.wait)).await?;
            let ran = self.run.run(client, &variables(guard.fence()), interrupts, guard.lost(), || guard.valid_until()).await;
            child::give_back(ran, guard.release()).await
        }

        async fn reading(&self, client: &Client, lock: &RwLock, interrupts: &mut Interrupts) -> Result<(), Failure> {
            let guard = acquired(interrupts, lock.read_within(self.wait)).await?;
            let token = [("BURSAR_TOKEN", guard.token().to_string())];
            let ran = self.run.run(client, &token, interrupts, guard.lost(), || guard.valid_until()).await;
            child::give_back(ran, guard.release()).await
        }
    }
}
