//! Conversations of real clients, and one of each kind that no client has.

use ftagent_plugin::Class;
use ftagent_plugin::Role;
use ftagent_plugin::TcpFlags;
use ftagent_plugin::TcpOptions;
use ftagent_plugin::testing::Conversation;
use ftagent_plugin::testing::Segment;
use ftagent_plugin::testing::hex;
use ftagent_plugin::testing::reasons_without_test;
use ftagent_plugin::testing::shapes_beyond_the_judge;
use proptest::prelude::*;

use crate::PLUGIN;
use crate::flag;

/// node-gamedig's status poll, measured: handshake and request in one segment.
const STATUS: &str = "0f002f093132372e302e302e3163dd01 0100";
const PING: &str = "0901 0000000000000001";
/// Login to 1.20.4, measured.
const LOGIN: &str =
    "1000fd05093132372e302e302e3163dd02 1d000b5265616c506c6179657231 00112233445566778899aabbccddeeff";
const TRANSFER: &str =
    "1000fe05093132372e302e302e3163dd03 1d000b5265616c506c6179657231 00112233445566778899aabbccddeeff";
/// 1.8: no identifier behind the name.
const LOGIN_1_8: &str = "0f002f093132372e302e302e3163dd02 0d000b5265616c506c6179657231";
/// "127.0.0.1\0FML2\0", as Forge clients send it.
const LOGIN_FORGE: &str = "16 00f205 0f3132372e302e302e3100464d4c3200 63dd02 0d000b5265616c506c6179657231";
/// A pinger that says version -1.
const STATUS_MINUS_ONE: &str = "1300ffffffff0f093132372e302e302e3163dd01 0100";
const LEGACY: &str = "fe01fa000b004d0043007c00500069006e00670048006f00730074 0007 4a 0000 00000000";
/// PROXY v2 over IPv4 and v1.
const PROXY_V2: &str = "0d0a0d0a000d0a515549540a 2111000c c0000201 cb00710a c350 63dd";
const PROXY_V1: &[u8] = b"PROXY TCP4 192.0.2.1 203.0.113.10 50000 25565\r\n";

fn tcp() -> Conversation {
    Conversation::tcp(25_565)
}

/// The opinions on the client's segments with bytes, each text being one segment.
fn words(conversation: Conversation, segments: &[&str]) -> Vec<String> {
    let before = conversation.judge(&PLUGIN).opinions.len();
    let judged = segments.iter().fold(conversation, |all, text| all.client(&hex(text))).judge(&PLUGIN);
    judged.words().split_off(before)
}

/// A whole stream gives this last word however it is cut into segments, and is never hostile on the way, seen from
/// the middle, cut short or sampled, unless its last word is.
fn check(conversation: &Conversation, stream: &[u8], wanted: &str) {
    for len in [1, 2, 3, 7, 16, stream.len()] {
        let split = conversation.clone().client_split(stream, len);
        let judged = split.judge(&PLUGIN);
        assert_eq!(judged.words().last().map(String::as_str), Some(wanted), "in {len}s: {stream:02x?}");
        if wanted.starts_with('!') {
            continue;
        }
        assert!(judged.none_hostile(), "in {len}s: {stream:02x?}");
        for first in 0..10 {
            assert!(split.clone().sampled(10, first).judge(&PLUGIN).none_hostile(), "sampled from {first}");
        }
        for cut in [0, 1, 5, 20] {
            assert!(split.clone().cut_all(cut).judge(&PLUGIN).none_hostile(), "cut at {cut}");
        }
    }
}

fn check_hex(text: &str, wanted: &str) {
    check(&tcp(), &hex(text), wanted);
}

#[test]
fn status_polls() {
    assert_eq!(words(tcp(), &[STATUS]), ["query"]);
    // mcstatus sends the length, the body, and each byte of the request by itself.
    let (body, rest) = (&STATUS[2..32], ["01", "00"]);
    assert_eq!(words(tcp(), &["0f", body, rest[0], rest[1]]), ["unknown", "query", "query", "query"]);
    check_hex(STATUS, "query");
    check_hex(STATUS_MINUS_ONE, "query");
    check_hex(&format!("{STATUS}{PING}"), "query");
}

#[test]
fn a_monitor_that_tries_again() {
    // mcstatus 14.2.0, measured: where a ping is not answered well it begins anew on the same connection.
    let again = "12002f0c3230332e302e3131332e313063dd01 09 0102b1a6e1921474e5";
    check_hex(&again.repeat(3), "query");
    check_hex(&format!("{STATUS}{again}"), "query");
    // A login is no second try, and a handshake that is none stays what it is.
    check_hex(&format!("{STATUS}0f002f093132372e302e302e3163dd02"), "!bad-status");
    check_hex(&format!("{STATUS}0f002f083132372e302e302e3163dd01"), "!bad-handshake");
}

#[test]
fn legacy_pings() {
    for ping in ["fe", "fe01", "fe01fa", LEGACY] {
        check_hex(ping, "query");
    }
    // 254 bytes of handshake begin like a ping.
    let host = "61".repeat(254 - 1 - 1 - 2 - 2 - 1);
    check_hex(&format!("fe01 00 2f f701 {host} 63dd 01 0100"), "query");
}

#[test]
fn logins() {
    for login in [LOGIN, LOGIN_1_8, LOGIN_FORGE, TRANSFER] {
        check_hex(login, "join");
    }
    assert_eq!(words(tcp(), &["1000fd05093132372e302e302e3163dd02"]), ["opening"]);
    // What follows the server's key is encrypted: anything goes, and after a while it is play.
    let login = tcp().client(&hex(LOGIN)).client(&encryption_response());
    let soon = login.clone().client(&[0; 40]).judge(&PLUGIN);
    assert_eq!(soon.last().class(), Class::Join);
    let later = login.wait_ms(6_000).client(&[0; 40]).ack().judge(&PLUGIN);
    assert_eq!(later.words().split_off(4), ["play", "control"]);
}

/// As 1.8 and later send it for a key of 1,024 bits: two encrypted numbers of 128 bytes.
fn encryption_response() -> Vec<u8> {
    let number = format!("8001{}", "c3".repeat(128));
    hex(&format!("8502 01 {number} {number}"))
}

#[test]
fn logins_without_encryption() {
    // Made by the protocol of 1.20.4: acknowledged, brand and settings behind the server's compression.
    let compressed = "020003 190001 0f6d696e6563726166743a6272616e64 0776616e696c6c61 0e0000 05656e5f5553 0a 00 01 7f 01 00 01";
    check_hex(&format!("{LOGIN} {compressed}"), "join");
    // 1.8 without compression: settings, then a position.
    check_hex(&format!("{LOGIN_1_8} 0b15 05656e5f5553 08 00 01 19 1904"), "join");
    // The head of a packet that is compressed: 400 bytes, and how a zlib stream begins.
    check_hex(&format!("{LOGIN} 020003 0d 9003 789c4b4c1c058000 0055 33"), "join");
    // Where the beginning of encryption was not seen to the end, nothing is said of what follows.
    check(&tcp(), &[hex(LOGIN), encryption_response(), vec![0; 200]].concat(), "join");
    for noise in ["77f3", "05ff0a111213", "77 8003 12", "020003 77 e1 55"] {
        check_hex(&format!("{LOGIN} {noise} {}", "a5".repeat(20)), "!bad-login-stream");
    }
}

#[test]
fn frames_are_read_on_where_reading_stopped() {
    let (long, noise) = (format!("8002 15 {}", "a5".repeat(255)), format!("77f3 {}", "a5".repeat(20)));
    // Its inside is not read, and what begins behind it is.
    check_hex(&format!("{LOGIN} {long} {long} 020003"), "join");
    check_hex(&format!("{LOGIN} {long} {long} {noise}"), "!bad-login-stream");
    let seven = "020003".repeat(7);
    check_hex(&format!("{LOGIN} {seven} {noise}"), "!bad-login-stream");
    check_hex(&format!("{LOGIN} {seven} 020003 {noise}"), "join");
    check_hex(&format!("{STATUS} {} 0200", "0100".repeat(6)), "!bad-status");
    check_hex(&format!("{STATUS} {} 0200", "0100".repeat(7)), "query");
    // An earlier version's notes say a phase and no place.
    let noted = |note, text: &str| tcp().notes(note, 0).client(&hex(text)).judge(&PLUGIN).words().pop();
    assert_eq!(noted(1, STATUS).as_deref(), Some("query"));
    assert_eq!(noted(1, &format!("{STATUS} 0200")).as_deref(), Some("!bad-status"));
    assert_eq!(noted(3, LOGIN).as_deref(), Some("join"));
    assert_eq!(noted(3, &format!("{LOGIN} {noise}")).as_deref(), Some("!bad-login-stream"));
}

#[test]
fn segments_sent_twice_or_out_of_order() {
    let stream = hex(LOGIN);
    let twice = tcp().client(&stream[..10]).again().client(&stream[10..]).again();
    assert_eq!(twice.judge(&PLUGIN).words().split_off(2), ["unknown", "unknown", "join", "join"]);
    let late = tcp().client_at(10, &stream[10..]).client_at(0, &stream[..10]).judge(&PLUGIN);
    assert_eq!(late.words().split_off(2), ["unknown", "join"]);
}

#[test]
fn behind_a_load_balancer() {
    for header in [hex(PROXY_V2), PROXY_V1.to_vec()] {
        let stream = [header.clone(), hex(LOGIN)].concat();
        check(&tcp().flag(flag::PROXY_PROTOCOL), &stream, "join");
        check(&tcp().flag(flag::PROXY_PROTOCOL), &[header.clone(), hex(STATUS)].concat(), "query");
        // Nobody said that a header comes: the operator forgot the switch, and no player pays for it.
        check(&tcp(), &stream, "unknown");
        check(&tcp().flag(flag::PROXY_PROTOCOL), &[header, hex("00")].concat(), "!null-ping");
    }
    check(&tcp().flag(flag::PROXY_PROTOCOL), &hex(LOGIN), "join");
    check(&tcp().flag(flag::PROXY_PROTOCOL), b"PROXY no line ends here", "unknown");
}

#[test]
fn hostile_openings() {
    check_hex("00", "!null-ping");
    check_hex(&format!("{STATUS}00"), "!null-ping");
    check_hex("1000fd05093132372e302e302e3163dd02 00", "!null-ping");
    check_hex("ffffff01", "!endless-length");
    check_hex(&format!("{STATUS}808080"), "!endless-length");
    check_hex("fefe", "!bad-legacy-ping");
    check_hex("fe01fb", "!bad-legacy-ping");
    check_hex("05002f0063dd", "!bad-handshake");
    check_hex("0f002f083132372e302e302e3163dd01", "!bad-handshake");
    check_hex("0f002f093132372e302e302e3163dd04", "!bad-handshake");
    check_hex("1000ffffffffff09", "!bad-handshake");
    check_hex("0f002f093132372e302e302e3163dd01 0101", "!bad-status");
    check_hex("0f002f093132372e302e302e3163dd01 0200", "!bad-status");
    check_hex("0f002f093132372e302e302e3163dd02 020000", "!bad-login");
    check_hex("0f002f093132372e302e302e3163dd02 350031", "!bad-login");
    check_hex("0f002f093132372e302e302e3163dd02 03010161", "!bad-login");
    check(&tcp(), b"GET / HTTP/1.1\r\n", "!not-minecraft");
    check_hex("16030100c8010000", "!not-minecraft");
    check_hex("ffff7f00", "!oversized-handshake");
    // Hostile stays hostile, even when the rest would look fine.
    assert_eq!(words(tcp(), &["00", STATUS]), ["!null-ping", "!null-ping"]);
}

#[test]
fn forwarded_player_data_is_long() {
    let host = "61".repeat(1_200);
    // 1,206 bytes: id, version, length of the host, host, port, next.
    let long = format!("b709 00 2f b009 {host} 63dd 02");
    check_hex(&long, "!oversized-handshake");
    check(&tcp().flag(flag::FORWARDING), &hex(&long), "unknown");
}

#[test]
fn without_its_beginning_nothing_is_known() {
    let middle = Conversation::tcp_without_handshake(25_565);
    assert_eq!(words(middle.clone(), &["00", "ffffffff", STATUS]), ["unknown"; 3]);
    assert_eq!(middle.ack().judge(&PLUGIN).words(), ["unknown"]);
    // Other ports of the server speak other languages.
    for role in [Role::Rcon, Role::Http, Role::File] {
        assert_eq!(words(tcp().role(role), &["00"]), ["unknown"]);
    }
}

/// The opinion on one segment by itself.
fn lone(flags: u8, options: TcpOptions, payload: &[u8]) -> Vec<&'static str> {
    let change = |packet: &mut Segment| {
        packet.flags = TcpFlags(flags);
        packet.options = options;
        packet.payload = payload.to_vec();
    };
    Conversation::tcp_without_handshake(25_565).ack().edit(change).judge(&PLUGIN).reasons()
}

#[test]
fn segments_no_stack_sends() {
    for flags in [0x00, 0x29, 0x01, 0x08, 0x03, 0x06, 0x3f] {
        assert_eq!(lone(flags, TcpOptions::MSS, b""), ["bad-tcp-flags"], "{flags:#x}");
    }
    assert_eq!(lone(0x02, TcpOptions(0), b""), ["syn-without-options"]);
    assert_eq!(lone(0x02, TcpOptions::MSS, b"x"), ["syn-with-payload"]);
    assert_eq!(lone(0x12, TcpOptions::MSS, b""), ["stray-syn-ack"]);
    let fragment = tcp().client(b"x").edit(|packet| packet.fragment = 2);
    assert_eq!(fragment.judge(&PLUGIN).reasons(), ["tcp-fragment"]);
    for flags in [0x10, 0x18, 0x11, 0x04, 0x14, 0x38] {
        assert!(lone(flags, TcpOptions(0), b"").is_empty(), "{flags:#x}");
    }
    assert!(lone(0xc2, TcpOptions::MSS, b"").is_empty());
    assert!(lone(0x02, TcpOptions::MSS.with(TcpOptions::FAST_OPEN), b"x").is_empty());
}

#[test]
fn datagrams() {
    let one = |conversation: Conversation, text: &str| {
        conversation.client(&hex(text)).judge(&PLUGIN).words().remove(0)
    };
    let query = || Conversation::udp(25_565).flag(flag::QUERY);
    for text in [
        "fefd090208070d",
        "fefd090000000100000000",
        "fefd00000000010091295b",
        "fefd00000000010091295b00000000",
    ] {
        assert_eq!(one(query(), text), "query", "{text}");
        assert_eq!(one(Conversation::udp(25_565), text), "unknown", "{text}");
    }
    assert_eq!(one(query(), "fefd0700000001"), "!bad-query");
    assert_eq!(one(query(), "fefd09"), "!bad-query");
    assert_eq!(one(query().role(Role::Query), "01112233"), "unknown");
    assert_eq!(one(query(), ""), "!empty-datagram");
    let answer = "ffffffff737461747573526573706f6e73650a";
    assert_eq!(one(query().from_port(27_960), answer), "!reflection");
    assert_eq!(one(query().from_port(30_120), "01112233"), "unknown");
}

#[test]
fn the_kernel_drops_no_more_than_the_judge_says() {
    assert_eq!(shapes_beyond_the_judge(&PLUGIN), []);
}

#[test]
fn every_reason_has_a_test() {
    assert_eq!(reasons_without_test(&PLUGIN, include_str!("tests.rs")), [""; 0]);
}

proptest! {
    #[test]
    fn nothing_panics_and_segments_do_not_matter(
        opening in prop::sample::select(vec!["", STATUS, LOGIN, LOGIN_1_8]),
        bytes in prop::collection::vec(any::<u8>(), 1..60),
        len in 1usize..60,
    ) {
        let stream = [hex(opening), bytes].concat();
        let whole = tcp().client(&stream).judge(&PLUGIN);
        let split = tcp().client_split(&stream, len).judge(&PLUGIN);
        // Only a legacy ping's first bytes may look better than what they turn out to be.
        prop_assert_eq!(whole.last().is_hostile(), split.last().is_hostile());
        prop_assert_eq!(whole.last().reason(), split.last().reason());
    }

    #[test]
    fn what_follows_the_servers_key_is_never_hostile(
        rest in prop::collection::vec(any::<u8>(), 1..200),
        len in 1usize..50,
    ) {
        let login = tcp().client(&hex(LOGIN)).client(&encryption_response());
        prop_assert!(login.client_split(&rest, len).judge(&PLUGIN).none_hostile());
    }
}
