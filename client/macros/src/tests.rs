//! What is said of traits that cannot be shared.

use crate::{expand, model::Contract};
use quote::quote;

/// What is said of a trait with these items. Where it points at is in `tests/refused`.
fn complaints(items: &str) -> Vec<String> {
    complaints_of("", &format!("trait Shelf {{ {items} }}"))
}

fn complaints_of(options: &str, item: &str) -> Vec<String> {
    let item: syn::ItemTrait = syn::parse_str(item).unwrap();
    let errors = Contract::parse(options.parse().unwrap(), item).err();
    errors.into_iter().flatten().map(|error| error.to_string()).collect()
}

fn assert_said(items: &str, expected: &[&str]) {
    assert_eq!(complaints(items), expected, "{items}");
}

#[test]
fn a_trait_of_methods_and_streams_can_be_shared() {
    let shelf = "
        /// Adds.
        async fn add(&mut self, sku: String, #[shared(default = 1)] n: u32) -> Result<u64, OutOfStock>;
        #[shared(idempotent)]
        async fn get(&self, #[shared(default)] skus: Vec<String>, note: Option<String>) -> Vec<Level>;
        async fn clear(&mut self);
        fn watch(&self) -> impl Stream<Item = Result<Level, Gone>> + 'static;
    ";
    assert_said(shelf, &[]);
    assert_said("fn watch(&self) -> impl futures_util::Stream<Item = Level>;", &[]);
    assert_eq!(complaints_of("crate = other::bursar", "pub trait Shelf: Debug {}"), [""; 0]);
}

#[test]
fn a_plain_function_is_told_how_a_call_looks() {
    assert_said(
        "fn add(&self, n: u32) -> u32;",
        &["a call takes its time: write `async fn add`; or for a stream `fn add(..) -> impl Stream<Item = T>`"],
    );
    assert_said(
        "fn add(&self) -> impl Future<Output = u32>;",
        &["this is neither a value nor a stream: write `async fn`, or `fn name(..) -> impl Stream<Item = T>`"],
    );
    assert_said(
        "async fn watch(&self) -> impl Stream<Item = u32>;",
        &["a method gives a value, or without `async` a stream: `fn name(..) -> impl Stream<Item = T>`"],
    );
}

#[test]
fn a_method_needs_an_object_that_stays() {
    let stays = "the object stays where it is: take `&self`, or `&mut self` for calls one at a time";
    assert_said("async fn end(self);", &[stays]);
    assert_said("async fn end(self: Arc<Self>);", &[stays]);
    assert_said(
        "async fn new(name: String);",
        &["a shared method is called on an object: take `&self`, or `&mut self` if it changes it"],
    );
}

#[test]
fn what_is_borrowed_does_not_travel() {
    assert_said("async fn add(&self, sku: &str);", &["arguments travel, and cannot be borrowed: take `String`"]);
    assert_said("async fn add(&self, skus: &[u8]);", &["arguments travel, and cannot be borrowed: take `Vec<u8>`"]);
    assert_said("async fn add(&self, item: &shop::Item);", &["arguments travel, and cannot be borrowed: take `Item`"]);
    assert_said("async fn add(&self, sku: Option<&str>);", &["arguments travel, and cannot be borrowed: take `String`"]);
    let owns = "what travels owns what is in it: write a type without lifetimes";
    assert_said("async fn add(&self, sku: Cow<'_, str>, other: Cow<'static, str>);", &[owns]);
    assert_said("async fn name(&self) -> &str;", &["results travel, and cannot be borrowed: give `String`"]);
    assert_said("fn names(&self) -> impl Stream<Item = &str>;", &["results travel, and cannot be borrowed: give `String`"]);
}

#[test]
fn what_travels_has_one_type() {
    let one = "what travels has one type, which is written out here";
    assert_said("async fn add(&self, item: impl Serialize);", &[one]);
    assert_said("async fn get(&self) -> Box<dyn Error>;", &[one]);
    assert_said("async fn add<T>(&self, item: T);", &["a shared method has no generics: what travels has one type"]);
    let own = "`Self` is one type where the object is, and another where it is called: write the type out";
    assert_said("async fn add(&self, other: Self);", &[own]);
    assert_said("async fn get(&self) -> Self::Item;", &[own]);
    let seen = "the error's type has to be seen here: write `Result<T, E>` with both";
    assert_said("async fn get(&self) -> io::Result<u32>;", &[seen]);
    let generics = "a shared trait has no generics: its types have to be known where it is written";
    assert_eq!(complaints_of("", "trait Shelf<T> {}"), [generics]);
    assert_eq!(complaints_of("", "trait Shelf where Self: Sized {}"), [generics]);
}

#[test]
fn a_shared_trait_has_methods_only() {
    let items = "
        type Item;
        const SIZE: usize;
        shelves!();
        async fn get(&self) -> u32 { 7 }
        unsafe fn raw(&self);
    ";
    assert_said(
        items,
        &[
            "a shared trait has no associated types: write out the type where it is used",
            "a shared trait has no constants: give the value from a method",
            "a shared trait has methods only, and they are written out",
            "a method of a shared trait has no body: what it does is the object's, and the client asks for it",
            "a shared method is neither const nor unsafe nor extern",
            "a call takes its time: write `async fn raw`; or for a stream `fn raw(..) -> impl Stream<Item = T>`",
        ],
    );
    assert_eq!(complaints_of("", "unsafe trait Shelf {}"), ["a shared trait is not unsafe"]);
}

#[test]
fn an_argument_travels_by_name() {
    let named = "arguments travel by name: write `name: Type`, and take it apart in the implementation";
    assert_said("async fn add(&self, (sku, n): (String, u32));", &[named]);
    assert_said("async fn add(&self, _: u32);", &[named]);
    assert_said("async fn add(&self, mut n: u32);", &[named]);
    assert_said("async fn add(&self, größe: u32);", &["names travel: up to 100 ASCII letters, digits and `_`"]);
    assert_said("async fn add(&self, n: u32, r#n: u32);", &["there is an argument `n` already"]);
}

#[test]
fn names_that_are_taken_are_refused() {
    assert_said("async fn get(&self); async fn r#get(&self);", &["there is a method `get` already"]);
    assert_said("async fn open(&self);", &["`open` is a method of every client: another name is needed"]);
}

#[test]
fn an_unknown_option_is_answered_with_the_nearest() {
    assert_said(
        "#[shared(idempotant)] async fn get(&self);",
        &["there is no option `idempotant` of a method; the nearest one is `idempotent`"],
    );
    assert_said(
        "async fn get(&self, #[shared(defualt = 5)] n: u32);",
        &["there is no option `defualt` of an argument; the nearest one is `default`"],
    );
    assert_said("#[shared(default)] async fn get(&self);", &["`default` is an option of an argument, and this is a method"]);
    assert_said("#[shared(idempotent, idempotent)] async fn get(&self);", &["this is said twice"]);
    assert_said("#[shared] async fn get(&self);", &["expected an option: `#[shared(idempotent)]`"]);
    assert_eq!(
        complaints_of("krate = bursar", "trait Shelf {}"),
        ["there is no option `krate` of a trait; the nearest one is `crate`"]
    );
}

#[test]
fn attributes_that_would_make_contracts_differ_are_refused() {
    let condition = "a contract is the same everywhere: a condition is for the whole trait, and goes above `shared`";
    assert_said("#[cfg(test)] async fn get(&self);", &[condition]);
    assert_eq!(complaints_of("", "#[cfg(test)] trait Shelf {}"), [condition]);
    assert_said(
        "async fn get(&self, #[serde(default)] n: u32);",
        &["an argument has no attributes but `#[shared(..)]` and its documentation"],
    );
    assert_said(
        "async fn get(&self, #[shared(default = 5)] n: Option<u32>);",
        &["an `Option` has no default: the method gets `None` where a caller says nothing"],
    );
}

#[test]
fn a_stream_must_not_keep_others_from_changing_the_object() {
    let borrows = "a stream that borrows the object would keep `&mut self` methods out until its end: \
                   write `impl Stream<Item = T> + 'static`, here and in the implementation";
    assert_said("async fn set(&mut self); fn watch(&self) -> impl Stream<Item = Cow<'static, str>>;", &[borrows]);
    assert_said("async fn set(&mut self); fn watch(&self) -> impl Stream<Item = u32> + 'static;", &[]);
}

#[test]
fn more_than_a_description_holds_is_refused() {
    let methods: String = (0..257).map(|n| format!("async fn m{n}(&self);")).collect();
    assert_said(&methods, &["an object has up to 256 methods, and this one 257"]);
    let arguments: String = (0..65).map(|n| format!(", a{n}: u8")).collect();
    assert_said(&format!("async fn get(&self{arguments});"), &["a method has up to 64 arguments, and this one 65"]);
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_the_trait_stays() {
    let item = quote!(
        trait Shelf {
            fn plain(&self);
            #[shared(idempotant)]
            async fn add(&self, #[shared(default)] sku: &str);
        }
    );
    let expanded = expand(quote!(), item).to_string();
    assert_eq!(expanded.matches("compile_error").count(), 3, "{expanded}");
    assert!(expanded.contains("trait Shelf") && !expanded.contains("shared"), "{expanded}");
    let expanded = expand(
        quote!(),
        quote!(
            struct Shelf;
        ),
    )
    .to_string();
    assert!(expanded.contains("goes on a trait") && expanded.contains("struct Shelf"), "{expanded}");
}
