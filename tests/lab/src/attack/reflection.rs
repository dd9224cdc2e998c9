//! What open reflectors send to whoever is attacked through them: the service's port as the source, and how its
//! replies begin. Ports and beginnings are those of the reflection list in `wire-rules` section 6.

/// One kind of reflector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reflector {
    /// Name of the service.
    pub name: &'static str,
    /// The port it replies from.
    pub port: u16,
    /// How its reply begins.
    pub head: &'static [u8],
    /// How long its reply is.
    pub payload_bytes: u16,
}

/// The reflectors that are seen most.
pub const REFLECTORS: &[Reflector] = &[
    reflector("dns", 53, b"\x1a\x2b\x81\x80\x00\x01\x00\x10\x00\x00\x00\x00", 1_400),
    reflector("ntp", 123, b"\xd7\x00\x03\x2a\x00\x06\x00\x48", 440),
    reflector("snmp", 161, b"\x30\x82\x02\x00\x02\x01\x01\x04\x06public\xa2\x82", 520),
    reflector("cldap", 389, b"\x30\x84\x00\x00\x0b\x9a\x02\x01\x07\x64\x84\x00", 1_400),
    reflector(
        "chargen",
        19,
        b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh\r\n",
        1_022,
    ),
    reflector("portmap", 111, b"\x65\x72\x0a\x37\x00\x00\x00\x01\x00\x00\x00\x00", 380),
    reflector("netbios", 137, b"\xe5\xd8\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00 CKAAAAAAAA", 229),
    reflector("mssql", 1_434, b"\x05\xa0\x01ServerName;", 420),
    reflector(
        "ssdp",
        1_900,
        b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: upnp:rootdevice\r\nUSN: uuid:",
        320,
    ),
    reflector("ard", 3_283, b"\x00\x04\x03\xea\x00\x00\x00\x00", 1_006),
    reflector("rdp", 3_389, b"\xff\xff\xff\xff\x00\x40\x00\x05\x00\x00\x00\x00", 1_260),
    reflector("ws-discovery", 3_702, b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><SOAP-ENV:Envelope", 1_000),
    reflector("mdns", 5_353, b"\x00\x00\x84\x00\x00\x00\x00\x04\x00\x00\x00\x00", 300),
    reflector("coap", 5_683, b"\x60\x45\x12\x34\xc0\x21\x1e\xff", 600),
    reflector("memcached", 11_211, b"\x00\x00\x00\x00\x00\x01\x00\x00VALUE a 0 1400\r\n", 1_400),
    reflector("dhdiscover", 37_810, b"\x20\x00\x00\x00DHIP\x00\x00\x00\x00{ \"mac\" : \"", 730),
    reflector("bacnet", 47_808, b"\x81\x0a\x00\x29\x01\x00\x30\x01\x0c\x0c\x02\x3f", 41),
    reflector("source", 27_015, b"\xff\xff\xff\xff\x49\x11Some server\x00", 120),
    reflector("quake3", 27_960, b"\xff\xff\xff\xffstatusResponse\n\\sv_hostname\\", 824),
    reflector("stun", 3_478, b"\x01\x01\x00\x44\x21\x12\xa4\x42", 88),
    reflector("openvpn", 1_194, b"\x40\x11\x22\x33\x44\x55\x66\x77\x88\x00\x00\x00\x00\x00", 14),
    reflector("ipmi", 623, b"\x06\x00\xff\x07\x00\x00\x00\x00", 24),
    reflector(
        "isakmp",
        4_500,
        b"\x00\x00\x00\x00\x11\x22\x33\x44\x55\x66\x77\x88\x00\x00\x00\x00\x00\x00\x00\x00\x01\x10\x02\x00",
        204,
    ),
];

const fn reflector(name: &'static str, port: u16, head: &'static [u8], payload_bytes: u16) -> Reflector {
    Reflector { name, port, head, payload_bytes }
}
