//! The floor server as a child process: started, named as a subject, ended.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use super::subject::Subject;
use crate::failure::Failure;
use crate::target::Target;
use crate::token::Token;

/// A running floor server. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Floor {
    child: Child,
    subject: Rc<Subject>,
}

impl Floor {
    /// Starts `program floor-server` and waits until it listens. With `pings` it pings its
    /// connections.
    ///
    /// # Errors
    /// It cannot be started or does not say where it listens.
    pub(super) fn start(program: &Path, pings: bool) -> Result<Self, Failure> {
        let failed = |reason: String| Failure::Incomplete(format!("the floor server: {reason}"));
        let mut child = Command::new(program)
            .arg("floor-server")
            .args(pings.then_some("--pings"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|err| failed(format!("cannot start {}: {err}", program.display())))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            // Ends at the latest when the child does.
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(|err| failed(err.to_string()))?;
        }
        let address = line.trim().strip_prefix("listening ");
        let target = address.and_then(|address| Target::parse(&format!("http://{address}")).ok());
        let token = Token::new("floor").map_err(|err| failed(err.to_string()))?;
        let subject = match target {
            Some(target) => Subject::new("floor", &target, child.id(), vec![token]),
            None => Err(failed("did not say where it listens".to_owned())),
        };
        match subject {
            Ok(subject) => Ok(Self {
                child,
                subject: Rc::new(subject),
            }),
            Err(failure) => {
                end(&mut child);
                Err(failure)
            }
        }
    }

    /// The floor as something to be measured.
    pub(super) fn subject(&self) -> &Rc<Subject> {
        &self.subject
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends our own child. It may have ended by itself, which is as good.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
