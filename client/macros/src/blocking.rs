//! The client for threads: the same calls, each of which waits for its answer.

use crate::model::{Contract, Method};
use proc_macro2::TokenStream;
use quote::quote;
use syn::Path;

impl Contract {
    /// The client.
    pub fn blocking_client(&self) -> TokenStream {
        let Contract { sdk, visibility, name, .. } = self;
        let (client, blocking) = (self.client(), self.blocking());
        let methods = self.methods.iter().map(|method| method.waiting(sdk));
        let about = format!("Calls an object of the trait [`{name}`], wherever it is served: [`{client}`] for threads.");
        quote! {
            #[doc = #about]
            #[derive(Clone, Debug)]
            #visibility struct #blocking {
                client: #client,
                object: #sdk::blocking::Object,
            }

            #[allow(clippy::all)]
            impl #blocking {
                /// Opens the object of this name. Faults: `NoSuchObject`; `Mismatch`, when it is of another kind.
                pub fn open(manager: &#sdk::blocking::Manager, name: &str) -> #sdk::Result<Self> {
                    manager.object(name).open_as()
                }

                /// The object, for calls by name.
                pub fn as_object(&self) -> &#sdk::blocking::Object {
                    &self.object
                }

                /// The async side of the same client.
                pub fn as_async(&self) -> &#client {
                    &self.client
                }

                /// A client of the same object, each of whose calls waits no longer than this: the fault is then `TimedOut`, or
                /// `Unanswered` if a provider had the call.
                pub fn within(&self, wait: impl ::core::convert::Into<#sdk::Wait>) -> Self {
                    ::core::convert::From::from(self.client.within(wait))
                }

                /// A client of the same object, whose calls wait for somebody who serves it instead of failing with `NoProvider`.
                pub fn wait_for_provider(&self) -> Self {
                    ::core::convert::From::from(self.client.wait_for_provider())
                }

                #(#methods)*
            }

            impl ::core::convert::From<#client> for #blocking {
                fn from(client: #client) -> Self {
                    let object = ::core::clone::Clone::clone(client.as_object());
                    Self { client, object: ::core::convert::From::from(object) }
                }
            }

            impl ::core::convert::From<#sdk::blocking::Object> for #blocking {
                fn from(object: #sdk::blocking::Object) -> Self {
                    let client = ::core::convert::From::from(::core::clone::Clone::clone(object.as_async()));
                    Self { client, object }
                }
            }

            impl #sdk::blocking::Client for #blocking {
                fn as_object(&self) -> &#sdk::blocking::Object {
                    &self.object
                }
            }
        }
    }
}

impl Method {
    fn given_to_threads(&self, sdk: &Path) -> TokenStream {
        let (value, error) = (&self.outcome.value, self.outcome.error.iter());
        match self.outcome.stream {
            Some(_) => quote!(#sdk::blocking::Incoming<#value #(, #error)*>),
            None => quote!(::core::result::Result<#value, #sdk::object::CallError<#(#error)*>>),
        }
    }

    fn waiting(&self, sdk: &Path) -> TokenStream {
        let (documentation, name, signature) = (self.documentation(), &self.name, self.signature());
        let (given, arguments) = (self.given_to_threads(sdk), self.arguments());
        let called = quote!(self.client.#name(#(#arguments),*));
        let waited = match self.outcome.stream {
            Some(_) => quote!(::core::convert::From::from(#called)),
            None => quote!(#sdk::blocking::block_on(#called)),
        };
        quote! {
            #documentation
            pub fn #name(&self #(, #signature)*) -> #given {
                #waited
            }
        }
    }
}
