//! Parts of a list or an array, as Python writes them: `1:5`, `:-1`, `::2`.

use crate::config::Expected;
use bursar::Slice;

/// `START:STOP[:STEP]`, each of them a number or nothing.
pub fn parse(text: &str) -> Result<Slice, Expected> {
    let wrong = || Expected("START:STOP or START:STOP:STEP, as in 1:5, :-1 or ::2".into());
    let bound = |part: &str| if part.is_empty() { Ok(None) } else { part.parse().map(Some).map_err(|_| wrong()) };
    match text.split(':').collect::<Vec<_>>()[..] {
        [start, stop] => Ok(Slice { start: bound(start)?, stop: bound(stop)?, step: None }),
        [start, stop, step] => Ok(Slice { start: bound(start)?, stop: bound(stop)?, step: bound(step)? }),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_as_python_writes_them() {
        assert_eq!(parse("1:-1").unwrap(), Slice { start: Some(1), stop: Some(-1), step: None });
        assert_eq!(parse(":").unwrap(), Slice::from(..));
        assert_eq!(parse("::-1").unwrap(), Slice::from(..).step(-1));
        for wrong in ["", "1", "1:2:3:4", "a:b", "1-2"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
