//! The client for threads.

use crate::shelf::{InventoryBlocking, OutOfStock, Receipt, served};
use std::time::Duration;

#[test]
fn threads_call_as_tasks_do() {
    let (_broker, manager, client, _serving) = served();
    let inventory = InventoryBlocking::open(&manager.into(), "shelf").unwrap();
    assert_eq!(inventory.reserve("nut".into(), 4).unwrap(), Receipt { sku: "nut".into(), left: 6 });
    assert_eq!(inventory.count("nut".into()).unwrap(), 6);
    let error = inventory.reserve("nut".into(), 7).unwrap_err();
    assert_eq!(error.failed(), Some(&OutOfStock { sku: "nut".into(), left: 6 }));
    let levels: Result<Vec<_>, _> = inventory.levels(None).collect();
    assert_eq!(levels.unwrap(), [("bolt".to_owned(), 3), ("nut".to_owned(), 6)]);
    let left: Vec<_> =
        InventoryBlocking::from(client).drain("bolt".into()).map(|item| item.ok().map(|receipt| receipt.left)).collect();
    assert_eq!(left, [Some(2), Some(1), Some(0), None]);
}

#[test]
fn a_call_waits_no_longer_than_its_client_says() {
    let (_broker, manager, _client, _serving) = served();
    let inventory = InventoryBlocking::open(&manager.into(), "shelf").unwrap();
    let error = inventory.within(Duration::from_millis(20)).meet().unwrap_err();
    assert!(matches!(error.fault(), Some(bursar::Fault::Unanswered { .. })), "{error:?}");
}
