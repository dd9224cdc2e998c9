//! The short set of the lab: six scenarios of eight seconds on one node with one dockerd, real servers and real clients.
//! Times depend on what else the machine does and are printed, not asserted. Needs root, Docker, Node and Python.

use std::time::Duration;

use ftagent_lab::Clients;
use ftagent_lab::scenario;
use ftagent_lab::scenario::Outcome;
use ftagent_lab::scenario::Plan;
use ftagent_lab::scenario::table;

const SET: [&str; 6] =
    ["forged-udp-random", "syn-no-options", "null-pings", "dns-reflection", "raknet-ping", "three-vectors"];
/// Players' packets that may be lost, in millionths: a test machine is busy with other things too.
const LOST_PPM_MAX: u64 = 20_000;
/// Attack packets that may still reach the containers once the defence had two seconds, in thousandths.
const REACHED_PERMILLE_MAX: u64 = 100;

#[test]
fn players_are_kept_and_junk_is_stopped() {
    let clients = Clients::fetch_default().expect("downloads");
    let scenarios: Vec<_> =
        table::all(true).into_iter().filter(|scenario| SET.contains(&scenario.name)).collect();
    assert_eq!(scenarios.len(), SET.len(), "a scenario was renamed");
    let plan = Plan {
        program: env!("CARGO_BIN_EXE_ftagent").into(),
        clients: &clients,
        scenarios,
        lasting: Duration::from_secs(8),
        undefended_only: false,
        defended_only: true,
        more_onsets: 0,
        attack_command: None,
        say: &|text| println!("{text}"),
    };
    let report = scenario::run(&plan).expect("the lab runs");
    println!("{}", report.table());
    let faults: Vec<String> =
        report.rows.iter().flat_map(|row| faults(row.name, row.defended.as_ref())).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What must not be, whatever the machine does.
fn faults(name: &str, outcome: Option<&Outcome>) -> Vec<String> {
    let Some(outcome) = outcome else { return vec![format!("{name} did not run")] };
    let (joins, lost) = (&outcome.joins, outcome.lost_ppm());
    let faults = [
        (
            lost > LOST_PPM_MAX,
            format!("{} of {} players' packets lost", outcome.players_lost, outcome.players_sent),
        ),
        // The many light players beside the real clients lose heart after five seconds without a word of a server that
        // shares this machine's processors with the flood: that is a time, and printed.
        (outcome.real.disconnected > 0, format!("{} real clients disconnected", outcome.real.disconnected)),
        (
            outcome.later_permille() > REACHED_PERMILLE_MAX,
            format!("{} ‰ still reach the servers", outcome.later_permille()),
        ),
        (
            joins.joined * 10 < joins.tried * 9,
            format!("{} of {} newcomers joined", joins.joined, joins.tried),
        ),
        (
            !outcome.genuine_leased.is_empty(),
            format!("players leased: {}", outcome.genuine_leased.join(", ")),
        ),
    ];
    faults.into_iter().filter(|(is, _)| *is).map(|(_, says)| format!("{name}: {says}")).collect()
}
