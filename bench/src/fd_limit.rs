//! The limit of open files: raised as far as allowed, and checked before a run.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::Failure;

/// What a run or a server needs beside its connections: standard streams, epoll, HTTP, result file.
pub const SPARE: u64 = 64;

/// Makes room for this many connections, raising the soft limit to the hard one if need be.
///
/// # Errors
/// [`Failure::FileDescriptors`]: the hard limit is too low.
pub fn make_room(connections: usize) -> Result<(), Failure> {
    let needed = connections as u64 + SPARE;
    let limits = getrlimit(Resource::Nofile);
    if enough(limits.current, needed) {
        return Ok(());
    }
    let raised = Rlimit {
        current: limits.maximum,
        maximum: limits.maximum,
    };
    if enough(limits.maximum, needed) && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(Failure::FileDescriptors {
        who: "this program".to_owned(),
        needed,
        limit: limits.maximum.unwrap_or(u64::MAX),
    })
}

/// `None` is no limit.
fn enough(limit: Option<u64>, needed: u64) -> bool {
    limit.is_none_or(|limit| limit >= needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_enough_up_to_itself() {
        assert!(enough(Some(100), 100) && !enough(Some(99), 100) && enough(None, u64::MAX));
    }

    #[test]
    fn what_no_limit_allows_is_refused_with_the_number_to_ask_for() {
        let limit = getrlimit(Resource::Nofile).maximum;
        if let Some(limit) = limit.filter(|limit| *limit < 1 << 40) {
            let failure = make_room(1 << 40).unwrap_err();
            assert_eq!(failure.exit_code(), 6);
            let expected = format!("this program needs {} file", (1_u64 << 40) + SPARE);
            assert!(failure.to_string().starts_with(&expected), "{failure}");
            assert!(failure.to_string().contains(&format!("may open {limit};")));
        }
        assert!(make_room(1).is_ok());
    }
}
