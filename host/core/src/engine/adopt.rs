//! Players who were connected before the engine began.

use super::Engine;
use crate::connection::Connection;
use crate::effect::Effects;
use crate::flow::FlowKey;
use crate::standing::Standing;
use crate::time::Instant;
use crate::wire::Address;

impl Engine {
    /// Takes over connections that stand, so that who plays has a lane from the first second on. Those that lead to
    /// no known service are passed over; each service settles no more of them than it may.
    pub fn adopt(&mut self, at: Instant, connections: &[Connection], effects: &mut Effects) {
        self.tick(at, effects);
        for connection in connections {
            let service = connection.service;
            let server = Address::from(service.ip);
            let Some(site) = self.places.find(server, service.port, service.transport) else { continue };
            let key = FlowKey {
                client: Address::from(connection.client),
                server,
                client_port: connection.client_port,
                server_port: service.port,
                transport: service.transport,
            };
            let Some((flow_at, _)) = self.open_flow((key, self.flows.spot(&key)), site, at) else { continue };
            if let Some(flow) = self.flows.get_mut(flow_at) {
                flow.tcp.adopt();
                flow.standing.set(Standing::Proven, self.epoch);
            }
            self.lift(flow_at, at, effects);
        }
    }
}
