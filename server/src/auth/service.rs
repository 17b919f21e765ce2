//! The service `bursar.v1.Auth`: the handshake of the connection on which it is called.

use super::Keyring;
use crate::{faults, transport::Connection};
use bursar_proto::v1::{HelloReply, HelloRequest, ProveReply, ProveRequest, auth_server::Auth};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service `bursar.v1.Auth`.
pub struct AuthService {
    /// The keys.
    pub keyring: Arc<Keyring>,
}

#[tonic::async_trait]
impl Auth for AuthService {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let connection = connection(&request);
        let reply = connection
            .handshake(|handshake, now| handshake.hello(&self.keyring, request.get_ref(), connection.peer.is_unix(), now));
        reply.map(Response::new).map_err(|fault| faults::status(&fault))
    }

    async fn prove(&self, request: Request<ProveRequest>) -> Result<Response<ProveReply>, Status> {
        let connection = connection(&request);
        let reply = connection.handshake(|handshake, now| handshake.prove(&self.keyring, request.get_ref(), now));
        match reply {
            Ok(reply) => {
                connection.proven();
                Ok(Response::new(reply))
            }
            Err(refused) => {
                tracing::warn!(peer = %connection.peer, "a proof of the authkey was refused");
                if refused.close {
                    connection.close();
                }
                Err(faults::status(&refused.fault))
            }
        }
    }
}

fn connection<T>(request: &Request<T>) -> Arc<Connection> {
    request.extensions().get::<Arc<Connection>>().cloned().expect("the gate adds the connection")
}
