//! A node for tests: a network namespace with a real dockerd in it, its own folders, and containers as Wings makes
//! them. Everything is taken down when it is dropped, also after a panic.

use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// The node's two addresses, so that two servers can use one port.
pub(crate) const ADDRESSES: [&str; 2] = ["203.0.113.10", "203.0.113.11"];

/// The node's IPv6 address.
pub(crate) const ADDRESS_V6: &str = "2001:db8::10";

/// Not what another program of this name in the search path may be.
const DOCKER: &str = "/usr/bin/docker";
const DOCKERD: &str = "/usr/sbin/dockerd";

static COUNT: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Node {
    namespace: String,
    folder: tempfile::TempDir,
    dockerd: Option<Child>,
}

impl Node {
    /// A namespace with two addresses, a running dockerd, Wings' network and one image.
    pub(crate) fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces and needs root");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("ftd{}x{number}", std::process::id());
        run("ip", &["netns", "add", &namespace]);
        let folder = tempfile::Builder::new().prefix("ftagent-docker-").tempdir().expect("a folder");
        let mut node = Self { namespace, folder, dockerd: None };
        node.ip(&["link", "set", "lo", "up"]);
        for address in ADDRESSES {
            node.ip(&["address", "add", &format!("{address}/32"), "dev", "lo"]);
        }
        node.ip(&["address", "add", &format!("{ADDRESS_V6}/128"), "dev", "lo"]);
        node.start_dockerd();
        node.docker(&[
            "network",
            "create",
            "--driver=bridge",
            "--opt=com.docker.network.bridge.name=pterodactyl0",
            "--subnet=172.18.0.0/16",
            "--gateway=172.18.0.1",
            "--ipv6",
            "--subnet=fdba:17c8:6c94::/64",
            "--gateway=fdba:17c8:6c94::1011",
            "pterodactyl_nw",
        ]);
        node.import_image();
        node
    }

    /// Where dockerd listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    pub(crate) fn start_dockerd(&mut self) {
        let folder = self.folder.path();
        // Its own settings, so that the machine's do not count.
        let settings = folder.join("daemon.json");
        std::fs::write(&settings, "{}").expect("a settings file");
        // `ip netns exec` would hide /sys/fs/cgroup.
        let child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", self.namespace))
            .arg(DOCKERD)
            .arg(format!("--data-root={}", folder.join("data").display()))
            .arg(format!("--exec-root={}", folder.join("exec").display()))
            .arg(format!("--pidfile={}", folder.join("docker.pid").display()))
            .arg(format!("--host=unix://{}", self.socket().display()))
            .args(["--iptables=true", "--storage-driver=vfs"])
            .arg(format!("--config-file={}", settings.display()))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("dockerd.log")).expect("a log file"))
            .spawn()
            .expect("nsenter is there");
        self.dockerd = Some(child);
        let start = Instant::now();
        while !self.try_docker(&["version"]).status.success() {
            let log = || std::fs::read_to_string(folder.join("dockerd.log")).unwrap_or_default();
            let ended = self.dockerd.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "dockerd ended:\n{}", log());
            assert!(start.elapsed() < Duration::from_secs(60), "dockerd does not answer:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn stop_dockerd(&mut self) {
        let Some(mut child) = self.dockerd.take() else { return };
        // nsenter without --fork becomes dockerd, so this is dockerd's own id.
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        kill(pid, Signal::SIGTERM).ok();
        let start = Instant::now();
        while child.try_wait().is_ok_and(|status| status.is_none()) {
            if start.elapsed() > Duration::from_secs(20) {
                child.kill().ok();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::remove_file(self.socket()).ok();
    }

    /// Runs the docker command and returns what it printed.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let output = self.try_docker(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "docker {args:?}: {error}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn try_docker(&self, args: &[&str]) -> Output {
        let socket = format!("unix://{}", self.socket().display());
        Command::new(DOCKER).arg("-H").arg(socket).args(args).output().expect("docker.io is installed")
    }

    fn ip(&self, args: &[&str]) {
        let namespaced: Vec<&str> = ["-n", &self.namespace].into_iter().chain(args.iter().copied()).collect();
        run("ip", &namespaced);
    }

    fn import_image(&self) {
        let root = self.folder.path().join("root");
        std::fs::create_dir_all(root.join("bin")).expect("a folder");
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
        let tar = self.folder.path().join("root.tar");
        let folder = root.to_string_lossy().into_owned();
        run("tar", &["-C", &folder, "-cf", &tar.to_string_lossy(), "."]);
        self.docker(&["import", &tar.to_string_lossy(), "ghcr.io/pterodactyl/games:rust"]);
        self.docker(&["tag", "ghcr.io/pterodactyl/games:rust", "ghcr.io/pterodactyl/yolks:java_21"]);
        self.docker(&["tag", "ghcr.io/pterodactyl/games:rust", "ghcr.io/parkervcp/steamcmd:debian"]);
    }

    /// Starts a server as Wings does: a container made anew, named after the server, TCP and UDP published.
    pub(crate) fn wings(&self, server: &Server<'_>) {
        self.try_docker(&["rm", "-f", server.uuid]);
        let mut args: Vec<String> = vec![
            "run".into(),
            "--detach".into(),
            format!("--name={}", server.uuid),
            format!("--hostname={}", server.uuid),
            format!("--label=Service={}", server.panel),
            "--label=ContainerType=server_process".into(),
            "--stop-timeout=0".into(),
        ];
        let first = server.at.first().copied().unwrap_or(("127.0.0.1", 25565));
        let mut env = vec![
            format!("SERVER_IP={}", first.0),
            format!("SERVER_PORT={}", first.1),
            "SERVER_MEMORY=128".to_owned(),
            "TZ=UTC".to_owned(),
            format!("P_SERVER_UUID={}", server.uuid),
        ];
        env.extend(server.env.iter().map(|(name, value)| format!("{name}={value}")));
        args.extend(env.iter().map(|pair| format!("--env={pair}")));
        if server.host_network {
            args.push("--network=host".into());
        } else {
            args.push("--network=pterodactyl_nw".into());
            for (ip, port) in server.at {
                let ip = if ip.contains(':') { format!("[{ip}]") } else { (*ip).to_owned() };
                args.push(format!("--publish={ip}:{port}:{port}/tcp"));
                args.push(format!("--publish={ip}:{port}:{port}/udp"));
            }
        }
        args.extend([server.image.to_owned(), "/bin/busybox".into(), "sleep".into(), "300".into()]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.docker(&args);
    }
}

/// What a panel says about one server.
#[derive(Clone, Copy)]
pub(crate) struct Server<'s> {
    pub(crate) uuid: &'s str,
    pub(crate) panel: &'s str,
    pub(crate) image: &'s str,
    pub(crate) at: &'s [(&'s str, u16)],
    pub(crate) env: &'s [(&'s str, &'s str)],
    pub(crate) host_network: bool,
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.dockerd.is_some() {
            let all = self.try_docker(&["ps", "--all", "--quiet"]);
            let all = String::from_utf8_lossy(&all.stdout).into_owned();
            let ids: Vec<&str> = ["rm", "-f"].into_iter().chain(all.split_whitespace()).collect();
            self.try_docker(&ids);
        }
        self.stop_dockerd();
        unmount_under(&self.folder.path().to_string_lossy());
        Command::new("ip").args(["netns", "delete", &self.namespace]).status().ok();
    }
}

/// What dockerd left mounted in its folders, the innermost first.
fn unmount_under(folder: &str) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let ours =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|path| path.starts_with(folder));
    let mut ours: Vec<&str> = ours.collect();
    ours.reverse();
    for path in ours {
        Command::new("umount").args(["--lazy", path]).status().ok();
    }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is missing: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
