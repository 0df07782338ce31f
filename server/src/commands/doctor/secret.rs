//! Whether the secret can be guessed.

use std::collections::BTreeSet;

use dormouse_config::Settings;

use super::Finding;

const CHECK: &str = "secret";
const REMEDY: &str = "make one with `openssl rand -hex 32` and give it as DORMOUSE_AUTH__SECRET; \
                      changing it ends all tokens";

/// Judges the secret, and who may read it.
pub(super) fn check(settings: &Settings) -> Finding {
    match &settings.auth.secret {
        Some(secret) => judge(secret.expose()),
        None => {
            let path = settings.data_dir.join("secret");
            match std::fs::metadata(&path) {
                Err(_) => Finding::good(CHECK, "development: will be made at the first start"),
                Ok(metadata) => {
                    use std::os::unix::fs::PermissionsExt as _;
                    let mode = metadata.permissions().mode() & 0o777;
                    let path = path.display();
                    if mode & 0o077 == 0 {
                        Finding::good(CHECK, format!("development: kept in {path}"))
                    } else {
                        Finding::bad(
                            CHECK,
                            format!("others may read {path} (mode {mode:o})"),
                            format!("chmod 600 {path}; whoever has read it can sign any token"),
                        )
                    }
                }
            }
        }
    }
}

/// Length is demanded by the configuration. Texts of 32 bytes can still be no secret at all.
fn judge(secret: &str) -> Finding {
    let lower = secret.to_lowercase();
    let telling = [
        "secret",
        "password",
        "changeme",
        "change-me",
        "example",
        "dormouse",
        "12345678",
    ];
    if let Some(word) = telling.iter().find(|word| lower.contains(*word)) {
        let found = format!("contains “{word}”: it was not drawn by chance");
        return Finding::bad(CHECK, found, REMEDY);
    }
    let bits = entropy_bits(secret.as_bytes());
    if bits < 80.0 {
        let found = format!("repeats itself: at most {bits:.0} bits by its own letters");
        return Finding::bad(CHECK, found, REMEDY);
    }
    let distinct = secret.bytes().collect::<BTreeSet<_>>().len();
    if distinct < 10 {
        let found = format!("has only {distinct} different characters");
        return Finding::warning(CHECK, found, REMEDY);
    }
    Finding::good(
        CHECK,
        format!("{} bytes, and nothing telling in them", secret.len()),
    )
}

/// Shannon's entropy of the bytes' frequencies, times their number: an upper bound for texts that
/// repeat themselves, and about 120 bits for 32 random hexadecimal digits.
fn entropy_bits(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let length = bytes.len() as f64;
    let counts = counts.into_iter().filter(|count| *count > 0);
    counts
        .map(|count| {
            let count = f64::from(count);
            count * (length / count).log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn long_texts_can_be_no_secret() {
        for (secret, expected) in [
            ("8f1c0a6be2d94753a1f0c2b7d5e6988f47c3", Verdict::Good),
            ("kUq8z-VwD3m_pYt7Xh2RfL0sAe9NcJ5b", Verdict::Good),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Verdict::Bad),
            ("abababababababababababababababababab", Verdict::Bad),
            ("my-very-long-password-for-production", Verdict::Bad),
            ("ChangeMeChangeMeChangeMeChangeMe!!", Verdict::Bad),
            (
                "0101101001101001011010010110100101101001011010010110100101101001011010010110",
                Verdict::Bad,
            ),
            (
                "abcdabdcacbdadbccadbdbacabcdabdcacbdadbccadbdbacacbd",
                Verdict::Warning,
            ),
        ] {
            let finding = judge(secret);
            assert_eq!(finding.verdict, expected, "{finding:?}");
            assert!(!finding.found.contains(secret) && !finding.remedy.contains(secret));
        }
    }
}
