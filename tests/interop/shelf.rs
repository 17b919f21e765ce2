//! The example in Python: it serves an object that Rust calls by a trait, and calls one that Rust serves.

use super::{PROTOCOL_MD, python, stubs};
use crate::harness::Broker;
use bursar::{
    Manager, Shared,
    blocking::block_on,
    object::{CallError, Stream},
};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// As the program in Python has it.
#[bursar::shared]
trait Shelf {
    async fn reserve(&self, sku: String, n: Option<u32>) -> Result<Receipt, OutOfStock>;
    fn levels(&self) -> impl Stream<Item = (String, u32)>;
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    sku: String,
    left: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OutOfStock {
    left: u32,
}

impl fmt::Display for OutOfStock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "only {} left", self.left)
    }
}

#[bursar::shared]
trait Sum {
    async fn add(&mut self, #[shared(default = 1)] by: i64) -> i64;
    async fn terms(&self) -> Vec<i64>;
}

#[derive(Default)]
struct Terms(Vec<i64>);

impl Sum for Terms {
    async fn add(&mut self, by: i64) -> i64 {
        self.0.push(by);
        self.0.iter().sum()
    }

    async fn terms(&self) -> Vec<i64> {
        self.0.clone()
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn example(python: &Path, broker: &Broker, arguments: &[&str]) -> Command {
    let script = Path::new(PROTOCOL_MD).with_file_name("../examples/shelf.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(script).args(arguments).env("PYTHONPATH", stubs());
    command.env("BURSAR_ADDRESS", broker.unix()).env("BURSAR_AUTHKEY_FILE", broker.key_file());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

#[test]
fn rust_calls_an_object_in_python_and_python_one_in_rust() {
    let Some(python) = python("rust_calls_an_object_in_python_and_python_one_in_rust") else { return };
    let broker = Broker::start();
    let mut provider = Killed(example(&python, &broker, &["serve"]).spawn().unwrap());
    let mut lines = BufReader::new(provider.0.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "serving shelf");
    block_on(async {
        let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
        let shelf: ShelfClient = manager.object("shelf").wait_for_provider().open_as().await.unwrap();
        let apple = |n| shelf.reserve("apple".to_owned(), n);
        assert_eq!(apple(Some(3)).await.unwrap(), Receipt { sku: "apple".to_owned(), left: 4 });
        assert_eq!(apple(None).await.unwrap().left, 3);
        assert!(matches!(apple(Some(9)).await, Err(CallError::Failed(OutOfStock { left: 3 }))));
        let levels: Vec<_> = shelf.levels().try_collect().await.unwrap();
        assert_eq!(levels, [("apple".to_owned(), 3), ("pear".to_owned(), 5)]);
    });

    let manager = bursar::blocking::Manager::connect(broker.unix(), broker.authkey()).unwrap();
    let serving = manager.serve("sum", Shared::new(Terms::default())).start().unwrap();
    let call = |arguments: &[&str]| {
        let output = example(&python, &broker, arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(call(&["call", "sum", "add", "by=5"]), "5\n");
    assert_eq!(call(&["call", "sum", "add"]), "6\n");
    assert_eq!(call(&["call", "sum", "terms"]), "[5, 1]\n");
    serving.stop().unwrap();
}
