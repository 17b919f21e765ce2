//! A program that keeps a broker and an object of its own in it: a shelf, with an error of its own and a stream. Several buyers reserve
//! from it at once, over the socket as strangers would, and one watches the levels.
//!
//! ```text
//! cargo run --release -p bursar-examples --bin inventory
//! ```

use bursar::{Address, AuthKey, Manager, object::CallError};
use bursar_examples::{Outcome, ending};
use bursar_server::{Broker, config::Config};
use futures_util::{Stream, StreamExt, future::join_all, stream::unfold};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    process::ExitCode,
    sync::{Arc, Mutex},
};
use tokio::sync::watch;

/// What is on the shelf.
#[bursar::shared]
trait Inventory {
    /// Takes some away, all or nothing.
    async fn reserve(&self, sku: String, #[shared(default = 1)] n: u32) -> Result<Receipt, OutOfStock>;
    /// How much there is of everything, now and after each change.
    fn levels(&self) -> impl Stream<Item = BTreeMap<String, u32>>;
}

/// What a buyer gets.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    sku: String,
    left: u32,
}

/// There is less than was asked for.
#[derive(Debug, Serialize, Deserialize)]
struct OutOfStock {
    left: u32,
}

impl fmt::Display for OutOfStock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "only {} left", self.left)
    }
}

struct Shelf {
    stock: Mutex<BTreeMap<String, u32>>,
    levels: watch::Sender<BTreeMap<String, u32>>,
}

impl Shelf {
    fn new(stock: BTreeMap<String, u32>) -> Shelf {
        Shelf { levels: watch::Sender::new(stock.clone()), stock: Mutex::new(stock) }
    }
}

impl Inventory for Shelf {
    async fn reserve(&self, sku: String, n: u32) -> Result<Receipt, OutOfStock> {
        let mut stock = self.stock.lock().expect("nobody panics with it");
        let level = stock.get_mut(&sku).ok_or(OutOfStock { left: 0 })?;
        *level = level.checked_sub(n).ok_or(OutOfStock { left: *level })?;
        let left = *level;
        self.levels.send_replace(stock.clone());
        Ok(Receipt { sku, left })
    }

    fn levels(&self) -> impl Stream<Item = BTreeMap<String, u32>> {
        let mut levels = self.levels.subscribe();
        levels.mark_changed();
        unfold(levels, |mut levels| async {
            levels.changed().await.ok()?;
            let now = levels.borrow_and_update().clone();
            Some((now, levels))
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    ending("inventory", run().await)
}

async fn run() -> Outcome {
    let directory = tempfile::tempdir()?;
    let address = Address::Unix(directory.path().join("bursar.sock"));
    let authkey = AuthKey::generate(directory.path().join("authkey"))?;
    let shelf = Shelf::new([("apple", 7), ("pear", 5)].map(|(sku, n)| (sku.to_owned(), n)).into());
    let config = Config { listen: vec![address.clone()], ..Config::default() };
    let broker = Broker::builder().config(config).key(authkey.clone()).register("shelf", Arc::new(shelf)).start().await?;

    let manager = Manager::connect(address.to_string(), authkey).await?;
    let shelf = InventoryClient::open(&manager, "shelf").await?;
    let mut levels = shelf.levels();
    follow(&mut levels, 7).await?;
    let sold = join_all(["ann", "ben", "eve"].map(|buyer| buy(buyer, &shelf))).await.into_iter().sum::<Result<u32, _>>()?;
    println!("{sold} of 7 apples are sold");
    follow(&mut levels, 7 - sold).await?;
    manager.close().await;
    broker.stop().await?;
    Ok(())
}

/// Until there are so many apples. What was soon over may be left out.
async fn follow(levels: &mut (impl Stream<Item = Result<BTreeMap<String, u32>, CallError>> + Unpin), apples: u32) -> Outcome {
    while let Some(now) = levels.next().await {
        let now = now?;
        println!("on the shelf: {now:?}");
        if now.get("apple") == Some(&apples) {
            break;
        }
    }
    Ok(())
}

/// Buys two apples at a time, as long as there are two. Anything that keeps the shelf's promises will do, wherever it is.
async fn buy(buyer: &str, shelf: &InventoryClient) -> Result<u32, CallError<OutOfStock>> {
    let mut bought = 0;
    loop {
        match shelf.reserve("apple".to_owned(), 2).await {
            Ok(Receipt { sku, left }) => {
                bought += 2;
                println!("{buyer} has got 2 of {sku}, {left} are left");
            }
            Err(CallError::Failed(OutOfStock { left })) => {
                println!("{buyer} goes home: {left} left");
                return Ok(bought);
            }
            Err(error) => return Err(error),
        }
    }
}
