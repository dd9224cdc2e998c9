//! `ftagent`: parse, match, run, exit code. Everything else is in the modules and the libraries below `host/`.

mod agent;
mod cli;
mod config;
mod embedded;
mod exit;
mod limits;
mod prefix;
mod state;

use std::io::Write as _;
use std::process::ExitCode;

use crate::exit::Exit;
use crate::exit::Failure;

fn main() -> ExitCode {
    match cli::run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            report(&failure);
            failure.exit.into()
        }
    }
}

/// The one place where a failure is told to a person: the error, its causes on the same line, the hint below.
fn report(failure: &Failure) {
    let mut err = std::io::stderr().lock();
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(err, "error: {:#}", failure.error);
    if let Some(hint) = &failure.hint {
        let _ = writeln!(err, "hint: {hint}");
    }
    if failure.exit == Exit::Bug {
        let _ = writeln!(err, "hint: this is a bug in ftagent; please report it with the command line");
    }
}
