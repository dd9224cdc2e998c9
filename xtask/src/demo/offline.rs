//! The demo for those who are not root: a bundled capture of a flood is judged, nothing is enforced.

use anyhow::ensure;

use crate::cargo;

/// The capture, below the root of the repository.
const CAPTURE: &str = "tests/captures/demo.pcap.gz";
/// What is served in it.
const SERVICES: [&str; 2] =
    ["203.0.113.10:25565/tcp=minecraft-java", "203.0.113.10:19132/udp=minecraft-bedrock"];

/// Builds ftagent and lets it judge the capture.
pub(crate) fn run(json: bool) -> anyhow::Result<()> {
    let capture = cargo::root().join(CAPTURE);
    ensure!(capture.exists(), "the capture {CAPTURE} is gone");
    // As every other task builds it, so that nothing is compiled twice.
    cargo::run(&mut cargo::cargo(&["build", "--quiet", "--release", "--workspace", "--bin", "ftagent"]))?;
    let mut replay = std::process::Command::new(cargo::target_dir().join("release/ftagent"));
    replay.arg("replay").arg(capture);
    for service in SERVICES {
        replay.args(["--service", service]);
    }
    if json {
        replay.arg("--json");
    }
    cargo::run(&mut replay)
}
