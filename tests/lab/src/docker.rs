//! A real Docker daemon in the lab's node, with a folder, socket and network of its own.
//!
//! The daemon is started with `nsenter --net`, so its chains, its bridges and its ports are the node's, while the
//! machine's own Docker, if there is one, sees nothing of it (containers live in a containerd namespace that bears
//! the lab's name). Images are made here from a busybox: no registry is asked for anything.

use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;

use crate::Lab;
use crate::clock;
use crate::command;
use crate::server::Server;
use crate::server::ServerSpec;

/// The network that Wings makes, with Wings' names and addresses.
pub const NETWORK: &str = "pterodactyl_nw";
/// Its bridge.
pub const BRIDGE: &str = "pterodactyl0";
/// The folder that a server works in, below the container's root; Wings mounts the server's files there.
pub(crate) const HOME: &str = "home/container";
/// How long the daemon may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How the daemon is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Let Docker filter and translate IPv6 too. Off in Docker before 27, and Wings does not turn it on.
    pub ip6tables: bool,
    /// Let Docker write its rules with the older iptables.
    pub legacy_iptables: bool,
    /// More flags of dockerd.
    pub flags: Vec<String>,
}

/// The running daemon; ends when dropped.
#[derive(Debug)]
pub struct Docker {
    lab: Lab,
    dir: PathBuf,
    options: Options,
    process: Option<Child>,
}

impl Docker {
    /// Starts the daemon, makes Wings' network and waits until both are there.
    pub fn start(lab: &Lab) -> anyhow::Result<Self> {
        Self::start_with(lab, Options::default())
    }

    /// The same with options.
    pub fn start_with(lab: &Lab, options: Options) -> anyhow::Result<Self> {
        let dir = lab.folder("docker")?;
        let mut docker = Self { lab: lab.clone(), dir, options, process: None };
        docker.launch()?;
        docker.make_network()?;
        Ok(docker)
    }

    /// The lab it runs in.
    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The daemon's socket, for `--docker-socket`.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    /// The daemon's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("dockerd.log")
    }

    /// Runs `docker` with arguments against this daemon and returns what it prints.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        command::output(self.command().args(arguments))
    }

    /// `docker`, speaking to this daemon.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        command.env_remove("DOCKER_CONTEXT").env("DOCKER_CONFIG", &self.dir);
        command
    }

    /// Makes an image of that name (once): a busybox and empty places for the machine's own programs.
    pub fn import_image(&self, name: &str) -> anyhow::Result<()> {
        if self.run(&["image", "inspect", "--format", "{{.Id}}", name]).is_ok() {
            return Ok(());
        }
        let tree = self.dir.join("image.tar");
        if !tree.exists() {
            self.pack_image(&tree)?;
        }
        self.run(&["import", &tree.display().to_string(), name])?;
        Ok(())
    }

    /// Starts a game server exactly as Wings does.
    pub fn run_server(&self, spec: &ServerSpec) -> anyhow::Result<Server> {
        self.import_image(&spec.image)?;
        let arguments = spec.arguments();
        let mut run = self.command();
        let container = command::output(run.args(&arguments))
            .with_context(|| format!("cannot start server {}\n{}", spec.uuid, self.log_tail()))?;
        Server::new(self, spec.clone(), container.trim())
    }

    /// Stops the daemon and starts it again, as an operator's `systemctl restart docker` does.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.launch()
    }

    /// The last lines of the daemon's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log())
    }

    /// Starts dockerd and waits until it answers.
    fn launch(&mut self) -> anyhow::Result<()> {
        let log =
            File::options().create(true).append(true).open(self.log()).context("cannot write dockerd.log")?;
        let errors = log.try_clone().context("cannot write dockerd.log")?;
        let dir = self.dir.display();
        let mut dockerd = self.lab.node().command(dockerd());
        dockerd.arg("--data-root").arg(self.dir.join("data"));
        dockerd.arg("--exec-root").arg(self.dir.join("exec"));
        dockerd.arg("--pidfile").arg(self.dir.join("docker.pid"));
        dockerd.args(["--host", &format!("unix://{dir}/docker.sock")]);
        // An empty file instead of the machine's /etc/docker/daemon.json.
        let config = self.dir.join("daemon.json");
        std::fs::write(&config, "{}").context("cannot write daemon.json")?;
        dockerd.arg("--config-file").arg(config);
        dockerd.args(["--containerd-namespace", self.lab.name()]);
        dockerd.args(["--containerd-plugins-namespace", &format!("{}-plugins", self.lab.name())]);
        if self.options.ip6tables {
            dockerd.args(["--experimental", "--ip6tables"]);
        }
        dockerd.args(&self.options.flags);
        if self.options.legacy_iptables {
            dockerd.env("PATH", self.legacy_path()?);
        }
        dockerd.stdin(Stdio::null()).stdout(log).stderr(errors);
        // Ctrl-C in a terminal is for us; the sweeper ends the daemon after its containers.
        std::os::unix::process::CommandExt::process_group(&mut dockerd, 0);
        self.process = Some(dockerd.spawn().context("cannot start dockerd (Debian package `docker.io`)")?);
        self.wait_until_it_answers()
    }

    /// A search path in which `iptables` is the older one.
    fn legacy_path(&self) -> anyhow::Result<String> {
        let folder = self.lab.folder("legacy")?;
        for name in ["iptables", "ip6tables"] {
            let link = folder.join(name);
            if !link.exists() {
                std::os::unix::fs::symlink(format!("/usr/sbin/{name}-legacy"), &link)
                    .with_context(|| format!("cannot make {}", link.display()))?;
            }
        }
        Ok(format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default()))
    }

    fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let answered = clock::wait_for(START_TIMEOUT, || {
            if let Some(Ok(Some(status))) = self.process.as_mut().map(Child::try_wait) {
                return Some(Err(status));
            }
            std::os::unix::net::UnixStream::connect(self.socket()).ok()?;
            self.run(&["version", "--format", "{{.Server.Version}}"]).ok().map(Ok)
        });
        match answered {
            Some(Ok(_)) => Ok(()),
            Some(Err(status)) => bail!("dockerd ended with {status}\n{}", self.log_tail()),
            None => bail!("dockerd does not answer after {START_TIMEOUT:?}\n{}", self.log_tail()),
        }
    }

    /// The network of Wings' default configuration.
    fn make_network(&self) -> anyhow::Result<()> {
        let bridge = format!("com.docker.network.bridge.name={BRIDGE}");
        let mut arguments = vec!["network", "create", "--driver", "bridge", "--ipv6"];
        arguments.extend(["--subnet", "172.18.0.0/16", "--gateway", "172.18.0.1"]);
        arguments.extend(["--subnet", "fdba:17c8:6c94::/64", "--gateway", "fdba:17c8:6c94::1011"]);
        for option in [
            bridge.as_str(),
            "com.docker.network.bridge.default_bridge=false",
            "com.docker.network.bridge.enable_icc=true",
            "com.docker.network.bridge.enable_ip_masquerade=true",
            "com.docker.network.bridge.host_binding_ipv4=0.0.0.0",
            "com.docker.network.driver.mtu=1500",
        ] {
            arguments.extend(["--opt", option]);
        }
        arguments.push(NETWORK);
        self.run(&arguments).with_context(|| self.log_tail())?;
        Ok(())
    }

    /// Writes the tree of the image: links as on a machine with merged /usr, and busybox by its own name.
    fn pack_image(&self, tar: &Path) -> anyhow::Result<()> {
        let root = self.dir.join("image");
        for folder in ["usr", "lib", "lib64", "bin", "sbin", "etc", "tmp", HOME, "lab", "clients"] {
            std::fs::create_dir_all(root.join(folder)).context("cannot lay out the image")?;
        }
        std::fs::copy("/bin/busybox", root.join("busybox"))
            .context("cannot copy /bin/busybox (Debian package `busybox-static`)")?;
        let users = format!("root:x:0:0::/:/busybox\ncontainer:x:988:988::/{HOME}:\n");
        std::fs::write(root.join("etc/passwd"), users).context("cannot lay out the image")?;
        let root = root.display().to_string();
        command::run("tar", &["-C", &root, "-cf", &tar.display().to_string(), "."])?;
        Ok(())
    }

    /// Ends the daemon and waits for it. Containers go with it, as with any daemon without live restore.
    fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        if let Ok(pid) = i32::try_from(process.id()) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        }
        let ended = clock::wait_for(Duration::from_secs(20), || process.try_wait().ok().flatten());
        if ended.is_none() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Ok(all) = self.run(&["ps", "-aq"]) {
            let ids: Vec<&str> = all.split_whitespace().collect();
            if !ids.is_empty() {
                let _ = self.run(&[&["rm", "-f", "-v"], ids.as_slice()].concat());
            }
        }
        self.stop();
    }
}

/// Debian's own client: a wrapper of the same name may come first in the path.
pub(crate) fn program() -> &'static str {
    if Path::new("/usr/bin/docker").exists() { "/usr/bin/docker" } else { "docker" }
}

/// Debian's own daemon.
fn dockerd() -> &'static str {
    if Path::new("/usr/sbin/dockerd").exists() { "/usr/sbin/dockerd" } else { "dockerd" }
}

/// The last 25 lines of a file.
fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!("{}:\n{}", path.display(), lines[lines.len().saturating_sub(25)..].join("\n"))
}
