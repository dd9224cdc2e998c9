//! The sweeper: a small process beside the lab that outlives it and removes what it made.
//!
//! It holds the reading end of a pipe whose writing end is ours. When the lab is dropped we close it and wait; when
//! our process is interrupted or killed the kernel closes it. So there is one way of cleaning up and it needs no
//! signal handler. It stands in a process group of its own: Ctrl-C in a terminal reaches us and not it.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context;

/// The waiting process.
#[derive(Debug)]
pub(crate) struct Sweeper {
    process: Child,
}

impl Sweeper {
    /// Starts waiting; to be called before anything is made.
    pub(crate) fn start(name: &str, dir: &Path) -> anyhow::Result<Self> {
        let process = Command::new("sh")
            .args(["-c", include_str!("sweep.sh"), "ftagent-lab-sweep", name])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .context("cannot start the sweeper")?;
        Ok(Self { process })
    }
}

impl Sweeper {
    /// Sweeps now and waits for the end of it. Called again it does nothing.
    pub(crate) fn sweep(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.sweep();
    }
}
