//! Conversations of real clients, and one of each kind that no client has.

use ftagent_plugin::TcpFlags;
use ftagent_plugin::TcpOptions;
use ftagent_plugin::testing::Conversation;
use ftagent_plugin::testing::bytes;
use ftagent_plugin::testing::check_lines;
use ftagent_plugin::testing::reasons_of_reflected;
use ftagent_plugin::testing::reasons_without_test;
use ftagent_plugin::testing::shapes_beyond_the_judge;
use proptest::prelude::*;

use crate::PLUGIN;

const CONNECT: &str = "8fff50ad 82ff0001 0000ffff 00000578 00010000 00000002 00000000 00000000
    00001388 00000002 00000002 039fcde2 11223344";
const VERIFY: &str = "8000 50ad 83ff0001 0001 0000 00000578 00010000 00000002 00000000 00000000
    00001388 00000002 00000002 039fcde2";

/// What tests spell out.
const WORDS: &[(&str, &str)] = &[("CONNECT", CONNECT), ("VERIFY", VERIFY)];

fn check(lines: &[(&str, &str, &str)]) {
    check_lines(&PLUGIN, Conversation::udp(30120), WORDS, lines);
}

/// One datagram of a stranger.
fn stranger(text: &str, wanted: &str) {
    check(&[(">", text, wanted)]);
}

fn web(bytes: &[u8], segment_bytes: usize) -> Conversation {
    Conversation::tcp(30120).client_split(bytes, segment_bytes)
}

#[test]
fn queries_of_real_clients() {
    stranger("ffffffff \"getinfo xxx\" 00", "query");
    stranger("ffffffff \"getstatus\" 00", "query");
    stranger("ffffffff \"getstatus\" 00 01020304", "query");
    stranger("ffffffff \"getinfo\" 0a", "query");
    stranger("ffffffff \"rcon pw status\"", "opening");
    stranger("ffffffff \"getserversResponse\"", "unknown");
}

#[test]
fn a_connection() {
    check(&[
        (">", "CONNECT", "opening"),
        (">", "8000 50ae 85ff0002", "unknown"),
        ("<", "VERIFY", "unknown"),
        (">", "8000 50b0 01ff0001 0001 50ad", "control"),
        (">", "8000 50b0 86000002 0002 aabb", "play"),
        (">", "8000 50b0 85ff0003", "control"),
    ]);
    // Taken back before it stood.
    check(&[(">", "CONNECT", "opening"), (">", "0fff 44ff0000 00000000", "unknown")]);
}

#[test]
fn a_connection_after_the_join_over_tcp() {
    let connect = Conversation::udp(30120).client(&bytes("CONNECT", WORDS));
    let joined = web(b"POST /client HTTP/1.1\r\nHost: h\r\n\r\n", 5);
    let judged = Conversation::judge_all(&PLUGIN, &[joined.clone(), connect.clone()]);
    assert_eq!(judged.words().last().unwrap(), "join");
    assert!(judged.none_hostile());
    // The token is there for people.
    assert_eq!(judged.last().detail_number(), 0x1122_3344);
    // Without a handshake, or with other bytes, it is an opening like any other.
    let middle = Conversation::tcp_without_handshake(30120).client(b"POST /client HTTP/1.1\r\n");
    for other in [middle, web(b"\x00\x01", 2)] {
        let judged = Conversation::judge_all(&PLUGIN, &[other, connect.clone()]);
        assert_eq!(judged.words().last().unwrap(), "opening");
    }
}

#[test]
fn the_tcp_side() {
    for bytes in [
        &b"GET /info.json HTTP/1.1\r\nHost: h\r\n\r\n"[..],
        b"POST /client HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc],
    ] {
        for length in [1, 2, 5, 100] {
            let judged = web(bytes, length).judge(&PLUGIN);
            assert!(judged.none_hostile() && judged.last().is_genuine(), "{bytes:?} in pieces of {length}");
        }
    }
    for bytes in [&b"PROXY TCP4 192.0.2.1"[..], b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a", b"GE"] {
        assert_eq!(web(bytes, 100).judge(&PLUGIN).words().last().unwrap(), "unknown");
    }
    for bytes in [&b"\x00\x00\x00"[..], b"SSH-2.0-x", b"\x10\x00"] {
        assert_eq!(web(bytes, 100).judge(&PLUGIN).reasons(), ["not-web"]);
    }
    let middle = Conversation::tcp_without_handshake(30120).client(b"\x00\x00\x00");
    assert!(middle.judge(&PLUGIN).none_hostile());
}

#[test]
fn a_connection_seen_from_its_middle_is_unknown() {
    stranger("8000 50b0 86000002 0002 aabb", "unknown");
    stranger("8000 50b0 85ff0003", "unknown");
    stranger("c000 aabbccdd", "unknown");
}

#[test]
fn what_no_client_sends() {
    stranger("", "!empty");
    stranger("ffffffff \"infoResponse\" 0a", "!server-answer");
    stranger("ffffffff \"statusResponse\" 0a", "!server-answer");
    stranger("8fff50ad 85ff0001", "!not-connect");
    stranger("8fff", "!not-connect");
    stranger(&CONNECT.replace("00000578", "00001001"), "!bad-connect");
    stranger("8fff50ad 82ff0001", "!bad-connect");
}

#[test]
fn what_clients_hardly_ever_send() {
    stranger("ffffffff01*700", "!unknown-word");
    stranger("ffffffff \"getinfo \"*161", "!long-query");
    stranger("ffffffff \"getinfo \"*160", "query");
    stranger("CONNECT 00", "!odd-connect");
    stranger("cfff50ad 82ff0001", "!odd-connect");
    stranger("8000 50b0 86000002 0003 aabb", "!bad-command");
    stranger("8000 50b0 8f000002", "!bad-command");
    stranger("00", "!bad-command");
}

#[test]
fn segments_that_no_stack_sends() {
    let one = |flags: TcpFlags, options| {
        Conversation::tcp_without_handshake(30120).control(true, flags, options).judge(&PLUGIN).reasons()
    };
    // The captured flood: SYN, ECE and CWR without options.
    assert_eq!(one(TcpFlags(0xc2), TcpOptions(0)), ["odd-tcp"]);
    assert!(one(TcpFlags(0xc2), TcpOptions::MSS).is_empty());
    assert_eq!(one(TcpFlags(0), TcpOptions(0)), ["bad-tcp-flags"]);
}

#[test]
fn fragments_are_not_judged() {
    let fragment = Conversation::udp(30120).client(&[0; 30]).edit(|segment| segment.fragment = 2);
    assert_eq!(fragment.judge(&PLUGIN).words(), ["unknown"]);
}

#[test]
fn answers_of_reflectors() {
    assert_eq!(reasons_of_reflected(&PLUGIN, 30120, &bytes("CONNECT", WORDS)), ["reflected"]);
}

#[test]
fn every_reason_has_a_test() {
    assert_eq!(reasons_without_test(&PLUGIN, include_str!("tests.rs")), [""; 0]);
}

#[test]
fn the_kernel_drops_no_more_than_the_judge_says() {
    assert_eq!(shapes_beyond_the_judge(&PLUGIN), []);
}

proptest! {
    #[test]
    fn nothing_panics_and_no_cut_makes_hostile(
        payload in proptest::collection::vec(any::<u8>(), 0..80),
        start in prop_oneof![Just(vec![]), Just(vec![0xff; 4]), Just(vec![0x8f, 0xff]), Just(vec![0x80, 0, 1, 2])],
        cut in 0usize..90,
    ) {
        let payload = [start, payload].concat();
        let whole = Conversation::udp(30120).client(&payload);
        let cut = whole.clone().cut(cut).judge(&PLUGIN);
        if !whole.judge(&PLUGIN).last().is_hostile() {
            prop_assert!(!cut.last().is_hostile());
        }
    }

    #[test]
    fn streams_of_any_kind_are_taken(bytes in proptest::collection::vec(any::<u8>(), 1..80), length in 1usize..9) {
        let _ = web(&bytes, length).judge(&PLUGIN);
    }
}
