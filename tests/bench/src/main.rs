//! Every promised number of speed and memory, measured on this machine and compared with its target.
//!
//! What must stay true: nothing is asserted about speed, a missed target is printed as missed; what is compared is
//! measured by turns in one run; times are processor time of the measuring thread where that is possible, and medians,
//! because the machine is shared. Figures that other figures explain carry no target.

mod classification;
mod clock;
mod crossing;
mod engine;
mod figure;
mod live;
mod memory;
mod packet;
mod plugins;
mod start;
mod traffic;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use ftagent_sandbox::Plugin;
use serde::Serialize;

use crate::figure::Figure;

/// Measures what ftagent promises about speed and memory.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Args {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Measure only these
    #[arg(value_enum, value_name = "NAME")]
    names: Vec<Group>,
    /// The measurement of memory in a process of its own, with this compile cache
    #[arg(long, hide = true, value_name = "CACHE")]
    child_memory: Option<PathBuf>,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    /// Crossing the sandbox with a plugin that judges nothing
    Crossing,
    /// Each plugin in the sandbox against the same plugin compiled natively
    Classification,
    /// Packets a second through the engine and the real plugins
    Engine,
    /// Resident memory
    Memory,
    /// Start of the program to the first judged packet
    Start,
    /// Live capture of a flood on a virtual cable (needs root)
    Live,
}

#[derive(Serialize)]
struct Document {
    schema: u32,
    machine: Machine,
    figures: Vec<Figure>,
}

/// What the figures were measured on.
#[derive(Serialize)]
struct Machine {
    processors: usize,
    kernel: String,
    /// Processes that wanted a processor in the last minute, at the begin: above `processors` the machine is shared.
    load: String,
}

impl Machine {
    fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let first = |text: String| text.split_whitespace().next().unwrap_or_default().to_owned();
        Self {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: first(read("/proc/sys/kernel/osrelease")),
            load: first(read("/proc/loadavg")),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(cache) = &args.child_memory {
        return memory::child(cache);
    }
    use clap::ValueEnum as _;
    let wanted = if args.names.is_empty() { Group::value_variants().to_vec() } else { args.names };
    let machine = Machine::this();
    let mut figures = Vec::new();
    for group in wanted {
        eprintln!("measuring {group:?} ...");
        figures.extend(match group {
            Group::Crossing => crossing::measure()?,
            Group::Classification => classification::measure()?,
            Group::Engine => engine::measure()?,
            Group::Memory => memory::measure()?,
            Group::Start => start::measure()?,
            Group::Live => live::measure()?,
        });
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&Document { schema: 1, machine, figures })?);
    } else {
        let Machine { processors, kernel, load } = machine;
        println!("{processors} processors, Linux {kernel}, load {load} at the begin\n");
        print!("{}", figure::table(&figures));
    }
    Ok(())
}

/// How many bytes of a frame live capture keeps: 128, and what the game's plugin wants.
fn snap(loaded: &[Arc<Plugin>]) -> impl Fn(&str) -> usize {
    let wants: Vec<(Arc<str>, usize)> = loaded
        .iter()
        .map(|plugin| {
            let manifest = plugin.manifest();
            let wanted = manifest.payload_bytes.max(manifest.stream_head);
            (Arc::clone(&manifest.name), 128 + usize::from(wanted))
        })
        .collect();
    move |game| wants.iter().find(|(name, _)| **name == *game).map_or(128, |(_, bytes)| *bytes)
}
