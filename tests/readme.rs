//! The console sessions of the README, run as they stand: `$ ` is a command of one shell, what follows is what it prints.

use crate::harness::{BURSAR, Broker};
use bursar::{Shared, blocking::Manager};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

// The object of the README, which its console sessions call.

/// What is in stock.
#[bursar::shared]
trait Shelf {
    /// Takes some away, all or nothing; how many are left.
    async fn reserve(&mut self, sku: String, #[shared(default = 1)] n: u32) -> Result<u32, OutOfStock>;
    /// How many there are.
    #[shared(idempotent)]
    async fn level(&self, sku: String) -> u32;
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("only {left} left")]
struct OutOfStock {
    left: u32,
}

struct Stock(BTreeMap<String, u32>);

impl Shelf for Stock {
    async fn reserve(&mut self, sku: String, n: u32) -> Result<u32, OutOfStock> {
        let left = self.0.entry(sku).or_default();
        *left = left.checked_sub(n).ok_or(OutOfStock { left: *left })?;
        Ok(*left)
    }

    async fn level(&self, sku: String) -> u32 {
        self.0.get(&sku).copied().unwrap_or(0)
    }
}

#[test]
fn the_readme_says_what_happens() {
    if Command::new("python3").arg("--version").output().is_err() {
        return crate::harness::skip("the_readme_says_what_happens", "python3", "install Python 3");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let blocks: Vec<&str> = readme.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let (mut commands, mut expected) = (String::new(), String::new());
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => commands += &format!("{command}\n"),
                None => expected += &format!("{line}\n"),
            }
        }
        assert_eq!(run(&commands), expected, "{commands}");
    }
}

fn run(commands: &str) -> String {
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    let stock = Stock([("apple".to_owned(), 7)].into());
    let _serving = manager.serve("shelf", Shared::new(stock)).start().unwrap();
    let path = format!("{}:{}", Path::new(BURSAR).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh")
        .arg("-e")
        .env("PATH", path)
        .env("BURSAR_ADDRESS", broker.unix())
        .env("BURSAR_AUTHKEY_FILE", broker.key_file())
        .current_dir(broker.directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(output.status.success(), "{commands}");
    String::from_utf8(output.stdout).unwrap()
}
