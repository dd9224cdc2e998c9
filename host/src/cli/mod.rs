//! The command line: one definition here, one file a command. Help, completions and the man page come from the
//! same definitions.

mod block;
mod config;
pub(crate) mod doctor;
mod events;
mod explain;
mod incidents;
mod mode;
mod off;
mod pcap;
mod plugins;
mod print;
mod record;
mod reference;
mod replay;
mod run;
mod services;
mod status;
mod watch;

use std::path::PathBuf;

use clap::Parser;
use clap::Subcommand;
use ftagent_api::views::Ruling;

use crate::exit;
use crate::exit::Outcome;

pub(crate) use incidents::vector as shown_vector;

/// An open DDoS agent for game hosts: sandboxed plugins judge what traffic is, the kernel drops what no player
/// sends, and players keep playing.
#[derive(Debug, Parser)]
#[command(name = "ftagent", version, after_help = exit::PAGE, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Command,
}

/// Where things are. Flags win over the configuration file, which wins over the defaults.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Places {
    /// The configuration file; without it `/etc/ftagent/config.toml` if that exists
    #[arg(long, global = true, value_name = "FILE", help_heading = "Places")]
    pub(crate) config: Option<PathBuf>,
    /// Where the agent's socket is [default: /run/ftagent]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// What outlives a restart [default: /var/lib/ftagent]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Plugins that are loaded beside the built-in ones [default: STATE_DIR/plugins]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    pub(crate) plugins_dir: Option<PathBuf>,
    /// Docker's socket [default: /var/run/docker.sock]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Places")]
    pub(crate) docker_socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch this node; observe until told to enforce
    Run(run::Args),
    /// Judge the packets of a capture file; nothing is enforced
    Replay(replay::Args),
    /// Show which ports are protected as which game
    Services(print::JsonFlag),
    /// Show what the running agent sees and does
    Status(print::JsonFlag),
    /// Watch the running agent, once a second; `q` quits
    Watch(watch::Args),
    /// Print what happens as it happens, one JSON object a line
    Events(events::Args),
    /// List the attacks of the past and present, or show everything known of one
    Incidents(incidents::Args),
    /// Record the packets of one server into a file
    Record(record::Args),
    /// Show everything known of one address and why
    Explain(explain::Args),
    /// Check that protection really works on this node, and say what to mend
    Doctor(print::JsonFlag),
    /// Change between observing and enforcing, live
    Mode(mode::Args),
    /// Block a network by hand; remembered
    Block(block::Args),
    /// Never drop or limit what comes from a network; remembered
    Allow(block::Args),
    /// Take back what was blocked or allowed by hand
    Unblock(block::Unblock),
    /// List what is blocked and allowed by hand and in the configuration
    Blocks(print::JsonFlag),
    /// Take everything out of the kernel and stay off, also after a reboot
    Off,
    /// Allow ftagent to run again after `off`
    On,
    /// List and inspect plugins
    #[command(subcommand)]
    Plugins(plugins::Command),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Print a completion script for a shell
    Completions(reference::Completions),
    /// Print the manual page (roff)
    Man,
    /// Say what each exit code means
    #[command(after_help = exit::PAGE)]
    ExitCodes,
}

/// Parses the command line and runs the command.
pub(crate) fn run() -> Outcome {
    let Cli { places, command } = Cli::parse();
    match command {
        Command::Run(args) => run::run(&places, &args),
        Command::Replay(args) => replay::run(&places, &args),
        Command::Services(json) => services::run(&places, json),
        Command::Status(json) => status::run(&places, json),
        Command::Watch(args) => watch::run(&places, &args),
        Command::Events(args) => events::run(&places, &args),
        Command::Incidents(args) => incidents::run(&places, &args),
        Command::Record(args) => record::run(&places, &args),
        Command::Explain(args) => explain::run(&places, &args),
        Command::Doctor(json) => doctor::run(&places, json),
        Command::Mode(args) => mode::run(&places, &args),
        Command::Block(args) => block::rule(&places, &args, Ruling::Block),
        Command::Allow(args) => block::rule(&places, &args, Ruling::Allow),
        Command::Unblock(args) => block::unblock(&places, &args),
        Command::Blocks(json) => block::list(&places, json),
        Command::Off => off::off(&places),
        Command::On => off::on(&places),
        Command::Plugins(command) => plugins::run(&places, &command),
        Command::Config(command) => config::run(&places, &command),
        Command::Completions(args) => reference::completions(&args),
        Command::Man => reference::man(),
        Command::ExitCodes => reference::exit_codes(),
    }
}
