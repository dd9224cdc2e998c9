//! Snapshots of nodes as they are found, one a test.

use super::*;

fn link(name: &str, kind: Kind, addresses: &[&str]) -> LinkSeen {
    let network = |text: &&str| {
        let (address, bits) = text.split_once('/').unwrap();
        Network { address: address.parse().unwrap(), prefix_bits: bits.parse().unwrap() }
    };
    LinkSeen {
        interface: Interface { name: name.to_owned(), index: 1, link: Link::Ethernet },
        kind,
        up: true,
        loopback: name == "lo",
        master: None,
        parent: None,
        addresses: addresses.iter().map(network).collect(),
        default_route: false,
    }
}

fn plain(name: &str, addresses: &[&str]) -> LinkSeen {
    link(name, Kind::Plain, addresses)
}

fn routed(link: LinkSeen) -> LinkSeen {
    LinkSeen { default_route: true, ..link }
}

fn member(link: LinkSeen, master: &str) -> LinkSeen {
    LinkSeen { master: Some(master.to_owned()), ..link }
}

fn on(link: LinkSeen, parent: &str) -> LinkSeen {
    LinkSeen { parent: Some(parent.to_owned()), ..link }
}

#[track_caller]
fn check(links: Vec<LinkSeen>, published: &Published, want: &[(&str, Why)]) {
    let found = choose(&Snapshot { links }, published);
    let found: Vec<(&str, Why)> =
        found.iter().map(|choice| (choice.interface.name.as_str(), choice.why.clone())).collect();
    assert_eq!(found, want);
}

fn publishes(address: &str) -> Why {
    Why::Publishes(address.parse().unwrap())
}

#[test]
fn a_pterodactyl_node() {
    check(
        vec![
            plain("lo", &["127.0.0.1/8", "::1/128"]),
            routed(plain("eth0", &["203.0.113.10/24", "2001:db8::10/64", "fe80::1/64"])),
            link("docker0", Kind::Bridge, &["172.17.0.1/16"]),
            link("pterodactyl0", Kind::Bridge, &["172.18.0.1/16"]),
            link("br-0123456789ab", Kind::Bridge, &["172.19.0.1/16"]),
            member(link("veth12ab", Kind::Veth, &["fe80::2/64"]), "pterodactyl0"),
            link("veth34cd", Kind::Veth, &["fe80::3/64"]),
        ],
        &Published::default(),
        &[
            ("br-0123456789ab", Why::ContainerBridge),
            ("docker0", Why::ContainerBridge),
            ("eth0", publishes("203.0.113.10")),
            ("lo", Why::Loopback),
            ("pterodactyl0", Why::ContainerBridge),
            ("veth12ab", Why::MemberOf("pterodactyl0".to_owned())),
            ("veth34cd", Why::ContainerCable),
        ],
    );
}

#[test]
fn a_bridge_of_the_operators_carries_the_address() {
    check(
        vec![
            member(plain("eth0", &[]), "vmbr0"),
            routed(link("vmbr0", Kind::Bridge, &["203.0.113.10/24"])),
            link("br-games", Kind::Bridge, &["10.99.0.1/16"]),
            link("br-lan", Kind::Bridge, &["192.168.1.2/24"]),
        ],
        &Published {
            addresses: vec![],
            container_networks: vec![Network { address: "10.99.0.0".parse().unwrap(), prefix_bits: 16 }],
        },
        &[
            ("br-games", Why::ContainerBridge),
            ("br-lan", publishes("192.168.1.2")),
            ("eth0", Why::MemberOf("vmbr0".to_owned())),
            ("vmbr0", publishes("203.0.113.10")),
        ],
    );
}

#[test]
fn a_bond_with_vlans() {
    let vlan = |name: &str, address: &str| on(plain(name, &[address]), "bond0");
    let members = || vec![member(plain("eth0", &[]), "bond0"), member(plain("eth1", &[]), "bond0")];
    let refused = ["eth0", "eth1"].map(|name| (name, Why::MemberOf("bond0".to_owned())));
    let mut links = members();
    links.extend([
        plain("bond0", &[]),
        routed(vlan("bond0.10", "203.0.113.10/24")),
        vlan("bond0.20", "10.0.0.2/24"),
    ]);
    let mut want = vec![
        ("bond0", Why::NothingPublished),
        ("bond0.10", publishes("203.0.113.10")),
        ("bond0.20", publishes("10.0.0.2")),
    ];
    want.extend(refused.clone());
    check(links, &Published::default(), &want);

    // Once the bond itself is chosen it sees the tagged packets too.
    let mut links = members();
    links.extend([routed(plain("bond0", &["203.0.113.1/24"])), vlan("bond0.10", "203.0.113.10/24")]);
    let mut want =
        vec![("bond0", publishes("203.0.113.1")), ("bond0.10", Why::SeenBelow("bond0".to_owned()))];
    want.extend(refused);
    check(links, &Published::default(), &want);
}

#[test]
fn published_addresses_narrow_the_choice() {
    check(
        vec![
            routed(plain("eth0", &["203.0.113.10/24"])),
            plain("eth1", &["198.51.100.7/24"]),
            plain("eth2", &["192.0.2.5/24"]),
            LinkSeen { up: false, ..plain("eth3", &["198.51.100.8/24"]) },
        ],
        &Published {
            addresses: vec!["198.51.100.7".parse().unwrap(), "198.51.100.8".parse().unwrap()],
            container_networks: vec![],
        },
        &[
            ("eth0", Why::DefaultRoute),
            ("eth1", publishes("198.51.100.7")),
            ("eth2", Why::NothingPublished),
            ("eth3", Why::Down),
        ],
    );
}

#[test]
fn a_veth_with_an_address_is_an_uplink() {
    check(
        vec![routed(link("eth0", Kind::Veth, &["10.200.0.2/30"]))],
        &Published::default(),
        &[("eth0", publishes("10.200.0.2"))],
    );
}

#[test]
fn networks_contain_their_addresses() {
    for (network, bits, address, want) in [
        ("172.18.0.1", 16, "172.18.255.254", true),
        ("172.18.0.1", 16, "172.19.0.1", false),
        ("0.0.0.0", 0, "192.0.2.1", true),
        ("192.0.2.1", 32, "192.0.2.2", false),
        ("fd00::1", 64, "fd00::2", true),
        ("fd00::1", 64, "fd00:0:0:1::2", false),
        ("::", 0, "192.0.2.1", false),
    ] {
        let network = Network { address: network.parse().unwrap(), prefix_bits: bits };
        assert_eq!(network.contains(address.parse().unwrap()), want, "{network:?} {address}");
    }
}
