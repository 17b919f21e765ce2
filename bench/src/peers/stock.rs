//! The stock Python manager: a script that starts it, its producers and its consumers, and prints one figure.

use crate::peer::{Kind, Outcome, Peer, Shape};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/stock_manager.py");

pub struct Stock {
    payload: usize,
}

impl Stock {
    pub fn new(payload: usize) -> Stock {
        Stock { payload }
    }

    fn run(&self, arguments: &[&str]) -> Outcome<f64> {
        let mut command = Command::new("python3");
        command.arg(SCRIPT).args(["--payload", &self.payload.to_string()]).args(arguments);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        match text.trim().parse() {
            Ok(figure) if output.status.success() => Ok(figure),
            _ => Err(format!("the script failed: {}: {text}", output.status).into()),
        }
    }
}

impl Peer for Stock {
    fn kind(&self) -> Kind {
        Kind::Stock
    }

    fn throughput(&mut self, shape: Shape, items: u64) -> Outcome<Duration> {
        let [producers, consumers, items] =
            [shape.producers as u64, shape.consumers as u64, items].map(|number| number.to_string());
        let seconds = self.run(&["throughput", "--producers", &producers, "--consumers", &consumers, "--count", &items])?;
        Ok(Duration::from_secs_f64(seconds))
    }

    fn put_p50(&mut self, count: usize) -> Outcome<f64> {
        self.run(&["put", "--count", &count.to_string()])
    }

    fn put_get_done_p50(&mut self, count: usize) -> Outcome<f64> {
        self.run(&["put_get_done", "--count", &count.to_string()])
    }

    fn bytes_per_item(&mut self, items: u64) -> Outcome<f64> {
        self.run(&["memory", "--count", &items.to_string()])
    }
}
