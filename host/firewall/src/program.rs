//! Running the programs that the operator knows: `nft`, `iptables-save`, `iptables-restore` and their kin.

use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;

use crate::FirewallError;

/// Runs a program with this input and returns what it printed.
pub(crate) fn run(program: &str, args: &[&str], input: &str) -> Result<String, FirewallError> {
    let doing = || format!("running {program} {}", args.join(" "));
    let io = |source| FirewallError::Io { doing: doing(), source };
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that refuses early closes its input; what it says is worth more than that.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(io)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let says = String::from_utf8_lossy(&output.stderr);
    let says = says.lines().take(4).collect::<Vec<_>>().join("; ");
    Err(FirewallError::Program { doing: doing(), says })
}

/// Runs a script of `nft` as one transaction.
pub(crate) fn nft(script: &str) -> Result<(), FirewallError> {
    run("nft", &["-f", "-"], script).map(drop)
}

/// Whether a program can be found.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
