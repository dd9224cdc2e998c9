//! TCP connections that conntrack has seen both ends of, so that players who were there before us keep playing.

use std::net::IpAddr;

use ftagent_core::connection::Connection;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Transport;

use super::Netlink;
use super::message::Attributes;
use super::message::kernel::*;
use crate::FirewallError;
use crate::key::Family;
use crate::limits;

/// TCP, as IP numbers it.
const TCP: u8 = 6;

impl Netlink {
    /// Established TCP connections by their public addresses and ports, at most [`limits::CONNECTIONS_MAX`].
    ///
    /// Conntrack calls a TCP entry assured only after a handshake or an acknowledged answer, which a forged source
    /// cannot have; of UDP the same word says nothing (*measured*: five forged packets to an echo server are enough),
    /// so UDP is left out.
    pub fn connections(&mut self) -> Result<Vec<Connection>, FirewallError> {
        let mut connections = Vec::new();
        for family in Family::BOTH {
            let number = match family {
                Family::V4 => libc::AF_INET as u8,
                Family::V6 => libc::AF_INET6 as u8,
            };
            self.ask_of(
                NFNL_SUBSYS_CTNETLINK,
                "reading the connections that stand",
                IPCTNL_MSG_CT_GET,
                NLM_F_DUMP,
                number,
                |_| (),
                |message| {
                    if connections.len() < limits::CONNECTIONS_MAX {
                        connections.extend(established(message.attributes()));
                    }
                },
            )?;
        }
        Ok(connections)
    }
}

/// An entry, if both ends of it were seen and it is still open.
fn established(entry: Attributes<'_>) -> Option<Connection> {
    let assured = entry.u32(CTA_STATUS)? & IPS_ASSURED != 0;
    let tcp = entry.nest(CTA_PROTOINFO)?.nest(CTA_PROTOINFO_TCP)?;
    let open = tcp.get(CTA_PROTOINFO_TCP_STATE)? == [TCP_CONNTRACK_ESTABLISHED];
    let tuple = entry.nest(CTA_TUPLE_ORIG)?;
    let (addresses, ends) = (tuple.nest(CTA_TUPLE_IP)?, tuple.nest(CTA_TUPLE_PROTO)?);
    if !assured || !open || ends.get(CTA_PROTO_NUM)? != [TCP] {
        return None;
    }
    let address = |v4, v6| {
        let v4 = || <[u8; 4]>::try_from(addresses.get(v4)?).ok().map(IpAddr::from);
        let v6 = || <[u8; 16]>::try_from(addresses.get(v6)?).ok().map(IpAddr::from);
        v4().or_else(v6)
    };
    let port = |kind| ends.get(kind)?.try_into().ok().map(u16::from_be_bytes);
    Some(Connection {
        client: address(CTA_IP_V4_SRC, CTA_IP_V6_SRC)?,
        client_port: port(CTA_PROTO_SRC_PORT)?,
        service: ServiceKey {
            ip: address(CTA_IP_V4_DST, CTA_IP_V6_DST)?,
            port: port(CTA_PROTO_DST_PORT)?,
            transport: Transport::Tcp,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message::Writer;
    use crate::netlink::message::messages;

    /// An entry as the kernel writes it.
    fn read(status: u32, state: u8, protocol: u8) -> Option<Connection> {
        let mut writer = Writer::after(0);
        writer.message_of(NFNL_SUBSYS_CTNETLINK, 0, 0, 2, |entry| {
            entry.nest(CTA_TUPLE_ORIG, |tuple| {
                tuple.nest(CTA_TUPLE_IP, |ip| {
                    ip.attribute(CTA_IP_V4_SRC, &[192, 0, 2, 7]);
                    ip.attribute(CTA_IP_V4_DST, &[203, 0, 113, 10]);
                });
                tuple.nest(CTA_TUPLE_PROTO, |ends| {
                    ends.attribute(CTA_PROTO_NUM, &[protocol]);
                    ends.attribute(CTA_PROTO_SRC_PORT, &50_000u16.to_be_bytes());
                    ends.attribute(CTA_PROTO_DST_PORT, &25_565u16.to_be_bytes());
                });
            });
            entry.nest(CTA_PROTOINFO, |info| {
                info.nest(CTA_PROTOINFO_TCP, |tcp| tcp.attribute(CTA_PROTOINFO_TCP_STATE, &[state]));
            });
            entry.u32(CTA_STATUS, status);
        });
        messages(writer.bytes()).find_map(|message| established(message.attributes()))
    }

    #[test]
    fn only_open_connections_that_both_ends_know_are_read() {
        let connection = read(IPS_ASSURED | 2, TCP_CONNTRACK_ESTABLISHED, TCP).expect("it is open");
        assert_eq!((connection.client.to_string().as_str(), connection.client_port), ("192.0.2.7", 50_000));
        assert_eq!(connection.service.to_string(), "203.0.113.10:25565/tcp");
        assert_eq!(read(2, TCP_CONNTRACK_ESTABLISHED, TCP), None, "not assured");
        assert_eq!(read(IPS_ASSURED, 7, TCP), None, "closing");
        assert_eq!(read(IPS_ASSURED, TCP_CONNTRACK_ESTABLISHED, 17), None, "not TCP");
    }
}
