//! The gate: before routing and before a body is read, every call but those of `Auth` shows its credential.

use super::Keyring;
use crate::{
    faults,
    transport::{Connection, Metered},
};
use bursar_proto::Fault;
use http::{Request, Response};
use hyper::body::Incoming;
use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};
use tonic::{body::Body, metadata::MetadataMap, service::Routes};
use tower_service::Service;

/// Default deny: the only paths without a credential.
const OPEN_PATHS: &str = "/bursar.v1.Auth/";
/// The metadata entry that carries the credential.
const CREDENTIAL: &str = "bursar-session-bin";

/// The gate of one connection.
#[derive(Clone)]
pub struct Gate {
    /// Whose gate it is.
    pub connection: Arc<Connection>,
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// Everything behind it.
    pub routes: Routes,
}

impl Gate {
    fn admits(&self, request: &Request<Incoming>) -> bool {
        if request.uri().path().starts_with(OPEN_PATHS) {
            return true;
        }
        // Base64 in the header, bytes here. Several entries of the name: only the first counts.
        let metadata = MetadataMap::from_headers(request.headers().clone());
        let entry = metadata.get_bin(CREDENTIAL).and_then(|entry| entry.to_bytes().ok());
        entry.is_some_and(|entry| self.connection.handshake(|handshake, now| handshake.admits(&self.keyring, &entry, now)))
    }
}

impl hyper::service::Service<Request<Incoming>> for Gate {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if !self.admits(&request) {
            let response = faults::status(&Fault::HandshakeRequired {}).into_http();
            return Box::pin(std::future::ready(Ok(response)));
        }
        let connection = self.connection.clone();
        let mut request = request.map(|body| Body::new(Metered::new(body, connection.clone())));
        request.extensions_mut().insert(connection);
        let mut routes = self.routes.clone();
        Box::pin(async move { routes.call(request).await })
    }
}
