//! What the tests of the whole program share: running it and reading what it says. `packets` makes captures, `node`
//! runs it in a lab, `play` joins and attacks there, `fight` goes on while something happens, `guest` makes plugins.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod after;
pub mod fight;
pub mod guest;
pub mod node;
pub mod packets;
pub mod play;

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use serde_json::Value;

/// The program under test.
pub const FTAGENT: &str = env!("CARGO_BIN_EXE_ftagent");

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Runs a command to its end, with an empty standard input.
    pub fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } =
            command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what is printed is UTF-8");
        let code = status.code().unwrap_or_else(|| panic!("{command:?} ended with {status}"));
        Self { code, out: text(stdout), err: text(stderr) }
    }

    /// What it printed as JSON, where it must have ended with `code`.
    pub fn json(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the exit code and that standard error holds each of the texts.
    pub fn fails(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for text in says {
            assert!(self.err.contains(text), "no `{text}` in {self:#?}");
        }
    }

    /// Asserts exit code 0 and an empty standard error; returns standard output.
    pub fn fine(&self) -> &str {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{self:?}");
        &self.out
    }
}

/// A folder that all tests share, so that plugins are compiled once: below cargo's own products.
pub fn state_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("ftagent-state")
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the host lies in the repository").to_path_buf()
}

/// `ftagent`, with nothing of the machine's own in reach.
pub fn ftagent(arguments: &[&str]) -> Command {
    let mut command = Command::new(FTAGENT);
    let state = state_dir();
    std::fs::create_dir_all(&state).expect("cargo's folder for tests can be written");
    command.arg("--state-dir").arg(&state).arg("--runtime-dir").arg(state.join("nobody-runs-here"));
    command.arg("--docker-socket").arg(state.join("no-docker-here.sock"));
    command.args(arguments);
    command
}

/// Runs `ftagent` with these arguments.
pub fn run(arguments: &[&str]) -> Ran {
    Ran::of(&mut ftagent(arguments))
}

/// Replays a file with these services as JSON, which must go well.
pub fn replay(file: &Path, services: &[&str]) -> Value {
    replay_with(file, services, &[]).json(0)
}

/// Replays a file with these services and further arguments.
pub fn replay_with(file: &Path, services: &[&str], more: &[&str]) -> Ran {
    let mut command = ftagent(&["replay", "--json"]);
    for service in services {
        command.args(["--service", service]);
    }
    Ran::of(command.args(more).arg(file))
}

/// A number in a JSON document, by its path: `packets.hostile`.
pub fn number(document: &Value, path: &str) -> u64 {
    let value = path.split('.').fold(document, |value, name| &value[name]);
    value.as_u64().unwrap_or_else(|| panic!("no number at {path} in {document:#}"))
}
