//! A broker with a kind and a factory of the program's own: tickets with numbers, whose state the broker keeps as that of every other
//! object, and baskets to put them into, one for each who asks, which go with the last handle of them.
//!
//! ```text
//! cargo run --release -p bursar-examples --bin tickets
//! ```

use bursar::{
    Address, AuthKey, Manager, Shared,
    object::{Arguments, Description, Failed},
};
use bursar_examples::{Outcome, ending};
use bursar_server::{
    Broker,
    config::Config,
    own::{Call, Decision, Factory, Kind},
};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// Tickets, each of which is given out once.
#[bursar::shared]
trait Tickets {
    /// Draws one; its number.
    async fn draw(&self) -> u64;
}

/// The state, which calls never touch: they decide on a change.
#[derive(Default)]
struct Roll(u64);

/// What the broker remembers.
#[derive(Clone, Serialize, Deserialize)]
struct Drawn(u64);

impl Kind for Roll {
    const NAME: &'static str = "tickets";
    type Change = Drawn;

    fn description() -> Description {
        TicketsContract::description()
    }

    fn decide(&self, _draw: &Call<'_>) -> Result<Decision<Drawn>, Failed> {
        Decision::change(Drawn(self.0 + 1), &(self.0 + 1))
    }

    fn evolve(&mut self, Drawn(number): Drawn) {
        self.0 = number;
    }

    fn history(&self) -> Vec<Drawn> {
        vec![Drawn(self.0)]
    }
}

/// What somebody has drawn.
#[bursar::shared]
trait Basket {
    /// Puts a ticket in; what is in it then, and whose it is.
    async fn put(&mut self, ticket: u64) -> String;
}

struct Drawer(String, Vec<u64>);

impl Basket for Drawer {
    async fn put(&mut self, ticket: u64) -> String {
        self.1.push(ticket);
        format!("{} has {:?}", self.0, self.1)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    ending("tickets", run().await)
}

async fn run() -> Outcome {
    let directory = tempfile::tempdir()?;
    let address = Address::Unix(directory.path().join("bursar.sock"));
    let authkey = AuthKey::generate(directory.path().join("authkey"))?;
    let config = Config { listen: vec![address.clone()], ..Config::default() };
    let basket = |arguments: &mut Arguments| Ok(Shared::new(Drawer(arguments.take("owner")?.unwrap_or_default(), vec![])));
    let baskets = Factory::new(basket).optional("owner", "string");
    let builder = Broker::builder().config(config).key(authkey.clone());
    let broker = builder.kind::<Roll>().register_factory("baskets", baskets).start().await?;

    let manager = Manager::connect(address.to_string(), authkey).await?;
    let tickets: TicketsClient = manager.object("tickets").kind("tickets").create().await?.into();
    let baskets = manager.object("baskets").open().await?;
    for owner in ["ann", "ben"] {
        let basket: BasketClient = baskets.call("create").arg("owner", owner).send().await?;
        basket.put(tickets.draw().await?).await?;
        println!("{}", basket.put(tickets.draw().await?).await?);
    }
    println!("{} baskets are left", manager.objects().list("baskets/").await?.len());
    manager.close().await;
    broker.stop().await?;
    Ok(())
}
