//! What is wrong with a trait: all of it at once, each where it stands.

use quote::ToTokens;
use std::fmt::Display;

/// Collects errors.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Option<syn::Error>);

impl Complaints {
    /// Something is wrong with this part.
    pub fn say(&mut self, part: impl ToTokens, message: impl Display) {
        self.add(syn::Error::new_spanned(part, message));
    }

    pub fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// What was made of the trait, if nothing is wrong.
    pub fn or<T>(self, made: T) -> syn::Result<T> {
        self.0.map_or(Ok(made), Err)
    }
}
