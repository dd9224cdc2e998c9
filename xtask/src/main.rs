//! Tasks of this repository. `cargo xtask help` lists them; every task lives in the file of its name.

mod cargo;
mod demo;
mod packages;
mod plugins;

use clap::Parser;
use clap::Subcommand;

/// Tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show the main job: a node with game servers under attack, undefended and defended
    Demo(demo::Args),
    /// Build the plugins' components into plugins/prebuilt
    Plugins(plugins::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Demo(args) => demo::run(args),
        Task::Plugins(args) => plugins::run(args),
    }
}
