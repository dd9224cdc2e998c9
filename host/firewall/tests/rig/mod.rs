//! Three network namespaces for one test: players and attackers - node - containers, with the rules that Docker
//! makes for two servers on the same port of two addresses. They go when the rig is dropped, also on panic.

#![allow(dead_code, reason = "each test binary uses a part of the rig")]

pub(crate) mod raw;

use std::fs::File;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ftagent_core::effect::Effect;
use ftagent_core::effect::Lease;
use ftagent_core::effect::Scope;
use ftagent_core::service::Judging;
use ftagent_core::service::Path;
use ftagent_core::service::Role;
use ftagent_core::service::Service;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::service::Transport;
use ftagent_core::time::Instant;
use ftagent_firewall::Mode;
use ftagent_firewall::ServiceCounts;
use ftagent_firewall::Wall;
use ftagent_firewall::WallConfig;
use nix::sched::CloneFlags;
use nix::sys::socket;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::SockaddrStorage;
use nix::sys::socket::sockopt;

pub(crate) const PORT: u16 = 25565;
pub(crate) const MARK: u32 = 0x4000_0000;

/// The addresses of one family.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) server: IpAddr,
    pub(crate) neighbour: IpAddr,
    pub(crate) player: IpAddr,
    pub(crate) attacker: IpAddr,
    containers: [IpAddr; 2],
}

pub(crate) fn addresses(v6: bool) -> Addresses {
    let parse = |v4: &str, six: &str| if v6 { six.parse().unwrap() } else { v4.parse().unwrap() };
    Addresses {
        server: parse("203.0.113.10", "2001:db8:1::10"),
        neighbour: parse("203.0.113.11", "2001:db8:1::11"),
        player: parse("198.51.100.100", "2001:db8:a::100"),
        attacker: parse("198.51.100.66", "2001:db8:b::66"),
        containers: [parse("172.18.0.2", "fd00:18::2"), parse("172.18.0.3", "fd00:18::3")],
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Rig {
    pub(crate) players: String,
    pub(crate) node: String,
    pub(crate) containers: String,
    iptables: &'static str,
    state: tempfile::TempDir,
    began: std::time::Instant,
}

impl Drop for Rig {
    fn drop(&mut self) {
        for name in [&self.players, &self.node, &self.containers] {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

impl Rig {
    /// With Docker's rules in iptables-nft (`nft`) or iptables-legacy (`legacy`).
    pub(crate) fn new(backend: &'static str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |what: &str| format!("ftw{}-{number}{what}", std::process::id());
        let rig = Self {
            players: name("p"),
            node: name("n"),
            containers: name("c"),
            iptables: backend,
            state: tempfile::tempdir().unwrap(),
            began: std::time::Instant::now(),
        };
        for name in [&rig.players, &rig.node, &rig.containers] {
            // Without waiting for duplicates of addresses, which takes seconds.
            sh(&format!(
                "ip netns add {name} && ip netns exec {name} sysctl -qw net.ipv6.conf.default.accept_dad=0 \
                 net.ipv6.conf.all.accept_dad=0 && ip -n {name} link set lo up"
            ));
        }
        rig.links();
        rig.wait_until_ready();
        rig.docker_rules();
        rig
    }

    fn links(&self) {
        let (players, node, containers) = (&self.players, &self.node, &self.containers);
        sh(&format!(
            "set -e
            ip -n {node} link add up0 type veth peer name eth0 netns {players}
            ip -n {node} link add br0 type bridge
            ip -n {node} link add c0 type veth peer name eth0 netns {containers}
            ip -n {node} link set c0 master br0
            for a in 198.51.100.1/24 203.0.113.10/32 203.0.113.11/32; do ip -n {node} addr add $a dev up0; done
            for a in fd00:1::1/64 2001:db8:1::10/128 2001:db8:1::11/128; do ip -n {node} addr add $a dev up0 nodad; done
            ip -n {node} addr add 172.18.0.1/24 dev br0
            ip -n {node} addr add fd00:18::1/64 dev br0 nodad
            for l in up0 br0 c0; do ip -n {node} link set $l up; done
            for a in 198.51.100.100/24 198.51.100.66/24; do ip -n {players} addr add $a dev eth0; done
            ip -n {players} addr add fd00:1::2/64 dev eth0 nodad
            for a in 2001:db8:a::100/128 2001:db8:b::66/128; do ip -n {players} addr add $a dev lo; done
            ip -n {players} link set eth0 up
            ip -n {players} route add default via 198.51.100.1
            ip -n {players} -6 route add default via fd00:1::1
            for r in 2001:db8:a::/64 2001:db8:b::/64; do ip -n {node} -6 route add $r via fd00:1::2; done
            for a in 172.18.0.2/24 172.18.0.3/24; do ip -n {containers} addr add $a dev eth0; done
            for a in fd00:18::2/64 fd00:18::3/64; do ip -n {containers} addr add $a dev eth0 nodad; done
            ip -n {containers} link set eth0 up
            ip -n {containers} route add default via 172.18.0.1
            ip -n {containers} -6 route add default via fd00:18::1
            ip netns exec {node} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
        ));
    }

    /// What Docker makes, and a rule of the operator's own in `DOCKER-USER`.
    pub(crate) fn docker_rules(&self) {
        for (six, v6) in [("", false), ("6", true)] {
            let to = addresses(v6);
            let tables = self.tables(six);
            let mut script = format!(
                "set -e\n{tables} -N DOCKER-USER\n{tables} -I FORWARD -j DOCKER-USER\n\
                 {tables} -A DOCKER-USER -s {} -j DROP\n",
                if v6 { "2001:db8:dead::/48" } else { "192.0.2.99" }
            );
            for (public, container) in [to.server, to.neighbour].into_iter().zip(to.containers) {
                let target = SocketAddr::new(container, PORT);
                for proto in ["tcp", "udp"] {
                    // OUTPUT as well, for what the node itself sends to its own address.
                    for chain in ["PREROUTING", "OUTPUT"] {
                        script += &format!(
                            "{tables} -t nat -A {chain} -d {public} -p {proto} --dport {PORT} -j DNAT --to {target}\n"
                        );
                    }
                }
            }
            sh(&script);
        }
    }

    /// The iptables of the node that Docker uses here.
    pub(crate) fn tables(&self, six: &str) -> String {
        format!("ip netns exec {} ip{six}tables-{} -w 2", self.node, self.iptables)
    }

    /// Runs a shell command in the node.
    pub(crate) fn on_node(&self, command: &str) -> String {
        sh(&format!("ip netns exec {} {command}", self.node))
    }

    /// Everything that the node's firewall lists, without counters and without the times that the tools print.
    pub(crate) fn listings(&self) -> String {
        let nft = self.on_node("nft -s list ruleset");
        let mut all = format!("{nft}\n");
        for six in ["", "6"] {
            all += &self.on_node(&format!("ip{six}tables-{}-save", self.iptables));
        }
        let kept = all.lines().filter(|line| !line.starts_with('#')).map(|line| {
            // Packet counters of chains and rules.
            line.split(" [").next().unwrap_or(line).to_owned()
        });
        let mut text = kept.collect::<Vec<_>>().join("\n");
        while let Some(at) = text.find("counter packets ") {
            let end = text[at..].find(" bytes ").map(|bytes| at + bytes + 7).unwrap();
            let end = text[end..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |more| end + more);
            text.replace_range(at..end, "counter");
        }
        text
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(1_000_000 + self.began.elapsed().as_micros() as u64)
    }

    pub(crate) fn config(&self, mode: Mode) -> WallConfig {
        let mut config = WallConfig::new(["up0".to_owned()]);
        config.mode = mode;
        config.state_dir = self.state.path().to_owned();
        config
    }

    /// Ticks as the enforcer does.
    pub(crate) fn tick_for(&self, wall: &mut Wall, ms: u64) -> Vec<String> {
        let end = std::time::Instant::now() + Duration::from_millis(ms);
        let mut repaired = Vec::new();
        loop {
            let report = wall.tick(self.now());
            assert_eq!(report.problems, []);
            repaired.extend(report.repaired);
            if std::time::Instant::now() >= end {
                return repaired;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs the test in the node's namespace.
    pub(crate) fn run(&self, test: impl FnOnce(&Self) + Send) {
        within(&self.node, || test(self));
    }

    /// A server in a container: counts what reaches it.
    pub(crate) fn server(&self, v6: bool, neighbour: bool) -> UdpSocket {
        let ip = addresses(v6).containers[usize::from(neighbour)];
        let socket = within(&self.containers, || UdpSocket::bind((ip, PORT)).unwrap());
        socket.set_nonblocking(true).unwrap();
        socket::setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20)).unwrap();
        socket
    }

    pub(crate) fn tcp_server(&self, v6: bool) -> std::net::TcpListener {
        let ip = addresses(v6).containers[0];
        within(&self.containers, || std::net::TcpListener::bind((ip, PORT)).unwrap())
    }

    pub(crate) fn client(&self, source: IpAddr, port: u16) -> UdpSocket {
        within(&self.players, || UdpSocket::bind((source, port)).unwrap())
    }

    /// Whether a TCP connection from this address of the players comes about within a second.
    pub(crate) fn connects(&self, source: IpAddr, to: IpAddr) -> bool {
        self.connects_within(source, to, 1)
    }

    /// The same, asking for so many seconds.
    pub(crate) fn connects_within(&self, source: IpAddr, to: IpAddr, seconds: i64) -> bool {
        within(&self.players, || {
            let family = if source.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
            let socket = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
            // Bounds the connect too.
            let most = nix::sys::time::TimeVal::new(seconds, 0);
            socket::setsockopt(&socket, sockopt::SendTimeout, &most).unwrap();
            let [source, to] =
                [SocketAddr::new(source, 0), SocketAddr::new(to, PORT)].map(SockaddrStorage::from);
            socket::bind(socket.as_raw_fd(), &source).unwrap();
            socket::connect(socket.as_raw_fd(), &to).is_ok()
        })
    }

    /// A client in a network that has nothing to do with the node; numbers under 256 share a /24 and a /48.
    pub(crate) fn far_client(&self, v6: bool, number: u16) -> UdpSocket {
        let source = far(v6, number);
        let (length, six) = if v6 { (128, "-6") } else { (32, "-4") };
        sh(&format!(
            "ip -n {} addr replace {source}/{length} dev lo && ip -n {} {six} route replace {source} via {}",
            self.players,
            self.node,
            if v6 { "fd00:1::2" } else { "198.51.100.100" },
        ));
        self.client(source, 0)
    }

    /// Runs a script of nft in the node.
    pub(crate) fn nft(&self, script: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script).unwrap();
        self.on_node(&format!("nft -f {}", file.path().display()));
    }

    /// IPv6 addresses and routes are ready some time after their link is.
    fn wait_until_ready(&self) {
        for v6 in [false, true] {
            let at = addresses(v6);
            let node = within(&self.node, || UdpSocket::bind((at.server, 9)).unwrap());
            node.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let player = self.client(at.attacker, 0);
            let arrives =
                (0..250).any(|_| player.send_to(b"x", (at.server, 9)).is_ok() && node.recv(&mut [0]).is_ok());
            assert!(arrives, "the namespaces are not connected");
        }
    }
}

/// An address far away; see `Rig::far_client`.
pub(crate) fn far(v6: bool, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    if v6 {
        IpAddr::from([0x2001, 0xdb9, u16::from(high), u16::from(low), 0, 0, 0, 1])
    } else {
        IpAddr::from([192, 0, high, low])
    }
}

/// Sets the time to live or hop limit of what a socket sends.
pub(crate) fn set_ttl(socket: &UdpSocket, v6: bool, ttl: i32) {
    if v6 {
        socket::setsockopt(socket, sockopt::Ipv6Ttl, &ttl).unwrap();
    } else {
        socket::setsockopt(socket, sockopt::Ipv4Ttl, &ttl).unwrap();
    }
}

/// Both servers, TCP and UDP, in both families.
pub(crate) fn services(path: Path) -> Services {
    let mut all = Vec::new();
    for v6 in [false, true] {
        let to = addresses(v6);
        for ip in [to.server, to.neighbour] {
            for transport in [Transport::Tcp, Transport::Udp] {
                all.push(Service {
                    key: ServiceKey { ip, port: PORT, transport },
                    server: "server".into(),
                    game: "unknown".into(),
                    role: Role::Game,
                    judging: Judging::Plugin("generic".into()),
                    path,
                    flags: 0,
                });
            }
        }
    }
    let own = [false, true].map(addresses).into_iter().flat_map(|to| [to.server, to.neighbour]);
    Services::new(all, own)
}

/// A lease of one address.
pub(crate) fn lease(source: IpAddr, scope: Scope, for_ms: u32) -> Effect {
    Effect::Lease(Lease { source, prefix_bits: 128, scope, for_ms, reason: "test/test".into() })
}

/// A wall that serves both servers.
pub(crate) fn open(rig: &Rig, mode: Mode, path: Path) -> Wall {
    let mut wall = Wall::open(rig.config(mode), rig.now()).unwrap();
    wall.set_services(&services(path), rig.now()).unwrap();
    rig.tick_for(&mut wall, 100);
    wall
}

/// What was counted at a service up to now.
pub(crate) fn counts(wall: &mut Wall, rig: &Rig, service: ServiceKey) -> ServiceCounts {
    let report = wall.tick(rig.now());
    assert_eq!(report.problems, []);
    report.services.into_iter().find(|(key, _)| *key == service).unwrap().1
}

pub(crate) fn udp(ip: IpAddr) -> ServiceKey {
    ServiceKey { ip, port: PORT, transport: Transport::Udp }
}

/// Sends packets and says how many reached the server.
pub(crate) fn delivered(from: &UdpSocket, to: IpAddr, server: &UdpSocket, packets: usize) -> usize {
    delivered_of(from, to, server, packets, b"0123456789abcdef")
}

pub(crate) fn delivered_of(
    from: &UdpSocket,
    to: IpAddr,
    server: &UdpSocket,
    packets: usize,
    payload: &[u8],
) -> usize {
    let mut buffer = [0; 2048];
    while server.recv(&mut buffer).is_ok() {}
    for _ in 0..packets {
        let _ = from.send_to(payload, (to, PORT));
    }
    // A veth delivers within the send; the wait is for the neighbour discovery of the first packets.
    std::thread::sleep(Duration::from_millis(100));
    std::iter::from_fn(|| server.recv(&mut buffer).ok()).count()
}

/// Runs this in a network namespace, in a thread of its own, because a thread stays where it went.
pub(crate) fn within<T: Send>(namespace: &str, run: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    let done = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
            run()
        });
        thread.join()
    });
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a shell script, which must succeed.
pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("bash").args(["-c", script]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
