//! Tasks of this repository. `cargo xtask help` lists them; every task lives in the file of its name.

mod bench;
mod cargo;
mod ci;
mod demo;
mod lab;
mod new;
mod packages;
mod plugins;
mod test;

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
    /// Run attacks and harmless crowds on real servers, without ftagent and with it, and print what became of them
    Lab(lab::Args),
    /// Run every test, including those with namespaces and a real Docker
    Test(test::Args),
    /// Measure what SPECIFICATION.md promises
    Bench(bench::Args),
    /// Check everything that must hold before a change lands
    Ci,
    /// Build the plugins' components into plugins/prebuilt
    Plugins(plugins::Args),
    /// Make the folder of a new game or plugin
    #[command(subcommand)]
    New(new::Args),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Demo(args) => demo::run(args),
        Task::Lab(args) => lab::run(args),
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Ci => ci::run(),
        Task::Plugins(args) => plugins::run(&args),
        Task::New(args) => new::run(&args),
    }
}
