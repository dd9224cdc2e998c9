//! A real dockerd in a namespace of its own, and containers exactly as Wings makes them: each change is seen within a
//! second. Needs root and docker.io; without them these tests fail, they are never skipped.

mod node;

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use ftagent_core::game::Catalog;
use ftagent_core::service::Judging;
use ftagent_core::service::Path;
use ftagent_discovery::Config;
use ftagent_discovery::Containers;
use ftagent_discovery::Discovery;
use ftagent_discovery::Docker;
use ftagent_discovery::Snapshot;
use ftagent_discovery::State;
use ftagent_discovery::discover_once;
use node::ADDRESS_V6;
use node::ADDRESSES;
use node::Node;
use node::Server;
use tokio::sync::watch;

const RUST: Server<'_> = Server {
    uuid: "7f3b0f8e-0000-4000-8000-000000000001",
    panel: "Pterodactyl",
    image: "ghcr.io/pterodactyl/games:rust",
    at: &[(ADDRESSES[0], 28015), (ADDRESSES[0], 28016)],
    env: &[("RCON_PORT", "28016"), ("QUERY_PORT", "28015"), ("STARTUP", "./RustDedicated -batchmode")],
    host_network: false,
};

const JAVA: Server<'_> = Server {
    uuid: "7f3b0f8e-0000-4000-8000-000000000002",
    panel: "Pelican",
    image: "ghcr.io/pterodactyl/yolks:java_21",
    at: &[(ADDRESSES[0], 25565)],
    env: &[("VANILLA_VERSION", "latest"), ("STARTUP", "java -jar {{SERVER_JARFILE}}")],
    host_network: false,
};

const NEIGHBOUR: Server<'_> = Server {
    uuid: "7f3b0f8e-0000-4000-8000-000000000003",
    panel: "Pterodactyl",
    image: "ghcr.io/parkervcp/steamcmd:debian",
    at: &[(ADDRESSES[1], 25565)],
    env: &[("SRCDS_APPID", "730")],
    host_network: false,
};

const ON_HOST: Server<'_> = Server {
    uuid: "7f3b0f8e-0000-4000-8000-000000000004",
    panel: "Pterodactyl",
    image: "ghcr.io/pterodactyl/games:rust",
    at: &[(ADDRESSES[1], 29015)],
    env: &[],
    host_network: true,
};

fn catalog() -> Arc<Catalog> {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../../games");
    let files: Vec<(String, String)> = std::fs::read_dir(root)
        .expect("the games folder")
        .map(|folder| folder.expect("an entry").path().join("game.toml"))
        .map(|path| (path.to_string_lossy().into_owned(), std::fs::read_to_string(&path).expect("a game")))
        .collect();
    Arc::new(Catalog::built_in(&files).0)
}

/// `address:port/proto game who path` of each service, sorted.
fn lines(snapshot: &Snapshot, id: &str) -> Vec<String> {
    let services = snapshot.server(id).map(|server| server.services.clone()).unwrap_or_default();
    let mut lines: Vec<String> = services
        .iter()
        .map(|service| {
            let who = match &service.judging {
                Judging::Plugin(name) => name.to_string(),
                Judging::WrongTransport => "wrong-transport".to_owned(),
            };
            let path = if service.path == Path::Local { " local" } else { "" };
            format!("{} {:?} {who}{path}", service.key, service.role).to_lowercase()
        })
        .collect();
    lines.sort();
    lines
}

/// Follows a node and measures how long changes take to be seen.
struct Watcher {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    slowest: Duration,
}

impl Watcher {
    fn start(config: Config) -> Self {
        let (snapshots, _) = Discovery::start(config, catalog());
        Self { snapshots, slowest: Duration::ZERO }
    }

    /// Waits until a snapshot fulfils `wanted`, at most a second from now.
    async fn sees(&mut self, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        self.sees_within(Duration::from_secs(1), what, wanted).await
    }

    async fn sees_within(
        &mut self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Arc<Snapshot> {
        let start = Instant::now();
        let seen = tokio::time::timeout(limit, self.snapshots.wait_for(|snapshot| wanted(snapshot))).await;
        let took = start.elapsed();
        let found = seen.ok().and_then(Result::ok).map(|found| found.clone());
        let last = self.snapshots.borrow().clone();
        let found = found.unwrap_or_else(|| panic!("{what}: not seen within {limit:?}; last: {last:#?}"));
        eprintln!("{what}: seen after {} ms", took.as_millis());
        self.slowest = self.slowest.max(took);
        found
    }
}

fn config(node: &Node) -> Config {
    // A long refresh: what is seen within a second is seen because Docker said so.
    Config { socket: node.socket(), refresh: Duration::from_secs(120), ..Config::default() }
}

fn runs(snapshot: &Snapshot, id: &str) -> bool {
    snapshot.server(id).is_some_and(|server| server.state == State::Running)
}

fn runs_at(snapshot: &Snapshot, id: &str, port: u16) -> bool {
    let server = snapshot.server(id);
    runs(snapshot, id) && server.is_some_and(|server| server.services.iter().any(|at| at.key.port == port))
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_followed_within_a_second() {
    let node = Node::new();
    node.wings(&RUST);
    let mut watcher = Watcher::start(config(&node));
    let found = watcher
        .sees_within(Duration::from_secs(3), "found at start", |snapshot| runs(snapshot, RUST.uuid))
        .await;
    assert_eq!(found.docker, Docker::Connected);
    assert!(found.docker_version.is_some());
    assert_eq!(
        lines(&found, RUST.uuid),
        [
            "203.0.113.10:28015/tcp game generic",
            "203.0.113.10:28015/udp game rust",
            "203.0.113.10:28016/tcp rcon rust",
            "203.0.113.10:28016/udp rcon generic",
        ]
    );
    let network =
        found.networks.iter().find(|network| network.name == "pterodactyl_nw").expect("Wings' network");
    assert_eq!(network.interface.as_deref(), Some("pterodactyl0"));
    assert_eq!(network.subnets.len(), 2, "{network:?}");
    assert!(network.gateways.contains(&"172.18.0.1".parse().expect("an address")), "{network:?}");

    node.wings(&JAVA);
    let found = watcher.sees("a new server", |snapshot| runs(snapshot, JAVA.uuid)).await;
    let java = found.server(JAVA.uuid).expect("it was just seen");
    assert_eq!((java.panel.as_deref(), &*java.game), (Some("Pelican"), "minecraft-java"));
    assert_eq!(
        lines(&found, JAVA.uuid),
        ["203.0.113.10:25565/tcp game minecraft-java", "203.0.113.10:25565/udp game wrong-transport",]
    );

    node.wings(&NEIGHBOUR);
    let found = watcher.sees("a neighbour on the same port", |snapshot| runs(snapshot, NEIGHBOUR.uuid)).await;
    assert_eq!(
        lines(&found, NEIGHBOUR.uuid),
        ["203.0.113.11:25565/tcp rcon source-query", "203.0.113.11:25565/udp game source-query",]
    );
    assert_eq!(found.findings, []);

    let before = found.server(JAVA.uuid).expect("known").addresses.clone();
    node.docker(&["stop", JAVA.uuid]);
    let stopped = watcher.sees("a stopped server", |snapshot| !runs(snapshot, JAVA.uuid)).await;
    assert_eq!(lines(&stopped, JAVA.uuid).len(), 2, "a stopped server stays known");
    assert!(stopped.services.iter().any(|service| *service.server == *JAVA.uuid));
    node.wings(&JAVA);
    let again = watcher.sees("a recreated server", |snapshot| runs(snapshot, JAVA.uuid)).await;
    assert_eq!(lines(&again, JAVA.uuid).len(), 2);
    assert!(!before.is_empty());

    node.wings(&Server { at: &[(ADDRESSES[0], 25570)], ..JAVA });
    let moved = watcher.sees("a moved port", |snapshot| runs_at(snapshot, JAVA.uuid, 25570)).await;
    assert_eq!(
        lines(&moved, JAVA.uuid),
        ["203.0.113.10:25570/tcp game minecraft-java", "203.0.113.10:25570/udp game wrong-transport",]
    );
    let taker = Server { uuid: "taker", at: JAVA.at, ..NEIGHBOUR };
    node.wings(&taker);
    let taken = watcher.sees("a port taken by another", |snapshot| runs(snapshot, "taker")).await;
    let owner = taken.services.iter().find(|at| at.key.to_string() == "203.0.113.10:25565/tcp");
    assert_eq!(owner.map(|service| &*service.server), Some("taker"));

    node.docker(&["rm", "-f", NEIGHBOUR.uuid]);
    watcher.sees("a removed server", |snapshot| !runs(snapshot, NEIGHBOUR.uuid)).await;

    node.wings(&ON_HOST);
    let on_host =
        watcher.sees("a server on the node's network", |snapshot| runs(snapshot, ON_HOST.uuid)).await;
    let found = lines(&on_host, ON_HOST.uuid);
    assert!(found.contains(&"203.0.113.11:29015/udp game rust local".to_owned()), "{found:?}");
    assert!(on_host.server(ON_HOST.uuid).is_some_and(|server| server.on_host_network));

    eprintln!("slowest of all: {} ms", watcher.slowest.as_millis());
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_may_be_absent_and_may_go_and_come_back() {
    let mut node = Node::new();
    node.wings(&RUST);
    node.stop_dockerd();
    let mut watcher = Watcher::start(config(&node));
    let without = watcher.sees("Docker is absent", |snapshot| snapshot.docker != Docker::NotAsked).await;
    assert!(matches!(without.docker, Docker::Unreachable { .. }));
    assert!(without.findings.iter().any(|finding| finding.says.contains("no word from Docker")));
    node.start_dockerd();
    watcher
        .sees_within(Duration::from_secs(2), "Docker came", |snapshot| snapshot.docker == Docker::Connected)
        .await;
    node.docker(&["start", RUST.uuid]);
    watcher.sees("a server started", |snapshot| runs(snapshot, RUST.uuid)).await;
    node.stop_dockerd();
    watcher
        .sees("Docker went", |snapshot| {
            snapshot.docker != Docker::Connected && snapshot.server(RUST.uuid).is_some()
        })
        .await;
    node.start_dockerd();
    watcher
        .sees_within(Duration::from_secs(2), "Docker came again", |snapshot| {
            snapshot.docker == Docker::Connected
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_any_kind_count_when_asked_for_and_ipv6_takes_its_path() {
    let node = Node::new();
    let plain = ["run", "--detach", "--name=plain", "--publish=0.0.0.0:30000:28015/udp"];
    let command = ["ghcr.io/pterodactyl/games:rust", "/bin/busybox", "sleep", "300"];
    node.docker(&[&plain[..], &command[..]].concat());
    node.docker(&[&["run", "--detach", "--name=quiet"][..], &command[..]].concat());
    node.wings(&Server { at: &[(ADDRESS_V6, 28015)], ..RUST });
    let all = Config { containers: Containers::Published, ..config(&node) };
    let found = discover_once(&all, &catalog()).await;
    let names: Vec<&str> = found.servers.iter().map(|server| &*server.id).collect();
    assert_eq!(names, [RUST.uuid, "plain"]);
    assert_eq!(lines(&found, "plain"), ["0.0.0.0:30000/udp game rust"]);
    // Docker 20.10 has no ip6tables: docker-proxy listens on the node.
    let v6 = lines(&found, RUST.uuid);
    assert!(v6.contains(&"[2001:db8::10]:28015/udp game rust local".to_owned()), "{v6:?}");
    let with = discover_once(&Config { ip6tables: Some(true), ..all }, &catalog()).await;
    let v6 = lines(&with, RUST.uuid);
    assert!(v6.contains(&"[2001:db8::10]:28015/udp game rust".to_owned()), "{v6:?}");
    let panel = discover_once(&config(&node), &catalog()).await;
    assert_eq!(panel.servers.len(), 1);
}
