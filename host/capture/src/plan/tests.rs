//! The filter is checked and run by an interpreter of classic BPF.

use proptest::prelude::*;

use super::*;
use crate::bpf::interpret::run;
use crate::bpf::interpret::verify;

const OUT: u32 = 4;
const IN: u32 = 0;

/// A packet of `protocol` from 192.0.2.1:1000 to `to`, behind so many tags; `None` ports: cut after the IP header.
fn packet(link: Link, tags: usize, to: IpAddr, protocol: u8, to_port: Option<u16>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if link == Link::Ethernet {
        bytes.extend_from_slice(&[0; 12]);
        for tag in 0..tags {
            bytes.extend_from_slice(if tag == 0 && tags == 2 {
                &[0x88, 0xa8, 0, 1]
            } else {
                &[0x81, 0, 0, 2]
            });
        }
        bytes.extend_from_slice(if to.is_ipv4() { &[0x08, 0x00] } else { &[0x86, 0xdd] });
    }
    match to {
        IpAddr::V4(to) => {
            // Six words of header, so that an assumption of five is noticed.
            bytes.extend_from_slice(&[0x46, 0, 0, 60, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1]);
            bytes.extend_from_slice(&to.octets());
            bytes.extend_from_slice(&[1; 4]);
        }
        IpAddr::V6(to) => {
            bytes.extend_from_slice(&[0x60, 0, 0, 0, 0, 20, protocol, 64]);
            bytes.extend_from_slice(&"2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
            bytes.extend_from_slice(&to.octets());
        }
    }
    if let Some(port) = to_port {
        bytes.extend_from_slice(&1000_u16.to_be_bytes());
        bytes.extend_from_slice(&port.to_be_bytes());
        bytes.extend_from_slice(&[0; 40]);
    }
    bytes
}

fn plan() -> CapturePlan {
    CapturePlan {
        own: ["198.51.100.7", "203.0.113.10", "2001:db8::7", "2001:db8:1::7"]
            .map(|address| address.parse().unwrap())
            .to_vec(),
        default_bytes: 128,
        per_port: vec![(25565, 512), (25565, 64), (25566, 512), (19132, 64), (65535, 9), (0, 1)],
    }
}

#[track_caller]
fn check(link: Link, direction: u32, packet: &[u8], want: u32) {
    let passage = if direction == OUT { Passage::Egress } else { Passage::Ingress };
    let program = plan().program(link, passage);
    verify(&program);
    assert_eq!(run(&program, direction, packet), want);
    let wrong_way = if direction == OUT { IN } else { OUT };
    assert_eq!(run(&program, wrong_way, packet), 0, "the other direction is the other socket's");
}

#[test]
fn length_follows_the_port_of_own_addresses() {
    for (to, protocol, port, want) in [
        ("198.51.100.7", 6, Some(25565), 640),
        ("203.0.113.10", 17, Some(25566), 640),
        ("203.0.113.10", 17, Some(25567), 128),
        ("203.0.113.10", 17, Some(19132), 192),
        ("203.0.113.10", 17, Some(65535), 137),
        ("203.0.113.10", 17, Some(0), 129),
        ("203.0.113.10", 17, Some(1), 128),
        ("203.0.113.10", 1, Some(25565), 128),
        ("203.0.113.10", 17, None, 128),
        ("203.0.113.11", 17, Some(25565), 0),
        ("2001:db8::7", 6, Some(25565), 640),
        ("2001:db8:1::7", 17, Some(80), 128),
        ("2001:db8:1::7", 44, Some(25565), 128),
        ("2001:db8:1::8", 17, Some(80), 0),
        ("2001:db8:2::7", 17, Some(80), 0),
    ] {
        let to = to.parse().unwrap();
        for tags in 0..3 {
            check(Link::Ethernet, IN, &packet(Link::Ethernet, tags, to, protocol, port), want);
        }
        check(Link::RawIp, IN, &packet(Link::RawIp, 0, to, protocol, port), want);
    }
}

#[test]
fn what_goes_out_is_told_by_its_source() {
    let mut bytes = packet(Link::Ethernet, 0, "192.0.2.99".parse().unwrap(), 17, Some(25565));
    check(Link::Ethernet, OUT, &bytes, 0);
    bytes[26..30].copy_from_slice(&[203, 0, 113, 10]);
    check(Link::Ethernet, OUT, &bytes, 128);
    bytes[38..40].copy_from_slice(&25565_u16.to_be_bytes());
    check(Link::Ethernet, OUT, &bytes, 640);
}

#[test]
fn later_fragments_get_the_default() {
    let mut bytes = packet(Link::Ethernet, 0, "203.0.113.10".parse().unwrap(), 17, Some(25565));
    bytes[20] = 0x20;
    check(Link::Ethernet, IN, &bytes, 640);
    bytes[21] = 0x01;
    check(Link::Ethernet, IN, &bytes, 128);
}

#[test]
fn arp_is_not_captured() {
    let mut bytes = packet(Link::Ethernet, 0, "203.0.113.10".parse().unwrap(), 17, Some(1));
    bytes[12..14].copy_from_slice(&[0x08, 0x06]);
    check(Link::Ethernet, IN, &bytes, 0);
}

#[test]
fn too_many_addresses_are_left_to_user_space() {
    let mut plan = plan();
    plan.own.extend((0..=64).map(|last| IpAddr::from([10, 0, 0, last])));
    let program = plan.program(Link::Ethernet, Passage::Ingress);
    verify(&program);
    let foreign = packet(Link::Ethernet, 0, "192.0.2.77".parse().unwrap(), 17, Some(80));
    assert_eq!(run(&program, IN, &foreign), 128);
    let own = plan.own_in_user_space().unwrap();
    assert!(!is_own(&own, Passage::Ingress, &Peek::of(Link::Ethernet, &foreign).unwrap()));
    let ours = packet(Link::Ethernet, 1, "10.0.0.64".parse().unwrap(), 17, Some(80));
    assert!(is_own(&own, Passage::Ingress, &Peek::of(Link::Ethernet, &ours).unwrap()));
}

#[test]
fn the_largest_plan_fits_the_kernel() {
    let own = (0..64_u8).flat_map(|last| {
        [IpAddr::from([10, 0, 0, last]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)])]
    });
    let per_port = (1..256_u16).map(|step| (step * 100, step)).collect();
    let plan = CapturePlan { own: own.collect(), default_bytes: 128, per_port };
    for passage in [Passage::Ingress, Passage::Egress] {
        verify(&plan.program(Link::Ethernet, passage));
    }
    let many = CapturePlan { per_port: (0..60_000).step_by(2).map(|port| (port, 7)).collect(), ..plan };
    assert_eq!(many.port_steps(), vec![(0, 135)]);
}

proptest! {
    #[test]
    fn any_plan_gives_every_port_its_length(
        per_port in prop::collection::vec((any::<u16>(), 0_u16..2000), 0..200),
        port: u16,
    ) {
        let plan = CapturePlan { per_port: per_port.clone(), ..CapturePlan::default() };
        let program = plan.program(Link::Ethernet, Passage::Ingress);
        verify(&program);
        let ports = per_port.iter().map(|(port, _)| *port).chain([port]);
        for port in ports {
            let extra = per_port.iter().filter(|(other, _)| *other == port).map(|(_, b)| *b).max().unwrap_or(0);
            let bytes = packet(Link::Ethernet, 0, "192.0.2.2".parse().unwrap(), 6, Some(port));
            prop_assert_eq!(run(&program, IN, &bytes), 128 + u32::from(extra));
        }
    }

    #[test]
    fn any_bytes_are_filtered_without_leaving_the_program(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for link in [Link::Ethernet, Link::RawIp] {
            for passage in [Passage::Ingress, Passage::Egress] {
                let program = plan().program(link, passage);
                prop_assert!(run(&program, IN, &bytes) <= 640);
            }
        }
    }
}
