//! What attributes say: options, documentation, and what must not be said.
//!
//! The options are `#[shared(idempotent)]` on a method, `#[shared(default = 5)]` on an argument, and `#[bursar::shared(crate = path)]` on the
//! trait. An unknown one is answered with the nearest that is known there.

use crate::complaints::Complaints;
use quote::ToTokens;
use syn::{Attribute, Expr, Path, Token, ext::IdentExt, meta::ParseNestedMeta, parse::Parser, parse_quote};

/// Of the trait.
pub(crate) struct TraitOptions {
    /// Where the SDK is.
    pub sdk: Path,
}

/// Of a method.
pub(crate) struct MethodOptions {
    pub is_idempotent: bool,
}

/// Of an argument.
pub(crate) struct ArgumentOptions {
    pub default: Option<Expr>,
}

/// Where options stand.
struct Place {
    /// With an article.
    name: &'static str,
    known: &'static [&'static str],
}

const TRAIT: Place = Place { name: "a trait", known: &["crate"] };
const METHOD: Place = Place { name: "a method", known: &["idempotent"] };
const ARGUMENT: Place = Place { name: "an argument", known: &["default"] };

impl TraitOptions {
    pub fn parse(options: proc_macro2::TokenStream, complaints: &mut Complaints) -> TraitOptions {
        let mut sdk = None;
        let parser = syn::meta::parser(|meta| match TRAIT.option(&meta)?.as_str() {
            "crate" => once(&mut sdk, meta.value()?.parse()?, &meta),
            _ => Ok(()),
        });
        parser.parse2(options).unwrap_or_else(|error| complaints.add(error));
        TraitOptions { sdk: sdk.unwrap_or_else(|| parse_quote!(::bursar)) }
    }
}

impl MethodOptions {
    /// Takes them out of the attributes.
    pub fn take(attributes: &mut Vec<Attribute>, complaints: &mut Complaints) -> MethodOptions {
        let mut idempotent = None;
        METHOD.take(attributes, complaints, |option, meta| match option {
            "idempotent" => once(&mut idempotent, (), meta),
            _ => Ok(()),
        });
        MethodOptions { is_idempotent: idempotent.is_some() }
    }
}

impl ArgumentOptions {
    /// Takes them out of the attributes.
    pub fn take(attributes: &mut Vec<Attribute>, complaints: &mut Complaints) -> ArgumentOptions {
        let mut default = None;
        ARGUMENT.take(attributes, complaints, |option, meta| match option {
            "default" if meta.input.peek(Token![=]) => once(&mut default, as_owned(meta.value()?.parse()?), meta),
            "default" => once(&mut default, parse_quote!(::core::default::Default::default()), meta),
            _ => Ok(()),
        });
        ArgumentOptions { default }
    }
}

/// `"all"` is meant as a `String`.
fn as_owned(value: Expr) -> Expr {
    match &value {
        Expr::Lit(literal) if matches!(literal.lit, syn::Lit::Str(_)) => parse_quote!(::core::convert::From::from(#value)),
        _ => value,
    }
}

fn once<T>(place: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("this is said twice")),
    }
}

impl Place {
    fn take(
        &self,
        attributes: &mut Vec<Attribute>,
        complaints: &mut Complaints,
        mut each: impl FnMut(&str, &ParseNestedMeta<'_>) -> syn::Result<()>,
    ) {
        let (own, others) = std::mem::take(attributes).into_iter().partition::<Vec<_>, _>(is_ours);
        *attributes = others;
        for attribute in own {
            let parsed = match attribute.meta {
                syn::Meta::List(_) => attribute.parse_nested_meta(|meta| each(&self.option(&meta)?, &meta)),
                _ => Err(syn::Error::new_spanned(&attribute, format!("expected an option: `#[shared({})]`", self.known[0]))),
            };
            parsed.unwrap_or_else(|error| complaints.add(error));
        }
    }

    /// The name of an option that is known here.
    fn option(&self, meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
        let written =
            meta.path.get_ident().map_or_else(|| meta.path.to_token_stream().to_string(), |ident| ident.unraw().to_string());
        if self.known.contains(&written.as_str()) {
            return Ok(written);
        }
        let elsewhere = [TRAIT, METHOD, ARGUMENT].into_iter().find(|place| place.known.contains(&written.as_str()));
        Err(meta.error(match elsewhere {
            Some(Place { name, .. }) => format!("`{written}` is an option of {name}, and this is {}", self.name),
            None => format!("there is no option `{written}` of {}; the nearest one is `{}`", self.name, self.nearest(&written)),
        }))
    }

    fn nearest(&self, unknown: &str) -> &'static str {
        self.known.iter().min_by_key(|known| distance(unknown, known)).expect("every place has an option")
    }
}

/// `#[shared(..)]` or `#[bursar::shared(..)]`
fn is_ours(attribute: &Attribute) -> bool {
    let path = attribute.path();
    path.segments.last().is_some_and(|last| last.ident == "shared") && path.segments.len() <= 2
}

/// How many letters have to be added, removed or replaced.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (left, candidate) in other.chars().enumerate() {
            let replaced = diagonal + usize::from(letter != candidate);
            diagonal = row[left + 1];
            row[left + 1] = replaced.min(row[left] + 1).min(diagonal + 1);
        }
    }
    row[other.chars().count()]
}

/// What the documentation says, without the space in front of each line.
pub(crate) fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }) => Some(line.value()),
            _ => None,
        },
        _ => None,
    });
    let text: Vec<_> = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned()).collect();
    text.join("\n").trim().to_owned()
}

/// Takes the documentation out of the attributes of an argument, where the compiler takes none, and refuses all others.
pub(crate) fn take_documentation(attributes: Vec<Attribute>, complaints: &mut Complaints) -> String {
    let (documents, others) = attributes.into_iter().partition::<Vec<_>, _>(|attribute| attribute.path().is_ident("doc"));
    for other in others {
        complaints.say(&other, "an argument has no attributes but `#[shared(..)]` and its documentation");
    }
    documentation(&documents)
}

/// What an object has does not depend on how one of its ends was built.
pub(crate) fn refuse_conditions(attributes: &[Attribute], complaints: &mut Complaints) {
    for condition in
        attributes.iter().filter(|attribute| attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr"))
    {
        complaints
            .say(condition, "a contract is the same everywhere: a condition is for the whole trait, and goes above `shared`");
    }
}
