//! Keeps looking: events wake us, a timer makes sure, and Docker going away and coming back is survived.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use bollard::models::EventMessage;
use ftagent_core::game::Catalog;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::sync::watch;

use crate::Error;
use crate::addresses::own_addresses;
use crate::config::Config;
use crate::config::Containers;
use crate::docker::Client;
use crate::docker::Daemon;
use crate::docker::Listed;
use crate::facts::Container;
use crate::limits;
use crate::servers::Servers;
use crate::snapshot::ContainerNetwork;
use crate::snapshot::Docker;
use crate::snapshot::Finding;
use crate::snapshot::Snapshot;
use crate::table;

/// From this version on Docker writes ip6tables rules by default.
const IP6TABLES_SINCE: u32 = 27;

/// Everything that is remembered between two looks.
struct Follower {
    config: Config,
    servers: Servers,
    networks: Vec<ContainerNetwork>,
    daemon: Daemon,
    docker: Docker,
    own: BTreeSet<IpAddr>,
    findings: BTreeSet<Finding>,
}

/// Looks once, without remembering anything.
pub(crate) async fn once(config: &Config, catalog: &Catalog) -> Snapshot {
    let mut follower = Follower::new(config.clone());
    let looked = match Client::connect(&config.socket) {
        Ok(client) => follower.look(&client, &BTreeSet::new()).await,
        Err(error) => Err(error),
    };
    if let Err(error) = looked {
        follower.unreachable(&error);
    }
    follower.snapshot(catalog)
}

/// Follows until nobody listens any more.
pub(crate) async fn follow(
    config: Config,
    mut catalog: watch::Receiver<Arc<Catalog>>,
    publish: watch::Sender<Arc<Snapshot>>,
) {
    let mut follower = Follower::new(config);
    let mut pause = limits::RETRY_MIN;
    loop {
        let ended = tokio::select! {
            biased;
            () = publish.closed() => return,
            ended = follower.connected(&mut catalog, &publish, &mut pause) => ended,
        };
        follower.unreachable(&ended);
        follower.publish(&catalog.borrow_and_update().clone(), &publish);
        tokio::select! {
            biased;
            () = publish.closed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(limits::RETRY_MAX);
        follower.refresh_own();
    }
}

impl Follower {
    fn new(config: Config) -> Self {
        let mut follower = Self {
            config,
            servers: Servers::default(),
            networks: Vec::new(),
            daemon: Daemon::default(),
            docker: Docker::NotAsked,
            own: BTreeSet::new(),
            findings: BTreeSet::new(),
        };
        follower.refresh_own();
        follower
    }

    /// Stays with one connection until it ends, and says why it did.
    async fn connected(
        &mut self,
        catalog: &mut watch::Receiver<Arc<Catalog>>,
        publish: &watch::Sender<Arc<Snapshot>>,
        pause: &mut Duration,
    ) -> Error {
        let client = match Client::connect(&self.config.socket) {
            Ok(client) => client,
            Err(error) => return error,
        };
        // Events count from before the first look, so that nothing falls between the two.
        let events = Events::listen(&client, SystemTime::now() - Duration::from_secs(1));
        let Events { mut woken, task } = events;
        let _task = AbortOnDrop(task);
        let mut changed = BTreeSet::new();
        let mut catalog_may_change = true;
        loop {
            if let Err(error) = self.look(&client, &changed).await {
                return error;
            }
            let current = catalog.borrow_and_update().clone();
            self.publish(&current, publish);
            *pause = limits::RETRY_MIN;
            changed.clear();
            tokio::time::sleep(limits::LOOK_PAUSE).await;
            tokio::select! {
                first = woken.recv() => match first {
                    Some(Ok(id)) => { changed.insert(id); }
                    Some(Err(source)) => return Error::Docker { op: "keep telling events", source },
                    None => return gone(),
                },
                () = tokio::time::sleep(self.config.refresh) => {}
                told = catalog.changed(), if catalog_may_change => catalog_may_change = told.is_ok(),
            }
            // What else happened meanwhile is read in the same look.
            while let Ok(Ok(id)) = woken.try_recv() {
                changed.insert(id);
            }
        }
    }

    /// Reads everything. `changed` are ids of containers or networks that must not be taken from memory.
    async fn look(&mut self, client: &Client, changed: &BTreeSet<String>) -> Result<(), Error> {
        self.daemon = client.daemon().await?;
        let mut listed = client.list(self.config.containers).await?;
        self.findings.clear();
        if listed.len() > limits::CONTAINERS_MAX {
            self.findings.insert(Finding {
                says: format!("{} containers are too many; the last ones are left out", listed.len()),
                hint: Some(format!("at most {} are looked at", limits::CONTAINERS_MAX)),
            });
            listed.truncate(limits::CONTAINERS_MAX);
        }
        let servers = &self.servers;
        let remembered = |one: Listed| {
            let known = servers.container(&one.id).filter(|_| !changed.contains(&one.id));
            (one, known)
        };
        let asked = stream::iter(listed.into_iter().map(remembered)).map(|(one, known)| async move {
            let container = match known {
                Some(known) => Some(known),
                None => client.inspect(&one.id).await?.map(|found| Arc::new(Container::read(found))),
            };
            Ok(container.map(|container| (Arc::<str>::from(one.name), one.id, container)))
        });
        let answers: Vec<Result<_, Error>> = asked.buffered(limits::INSPECTIONS_AT_ONCE_MAX).collect().await;
        let running: Vec<_> = answers.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let all = self.config.containers == Containers::Panel;
        let running = running.into_iter().filter(|(_, _, container)| all || is_server(container)).collect();
        self.networks = client.networks().await?;
        self.servers.update(running, Instant::now(), self.config.keep_stopped);
        self.docker = Docker::Connected;
        self.refresh_own();
        Ok(())
    }

    /// Docker does not answer. What is known of its servers stands: with live restore they run on.
    fn unreachable(&mut self, error: &Error) {
        let why = error.whole();
        if self.docker == Docker::Connected {
            tracing::warn!(why, "lost Docker; servers stay as they were last seen");
        }
        self.docker = Docker::Unreachable { why };
        self.servers.forget(Instant::now(), self.config.keep_stopped);
    }

    fn refresh_own(&mut self) {
        match own_addresses() {
            Ok(own) => self.own = own,
            Err(error) => tracing::warn!(why = error.whole(), "keeping the addresses that were last read"),
        }
    }

    fn ip6tables(&self) -> bool {
        let version = self.daemon.version.as_deref().and_then(|version| version.split('.').next());
        let major = version.and_then(|major| major.parse::<u32>().ok());
        self.config.ip6tables.unwrap_or(major.is_some_and(|major| major >= IP6TABLES_SINCE))
    }

    fn snapshot(&self, catalog: &Catalog) -> Snapshot {
        let table = table::build(&self.config, catalog, &self.servers, &self.own, self.ip6tables());
        let mut findings = self.findings.clone();
        findings.extend(table.findings);
        if let Docker::Unreachable { why } = &self.docker {
            findings.insert(Finding {
                says: format!("no word from Docker: {why}"),
                hint: Some(format!("is it running, and is `{}` its socket?", self.config.socket.display())),
            });
        }
        Snapshot {
            servers: table.servers,
            services: Arc::new(table.services),
            networks: self.networks.clone(),
            docker: self.docker.clone(),
            docker_version: self.daemon.version.clone(),
            firewall_backend: self.daemon.firewall_backend.clone(),
            findings: findings.into_iter().collect(),
        }
    }

    /// Publishes a snapshot if anything is different.
    fn publish(&self, catalog: &Catalog, publish: &watch::Sender<Arc<Snapshot>>) {
        let snapshot = self.snapshot(catalog);
        publish.send_if_modified(|published| {
            let different = **published != snapshot;
            if different {
                *published = Arc::new(snapshot);
            }
            different
        });
    }
}

/// Whether a container without a panel's label is a server: it publishes a port, or its label says which game.
fn is_server(container: &Container) -> bool {
    !container.bindings.is_empty() || container.facts.labels.contains_key("ftagent.game")
}

fn gone() -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it closed the connection").into();
    Error::Docker { op: "keep telling events", source }
}

/// A task that reads Docker's events and hands on which container or network each is about.
struct Events {
    woken: mpsc::Receiver<Result<String, bollard::errors::Error>>,
    task: tokio::task::JoinHandle<()>,
}

impl Events {
    fn listen(client: &Client, since: SystemTime) -> Self {
        let (wake, woken) = mpsc::channel(256);
        let mut events = Box::pin(client.events(since));
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                // A full queue only delays: Docker keeps what we have not read.
                if wake.send(event.map(subject)).await.is_err() {
                    return;
                }
            }
        });
        Self { woken, task }
    }
}

fn subject(event: EventMessage) -> String {
    event.actor.and_then(|actor| actor.id).unwrap_or_default()
}

/// A task that lives no longer than its owner.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
