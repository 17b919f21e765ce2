//! The trait as it is implemented: what it returns is a future or a stream that may go to another thread.

use crate::model::{Contract, Method, Receiver, Stream};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

impl Contract {
    /// The trait.
    pub fn definition(&self) -> TokenStream {
        let Contract { visibility, name, attributes, supertraits, .. } = self;
        let methods = self.methods.iter().map(Method::declared);
        quote! {
            #(#attributes)*
            #visibility trait #name: ::core::marker::Send + ::core::marker::Sync + 'static #(+ #supertraits)* {
                #(#methods)*
            }
        }
    }
}

impl Method {
    fn declared(&self) -> TokenStream {
        let Method { attributes, name, receiver, .. } = self;
        let (receiver, parameters, written) = (receiver.written(), self.signature(), &self.outcome.written);
        let given = match &self.outcome.stream {
            Some(Stream { bounds, .. }) => quote!(impl #bounds + ::core::marker::Send),
            None => quote!(impl ::core::future::Future<Output = #written> + ::core::marker::Send),
        };
        // What lints have to say, they say of the method.
        quote_spanned! {name.span()=>
            #(#attributes)*
            fn #name(#receiver #(, #parameters)*) -> #given;
        }
    }
}

impl Receiver {
    /// As a trait says it.
    pub fn written(self) -> TokenStream {
        match self {
            Receiver::Reads => quote!(&self),
            Receiver::Changes => quote!(&mut self),
        }
    }
}
