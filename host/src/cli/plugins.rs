//! `ftagent plugins`.

use std::path::PathBuf;

use clap::Subcommand;
use ftagent_api::views::PluginView;
use ftagent_core::manifest::Manifest;
use ftagent_sandbox::Inspection;
use serde::Serialize;

use super::Places;
use super::print;
use super::print::JsonFlag;
use crate::agent::plugins::PluginSet;
use crate::config;
use crate::exit::Exit;
use crate::exit::Failure;
use crate::exit::Outcome;

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the plugins with their health, from the running agent or from the folder
    List(JsonFlag),
    /// Show a component's manifest, contract version, imports and size, and whether it would be loaded
    Inspect {
        /// The component
        file: PathBuf,
        #[command(flatten)]
        json: JsonFlag,
    },
}

#[derive(Serialize)]
struct Document<T> {
    schema: u32,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize)]
struct List {
    plugins: Vec<PluginView>,
}

/// A component from outside.
#[derive(Serialize)]
struct Inspected<'i> {
    digest: String,
    bytes: usize,
    contract: Option<&'i str>,
    imports: &'i [String],
    exports: Vec<String>,
    manifest: Option<&'i Manifest>,
    refused: Option<String>,
}

impl<'i> From<&'i Inspection> for Inspected<'i> {
    fn from(inspection: &'i Inspection) -> Self {
        Self {
            digest: inspection.digest.to_string(),
            bytes: inspection.bytes,
            contract: inspection.contract.as_deref(),
            imports: &inspection.imports,
            exports: inspection.exports.iter().map(|export| export.name.clone()).collect(),
            manifest: inspection.manifest.as_ref(),
            refused: inspection.refusal.as_ref().map(ToString::to_string),
        }
    }
}

/// `ftagent plugins list` and `inspect`.
pub(crate) fn run(places: &Places, command: &Command) -> Outcome {
    match command {
        Command::List(json) => list(places, *json),
        Command::Inspect { file, json } => inspect(file, *json),
    }
}

fn list(places: &Places, json: JsonFlag) -> Outcome {
    let plugins = match super::status::ask(places, async |client| client.status().await) {
        Ok(status) => status.plugins,
        Err(failure) if failure.exit == Exit::Environment => {
            let config = config::load(places)?;
            let mut set = PluginSet::built_in(crate::agent::sandbox(&config)?)?;
            set.load_folder(&config.plugins_dir());
            set.views(&[])
        }
        Err(failure) => return Err(failure),
    };
    if json.json {
        return print::json(&Document { schema: ftagent_api::SCHEMA, content: List { plugins } });
    }
    print::text(&shown(&plugins))
}

fn inspect(file: &std::path::Path, json: JsonFlag) -> Outcome {
    let component =
        std::fs::read(file).map_err(|error| anyhow::anyhow!("failed to read {}: {error}", file.display()))?;
    let inspection = ftagent_sandbox::inspect(&component);
    if json.json {
        print::json(&Document { schema: ftagent_api::SCHEMA, content: Inspected::from(&inspection) })?;
    } else {
        print::text(&described(&inspection))?;
    }
    match &inspection.refusal {
        None => Ok(Exit::Fine),
        Some(why) => {
            let error = anyhow::anyhow!("{} would be refused: {why}", file.display());
            Err(Failure::new(Exit::PluginRefused, error))
        }
    }
}

fn described(inspection: &Inspection) -> String {
    let Inspected { digest, bytes, contract, imports, exports, manifest, .. } = inspection.into();
    let none_or = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let mut text = format!(
        "size      {} bytes\ndigest    {digest}\ncontract  {}\nimports   {}\nexports   {}\n",
        print::count(bytes as u64),
        contract.unwrap_or("none named"),
        none_or(imports),
        none_or(&exports),
    );
    let Some(manifest) = manifest else { return text + "manifest  none that could be read\n" };
    text += &format!(
        "name      {} {}\nabout     {}\nlicence   {}\nauthors   {}\nwants     {} payload bytes, {} bytes of stream head, \
         replies {}, {} fuel a packet\n",
        manifest.name,
        manifest.version,
        manifest.summary,
        manifest.license,
        manifest.authors.join(", "),
        manifest.payload_bytes,
        manifest.stream_head,
        if manifest.replies { "yes" } else { "no" },
        manifest.fuel_per_packet,
    );
    let mut rows = vec![["REASON", "CERTAINTY", "SAYS"].map(str::to_owned).to_vec()];
    for reason in &manifest.reasons {
        let certainty = format!("{:?}", reason.certainty).to_lowercase();
        rows.push(vec![reason.name.to_string(), certainty, reason.says.to_string()]);
    }
    text + "\n" + &print::table(&rows)
}

/// A table of plugins.
pub(super) fn shown(plugins: &[PluginView]) -> String {
    let heading = ["PLUGIN", "VERSION", "CONTRACT", "BYTES", "HEALTH", "FROM"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for plugin in plugins {
        rows.push(vec![
            plugin.name.clone(),
            plugin.version.clone(),
            plugin.contract.to_string(),
            print::count(plugin.bytes),
            plugin.health.clone(),
            plugin.origin.clone(),
        ]);
    }
    let mut text = print::table(&rows);
    for plugin in plugins {
        if let Some(trouble) = &plugin.trouble {
            text += &format!("{}: {trouble}\n", plugin.name);
        }
    }
    text
}
