//! Packets that are to be dropped but never come to `DOCKER-USER`, because they belong to no connection.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod rig;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::time::Duration;

use ftagent_core::effect::Scope;
use ftagent_core::service::Path;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Transport;
use ftagent_firewall::Mode;
use rig::Rig;
use rig::addresses;
use rig::lease;
use rig::open;
use rig::raw::Raw;
use rig::raw::SYN_ACK;
use rig::udp;
use rig::within;

const SENT: u64 = 100;

/// Resets that the node itself has sent (`OutRsts`, the 14th figure of the second line `Tcp:`; RFC 4022).
fn resets(rig: &Rig) -> u64 {
    let text = rig.on_node("cat /proc/net/snmp");
    let tcp = text.lines().filter(|line| line.starts_with("Tcp:")).nth(1).unwrap();
    tcp.split_whitespace().nth(14).unwrap().parse().unwrap()
}

/// How many resets the node answers SYN-ACKs with that nobody asked for.
fn answered(rig: &Rig, from: Ipv4Addr, to: Ipv4Addr) -> u64 {
    let before = resets(rig);
    within(&rig.players, || {
        let raw = Raw::open();
        (0..SENT as u32).for_each(|number| raw.send(from, to, SYN_ACK, number));
    });
    std::thread::sleep(Duration::from_millis(100));
    resets(rig) - before
}

#[test]
fn reflected_syn_acks_are_not_answered_by_the_node() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let at = addresses(false);
        let (IpAddr::V4(attacker), IpAddr::V4(server)) = (at.attacker, at.server) else { unreachable!() };
        let service = ServiceKey { transport: Transport::Tcp, ..udp(at.server) };
        assert_eq!(
            answered(rig, attacker, server),
            SENT,
            "without a measure each is, to whom it claims to be"
        );
        wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(service), 60_000)]).unwrap();
        assert_eq!(answered(rig, attacker, server), 0);
        rig.tick_for(&mut wall, 1_200);
        let path = &wall.status(rig.now()).paths[0];
        assert_eq!((path.counts.strays.packets, path.counts.docker_user_dropped), (SENT, 0), "{path:#?}");
    });
}
