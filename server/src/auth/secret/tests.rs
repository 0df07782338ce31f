use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;

use super::*;

const SECRET: &[u8] = b"an-earlier-deployments-secret-0123456789";

#[test]
fn the_token_seed_is_that_of_earlier_deployments() {
    let secret = ServerSecret::from_bytes(SECRET).unwrap();
    // Computed apart from this code, with HMAC-SHA256 of Python's standard library.
    assert_eq!(
        hexadecimal(secret.token_seed("handy").as_slice()),
        "aaceadb4773cff61f9d70a084e167a5c55776998df3bc032e713939be181a670"
    );
}

#[test]
fn every_purpose_issuer_and_secret_has_its_own_key() {
    let one = ServerSecret::from_bytes(SECRET).unwrap();
    let other = ServerSecret::from_bytes(&[7; 32]).unwrap();
    let keys: HashSet<_> = [&one, &other]
        .into_iter()
        .flat_map(|secret| {
            [
                secret.derive(Purpose::Ticket),
                secret.token_seed("a"),
                secret.token_seed("b"),
            ]
        })
        .map(|key| *key)
        .collect();
    assert_eq!(keys.len(), 6);
}

#[test]
fn a_short_or_missing_secret_is_refused() {
    assert!(matches!(
        ServerSecret::from_bytes(&[1; 31]),
        Err(SecretError::TooShort)
    ));
    assert!(ServerSecret::from_bytes(&[1; 32]).is_ok());
    let dir = tempfile::tempdir().unwrap();
    let missing = ServerSecret::resolve(None, false, dir.path()).unwrap_err();
    assert!(matches!(missing, SecretError::Missing));
    assert!(missing.to_string().contains("openssl rand -hex 32"));
    assert!(
        !dir.path().join("secret").exists(),
        "production must not make a secret"
    );
}

#[test]
fn debug_hides_the_secret() {
    let secret = ServerSecret::from_bytes(SECRET).unwrap();
    assert_eq!(format!("{secret:?}"), "ServerSecret(hidden)");
}

#[test]
fn development_makes_a_secret_once_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("not/yet/there");
    let first = ServerSecret::resolve(None, true, &data).unwrap();
    let second = ServerSecret::resolve(None, true, &data).unwrap();
    assert_eq!(*first.0, *second.0);
    let metadata = fs::metadata(data.join("secret")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(data.join("secret")).unwrap();
    assert_eq!(text.len(), 64);
    let moved = ServerSecret::resolve(Some(text.as_bytes()), false, &data).unwrap();
    assert_eq!(
        *moved.0, *first.0,
        "the file's text works as a configured secret"
    );
}

#[test]
fn the_configured_secret_wins_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let secret = ServerSecret::resolve(Some(SECRET), true, dir.path()).unwrap();
    assert_eq!(secret.0.as_slice(), SECRET);
    assert!(!dir.path().join("secret").exists());
}

#[test]
fn processes_that_start_at_once_share_one_secret() {
    let dir = tempfile::tempdir().unwrap();
    let start = Barrier::new(8);
    let secrets: HashSet<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    ServerSecret::from_data_dir(dir.path()).unwrap().0.to_vec()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(secrets.len(), 1);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "no temporary file stays behind"
    );
}

#[test]
fn losing_the_race_keeps_the_winners_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, "ab".repeat(32)).unwrap();
    create_file(dir.path(), &path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "ab".repeat(32));
}

#[test]
fn trailing_white_space_is_no_part_of_the_secret() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), format!("{}\n", "ab".repeat(32))).unwrap();
    let secret = ServerSecret::from_data_dir(dir.path()).unwrap();
    assert_eq!(secret.0.as_slice(), "ab".repeat(32).as_bytes());
}

#[test]
fn a_damaged_file_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let refusal = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        ServerSecret::from_data_dir(dir.path()).unwrap_err()
    };
    for garbled in [&b"not hexadecimal"[..], &[0xff; 64], &[b'a'; 5000]] {
        let err = refusal(garbled);
        assert!(matches!(err, SecretError::Garbled { .. }), "{err}");
        assert!(err.to_string().contains("delete it"));
    }
    for short in [&b""[..], b"\n", &[b'a'; 63]] {
        let err = refusal(short);
        assert!(matches!(err, SecretError::FileTooShort { .. }), "{err}");
        assert!(err.to_string().contains("delete it"));
    }
    assert!(path.exists(), "a damaged secret is never replaced silently");
}

#[test]
fn an_unusable_directory_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let err = ServerSecret::from_data_dir(&file).unwrap_err();
    assert!(matches!(err, SecretError::Unreadable { .. }), "{err}");
    assert!(err.to_string().contains("configure a secret"));

    let err = create_file(&file.join("below"), &file.join("below/secret")).unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::NotADirectory);

    fs::create_dir(dir.path().join("secret")).unwrap();
    let err = ServerSecret::from_data_dir(dir.path()).unwrap_err();
    assert!(matches!(err, SecretError::Unreadable { .. }), "{err}");
}
