//! Resident memory with six plugins loaded and a million flows seen, in a process of its own.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::Run;
use ftagent_core::effect::Effects;
use serde::Deserialize;
use serde::Serialize;

use crate::figure::Figure;
use crate::plugins;
use crate::plugins::Seats;
use crate::snap;
use crate::traffic;

const GROUP: &str = "memory";
const FLOWS: u32 = 1_000_000;
/// Frames that are made at once, so that the traffic itself takes no memory.
const SLICE: u32 = 1_000;
const TARGET_MIB: f64 = 128.0;

/// What the child says.
#[derive(Serialize, Deserialize)]
struct Said {
    resident_kib: u64,
    most_kib: u64,
    judged: u64,
}

pub(crate) fn measure() -> anyhow::Result<Vec<Figure>> {
    let cache = tempfile::tempdir()?;
    let cache = cache.path().join("compiled");
    // Compiling is a matter of the first start and takes memory of its own.
    drop(plugins::load(Some(&cache))?);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let me = std::env::current_exe().context("cannot find this program")?;
    let output = Command::new(me).arg("--child-memory").arg(&cache).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "the child failed: {errors}");
    let said: Said = serde_json::from_slice(&output.stdout)?;
    let mib = |kib: u64| kib as f64 / 1024.0;
    let figure = Figure::new(GROUP, "six plugins, 1,000,000 flows seen", "MiB", mib(said.resident_kib));
    Ok(vec![figure.at_most(TARGET_MIB).note(format!(
        "VmRSS; VmHWM {:.1} MiB; {} packets judged; engine and sandbox, without capture rings",
        mib(said.most_kib),
        said.judged
    ))])
}

/// The child's work.
pub(crate) fn child(cache: &Path) -> anyhow::Result<()> {
    let loaded = plugins::load(Some(cache))?;
    let conversations = traffic::conversations()?;
    let config = EngineConfig { seed: 7, ..EngineConfig::default() };
    let mut engine = Engine::new(config, plugins::roster(&loaded), traffic::services(&conversations));
    ftagent_capture::prefer_large_pages(engine.tables());
    let mut seats = Seats::new(&loaded)?;
    let (mut effects, mut run) = (Effects::default(), Run::default());
    let snap = snap(&loaded);
    for first in (0..FLOWS).step_by(SLICE as usize) {
        let frames = traffic::forged(&conversations, first, SLICE, &snap);
        for frame in frames.iter(0..frames.len(), 0) {
            run.hold(&frame);
            if run.is_full() {
                seats.take(&mut engine, &mut run, &mut effects);
            }
        }
        seats.take(&mut engine, &mut run, &mut effects);
        let now = engine.now();
        seats.answer_pending(&mut engine, now, &mut effects);
        effects.asked.clear();
    }
    let counts = engine.counts();
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let said = Said {
        resident_kib: field(&status, "VmRSS:")?,
        most_kib: field(&status, "VmHWM:")?,
        judged: counts.genuine + counts.hostile + counts.unknown,
    };
    println!("{}", serde_json::to_string(&said)?);
    Ok(())
}

/// A number of `/proc/self/status`.
pub(crate) fn field(status: &str, name: &str) -> anyhow::Result<u64> {
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
