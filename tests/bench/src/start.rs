//! Cold start to the first judged packet with the compile cache warm: the built program replays a small capture,
//! from before it is started until it has ended, reading the file, judging and printing included.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;
use ftagent_capture::write::PcapWriter;
use ftagent_core::frame::Link;

use crate::clock::Samples;
use crate::figure::Figure;
use crate::traffic;

const GROUP: &str = "start";
const RUNS: usize = 20;
const TARGET_MS: f64 = 300.0;

pub(crate) fn measure() -> anyhow::Result<Vec<Figure>> {
    let program = program()?;
    let folder = tempfile::tempdir()?;
    let capture = folder.path().join("small.pcap");
    write_capture(&capture)?;
    let state = folder.path().join("state");
    let cold = replay(&program, &capture, &state)?;
    // The cache writes on a thread of its own, so the first run may leave something to the second.
    replay(&program, &capture, &state)?;
    let mut warm = Samples::default();
    for _ in 0..RUNS {
        warm.add(replay(&program, &capture, &state)?);
    }
    Ok(vec![
        Figure::new(GROUP, "`ftagent replay` of one packet, compile cache warm", "ms", warm.median())
            .best(warm.least())
            .at_most(TARGET_MS)
            .note(format!("whole process, median of {RUNS}; nothing compiled yet: {cold:.0} ms")),
    ])
}

/// The program that was built beside this one.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe().context("cannot find this program")?;
    let program = me.with_file_name("ftagent");
    anyhow::ensure!(program.exists(), "{} is not built: use `cargo xtask bench`", program.display());
    Ok(program)
}

fn write_capture(path: &Path) -> anyhow::Result<()> {
    let conversations = traffic::conversations()?;
    let frames = traffic::forged(&conversations, 0, 1, &|_| 512);
    let mut writer = PcapWriter::new(std::fs::File::create(path)?, Link::Ethernet, 1 << 20)?;
    for frame in frames.iter(0..frames.len(), 0) {
        writer.frame(&frame)?;
    }
    Ok(())
}

/// Milliseconds from start to end; fails unless the packet was judged.
fn replay(program: &Path, capture: &Path, state: &Path) -> anyhow::Result<f64> {
    let mut command = Command::new(program);
    command.arg("--state-dir").arg(state).arg("replay").arg(capture).args([
        "--service",
        "203.0.113.10:25565/tcp=minecraft-java",
        "--json",
    ]);
    let begun = Instant::now();
    let output = command.output().context("cannot start ftagent")?;
    let spent = begun.elapsed();
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "`ftagent replay` failed: {errors}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    anyhow::ensure!(
        said["packets"]["genuine"] == 1,
        "the packet was not judged genuine: {}",
        said["packets"]
    );
    Ok(spent.as_secs_f64() * 1e3)
}
