//! Every way in which a packet can be wrong. Each is also a counter and the label of a metric.
//!
//! `Cut…` means that bytes which the header needs are not there, whether the sender or the capture cut them.

/// Why a packet could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Malformed {
    /// Fewer bytes than a link header.
    CutLink,
    /// More VLAN tags than any network stacks.
    TooManyTags,
    /// Fewer bytes than an IPv4 header.
    CutIpv4,
    /// The version in the IP header is neither 4 nor 6, or not the one that the link announced.
    IpVersion,
    /// IPv4: the header says that it is shorter than 20 bytes.
    Ipv4HeaderLength,
    /// IPv4: the total length is shorter than the header.
    Ipv4TotalLength,
    /// IPv4: the total length is longer than the frame was on the wire.
    Ipv4BeyondFrame,
    /// Fewer bytes than an IPv6 header.
    CutIpv6,
    /// IPv6: the payload length is longer than the frame was on the wire.
    Ipv6BeyondFrame,
    /// Fewer bytes than an extension header says.
    CutExtension,
    /// More extension headers than any sender needs.
    TooManyExtensions,
    /// A fragment reaches behind the largest IP packet (65,535 bytes).
    FragmentBeyondEnd,
    /// Fewer bytes than a TCP header.
    CutTcp,
    /// TCP: the data offset is below 5 or behind the end of the packet.
    TcpDataOffset,
    /// Fewer bytes than a UDP header.
    CutUdp,
    /// UDP: the length is below 8 or behind the end of the packet.
    UdpLength,
    /// Fewer bytes than an ICMP header.
    CutIcmp,
}

impl Malformed {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 17] = [
        Self::CutLink,
        Self::TooManyTags,
        Self::CutIpv4,
        Self::IpVersion,
        Self::Ipv4HeaderLength,
        Self::Ipv4TotalLength,
        Self::Ipv4BeyondFrame,
        Self::CutIpv6,
        Self::Ipv6BeyondFrame,
        Self::CutExtension,
        Self::TooManyExtensions,
        Self::FragmentBeyondEnd,
        Self::CutTcp,
        Self::TcpDataOffset,
        Self::CutUdp,
        Self::UdpLength,
        Self::CutIcmp,
    ];

    /// The label: kebab-case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CutLink => "cut-link",
            Self::TooManyTags => "too-many-tags",
            Self::CutIpv4 => "cut-ipv4",
            Self::IpVersion => "ip-version",
            Self::Ipv4HeaderLength => "ipv4-header-length",
            Self::Ipv4TotalLength => "ipv4-total-length",
            Self::Ipv4BeyondFrame => "ipv4-beyond-frame",
            Self::CutIpv6 => "cut-ipv6",
            Self::Ipv6BeyondFrame => "ipv6-beyond-frame",
            Self::CutExtension => "cut-extension",
            Self::TooManyExtensions => "too-many-extensions",
            Self::FragmentBeyondEnd => "fragment-beyond-end",
            Self::CutTcp => "cut-tcp",
            Self::TcpDataOffset => "tcp-data-offset",
            Self::CutUdp => "cut-udp",
            Self::UdpLength => "udp-length",
            Self::CutIcmp => "cut-icmp",
        }
    }
}
