//! Handles as arguments and results: they arrive alive.

use crate::{
    connect, connected,
    shelf::{InventoryClient, Shelf},
};
use bursar::{Queue, blocking::block_on};
use std::sync::Arc;

/// Knows others.
#[bursar::shared]
trait Desk {
    async fn order(&self, inventory: InventoryClient, sku: String, orders: Queue<String>) -> Option<Queue<String>>;
    async fn inventory(&self) -> InventoryClient;
}

struct Clerk(InventoryClient);

impl Desk for Clerk {
    async fn order(&self, inventory: InventoryClient, sku: String, orders: Queue<String>) -> Option<Queue<String>> {
        inventory.reserve(sku.clone(), 1).await.ok()?;
        orders.put(&sku).await.ok()?;
        Some(orders)
    }

    async fn inventory(&self) -> InventoryClient {
        self.0.clone()
    }
}

#[test]
fn clients_and_queues_travel_and_work_where_they_arrive() {
    let (broker, provider) = connected();
    let _shelf = block_on(provider.serve("shelf", Arc::new(Shelf::new())).start()).unwrap();
    let known = block_on(InventoryClient::open(&provider, "shelf")).unwrap();
    let _desk = block_on(provider.serve("desk", Arc::new(Clerk(known))).start()).unwrap();

    let caller = connect(&broker);
    let desk = block_on(DeskClient::open(&caller, "desk")).unwrap();
    let orders: Queue<String> = block_on(caller.queue("orders").open_or_create()).unwrap();
    let inventory = block_on(desk.inventory()).unwrap();
    let returned = block_on(desk.order(inventory.clone(), "bolt".into(), orders)).unwrap().unwrap();
    assert_eq!(block_on(returned.take()).unwrap(), "bolt");
    assert_eq!(block_on(inventory.count("bolt".into())).unwrap(), 2);
}
