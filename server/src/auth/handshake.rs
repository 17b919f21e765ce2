//! The broker's side of the handshake, for one connection.
//!
//! ```text
//! nothing ──Hello──► pending ──Prove, right──► proven until it expires; a new handshake renews it in place
//!    ▲                  │ Prove wrong, or 5 s over
//!    └──────────────────┘ the third wrong proof closes the connection
//! ```
//!
//! Nothing is stored anywhere else: strangers cost the broker this struct and no more.

use crate::objects::kind::Moment;
use bursar_proto::{
    AuthKey, Fault,
    authkey::{self, NONCE_BYTES, Transcript},
    v1::{HelloReply, HelloRequest, ProveReply, ProveRequest},
};
use ring::hmac;
use std::collections::HashMap;

/// How long a client may take between `Hello` and `Prove`.
const PENDING_MS_MAX: u64 = 5_000;
/// Wrong proofs on one connection.
const FAILURES_MAX: u32 = 3;
/// How long a credential is valid.
const CREDENTIAL_MS: u64 = 3_600_000;
const KEY_ID_BYTES_MAX: usize = 200;

/// The keys of a broker, and who it is.
pub struct Keyring {
    keys: HashMap<String, AuthKey>,
    /// Under this key the credentials are kept, so that what is in memory opens no door.
    boot_random: hmac::Key,
    /// Which broker this is.
    pub server_id: [u8; 16],
    /// Which of its lives.
    pub boot_epoch: u64,
}

impl Keyring {
    /// These keys, each under its id.
    pub fn new(keys: impl IntoIterator<Item = AuthKey>, boot_epoch: u64) -> Keyring {
        Keyring {
            keys: keys.into_iter().map(|key| (key.id().to_owned(), key)).collect(),
            boot_random: hmac::Key::new(hmac::HMAC_SHA256, &authkey::random::<32>()),
            server_id: authkey::random(),
            boot_epoch,
        }
    }
}

/// The handshakes of one connection.
#[derive(Default)]
pub struct Handshake {
    pending: Option<Pending>,
    failures: u32,
    credential: Option<Credential>,
}

struct Pending {
    handshake_id: [u8; 16],
    transcript: [u8; 32],
    key: AuthKey,
    is_known: bool,
    until: Moment,
}

struct Credential {
    handshake_id: [u8; 16],
    /// The token's MAC under the keyring's random key.
    tag: hmac::Tag,
    until: Moment,
}

/// A proof was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the client is told: always the same.
    pub fault: Fault,
    /// This was one too many: close the connection.
    pub close: bool,
}

impl Handshake {
    /// Starts a handshake; one that is pending is forgotten. `is_unix`: the connection is a Unix socket.
    pub fn hello(&mut self, keyring: &Keyring, request: &HelloRequest, is_unix: bool, now: Moment) -> Result<HelloReply, Fault> {
        let HelloRequest { version, key_id, client_nonce, binding } = request;
        if *version != authkey::VERSION {
            return Err(Fault::bad_argument("version", format!("expected {}, got {version}", authkey::VERSION)));
        }
        if client_nonce.len() != NONCE_BYTES {
            let problem = format!("expected {NONCE_BYTES} bytes, got {}", client_nonce.len());
            return Err(Fault::bad_argument("client_nonce", problem));
        }
        if key_id.len() > KEY_ID_BYTES_MAX {
            return Err(Fault::bad_argument("key_id", format!("expected at most {KEY_ID_BYTES_MAX} bytes")));
        }
        match binding.as_str() {
            "none" => {}
            "unix" if is_unix => {}
            other => {
                let expected = if is_unix { "\"none\" or \"unix\"" } else { "\"none\"" };
                return Err(Fault::bad_argument("binding", format!("expected {expected} on this connection, got {other:?}")));
            }
        }
        let (handshake_id, server_nonce) = (authkey::random::<16>(), authkey::random::<NONCE_BYTES>());
        let transcript = Transcript {
            key_id,
            client_nonce,
            server_nonce: &server_nonce,
            handshake_id: &handshake_id,
            server_id: &keyring.server_id,
            boot_epoch: keyring.boot_epoch,
            binding,
            binding_data: &[],
        };
        // An unknown key id goes the same way, with a key that nobody has.
        let known = keyring.keys.get(key_id);
        let random = AuthKey::weak(&authkey::random::<32>());
        self.pending = Some(Pending {
            handshake_id,
            transcript: transcript.hash(),
            is_known: known.is_some(),
            key: known.cloned().unwrap_or(random),
            until: now.after_ms(PENDING_MS_MAX),
        });
        Ok(HelloReply {
            handshake_id: handshake_id.to_vec().into(),
            server_nonce: server_nonce.to_vec().into(),
            server_id: keyring.server_id.to_vec().into(),
            boot_epoch: keyring.boot_epoch,
        })
    }

    /// Ends the pending handshake, whatever comes of it.
    pub fn prove(&mut self, keyring: &Keyring, request: &ProveRequest, now: Moment) -> Result<ProveReply, Refused> {
        let ProveRequest { handshake_id, client_proof } = request;
        let pending = self.pending.take();
        let right = pending.filter(|pending| {
            // All is computed before anything is compared away.
            let verified = pending.key.verify_client(&pending.transcript, client_proof);
            verified & pending.is_known & (pending.handshake_id == handshake_id[..]) & (now <= pending.until)
        });
        let Some(Pending { handshake_id, transcript, key, .. }) = right else {
            self.failures += 1;
            return Err(Refused { fault: Fault::WrongKey {}, close: self.failures >= FAILURES_MAX });
        };
        let tag = hmac::sign(&keyring.boot_random, &key.token(&transcript));
        self.credential = Some(Credential { handshake_id, tag, until: now.after_ms(CREDENTIAL_MS) });
        let server_proof = key.server_proof(&transcript, client_proof).to_vec().into();
        Ok(ProveReply { server_proof, expires_in_ms: CREDENTIAL_MS })
    }

    /// Whether this metadata entry, `handshake_id || token`, opens the gate.
    pub fn admits(&self, keyring: &Keyring, entry: &[u8], now: Moment) -> bool {
        let (Some(credential), Some((handshake_id, token))) = (&self.credential, entry.split_at_checked(16)) else {
            return false;
        };
        let verified = hmac::verify(&keyring.boot_random, token, credential.tag.as_ref()).is_ok();
        verified && credential.handshake_id == handshake_id && now <= credential.until
    }

    /// Whether there is a valid credential at all.
    pub fn is_proven(&self, now: Moment) -> bool {
        self.credential.as_ref().is_some_and(|credential| now <= credential.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> AuthKey {
        AuthKey::new(&[7; 32]).unwrap().with_id(id)
    }

    fn hello(id: &str) -> HelloRequest {
        HelloRequest { version: 1, key_id: id.into(), client_nonce: vec![1; 32].into(), binding: "none".into() }
    }

    /// What a client computes: its proof, and the metadata entry it would send.
    fn proof(key: &AuthKey, hello: &HelloRequest, reply: &HelloReply) -> (ProveRequest, Vec<u8>) {
        let transcript = Transcript {
            key_id: &hello.key_id,
            client_nonce: &hello.client_nonce,
            server_nonce: &reply.server_nonce,
            handshake_id: &reply.handshake_id,
            server_id: &reply.server_id,
            boot_epoch: reply.boot_epoch,
            binding: &hello.binding,
            binding_data: &[],
        };
        let hash = transcript.hash();
        let request =
            ProveRequest { handshake_id: reply.handshake_id.clone(), client_proof: key.client_proof(&hash).to_vec().into() };
        (request, [&reply.handshake_id[..], &key.token(&hash)].concat())
    }

    #[test]
    fn a_right_proof_opens_the_gate_until_it_expires() {
        let keyring = Keyring::new([key("a"), AuthKey::new(&[8; 32]).unwrap().with_id("b")], 1);
        let mut handshake = Handshake::default();
        assert!(!handshake.admits(&keyring, &[0; 48], Moment(0)));
        let reply = handshake.hello(&keyring, &hello("a"), false, Moment(0)).unwrap();
        let (request, entry) = proof(&key("a"), &hello("a"), &reply);
        assert!(!handshake.admits(&keyring, &entry, Moment(0)), "not before the proof");
        assert!(handshake.prove(&keyring, &request, Moment(1)).is_ok());
        assert!(handshake.admits(&keyring, &entry, Moment(1)));
        assert!(handshake.admits(&keyring, &entry, Moment(1 + CREDENTIAL_MS)));
        assert!(!handshake.admits(&keyring, &entry, Moment(2 + CREDENTIAL_MS)));
        let mut forged = entry.clone();
        forged[47] ^= 1;
        assert!(!handshake.admits(&keyring, &forged, Moment(1)));
        assert!(!handshake.admits(&keyring, &entry[..47], Moment(1)));
        assert!(!Handshake::default().admits(&keyring, &entry, Moment(1)), "another connection has not earned it");
    }

    #[test]
    fn every_handshake_is_tried_once() {
        let keyring = Keyring::new([key("a")], 1);
        let mut handshake = Handshake::default();
        let reply = handshake.hello(&keyring, &hello("a"), false, Moment(0)).unwrap();
        let (request, _) = proof(&key("a"), &hello("a"), &reply);
        let mut wrong = request.clone();
        wrong.client_proof = vec![0; 32].into();
        let refused = Err(Refused { fault: Fault::WrongKey {}, close: false });
        assert_eq!(handshake.prove(&keyring, &wrong, Moment(1)), refused);
        assert_eq!(handshake.prove(&keyring, &request, Moment(1)), refused, "the right proof comes too late");
        let reply = handshake.hello(&keyring, &hello("a"), false, Moment(1)).unwrap();
        let (request, _) = proof(&key("a"), &hello("a"), &reply);
        let refused = handshake.prove(&keyring, &request, Moment(1 + PENDING_MS_MAX + 1)).unwrap_err();
        assert!(refused.close, "the third failure closes the connection");
    }

    #[test]
    fn unknown_keys_wrong_keys_and_expired_handshakes_look_the_same() {
        let keyring = Keyring::new([key("a")], 1);
        let refusal = |id: &str, secret: u8| {
            let mut handshake = Handshake::default();
            let reply = handshake.hello(&keyring, &hello(id), false, Moment(0)).unwrap();
            let (request, _) = proof(&AuthKey::new(&[secret; 32]).unwrap(), &hello(id), &reply);
            handshake.prove(&keyring, &request, Moment(0)).unwrap_err()
        };
        assert_eq!(refusal("nobody", 7), refusal("a", 9));
        assert_eq!(Handshake::default().prove(&keyring, &ProveRequest::default(), Moment(0)).unwrap_err(), refusal("a", 9));
    }

    #[test]
    fn downgrades_are_refused() {
        let keyring = Keyring::new([key("a")], 1);
        let mut handshake = Handshake::default();
        for (version, nonce, binding) in
            [(0, 32, "none"), (2, 32, "none"), (1, 31, "none"), (1, 32, "tls-cert-sha256"), (1, 32, "unix")]
        {
            let request =
                HelloRequest { version, key_id: "a".into(), client_nonce: vec![1; nonce].into(), binding: binding.into() };
            assert!(handshake.hello(&keyring, &request, false, Moment(0)).is_err(), "{request:?}");
        }
    }
}
