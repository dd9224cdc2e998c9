//! The few questions that we ask Docker, in plain types. bollard uses paths without a version, which every daemon
//! understands (20.10 speaks at most API 1.41, 29 at least 1.44). Of events only `Action` and `Actor` are read.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use bollard::API_DEFAULT_VERSION;
use bollard::models::ContainerInspectResponse;
use bollard::models::EventMessage;
use bollard::models::Network;
use bollard::query_parameters::EventsOptions;
use bollard::query_parameters::ListContainersOptions;
use futures_util::Stream;

use crate::Error;
use crate::config::Containers;
use crate::limits;
use crate::snapshot::ContainerNetwork;

/// The label by which Wings marks game servers, of Pterodactyl and Pelican alike; installers have another value.
const SERVER_LABEL: &str = "ContainerType=server_process";

/// What changes ports, names or networks. Health checks and `exec` would wake us for nothing.
const ACTIONS: [&str; 12] = [
    "create",
    "start",
    "restart",
    "die",
    "stop",
    "destroy",
    "rename",
    "pause",
    "unpause",
    "connect",
    "disconnect",
    "remove",
];

/// A running container in a list.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// What the daemon says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Daemon {
    pub(crate) version: Option<String>,
    pub(crate) firewall_backend: Option<String>,
}

/// A connection to one daemon.
#[derive(Clone)]
pub(crate) struct Client {
    docker: bollard::Docker,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> Result<Self, Error> {
        let path = socket.to_string_lossy();
        let docker =
            bollard::Docker::connect_with_unix(&path, limits::ANSWER_SECONDS_MAX, API_DEFAULT_VERSION)
                .map_err(|source| Error::Connect { socket: socket.to_path_buf(), source })?;
        Ok(Self { docker })
    }

    pub(crate) async fn daemon(&self) -> Result<Daemon, Error> {
        let told =
            self.docker.info().await.map_err(|source| Error::Docker { op: "describe itself", source })?;
        let backend = told.firewall_backend.and_then(|firewall| firewall.driver);
        Ok(Daemon { version: told.server_version, firewall_backend: backend })
    }

    /// All running containers that count, in the order of their names.
    pub(crate) async fn list(&self, containers: Containers) -> Result<Vec<Listed>, Error> {
        let filters = match containers {
            Containers::Panel => Some(HashMap::from([("label".to_owned(), vec![SERVER_LABEL.to_owned()])])),
            Containers::Published => None,
        };
        let options = ListContainersOptions { filters, ..ListContainersOptions::default() };
        let listed = self.docker.list_containers(Some(options)).await;
        let listed = listed.map_err(|source| Error::Docker { op: "list containers", source })?;
        let mut running: Vec<Listed> = listed
            .into_iter()
            .filter_map(|container| {
                let names = container.names.unwrap_or_default();
                // Links add names with another container's name before them; the own one has a single slash.
                let own =
                    names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'))?;
                Some(Listed { id: container.id?, name: own.to_owned() })
            })
            .collect();
        running.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(running)
    }

    /// One container; `None` if it went away or ended meanwhile: Docker lists it a moment longer, without its ports.
    pub(crate) async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, Error> {
        match self.docker.inspect_container(id, None).await {
            Ok(container) => {
                let ended = container.state.as_ref().and_then(|state| state.running) == Some(false);
                Ok((!ended).then_some(container))
            }
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(source) => Err(Error::Docker { op: "describe a container", source }),
        }
    }

    pub(crate) async fn networks(&self) -> Result<Vec<ContainerNetwork>, Error> {
        let networks = self.docker.list_networks(None).await;
        let networks = networks.map_err(|source| Error::Docker { op: "list networks", source })?;
        let mut networks: Vec<ContainerNetwork> = networks.into_iter().map(network).collect();
        networks.sort_unstable();
        Ok(networks)
    }

    /// What happens from `since` on. Docker keeps the last 256 events, so a look that begins after `since` misses
    /// nothing, even though the request is only sent when the stream is first polled.
    pub(crate) fn events(
        &self,
        since: SystemTime,
    ) -> impl Stream<Item = Result<EventMessage, bollard::errors::Error>> + use<> {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned(), "network".to_owned()]),
            ("event".to_owned(), ACTIONS.map(str::to_owned).to_vec()),
        ]);
        self.docker.events(Some(EventsOptions {
            since: Some(format!("{}.{:09}", since.as_secs(), since.subsec_nanos())),
            until: None,
            filters: Some(filters),
        }))
    }
}

fn network(network: Network) -> ContainerNetwork {
    let driver = network.driver.unwrap_or_default();
    let options = network.options.unwrap_or_default();
    let named = options.get("com.docker.network.bridge.name").cloned();
    // Docker calls a bridge without a name `br-` and the first twelve digits of the network's id.
    let unnamed = network.id.as_ref().and_then(|id| id.get(..12)).map(|id| format!("br-{id}"));
    let ranges = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    ContainerNetwork {
        name: network.name.unwrap_or_default(),
        interface: if driver == "bridge" { named.or(unnamed) } else { None },
        driver,
        subnets: ranges.iter().filter_map(|range| range.subnet.as_ref()?.parse().ok()).collect(),
        // Docker writes some IPv6 gateways with a prefix length.
        gateways: ranges
            .iter()
            .filter_map(|range| range.gateway.as_ref()?.split('/').next()?.parse().ok())
            .collect(),
    }
}
