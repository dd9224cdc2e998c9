//! Conversations of real clients, and one of each kind that no client has.

use ftagent_plugin::Flag;
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
use crate::flag;

const INFO: &str = "ffffffff54 536f7572636520456e67696e6520517565727900";

/// What tests spell out.
const WORDS: &[(&str, &str)] = &[("INFO", INFO)];

fn lines_on(conversation: Conversation, lines: &[(&str, &str, &str)]) {
    check_lines(&PLUGIN, conversation, WORDS, lines);
}

fn check(lines: &[(&str, &str, &str)]) {
    lines_on(Conversation::udp(27015), lines);
}

/// One datagram of a stranger, to a game port of which nothing is known.
fn stranger(text: &str, wanted: &str) {
    check(&[(">", text, wanted)]);
}

/// One datagram of a stranger to a port with a flag.
fn flagged(flag: Flag, text: &str, wanted: &str) {
    lines_on(Conversation::udp(27015).flag(flag), &[(">", text, wanted)]);
}

/// One datagram of a stranger to a port for queries.
fn query_port(text: &str, wanted: &str) {
    lines_on(Conversation::udp(27016).role(Role::Query), &[(">", text, wanted)]);
}

#[test]
fn queries_of_real_clients() {
    for ask in [stranger, query_port] {
        ask("INFO", "query");
        ask("INFO 11223344", "query");
        ask("ffffffff55ffffffff", "query");
        ask("ffffffff5500000000", "query");
        ask("ffffffff5600000000", "query");
        ask("ffffffff57", "query");
        ask("ffffffff69", "query");
        ask("ffffffff \"details\"", "query");
        ask("ffffffff \"ping\" 00", "query");
        ask("ffffffff \"info\" 00", "query");
        ask("ffffffff \"players\" 00", "query");
        ask("ffffffff \"rules\" 00", "query");
    }
}

#[test]
fn a_returned_challenge_is_proof() {
    check(&[
        (">", "INFO", "query"),
        ("<", "ffffffff41 11223344", "unknown"),
        (">", "INFO 11223344", "query+"),
        (">", "ffffffff55 11223344", "query+"),
        (">", "ffffffff56 11223345", "query"),
    ]);
    // Not chosen by a server.
    check(&[("<", "ffffffff41 ffffffff", "unknown"), (">", "ffffffff55 ffffffff", "query")]);
    check(&[(">", "ffffffff55 00000000", "query")]);
}

#[test]
fn info_without_the_challenge_is_a_matter_of_rate() {
    let mut lines = vec![(">", "INFO", "query"); 9];
    check(&lines);
    lines.truncate(1);
    lines.push(("<", "ffffffff41 11223344", "unknown"));
    lines.extend([(">", "INFO", "query"); 4]);
    check(&lines);
    lines.extend([(">", "INFO", "!challenge-ignored"); 2]);
    lines.push((">", "INFO 11223344", "query+"));
    lines.push((">", "INFO", "query"));
    check(&lines);
}

#[test]
fn a_source_client_joins() {
    check(&[
        (">", "ffffffff71 \"connect0x0badcafe\" 00", "opening"),
        ("<", "ffffffff41 33494f5a 0a0b0c0d 01010101 03000000", "unknown"),
        (">", "ffffffff6b 18000000 03000000 0a0b0c0d 01010101 \"name\" 00", "opening+"),
        ("<", "ffffffff42", "unknown"),
        (">", "01000000 00000000 01 0000 2000*40", "play"),
        (">", "02000000 01000000 00 0000 2000*16", "play"),
        (">", "ffffffff24", "control"),
    ]);
    // The number stands where the client's own would be: no proof.
    check(&[
        ("<", "ffffffff41 0a0b0c0d 01010101 03000000", "unknown"),
        (">", "ffffffff6b 18000000 03000000 0a0b0c0d 01010101", "opening"),
    ]);
}

#[test]
fn a_goldsrc_client_joins() {
    check(&[
        (">", "ffffffff \"getchallenge steam\" 0a", "opening"),
        ("<", "ffffffff \"A00000000 1234567 3 901 0\" 0a", "unknown"),
        (">", "ffffffff \"connect 48 1234567 \" 22 \"\\prot\\3\" 22", "opening+"),
        ("<", "ffffffff42", "unknown"),
        (">", "01000080 00000000*20", "play"),
    ]);
    stranger("ffffffff \"challenge rcon\" 0a", "opening");
    stranger("ffffffff \"rcon 1 pw status\"", "opening");
}

#[test]
fn a_steam_sockets_client_joins() {
    check(&[
        (">", "20 0500 0d01020304*512", "opening"),
        ("<", "21 0d01020304 11 0102030405060708", "unknown"),
        (">", "22 0d01020304 11 0102030405060708*80", "opening+"),
        ("<", "23 0d01020304 2d05060708", "unknown"),
        (">", "80 05060708 0100 0102", "play"),
        (">", "24 0500 2501020304*512", "control"),
        (">", "25 1501020304", "control"),
    ]);
    flagged(flag::STEAM_SOCKETS, "22 0d01020304*80", "opening");
    flagged(flag::STEAM_SOCKETS, "80 05060708 0100 0102", "unknown");
}

#[test]
fn what_a_game_speaks_beside_queries_is_unknown() {
    for datagram in
        ["00", "01 0203", "8fff50ad 82ff0001*52", "22 0d01020304", "80 01", "fe ff ff ff", "ff ff", "ff"]
    {
        stranger(datagram, "unknown");
    }
    stranger("05 00ffff00fefefefefdfdfdfd12345678 06*1464", "unknown");
    stranger("ffffffff01*700", "unknown");
    stranger("ffffffff214c5fa0 0102", "unknown");
    // A client's word alone does not make the port one of Source.
    check(&[(">", "ffffffff71 \"connect0x0badcafe\" 00", "opening"), (">", "01", "unknown")]);
    // From the middle of a game.
    flagged(flag::NETCHAN, "01020000 01020000 00*60", "unknown");
}

#[test]
fn what_no_client_sends() {
    stranger("", "!empty");
    for answer in ["49 11*90", "44*30", "45*30", "6a 3030"] {
        stranger(&format!("ffffffff{answer}"), "!server-answer");
    }
    stranger("ffffffff54*25", "!bad-info");
    stranger("ffffffff54 \"Source Engine Quern\" 00", "!bad-info");
    flagged(flag::STEAM_SOCKETS, "21 0d01020304", "!steam-server-word");
    flagged(flag::STEAM_SOCKETS, "23 0d01020304", "!steam-server-word");
}

#[test]
fn what_clients_hardly_ever_send() {
    stranger("ffffffff", "!odd-length");
    stranger("INFO 1122", "!odd-length");
    stranger("INFO*1400", "!odd-length");
    stranger("ffffffff55", "!odd-length");
    stranger("ffffffff71 \"connect0x0badcafe\" 00*80", "!odd-length");
    stranger("ffffffff6b 1800", "!odd-length");
    for word in ["41 11223344", "42", "39 00", "4c", "52 00", "53"] {
        stranger(&format!("ffffffff{word}"), "!server-word");
    }
    flagged(flag::NETCHAN, "ffffffff01*700", "!unknown-type");
    flagged(flag::NETCHAN, "0102", "!bad-netchan");
    flagged(flag::NETCHAN, "01*1401", "!bad-netchan");
    flagged(flag::NETCHAN, "01*1400", "unknown");
    flagged(flag::NETCHAN, "01*8", "unknown");
    flagged(flag::STEAM_SOCKETS, "20 0500 0d01020304", "!bad-steam-packet");
    flagged(flag::STEAM_SOCKETS, "05*40", "!bad-steam-packet");
    query_port("01020304", "!not-a-query");
    query_port("ffffffff71 \"connect0x0badcafe\" 00", "!not-a-query");
}

#[test]
fn remote_control_over_tcp() {
    let auth = bytes("0e000000 01000000 03000000 \"pass\" 0000", WORDS);
    let rcon = || Conversation::tcp(27015).role(Role::Rcon);
    for length in 1..=auth.len() {
        let judged = rcon().client_split(&auth, length).client(&auth).judge(&PLUGIN);
        assert!(judged.none_hostile() && judged.last().is_genuine(), "in pieces of {length}");
    }
    let first = |text: &str| rcon().client(&bytes(text, WORDS)).judge(&PLUGIN).reasons();
    assert_eq!(first("0a000000 01000000 02000000 0000"), ["rcon-without-password"]);
    assert_eq!(first("\"GET / HTTP/1.1\""), ["not-rcon"]);
    assert_eq!(first("09000000"), ["not-rcon"]);
    // Elsewhere, or from the middle, nothing is said.
    assert!(Conversation::tcp(7777).client(b"GET / HTTP/1.1").judge(&PLUGIN).none_hostile());
    let middle = Conversation::tcp_without_handshake(27015).role(Role::Rcon);
    assert!(middle.client(b"GET / HTTP/1.1").judge(&PLUGIN).none_hostile());
}

#[test]
fn segments_that_no_stack_sends() {
    let one = |flags: TcpFlags, options| {
        Conversation::tcp_without_handshake(27015).control(true, flags, options).judge(&PLUGIN).reasons()
    };
    let none = TcpOptions(0);
    assert_eq!(one(TcpFlags(0), none), ["bad-tcp-flags"]);
    assert_eq!(one(TcpFlags::SYN.with(TcpFlags::FIN), TcpOptions::MSS), ["bad-tcp-flags"]);
    assert_eq!(one(TcpFlags::SYN.with(TcpFlags::ACK), TcpOptions::MSS), ["bad-tcp-flags"]);
    assert_eq!(one(TcpFlags::SYN, none), ["odd-tcp"]);
    assert!(one(TcpFlags::SYN, TcpOptions::MSS).is_empty());
    assert!(one(TcpFlags::ACK, none).is_empty());
}

#[test]
fn fragments_of_datagrams_are_not_judged() {
    let fragment = Conversation::udp(27015).client(b"\xff\xff\xff\xffI").edit(|segment| segment.fragment = 2);
    assert_eq!(fragment.judge(&PLUGIN).words(), ["unknown"]);
}

#[test]
fn answers_of_reflectors() {
    assert_eq!(reasons_of_reflected(&PLUGIN, 27015, &bytes("INFO", WORDS)), ["reflected"]);
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
        payload in proptest::collection::vec(any::<u8>(), 0..60),
        header in any::<bool>(),
        flags in 0u64..4,
        cut in 0usize..64,
    ) {
        let payload = if header { [&[0xff; 4][..], &payload].concat() } else { payload };
        let mut whole = Conversation::udp(27015);
        for flag in [flag::NETCHAN, flag::STEAM_SOCKETS] {
            whole = if flags >> flag.0 & 1 == 1 { whole.flag(flag) } else { whole };
        }
        let whole = whole.client(&payload);
        let cut = whole.clone().cut(cut).judge(&PLUGIN);
        if !whole.judge(&PLUGIN).last().is_hostile() {
            prop_assert!(!cut.last().is_hostile());
        }
    }

    #[test]
    fn notes_of_any_kind_are_taken(note in any::<u64>(), payload in proptest::collection::vec(any::<u8>(), 0..60)) {
        let conversation = Conversation::udp(27015).notes(note, note).server(&payload).client(&payload);
        let _ = conversation.judge(&PLUGIN);
    }
}
