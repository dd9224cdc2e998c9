//! What the kernel drops by itself has to be what the plugin calls hostile.

use serde::Deserialize;

use crate::Plugin;
use crate::TcpFlags;
use crate::TcpOptions;
use crate::testing::Conversation;
use crate::testing::hex;

/// The part of a manifest that is about shapes.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    shapes: Vec<Shape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Shape {
    reason: String,
    transport: String,
    payload_bytes: Option<Bounds>,
    #[serde(default)]
    bytes: Vec<BytesAt>,
    tcp_flags: Option<MaskedFlags>,
    #[serde(default)]
    without_options: bool,
    source_port: Option<u16>,
}

#[derive(Deserialize)]
struct Bounds {
    min: usize,
    max: usize,
}

#[derive(Deserialize)]
struct BytesAt {
    #[serde(default)]
    offset: usize,
    hex: String,
    mask: Option<String>,
}

#[derive(Deserialize)]
struct MaskedFlags {
    mask: u8,
    value: u8,
}

/// Makes packets that fit each of the plugin's shapes, with all that a shape leaves open filled in several ways, and
/// gives those that the plugin does not call hostile for the shape's reason: (reason, payload or TCP flags). A good
/// plugin gives none, because the kernel would drop more than the plugin says.
///
/// # Panics
/// If the manifest is not one; the macro has read it before.
pub fn shapes_beyond_the_judge(plugin: &Plugin) -> Vec<(String, Vec<u8>)> {
    let manifest: Manifest = toml::from_str(plugin.manifest).expect("the macro read the same manifest");
    let mut beyond = Vec::new();
    for shape in &manifest.shapes {
        for filling in [0x00, 0xff, 0x55, 0xaa, 0x01, 0xfe] {
            let (packet, shown) = match &shape.tcp_flags {
                Some(flags) => segment(flags, shape.without_options, filling),
                None => datagram(shape, filling),
            };
            let judged = packet.judge(plugin);
            if judged.reasons() != [shape.reason.as_str()] {
                beyond.push((shape.reason.clone(), shown));
            }
        }
    }
    beyond
}

fn segment(flags: &MaskedFlags, without_options: bool, filling: u8) -> (Conversation, Vec<u8>) {
    let flags = flags.value | filling & !flags.mask;
    let options = if without_options { TcpOptions(0) } else { TcpOptions::MSS };
    let packet = Conversation::tcp_without_handshake(25_565).control(true, TcpFlags(flags), options);
    (packet, vec![flags])
}

fn datagram(shape: &Shape, filling: u8) -> (Conversation, Vec<u8>) {
    assert_eq!(shape.transport, "udp", "a shape of TCP without flags is not made here");
    let needed = shape.bytes.iter().map(|bytes| bytes.offset + bytes.hex.len() / 2).max().unwrap_or(0);
    let bounds = shape.payload_bytes.as_ref().map_or(needed..=needed + 90, |bounds| bounds.min..=bounds.max);
    // The longest with even fillings, the shortest with odd ones.
    let len = if filling & 1 == 0 { *bounds.end() } else { *bounds.start() };
    let mut payload = vec![filling; len.max(needed)];
    for bytes in &shape.bytes {
        let value = hex(&bytes.hex);
        let mask = bytes.mask.as_ref().map_or(vec![0xff; value.len()], |mask| hex(mask));
        for (at, (value, mask)) in value.iter().zip(mask).enumerate() {
            payload[bytes.offset + at] = value | filling & !mask;
        }
    }
    let from = shape.source_port.unwrap_or(51_000);
    (Conversation::udp(25_565).from_port(from).client(&payload), payload)
}
