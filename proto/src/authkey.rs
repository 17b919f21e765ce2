//! The authkey and the handshake `bursar-auth-v1`: pure computation, the same for both ends.
//!
//! ```text
//! client                                     broker
//!   Hello  { key_id, client_nonce }   ──►
//!          ◄──  { handshake_id, server_nonce, server_id, boot_epoch }
//!   Prove  { client_proof }           ──►    verifies; the client proves first
//!          ◄──  { server_proof }
//!   verifies; from here on both know the token, which was never sent in a reply
//! ```
//!
//! Nobody without the key ever receives a MAC made with it. The steps on the broker's side: `server/src/auth`.

use ring::{
    digest, hkdf, hmac,
    rand::{SecureRandom, SystemRandom},
};
use rustix::fs::{Mode, OFlags};
use std::{
    fmt, io,
    io::{Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The version of the handshake.
pub const VERSION: u32 = 1;
/// Bytes of a nonce and of a proof.
pub const NONCE_BYTES: usize = 32;
/// Keys below this are refused, except by explicit choice on a Unix or loopback address.
pub const KEY_BYTES_MIN: usize = 16;
/// Keys above this are certainly a wrong file.
pub const KEY_BYTES_MAX: usize = 4096;
/// The key id that is used where none is said.
pub const DEFAULT_KEY_ID: &str = "default";

const LABEL: &[u8] = b"bursar-auth-v1";

/// A shared secret and its id. It holds only what is derived from the secret, and shows neither.
#[derive(Clone)]
pub struct AuthKey {
    id: String,
    prk: hkdf::Prk,
    short: bool,
}

/// A key could not be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum KeyError {
    #[error(
        "the authkey has {bytes} bytes, at least {KEY_BYTES_MIN} are needed: make one with `bursar keygen`, or allow a weak key explicitly"
    )]
    Short { bytes: usize },
    #[error("the authkey has more than {KEY_BYTES_MAX} bytes: is {path} really a key file?", path = path.display())]
    Long { path: PathBuf },
    #[error("the key file {path} can be read by others (mode {mode:o}): run `chmod 600 {path}`", path = path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the key file {path} belongs to user {owner}, not to this user ({user}) or root", path = path.display())]
    Foreign { path: PathBuf, owner: u32, user: u32 },
    #[error("the key file {path} cannot be read: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the key file {path} cannot be written: {source}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("no authkey: give one with --authkey-file, or in BURSAR_AUTHKEY_FILE; `bursar keygen FILE` makes one")]
    Missing,
}

impl AuthKey {
    /// A key from its bytes, under the id `default`.
    ///
    /// ```
    /// use bursar_proto::AuthKey;
    /// assert!(AuthKey::new(&[7; 32]).is_ok());
    /// assert!(AuthKey::new(b"secret").is_err(), "too short");
    /// ```
    pub fn new(secret: &[u8]) -> Result<AuthKey, KeyError> {
        match secret.len() {
            bytes if bytes < KEY_BYTES_MIN => Err(KeyError::Short { bytes }),
            _ => Ok(AuthKey::weak(secret)),
        }
    }

    /// A key of any length. A broker takes a short one only where it is told to, on a Unix or loopback address.
    pub fn weak(secret: &[u8]) -> AuthKey {
        AuthKey {
            id: DEFAULT_KEY_ID.to_owned(),
            prk: hkdf::Salt::new(hkdf::HKDF_SHA256, LABEL).extract(secret),
            short: secret.len() < KEY_BYTES_MIN,
        }
    }

    /// The same key under another id.
    pub fn with_id(mut self, id: impl Into<String>) -> AuthKey {
        self.id = id.into();
        self
    }

    /// The key in a file: exactly its bytes. Refused when others may read it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<AuthKey, KeyError> {
        AuthKey::new(&read_key_file(path.as_ref())?)
    }

    /// As [`AuthKey::from_file`], and a short key is taken.
    pub fn weak_from_file(path: impl AsRef<Path>) -> Result<AuthKey, KeyError> {
        Ok(AuthKey::weak(&read_key_file(path.as_ref())?))
    }

    /// Writes 32 random bytes to a new file of mode 0600; an existing file is not touched.
    pub fn generate(path: impl AsRef<Path>) -> Result<AuthKey, KeyError> {
        let path = path.as_ref();
        let secret = random::<32>();
        write_key_file(path, &secret).map_err(|source| KeyError::Write { path: path.into(), source })?;
        AuthKey::new(&secret)
    }

    /// The id under which the broker finds the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the key has fewer than 16 bytes.
    pub fn is_short(&self) -> bool {
        self.short
    }

    fn derive(&self, info: &[&[u8]]) -> [u8; 32] {
        let mut output = [0; 32];
        let okm = self.prk.expand(info, hkdf::HKDF_SHA256).expect("32 bytes are one block of SHA-256");
        okm.fill(&mut output).expect("the output has the length of the algorithm");
        output
    }

    fn mac_key(&self, info: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.derive(&[info]))
    }

    /// What the client sends in `Prove`.
    pub fn client_proof(&self, transcript: &[u8; 32]) -> [u8; 32] {
        to_array(hmac::sign(&self.mac_key(b"client-proof"), transcript))
    }

    /// Whether a client's proof is right, in constant time.
    pub fn verify_client(&self, transcript: &[u8; 32], client_proof: &[u8]) -> bool {
        hmac::verify(&self.mac_key(b"client-proof"), transcript, client_proof).is_ok()
    }

    /// What the broker answers to a right proof.
    pub fn server_proof(&self, transcript: &[u8; 32], client_proof: &[u8]) -> [u8; 32] {
        to_array(hmac::sign(&self.mac_key(b"server-proof"), &[transcript, client_proof].concat()))
    }

    /// Whether the broker's proof is right, in constant time.
    pub fn verify_server(&self, transcript: &[u8; 32], client_proof: &[u8], server_proof: &[u8]) -> bool {
        hmac::verify(&self.mac_key(b"server-proof"), &[transcript, client_proof].concat(), server_proof).is_ok()
    }

    /// The credential of every later rpc on the connection.
    pub fn token(&self, transcript: &[u8; 32]) -> [u8; 32] {
        self.derive(&[b"session-token", transcript])
    }
}

impl fmt::Debug for AuthKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AuthKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Everything that both sides put under their proofs.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Transcript<'a> {
    pub key_id: &'a str,
    pub client_nonce: &'a [u8],
    pub server_nonce: &'a [u8],
    pub handshake_id: &'a [u8],
    pub server_id: &'a [u8],
    pub boot_epoch: u64,
    pub binding: &'a str,
    /// Each side's own view of the channel: empty for `none` and `unix`; the SHA-256 of the server's leaf certificate for TLS.
    pub binding_data: &'a [u8],
}

impl Transcript<'_> {
    /// The hash under the proofs: every part is preceded by its length, so that no two transcripts collide.
    pub fn hash(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut part = |bytes: &[u8]| {
            context.update(&(bytes.len() as u32).to_be_bytes());
            context.update(bytes);
        };
        part(LABEL);
        part(&VERSION.to_be_bytes());
        part(self.key_id.as_bytes());
        part(self.client_nonce);
        part(self.server_nonce);
        part(self.handshake_id);
        part(self.server_id);
        part(&self.boot_epoch.to_be_bytes());
        part(self.binding.as_bytes());
        part(self.binding_data);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system's random source works");
    bytes
}

fn to_array(tag: hmac::Tag) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

fn read_key_file(path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |source| KeyError::Read { path: path.into(), source };
    // Owner and mode are those of the opened file, so that nobody can put another in its place after the check.
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let user = rustix::process::geteuid().as_raw();
    match metadata.uid() {
        owner if owner != user && owner != 0 => return Err(KeyError::Foreign { path: path.into(), owner, user }),
        _ if metadata.mode() & 0o077 != 0 => {
            return Err(KeyError::Exposed { path: path.into(), mode: metadata.mode() & 0o777 });
        }
        _ => {}
    }
    let mut secret = Vec::new();
    (&mut file).take(KEY_BYTES_MAX as u64 + 1).read_to_end(&mut secret).map_err(failed)?;
    if secret.len() > KEY_BYTES_MAX {
        return Err(KeyError::Long { path: path.into() });
    }
    Ok(secret)
}

fn write_key_file(path: &Path, secret: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(secret)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The vectors of docs/protocol.md: another language checks itself against the same.
    #[test]
    fn test_vectors() {
        let key = AuthKey::new(&(0..32).collect::<Vec<u8>>()).unwrap().with_id("k1");
        let vectors: [(&str, &[u8], [&str; 4]); 2] = [
            (
                "none",
                &[],
                [
                    "07174aa7d9c70c0999ef84ebf76e4382acb3c32fd04b30337add9c4d69e0a2d3",
                    "fc1ce3ee66db02c20ea5b4983bc66d750c884ba7995c570726dad1e75f59d746",
                    "aba74fbf8e71d194e799f12662b2033e654b0c34d3e2eb7f9eca8953970c43b9",
                    "d19b7bce9d4f8265ccce9649022dc2a6472e9eaab98edb6b4a8d9c061f8dc033",
                ],
            ),
            (
                "tls-cert-sha256",
                &[0xab; 32],
                [
                    "fe6effcca0b65e69bfaf7fed99cd6e586e343d324a2c886cc3cf14cdce9c2d03",
                    "f714c2bd5926d37947ab5f8922a1f42f0669cfcb3c0d6d63ca5bf9051bd32fe1",
                    "b3a530bea49b79689cfea3ecacae84c584047e3bc20a9582fffd037f25f3a7b8",
                    "a600c8f0386ff4402642a68f3a367ed879aa3c528db81ebc32badabb0b0a89fb",
                ],
            ),
        ];
        for (binding, binding_data, expected) in vectors {
            let transcript = Transcript {
                key_id: "k1",
                client_nonce: &[0xc1; 32],
                server_nonce: &[0x51; 32],
                handshake_id: &[0x1d; 16],
                server_id: &[0x5e; 16],
                boot_epoch: 7,
                binding,
                binding_data,
            };
            let hash = transcript.hash();
            let client_proof = key.client_proof(&hash);
            let server_proof = key.server_proof(&hash, &client_proof);
            let actual = [hash, client_proof, server_proof, key.token(&hash)].map(|bytes| hex(&bytes));
            assert_eq!(actual, expected);
            assert!(key.verify_client(&hash, &client_proof));
            assert!(key.verify_server(&hash, &client_proof, &server_proof));
            assert!(!key.verify_client(&hash, &server_proof), "a reflected proof");
            assert!(!key.verify_client(&hash, &client_proof[..31]));
        }
    }

    #[test]
    fn a_key_file_is_private_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        AuthKey::generate(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(&path).unwrap().len(), 32);
        assert!(AuthKey::from_file(&path).is_ok());
        assert!(matches!(AuthKey::generate(&path), Err(KeyError::Write { .. })), "an existing key is not overwritten");
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(AuthKey::from_file(&path), Err(KeyError::Exposed { .. })), "{mode:o}");
        }
        std::fs::write(&path, vec![0; KEY_BYTES_MAX + 1]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(AuthKey::from_file(&path), Err(KeyError::Long { .. })));
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(AuthKey::from_file(&path), Err(KeyError::Short { bytes: 5 })));
        assert!(AuthKey::weak_from_file(&path).unwrap().is_short());
        assert!(matches!(AuthKey::from_file(directory.path()), Err(KeyError::Read { .. })), "a directory");
        assert!(!format!("{:?}", AuthKey::weak(b"short")).contains("short\""));
    }
}
