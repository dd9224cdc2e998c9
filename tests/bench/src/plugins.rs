//! The six plugins twice: as the prebuilt components that the program carries, and as ordinary Rust.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use ftagent_core::Engine;
use ftagent_core::PluginIndex;
use ftagent_core::Roster;
use ftagent_core::Run;
use ftagent_core::effect::Effects;
use ftagent_core::question::Answer;
use ftagent_core::question::NoOpinion;
use ftagent_core::time::Instant;
use ftagent_plugin::rows;
use ftagent_sandbox::Plugin;
use ftagent_sandbox::Sandbox;
use ftagent_sandbox::Seat;

/// A plugin's exported function, compiled for this machine.
pub(crate) type Native = fn(&[rows::Source], &[rows::Flow], &[rows::Packet], &[u8]) -> rows::Answer;

/// All plugins by name.
pub(crate) const NATIVE: [(&str, Native); 6] = [
    ("minecraft-java", ftagent_plugin_minecraft_java::classify),
    ("minecraft-bedrock", ftagent_plugin_minecraft_bedrock::classify),
    ("rust", ftagent_plugin_rust::classify),
    ("fivem", ftagent_plugin_fivem::classify),
    ("source-query", ftagent_plugin_source_query::classify),
    ("generic", ftagent_plugin_generic::classify),
];

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Loads the prebuilt components in the order of [`NATIVE`].
pub(crate) fn load(cache: Option<&Path>) -> anyhow::Result<Vec<Arc<Plugin>>> {
    let config = ftagent_sandbox::Config { cache: cache.map(Path::to_path_buf), ..Default::default() };
    let sandbox = Sandbox::new(&config).context("cannot start the sandbox")?;
    let mut plugins = Vec::new();
    for (name, _) in NATIVE {
        let path = root().join("plugins/prebuilt").join(format!("{name}.wasm"));
        let bytes = std::fs::read(&path)
            .with_context(|| format!("cannot read {}: run `cargo xtask plugins`", path.display()))?;
        plugins.push(sandbox.load(&bytes).with_context(|| format!("cannot load {name}"))?);
    }
    Ok(plugins)
}

/// What the engine needs to know of them.
pub(crate) fn roster(plugins: &[Arc<Plugin>]) -> Arc<Roster> {
    Arc::new(Roster::new(plugins.iter().map(|plugin| Arc::clone(plugin.manifest())).collect()))
}

/// One seat for each plugin, and the time spent in them.
pub(crate) struct Seats {
    seats: Vec<Seat>,
    answer: Answer,
    /// Time within plugins, by the wall clock.
    pub(crate) spent: std::time::Duration,
    /// Batches without an opinion.
    pub(crate) failed: u64,
    /// Batches asked.
    pub(crate) batches: u64,
}

impl Seats {
    pub(crate) fn new(plugins: &[Arc<Plugin>]) -> anyhow::Result<Self> {
        let seats = plugins.iter().map(Plugin::seat).collect::<Result<_, _>>().context("no seat")?;
        Ok(Self { seats, answer: Answer::default(), spent: Default::default(), failed: 0, batches: 0 })
    }

    /// Hands a run to the engine and answers what is due in between.
    pub(crate) fn take(&mut self, engine: &mut Engine, run: &mut Run, effects: &mut Effects) {
        engine.look_ahead(run);
        let mut at = 0;
        while at < run.len() {
            at = engine.run(run, at, effects);
            self.answer_full(engine, engine.now(), effects);
        }
        run.clear();
    }

    /// Answers every batch that is full.
    pub(crate) fn answer_full(&mut self, engine: &mut Engine, now: Instant, effects: &mut Effects) {
        while let Some(plugin) = engine.full() {
            self.ask(engine, plugin, now, effects);
        }
    }

    /// Answers whatever waits.
    pub(crate) fn answer_pending(&mut self, engine: &mut Engine, now: Instant, effects: &mut Effects) {
        while let Some(plugin) = engine.pending() {
            self.ask(engine, plugin, now, effects);
        }
    }

    fn ask(&mut self, engine: &mut Engine, plugin: PluginIndex, now: Instant, effects: &mut Effects) {
        let begun = std::time::Instant::now();
        let opinion: Result<(), NoOpinion> =
            self.seats[plugin.get()].classify(now, engine.batch(plugin), &mut self.answer);
        self.spent += begun.elapsed();
        self.batches += 1;
        self.failed += u64::from(opinion.is_err());
        engine.answer(plugin, opinion.map(|()| &self.answer), effects);
    }
}
