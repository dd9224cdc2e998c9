//! The one configuration of wasmtime, and the memory that instances live in.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::Cache;
use wasmtime::CacheConfig;
use wasmtime::Engine;
use wasmtime::InstanceAllocationStrategy;
use wasmtime::PoolingAllocationConfig;

use crate::limits;
use crate::plugin::Plugin;
use crate::refusal::Refusal;
use crate::refusal::StartError;

/// What a caller may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where compiled code is kept between starts; nowhere without it. Whoever can write there runs code as us, so
    /// it must belong to us and be closed to all others; it is made so if it is not there.
    pub cache: Option<PathBuf>,
    /// Seats at one time: plugins times shards, with room for the old and the new of one that is being replaced.
    pub seats: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { cache: None, seats: limits::SEATS }
    }
}

/// How instances get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// From a pool of address space that was reserved at start, for so many seats.
    Pooled {
        /// How many.
        seats: u32,
    },
    /// Each by itself, because the address space for a pool was not to be had (`RLIMIT_AS`, small machines).
    /// Slower at a start and, because of explicit bounds checks, while judging.
    OnDemand,
}

/// Everything that plugins run in. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Sandbox {
    engine: Engine,
    allocation: Allocation,
}

impl Sandbox {
    /// Reserves memory and opens the cache. No plugin is loaded yet.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        let cache = config.cache.as_deref().map(open_cache).transpose()?;
        let (engine, allocation) = start(config.seats.max(1), cache)?;
        Ok(Self { engine, allocation })
    }

    /// Checks, compiles and starts a plugin once. What is refused has left nothing behind.
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, Refusal> {
        Plugin::load(&self.engine, bytes).map(Arc::new)
    }

    /// How instances get their memory.
    pub const fn allocation(&self) -> Allocation {
        self.allocation
    }
}

/// Tries a pool of the wanted size, then smaller ones, then none.
fn start(seats: u32, cache: Option<Cache>) -> Result<(Engine, Allocation), StartError> {
    let tries = [seats, seats.div_ceil(8), seats.div_ceil(64)];
    for seats in tries {
        let mut config = settings(cache.clone());
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(seats)));
        if let Ok(engine) = Engine::new(&config) {
            return Ok((engine, Allocation::Pooled { seats }));
        }
    }
    let mut config = settings(cache);
    // Without a pool there is no room for the 4 GiB that make bounds checks free either.
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config.memory_reservation(0);
    config.memory_guard_size(0);
    config.guard_before_linear_memory(false);
    config.memory_reservation_for_growth(1 << 20);
    let engine = Engine::new(&config).map_err(|cause| StartError::Engine { says: format!("{cause:#}") })?;
    Ok((engine, Allocation::OnDemand))
}

fn settings(cache: Option<Cache>) -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        .cache(cache)
        // A budget by fuel is exact and repeatable; one by the clock punishes good plugins on a busy machine.
        .consume_fuel(true)
        // Typed calls without component concurrency cost 0.2 µs instead of 0.8.
        .concurrency_support(false)
        .wasm_memory64(false)
        .shared_memory(false)
        // The same rows give the same opinions on every machine.
        .relaxed_simd_deterministic(true)
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(limits::STACK_BYTES)
        // A trap's name is all that is reported of it; collecting frames would make each trap dearer.
        .wasm_backtrace_max_frames(None);
    config
}

fn pool(seats: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let cores = seats.saturating_mul(limits::CORE_INSTANCES);
    pool.total_component_instances(seats)
        .total_core_instances(cores)
        .total_memories(seats)
        .total_tables(seats.saturating_mul(2))
        .max_core_instances_per_component(limits::CORE_INSTANCES)
        .max_memories_per_component(1)
        .max_tables_per_component(2)
        .max_memories_per_module(1)
        .max_tables_per_module(2)
        .table_elements(limits::TABLE_ELEMENTS)
        .max_memory_size(limits::MEMORY_BYTES);
    pool
}

fn open_cache(folder: &Path) -> Result<Cache, StartError> {
    let failed = |op| move |source| StartError::Cache { op, path: folder.to_owned(), source };
    let ours = |says: String| StartError::CacheNotOurs { path: folder.to_owned(), says };
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(failed("making")(cause)),
        _ => {}
    }
    // `symlink_metadata`: a link could be turned elsewhere after this look.
    let found = std::fs::symlink_metadata(folder).map_err(failed("reading"))?;
    let me = std::fs::metadata("/proc/self").map_err(failed("finding out who owns"))?.uid();
    if !found.is_dir() {
        return Err(ours("it is no folder".to_owned()));
    }
    if found.uid() != me {
        return Err(ours(format!("it belongs to user {}", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        return Err(ours(format!("its mode is {:04o}", found.mode() & 0o7777)));
    }
    let mut config = CacheConfig::new();
    config.with_directory(std::fs::canonicalize(folder).map_err(failed("reading"))?);
    Cache::new(config).map_err(|cause| StartError::Engine { says: format!("{cause:#}") })
}
