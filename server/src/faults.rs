//! Faults as gRPC statuses: the only place where a `tonic::Status` is built.

use bursar_proto::{Fault, v1};
use prost::Message;
use tonic::{Code, Status, metadata::MetadataValue};

/// A fault as a status of a unary call: its number in the trailer `bursar-fault`, all of it in the details.
pub fn status(fault: &Fault) -> Status {
    let details = v1::Fault::from(fault).encode_to_vec();
    let mut status = Status::with_details(code(fault), fault.to_string(), details.into());
    let metadata = status.metadata_mut();
    metadata.insert("bursar-fault", fault.number().into());
    if matches!(fault, Fault::HandshakeRequired {}) {
        metadata.insert("bursar-auth", MetadataValue::from_static("handshake-required"));
    }
    status
}

fn code(fault: &Fault) -> Code {
    use Fault::*;
    match fault {
        BadArgument { .. } | TooLarge { .. } | Protocol { .. } => Code::InvalidArgument,
        NoSuchArgument { .. } | MissingArgument { .. } => Code::InvalidArgument,
        NoSuchCall { .. } | NoSuchProvider { .. } => Code::NotFound,
        NoSuchObject { .. } | NoSuchSession {} | NoSuchValue {} | NoSuchReceiver { .. } => Code::NotFound,
        AlreadyExists { .. } | Duplicate { .. } => Code::AlreadyExists,
        LimitReached { .. } | Full { .. } | NoRoom { .. } => Code::ResourceExhausted,
        TooManyCalls { .. } | TooManyBytes { .. } | ResultTooLarge { .. } => Code::ResourceExhausted,
        UnknownVerb { .. } | NoSuchMethod { .. } => Code::Unimplemented,
        TimedOut { .. } | Unanswered {} => Code::DeadlineExceeded,
        ShuttingDown {} | Deposed {} | MemoryLost { .. } | NoProvider {} => Code::Unavailable,
        Cancelled {} => Code::Cancelled,
        HandshakeRequired {} | WrongKey {} => Code::Unauthenticated,
        SessionEnded { .. } | ProviderGone {} | Superseded { .. } | AnswerForgotten { .. } => Code::Aborted,
        RevisionMismatch { .. } | ListChanged { .. } | Lagged { .. } => Code::Aborted,
        EngineFailed { .. } => Code::Unknown,
        Overflow { .. } | CounterOverflow { .. } | OutOfRange { .. } => Code::OutOfRange,
        _ => Code::FailedPrecondition,
    }
}
