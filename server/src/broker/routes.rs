//! What a broker answers to: every service of the contract, with the limits of its messages.

use crate::{
    auth::{AuthService, Keyring},
    sessions::{SessionsService, Table, Unary},
};
use bursar_proto::{
    limits,
    v1::{
        array::array_server::ArrayServer, auth_server::AuthServer, barrier::barrier_server::BarrierServer,
        channel::channel_server::ChannelServer, condition::condition_server::ConditionServer,
        counter::counter_server::CounterServer, event::event_server::EventServer, kv::kv_server::KvServer,
        latch::latch_server::LatchServer, list::list_server::ListServer, lock::lock_server::LockServer,
        object::object_server::ObjectServer, queue::queue_server::QueueServer, registry::registry_server::RegistryServer,
        rwlock::rwlock_server::RwlockServer, semaphore::semaphore_server::SemaphoreServer, sessions_server::SessionsServer,
        topic::topic_server::TopicServer, txn::txn_server::TxnServer,
    },
};
use std::sync::Arc;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};

/// Everything behind the gate.
pub(super) fn routes(keyring: Arc<Keyring>, table: Arc<Table>, health: HealthServer<impl Health>) -> Routes {
    let unary = Unary { table: table.clone() };
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(bursar_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors were compiled with this program");
    const MAX: usize = limits::MESSAGE_BYTES_MAX;
    const AUTH_MAX: usize = limits::AUTH_MESSAGE_BYTES_MAX;
    Routes::new(AuthServer::new(AuthService { keyring }).max_decoding_message_size(AUTH_MAX).max_encoding_message_size(AUTH_MAX))
        .add_service(SessionsServer::new(SessionsService { table }).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(RegistryServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(QueueServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(KvServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(LockServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(RwlockServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(SemaphoreServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(EventServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(LatchServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(ConditionServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(BarrierServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(CounterServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(ListServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(ArrayServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(ChannelServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(TopicServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(ObjectServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(TxnServer::new(unary.clone()).max_decoding_message_size(MAX).max_encoding_message_size(MAX))
        .add_service(health)
        .add_service(reflection)
        .prepare()
}
