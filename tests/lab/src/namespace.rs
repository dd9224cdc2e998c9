//! One network namespace: made with a name of its own, gone when dropped.

use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::command;

/// A network namespace under `/run/netns`.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace, with its loopback up.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        command::run("ip", &["netns", "add", name]).context("network namespaces need root and `iproute2`")?;
        let namespace = Self { name: name.to_owned() };
        command::run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The name, as `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// A command that will run inside. Only the network changes: `ip netns exec` would hide `/sys/fs/cgroup`.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        enter(&self.path(), program)
    }

    /// Runs a program inside to its end and returns its standard output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        command::output(self.command(program).args(arguments))
    }

    /// Runs a closure on a thread inside; sockets it opens stay inside.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        within(&self.path(), work)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The sweeper deletes what is left, so a failure here is not the last word.
        let _ = command::run("ip", &["netns", "delete", &self.name]);
    }
}

/// A command that will run in the network namespace of that file (`/run/netns/x`, `/proc/<pid>/ns/net`).
#[must_use]
pub fn enter(path: &Path, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", path.display())).arg("--").arg(program);
    command
}

/// Moves the calling thread, and only it, into the network namespace of that file. For threads that end there.
pub fn move_thread(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET)
        .with_context(|| format!("cannot enter {}", path.display()))
}

/// Runs a closure on a thread in the network namespace of that file.
pub fn within<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| move_thread(path).map(|()| work()));
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
