//! Our netlink against the kernel and against what `nft` says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod rig;

use std::io::Read as _;
use std::io::Write as _;
use std::time::Instant as Clock;

use ftagent_core::connection::Connection;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Transport;
use ftagent_firewall::guard::Guard;
use ftagent_firewall::key::Family;
use ftagent_firewall::key::Key;
use ftagent_firewall::netlink::Netlink;
use ftagent_firewall::plan::Change;
use ftagent_firewall::set::Count;
use ftagent_firewall::set::Element;
use ftagent_firewall::set::Kind;
use ftagent_firewall::set::Object;
use ftagent_firewall::set::SetId;
use ftagent_firewall::set::Value;
use rig::Rig;
use rig::udp;

#[test]
fn the_kernel_renews_timeouts_and_the_probe_leaves_nothing() {
    Rig::new("nft").run(|rig| {
        let before = rig.listings();
        assert!(Netlink::open().unwrap().renews_timeouts().unwrap());
        assert_eq!(rig.listings(), before);
    });
}

/// Our table without a wall.
fn install(rig: &Rig) -> Netlink {
    let structure = ftagent_firewall::structure::Structure {
        uplinks: vec!["up0".into()],
        mode: ftagent_firewall::Mode::Enforce,
        mark_bit: rig::MARK,
        guard: Guard::default(),
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), structure.script(false)).unwrap();
    rig.on_node(&format!("nft -f {}", file.path().display()));
    Netlink::open().unwrap()
}

fn at(kind: Kind, family: Family, key: Key) -> Element {
    Element { set: SetId { kind, family }, key }
}

/// What `nft -j` says the elements of a set are, one text each, without the time that is left.
fn nft_elements(rig: &Rig, kind: &str, set: &str) -> Vec<String> {
    let text = rig.on_node(&format!("nft -j list {kind} inet ftagent {set}"));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let elements = json["nftables"][1][kind]["elem"].as_array().cloned().unwrap_or_default();
    let mut texts: Vec<_> = elements.iter().map(|element| element.to_string()).collect();
    texts.iter_mut().for_each(|text| {
        if let Some(start) = text.find("\"expires\":") {
            let digits = text[start + 10..].find(|c: char| !c.is_ascii_digit()).unwrap();
            text.replace_range(start..start + 10 + digits + 1, "");
        }
    });
    texts.sort();
    texts
}

#[test]
fn nft_reads_what_we_write() {
    Rig::new("nft").run(|rig| {
        let mut netlink = install(rig);
        let (v4, v6) = (udp("203.0.113.10".parse().unwrap()), udp("2001:db8:1::10".parse().unwrap()));
        let source = "192.0.2.7".parse().unwrap();
        let source6 = "2001:db8:7::".parse().unwrap();
        let limit = Object::LimitOver { per_second: 400, burst: 9 };
        let add = |at, value, for_ms| Change::Add { at, value, for_ms };
        let changes = [
            Change::AddObject { name: "crowd_400_9_a".into(), object: limit },
            Change::AddObject { name: "seen_a".into(), object: Object::Counter },
            add(at(Kind::Leases, Family::V4, Key::source_at(source, &v4)), Value::None, Some(60_000)),
            add(at(Kind::Leases, Family::V6, Key::source_at(source6, &v6)), Value::None, Some(60_000)),
            add(at(Kind::NodeLeases, Family::V6, Key::address(source6)), Value::None, Some(5_000)),
            add(
                at(Kind::Lanes, Family::V4, Key::flow(source, 40_000, &v4)),
                Value::UpTo { per_second: 90 },
                Some(60_000),
            ),
            add(
                at(Kind::Crowd, Family::V4, Key::service(&v4)),
                Value::Object("crowd_400_9_a".into(), limit),
                Some(60_000),
            ),
            add(
                at(Kind::Counter(Count::Seen), Family::V4, Key::service(&v4)),
                Value::Object("seen_a".into(), Object::Counter),
                None,
            ),
        ];
        assert_eq!(netlink.apply(&changes).unwrap(), []);
        let check = |kind: &str, set: &str, expected: &[&str]| {
            assert_eq!(nft_elements(rig, kind, set), expected, "{set}");
        };
        check(
            "set",
            "leases4",
            &[r#"{"elem":{"timeout":60,"val":{"concat":["192.0.2.7","203.0.113.10",25565,"udp"]}}}"#],
        );
        check(
            "set",
            "leases6",
            &[r#"{"elem":{"timeout":60,"val":{"concat":["2001:db8:7::","2001:db8:1::10",25565,"udp"]}}}"#],
        );
        check("set", "node_leases6", &[r#"{"elem":{"timeout":5,"val":"2001:db8:7::"}}"#]);
        check(
            "map",
            "crowd4",
            &[r#"[{"elem":{"timeout":60,"val":{"concat":["203.0.113.10",25565,"udp"]}}},"crowd_400_9_a"]"#],
        );
        check("map", "count_seen4", &[r#"[{"concat":["203.0.113.10",25565,"udp"]},"seen_a"]"#]);
        let lanes = nft_elements(rig, "set", "lanes4").remove(0);
        assert!(lanes.contains(r#"["192.0.2.7",40000,"203.0.113.10",25565,"udp"]"#), "{lanes}");
        assert!(
            rig.on_node("nft list set inet ftagent lanes4").contains("limit rate 90/second burst 90 packets")
        );
        let listed = rig.on_node("nft list limits");
        assert!(listed.contains("rate over 400/second burst 9 packets"), "{listed}");

        let lane = netlink.elements("lanes4").unwrap().remove(0);
        assert_eq!(lane.up_to_per_second, Some(90));
        assert!(lane.left_ms.unwrap() > 50_000);
        let crowd = netlink.elements("crowd4").unwrap().remove(0);
        assert_eq!(crowd.object.as_deref(), Some("crowd_400_9_a"));
        assert_eq!(netlink.limits().unwrap(), [("crowd_400_9_a".to_owned(), limit)]);
    });
}

#[test]
fn what_cannot_be_does_not_hold_up_the_rest() {
    Rig::new("nft").run(|rig| {
        let mut netlink = install(rig);
        let source = "192.0.2.7".parse().unwrap();
        let good = at(Kind::NodeLeases, Family::V4, Key::address(source));
        let wrong_length = at(Kind::NodeLeases, Family::V6, Key::address(source));
        let add = |at| Change::Add { at, value: Value::None, for_ms: Some(9_000) };
        let refused = netlink.apply(&[add(wrong_length), add(good)]).unwrap();
        assert_eq!(refused, [(0, nix::errno::Errno::EINVAL)]);
        assert!(netlink.element(&good).unwrap().is_some());
        let removed =
            [Change::Remove { at: good, was: Value::None }, Change::Remove { at: good, was: Value::None }];
        assert_eq!(netlink.apply(&removed[..1]).unwrap(), []);
        assert_eq!(netlink.apply(&removed[..1]).unwrap(), [], "removing what is not there is no error");
        assert!(netlink.element(&good).unwrap().is_none());
    });
}

#[test]
fn a_renewed_element_lives_longer() {
    Rig::new("nft").run(|rig| {
        let mut netlink = install(rig);
        let at = at(Kind::NodeLeases, Family::V4, Key::address("192.0.2.7".parse().unwrap()));
        let renew = |for_ms| Change::Renew { at, was: Value::None, value: Value::None, for_ms: Some(for_ms) };
        for for_ms in [2_000, 60_000, 30_000] {
            assert_eq!(netlink.apply(&[renew(for_ms)]).unwrap(), []);
            let left_ms = netlink.element(&at).unwrap().unwrap().left_ms.unwrap();
            assert!((for_ms - 500..=for_ms).contains(&left_ms), "{left_ms} of {for_ms}");
        }
    });
}

/// Prints what SPECIFICATION quotes: `cargo test -p ftagent-firewall --test netlink figures -- --nocapture`.
#[test]
fn figures_of_counters_and_elements() {
    Rig::new("nft").run(|rig| {
        let mut netlink = install(rig);
        let changes: Vec<_> = (0..200)
            .map(|n| Change::AddObject { name: format!("counter_{n}").into(), object: Object::Counter })
            .collect();
        assert_eq!(netlink.apply(&changes).unwrap(), []);
        let best = |run: &mut dyn FnMut()| {
            let times = (0..20).map(|_| {
                let began = Clock::now();
                run();
                began.elapsed()
            });
            times.min().unwrap()
        };
        let mut seen = 0;
        let counters = best(&mut || {
            seen = 0;
            netlink.counters(|_, _| seen += 1).unwrap();
        });
        assert!(seen >= 200);
        let service = ServiceKey { ip: "203.0.113.10".parse().unwrap(), port: 7, transport: Transport::Udp };
        let source = |n: u32| std::net::IpAddr::V4((0x0a00_0000 + n).into());
        let lease = |n| at(Kind::Leases, Family::V4, Key::source_at(source(n), &service));
        let adds: Vec<_> = (0..1_000)
            .map(|n| Change::Add { at: lease(n), value: Value::None, for_ms: Some(60_000) })
            .collect();
        let add = best(&mut || assert_eq!(netlink.apply(&adds).unwrap(), []));
        let renewals: Vec<_> = (0..1_000)
            .map(|n| Change::Renew {
                at: lease(n),
                was: Value::None,
                value: Value::None,
                for_ms: Some(60_000),
            })
            .collect();
        let renew = best(&mut || assert_eq!(netlink.apply(&renewals).unwrap(), []));
        let many: Vec<_> = (0..60_000)
            .map(|n| Change::Add { at: lease(n), value: Value::None, for_ms: Some(60_000) })
            .collect();
        let began = Clock::now();
        assert_eq!(netlink.apply(&many).unwrap(), []);
        let fill = began.elapsed();
        let with_many = best(&mut || netlink.counters(|_, _| ()).unwrap());
        let began = Clock::now();
        assert_eq!(netlink.elements("leases4").unwrap().len(), 60_000);
        let dump = began.elapsed();
        println!("{seen} counters {counters:?}, beside 60,000 elements {with_many:?}");
        println!(
            "1,000 elements added again {add:?}, renewed {renew:?}; 60,000 added {fill:?}, read {dump:?}"
        );
        let generation = best(&mut || assert_ne!(netlink.generation().unwrap(), 0));
        let fingerprint = best(&mut || assert!(netlink.fingerprint().unwrap().is_some()));
        println!("generation {generation:?}, fingerprint of all rules {fingerprint:?}");
    });
}

#[test]
fn connections_that_stand_are_read_by_their_public_address() {
    Rig::new("nft").run(|rig| {
        for v6 in [false, true] {
            let (to, listener) = (rig::addresses(v6), rig.tcp_server(v6));
            let (mut client, mut server) = rig::within(&rig.players, || {
                let client = std::net::TcpStream::connect((to.server, rig::PORT)).unwrap();
                (client, listener.accept().unwrap().0)
            });
            // Both ends have spoken and were acknowledged.
            client.write_all(b"hello").unwrap();
            server.read_exact(&mut [0; 5]).unwrap();
            server.write_all(b"hello").unwrap();
            client.read_exact(&mut [0; 5]).unwrap();
            let mut connections = ftagent_firewall::connections().unwrap();
            connections.retain(|connection| connection.service.ip == to.server);
            let from = client.local_addr().unwrap();
            let service = ServiceKey { ip: to.server, port: rig::PORT, transport: Transport::Tcp };
            let expected = Connection { client: from.ip(), client_port: from.port(), service };
            assert_eq!(connections, [expected]);
        }
    });
}
