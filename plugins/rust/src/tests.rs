//! Conversations as the transports make them, and one of each kind that no client has.

use ftagent_plugin::Role;
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

const MAGIC: &str = "00ffff00fefefefefdfdfdfd12345678";
const INFO: &str = "ffffffff54 536f7572636520456e67696e6520517565727900";

/// What tests spell out.
const WORDS: &[(&str, &str)] = &[("MAGIC", MAGIC), ("INFO", INFO)];

fn lines_on(conversation: Conversation, lines: &[(&str, &str, &str)]) {
    check_lines(&PLUGIN, conversation, WORDS, lines);
}

fn check(lines: &[(&str, &str, &str)]) {
    lines_on(Conversation::udp(28015), lines);
}

/// One datagram of a stranger to the game port.
fn stranger(text: &str, wanted: &str) {
    check(&[(">", text, wanted)]);
}

/// One datagram of a stranger to the query port.
fn query_port(text: &str, wanted: &str) {
    lines_on(Conversation::udp(28017).role(Role::Query), &[(">", text, wanted)]);
}

#[test]
fn queries_on_either_port() {
    for ask in [stranger, query_port] {
        ask("INFO", "query");
        ask("INFO 11223344", "query");
        ask("ffffffff55ffffffff", "query");
        ask("ffffffff5500000000", "query");
        ask("ffffffff5600000000", "query");
    }
    check(&[
        (">", "INFO", "query"),
        ("<", "ffffffff41 11223344", "unknown"),
        (">", "INFO 11223344", "query+"),
    ]);
}

#[test]
fn raknet() {
    check(&[
        (">", "01 1122334455667788 MAGIC 0000000000000000", "query"),
        (">", "05 MAGIC 06*1464", "opening"),
        ("<", "06 MAGIC 98c35028ca7815f8 01 0a0b0c0d 0578", "unknown"),
        (">", "07 MAGIC 0a0b0c0d 00 0480fffffe4abc 0578 98c35028ca7815f8", "opening+"),
        ("<", "08 MAGIC 98c35028ca7815f8 0480fffffe4abc 0578 00", "unknown"),
        (">", "84 000000 40 0090 000000 09 0102030405060708 0102030405060708 00", "play"),
        (">", "c0 0001 01 000000", "control"),
    ]);
    check(&[(">", "05 MAGIC 06*1464", "opening"), (">", "07 MAGIC 04*34", "opening")]);
}

#[test]
fn steam_sockets() {
    check(&[
        (">", "20 0500 0d01020304*512", "opening"),
        ("<", "21 0d01020304 11 0102030405060708", "unknown"),
        (">", "22 0d01020304 11 0102030405060708*80", "opening+"),
        ("<", "23 0d01020304 2d05060708", "unknown"),
        (">", "80 05060708 0100 0102", "play"),
        (">", "25 1501020304", "control"),
    ]);
}

#[test]
fn the_middle_of_a_connection_is_unknown() {
    stranger("84 000900 60 0010 010000 000000 00 fe00", "unknown");
    stranger("84 000900 60 0000", "unknown");
    stranger("80 05060708 0100 0102", "unknown");
    stranger("22 0d01020304*80", "unknown");
    stranger("24 0000", "unknown");
    stranger("ffffffff71", "unknown");
}

#[test]
fn what_no_client_sends() {
    stranger("", "!empty");
    stranger("ffffffff49 11*90", "!server-answer");
    stranger("1c 0000000000000000 98c35028ca7815f8 MAGIC 0000", "!server-answer");
    stranger("ffffffff54*25", "!bad-info");
}

#[test]
fn what_clients_hardly_ever_send() {
    stranger("00", "!not-rust");
    stranger("53414d50 7f000001 28a0 69", "!not-rust");
    stranger("05*1464", "!not-rust");
    stranger("05 MAGIC 06*100", "!odd-length");
    stranger("INFO*1400", "!odd-length");
    stranger("ffffffff41 11223344", "!server-word");
    stranger("23 0d01020304", "!server-word");
    query_port("05 MAGIC 06*1464", "!not-a-query");
    let reply = ("<", "06 MAGIC 98c35028ca7815f8 01 0a0b0c0d 0578", "unknown");
    check(&[reply, (">", "84 000000 40 0000 000000 09", "!bad-raknet")]);
    check(&[reply, (">", "07 MAGIC 0a0b0c0e 00 0480fffffe4abc 0578 98c35028ca7815f8", "!wrong-cookie")]);
    let challenge = ("<", "21 0d01020304 11 0102030405060708", "unknown");
    check(&[challenge, (">", "20 0500 0d01020304", "!bad-steam-packet")]);
    check(&[challenge, (">", "05", "!not-rust")]);
}

#[test]
fn info_without_the_challenge_is_a_matter_of_rate() {
    let mut lines = vec![("<", "ffffffff41 11223344", "unknown")];
    lines.extend([(">", "INFO", "query"); 4]);
    lines.push((">", "INFO", "!challenge-ignored"));
    lines.push((">", "INFO 11223344", "query+"));
    check(&lines);
}

#[test]
fn remote_control_and_companion_app() {
    let socket = b"GET /secret HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n";
    let auth = bytes("0e000000 01000000 03000000 70617373 0000", WORDS);
    let judge =
        |role, bytes: &[u8], len| Conversation::tcp(28016).role(role).client_split(bytes, len).judge(&PLUGIN);
    for length in [1, 3, 7, 60] {
        for (role, bytes) in [(Role::Rcon, &socket[..]), (Role::Http, &socket[..]), (Role::Rcon, &auth[..])] {
            let judged = judge(role, bytes, length);
            assert!(judged.none_hostile() && judged.last().is_genuine(), "in pieces of {length}: {bytes:?}");
        }
    }
    assert_eq!(judge(Role::Http, &auth, 60).reasons(), ["not-web"]);
    assert_eq!(judge(Role::Rcon, b"\xff\xff\xff\xff", 60).reasons(), ["not-web"]);
    assert!(judge(Role::Game, b"\xff\xff\xff\xff", 60).none_hostile());
    assert!(judge(Role::Rcon, b"POST / HTTP/1.1\r\n", 60).none_hostile());
}

#[test]
fn segments_that_no_stack_sends() {
    let one = |flags: TcpFlags, options| {
        Conversation::tcp_without_handshake(28016).control(true, flags, options).judge(&PLUGIN).reasons()
    };
    assert_eq!(one(TcpFlags(0), TcpOptions(0)), ["bad-tcp-flags"]);
    assert_eq!(one(TcpFlags::SYN, TcpOptions(0)), ["odd-tcp"]);
    assert!(one(TcpFlags::SYN, TcpOptions::MSS).is_empty());
}

#[test]
fn fragments_are_not_judged() {
    let fragment = Conversation::udp(28015).client(&[0; 30]).edit(|segment| segment.fragment = 4);
    assert_eq!(fragment.judge(&PLUGIN).words(), ["unknown"]);
}

#[test]
fn answers_of_reflectors() {
    assert_eq!(reasons_of_reflected(&PLUGIN, 28015, &bytes("INFO", WORDS)), ["reflected"]);
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
        first in prop_oneof![any::<u8>(), Just(5u8), Just(7), Just(0x20), Just(0x84), Just(0xff)],
        note in any::<u64>(),
        cut in 0usize..90,
    ) {
        let payload = [&[first][..], &payload].concat();
        let whole = Conversation::udp(28015).notes(note, 0).client(&payload);
        let cut = whole.clone().cut(cut).judge(&PLUGIN);
        if !whole.judge(&PLUGIN).last().is_hostile() {
            prop_assert!(!cut.last().is_hostile());
        }
    }
}
