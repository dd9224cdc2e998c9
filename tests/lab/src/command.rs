//! Programs that are run to their end. An error always holds the command and what it printed.

use std::process::Command;
use std::process::Stdio;

use anyhow::Context;
use anyhow::bail;

/// Runs a command and returns its standard output.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", line(command)))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}\n{}{}", line(command), output.status, text, said);
    }
    Ok(text)
}

/// Runs a program with arguments and returns its standard output.
pub fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    output(Command::new(program).args(arguments))
}

/// Runs a script of `sh -e`; one process for many small commands.
pub fn shell(script: &str) -> anyhow::Result<String> {
    output(Command::new("sh").args(["-e", "-c", script]))
}

/// The command as a person would type it, cut where it is very long.
fn line(command: &Command) -> String {
    let mut line = format!("`{}", command.get_program().to_string_lossy());
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    if line.len() > 600 {
        let cut = (0..=600).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(cut);
        line.push_str(" ...");
    }
    line.push('`');
    line
}
