//! Items from a file or stdin, read on a thread of their own so that a slow writer does not hold up anything else.

use super::failure::{Exit, Failure};
use bytes::Bytes;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Read},
    path::PathBuf,
};
use tokio::sync::mpsc;

/// Items that were read and not yet taken.
const AHEAD_MAX: usize = 1024;
/// Bytes behind which a batch takes no more: several frames full.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Where items come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Stdin,
    File(PathBuf),
}

/// What ends an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Separator {
    /// A byte; it is not part of the item. After the last item it may be missing.
    Byte(u8),
    /// Nothing: the whole input is one item.
    End,
}

impl Separator {
    /// What a newline, or what these flags say, ends.
    pub fn of(whole: bool, null: bool) -> Separator {
        match (whole, null) {
            (true, _) => Separator::End,
            (_, true) => Separator::Byte(0),
            _ => Separator::Byte(b'\n'),
        }
    }
}

impl Source {
    /// Where items come from other than the arguments; `None`: the arguments are the items.
    pub fn of(file: Option<&PathBuf>, items: &[String]) -> Option<Source> {
        match (file, items) {
            (Some(path), _) if path.as_os_str() == "-" => Some(Source::Stdin),
            (Some(path), _) => Some(Source::File(path.clone())),
            (None, [item]) if item == "-" => Some(Source::Stdin),
            (None, []) => Some(Source::Stdin),
            (None, _) => None,
        }
    }

    /// Opens the source; its size, where known, is for the progress bar.
    pub fn open(&self) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
        match self {
            Source::Stdin => Ok((Box::new(io::stdin()), None)),
            Source::File(path) => {
                let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
                let (metadata, file) = opened.map_err(|error| unreadable(&path.display().to_string(), &error))?;
                Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
            }
        }
    }

    /// Whether somebody types the items, and need not be shown how many they are.
    pub fn is_typed(&self) -> bool {
        *self == Source::Stdin && io::stdin().is_terminal()
    }

    fn name(&self) -> String {
        match self {
            Source::Stdin => "stdin".into(),
            Source::File(path) => path.display().to_string(),
        }
    }
}

/// Reads the items of a source; the last message may be the error that ended it.
pub fn items(source: &Source, input: Box<dyn Read + Send>, separator: Separator) -> mpsc::Receiver<Result<Bytes, Failure>> {
    let (sender, receiver) = mpsc::channel(AHEAD_MAX);
    let name = source.name();
    tokio::task::spawn_blocking(move || {
        let mut input = BufReader::new(input);
        loop {
            let item = match next(&mut input, separator) {
                Ok(None) => return,
                Ok(Some(item)) => Ok(item),
                Err(error) => Err(unreadable(&name, &error)),
            };
            let last = item.is_err() || separator == Separator::End;
            if sender.blocking_send(item).is_err() || last {
                return;
            }
        }
    });
    receiver
}

/// The next item, and up to `max` that are there already: what is slow does not wait for more. With them comes the error that ended
/// the items, if one did; `None`: there are no more.
pub async fn batch(items: &mut mpsc::Receiver<Result<Bytes, Failure>>, max: usize) -> Option<(Vec<Bytes>, Option<Failure>)> {
    let mut next = Some(items.recv().await?);
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(item) = next.take() {
        match item {
            Ok(item) => {
                bytes += item.len();
                batch.push(item);
            }
            Err(failure) => return Some((batch, Some(failure))),
        }
        let has_room = batch.len() < max && bytes < BATCH_BYTES_MAX;
        next = if has_room { items.try_recv().ok() } else { None };
    }
    Some((batch, None))
}

/// The whole of a source as one item.
pub async fn whole(source: &Source) -> Result<Bytes, Failure> {
    let (input, _) = source.open()?;
    let item = items(source, input, Separator::End).recv().await;
    item.expect("with no separator there is one item, or an error")
}

fn next(input: &mut impl BufRead, separator: Separator) -> io::Result<Option<Bytes>> {
    let mut item = Vec::new();
    match separator {
        Separator::End => {
            input.read_to_end(&mut item)?;
            Ok(Some(item.into()))
        }
        Separator::Byte(byte) => {
            if input.read_until(byte, &mut item)? == 0 {
                return Ok(None);
            }
            if item.last() == Some(&byte) {
                item.pop();
            }
            Ok(Some(item.into()))
        }
    }
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{name} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, separator: Separator) -> Vec<Bytes> {
        let mut input = text.as_bytes();
        std::iter::from_fn(|| next(&mut input, separator).unwrap()).take(10).collect()
    }

    #[test]
    fn a_separator_ends_an_item_and_the_last_may_lack_it() {
        assert_eq!(all("a\n\nb\n", Separator::Byte(b'\n')), ["a", "", "b"]);
        assert_eq!(all("a\nb", Separator::Byte(b'\n')), ["a", "b"]);
        assert_eq!(all("a\nb\0c\0", Separator::Byte(0)), ["a\nb", "c"]);
        assert!(all("", Separator::Byte(b'\n')).is_empty());
    }

    #[tokio::test]
    async fn the_whole_input_is_one_item() {
        let mut items = items(&Source::Stdin, Box::new(&b"a\nb\n"[..]), Separator::End);
        assert_eq!(items.recv().await.unwrap().unwrap(), "a\nb\n");
        assert!(items.recv().await.is_none());
    }
}
