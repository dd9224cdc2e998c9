//! Records the capture that `cargo xtask demo` replays for those who are not root: real players on two Minecraft
//! servers, then a small flood of each kind.
//!
//!     cargo run -p ftagent-lab --example record -- tests/captures/demo.pcap

use std::net::IpAddr;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use ftagent_lab::Attack;
use ftagent_lab::Clients;
use ftagent_lab::Docker;
use ftagent_lab::Lab;
use ftagent_lab::address;
use ftagent_lab::attack::Sources;
use ftagent_lab::attack::Vector;
use ftagent_lab::clients::Game;
use ftagent_lab::clients::Players;

/// Bytes of each packet that are kept: all headers and what any plugin reads.
const SNAP_BYTES: &str = "192";

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).context("say which file to write")?;
    let clients = Clients::fetch_default()?;
    let lab = Lab::new()?;
    let docker = Docker::start(&lab)?;
    let (java, bedrock) =
        (SocketAddr::from((address::NODE, 25565)), SocketAddr::from((address::NODE, 19132)));
    let _servers =
        [clients.serve(&docker, Game::Java, java)?, clients.serve(&docker, Game::Bedrock, bedrock)?];
    let mut tcpdump = lab.node().command("tcpdump");
    tcpdump.args(["-i", "uplink", "-U", "-n", "-s", SNAP_BYTES, "-w", &file, "tcp or udp"]);
    let mut tcpdump = tcpdump.stderr(Stdio::null()).spawn().context("cannot start tcpdump")?;
    std::thread::sleep(Duration::from_secs(2));
    let sources = [IpAddr::from(address::player(20))];
    let players = Players { name: "Player", sources: &sources };
    let _players = [
        clients.join(&lab, Game::Java, java, players)?,
        clients.join(&lab, Game::Bedrock, bedrock, players)?,
    ];
    std::thread::sleep(Duration::from_secs(6));
    let floods = [
        Attack::new(Vector::BadHandshake, java).from(Sources::Bots(10)).packets(60).per_second(60),
        Attack::new(Vector::SynFlood, java).packets(800).per_second(800),
        Attack::new(Vector::RandomUdp(48), bedrock).packets(500).per_second(500),
        Attack::new(Vector::Reflection(None), bedrock).packets(150).per_second(150),
    ];
    let running = floods.into_iter().map(|flood| flood.start(&lab)).collect::<anyhow::Result<Vec<_>>>()?;
    for flood in running {
        flood.finish()?;
    }
    std::thread::sleep(Duration::from_secs(1));
    let pid = i32::try_from(tcpdump.id()).context("a process id")?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT)?;
    tcpdump.wait().context("tcpdump does not end")?;
    Ok(())
}
