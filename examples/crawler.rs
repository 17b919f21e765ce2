//! The classic use of a transaction: take an item, write its result, enqueue what follows from it, and finish it, all or nothing.
//!
//! A crawl by several processes, some of which are killed with SIGKILL at random moments. In the end every page has been written
//! exactly once, and no link was lost or followed twice. With the `export` line of a running `bursar serve` pasted into this terminal:
//!
//! ```text
//! cargo run --release -p bursar-examples --bin crawler
//! cargo run --release -p bursar-examples --bin crawler -- --pages 5000 --workers 8
//! ```

use bursar::{
    Fault, Kv, Queue,
    kv::{Since, WatchEvent},
};
use bursar_examples::{Access, Outcome, ending, once_more};
use clap::Parser;
use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    process::ExitCode,
    time::Duration,
};
use tokio::process::Child;

/// Crawl a site with worker processes that are killed at random, and prove that nothing is lost or done twice
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    access: Access,
    /// How many pages the site has
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=5000))]
    pages: u64,
    /// How many processes crawl it
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=100))]
    workers: u64,
    /// After how many pages, on average, one of them is killed
    #[arg(long, value_name = "PAGES", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    kill_every: u64,
    /// The crawl that this process works on
    #[arg(long, hide = true)]
    crawl: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.crawl {
        Some(crawl) => work(&args, crawl).await,
        None => crawl(&args).await,
    };
    ending("crawler", outcome)
}

/// The site: page n links to 2n and 2n + 1, so that every page but the first has one link to it.
async fn fetch(page: u64, pages: u64) -> (String, Vec<u64>) {
    tokio::time::sleep(Duration::from_millis(2)).await;
    (format!("page {page}"), [2 * page, 2 * page + 1].into_iter().filter(|link| *link <= pages).collect())
}

async fn work(args: &Args, crawl: &str) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    let frontier: Queue<u64> = manager.queue(&format!("{crawl}/frontier")).open().await?;
    let titles: Kv<String> = manager.kv(&format!("{crawl}/titles")).open().await?;
    loop {
        let page = match frontier.get().await {
            Ok(page) => page, // a lease: until it is done, the page goes to the next worker if this one dies
            Err(error) if matches!(error.fault(), Some(Fault::Closed {})) => break,
            Err(error) => return Err(error.into()),
        };
        let (title, links) = fetch(*page, args.pages).await;
        let mut all = manager.txn().then(titles.step_put(&page.to_string(), title));
        if !links.is_empty() {
            all = all.then(frontier.step_put_many(links));
        }
        all.then(page.step_done()).execute().await?;
    }
    manager.close().await;
    Ok(())
}

async fn crawl(args: &Args) -> Outcome {
    let manager = args.access.builder()?.connect().await?;
    let crawl = format!("crawl/{}", manager.session_id());
    // Workers that are killed are no reason to put a page aside here.
    let frontier = manager.queue(&format!("{crawl}/frontier")).max_crashes(u32::MAX).ephemeral();
    let frontier: Queue<u64> = frontier.create().await?;
    let titles: Kv<String> = manager.kv(&format!("{crawl}/titles")).ephemeral().create().await?;
    let mut workers = Vec::new();
    for _ in 0..args.workers {
        workers.push(once_more(&["--crawl", &crawl])?);
    }
    frontier.put(1).await?;
    let (written, killed) = watch(args, &titles, &crawl, &mut workers).await?;
    frontier.join().await?;
    frontier.close().await?;
    for worker in &mut workers {
        worker.wait().await?;
    }
    prove(args, &written, &frontier, &titles).await?;
    let crashes = frontier.stats().await?.crashes;
    println!("killed {killed} workers, {crashes} of them while they had a page");
    println!("{} pages, each written exactly once, each link followed exactly once", args.pages);
    manager.close().await;
    Ok(())
}

/// Follows every single write, and kills a worker now and then, until all pages were written: how often each page was.
async fn watch(args: &Args, titles: &Kv<String>, crawl: &str, workers: &mut [Child]) -> Outcome<(HashMap<String, u64>, u64)> {
    let (mut written, mut killed) = (HashMap::new(), 0);
    let mut watch = titles.watch("", Since::Start).await?;
    while (written.len() as u64) < args.pages {
        let WatchEvent::Put { key, .. } = watch.next().await? else { continue };
        *written.entry(key).or_default() += 1;
        if random(args.kill_every) == 0 {
            let worker = &mut workers[random(args.workers) as usize];
            worker.kill().await?;
            *worker = once_more(&["--crawl", crawl])?;
            killed += 1;
        }
    }
    Ok((written, killed))
}

fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

async fn prove(args: &Args, written: &HashMap<String, u64>, frontier: &Queue<u64>, titles: &Kv<String>) -> Outcome {
    let stats = frontier.stats().await?;
    // Every write takes a revision: if there are more of them than pages, one was written twice.
    let writes = titles.manager().objects().describe(titles.name()).await?.figures["revision"];
    let counts = [written.len() as u64, written.values().sum(), titles.len().await?, writes, stats.put, stats.done];
    match counts == [args.pages; 6] && stats.unfinished == 0 {
        true => Ok(()),
        false => Err(format!("expected {} of all, got {counts:?} and {stats:?}", args.pages).into()),
    }
}
