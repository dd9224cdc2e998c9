//! The lab does what it says and leaves nothing behind. Needs root, Docker and nftables.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::time::Duration;

use ftagent_lab::Attack;
use ftagent_lab::Docker;
use ftagent_lab::Lab;
use ftagent_lab::ServerSpec;
use ftagent_lab::address;
use ftagent_lab::attack::Sources;
use ftagent_lab::attack::Vector;
use ftagent_lab::command;
use ftagent_lab::meter;

/// A server of nothing but busybox: it sends back what it gets, on TCP.
fn echo_server(public: SocketAddr) -> ServerSpec {
    let port = public.port().to_string();
    let program = ["/busybox", "nc", "-ll", "-p", &port, "-e", "/busybox", "cat"];
    ServerSpec::new("ghcr.io/pterodactyl/yolks:java_21", public, &program)
}

fn echo(lab: &Lab, public: SocketAddr) -> std::io::Result<String> {
    lab.players()
        .within(|| {
            let mut stream = TcpStream::connect_timeout(&public, Duration::from_secs(2))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"hello")?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer)?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        })
        .expect("the players' namespace is there")
}

#[test]
fn players_reach_two_servers_on_the_same_port_of_two_addresses() {
    let lab = Lab::new().expect("a lab");
    let docker = Docker::start(&lab).expect("a daemon");
    let (first, second) =
        (SocketAddr::from((address::NODE, 25565)), SocketAddr::from((address::NEIGHBOUR, 25565)));
    let server = docker.run_server(&echo_server(first)).expect("a server");
    let neighbour = docker.run_server(&echo_server(second)).expect("a neighbour");
    let (meter, beside) = (server.meter().expect("a meter"), neighbour.meter().expect("a meter"));
    let answered = ftagent_lab::clock::wait_for(Duration::from_secs(5), || echo(&lab, first).ok());
    assert_eq!(answered.as_deref(), Some("hello"));
    assert!(meter.read().expect("counters").players >= 4);
    assert_eq!(beside.read().expect("counters").players, 0);

    let sent = Attack::new(Vector::EmptyUdp, first).packets(500).run(&lab).expect("an attack");
    assert_eq!(sent.packets, 500);
    assert_eq!(meter.read().expect("counters").attackers, 500);
    assert_eq!(beside.read().expect("counters").attackers, 0);
    assert!(meter::chain(&lab, "iptables", "DOCKER-USER").is_some());
    assert_eq!(meter::chain(&lab, "iptables", "FTAGENT"), None);

    let seen =
        docker.run(&["ps", "--filter", "label=ContainerType=server_process", "--format", "{{.Names}}"]);
    assert!(seen.expect("a list").contains(server.uuid()));
    server.remove().expect("it was there");
}

#[test]
fn the_daemon_may_be_restarted_and_servers_recreated() {
    let lab = Lab::new().expect("a lab");
    let mut docker = Docker::start(&lab).expect("a daemon");
    let public = SocketAddr::from((address::NODE, 25565));
    let spec = echo_server(public);
    docker.run_server(&spec).expect("a server").remove().expect("it was there");
    docker.restart().expect("it comes back");
    docker.run_server(&spec).expect("a server");
    let answered = ftagent_lab::clock::wait_for(Duration::from_secs(5), || echo(&lab, public).ok());
    assert_eq!(answered.as_deref(), Some("hello"));
}

#[test]
fn players_and_bots_may_use_any_address_of_their_ranges() {
    let lab = Lab::new().expect("a lab");
    let node = SocketAddr::from((address::NODE, 4000));
    let node_v6 = SocketAddr::from((address::NODE_V6, 4000));
    let listen =
        |at: SocketAddr| lab.node().within(|| UdpSocket::bind(at)).expect("inside").expect("a socket");
    let (listener, listener_v6) = (listen(node), listen(node_v6));
    let places = [
        (lab.players(), SocketAddr::from((address::player(77), 5000)), node),
        (lab.attackers(), SocketAddr::from((address::bot(3), 5000)), node),
        (lab.attackers(), SocketAddr::from((address::bot(60_000), 5000)), node),
        (lab.players(), SocketAddr::from((address::player_v6(77), 5000)), node_v6),
    ];
    for (namespace, from, to) in places {
        let listener = if to.is_ipv4() { &listener } else { &listener_v6 };
        listener.set_read_timeout(Some(Duration::from_secs(2))).expect("a socket");
        let client = namespace.within(|| UdpSocket::bind(from)).expect("inside").expect("a socket");
        client.set_read_timeout(Some(Duration::from_secs(2))).expect("a socket");
        client.send_to(b"hello", to).expect("a route");
        let mut bytes = [0; 16];
        let (count, seen) = listener.recv_from(&mut bytes).unwrap_or_else(|error| panic!("{from}: {error}"));
        assert_eq!((count, seen), (5, from));
        listener.send_to(b"back", from).expect("a route");
        assert_eq!(client.recv_from(&mut bytes).unwrap_or_else(|error| panic!("{from}: {error}")).1, to);
    }
}

#[test]
fn nothing_is_left_after_drop_and_after_kill() {
    let left = |name: &str, dir: &std::path::Path| {
        let namespaces = command::run("ip", &["netns", "list"]).expect("ip works");
        namespaces.contains(name) || dir.exists()
    };
    let lab = Lab::new().expect("a lab");
    let (name, dir) = (lab.name().to_owned(), lab.dir().to_owned());
    let docker = Docker::start(&lab).expect("a daemon");
    docker.run_server(&echo_server(SocketAddr::from((address::NODE, 25565)))).expect("a server");
    assert!(left(&name, &dir));
    drop(docker);
    drop(lab);
    assert!(!left(&name, &dir));

    // The same in a process that is killed while its server runs.
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_lab-holder"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the holder starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    let (name, dir) = line.trim().split_once(' ').expect("name and folder");
    assert!(left(name, dir.as_ref()));
    child.kill().expect("it runs");
    child.wait().expect("it ran");
    let gone =
        ftagent_lab::clock::wait_for(Duration::from_secs(30), || (!left(name, dir.as_ref())).then_some(()));
    assert!(gone.is_some(), "{name} is still there");
}

#[test]
fn only_the_node_can_be_attacked_and_forged_sources_cannot_connect() {
    let lab = Lab::new().expect("a lab");
    assert!(Attack::new(Vector::Icmp, SocketAddr::from(([192, 0, 2, 10], 1))).start(&lab).is_err());
    let node = SocketAddr::from((address::NODE, 1));
    assert!(Attack::new(Vector::JoinFlood, node).from(Sources::Forged).start(&lab).is_err());
}
