//! Which known word was probably meant by one that is not known.

/// The known word that is nearest to `unknown`, if any is near: fewer than half of its letters are otherwise.
///
/// ```
/// use bursar_proto::nearest;
/// assert_eq!(nearest("wrokers", ["command", "workers"]), Some("workers"));
/// assert_eq!(nearest("zzz", ["command", "workers"]), None);
/// ```
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, known) = known.into_iter().map(|known| (distance(unknown, known), known)).min()?;
    let letters = unknown.chars().count().max(known.chars().count());
    (distance <= letters / 2).then_some(known)
}

/// Edit distance: how many letters must be changed, inserted or removed. It takes as long as the product of both lengths.
pub fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.chars().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_letters_added_removed_and_replaced() {
        let cases = [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("same", "same", 0),
            ("reserv", "reserve", 1),
        ];
        for (one, other, expected) in cases {
            assert_eq!((distance(one, other), distance(other, one)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn a_word_is_near_by_the_letters_that_are_otherwise() {
        assert_eq!(nearest("lisen", ["keys", "listen"]), Some("listen"));
        assert_eq!(nearest("zzzzzz", ["keys", "listen"]), None);
        assert_eq!(nearest("any", []), None);
    }
}
