//! `ftagent status`.

use ftagent_api::client::Client;
use ftagent_api::views::IncidentView;
use ftagent_api::views::Status;

use super::Places;
use super::print;
use super::print::JsonFlag;
use crate::config;
use crate::exit::Exit;
use crate::exit::Failure;
use crate::exit::Outcome;

/// Prints the running agent's status.
pub(crate) fn run(places: &Places, json: JsonFlag) -> Outcome {
    let status = ask(places, async |client| client.status().await)?;
    if json.json { print::json(&status) } else { print::text(&shown(&status)) }
}

/// Asks the running agent something.
pub(super) fn ask<T>(
    places: &Places,
    question: impl AsyncFnOnce(&Client) -> Result<T, ftagent_api::ApiError>,
) -> Result<T, Failure> {
    let config = config::load(places)?;
    let client = Client::new(&config.socket())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(question(&client)).map_err(|error| match error {
        refused @ ftagent_api::ApiError::Refused { .. } => Failure::new(Exit::Usage, refused),
        absent @ ftagent_api::ApiError::NoAgent { .. } => {
            Failure::new(Exit::Environment, absent).hint("start it with `ftagent run`, as root")
        }
        other => Failure::new(Exit::Environment, other),
    })
}

fn shown(status: &Status) -> String {
    let mut text = format!(
        "ftagent {} (pid {}), up {} s, {} mode\n",
        status.version, status.pid, status.uptime_seconds, status.mode.node
    );
    if let Some(seconds) = status.mode.reverts_in_seconds {
        text += &format!(
            "  the mode goes back in {seconds} s unless confirmed with `ftagent mode {}`\n",
            status.mode.node
        );
    }
    for (server, mode) in &status.mode.servers {
        text += &format!("  {server}: {mode}\n");
    }
    for interface in &status.interfaces {
        text += &format!("watching {} ({}) with {}\n", interface.name, interface.because, status.capture);
    }
    text += &super::watch::node_line(status);
    text.push('\n');
    text += &super::services::shown(&status.services);
    status.incidents.iter().for_each(|incident| text += &attack(status, incident));
    text += &format!("\npackets   {}\n", flat(&status.packets));
    if !status.reasons.is_empty() {
        text += "reasons\n";
        for (reason, packets) in &status.reasons {
            text += &format!("  {:>12}  {reason}\n", print::count(*packets));
        }
    }
    text += &format!("firewall  {}\n\n", flat(&status.firewall));
    text += &super::plugins::shown(&status.plugins);
    for problem in &status.problems {
        text += &format!("\nproblem: {problem}");
    }
    if !status.problems.is_empty() {
        text.push('\n');
    }
    text
}

/// What goes on, what is done about it and for how long.
fn attack(status: &Status, incident: &IncidentView) -> String {
    let mut text = format!(
        "\nattack {} on {} ({}): {}\n  {} for {}, at most {} packets/s, {} dropped\n",
        incident.id,
        incident.target,
        incident.server,
        incident.says,
        super::shown_vector(incident),
        print::lasted(incident.lasted_ms),
        print::count(incident.peak_packets_per_second),
        print::count(incident.dropped_packets()),
    );
    let services = status.services.iter().filter(|service| super::watch::place(service) == incident.target);
    for measure in services.flat_map(|service| &service.measures) {
        text += &format!("  {}\n", super::watch::measure_clause(measure));
    }
    for because in incident.measures.iter().filter(|m| m.until_unix_ms.is_none()).flat_map(|m| &m.because) {
        text += &format!("  {because}\n");
    }
    if let Some(says) = &incident.beyond_this_node {
        text += &format!("  {says}\n");
    }
    text + &format!("  `ftagent incidents show {}` has everything\n", incident.id)
}

/// One line of `name value` pairs; nested values stay in `--json`.
fn flat(value: &serde_json::Value) -> String {
    let serde_json::Value::Object(fields) = value else { return value.to_string() };
    let simple = fields.iter().filter_map(|(name, value)| match value {
        serde_json::Value::Number(number) => Some(format!("{name} {number}")),
        serde_json::Value::String(text) => Some(format!("{name} {text}")),
        serde_json::Value::Bool(flag) => Some(format!("{name} {flag}")),
        _ => None,
    });
    simple.collect::<Vec<_>>().join(", ").replace('_', " ")
}
