//! Signals as people write them: `TERM`, `SIGTERM`, `term` or `15`.

use clap::builder::TypedValueParser;

/// The last signal that is passed on; behind it are those of real time.
const MAX: i32 = 31;

/// The number of a signal. What is not one is refused with the one that is most similar.
pub fn parser() -> impl TypedValueParser<Value = i32> {
    number
}

fn short(number: i32) -> String {
    let name = bursar_supervisor::signal_name(number);
    name.strip_prefix("SIG").unwrap_or(&name).to_owned()
}

fn number(text: &str) -> Result<i32, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let by_number = text.parse().ok().filter(|number| (1..=MAX).contains(number));
    by_number.or_else(|| (1..=MAX).find(|number| short(*number) == name)).ok_or_else(|| {
        let hint = nearest(name).map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        format!("expected a signal of 1 to {MAX}, by number or name, such as 15, TERM or SIGTERM{hint}")
    })
}

/// The name that was meant, if only its letters stand in another order or one of them is another.
fn nearest(name: &str) -> Option<String> {
    let sorted = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes
    };
    let differ = |known: &str| known.bytes().zip(name.bytes()).filter(|(one, other)| one != other).count();
    let is_near = |known: &String| known.len() == name.len() && (differ(known) == 1 || sorted(known) == sorted(name));
    (1..=MAX).map(short).find(is_near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        let numbers = ["TERM", "SIGTERM", "sigterm", "15", "HUP", "31"].map(|text| number(text).unwrap());
        assert_eq!(numbers, [15, 15, 15, 15, 1, 31]);
        assert!((1..=MAX).all(|signal| number(&short(signal)) == Ok(signal)));
    }

    #[test]
    fn what_is_none_is_refused_with_the_nearest() {
        assert!(number("TREM").unwrap_err().ends_with("did you mean TERM?"));
        for bad in ["0", "40", "64", "SIG40", "", "-1"] {
            assert!(number(bad).unwrap_err().starts_with("expected a signal of 1 to 31, by number or name"), "{bad}");
        }
    }
}
