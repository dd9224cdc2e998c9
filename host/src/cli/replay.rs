//! `ftagent replay`: the engine of the live agent with a printer in place of the enforcer.

mod service;
mod shown;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ftagent_capture::CaptureFile;
use ftagent_capture::Ended;
use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::Report;
use ftagent_core::Run;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Effects;
use ftagent_core::service::Services;
use serde::Serialize;

use super::Places;
use super::print;
use super::print::JsonFlag;
use crate::agent;
use crate::agent::plugins::PluginSet;
use crate::agent::seats::Seats;
use crate::config;
use crate::exit::Exit;
use crate::exit::Failure;
use crate::exit::Outcome;

use service::Wanted;

/// What to replay.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A pcap or pcapng file, also compressed with gzip; `-` for standard input
    file: PathBuf,
    /// What is protected: [ADDRESS:]PORT/tcp|udp=GAME (repeatable; without an address every address)
    #[arg(long = "service", value_name = "SERVICE", value_parser = service::parse)]
    wanted: Vec<Wanted>,
    /// Many services: a TOML file with `[[services]]` as in the configuration
    #[arg(long, value_name = "FILE")]
    services: Option<PathBuf>,
    /// End with exit code 1 if anything was judged hostile
    #[arg(long)]
    expect_clean: bool,
    /// Ask plugins after so many packets; the judgement of each packet does not depend on it
    #[arg(long, value_name = "PACKETS", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=256))]
    batch: u16,
    #[command(flatten)]
    json: JsonFlag,
}

/// One flow in `--json`.
#[derive(Serialize)]
struct Flow {
    source: IpAddr,
    source_port: u16,
    server: IpAddr,
    server_port: u16,
    proto: &'static str,
    game: Arc<str>,
    packets: u64,
    genuine: u64,
    hostile: u64,
    unknown: u64,
    standing: &'static str,
    verdict: &'static str,
    reasons: BTreeMap<Arc<str>, u64>,
}

#[derive(Serialize)]
struct Packets {
    total: u64,
    malformed: u64,
    unmatched: u64,
    replies: u64,
    genuine: u64,
    hostile: u64,
    unknown: u64,
}

/// What would have been enforced, by kind, service and reason.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Measure {
    measure: &'static str,
    service: String,
    source: Option<IpAddr>,
    reason: Arc<str>,
}

#[derive(Serialize)]
struct Document {
    schema: u32,
    file: String,
    ended: String,
    packets: Packets,
    malformed: BTreeMap<&'static str, u64>,
    reasons: BTreeMap<Arc<str>, u64>,
    losses: BTreeMap<&'static str, u64>,
    flows: Vec<Flow>,
    /// Flows beyond the bound of the list, and flows that made room for others while the file was read.
    flows_not_listed: u64,
    flows_listed_max: u64,
    would_enforce: Vec<Measure>,
    notices: Vec<Effect>,
}

/// Judges a capture file and prints what was found.
pub(crate) fn run(places: &Places, args: &Args) -> Outcome {
    let config = config::load(places)?;
    let mut plugins = PluginSet::built_in(agent::sandbox(&config)?)?;
    for refused in plugins.load_folder(&config.plugins_dir()) {
        print::say(&format!("warning: {refused}"));
    }
    let services = services(args, &config, &plugins)?;
    let capture = CaptureFile::open(&args.file).map_err(|error| Failure::new(Exit::Environment, error))?;
    let (report, asked, ended) = judge(capture, services, &plugins, args.batch);
    let whole = matches!(ended, Ended::Clean);
    if !whole {
        print::say(&format!("warning: {}: {ended}; what came before was judged", args.file.display()));
    }
    let hostile = report.packets.hostile;
    let document = document(args, report, asked, &ended);
    if args.json.json {
        print::json(&document)?
    } else {
        print::text(&shown::text(&document))?
    };
    let clean = whole && !(args.expect_clean && hostile > 0);
    Ok(if clean { Exit::Fine } else { Exit::No })
}

fn services(args: &Args, config: &config::Config, plugins: &PluginSet) -> Result<Services, Failure> {
    let (catalog, ..) = agent::open_catalog(&config.games_dir, &plugins.manifests());
    let mut wanted = args.wanted.clone();
    if let Some(file) = &args.services {
        wanted.extend(config::services(file)?.into_iter().map(Wanted::from));
    }
    if wanted.is_empty() {
        let error = anyhow::anyhow!("nothing to judge: no service was named");
        return Err(Failure::new(Exit::Usage, error).hint("for example --service 25565/tcp=minecraft-java"));
    }
    Ok(service::resolve(&wanted, &catalog, &mut |warning| print::say(&format!("warning: {warning}"))))
}

fn judge(
    mut capture: CaptureFile,
    services: Services,
    plugins: &PluginSet,
    batch: u16,
) -> (Report, Effects, Ended) {
    let engine_config = EngineConfig { batch_rows: usize::from(batch), ..EngineConfig::default() };
    let mut engine = Engine::new(engine_config, plugins.roster(), Arc::new(services));
    let mut seats = Seats::new(&plugins.plugins());
    let mut effects = Effects::default();
    let mut run = Run::default();
    while let Some(frame) = capture.next_frame() {
        run.hold(&frame);
        if run.is_full() {
            seats.take(&mut engine, &mut run, &mut effects);
        }
    }
    seats.take(&mut engine, &mut run, &mut effects);
    let end = engine.now();
    seats.answer_pending(&mut engine, end, &mut effects);
    engine.tick(end, &mut effects);
    let ended = capture.ended().cloned().unwrap_or(Ended::Clean);
    (engine.report(), effects, ended)
}

fn document(args: &Args, report: Report, asked: Effects, ended: &Ended) -> Document {
    let packets = &report.packets;
    let mut measures: Vec<_> = asked.asked.iter().filter_map(|(_, effect)| measure(effect)).collect();
    measures.sort();
    measures.dedup();
    let notices =
        asked.asked.into_iter().map(|(_, effect)| effect).filter(|e| matches!(e, Effect::Notice(_)));
    Document {
        schema: ftagent_api::SCHEMA,
        file: args.file.display().to_string(),
        ended: ended.to_string(),
        packets: Packets {
            total: packets.total,
            malformed: packets.malformed,
            unmatched: packets.unmatched,
            replies: packets.replies,
            genuine: packets.genuine,
            hostile: packets.hostile,
            unknown: packets.unknown,
        },
        malformed: report.malformed,
        reasons: report.reasons,
        losses: report.losses,
        flows_not_listed: report.flows_more + report.flows_forgotten,
        flows_listed_max: ftagent_core::limits::REPORT_FLOWS as u64,
        flows: report.flows.into_iter().map(flow).collect(),
        would_enforce: measures,
        notices: notices.collect(),
    }
}

fn flow(flow: ftagent_core::engine::FlowReport) -> Flow {
    Flow {
        source: flow.source,
        source_port: flow.source_port,
        server: flow.server,
        server_port: flow.server_port,
        proto: flow.proto.name(),
        game: flow.game,
        packets: flow.packets,
        genuine: flow.genuine,
        hostile: flow.hostile,
        unknown: flow.unknown,
        standing: flow.standing.name(),
        verdict: flow.verdict.name(),
        reasons: flow.reasons,
    }
}

fn measure(effect: &Effect) -> Option<Measure> {
    let measure = |measure, service: String, source, reason: &Arc<str>| {
        Some(Measure { measure, service, source, reason: reason.clone() })
    };
    match effect {
        Effect::Lease(lease) => {
            let place = match lease.scope {
                ftagent_core::effect::Scope::Service(service) => service.to_string(),
                ftagent_core::effect::Scope::Node => "the whole node".to_owned(),
            };
            measure("lease", place, Some(lease.source), &lease.reason)
        }
        Effect::CrowdLimit(limit) => measure("crowd-limit", limit.service.to_string(), None, &limit.reason),
        Effect::ShapeDrop(drop) => measure("shape-drop", drop.service.to_string(), None, &drop.reason),
        Effect::SecondTry(tries) => measure("second-try", tries.service.to_string(), None, &tries.reason),
        Effect::BucketLimit(limit) => measure("bucket-limit", limit.service.to_string(), None, &limit.reason),
        Effect::SynProxy(proxy) => measure("syn-proxy", proxy.service.to_string(), None, &proxy.reason),
        Effect::Lane(_) | Effect::Notice(_) => None,
    }
}
