//! The server secret, and the keys derived from it.
//!
//! Owns the one secret of a deployment: configured, or in development kept in a file of the data
//! directory. Token and ticket code ask it for keys at start-up. It must never show its bytes, and
//! never hand one purpose's key to another.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use hkdf::Hkdf;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// Shortest secret that is accepted, in bytes: own tokens are signed, so whoever holds one can
/// test guesses of the secret without asking the server.
pub const MIN_SECRET_BYTES: usize = 32;

/// Longest secret file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 4096;

/// Name of the development secret inside the data directory.
const FILE_NAME: &str = "secret";

/// HKDF salt of every key but those of tokens, whose salt is the issuer's name.
const SALT: &[u8] = b"dormouse";

/// Why there is no usable server secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Nothing is configured, and this is not development.
    #[error(
        "no server secret is configured; set it to at least {MIN_SECRET_BYTES} random bytes, for \
         example the output of `openssl rand -hex 32`, the same on every instance"
    )]
    Missing,
    /// The configured secret is guessable.
    #[error(
        "the configured server secret is shorter than {MIN_SECRET_BYTES} bytes; set a longer one, \
         for example the output of `openssl rand -hex 32`"
    )]
    TooShort,
    /// The secret file is not text of hexadecimal digits, or is far too long.
    #[error(
        "{path} does not hold a server secret (hexadecimal digits); restore it from a backup, or \
         delete it so that a new one is made, which makes all earlier tokens invalid"
    )]
    Garbled {
        /// The secret file.
        path: PathBuf,
    },
    /// The secret file is cut off or was made by hand.
    #[error(
        "{path} holds fewer than {digits} hexadecimal digits; restore it from a backup, or delete \
         it so that a new one is made, which makes all earlier tokens invalid",
        digits = MIN_SECRET_BYTES * 2
    )]
    FileTooShort {
        /// The secret file.
        path: PathBuf,
    },
    /// The secret file exists and cannot be read.
    #[error(
        "cannot read the server secret from {path}: {source}; make it readable for the user that \
         runs the server, or configure a secret"
    )]
    Unreadable {
        /// The secret file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No secret file could be made.
    #[error(
        "cannot create a server secret in {path}: {source}; make the data directory writable for \
         the user that runs the server, or configure a secret"
    )]
    Uncreatable {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a derived key is for; one label each, so that no key ever serves two purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// HMAC over WebSocket tickets (realtime contract section 3).
    Ticket,
    /// Encryption of what the database keeps of third parties' secrets.
    Vault,
    /// HMAC over the addresses of files.
    FileLink,
}

impl Purpose {
    /// HKDF `info`. Changing one invalidates what was signed with its key.
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Ticket => b"websocket-ticket-hmac-sha256",
            Self::Vault => b"vault-aes-256-gcm",
            Self::FileLink => b"file-link-hmac-sha256",
        }
    }
}

/// A derived 32-byte key; wiped when dropped.
pub type DerivedKey = Zeroizing<[u8; 32]>;

/// The secret that all keys of a deployment come from.
pub struct ServerSecret(Zeroizing<Vec<u8>>);

impl ServerSecret {
    /// The secret of a running server: the configured one, else in development the one kept in
    /// `data_dir`.
    ///
    /// # Errors
    /// [`SecretError::Missing`] outside development without a configured secret: such a server
    /// must not start (realtime contract section 3). Otherwise as [`Self::from_bytes`] and
    /// [`Self::from_data_dir`].
    pub fn resolve(
        configured: Option<&[u8]>,
        development: bool,
        data_dir: &Path,
    ) -> Result<Self, SecretError> {
        match configured {
            Some(bytes) => Self::from_bytes(bytes),
            None if development => Self::from_data_dir(data_dir),
            None => Err(SecretError::Missing),
        }
    }

    /// A configured secret; the bytes are used as they are.
    ///
    /// # Errors
    /// [`SecretError::TooShort`] under [`MIN_SECRET_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretError> {
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(SecretError::TooShort);
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// The secret kept in `<data_dir>/secret`, made on first use (32 random bytes as hexadecimal
    /// digits, file mode 0600). The digits themselves are the secret's bytes, so that a deployment
    /// keeps its tokens when it moves the file's text into its configuration.
    ///
    /// Of several processes that start at once, one makes the file and all read that one.
    ///
    /// # Errors
    /// Every other variant of [`SecretError`], each with its remedy.
    pub fn from_data_dir(data_dir: &Path) -> Result<Self, SecretError> {
        let path = data_dir.join(FILE_NAME);
        if let Some(secret) = Self::read(&path)? {
            return Ok(secret);
        }
        let uncreatable = |source| SecretError::Uncreatable {
            path: data_dir.to_path_buf(),
            source,
        };
        create_file(data_dir, &path).map_err(uncreatable)?;
        Self::read(&path)?.ok_or_else(|| uncreatable(io::ErrorKind::NotFound.into()))
    }

    /// Reads a secret file; `None` when there is none.
    fn read(path: &Path) -> Result<Option<Self>, SecretError> {
        let unreadable = |source| SecretError::Unreadable {
            path: path.to_path_buf(),
            source,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(unreadable(err)),
        };
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.mode() & 0o077 != 0 {
            tracing::warn!(
                path = %path.display(),
                "the server secret can be read by other users; run `chmod 600` on it"
            );
        }
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES as usize + 1));
        file.take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut text)
            .map_err(unreadable)?;
        let digits = text.trim_ascii();
        if text.len() as u64 > MAX_FILE_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(SecretError::Garbled {
                path: path.to_path_buf(),
            });
        }
        if digits.len() < MIN_SECRET_BYTES * 2 {
            return Err(SecretError::FileTooShort {
                path: path.to_path_buf(),
            });
        }
        Ok(Some(Self(Zeroizing::new(digits.to_vec()))))
    }

    /// The key for one purpose: HKDF-SHA256 (RFC 5869) with the purpose's label.
    #[must_use]
    pub fn derive(&self, purpose: Purpose) -> DerivedKey {
        self.expand(SALT, purpose.label())
    }

    /// The Ed25519 seed of an own issuer's tokens (REST contract section 1.2): HKDF-SHA256 with
    /// the issuer's name as salt and `ed25519-key` as info. The scheme is that of earlier
    /// deployments, whose tokens (issuer `handy`) stay valid under the same secret when that
    /// issuer is configured.
    #[must_use]
    pub fn token_seed(&self, issuer: &str) -> DerivedKey {
        self.expand(issuer.as_bytes(), b"ed25519-key")
    }

    #[expect(
        clippy::expect_used,
        reason = "32 bytes are always within HKDF-SHA256's 8160"
    )]
    fn expand(&self, salt: &[u8], info: &[u8]) -> DerivedKey {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(salt), &self.0)
            .expand(info, key.as_mut_slice())
            .expect("an output of 32 bytes");
        key
    }
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerSecret(hidden)")
    }
}

/// Writes a new secret to a temporary file (tempfile makes it with mode 0600) and gives it its
/// name in one step, unless another process was first. A reader never sees half a secret.
fn create_file(data_dir: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)?;
    let mut random = Zeroizing::new([0_u8; MIN_SECRET_BYTES]);
    SysRng
        .try_fill_bytes(random.as_mut_slice())
        .map_err(io::Error::other)?;
    let mut digits = hexadecimal(random.as_slice());
    let mut file = tempfile::Builder::new()
        .prefix(".secret-")
        .tempfile_in(data_dir)?;
    let written = file
        .write_all(digits.as_bytes())
        .and_then(|()| file.as_file().sync_all());
    digits.zeroize();
    written?;
    match file.persist_noclobber(path) {
        Ok(_) => File::open(data_dir)?.sync_all(),
        Err(err) if err.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(err) => Err(err.error),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0xf)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

#[cfg(test)]
mod tests;
