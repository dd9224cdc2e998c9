//! What nobody's client sends, and that everything else is let alone.

use ftagent_plugin::TcpFlags;
use ftagent_plugin::TcpOptions;
use ftagent_plugin::testing::Conversation;
use ftagent_plugin::testing::hex;
use ftagent_plugin::testing::reasons_without_test;
use ftagent_plugin::testing::shapes_beyond_the_judge;
use proptest::prelude::*;

use crate::PLUGIN;

/// First packets of the clients of 40 protocols, as measured, and the vectors of wire-rules 8.
const FIRST_DATAGRAMS: &[&str] = &[
    "ffffffff54536f7572636520456e67696e6520517565727900",
    "ffffffff54536f7572636520456e67696e652051756572790011223344",
    "ffffffff55ffffffff",
    "ffffffff5500000000",
    "ffffffff71636f6e6e65637430783131323233333434 00",
    "73",
    "ffffffff73746174757300",
    "5c7374617475735c787365727665727175657279",
    "fefd0000000001ff0000",
    "72465f53",
    "0035000000000011",
    "ffffffff67657473746174757300",
    "ffffffff64657461696c73",
    "0100fb01f503fb05",
    "7900000000",
    "ffff676574496e666f0050694e47506f4e6700",
    "ffffffff464c5351",
    "ffffffff676574696e666f2078787800",
    "ffffffffff7374617475730a00",
    "fefd090000000100000000",
    "fefd090208070d",
    "4d324d50",
    "4d324f6e6c696e65",
    "01112233445566778800ffff00fefefefefdfdfdfd123456780000000000000000",
    "0500ffff00fefefefefdfdfdfd123456780b000000000000000000",
    "0700ffff00fefefefefdfdfdfd123456780480fffffe4abc057898c35028ca7815f8",
    "84000000400090000000090000000000000000000000000000000000",
    "c0000101000000",
    "8fff50ad82ff00010000ffff000005780001000000000003000000000000000000001388000000020000000203 9fcde200000000",
    "000000000102030405060708",
    "53414d507f00000128a069",
    "081e77da",
    "01",
    "d5f60001050505050505050501",
    "545333494e495431006500008 80dd05766005f5916e0ade76b610000000000000000",
    "4f457403000000 03ffdc01",
    "ffffffffffffffffffff6769653305",
    "040000ffffffff0511223344 00000000",
    "01000000000000000000000000000000000000000000000000000000 08",
    "0800010080d9020306414141414141",
    "ffff00010000000422b6e6ba02ff01040000002c",
];

/// Ports on which reflected services answer; clients and NATs may use the upper ones.
const PORTS: &[u16] = &[
    7, 17, 19, 53, 69, 111, 123, 137, 161, 177, 389, 427, 443, 500, 520, 623, 1194, 1434, 1604, 1900, 2362,
    3283, 3389, 3478, 3702, 4500, 5060, 5093, 5353, 5683, 7777, 10_001, 10_074, 11_211, 19_132, 22_126,
    27_015, 27_960, 30_000, 30_120, 32_410, 33_848, 37_810, 41_794, 47_808, 51_000, 64_738,
];

fn datagram(port: u16, bytes: &[u8]) -> Vec<&'static str> {
    Conversation::udp(30_120).from_port(port).client(bytes).judge(&PLUGIN).reasons()
}

/// A reflected answer from this port is hostile, and the same bytes are not where the server asked for them.
fn reflected(port: u16, text: &str, pad_to: usize) {
    let mut bytes = hex(text);
    bytes.resize(bytes.len().max(pad_to), 0);
    assert_eq!(datagram(port, &bytes), ["reflection"], "port {port}: {text}");
    let asked = Conversation::udp(30_120).from_port(port).server(b"asks").client(&bytes);
    assert_eq!(
        asked.judge(&PLUGIN).words().last().map(String::as_str),
        Some("unknown"),
        "port {port}: {text}"
    );
}

fn text(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn reflected_answers() {
    reflected(17, &text("\"We must not think too much, says he.\""), 0);
    reflected(19, &text("!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOP"), 74);
    reflected(53, "1234 8180 0001 0004 0000 0001", 1_472);
    reflected(69, "0003 0001", 516);
    reflected(69, "0005 0001", 20);
    reflected(111, "11223344 00000001 00000000", 60);
    reflected(123, "d700032a", 440);
    reflected(123, "d682 0001", 200);
    reflected(137, "1122 8400 0000 0001", 157);
    reflected(161, "302902010104067075626c6963a21c", 43);
    reflected(161, "3082010102010004067075626c6963a2", 261);
    reflected(177, "0001 0005", 40);
    reflected(389, "3084000000aa02010164840000", 3_000);
    reflected(427, "02020000ff", 255);
    reflected(443, "80 00000000 08", 30);
    reflected(443, "16 fefd 0000 0000 0000 0000 0023 03", 60);
    reflected(500, "1111111111111111 2222222222222222 01100200", 204);
    reflected(4500, "00000000 1111111111111111 2222222222222222 01100200", 204);
    reflected(520, "0201 0000 0002", 24);
    reflected(623, "0600ff07", 28);
    reflected(1194, "40 1122334455667788 0100000000", 26);
    reflected(1434, &format!("05 7900 {}", text("ServerName;X")), 124);
    reflected(1604, "3000 0231 02fda8e3", 48);
    reflected(1900, &text("HTTP/1.1 200 OK\r\nST: upnp:rootdevice"), 300);
    reflected(2362, &text("DIGI"), 60);
    reflected(3283, "000103ee", 1_006);
    reflected(3389, "11223344 0400 0005", 1_260);
    reflected(3478, "0101 0044 2112a442", 88);
    reflected(3702, &text("<?xml version=\"1.0\""), 800);
    reflected(5060, &text("SIP/2.0 404 Not Found"), 300);
    reflected(5093, "7a00", 1_400);
    reflected(5353, "0000 8400 0000 0001", 200);
    reflected(5683, "6045 1234", 300);
    reflected(7777, &format!("{}7f000001 6170 69", text("SAMP")), 120);
    reflected(7777, &text("\\gamename\\ut"), 0);
    reflected(10_001, "0100 008c", 144);
    reflected(10_074, &text("call.startblast is a facility for tests, and this is what it says"), 240);
    reflected(11_211, &format!("0000 0000 0001 0000 {}", text("VALUE x")), 1_400);
    reflected(11_211, &format!("0000 0000 0001 0000 {}", text("STAT pid 1")), 1_400);
    reflected(27_015, "ffffffff 49 11", 120);
    reflected(27_960, &format!("ffffffff{}", text("statusResponse\n")), 824);
    reflected(30_120, &format!("ffffffff{}", text("infoResponse\n")), 200);
    reflected(22_126, &text("EYE1"), 1_340);
    reflected(19_132, "1c 0000000000000000 1111111111111111 00ffff00fefefefefdfdfdfd12345678 0000", 100);
    reflected(30_000, "4f457403 0001 00 03 ffdc 00 01", 14);
    reflected(64_738, "00010304 0102030405060708", 24);
    reflected(32_410, &text("HTTP/1.0 200 OK\r\n"), 300);
    reflected(33_848, &text("<hudson><version>"), 300);
    reflected(37_810, "20000000 44484950", 711);
    reflected(41_794, "15000000 0104", 394);
    reflected(47_808, "810a 0029 0100 30", 41);
    reflected(51_000, &text("d1:rd2:id20:"), 300);
}

#[test]
fn a_reflection_stays_one_after_the_server_replied() {
    let answer = [&[0xff; 4][..], b"statusResponse\n"].concat();
    let flood = Conversation::udp(30_120).from_port(27_960).client(&answer).server(b"?").client(&answer);
    assert_eq!(flood.judge(&PLUGIN).words(), ["!reflection", "!reflection"]);
}

#[test]
fn first_packets_of_real_clients_are_let_alone_from_any_port() {
    for first in FIRST_DATAGRAMS {
        for &port in PORTS {
            assert!(datagram(port, &hex(first)).is_empty(), "from {port}: {first}");
        }
    }
}

#[test]
fn a_datagram_without_bytes() {
    assert_eq!(datagram(51_000, b""), ["empty-datagram"]);
    assert!(datagram(51_000, b"\0").is_empty());
    let later = Conversation::udp(30_120).client(b"").edit(|packet| packet.fragment = 4);
    assert!(later.judge(&PLUGIN).none_hostile());
}

/// One segment that is not part of a connection.
fn lone(flags: u8, options: TcpOptions, payload: &[u8]) -> Vec<&'static str> {
    let segment = |packet: &mut ftagent_plugin::testing::Segment| {
        packet.flags = TcpFlags(flags);
        packet.options = options;
        packet.payload = payload.to_vec();
    };
    Conversation::tcp_without_handshake(3_979).ack().edit(segment).judge(&PLUGIN).reasons()
}

#[test]
fn segments_no_stack_sends() {
    let none = TcpOptions(0);
    assert_eq!(lone(0x00, none, b""), ["bad-tcp-flags"]);
    assert_eq!(lone(0x29, none, b""), ["bad-tcp-flags"]);
    assert_eq!(lone(0x01, none, b""), ["bad-tcp-flags"]);
    assert_eq!(lone(0x03, TcpOptions::MSS, b""), ["bad-tcp-flags"]);
    assert_eq!(lone(0x06, TcpOptions::MSS, b""), ["bad-tcp-flags"]);
    assert_eq!(lone(0x02, none, b""), ["syn-without-options"]);
    assert_eq!(lone(0xc2, none, b""), ["syn-without-options"]);
    assert_eq!(lone(0x02, TcpOptions::MSS, b"x"), ["syn-with-payload"]);
    assert_eq!(lone(0x12, TcpOptions::MSS, b""), ["stray-syn-ack"]);
    let fragment = Conversation::tcp(3_979).client(b"x").edit(|packet| packet.fragment = 2);
    assert_eq!(fragment.judge(&PLUGIN).reasons(), ["tcp-fragment"]);
}

#[test]
fn segments_of_real_stacks() {
    for flags in [0x10, 0x18, 0x11, 0x14, 0x04, 0x38] {
        assert!(lone(flags, TcpOptions(0), b"x").is_empty(), "{flags:#x}");
    }
    // ECN (RFC 3168 6.1.1), fast open, and an answer to a connection that the server opened itself.
    assert!(lone(0xc2, TcpOptions::MSS, b"").is_empty());
    assert!(lone(0x02, TcpOptions::MSS.with(TcpOptions::FAST_OPEN), b"x").is_empty());
    let own = Conversation::tcp_without_handshake(40_120)
        .control(false, TcpFlags::SYN, TcpOptions::MSS)
        .control(true, TcpFlags::SYN.with(TcpFlags::ACK), TcpOptions::MSS);
    assert!(own.judge(&PLUGIN).none_hostile());
}

#[test]
fn play_is_what_goes_both_ways_for_a_while() {
    let openttd = Conversation::tcp(3_979).client(&hex("030007")).server(b"x").ack();
    assert_eq!(openttd.judge(&PLUGIN).words(), ["opening", "control", "play", "control"]);
    let middle = Conversation::tcp_without_handshake(3_979).client(b"x");
    assert_eq!(middle.judge(&PLUGIN).words(), ["unknown"]);
    let talk = |replies: bool| {
        let mut talk = Conversation::udp(30_000);
        for _ in 0..30 {
            talk = talk.wait_ms(100).client(b"input");
            talk = if replies { talk.server(b"state") } else { talk };
        }
        talk.judge(&PLUGIN)
    };
    assert_eq!(talk(true).last().class(), ftagent_plugin::Class::Play);
    assert_eq!(talk(false).genuine(), 0);
    let short = Conversation::udp(30_000).client(b"query").server(b"answer").client(b"query");
    assert_eq!(short.judge(&PLUGIN).words(), ["unknown", "unknown"]);
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
    fn random_bytes_from_a_usual_port_are_never_hostile(
        payload in prop::collection::vec(any::<u8>(), 1..80),
        cut in 0usize..80,
        port in 49_152u16..60_000,
    ) {
        let random = Conversation::udp(30_120).from_port(port).client(&payload).cut(cut);
        prop_assert!(random.judge(&PLUGIN).none_hostile());
    }

    #[test]
    fn nothing_panics(
        payload in prop::collection::vec(any::<u8>(), 0..80),
        port in any::<u16>(),
        flags in any::<u8>(),
        options in any::<u16>(),
    ) {
        let _ = datagram(port, &payload);
        let _ = lone(flags, TcpOptions(options), &payload);
    }
}
