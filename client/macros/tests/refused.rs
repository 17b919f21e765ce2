//! What the compiler says of traits that cannot be shared, and where it points. All that is said is in the tests of the crate; here is that
//! it arrives, all of it at once, at the right words.

#[test]
fn what_is_wrong_is_said_where_it_stands() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
