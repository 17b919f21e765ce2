//! What serves an object of the trait: it reads the arguments, calls the method, and writes what came of it. What that means is the SDK's
//! (`bursar::object::generated`); here is only which method has which types.

use crate::{
    model::{Contract, Method, Need, Parameter, Receiver},
    types::Shown,
};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Path;

/// A variable that no argument can hide.
fn local(name: &str) -> Ident {
    local_at(name, Span::call_site())
}

/// One that the compiler shows there.
fn local_at(name: &str, place: Span) -> Ident {
    Ident::new(name, Span::mixed_site().located_at(place))
}

impl Contract {
    /// The service, and from which objects it is made.
    pub fn service(&self) -> TokenStream {
        let (sdk, name, marker, call) = (&self.sdk, &self.name, self.marker(), local("call"));
        let access = if self.changes() { quote!(Change) } else { quote!(Read) };
        let arms = self.methods.iter().map(|method| method.arm(self));
        let sources = self.sources();
        quote! {
            const _: () = {
                struct __Served<__O>(__O);

                impl<__O: #sdk::object::generated::#access<Object: #name>> #sdk::Service for __Served<__O> {
                    fn description(&self) -> #sdk::object::Description {
                        #marker::description()
                    }

                    fn call(
                        self: ::std::sync::Arc<Self>,
                        #call: #sdk::object::Call,
                    ) -> #sdk::object::Answering {
                        match #call.method.as_str() {
                            #(#arms)*
                            _ => #sdk::object::generated::answering(async move {
                                ::core::result::Result::Ok(#sdk::object::generated::unknown(&#call.method))
                            }),
                        }
                    }
                }

                #(#sources)*
            };
        }
    }

    /// `Arc` is enough where nothing asks for `&mut self`.
    fn sources(&self) -> Vec<TokenStream> {
        let (sdk, name, marker) = (&self.sdk, &self.name, self.marker());
        let mut sources = vec![quote!(#sdk::Shared)];
        if !self.changes() {
            sources.push(quote!(::std::sync::Arc));
        }
        let source = |source| {
            quote! {
                impl<__T: #name> #sdk::object::IntoService<#marker> for #source<__T> {
                    fn into_service(self) -> ::std::sync::Arc<dyn #sdk::Service> {
                        ::std::sync::Arc::new(__Served(self))
                    }
                }
            }
        };
        sources.into_iter().map(source).collect()
    }
}

impl Method {
    /// What is done about a call of it.
    fn arm(&self, contract: &Contract) -> TokenStream {
        let (sdk, called) = (&contract.sdk, self.called());
        let arguments = self.read_arguments(sdk);
        let answer = match &self.outcome.stream {
            None => self.answer(contract),
            Some(_) if contract.changes() => self.free_stream(contract),
            Some(_) => self.stream(contract),
        };
        quote! {
            #called => #sdk::object::generated::answering(async move {
                #arguments
                ::core::result::Result::Ok(#answer)
            }),
        }
    }

    fn read_arguments(&self, sdk: &Path) -> TokenStream {
        let (call, arguments) = (local("call"), local("arguments"));
        let all = (!self.parameters.is_empty()).then(|| quote!(let mut #arguments = #call.arguments;));
        let each = self.parameters.iter().map(|parameter| parameter.read(sdk));
        quote!(#all #(#each)*)
    }

    /// Calls it, with the object taken as `object`.
    fn called_on_object(&self, contract: &Contract) -> (TokenStream, TokenStream) {
        let (name, method, object, arguments) = (&contract.name, &self.name, local("object"), self.arguments());
        match self.receiver {
            Receiver::Reads => {
                (quote!(let #object = self.0.read().await?;), quote!(<__O::Object as #name>::#method(&*#object #(, #arguments)*)))
            }
            Receiver::Changes => (
                quote!(let mut #object = self.0.change().await?;),
                quote!(<__O::Object as #name>::#method(&mut *#object #(, #arguments)*)),
            ),
        }
    }

    fn answer(&self, contract: &Contract) -> TokenStream {
        let (span, (object, called)) = (self.outcome.span(), self.called_on_object(contract));
        let (sdk, outcome) = (contract.sdk_at(span), local_at("outcome", span));
        let written = match self.error() {
            None => quote_spanned!(span => #sdk::object::generated::result(&#outcome)),
            Some(error) => quote_spanned!(span => #sdk::object::generated::outcome(&#outcome, #error)),
        };
        quote!({ #object let #outcome = #called.await; #written })
    }

    /// The object is kept while its items are given.
    fn stream(&self, contract: &Contract) -> TokenStream {
        let ((object, called), given) = (self.called_on_object(contract), self.given(contract));
        let stream = local("stream");
        quote!({ #object let #stream = #called; #given })
    }

    /// The object is free again once it has given the stream.
    fn free_stream(&self, contract: &Contract) -> TokenStream {
        let ((object, called), given) = (self.called_on_object(contract), self.given(contract));
        let stream = local("stream");
        quote!({ let #stream = { #object #called }; #given })
    }

    fn given(&self, contract: &Contract) -> TokenStream {
        let (span, call, stream) = (self.outcome.span(), local("call"), local("stream"));
        let sdk = contract.sdk_at(span);
        match self.error() {
            None => quote_spanned!(span => #sdk::object::generated::items(#call.items, #stream).await),
            Some(error) => quote_spanned!(span => #sdk::object::generated::fallible_items(#call.items, #stream, #error).await),
        }
    }

    /// How its error is called on the wire.
    pub fn error(&self) -> Option<String> {
        self.outcome.error.as_ref().map(|error| Shown::of(error).text().to_owned())
    }
}

impl Parameter {
    /// Takes its argument out of the call.
    fn read(&self, sdk: &Path) -> TokenStream {
        let (name, called, arguments, sent) = (&self.name, self.called(), local("arguments"), self.sent());
        let value = match &self.need {
            Need::Required => quote!(#sdk::object::generated::argument::<#sent>(&mut #arguments, #called)?),
            Need::Optional(_) => quote!(#sdk::object::generated::optional::<#sent>(&mut #arguments, #called)?),
            Need::Default(default) => {
                quote!(#sdk::object::generated::argument_or::<#sent>(&mut #arguments, #called, || #default)?)
            }
        };
        let written = &self.written;
        quote!(let #name: #written = #value;)
    }
}
