//! Conversations written as lines, so that a test reads like the protocol's page.

use crate::Plugin;
use crate::testing::Conversation;
use crate::testing::hex;

/// Bytes as a protocol page writes them: hexadecimal digits, `"text"` as it stands, and `*n` at the end, which pads
/// with zeros to n bytes. `words` are longer pieces by name, spelled out before anything else.
///
/// # Panics
/// If anything else is there.
pub fn bytes(text: &str, words: &[(&str, &str)]) -> Vec<u8> {
    let text = words.iter().fold(text.to_owned(), |text, (word, spelled)| text.replace(word, spelled));
    let (text, pad_to) = text.split_once('*').unwrap_or((&text, "0"));
    let pad_to = pad_to.parse().unwrap_or_else(|_| panic!("`*{pad_to}` is not a length"));
    let mut bytes = Vec::new();
    for (at, part) in text.split('"').enumerate() {
        bytes.extend(if at % 2 == 0 { hex(part) } else { part.as_bytes().to_vec() });
    }
    bytes.resize(bytes.len().max(pad_to), 0);
    bytes
}

/// Lets client and server say lines: each is `>` from the client or `<` from the server, its [`bytes`], and the word
/// that [`Judged::words`](crate::testing::Judged::words) has for it. Where nothing was hostile, nothing may become so
/// when the same is cut anywhere or only some of its packets are seen.
///
/// # Panics
/// If the plugin judges otherwise.
pub fn check_lines(
    plugin: &Plugin,
    mut conversation: Conversation,
    words: &[(&str, &str)],
    lines: &[(&str, &str, &str)],
) {
    for (arrow, text, _) in lines {
        let bytes = bytes(text, words);
        conversation = if *arrow == ">" { conversation.client(&bytes) } else { conversation.server(&bytes) };
    }
    let wanted: Vec<&str> = lines.iter().map(|line| line.2).collect();
    let judged = conversation.judge(plugin);
    assert_eq!(judged.words(), wanted, "{lines:?}");
    if !judged.none_hostile() {
        return;
    }
    for cut in (0..70).chain([100, 200, 255]) {
        let cut_off = conversation.clone().cut_all(cut);
        assert!(cut_off.judge(plugin).none_hostile(), "cut at {cut}: {lines:?}");
    }
    for every in [3, 4, 7] {
        for first in 0..every as usize {
            let sampled = conversation.clone().sampled(every, first);
            assert!(sampled.judge(plugin).none_hostile(), "one in {every} from {first}: {lines:?}");
        }
    }
}

/// The reasons that a plugin gives to answers of reflectors at a UDP port. None of them may be given to `opening`, with
/// which a client begins, from a reflector's port, nor to an answer for which the server asked.
///
/// # Panics
/// If the plugin gives one of them there.
pub fn reasons_of_reflected(plugin: &Plugin, server_port: u16, opening: &[u8]) -> Vec<&'static str> {
    // Seen in floods against port 30120: DHDiscover and BACnet.
    let (dhdiscover, bacnet) = (hex("20000000 44484950 00000000 00000000"), hex("810a0008 01003002"));
    let from = |port| Conversation::udp(server_port).from_port(port);
    let reasons = |conversation: Conversation| conversation.judge(plugin).reasons();
    let mut given = reasons(from(37_810).client(&dhdiscover));
    given.extend(reasons(from(47_808).client(&bacnet)));
    given.dedup();
    for wanted in [from(47_808).client(opening), from(37_810).server(&[1]).client(&dhdiscover)] {
        assert!(reasons(wanted).iter().all(|reason| !given.contains(reason)), "{given:?}");
    }
    given
}

/// The reasons of a plugin that the text of its tests never expects, as `"!reason"` or `["reason"]`; a good plugin has
/// none.
pub fn reasons_without_test(plugin: &Plugin, tests: &str) -> Vec<&'static str> {
    let shown = |reason: &str| [format!("\"!{reason}\""), format!("[\"{reason}\"]")];
    let expected = |reason: &str| shown(reason).iter().any(|shown| tests.contains(shown));
    plugin.reasons.iter().copied().filter(|reason| !expected(reason)).collect()
}
