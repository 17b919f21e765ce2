//! Calls of an object that are made for another call of the same object, which has it: they read along with it, or are refused. None waits
//! for itself.

use super::connected;
use bursar::{Shared, object::Failed};

#[bursar::shared]
trait Ledger {
    async fn total(&self) -> u64;
    async fn add(&mut self, n: u64) -> u64;
    async fn look_and_add(&self, ledger: LedgerClient) -> Result<u64, String>;
    async fn add_and_look(&mut self, ledger: LedgerClient) -> Result<u64, String>;
    async fn look_while_one_adds(&self, ledger: LedgerClient) -> u64;
}

struct Book(u64);

impl Ledger for Book {
    async fn total(&self) -> u64 {
        self.0
    }

    async fn add(&mut self, n: u64) -> u64 {
        self.0 += n;
        self.0
    }

    async fn look_and_add(&self, ledger: LedgerClient) -> Result<u64, String> {
        ledger.add(1).await.map_err(|error| error.to_string())
    }

    async fn add_and_look(&mut self, ledger: LedgerClient) -> Result<u64, String> {
        ledger.total().await.map_err(|error| error.to_string())
    }

    async fn look_while_one_adds(&self, ledger: LedgerClient) -> u64 {
        let adding = ledger.clone();
        // On nobody's behalf: it waits until this has been looked at.
        tokio::spawn(async move { adding.add(1).await });
        while ledger.as_object().describe().await.unwrap().running < 2 {}
        ledger.total().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_never_waits_for_a_call_that_waits_for_it() {
    let (_broker, manager) = tokio::task::spawn_blocking(connected).await.unwrap();
    let _serving = manager.serve("ledger", Shared::new(Book(1))).start().await.unwrap();
    let ledger = LedgerClient::open(&manager, "ledger").await.unwrap();
    let refused = ledger.look_and_add(ledger.clone()).await.unwrap_err();
    let circle = "ledger.look_and_add (call 1) -> ledger.add (call 2)";
    assert_eq!(refused.failed(), Some(&format!("{}: the call would wait for itself: {circle}", Failed::CYCLE)));
    let refused = ledger.add_and_look(ledger.clone()).await.unwrap_err();
    assert!(refused.failed().unwrap().ends_with("ledger.add_and_look (call 3) -> ledger.total (call 4)"), "{refused}");
    assert_eq!(ledger.total().await.unwrap(), 1, "and nothing is left of them");
    assert_eq!(ledger.look_while_one_adds(ledger.clone()).await.unwrap(), 1);
    assert_eq!(ledger.add(1).await.unwrap(), 3);
}
