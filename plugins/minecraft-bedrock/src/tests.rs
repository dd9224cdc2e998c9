//! Conversations of real clients, and one of each kind that no client has.

use ftagent_plugin::testing::Conversation;
use ftagent_plugin::testing::check_lines;
use ftagent_plugin::testing::reasons_without_test;
use ftagent_plugin::testing::shapes_beyond_the_judge;
use proptest::prelude::*;

use crate::PLUGIN;

const MAGIC: &str = "00ffff00fefefefefdfdfdfd12345678";

/// What tests spell out.
const WORDS: &[(&str, &str)] = &[("MAGIC", MAGIC)];

fn check(lines: &[(&str, &str, &str)]) {
    check_lines(&PLUGIN, Conversation::udp(19132), WORDS, lines);
}

/// One datagram of a stranger.
fn stranger(text: &str, wanted: &str) {
    check(&[(">", text, wanted)]);
}

#[test]
fn server_lists_and_monitors() {
    // mcstatus: time and id 0; node-gamedig: a fixed time; an old client without its id.
    stranger("01 0000000000000000 MAGIC 0000000000000000", "query");
    stranger("01 1122334455667788 MAGIC 0000000000000000", "query");
    stranger("01 1122334455667788 MAGIC", "query");
    stranger("02 1122334455667788 MAGIC 0000000000000000", "query");
    // GameSpy: mcstatus and node-gamedig.
    stranger("fefd09 0208070d", "query");
    stranger("fefd0900000001 00000000", "query");
    check(&[
        (">", "fefd0900000001", "query"),
        ("<", "09 00000001 3935313333303700", "unknown"),
        (">", "fefd0000000001 0091295b 00000000", "query+"),
    ]);
    check(&[
        (">", "fefd0900000001", "query"),
        ("<", "09 00000001 3935313333303700", "unknown"),
        (">", "fefd0000000001 0091295c 00000000", "query"),
    ]);
}

#[test]
fn a_whole_connection_without_a_cookie() {
    check(&[
        (">", "05 MAGIC 0b*1464", "opening"),
        (">", "05 MAGIC 0b*1172", "opening"),
        ("<", "06 MAGIC 98c35028ca7815f8 00 0578", "unknown"),
        (">", "07 MAGIC 0480fffffe4abc 0578 98c35028ca7815f8", "opening"),
        ("<", "08 MAGIC 98c35028ca7815f8 0480fffffe4abc 0578 00", "unknown"),
        (">", "84 000000 40 0090 000000 09 0102030405060708 0102030405060708 00", "join"),
        ("<", "c0 0001 01 000000", "unknown"),
        ("<", "84 000000 60 0010 000000 000000 00 1000", "unknown"),
        (">", "c0 0001 01 000000", "control"),
        (">", "84 010000 60 0010 010000 000000 00 1300", "join"),
        (">", "84 020000 60 0010 020000 010000 00 fe00", "play"),
        (">", "a0 0001 00 010000 030000", "control"),
        (">", "80 030000 00 0048 000000000000000000", "play"),
    ]);
}

#[test]
fn the_cookie_is_proof_only_after_the_server_gave_it() {
    let reply = "06 MAGIC 98c35028ca7815f8 01 0a0b0c0d 0578";
    let request = "07 MAGIC 0a0b0c0d 00 0480fffffe4abc 0578 98c35028ca7815f8";
    check(&[(">", "05 MAGIC 0b*548", "opening"), ("<", reply, "unknown"), (">", request, "opening+")]);
    check(&[(">", "05 MAGIC 0b*548", "opening"), (">", request, "opening")]);
    let other = request.replace("0a0b0c0d", "0a0b0c0e");
    check(&[(">", "05 MAGIC 0b*548", "opening"), ("<", reply, "unknown"), (">", &other, "!wrong-cookie")]);
    // IPv6.
    let v6 = "07 MAGIC 0a0b0c0d 00 06*61";
    check(&[("<", reply, "unknown"), (">", v6, "opening+")]);
}

#[test]
fn a_login_in_parts() {
    let part =
        |index: u32| format!("84 0{index:x}0000 70 29e0 000000 000000 00 00000016 0000 {index:08x} fe*1364");
    let parts: Vec<String> = (0..9).map(part).collect();
    let mut lines = vec![(">", "07 MAGIC 0480fffffe4abc 0578 98c35028ca7815f8", "opening")];
    lines.extend(parts.iter().map(|part| (">", part.as_str(), "join")));
    check(&lines);
}

#[test]
fn a_connection_seen_from_its_middle_is_unknown() {
    stranger("84 000900 60 0010 010000 000000 00 fe00", "unknown");
    stranger("c0 0001 01 000000", "unknown");
    check(&[
        (">", "84 000900 60 0010 010000 000000 00 fe00", "unknown"),
        ("<", "84 000900 60 0010 010000 000000 00 fe00", "unknown"),
        (">", "84 000a00 60 0010 010000 000000 00 fe00", "play"),
    ]);
}

#[test]
fn a_proxys_header_is_not_judged() {
    stranger("0d0a0d0a000d0a515549540a 2112000c", "unknown");
    stranger("0d0a0d0a000d0a515549540b 2112000c", "!not-raknet");
    stranger("0d0a", "!not-raknet");
}

#[test]
fn what_no_client_sends() {
    stranger("", "!empty");
    stranger("00", "!not-raknet");
    stranger("53414d50 7f000001 28a0 69", "!not-raknet");
    stranger("20*512", "!not-raknet");
    stranger("1c 0000000000000000 98c35028ca7815f8 MAGIC 0000", "!server-word");
    stranger("06 MAGIC 98c35028ca7815f8 00 0578", "!server-word");
    stranger("06 98c35028ca7815f8 00 0578", "!not-raknet");
    stranger("01 0000000000000000 00ffff00fefefefefdfdfdfd12345679 0000000000000000", "!damaged-magic");
    stranger("05 00ffff00fefefefefdfdfdfd12345679 0b*1464", "!damaged-magic");
    stranger("07*34", "!damaged-magic");
    stranger("01 0000000000000000", "!torn-message");
    stranger("05 MAGIC", "!torn-message");
    stranger("07 MAGIC", "!torn-message");
    stranger("84 00", "!torn-message");
    stranger("84 000000 40 0000 000000 09", "!bad-frame");
    stranger("84 000000 40 0090 000000 09", "!bad-frame");
    stranger("84 000000 50 0008 000000 80000000 0000 00000000 fe", "!bad-split");
    stranger("84 000000 50 0008 000000 00000016 0000 00000016 fe", "!bad-split");
    stranger("c0 0001 00 000000 ffffff", "!bad-receipt");
    stranger("c0 0001 00 050000 010000", "!bad-receipt");
    stranger("a0 0009 01 000000", "!bad-receipt");
}

#[test]
fn what_clients_hardly_ever_send() {
    stranger("01 0000000000000000 MAGIC 00000000000000", "!odd-length");
    stranger("05 MAGIC 0b*100", "!odd-length");
    stranger("05 MAGIC 0b*371", "!odd-length");
    stranger("05 MAGIC 0b*372", "opening");
    stranger("05 MAGIC 0b*1473", "!odd-length");
    stranger("07 MAGIC 04*46", "!odd-length");
    stranger("84 000000", "!odd-length");
    stranger("fefd07", "!odd-length");
    stranger("90 000000 00 0008 fe", "!odd-flags");
    stranger("84 000000 01 0008 fe", "!odd-flags");
    stranger("84 000000 50 0008 000000 00002001 0000 00000000 fe", "!many-parts");
    stranger("84 000000 50 0008 000000 00002000 0000 00000000 fe", "unknown");
}

#[test]
fn fragments_and_tcp_are_not_judged() {
    let fragment = Conversation::udp(19132).client(&[0; 30]).edit(|segment| segment.fragment = 2);
    assert_eq!(fragment.judge(&PLUGIN).words(), ["unknown"]);
    assert!(Conversation::tcp(19132).client(&[0; 30]).judge(&PLUGIN).none_hostile());
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
        payload in proptest::collection::vec(any::<u8>(), 0..120),
        first in prop_oneof![any::<u8>(), Just(1u8), Just(5), Just(7), Just(0x84), Just(0xc0), Just(0xa0)],
        cut in 0usize..120,
    ) {
        let payload = [&[first][..], &payload].concat();
        let whole = Conversation::udp(19132).client(&payload);
        let cut = whole.clone().cut(cut).judge(&PLUGIN);
        if !whole.judge(&PLUGIN).last().is_hostile() {
            prop_assert!(!cut.last().is_hostile());
        }
    }

    #[test]
    fn frames_of_any_kind_are_never_hostile(
        contents in proptest::collection::vec((0u8..5, 1usize..400), 1..4),
        sequence in any::<u32>(),
    ) {
        let mut datagram = vec![0x84];
        datagram.extend(&sequence.to_le_bytes()[..3]);
        for &(reliability, length) in &contents {
            datagram.push(reliability << 5);
            datagram.extend(u16::try_from(8 * length).unwrap().to_be_bytes());
            let header = [0, 7, 3, 7, 10][usize::from(reliability)];
            datagram.extend(std::iter::repeat_n(0xfe, header + length));
        }
        prop_assert!(Conversation::udp(19132).client(&datagram).judge(&PLUGIN).none_hostile());
    }
}
