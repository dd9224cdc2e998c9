//! A game server in a container, published exactly as Wings publishes it.
//!
//! Facts (Wings `environment/docker/container.go`): name and host name are the server's uuid; the labels are
//! `Service=Pterodactyl` and `ContainerType=server_process`; every allocation is published for TCP and for UDP with
//! the container's port equal to the host's; the root file system is read-only with a `/tmp` in memory.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;

use crate::address;
use crate::clock;
use crate::docker;
use crate::docker::Docker;
use crate::docker::HOME;
use crate::meter::Meter;
use crate::namespace;

/// How many servers this process has described; part of their uuids.
static SERVERS: AtomicU32 = AtomicU32::new(0);

/// What a server is to be.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// Name of the server in the panel and of the container.
    pub uuid: String,
    /// The image's name, e.g. `ghcr.io/pterodactyl/yolks:java_21`. It is made here, not pulled.
    pub image: String,
    /// The node's address that it is published on.
    pub address: IpAddr,
    /// Its first port.
    pub port: u16,
    /// More allocations on the same address.
    pub more_ports: Vec<u16>,
    /// The start-up command that the panel knows (what `STARTUP` says), not what is run here.
    pub startup: String,
    /// More variables, as an egg sets them.
    pub environment: Vec<(String, String)>,
    /// Folders of this machine shown read-only in the container: (here, there).
    pub mounts: Vec<(PathBuf, String)>,
    /// What is really run; the first is an absolute path.
    pub program: Vec<String>,
    /// Share the node's network instead of publishing ports (Wings' `network_mode: host`).
    pub host_network: bool,
}

impl ServerSpec {
    /// A server of that image at that address.
    #[must_use]
    pub fn new(image: &str, address: SocketAddr, program: &[&str]) -> Self {
        let number = SERVERS.fetch_add(1, Ordering::Relaxed) + 1;
        Self {
            uuid: format!("{:08x}-f7a9-4e57-8000-{number:012x}", std::process::id()),
            image: image.to_owned(),
            address: address.ip(),
            port: address.port(),
            more_ports: Vec::new(),
            startup: String::new(),
            environment: Vec::new(),
            mounts: Vec::new(),
            program: program.iter().map(|&part| part.to_owned()).collect(),
            host_network: false,
        }
    }

    /// With the panel's start-up command.
    #[must_use]
    pub fn startup(mut self, startup: &str) -> Self {
        startup.clone_into(&mut self.startup);
        self
    }

    /// With one more variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a folder of this machine, read-only.
    #[must_use]
    pub fn mount(mut self, here: impl Into<PathBuf>, there: &str) -> Self {
        self.mounts.push((here.into(), there.to_owned()));
        self
    }

    /// With one more allocation.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.more_ports.push(port);
        self
    }

    /// In the node's own network.
    #[must_use]
    pub fn host_network(mut self) -> Self {
        self.host_network = true;
        self
    }

    /// Where players find it.
    #[must_use]
    pub fn public(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// The arguments of `docker`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = vec!["run".into(), "--detach".into(), "--interactive".into()];
        let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
        add("--name", self.uuid.clone());
        add("--label", "Service=Pterodactyl".into());
        add("--label", "ContainerType=server_process".into());
        for (name, value) in self.variables() {
            add("--env", format!("{name}={value}"));
        }
        if self.host_network {
            add("--network", "host".into());
        } else {
            add("--hostname", self.uuid.clone());
            // There is no name server here, and some games wait for a player's name before they let him in.
            add("--add-host", format!("player:{}", address::player(10)));
            add("--network", docker::NETWORK.into());
            for port in std::iter::once(self.port).chain(self.more_ports.iter().copied()) {
                let public = SocketAddr::new(self.address, port);
                add("--publish", format!("{public}:{port}/tcp"));
                add("--publish", format!("{public}:{port}/udp"));
            }
        }
        add("--tmpfs", "/tmp:rw,exec,nosuid,size=100M".into());
        add("--tmpfs", format!("/{HOME}:rw,exec,nosuid,mode=0777"));
        add("--workdir", format!("/{HOME}"));
        add("--log-opt", "max-size=5m".into());
        add("--security-opt", "no-new-privileges".into());
        add("--stop-timeout", "1".into());
        for folder in ["/usr", "/lib", "/lib64", "/bin"] {
            add("--volume", format!("{folder}:{folder}:ro"));
        }
        for (here, there) in &self.mounts {
            add("--volume", format!("{}:{there}:ro", here.display()));
        }
        arguments.push("--read-only".into());
        arguments.push(self.image.clone());
        arguments.extend(self.program.iter().cloned());
        arguments
    }

    /// The environment that Wings gives every server, then the egg's.
    fn variables(&self) -> Vec<(String, String)> {
        let wings = [
            ("TZ", "UTC".to_owned()),
            ("STARTUP", self.startup.clone()),
            ("SERVER_MEMORY", "1024".to_owned()),
            ("SERVER_IP", self.address.to_string()),
            ("SERVER_PORT", self.port.to_string()),
            ("P_SERVER_LOCATION", "lab".to_owned()),
            ("P_SERVER_UUID", self.uuid.clone()),
            ("P_SERVER_ALLOCATION_LIMIT", "0".to_owned()),
            ("HOME", format!("/{HOME}")),
        ];
        let wings = wings.into_iter().map(|(name, value)| (name.to_owned(), value));
        wings.chain(self.environment.iter().cloned()).collect()
    }
}

/// A running server. It ends with the daemon; [`Server::remove`] ends it sooner.
#[derive(Debug)]
pub struct Server {
    docker: DockerHandle,
    spec: ServerSpec,
    container: String,
    pid: u32,
}

/// What is needed to speak of the server to its daemon, which may end before it.
#[derive(Clone, Debug)]
struct DockerHandle {
    socket: PathBuf,
}

impl Server {
    pub(crate) fn new(docker: &Docker, spec: ServerSpec, container: &str) -> anyhow::Result<Self> {
        let pid = docker.run(&["inspect", "--format", "{{.State.Pid}}", container])?;
        let pid = pid.trim().parse().with_context(|| format!("docker says pid `{pid}`"))?;
        let handle = DockerHandle { socket: docker.socket() };
        let server = Self { docker: handle, spec, container: container.to_owned(), pid };
        if pid == 0 {
            let log = server.log().unwrap_or_default();
            bail!("server {} ended at once; it printed\n{log}", server.spec.uuid);
        }
        Ok(server)
    }

    /// What it was to be.
    #[must_use]
    pub fn spec(&self) -> &ServerSpec {
        &self.spec
    }

    /// Its uuid.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.spec.uuid
    }

    /// The container's id.
    #[must_use]
    pub fn container(&self) -> &str {
        &self.container
    }

    /// The file that stands for the container's network.
    #[must_use]
    pub fn network(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.pid).into()
    }

    /// Time of processors that its program has used, in milliseconds.
    pub(crate) fn processor_ms(&self) -> u64 {
        clock::processor_ms(self.pid)
    }

    /// Everything it has printed.
    pub fn log(&self) -> anyhow::Result<String> {
        let mut logs = std::process::Command::new("sh");
        let script = "exec \"$0\" \"$@\" 2>&1";
        logs.args([
            "-c",
            script,
            docker::program(),
            "-H",
            &format!("unix://{}", self.docker.socket.display()),
        ]);
        crate::command::output(logs.args(["logs", &self.container]))
    }

    /// Waits until it has printed a line that contains `text`.
    pub fn wait_for(&self, text: &str, timeout: Duration) -> anyhow::Result<()> {
        let found = clock::wait_for(timeout, || self.log().ok()?.contains(text).then_some(()));
        found.with_context(|| {
            let log = self.log().unwrap_or_default();
            format!("server {} did not print `{text}` within {timeout:?}; it printed\n{log}", self.spec.uuid)
        })
    }

    /// Counts what reaches the container, in the container's own network: nothing that is asked of ftagent.
    pub fn meter(&self) -> anyhow::Result<Meter> {
        Meter::install(&self.network())
    }

    /// Runs a closure on a thread in the container's network.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        namespace::within(&self.network(), work)
    }

    /// Removes the container, as Wings does when a server stops.
    pub fn remove(self) -> anyhow::Result<()> {
        let host = format!("unix://{}", self.docker.socket.display());
        crate::command::run(docker::program(), &["-H", &host, "rm", "-f", "-v", &self.container])?;
        Ok(())
    }
}
