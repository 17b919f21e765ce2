//! An object and its client, which are used alike: results, errors, streams, calls side by side and one at a time.

use crate::connected;
use bursar::{
    Manager, Shared,
    blocking::block_on,
    object::{CallError, Failed, Serving, Stream},
};
use bursar_server::testing::TestBroker;
use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::sync::Barrier;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub sku: String,
    pub left: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{left} of {sku} are left")]
pub struct OutOfStock {
    pub sku: String,
    pub left: u32,
}

#[bursar::shared]
pub trait Inventory {
    /// Takes things out.
    async fn reserve(&self, sku: String, #[shared(default = 1)] n: u32) -> Result<Receipt, OutOfStock>;

    /// How many there are.
    #[shared(idempotent)]
    async fn count(&self, sku: String) -> u32;

    /// What there is.
    fn levels(&self, above: Option<u32>) -> impl Stream<Item = (String, u32)>;

    /// Takes out one at a time, until nothing is left.
    fn drain(&self, sku: String) -> impl Stream<Item = Result<Receipt, OutOfStock>>;

    /// Ends when two calls of it are under way.
    async fn meet(&self);

    /// Cannot be relied on.
    async fn fall(&self, why: String);
}

pub struct Shelf {
    things: Mutex<BTreeMap<String, u32>>,
    meeting: Barrier,
}

impl Shelf {
    pub fn new() -> Shelf {
        let things = [("bolt", 3), ("nut", 10)].map(|(sku, n)| (sku.to_owned(), n));
        Shelf { things: Mutex::new(things.into()), meeting: Barrier::new(2) }
    }
}

impl Inventory for Shelf {
    async fn reserve(&self, sku: String, n: u32) -> Result<Receipt, OutOfStock> {
        let mut things = self.things.lock().unwrap();
        let left = things.entry(sku.clone()).or_default();
        match left.checked_sub(n) {
            Some(rest) => *left = rest,
            None => return Err(OutOfStock { sku, left: *left }),
        }
        Ok(Receipt { sku, left: *left })
    }

    async fn count(&self, sku: String) -> u32 {
        self.things.lock().unwrap().get(&sku).copied().unwrap_or(0)
    }

    fn levels(&self, above: Option<u32>) -> impl Stream<Item = (String, u32)> {
        let things = self.things.lock().unwrap().clone();
        stream::iter(things).filter(move |(_, n)| std::future::ready(above.is_none_or(|above| *n > above)))
    }

    fn drain(&self, sku: String) -> impl Stream<Item = Result<Receipt, OutOfStock>> {
        stream::repeat(sku).then(async |sku| self.reserve(sku, 1).await)
    }

    async fn meet(&self) {
        self.meeting.wait().await;
    }

    async fn fall(&self, why: String) {
        panic!("{why}");
    }
}

pub fn served() -> (TestBroker, Manager, InventoryClient, Serving) {
    let (broker, manager) = connected();
    let serving = block_on(manager.serve("shelf", Arc::new(Shelf::new())).start()).unwrap();
    let client = block_on(InventoryClient::open(&manager, "shelf")).unwrap();
    (broker, manager, client, serving)
}

/// All that can be asked of an inventory, whatever it is.
async fn tour(
    inventory: &impl Inventory,
) -> (Vec<(String, u32)>, Result<Receipt, OutOfStock>, Vec<Result<Receipt, OutOfStock>>, u32) {
    let levels = inventory.levels(Some(3)).collect().await;
    let refused = inventory.reserve("bolt".into(), 4).await;
    let drained = inventory.drain("bolt".into()).take(4).collect().await;
    (levels, refused, drained, inventory.count("bolt".into()).await)
}

#[test]
fn an_object_and_its_client_are_used_by_the_same_code_and_say_the_same() {
    let (_broker, _manager, client, _serving) = served();
    let (local, shared) = (block_on(tour(&Shelf::new())), block_on(tour(&client)));
    assert_eq!(local, shared);
    let (levels, refused, drained, left) = local;
    assert_eq!(levels, [("nut".to_owned(), 10)]);
    assert_eq!(refused, Err(OutOfStock { sku: "bolt".into(), left: 3 }));
    assert_eq!((drained.len(), left), (4, 0));
}

#[test]
fn an_error_keeps_its_type_across_the_wire() {
    let (_broker, _manager, client, _serving) = served();
    let error = block_on(client.reserve("bolt".into(), 4)).unwrap_err();
    assert_eq!(error.failed(), Some(&OutOfStock { sku: "bolt".into(), left: 3 }));
    assert_eq!(error.to_string(), "3 of bolt are left");
    let untyped = block_on(client.as_object().call("reserve").arg("sku", "bolt").arg("n", &4).send::<Receipt>()).unwrap_err();
    assert!(matches!(&untyped, CallError::Failed(Failed { kind, .. }) if kind == "OutOfStock"), "{untyped:?}");
}

#[test]
fn an_argument_with_a_default_may_be_left_out() {
    let (_broker, _manager, client, _serving) = served();
    let call = client.as_object().call("reserve").arg("sku", "nut");
    assert_eq!(block_on(call.send::<Receipt>()).unwrap().left, 9);
}

#[test]
fn null_is_as_good_as_no_argument_where_it_is_optional() {
    let (_broker, _manager, client, _serving) = served();
    let levels = |call: bursar::object::Request| block_on(call.stream::<(String, u32)>().try_collect::<Vec<_>>()).unwrap().len();
    let call = || client.as_object().call("levels");
    assert_eq!(levels(call()), 2);
    assert_eq!(levels(call().arg("above", &())), 2);
    assert_eq!(levels(call().arg("above", &bursar::Json(None::<u32>))), 2);
    assert_eq!(levels(call().arg("above", &3)), 1);
}

#[test]
fn an_argument_that_cannot_be_read_is_named() {
    let (_broker, _manager, client, _serving) = served();
    let call = client.as_object().call("reserve").arg("sku", "nut").arg("n", "many");
    let error = block_on(call.send::<Receipt>()).unwrap_err();
    assert!(matches!(&error, CallError::Other(Failed { kind, .. }) if kind == Failed::CODEC), "{error:?}");
    assert!(error.to_string().contains("\"n\""), "{error}");
}

#[test]
fn the_first_error_ends_a_stream_and_keeps_its_type() {
    let (_broker, _manager, client, _serving) = served();
    let items: Vec<_> = block_on(client.drain("bolt".into()).collect());
    let left: Vec<_> = items.iter().filter_map(|item| item.as_ref().ok().map(|receipt| receipt.left)).collect();
    assert_eq!(left, [2, 1, 0]);
    let last = items.last().unwrap().as_ref().unwrap_err();
    assert_eq!(last.failed(), Some(&OutOfStock { sku: "bolt".into(), left: 0 }));
}

#[test]
fn calls_of_methods_that_only_look_run_side_by_side() {
    let (_broker, _manager, client, _serving) = served();
    block_on(async { futures_util::future::try_join(client.meet(), client.meet()).await }).unwrap();
}

#[test]
fn a_panic_fails_the_call_and_nothing_else() {
    let (_broker, _manager, client, _serving) = served();
    let error = block_on(client.fall("from the shelf".into())).unwrap_err();
    assert!(matches!(&error, CallError::Other(Failed { kind, .. }) if kind == Failed::PANIC), "{error:?}");
    assert!(error.to_string().contains("from the shelf"), "{error}");
    assert_eq!(block_on(client.count("nut".into())).unwrap(), 10);
}

/// Where errors have room for what goes wrong on the way, and where they have none.
#[bursar::shared]
trait Line {
    async fn tell(&self, word: String) -> Result<(), Cut>;
    async fn ask(&self) -> String;
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("cut: {0}")]
struct Cut(String);

impl From<bursar::Error> for Cut {
    fn from(error: bursar::Error) -> Cut {
        Cut(error.to_string())
    }
}

#[test]
fn what_goes_wrong_on_the_way_becomes_an_error_of_the_method_if_it_can() {
    let (_broker, manager) = connected();
    block_on(manager.object("line").create()).unwrap();
    let client = block_on(LineClient::open(&manager, "line")).unwrap();
    let Cut(problem) = block_on(Line::tell(&client, "hello".into())).unwrap_err();
    assert!(problem.contains("nobody serves"), "{problem}");
}

#[test]
#[should_panic(expected = "Line::ask: ")]
fn what_cannot_be_said_in_the_trait_panics_and_names_the_method() {
    let (_broker, manager) = connected();
    block_on(manager.object("line").create()).unwrap();
    let client = block_on(LineClient::open(&manager, "line")).unwrap();
    block_on(Line::ask(&client));
}

/// Numbers that grow one at a time.
#[bursar::shared]
trait Tally {
    async fn next(&mut self, #[shared(default = 1)] by: u64) -> u64;
    async fn last(&self) -> u64;
    fn count_down(&self) -> impl Stream<Item = u64> + 'static;
    fn take(&mut self) -> impl Stream<Item = u64> + 'static;
}

#[derive(Default)]
struct Numbers(u64);

impl Tally for Numbers {
    async fn next(&mut self, by: u64) -> u64 {
        let last = self.0;
        std::future::ready(()).await;
        self.0 = last + by;
        self.0
    }

    async fn last(&self) -> u64 {
        self.0
    }

    fn count_down(&self) -> impl Stream<Item = u64> + 'static {
        stream::iter((0..self.0).rev()).chain(stream::pending())
    }

    fn take(&mut self) -> impl Stream<Item = u64> + 'static {
        stream::iter(0..std::mem::take(&mut self.0))
    }
}

#[test]
fn calls_that_change_the_object_come_one_at_a_time() {
    let (_broker, manager) = connected();
    let numbers = Shared::new(Numbers::default());
    let _serving = block_on(manager.serve("tally", numbers.clone()).start()).unwrap();
    let client = block_on(TallyClient::open(&manager, "tally")).unwrap();
    let calls = (0..50).map(|_| client.next(1));
    let mut given: Vec<_> = block_on(join_all(calls)).into_iter().map(Result::unwrap).collect();
    given.sort_unstable();
    assert_eq!(given, (1..=50).collect::<Vec<_>>());
    assert_eq!(block_on(client.last()).unwrap(), 50);
    assert_eq!(block_on(numbers.read()).0, 50);
}

#[test]
fn a_stream_that_does_not_end_keeps_nobody_from_changing_the_object() {
    let (_broker, manager) = connected();
    let _serving = block_on(manager.serve("tally", Shared::new(Numbers(2))).start()).unwrap();
    let mut client = block_on(TallyClient::open(&manager, "tally")).unwrap();
    let mut down = client.count_down();
    assert_eq!(block_on(down.next()).unwrap().unwrap(), 1);
    assert_eq!(block_on(Tally::next(&mut client, 5)), 7);
    assert_eq!(block_on(down.next()).unwrap().unwrap(), 0);
}

#[test]
fn a_stream_may_change_the_object_from_which_it_comes() {
    let (_broker, manager) = connected();
    let _serving = block_on(manager.serve("tally", Shared::new(Numbers(3))).start()).unwrap();
    let client = block_on(TallyClient::open(&manager, "tally")).unwrap();
    assert_eq!(block_on(client.take().try_collect::<Vec<_>>()).unwrap(), [0, 1, 2]);
    assert_eq!(block_on(client.last()).unwrap(), 0);
}

use bursar as sdk;

/// Names that the generated code uses itself, or could.
#[bursar::shared(crate = sdk)]
trait Names: Send + 'static {
    async fn sum(&self, call: u8, arguments: u8, object: u8, stream: u8, error: u8, r#type: u8) -> u8;
    fn items(&self, item: u8, items: u8) -> impl Stream<Item = Result<u8, String>>;
    async fn call(&self) -> u8;
}

struct Sums;

impl Names for Sums {
    async fn sum(&self, call: u8, arguments: u8, object: u8, stream: u8, error: u8, r#type: u8) -> u8 {
        call + arguments + object + stream + error + r#type
    }

    fn items(&self, item: u8, items: u8) -> impl Stream<Item = Result<u8, String>> {
        stream::iter([Ok(item), Ok(items)])
    }

    async fn call(&self) -> u8 {
        self.sum(1, 1, 1, 1, 1, 1).await
    }
}

#[test]
fn arguments_and_methods_may_have_any_names() {
    let (_broker, manager) = connected();
    let _serving = block_on(manager.serve("sums", Arc::new(Sums)).start()).unwrap();
    let client = block_on(NamesClient::open(&manager, "sums")).unwrap();
    assert_eq!(block_on(client.sum(1, 2, 4, 8, 16, 32)).unwrap(), 63);
    assert_eq!(block_on(Names::items(&client, 7, 8).collect::<Vec<_>>()), [Ok(7), Ok(8)]);
    assert_eq!(block_on(client.call()).unwrap(), 6);
}
