//! How the program ends. One enum, shown by `ftagent help exit-codes`.

use std::process::ExitCode;

/// The documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Fine = 0,
    /// The answer is no: a check found faults, `doctor` found something broken, a capture is damaged.
    No = 1,
    /// A mistake in the command line or in a configuration file.
    Usage = 2,
    /// Something this needs is not there: not root, no such file, no agent running, no packet socket.
    Environment = 3,
    /// A plugin was refused.
    PluginRefused = 4,
    /// A bug in ftagent.
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The page that `ftagent help exit-codes` and the man page show.
pub(crate) const PAGE: &str = "\
Exit codes:
   0  fine
   1  the answer is no: a check found faults, doctor found something broken, or a capture is damaged
   2  a mistake in the command line or in a configuration file
   3  something needed is not there: not root, no such file, no agent running
   4  a plugin was refused
  70  a bug in ftagent; please report it";

/// An error that knows which exit code it means and, if we know one, the hint that helps.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into(), hint: None }
    }

    /// Says what helps.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Errors that say nothing else about themselves are about the surroundings.
impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Exit::Environment, error)
    }
}

/// What every command returns.
pub(crate) type Outcome = Result<Exit, Failure>;
