//! The first look at the node: servers, interfaces, and what follows from them for capture and wall.

use std::sync::Arc;
use std::time::Duration;

use ftagent_api::views::Mode;
use ftagent_api::views::ServiceView;
use ftagent_capture::CapturePlan;
use ftagent_capture::Interface;
use ftagent_capture::interfaces;
use ftagent_core::EngineConfig;
use ftagent_core::engine::FixedLimit;
use ftagent_core::game::Catalog;
use ftagent_core::service::Judging;
use ftagent_core::service::Service;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_discovery::Containers;
use ftagent_discovery::Discovery;
use ftagent_discovery::Docker;
use ftagent_discovery::Snapshot;
use ftagent_firewall::DockerBackend;
use ftagent_firewall::EarlyRates;
use ftagent_firewall::LeftOut;
use ftagent_firewall::WallConfig;
use tokio::sync::watch;

use super::Part;
use super::catalog;
use super::clock;
use super::modes::Modes;
use super::modes::named;
use super::plugins::PluginSet;
use super::status;
use crate::cli::Places;
use crate::config;
use crate::config::Config;
use crate::config::Pcap;
use crate::exit::Exit;
use crate::exit::Failure;

/// How long the start waits for Docker's first answer. Without it the static services are protected and Docker's
/// servers join when it answers.
const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Bytes of a frame that hold its headers: Ethernet, two tags, the longest IPv4 and TCP headers but for 14 bytes.
const HEADER_BYTES: u16 = 128;
/// Payload captured where whole packets are kept: an Ethernet frame's.
const WHOLE_BYTES: u16 = 1_500;

/// Discovery at work, and the catalogue that it reads.
pub(super) struct Looking {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    catalogs: watch::Sender<Arc<Catalog>>,
}

impl Looking {
    /// What is known now.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Waits until something changed. If discovery is gone nothing ever changes again.
    pub(super) async fn changed(&mut self) -> Arc<Snapshot> {
        if self.snapshots.changed().await.is_err() {
            tracing::error!("discovery ended; services stay as they are");
            std::future::pending::<()>().await;
        }
        self.snapshots.borrow_and_update().clone()
    }

    /// Plugins changed, and with them their games and flags.
    pub(super) fn reread(&self, config: &Config, plugins: &PluginSet) {
        self.catalogs.send_replace(Arc::new(open_catalog(config, plugins)));
    }
}

/// Starts following Docker and waits for its first answer.
pub(super) async fn start(config: &Config, plugins: &PluginSet) -> Result<Looking, Failure> {
    let (catalogs, read) = watch::channel(Arc::new(open_catalog(config, plugins)));
    let (mut snapshots, _task) = Discovery::start_with(discovery_config(config), read);
    let answered = snapshots.wait_for(|snapshot| snapshot.docker != Docker::NotAsked);
    match tokio::time::timeout(FIRST_ANSWER_WITHIN, answered).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return Err(anyhow::anyhow!("discovery ended before it began").into()),
        Err(_) => tracing::warn!("Docker has not answered yet; its servers join when it does"),
    }
    Ok(Looking { snapshots, catalogs })
}

fn open_catalog(config: &Config, plugins: &PluginSet) -> Catalog {
    let (catalog, files, findings) = catalog::open(&config.games_dir, &plugins.manifests());
    for finding in &findings {
        let text = files.iter().find(|file| file.path == *finding.file).map(|file| file.text.as_str());
        match text {
            Some(text) => tracing::warn!("{}", config::render(text, std::slice::from_ref(finding))),
            None => tracing::warn!("{finding}"),
        }
    }
    catalog
}

fn discovery_config(config: &Config) -> ftagent_discovery::Config {
    let services = config.services.iter().map(|service| ftagent_discovery::StaticService {
        server: service.server.clone(),
        ip: service.address,
        port: service.port,
        transport: service.transport,
        game: service.game.clone(),
        role: service.role,
        plugin: None,
        flags: service.flags.clone(),
        path: ftagent_core::service::Path::Local,
    });
    ftagent_discovery::Config {
        socket: config.docker_socket.clone(),
        containers: if config.all_containers { Containers::Published } else { Containers::Panel },
        services: services.collect(),
        ..ftagent_discovery::Config::default()
    }
}

/// Looks once, for `ftagent services` without a running agent.
pub(crate) fn look_once(places: &Places) -> Result<Vec<ServiceView>, Failure> {
    let config = config::load(places)?;
    let plugins = PluginSet::built_in(super::sandbox(&config)?)?;
    let snapshot = snapshot_once(&config, &plugins)?;
    Ok(status::services(&snapshot.services, &|_| Mode::Observe, None, None))
}

pub(super) fn snapshot_once(config: &Config, plugins: &PluginSet) -> Result<Snapshot, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let catalog = open_catalog(config, plugins);
    Ok(runtime.block_on(ftagent_discovery::discover_once(&discovery_config(config), &catalog)))
}

/// Which interfaces to watch and why: those that the operator names, else those that published ports are reached by.
pub(super) fn interfaces(config: &Config, snapshot: &Snapshot) -> Result<Vec<(Interface, String)>, Failure> {
    if !config.interfaces.is_empty() {
        let named = |name: &String| Ok((interfaces::by_name(name)?, "it was named".to_owned()));
        return config.interfaces.iter().map(named).collect();
    }
    let networks = snapshot.networks.iter().flat_map(|network| &network.subnets);
    let published = interfaces::Published {
        addresses: snapshot.services.iter().map(|service| service.key.ip).collect(),
        container_networks: networks
            .map(|subnet| interfaces::Network { address: subnet.addr(), prefix_bits: subnet.prefix_len() })
            .collect(),
    };
    let choices = interfaces::choose(&interfaces::snapshot()?, &published);
    let (chosen, refused): (Vec<_>, Vec<_>) = choices.into_iter().partition(interfaces::Choice::chosen);
    if chosen.is_empty() {
        let why: Vec<_> =
            refused.iter().map(|choice| format!("{}: {}", choice.interface.name, choice.why)).collect();
        let error = anyhow::anyhow!("no interface to watch ({})", why.join("; "));
        return Err(Failure::new(Exit::Environment, error).hint("name one with `--interface NAME`"));
    }
    Ok(chosen.into_iter().map(|choice| (choice.interface, choice.why.to_string())).collect())
}

/// What is captured: headers of everything for this node, and for each port what its plugin reads.
pub(super) fn capture_plan(services: &Services, plugins: &PluginSet, pcap: Pcap) -> CapturePlan {
    let manifests = plugins.manifests();
    let per_port = services.iter().filter_map(|service| {
        let Judging::Plugin(name) = &service.judging else { return None };
        let manifest = manifests.iter().find(|manifest| manifest.name == *name)?;
        let reads = manifest.payload_bytes.max(manifest.stream_head);
        Some((service.key.port, if pcap == Pcap::Full { WHOLE_BYTES } else { reads }))
    });
    CapturePlan { own: services.own().collect(), default_bytes: HEADER_BYTES, per_port: per_port.collect() }
}

/// The services with what the operator allows to be done for each.
pub(super) fn services_as_ruled(config: &Config, modes: &Modes, services: &Arc<Services>) -> Arc<Services> {
    let keys = |wanted: &dyn Fn(&str) -> bool| -> Vec<ServiceKey> {
        services.iter().filter(|service| wanted(&service.server)).map(|service| service.key).collect()
    };
    let proxied = keys(&|server| named(&config.servers, server).is_some_and(|server| server.syn_proxy));
    let in_mode = |mode| keys(&|server| modes.of(server) == mode);
    let services = Services::clone(services).with_syn_proxy(proxied);
    Arc::new(services.with_limited(in_mode(Mode::Limit)).with_observed(in_mode(Mode::Observe)))
}

/// The operator's own limits, for each port of the servers that have them.
pub(super) fn fixed_limits(config: &Config, services: &Services) -> Vec<(ServiceKey, FixedLimit)> {
    let limit = |service: &Arc<Service>| {
        let server = named(&config.servers, &service.server)?;
        let limit = FixedLimit {
            packets_per_second: server.attack_packets_per_second,
            bits_per_second: server.attack_bits_per_second,
        };
        (limit != FixedLimit::default()).then_some((service.key, limit))
    };
    services.iter().filter_map(limit).collect()
}

pub(super) fn capture_options(config: &Config) -> ftagent_capture::Options {
    let defaults = ftagent_capture::Options::default();
    let blocks = config.capture_ring_mib.saturating_mul(1 << 20) / defaults.block_bytes;
    ftagent_capture::Options {
        packets_per_second_max: config.capture_packets_per_second,
        ingress_blocks: (blocks * 2 / 3).max(1),
        egress_blocks: (blocks / 3).max(1),
        ..defaults
    }
}

/// The engine's tables are keyed by a number that nobody outside can know.
pub(super) fn engine_config() -> EngineConfig {
    use std::hash::BuildHasher as _;
    EngineConfig {
        seed: std::hash::RandomState::new().hash_one(std::process::id()),
        wall_clock_micros_at_start: clock::wall_micros_at_start(),
        ..EngineConfig::default()
    }
}

pub(super) fn wall_config(
    config: &Config,
    snapshot: &Snapshot,
    interfaces: &[(Interface, String)],
    mode: Mode,
    without: Option<Part>,
) -> WallConfig {
    WallConfig {
        mode: firewall_mode(mode),
        state_dir: config.state_dir.clone(),
        mark_bit: 1 << config.firewall_mark_bit,
        guard: guard(config, snapshot),
        early_rates: EarlyRates {
            service_per_second: u64::from(config.firewall_early_per_service),
            node_per_second: u64::from(config.firewall_early_per_node),
        },
        docker_backend: docker_backend(snapshot),
        left_out: match without {
            Some(Part::Jump) => Some(LeftOut::Jump),
            Some(Part::Early) => Some(LeftOut::Early),
            Some(Part::Plugin) | None => None,
        },
        ..WallConfig::new(interfaces.iter().map(|(interface, _)| interface.name.clone()))
    }
}

/// Networks that are never blocked: the operator's and the containers'. The wall adds what the node itself shows.
pub(super) fn guard(config: &Config, snapshot: &Snapshot) -> Vec<ipnet::IpNet> {
    let containers = snapshot.networks.iter().flat_map(|network| network.subnets.iter().copied());
    config.firewall_never_block.iter().copied().chain(containers).collect()
}

pub(super) fn docker_backend(snapshot: &Snapshot) -> DockerBackend {
    match snapshot.firewall_backend.as_deref() {
        Some("nftables") => DockerBackend::Nftables,
        Some(_) => DockerBackend::Iptables,
        None => DockerBackend::Unknown,
    }
}

pub(super) fn firewall_mode(mode: Mode) -> ftagent_firewall::Mode {
    match mode {
        Mode::Observe => ftagent_firewall::Mode::Observe,
        Mode::Limit => ftagent_firewall::Mode::Limit,
        Mode::Enforce => ftagent_firewall::Mode::Enforce,
    }
}
