//! The client: the methods of the trait, each of which calls the object, and the trait itself, for whoever takes any implementation of it.

use crate::model::{Contract, Method, Need, Parameter, Stream};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Path, spanned::Spanned};

impl Contract {
    /// The client, and all that it implements.
    pub fn async_client(&self) -> TokenStream {
        let parts = [self.client_itself(), self.client_as_value(), self.client_as_object()];
        quote!(#(#parts)*)
    }

    fn client_itself(&self) -> TokenStream {
        let Contract { sdk, visibility, name, .. } = self;
        let (client, methods) = (self.client(), self.methods.iter().map(|method| method.calling(self)));
        let about = format!("Calls an object of the trait [`{name}`], wherever it is served.");
        quote! {
            #[doc = #about]
            #[derive(Clone, Debug)]
            #visibility struct #client {
                object: #sdk::Object,
                wait: #sdk::Wait,
            }

            #[allow(clippy::all)]
            impl #client {
                /// Opens the object of this name. Faults: `NoSuchObject`; `Mismatch`, when it is of another kind.
                pub async fn open(manager: &#sdk::Manager, name: &str) -> #sdk::Result<Self> {
                    manager.object(name).open_as().await
                }

                /// The object, for calls by name.
                pub fn as_object(&self) -> &#sdk::Object {
                    &self.object
                }

                /// A client of the same object, each of whose calls waits no longer than this: the fault is then `TimedOut`, or
                /// `Unanswered` if a provider had the call.
                pub fn within(&self, wait: impl ::core::convert::Into<#sdk::Wait>) -> Self {
                    Self { object: ::core::clone::Clone::clone(&self.object), wait: wait.into() }
                }

                /// A client of the same object, whose calls wait for somebody who serves it instead of failing with `NoProvider`.
                pub fn wait_for_provider(&self) -> Self {
                    Self { object: self.object.wait_for_provider(), wait: self.wait }
                }

                #(#methods)*
            }
        }
    }

    /// A client can be an argument or a result, as every handle.
    fn client_as_value(&self) -> TokenStream {
        let (sdk, client) = (&self.sdk, self.client());
        let generated = quote!(#sdk::object::generated);
        quote! {
            impl ::core::convert::From<#sdk::Object> for #client {
                fn from(object: #sdk::Object) -> Self {
                    Self { object, wait: #sdk::Wait::Forever }
                }
            }

            impl #sdk::object::Client for #client {
                fn as_object(&self) -> &#sdk::Object {
                    &self.object
                }
            }

            impl #generated::serde::Serialize for #client {
                fn serialize<__S: #generated::serde::Serializer>(
                    &self,
                    serializer: __S,
                ) -> ::core::result::Result<__S::Ok, __S::Error> {
                    #generated::serde::Serialize::serialize(&self.object, serializer)
                }
            }

            impl<'de> #generated::serde::Deserialize<'de> for #client {
                fn deserialize<__D: #generated::serde::Deserializer<'de>>(
                    deserializer: __D,
                ) -> ::core::result::Result<Self, __D::Error> {
                    let object = <#sdk::Object as #generated::serde::Deserialize<'de>>::deserialize(deserializer)?;
                    ::core::result::Result::Ok(::core::convert::From::from(object))
                }
            }

            impl #generated::Handle for #client {
                const KIND: &'static str = "object";
            }
        }
    }

    /// The trait.
    fn client_as_object(&self) -> TokenStream {
        let (name, client, methods) = (&self.name, self.client(), self.methods.iter().map(|method| method.implemented(self)));
        quote! {
            /// What the trait cannot say, as that the object is gone, becomes an error of the method by `From<bursar::Error>` if its error
            /// has that, and panics otherwise.
            impl #name for #client {
                #(#methods)*
            }
        }
    }
}

impl Method {
    /// The client's own method.
    fn calling(&self, contract: &Contract) -> TokenStream {
        let (documentation, name, signature) = (self.documentation(), &self.name, self.signature());
        let (given, call) = (self.given_to_callers(&contract.sdk), self.request(contract));
        match self.outcome.stream {
            Some(_) => quote! {
                #documentation
                pub fn #name(&self #(, #signature)*) -> #given {
                    #call
                }
            },
            None => quote! {
                #documentation
                pub async fn #name(&self #(, #signature)*) -> #given {
                    #call.await
                }
            },
        }
    }

    /// What it was given in the trait, or what each method needs.
    pub fn documentation(&self) -> TokenStream {
        let written = self.attributes.iter().filter(|attribute| attribute.path().is_ident("doc"));
        let instead = self.doc.is_empty().then(|| format!("Calls `{}`.", self.called())).into_iter();
        quote!(#(#written)* #(#[doc = #instead])*)
    }

    /// The result of a call, or its items.
    fn given_to_callers(&self, sdk: &Path) -> TokenStream {
        let (value, error) = (&self.outcome.value, self.outcome.error.iter());
        match self.outcome.stream {
            Some(_) => quote!(#sdk::object::Incoming<#value #(, #error)*>),
            None => quote!(::core::result::Result<#value, #sdk::object::CallError<#(#error)*>>),
        }
    }

    fn request(&self, contract: &Contract) -> TokenStream {
        let (called, arguments) = (self.called(), self.parameters.iter().map(Parameter::sending));
        let request = quote!(self.object.call(#called).wait(self.wait) #(#arguments)*);
        // What cannot travel is to be seen where it is written.
        let span = self.outcome.span();
        let sdk = contract.sdk_at(span);
        match (&self.outcome.stream, self.error()) {
            (None, None) => quote_spanned!(span => #sdk::object::generated::call(#request)),
            (None, Some(error)) => quote_spanned!(span => #sdk::object::generated::call_or(#request, #error)),
            (Some(_), None) => quote_spanned!(span => #sdk::object::generated::stream(#request)),
            (Some(_), Some(error)) => quote_spanned!(span => #sdk::object::generated::stream_or(#request, #error)),
        }
    }

    /// The method of the trait.
    fn implemented(&self, contract: &Contract) -> TokenStream {
        let (client, name, arguments) = (contract.client(), &self.name, self.arguments());
        let (receiver, signature, written) = (self.receiver.written(), self.signature(), &self.outcome.written);
        let called = quote!(#client::#name(self #(, #arguments)*));
        match &self.outcome.stream {
            Some(Stream { bounds, .. }) => {
                let items = self.said_items(contract, called);
                quote! {
                    fn #name(#receiver #(, #signature)*) -> impl #bounds + ::core::marker::Send {
                        #items
                    }
                }
            }
            None => {
                let outcome = self.said(contract, quote!(#called.await));
                quote! {
                    async fn #name(#receiver #(, #signature)*) -> #written {
                        #outcome
                    }
                }
            }
        }
    }

    /// The outcome of a call, in the types of the trait.
    fn said(&self, contract: &Contract, outcome: TokenStream) -> TokenStream {
        let (sdk, place) = (&contract.sdk, format!("{}::{}", contract.name, self.called()));
        match &self.outcome.error {
            None => quote!(#sdk::object::generated::certain(#place, #outcome)),
            Some(error) => quote! {{
                #[allow(unused_imports)]
                use #sdk::object::generated::{ByFrom as _, ByPanic as _};
                (&#sdk::object::generated::Otherwise::<#error>::new(#place)).or_else(#outcome)
            }},
        }
    }

    fn said_items(&self, contract: &Contract, items: TokenStream) -> TokenStream {
        let (sdk, place) = (&contract.sdk, format!("{}::{}", contract.name, self.called()));
        if self.outcome.error.is_none() {
            return quote!(#sdk::object::generated::certain_items(#place, #items));
        }
        let item = self.said(contract, quote!(item));
        quote!(#sdk::object::generated::StreamExt::map(#items, |item| #item))
    }
}

impl Parameter {
    fn sending(&self) -> TokenStream {
        let (name, called, span) = (&self.name, self.called(), self.written.span());
        match self.need {
            Need::Optional(_) => quote_spanned!(span => .arg_if(#called, #name.as_ref())),
            Need::Required | Need::Default(_) => quote_spanned!(span => .arg(#called, &#name)),
        }
    }
}
