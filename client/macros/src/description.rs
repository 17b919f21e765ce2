//! The description of an object of the trait, as it is shown to people and programs.

use crate::{
    model::{Contract, Method, Need, Parameter, Receiver},
    types::Shown,
};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Path, Type};

impl Contract {
    /// The marker, and what it knows.
    pub fn described(&self) -> TokenStream {
        let Contract { sdk, visibility, name, doc, .. } = self;
        let (marker, methods) = (self.marker(), self.methods.iter().map(|method| method.described(sdk)));
        let about = format!("The contract of [`{name}`]: it stands for the trait where an object of it is served.");
        quote! {
            #[doc = #about]
            #[derive(Clone, Copy, Debug)]
            #visibility enum #marker {}

            impl #marker {
                /// What an object of it says of itself.
                #visibility fn description() -> #sdk::object::Description {
                    #sdk::object::Description {
                        doc: ::std::string::String::from(#doc),
                        methods: ::std::vec![#(#methods),*],
                    }
                }
            }
        }
    }
}

impl Method {
    fn described(&self, sdk: &Path) -> TokenStream {
        let (name, doc, error) = (self.called(), &self.doc, self.error().unwrap_or_default());
        let (is_stream, is_serial) = (self.outcome.stream.is_some(), self.receiver == Receiver::Changes);
        let (result, is_idempotent) = (shown(&self.outcome.value, sdk), self.is_idempotent);
        let parameters = self.parameters.iter().map(|parameter| parameter.described(sdk));
        quote! {
            #sdk::object::Method {
                name: ::std::string::String::from(#name),
                doc: ::std::string::String::from(#doc),
                parameters: ::std::vec![#(#parameters),*],
                result: #result,
                error: ::std::string::String::from(#error),
                stream: #is_stream,
                idempotent: #is_idempotent,
                serial: #is_serial,
            }
        }
    }
}

impl Parameter {
    fn described(&self, sdk: &Path) -> TokenStream {
        let (name, doc, shown) = (self.called(), &self.doc, shown(self.sent(), sdk));
        let need = match &self.need {
            Need::Required => quote!(optional: false, default: ::std::string::String::new()),
            Need::Optional(_) => quote!(optional: true, default: ::std::string::String::new()),
            Need::Default(value) => {
                let written = &self.written;
                let shown = quote!(#sdk::object::generated::default::<#written>(&#value));
                quote!(optional: #shown.is_empty(), default: #shown)
            }
        };
        quote! {
            #sdk::object::Parameter {
                name: ::std::string::String::from(#name),
                r#type: #shown,
                #need,
                doc: ::std::string::String::from(#doc),
            }
        }
    }
}

/// A name may be that of a handle: only the compiler knows.
fn shown(written: &Type, sdk: &Path) -> TokenStream {
    match Shown::of(written) {
        Shown::Word(word) => quote!(::std::string::String::from(#word)),
        Shown::Named(name) => quote! {{
            #[allow(unused_imports)]
            use #sdk::object::generated::{ByKind as _, ByName as _};
            (&#sdk::object::generated::Shown::<#written>::new()).named(#name)
        }},
    }
}
