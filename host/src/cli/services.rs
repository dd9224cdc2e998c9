//! `ftagent services`: from the running agent, or by looking once when none runs.

use ftagent_api::views::ServiceView;
use serde::Serialize;

use super::Places;
use super::print;
use super::print::JsonFlag;
use crate::exit::Exit;
use crate::exit::Outcome;

#[derive(Serialize)]
struct Document {
    schema: u32,
    services: Vec<ServiceView>,
}

/// Prints the services.
pub(crate) fn run(places: &Places, json: JsonFlag) -> Outcome {
    let services = match super::status::ask(places, async |client| client.status().await) {
        Ok(status) => status.services,
        Err(failure) if failure.exit == Exit::Environment => {
            print::say("no agent is running; looking once at Docker and the configuration");
            crate::agent::look_once(places)?
        }
        Err(failure) => return Err(failure),
    };
    if json.json {
        print::json(&Document { schema: ftagent_api::SCHEMA, services })
    } else {
        print::text(&shown(&services))
    }
}

/// A table of services.
pub(super) fn shown(services: &[ServiceView]) -> String {
    if services.is_empty() {
        return "no published ports found\n".to_owned();
    }
    let heading = [
        "SERVICE",
        "GAME",
        "ROLE",
        "JUDGED BY",
        "MODE",
        "GENUINE",
        "HOSTILE",
        "UNKNOWN",
        "PLAYERS",
        "SERVER",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for service in services {
        let address = std::net::SocketAddr::new(service.address, service.port);
        rows.push(vec![
            format!("{address}/{}", service.protocol),
            service.game.clone(),
            service.role.clone(),
            service.judged_by.clone(),
            if service.under_attack {
                format!("{} (attacked)", service.mode)
            } else {
                service.mode.to_string()
            },
            print::count(service.genuine),
            print::count(service.hostile),
            print::count(service.unknown),
            service.players.to_string(),
            service.server.clone(),
        ]);
    }
    print::table(&rows)
}
