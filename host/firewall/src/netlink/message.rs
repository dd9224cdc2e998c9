//! nfnetlink messages as bytes: headers, attributes in network order, and the batch around them.
//!
//! Numbers are those of linux/netlink.h, linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h.

/// Values of linux/netfilter/nf_tables.h and its neighbours, under the kernel's names.
#[expect(missing_docs, reason = "the kernel's headers describe them")]
pub mod kernel {
    pub const NLMSG_ERROR: u16 = 2;
    pub const NLMSG_DONE: u16 = 3;
    pub const NLM_F_REQUEST: u16 = 0x1;
    pub const NLM_F_MULTI: u16 = 0x2;
    pub const NLM_F_ACK: u16 = 0x4;
    pub const NLM_F_DUMP: u16 = 0x300;
    pub const NLM_F_DUMP_INTR: u16 = 0x10;
    pub const NLM_F_CREATE: u16 = 0x400;
    pub const NLA_F_NESTED: u16 = 0x8000;

    pub const NFPROTO_UNSPEC: u8 = 0;
    pub const NFPROTO_INET: u8 = 1;
    pub const NFNL_SUBSYS_CTNETLINK: u16 = 1;
    pub const NFNL_SUBSYS_NFTABLES: u16 = 10;
    pub const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
    pub const NFNL_MSG_BATCH_END: u16 = 0x11;

    pub const NFT_MSG_NEWTABLE: u16 = 0;
    pub const NFT_MSG_GETTABLE: u16 = 1;
    pub const NFT_MSG_DELTABLE: u16 = 2;
    pub const NFT_MSG_GETCHAIN: u16 = 4;
    pub const NFT_MSG_GETRULE: u16 = 7;
    pub const NFT_MSG_NEWSET: u16 = 9;
    pub const NFT_MSG_GETSET: u16 = 10;
    pub const NFT_MSG_NEWSETELEM: u16 = 12;
    pub const NFT_MSG_GETSETELEM: u16 = 13;
    pub const NFT_MSG_DELSETELEM: u16 = 14;
    pub const NFT_MSG_GETGEN: u16 = 16;
    pub const NFT_MSG_NEWOBJ: u16 = 18;
    pub const NFT_MSG_GETOBJ: u16 = 19;
    pub const NFT_MSG_DELOBJ: u16 = 20;

    pub const NFTA_LIST_ELEM: u16 = 1;
    pub const NFTA_TABLE_NAME: u16 = 1;
    pub const NFTA_CHAIN_TABLE: u16 = 1;
    pub const NFTA_CHAIN_NAME: u16 = 3;
    pub const NFTA_RULE_TABLE: u16 = 1;
    pub const NFTA_SET_TABLE: u16 = 1;
    pub const NFTA_SET_NAME: u16 = 2;
    pub const NFTA_SET_FLAGS: u16 = 3;
    pub const NFTA_SET_KEY_TYPE: u16 = 4;
    pub const NFTA_SET_KEY_LEN: u16 = 5;
    pub const NFTA_SET_ID: u16 = 10;
    pub const NFT_SET_TIMEOUT: u32 = 0x10;
    pub const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
    pub const NFTA_SET_ELEM_LIST_SET: u16 = 2;
    pub const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
    pub const NFTA_SET_ELEM_KEY: u16 = 1;
    pub const NFTA_SET_ELEM_TIMEOUT: u16 = 4;
    pub const NFTA_SET_ELEM_EXPIRATION: u16 = 5;
    pub const NFTA_SET_ELEM_EXPR: u16 = 7;
    pub const NFTA_SET_ELEM_OBJREF: u16 = 9;
    pub const NFTA_DATA_VALUE: u16 = 1;
    pub const NFTA_EXPR_NAME: u16 = 1;
    pub const NFTA_EXPR_DATA: u16 = 2;
    pub const NFTA_OBJ_TABLE: u16 = 1;
    pub const NFTA_OBJ_NAME: u16 = 2;
    pub const NFTA_OBJ_TYPE: u16 = 3;
    pub const NFTA_OBJ_DATA: u16 = 4;
    pub const NFT_OBJECT_COUNTER: u32 = 1;
    pub const NFT_OBJECT_LIMIT: u32 = 4;
    pub const NFT_OBJECT_SYNPROXY: u32 = 10;
    pub const NFTA_COUNTER_BYTES: u16 = 1;
    pub const NFTA_COUNTER_PACKETS: u16 = 2;
    pub const NFTA_SYNPROXY_MSS: u16 = 1;
    pub const NFTA_SYNPROXY_WSCALE: u16 = 2;
    pub const NFTA_SYNPROXY_FLAGS: u16 = 3;
    /// `NF_SYNPROXY_OPT_` of segment size, window scale, selective acknowledgement and timestamps.
    pub const SYNPROXY_OPTIONS: u32 = 0x01 | 0x02 | 0x04 | 0x08;
    pub const NFTA_LIMIT_RATE: u16 = 1;
    pub const NFTA_LIMIT_UNIT: u16 = 2;
    pub const NFTA_LIMIT_BURST: u16 = 3;
    pub const NFTA_LIMIT_TYPE: u16 = 4;
    pub const NFTA_LIMIT_FLAGS: u16 = 5;
    pub const NFT_LIMIT_F_INV: u32 = 1;
    pub const NFTA_GEN_ID: u16 = 1;

    pub const IPCTNL_MSG_CT_GET: u16 = 1;
    pub const CTA_TUPLE_ORIG: u16 = 1;
    pub const CTA_STATUS: u16 = 3;
    pub const CTA_PROTOINFO: u16 = 4;
    pub const CTA_TUPLE_IP: u16 = 1;
    pub const CTA_TUPLE_PROTO: u16 = 2;
    pub const CTA_IP_V4_SRC: u16 = 1;
    pub const CTA_IP_V4_DST: u16 = 2;
    pub const CTA_IP_V6_SRC: u16 = 3;
    pub const CTA_IP_V6_DST: u16 = 4;
    pub const CTA_PROTO_NUM: u16 = 1;
    pub const CTA_PROTO_SRC_PORT: u16 = 2;
    pub const CTA_PROTO_DST_PORT: u16 = 3;
    pub const CTA_PROTOINFO_TCP: u16 = 1;
    pub const CTA_PROTOINFO_TCP_STATE: u16 = 1;
    pub const IPS_ASSURED: u32 = 1 << 2;
    pub const TCP_CONNTRACK_ESTABLISHED: u8 = 3;
}

use kernel::*;

/// `struct nlmsghdr`.
pub const HEADER_BYTES: usize = 16;
/// `struct nfgenmsg`.
pub const FAMILY_BYTES: usize = 4;

/// Bytes that grow by whole messages. Lengths are filled in when a message or a nest ends.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Writer {
    /// Starts counting messages after `sequence`.
    pub fn after(sequence: u32) -> Self {
        Self { bytes: Vec::new(), sequence }
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of the last message.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// One message; `res_id` is 0 but for the ends of a batch.
    fn raw(&mut self, kind: u16, flags: u16, family: u8, res_id: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.sequence = self.sequence.wrapping_add(1);
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[family, 0]);
        self.bytes.extend_from_slice(&res_id.to_be_bytes());
        body(self);
        let len = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    }

    /// A message of nf_tables.
    pub fn message(&mut self, kind: u16, flags: u16, family: u8, body: impl FnOnce(&mut Self)) {
        self.message_of(NFNL_SUBSYS_NFTABLES, kind, flags, family, body);
    }

    /// A message of any subsystem.
    pub fn message_of(
        &mut self,
        subsystem: u16,
        kind: u16,
        flags: u16,
        family: u8,
        body: impl FnOnce(&mut Self),
    ) {
        self.raw(subsystem << 8 | kind, flags, family, 0, body);
    }

    /// Opens a transaction.
    pub fn begin(&mut self) {
        self.raw(NFNL_MSG_BATCH_BEGIN, 0, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES, |_| ());
    }

    /// Ends it: the kernel takes all of it or nothing.
    pub fn end(&mut self) {
        self.raw(NFNL_MSG_BATCH_END, 0, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES, |_| ());
    }

    /// An attribute with these bytes.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// An attribute with a name, ended by a zero.
    pub fn text(&mut self, kind: u16, value: &str) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&((4 + value.len() + 1) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        let end = (start + 4 + value.len() + 1).next_multiple_of(4);
        self.bytes.resize(end, 0);
    }

    /// An attribute with a number of 32 bits.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// An attribute with a number of 64 bits.
    pub fn u64(&mut self, kind: u16, value: u64) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// An attribute that holds others.
    pub fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        body(self);
        let len = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    }
}

/// A received message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its kind, subsystem and all.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// Which request it answers.
    pub sequence: u32,
    /// All behind the header.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes behind `nfgenmsg`.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { rest: self.body.get(FAMILY_BYTES..).unwrap_or_default() }
    }

    /// The bytes of the attributes, for comparing two dumps.
    pub fn attribute_bytes(&self) -> &'a [u8] {
        self.body.get(FAMILY_BYTES..).unwrap_or_default()
    }

    /// The error that the kernel reports; 0 for an acknowledgement, `None` if the message is something else.
    pub fn error(&self) -> Option<i32> {
        let code = self.body.get(..4)?;
        (self.kind == NLMSG_ERROR)
            .then(|| i32::from_ne_bytes([code[0], code[1], code[2], code[3]]).saturating_neg())
    }
}

/// The messages of one datagram; ends at the first that does not fit.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = rest.get(..HEADER_BYTES)?;
        let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let body = rest.get(HEADER_BYTES..len)?;
        let message = Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            body,
        };
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes of a message or a nest; ends at the first that does not fit.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Those inside of a nested attribute.
    pub fn within(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    /// The first of this kind.
    pub fn get(self, kind: u16) -> Option<&'a [u8]> {
        let mut all = self;
        all.find(|&(this, _)| this == kind).map(|(_, value)| value)
    }

    /// The first of this kind, as what it holds.
    pub fn nest(self, kind: u16) -> Option<Self> {
        self.get(kind).map(Self::within)
    }

    /// The first of this kind, as a name.
    pub fn text(self, kind: u16) -> Option<&'a str> {
        let value = self.get(kind)?;
        std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
    }

    /// The first of this kind, as a number of 32 bits.
    pub fn u32(self, kind: u16) -> Option<u32> {
        self.get(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// The first of this kind, as a number of 64 bits.
    pub fn u64(self, kind: u16) -> Option<u64> {
        self.get(kind)?.try_into().ok().map(u64::from_be_bytes)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.rest.get(..4)?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & !NLA_F_NESTED;
        let value = self.rest.get(4..len)?;
        self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::after(6);
        writer.message(NFT_MSG_NEWOBJ, NLM_F_CREATE, NFPROTO_INET, |message| {
            message.text(NFTA_OBJ_NAME, "abc");
            message.nest(NFTA_OBJ_DATA, |data| data.u64(NFTA_COUNTER_PACKETS, 7));
        });
        let all: Vec<_> = messages(writer.bytes()).collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].sequence, all[0].kind), (7, 0x0a12));
        assert_eq!(all[0].attributes().text(NFTA_OBJ_NAME), Some("abc"));
        let data = all[0].attributes().nest(NFTA_OBJ_DATA).unwrap();
        assert_eq!(data.u64(NFTA_COUNTER_PACKETS), Some(7));
        assert_eq!(writer.bytes().len(), HEADER_BYTES + FAMILY_BYTES + 8 + 4 + 12);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                let _ = (message.error(), message.attributes().map(|(_, value)| value.len()).sum::<usize>());
            }
            prop_assert!(Attributes::within(&bytes).count() <= bytes.len());
        }
    }
}
