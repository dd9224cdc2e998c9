//! A node and a client, each in a network namespace of its own, joined by a virtual cable.
#![allow(dead_code, reason = "each test and benchmark uses another part of the rig")]

use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sched::CloneFlags;

/// The node's addresses and the client's.
pub(crate) const NODE_V4: &str = "10.200.0.1";
pub(crate) const NODE_V6: &str = "fd00:200::1";
pub(crate) const CLIENT_V4: &str = "10.200.0.2";
/// Routed to the node but none of its own.
pub(crate) const FOREIGN_V4: &str = "10.200.9.9";

/// Two namespaces that go when this is dropped, also in a panic.
pub(crate) struct Rig {
    pub(crate) node: String,
    pub(crate) client: String,
}

impl Drop for Rig {
    fn drop(&mut self) {
        for namespace in [&self.node, &self.client] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// Runs `ip`; a test that cannot has failed.
pub(crate) fn ip(command: &str) {
    let done = Command::new("ip").args(command.split_whitespace()).output().expect("iproute2 is installed");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "`ip {command}` failed (these tests must run as root): {said}");
}

impl Rig {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("ftacap{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let rig = Self { node: format!("{name}n"), client: format!("{name}c") };
        ip(&format!("netns add {}", rig.node));
        ip(&format!("netns add {}", rig.client));
        rig.cable();
        rig
    }

    /// Lays the cable `up0` to `cl0` and gives both ends their addresses.
    pub(crate) fn cable(&self) {
        let (node, client) = (&self.node, &self.client);
        ip(&format!("link add up0 netns {node} type veth peer name cl0 netns {client}"));
        for (namespace, device, v4, v6) in
            [(node, "up0", NODE_V4, NODE_V6), (client, "cl0", CLIENT_V4, "fd00:200::2")]
        {
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!("-n {namespace} link set {device} up"));
            ip(&format!("-n {namespace} addr add {v4}/24 dev {device}"));
            ip(&format!("-n {namespace} addr add {v6}/64 dev {device} nodad"));
        }
        ip(&format!("-n {client} route add {FOREIGN_V4}/32 via {NODE_V4}"));
    }

    pub(crate) fn udp(&self, in_node: bool, address: &str) -> UdpSocket {
        let socket = inside(self.side(in_node), || UdpSocket::bind(address).expect("bind a UDP socket"));
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("set a timeout");
        socket
    }

    pub(crate) fn listen(&self, address: &str) -> TcpListener {
        inside(&self.node, || TcpListener::bind(address).expect("listen"))
    }

    pub(crate) fn connect(&self, address: &str) -> TcpStream {
        inside(&self.client, || TcpStream::connect(address).expect("connect"))
    }

    fn side(&self, in_node: bool) -> &str {
        if in_node { &self.node } else { &self.client }
    }
}

/// Runs something in a namespace, on a thread of its own that ends with it.
pub(crate) fn inside<T: Send>(namespace: &str, what: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        let file = std::fs::File::open(format!("/run/netns/{namespace}")).expect("the namespace exists");
        nix::sched::setns(file, CloneFlags::CLONE_NEWNET).expect("enter the namespace, as root");
        what()
    };
    std::thread::scope(|scope| match scope.spawn(enter).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
