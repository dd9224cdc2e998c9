//! `ftagent block`, `unblock`, `allow` and `blocks`.

use ftagent_api::views::BlockChange;
use ftagent_api::views::BlockView;
use ftagent_api::views::Ruling;
use serde::Serialize;

use super::Places;
use super::print;
use super::print::JsonFlag;
use crate::exit::Exit;
use crate::exit::Failure;
use crate::exit::Outcome;
use crate::prefix;
use crate::prefix::Network;

/// A network and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An address or a network, such as 198.51.100.7 or 198.51.100.0/24
    prefix: Network,
    /// End after this time (90s, 10m, 1h); without it when it is taken back with `unblock`
    #[arg(long = "for", value_name = "TIME", value_parser = print::seconds)]
    for_seconds: Option<u64>,
}

/// A network.
#[derive(Debug, clap::Args)]
pub(crate) struct Unblock {
    /// The address or network that was blocked or allowed by hand
    prefix: Network,
}

#[derive(Serialize)]
struct Document {
    schema: u32,
    blocks: Vec<BlockView>,
}

/// Blocks or allows a network.
pub(crate) fn rule(places: &Places, args: &Args, ruling: Ruling) -> Outcome {
    let network = args.prefix.0;
    if ruling == Ruling::Block {
        prefix::may_be_blocked(network).map_err(|why| {
            Failure::new(Exit::Usage, anyhow::anyhow!("{network} cannot be blocked: {why}"))
        })?;
    }
    change(places, network.to_string(), Some(ruling), args.for_seconds)
}

/// Takes back what was said of a network by hand.
pub(crate) fn unblock(places: &Places, args: &Unblock) -> Outcome {
    change(places, args.prefix.0.to_string(), None, None)
}

/// Lists them.
pub(crate) fn list(places: &Places, json: JsonFlag) -> Outcome {
    let blocks = super::status::ask(places, async |client| client.blocks().await)?;
    if json.json {
        print::json(&Document { schema: ftagent_api::SCHEMA, blocks })
    } else {
        print::text(&shown(&blocks))
    }
}

fn change(places: &Places, prefix: String, ruling: Option<Ruling>, for_seconds: Option<u64>) -> Outcome {
    let change = BlockChange { prefix, ruling, for_seconds };
    let blocks = super::status::ask(places, async |client| client.change_block(&change).await)?;
    print::text(&shown(&blocks))
}

fn shown(blocks: &[BlockView]) -> String {
    if blocks.is_empty() {
        return "nothing is blocked or allowed by hand or in the configuration\n".to_owned();
    }
    let mut rows = vec![["NETWORK", "RULING", "ENDS", "ORIGIN"].map(str::to_owned).to_vec()];
    for block in blocks {
        let ends = block.seconds_left.map(|seconds| format!("in {}", print::lasted(seconds * 1_000)));
        let ends = ends.unwrap_or_else(|| "when it is taken back".to_owned());
        rows.push(vec![block.prefix.clone(), block.ruling.to_string(), ends, block.origin.clone()]);
    }
    print::table(&rows)
}
