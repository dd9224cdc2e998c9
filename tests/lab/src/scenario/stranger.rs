//! A stranger's attacker: any command, run in the attackers' namespace and ended after its time with all that it
//! started. What it may attack it is told in its environment.

use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::Context;

use super::Seat;
use crate::Lab;
use crate::address;

/// No command runs longer.
pub const COMMAND_SECONDS_MAX: u64 = 120;
/// Lines of its words that are kept.
const LINES_MAX: usize = 10;

/// The running command; killed when dropped.
pub(crate) struct Running {
    process: Child,
    said: Arc<Mutex<Vec<String>>>,
}

/// Starts it.
pub(crate) fn start(lab: &Lab, script: &str, lasting: Duration) -> anyhow::Result<Running> {
    let seconds = lasting.as_secs().clamp(1, COMMAND_SECONDS_MAX);
    let mut command = lab.attackers().command("timeout");
    // The namespace has no way out but the lab's wire, so it can reach nothing else.
    command.args(["--signal=KILL", &seconds.to_string(), "sh", "-c", script]);
    for (name, value) in environment(seconds) {
        command.env(name, value);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut process = command.spawn().context("cannot start the attack command")?;
    let said = Arc::new(Mutex::new(Vec::new()));
    let stdout = process.stdout.take().expect("it was asked to be a pipe");
    let stderr = process.stderr.take().expect("it was asked to be a pipe");
    let heard = Arc::clone(&said);
    std::thread::spawn(move || listen(stdout, &heard));
    let heard = Arc::clone(&said);
    std::thread::spawn(move || listen(stderr, &heard));
    Ok(Running { process, said })
}

/// What it is told. Everything is in `cargo xtask lab --help`.
fn environment(seconds: u64) -> Vec<(&'static str, String)> {
    let port = |seat: Seat| seat.public().port().to_string();
    vec![
        ("FTLAB_TARGET", address::NODE.to_string()),
        ("FTLAB_TARGET6", address::NODE_V6.to_string()),
        ("FTLAB_NEIGHBOUR", address::NEIGHBOUR.to_string()),
        ("FTLAB_INTERFACE", "wire".to_owned()),
        ("FTLAB_JAVA_PORT", port(Seat::Java)),
        ("FTLAB_BEDROCK_PORT", port(Seat::Bedrock)),
        ("FTLAB_SOURCE_PORT", port(Seat::Source)),
        ("FTLAB_BOTS", format!("{} {}", address::BOTS_RANGE, address::MANY_BOTS_RANGE)),
        ("FTLAB_FORGED", address::FORGED_RANGE.to_owned()),
        ("FTLAB_BOTS6", address::BOTS_RANGE_V6.to_owned()),
        ("FTLAB_FORGED6", address::FORGED_RANGE_V6.to_owned()),
        ("FTLAB_SECONDS", seconds.to_string()),
    ]
}

impl Running {
    /// Ends it, whatever it is doing, and returns its last words.
    pub(crate) fn end(mut self) -> anyhow::Result<Vec<String>> {
        self.kill();
        Ok(std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The whole group, because it may have started others.
    fn kill(&mut self) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            let group = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.process.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listen(stream: impl std::io::Read, said: &Mutex<Vec<String>>) {
    use std::io::BufRead;
    for line in std::io::BufReader::new(stream).lines().map_while(Result::ok) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push(line);
        let more = said.len().saturating_sub(LINES_MAX);
        said.drain(..more);
    }
}
