//! Addresses of files that carry their own permission: what may be done, with which file, until
//! when, and a signature over all of it.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::auth::{Purpose, ServerSecret};

/// Makes and checks signatures.
#[derive(Clone)]
pub struct FileLinks(Hmac<Sha256>);

impl fmt::Debug for FileLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileLinks(hidden)")
    }
}

/// What may be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its content may be sent.
    Upload,
    /// Its content may be fetched.
    Download,
}

/// Why an address lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// Not of this server, or changed.
    #[error("the address of the file is not valid; ask for a new one")]
    Invalid,
    /// Its time is over.
    #[error("the address of the file has expired; ask for a new one")]
    Expired,
}

impl FileLinks {
    /// Those of a server.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn new(secret: &ServerSecret) -> Self {
        let key = secret.derive(Purpose::FileLink);
        Self(Hmac::new_from_slice(key.as_slice()).expect("a key of 32 bytes"))
    }

    fn sign(&self, access: Access, session: &str, file: &str, expires: u64) -> Hmac<Sha256> {
        let word: &[u8] = match access {
            Access::Upload => b"upload",
            Access::Download => b"download",
        };
        let mut mac = self.0.clone();
        for part in [
            word,
            session.as_bytes(),
            file.as_bytes(),
            &expires.to_be_bytes(),
        ] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }

    /// The path and query that let a client in until `expires`, Unix ms.
    #[must_use]
    pub fn path(&self, access: Access, session: &str, file: &str, expires: u64) -> String {
        let mac = self.sign(access, session, file, expires);
        let signature = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        format!("/v1/sessions/{session}/attachments/{file}?expires={expires}&signature={signature}")
    }

    /// Checks what came with a request at `now`, Unix ms.
    ///
    /// # Errors
    /// [`LinkFault`].
    pub fn check(
        &self,
        access: Access,
        session: &str,
        file: &str,
        expires: u64,
        signature: &str,
        now: u64,
    ) -> Result<(), LinkFault> {
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature);
        let signature = signature.map_err(|_| LinkFault::Invalid)?;
        let mac = self.sign(access, session, file, expires);
        mac.verify_slice(&signature)
            .map_err(|_| LinkFault::Invalid)?;
        if now >= expires {
            return Err(LinkFault::Expired);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(byte: u8) -> FileLinks {
        FileLinks::new(&ServerSecret::from_bytes(&[byte; 32]).unwrap())
    }

    #[test]
    fn a_link_opens_one_file_for_one_use_until_its_end() {
        let path = links(1).path(Access::Upload, "s", "f", 1000);
        let (head, signature) = path.split_once("&signature=").unwrap();
        assert_eq!(head, "/v1/sessions/s/attachments/f?expires=1000");
        let check = |links: FileLinks, access, session, file, expires, now| {
            links.check(access, session, file, expires, signature, now)
        };
        let invalid = Err(LinkFault::Invalid);
        let (up, down) = (Access::Upload, Access::Download);
        assert_eq!(check(links(1), up, "s", "f", 1000, 999), Ok(()));
        assert_eq!(
            check(links(1), up, "s", "f", 1000, 1000),
            Err(LinkFault::Expired)
        );
        assert_eq!(check(links(1), down, "s", "f", 1000, 0), invalid);
        assert_eq!(check(links(1), up, "s2", "f", 1000, 0), invalid);
        assert_eq!(check(links(1), up, "s", "g", 1000, 0), invalid);
        assert_eq!(check(links(1), up, "s", "f", 2000, 0), invalid);
        assert_eq!(check(links(2), up, "s", "f", 1000, 0), invalid);
        for bad in ["", "?", &signature[1..]] {
            let answer = links(1).check(up, "s", "f", 1000, bad, 0);
            assert_eq!(answer, invalid, "{bad}");
        }
    }
}
