//! The configuration: what the operator wrote, checked. No file at all is a full configuration.
//!
//! A file with mistakes is refused as a whole, with all of them; nothing is half applied.

mod reader;
mod show;
mod telling;
mod written;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;

use annotate_snippets::AnnotationKind;
use annotate_snippets::Group;
use annotate_snippets::Level;
use annotate_snippets::Renderer;
use annotate_snippets::Snippet;
use ftagent_api::views::Mode;
use ftagent_core::game::Finding;
use ftagent_core::service::Role;
use ftagent_core::service::Transport;
use ipnet::IpNet;

use crate::cli::Places;
use crate::exit::Exit;
use crate::exit::Failure;

pub(crate) use show::shown;
pub(crate) use telling::AlertConfig;
pub(crate) use telling::ForensicsConfig;
pub(crate) use telling::Pcap;

/// Where the configuration is looked for when nobody says.
const DEFAULT_FILE: &str = "/etc/ftagent/config.toml";

/// A checked configuration. Every field has a default; `ftagent config show` prints all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// The file it came from, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// The mode of the first start; later `ftagent mode` is remembered.
    pub(crate) mode: Mode,
    /// Interfaces to watch; empty to find them.
    pub(crate) interfaces: Vec<String>,
    /// Docker's socket.
    pub(crate) docker_socket: PathBuf,
    /// Whether containers that no panel made are protected too.
    pub(crate) all_containers: bool,
    /// Where the agent's socket is.
    pub(crate) runtime_dir: PathBuf,
    /// What outlives a restart.
    pub(crate) state_dir: PathBuf,
    /// Plugins beside the built-in ones; none for `plugins` in the state directory.
    pub(crate) plugins_dir: Option<PathBuf>,
    /// Games of the operator's own.
    pub(crate) games_dir: PathBuf,
    /// Packets a second that are judged before the rest is sampled.
    pub(crate) capture_packets_per_second: u32,
    /// Memory of each capture ring, MiB.
    pub(crate) capture_ring_mib: u32,
    /// Which bit of the packet mark is ours.
    pub(crate) firewall_mark_bit: u8,
    /// Drops a second at one service above which they are dropped early.
    pub(crate) firewall_early_per_service: u32,
    /// The same for the whole node.
    pub(crate) firewall_early_per_node: u32,
    /// Networks that are never blocked.
    pub(crate) firewall_never_block: Vec<IpNet>,
    /// Networks of which nothing comes in.
    pub(crate) firewall_always_block: Vec<IpNet>,
    /// What the link carries, in Mbit/s; 0 for what the card says.
    pub(crate) capture_link_mbit: u32,
    /// Whom to tell of incidents.
    pub(crate) alert: AlertConfig,
    /// What is kept of their packets.
    pub(crate) forensics: ForensicsConfig,
    /// Services that Docker does not tell of.
    pub(crate) services: Vec<StaticService>,
    /// Servers with settings of their own, by their whole name or the first eight characters of their uuid.
    pub(crate) servers: BTreeMap<String, ServerConfig>,
}

/// What the operator wrote of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerConfig {
    /// A mode of its own.
    pub(crate) mode: Option<Mode>,
    /// From so many packets a second at one of its ports on it is an attack, whatever was learnt.
    pub(crate) attack_packets_per_second: Option<u32>,
    /// The same in bits a second.
    pub(crate) attack_bits_per_second: Option<u64>,
    /// The kernel may answer SYNs for this server when nothing weaker helps.
    pub(crate) syn_proxy: bool,
}

/// A service that the operator wrote down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StaticService {
    /// `None` for every address of the node.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) transport: Transport,
    /// A game's id or alias.
    pub(crate) game: String,
    pub(crate) role: Option<Role>,
    pub(crate) server: Option<String>,
    /// Names of flags of the plugin.
    pub(crate) flags: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            mode: Mode::Observe,
            interfaces: Vec::new(),
            docker_socket: PathBuf::from("/var/run/docker.sock"),
            all_containers: false,
            runtime_dir: PathBuf::from("/run/ftagent"),
            state_dir: PathBuf::from("/var/lib/ftagent"),
            plugins_dir: None,
            games_dir: PathBuf::from("/etc/ftagent/games"),
            capture_packets_per_second: 200_000,
            capture_ring_mib: 32,
            firewall_mark_bit: 30,
            firewall_early_per_service: 20_000,
            firewall_early_per_node: 50_000,
            firewall_never_block: Vec::new(),
            firewall_always_block: Vec::new(),
            capture_link_mbit: 0,
            alert: AlertConfig::default(),
            forensics: ForensicsConfig::default(),
            services: Vec::new(),
            servers: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The agent's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.runtime_dir.join("agent.sock")
    }

    /// The folder that plugins are dropped into.
    pub(crate) fn plugins_dir(&self) -> PathBuf {
        self.plugins_dir.clone().unwrap_or_else(|| self.state_dir.join("plugins"))
    }
}

/// Reads the services of a file that holds nothing else, such as `replay --services`.
pub(crate) fn services(file: &Path) -> Result<Vec<StaticService>, Failure> {
    Ok(read(file)?.services)
}

/// Reads the configuration that `places` points to, or the defaults, and lets the flags win.
pub(crate) fn load(places: &Places) -> Result<Config, Failure> {
    let mut config = match &places.config {
        Some(file) => read(file)?,
        None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE))?,
        None => Config::default(),
    };
    let set = |place: &mut PathBuf, flag: &Option<PathBuf>| {
        if let Some(flag) = flag {
            place.clone_from(flag);
        }
    };
    set(&mut config.runtime_dir, &places.runtime_dir);
    set(&mut config.state_dir, &places.state_dir);
    set(&mut config.docker_socket, &places.docker_socket);
    if places.plugins_dir.is_some() {
        config.plugins_dir.clone_from(&places.plugins_dir);
    }
    Ok(config)
}

fn read(file: &Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(Exit::Usage, anyhow::anyhow!("failed to read {}: {error}", file.display()))
    })?;
    let (mut config, findings) = written::parse(&file.display().to_string(), &text);
    if !findings.is_empty() {
        let report = render(&text, &findings);
        return Err(Failure::new(Exit::Usage, anyhow::anyhow!("{} has mistakes\n{report}", file.display())));
    }
    config.file = Some(file.to_path_buf());
    Ok(config)
}

/// Findings as rustc would show them.
pub(crate) fn render(text: &str, findings: &[Finding]) -> String {
    let renderer = Renderer::plain();
    let mut report = String::new();
    for finding in findings {
        let snippet = Snippet::source(text)
            .path(&*finding.file)
            .annotation(AnnotationKind::Primary.span(finding.span.clone()));
        let level = if finding.is_error() { Level::ERROR } else { Level::WARNING };
        let mut group = Group::with_title(level.primary_title(finding.says.as_str())).element(snippet);
        if let Some(hint) = &finding.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        report.push_str(&renderer.render(&[group]));
        report.push_str("\n\n");
    }
    report.trim_end().to_owned()
}
