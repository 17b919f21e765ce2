use super::*;

fn matches(pattern: &str, subject: &str) -> bool {
    subject::check(subject).unwrap();
    Pattern::parse(pattern).unwrap().matches(subject)
}

#[test]
fn a_star_is_one_word_and_an_arrow_is_one_or_more() {
    for (pattern, subject) in [
        ("a.b", "a.b"),
        ("a.*", "a.b"),
        ("*.b", "a.b"),
        ("*", "a"),
        (">", "a"),
        (">", "a.b.c"),
        ("a.>", "a.b"),
        ("a.>", "a.b.c"),
        ("*.*.>", "a.b.c"),
    ] {
        assert!(matches(pattern, subject), "{pattern} takes {subject}");
    }
    for (pattern, subject) in [
        ("a.b", "a.c"),
        ("a.b", "a.b.c"),
        ("a.b", "a"),
        ("a.*", "a"),
        ("a.*", "a.b.c"),
        ("*", "a.b"),
        ("a.>", "a"),
        ("a.>", "b.c"),
        ("*.*.>", "a.b"),
        ("a.*.c", "a.b.d"),
    ] {
        assert!(!matches(pattern, subject), "{pattern} does not take {subject}");
    }
}

#[test]
fn a_subject_is_words_with_single_dots_between_them() {
    for subject in ["a", "orders.eu.new", "ä.ö", "a-b_c/d", &"a".repeat(256)] {
        assert_eq!(subject::check(subject), Ok(()), "{subject}");
        assert!(Pattern::parse(subject).is_ok(), "{subject}");
    }
    for subject in ["", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\nb", "a\u{0}b", "a\u{a0}b", &"a".repeat(257)] {
        assert!(subject::check(subject).is_err(), "{subject:?}");
        assert!(Pattern::parse(subject).is_err(), "{subject:?}");
    }
}

#[test]
fn wildcards_stand_in_patterns_only_and_are_whole_words() {
    for pattern in ["*", ">", "a.*", "a.*.>", "*.b"] {
        assert!(subject::check(pattern).is_err() && Pattern::parse(pattern).is_ok(), "{pattern}");
    }
    for pattern in ["a*", "a.b*.c", ">.a", "a.>.b", "a>", "**", "*>"] {
        assert!(subject::check(pattern).is_err() && Pattern::parse(pattern).is_err(), "{pattern}");
    }
}
