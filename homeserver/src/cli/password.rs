//! Where a password comes from: the terminal, without echo, or standard input.

use std::io::{self, BufRead, IsTerminal, Write};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use super::output::Failure;
use crate::config::Secret;

/// Reads a new password: one line of standard input, or twice from the terminal.
pub(super) fn read(from_stdin: bool) -> Result<Secret, Failure> {
    if from_stdin {
        let password = line()?;
        return if password.expose().is_empty() {
            Err(Failure::Usage("--password-stdin: standard input holds no password".to_owned()))
        } else {
            Ok(password)
        };
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "standard input is no terminal: give the password with --password-stdin".to_owned(),
        ));
    }
    let password = ask("Password: ")?;
    if password.expose().is_empty() {
        return Err(Failure::refused("the password is empty"));
    }
    if password != ask("Again: ")? {
        return Err(Failure::refused("the two passwords differ"));
    }
    Ok(password)
}

fn ask(prompt: &str) -> Result<Secret, Failure> {
    let terminal = io::stdin();
    let mut stderr = io::stderr();
    write!(stderr, "{prompt}").and_then(|()| stderr.flush()).map_err(Failure::refused)?;
    let shown = tcgetattr(&terminal).map_err(Failure::refused)?;
    let mut hidden = shown.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    hidden.local_flags.insert(LocalFlags::ECHONL);
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &hidden).map_err(Failure::refused)?;
    let password = line();
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &shown).map_err(Failure::refused)?;
    password
}

fn line() -> Result<Secret, Failure> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text).map_err(Failure::refused)?;
    let kept = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(kept);
    Ok(Secret::new(text))
}
