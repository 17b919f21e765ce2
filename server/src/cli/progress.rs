//! A progress bar on stderr for bulk work; nothing at all when stderr is no terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr};

/// Counts items; with a known total in bytes, shows how far it is.
pub struct Progress {
    bar: ProgressBar,
    bytes_known: bool,
    items: u64,
}

impl Progress {
    /// `wanted`: whether there is anything to watch; `bytes_total`: the size of the input.
    pub fn new(what: &str, wanted: bool, bytes_total: Option<u64>) -> Progress {
        let bar = match wanted && stderr().is_terminal() {
            false => ProgressBar::hidden(),
            true => bytes_total.map_or_else(ProgressBar::new_spinner, ProgressBar::new),
        };
        let template = match bytes_total {
            Some(_) => "{prefix} {wide_bar} {bytes}/{total_bytes}  {msg} items  {eta} left",
            None => "{spinner} {prefix} {msg} items  {elapsed}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the templates are constants that tests have seen"));
        bar.set_prefix(what.to_owned());
        Progress { bar, bytes_known: bytes_total.is_some(), items: 0 }
    }

    pub fn add(&mut self, items: usize, bytes: usize) {
        self.items += items as u64;
        self.bar.set_message(self.items.to_string());
        match self.bytes_known {
            true => self.bar.inc(bytes as u64),
            false => self.bar.tick(),
        }
    }

    pub fn items(&self) -> u64 {
        self.items
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_counted_with_and_without_a_bar() {
        for total in [None, Some(10)] {
            let mut progress = Progress::new("put", true, total);
            progress.add(2, 5);
            progress.add(3, 5);
            assert_eq!(progress.items(), 5);
        }
    }
}
