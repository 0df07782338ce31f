//! Where the tokens of the accounts come from: one, a file, or a command that makes them.
//!
//! Never shows a token.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::token::Token;

/// Where the tokens come from.
#[derive(Clone, Debug)]
pub enum Tokens {
    /// One account for all.
    One(Token),
    /// A file with one token on each line.
    File(PathBuf),
    /// A shell command that prints a token, run once for each of so many accounts with `{user}`
    /// replaced by the account's name.
    Command {
        /// The command.
        template: String,
        /// How many accounts.
        users: usize,
    },
}

impl Tokens {
    /// The tokens, at least one.
    ///
    /// # Errors
    /// [`Failure::Usage`]: the file or the command does not give them. No token is shown.
    pub fn read(&self) -> Result<Vec<Token>, Failure> {
        let usage = |reason: String| Failure::Usage(reason);
        match self {
            Self::One(token) => Ok(vec![token.clone()]),
            Self::File(path) => {
                let name = path.display();
                let text = std::fs::read_to_string(path)
                    .map_err(|err| usage(format!("cannot read the tokens in {name}: {err}")))?;
                let lines = text
                    .lines()
                    .enumerate()
                    .filter(|(_, line)| !line.trim().is_empty());
                let tokens = lines.map(|(line, text)| {
                    Token::new(text)
                        .map_err(|err| usage(format!("{name} line {}: {err}", line + 1)))
                });
                let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
                match tokens.is_empty() {
                    true => Err(usage(format!(
                        "{name} has no token; write one on each line"
                    ))),
                    false => Ok(tokens),
                }
            }
            Self::Command { template, users } => {
                if *users > 1 && !template.contains("{user}") {
                    return Err(usage(
                        "--token-command must contain {user} when there are several users"
                            .to_owned(),
                    ));
                }
                (0..*users).map(|user| run(template, user)).collect()
            }
        }
    }
}

/// Runs the command for one account and takes the first line that it prints.
fn run(template: &str, user: usize) -> Result<Token, Failure> {
    let name = format!("bench-{user}");
    let failed = |reason: String| Failure::Usage(format!("the token command for {name} {reason}"));
    // Its complaints go to our own standard error; what it prints is the token and is never shown.
    let output = Command::new("sh")
        .args(["-c", &template.replace("{user}", &name)])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|err| failed(format!("cannot be started: {err}")))?;
    if !output.status.success() {
        return Err(failed(format!("ended with {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Token::new(text.lines().next().unwrap_or_default())
        .map_err(|err| failed(format!("printed no token: {err}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_from_a_file_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Tokens::File(path.clone()).read()
        };
        let tokens = read("one\n\n two \n").unwrap();
        let texts: Vec<&str> = tokens.iter().map(Token::expose).collect();
        assert_eq!(texts, ["one", "two"]);
        let err = read("good\nbad secret\n").unwrap_err().to_string();
        assert!(err.contains("line 2: ") && !err.contains("secret"), "{err}");
        assert!(read("\n").unwrap_err().to_string().contains("has no token"));
        let missing = Tokens::File(folder.path().join("none")).read().unwrap_err();
        assert_eq!(missing.exit_code(), 2);
    }

    #[test]
    fn tokens_come_from_a_command_run_for_each_account() {
        let command = |template: &str, users| {
            Tokens::Command {
                template: template.to_owned(),
                users,
            }
            .read()
        };
        let tokens = command("printf 'token-of-%s\\nmore\\n' {user}", 2).unwrap();
        let texts: Vec<&str> = tokens.iter().map(Token::expose).collect();
        assert_eq!(texts, ["token-of-bench-0", "token-of-bench-1"]);
        assert_eq!(command("echo same", 1).unwrap().len(), 1);
        for (template, users, expected) in [
            ("echo same", 2, "must contain {user}"),
            ("exit 3", 1, "ended with exit status: 3"),
            ("true", 1, "printed no token: the token is empty"),
            ("echo a secret", 1, "printed no token"),
        ] {
            let err = command(template, users).unwrap_err().to_string();
            assert!(err.contains(expected) && !err.contains("a secret"), "{err}");
        }
    }
}
