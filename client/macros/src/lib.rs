//! The attribute `shared` of the crate `bursar`. Its manual is there, at `bursar::shared`, and it is of no use without that crate: what it
//! writes calls the SDK.
//!
//! A trait is parsed into a model (`parse.rs`, `model.rs`), checked (`check.rs`), and written again as several parts, each of which has a
//! file: the trait itself (`contract.rs`), what serves an object of it, its description, the client, and the client for threads.

mod attributes;
mod blocking;
mod check;
mod client;
mod complaints;
mod contract;
mod description;
mod model;
mod parse;
mod service;
#[cfg(test)]
mod tests;
mod types;

use model::Contract;
use quote::quote;
use syn::{Item, ItemTrait};

#[allow(missing_docs, reason = "its manual is where people find it: at `bursar::shared`")]
#[proc_macro_attribute]
pub fn shared(options: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(options.into(), item.into()).into()
}

fn expand(options: proc_macro2::TokenStream, item: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    let item = match trait_of(item.clone()) {
        Ok(item) => item,
        Err(error) => return with(item, &error),
    };
    match Contract::parse(options, item.clone()) {
        Ok(contract) => contract.expand(),
        Err(error) => with(parse::without_options(item), &error),
    }
}

fn trait_of(item: proc_macro2::TokenStream) -> syn::Result<ItemTrait> {
    match syn::parse2(item)? {
        Item::Trait(item) => Ok(item),
        other => Err(syn::Error::new_spanned(other, "`shared` goes on a trait: the methods by which the object is called")),
    }
}

/// What there is stays, so that nothing else seems to be wrong than what is.
fn with(item: proc_macro2::TokenStream, error: &syn::Error) -> proc_macro2::TokenStream {
    let errors = error.to_compile_error();
    quote!(#item #errors)
}

impl Contract {
    /// All that is written instead of the trait.
    fn expand(&self) -> proc_macro2::TokenStream {
        let parts = [self.definition(), self.service(), self.described(), self.async_client(), self.blocking_client()];
        quote!(#(#parts)*)
    }
}
