//! The operator's program: run as it is named, JSON on its standard input, nothing of the notice in its arguments or
//! environment. No shell reads anything, so that no character of a notice can mean something.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;
use tokio::process::Command;

use crate::AlertError;
use crate::courier::Outcome;

/// What the program finds in its environment; nothing else of ours.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The receiver.
#[derive(Debug)]
pub(crate) struct Program {
    path: String,
    arguments: Vec<String>,
    within: Duration,
}

impl Program {
    /// Checks that the program is there and only its owner can change it.
    pub(crate) fn new(command: &[String], answer_ms: u64) -> Result<Option<Self>, AlertError> {
        let Some((path, arguments)) = command.split_first() else { return Ok(None) };
        let refuse = |why: &str| AlertError::Program { program: path.clone(), why: why.to_owned() };
        if !Path::new(path).is_absolute() {
            return Err(refuse("is no absolute path"));
        }
        let metadata = std::fs::metadata(path).map_err(|error| refuse(&format!("cannot be run: {error}")))?;
        if !metadata.is_file() || metadata.mode() & 0o111 == 0 {
            return Err(refuse("is not executable"));
        }
        if metadata.mode() & 0o002 != 0 {
            return Err(refuse("can be changed by everybody; `chmod o-w` it"));
        }
        let within = Duration::from_millis(answer_ms);
        Ok(Some(Self { path: path.clone(), arguments: arguments.to_vec(), within }))
    }

    pub(crate) fn shown(&self) -> &str {
        &self.path
    }

    /// One run. The second value says what went wrong.
    pub(crate) async fn run(&self, body: String) -> (Outcome, String) {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_clear().env("PATH", PATH).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own, so that what it starts ends with it.
        command.process_group(0).kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return (Outcome::Failed, format!("it cannot be run: {error}")),
        };
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        match tokio::time::timeout(self.within, feed(&mut child, body)).await {
            Ok(Ok(status)) if status.success() => (Outcome::Delivered, String::new()),
            Ok(Ok(status)) => (Outcome::Failed, format!("it ended with {status}")),
            Ok(Err(error)) => (Outcome::Failed, format!("it cannot be awaited: {error}")),
            Err(_) => {
                // The group is ours alone until its first process was awaited, which happens below.
                let _ = group.map(|group| rustix::process::kill_process_group(group, Signal::KILL));
                let _ = child.wait().await;
                (Outcome::Failed, format!("it did not end within {} s", self.within.as_secs()))
            }
        }
    }
}

async fn feed(child: &mut Child, body: String) -> std::io::Result<std::process::ExitStatus> {
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read is no failure: its exit status decides.
        let _ = stdin.write_all(body.as_bytes()).await;
        let _ = stdin.write_all(b"\n").await;
    }
    child.wait().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_program_is_checked_before_it_is_needed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("tell");
        std::fs::write(&path, "#!/bin/sh\n").expect("writable");
        for (mode, expected) in [(0o755, ""), (0o700, ""), (0o644, "not executable"), (0o757, "by everybody")]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
            let made = Program::new(&[path.display().to_string()], 1);
            let said = made.err().map_or_else(String::new, |error| error.to_string());
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{mode:o}: {said}");
        }
        for (program, expected) in [("tell", "no absolute path"), ("/nowhere/tell", "cannot be run")] {
            let error = Program::new(&[program.to_owned()], 1).expect_err("it cannot be run");
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(Program::new(&[], 1).expect("nobody is to be told").is_none());
    }
}
