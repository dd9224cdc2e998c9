//! A plugin: from the bytes of a component to something that can be asked.

use std::fmt;
use std::str;
use std::sync::Arc;

use ftagent_core::manifest::Manifest;
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::StoreLimitsBuilder;
use wasmtime::component::Component;
use wasmtime::component::Linker;

use crate::anatomy;
use crate::anatomy::Anatomy;
use crate::anatomy::Export;
use crate::contract::Contract;
use crate::contract::Pre;
use crate::contract::Store;
use crate::limits;
use crate::manifest;
use crate::manifest::Fault;
use crate::refusal::Refusal;
use crate::seat::Live;
use crate::seat::Seat;

/// SHA-256 of a component's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(<Sha256 as sha2::Digest>::digest(bytes).into())
    }

    /// As bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A plugin that was checked, compiled and started once. Shared by all shards.
pub struct Plugin {
    manifest: Arc<Manifest>,
    contract: Contract,
    digest: Digest,
    pre: Pre,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plugin({} {}, {})", self.manifest.name, self.manifest.version, self.digest)
    }
}

impl Plugin {
    pub(crate) fn load(engine: &Engine, bytes: &[u8]) -> Result<Self, Refusal> {
        let (found, outcome) = anatomy::read(bytes);
        outcome?;
        let (manifest, contract) = check(&found)?;
        let component =
            Component::new(engine, bytes).map_err(|cause| Refusal::Invalid { says: format!("{cause:#}") })?;
        let pre = Linker::new(engine)
            .instantiate_pre(&component)
            .map_err(|cause| Refusal::Invalid { says: format!("{cause:#}") })?;
        let plugin = Self { manifest: Arc::new(manifest), contract, digest: Digest::of(bytes), pre };
        let (mut store, instance) =
            plugin.instantiate().map_err(|cause| Refusal::CannotStart { says: format!("{cause:#}") })?;
        let typed = contract.function(&mut store, &instance);
        typed
            .map_err(|cause| Refusal::Contract { contract: contract.major(), says: format!("{cause:#}") })?;
        Ok(plugin)
    }

    /// What it declares.
    pub const fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// The contract that it was made for.
    pub const fn contract(&self) -> Contract {
        self.contract
    }

    /// Which component it is.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// A seat for one shard. Fails where the memory for instances is used up.
    pub fn seat(self: &Arc<Self>) -> Result<Seat, Refusal> {
        let live = self.start().map_err(|cause| Refusal::CannotStart { says: format!("{cause:#}") })?;
        Ok(Seat::new(Arc::clone(self), live))
    }

    /// A fresh instance.
    pub(crate) fn start(&self) -> wasmtime::Result<Live> {
        let (mut store, instance) = self.instantiate()?;
        let classify = self.contract.function(&mut store, &instance)?;
        Ok(Live { store, classify })
    }

    fn instantiate(&self) -> wasmtime::Result<(Store, wasmtime::component::Instance)> {
        let bounds = StoreLimitsBuilder::new()
            .memory_size(limits::MEMORY_BYTES)
            .table_elements(limits::TABLE_ELEMENTS)
            .memories(1)
            .tables(2)
            .instances(limits::CORE_INSTANCES as usize)
            .build();
        let mut store = Store::new(self.pre.engine(), bounds);
        store.limiter(|bounds| bounds);
        store.set_fuel(limits::FUEL_TO_START)?;
        store.set_hostcall_fuel(limits::ANSWER_SLACK_BYTES);
        let instance = self.pre.instantiate(&mut store)?;
        Ok((store, instance))
    }
}

/// What can be told of a file without compiling or running it.
#[derive(Debug)]
pub struct Inspection {
    /// Which component it is.
    pub digest: Digest,
    /// Its size.
    pub bytes: usize,
    /// What its manifest names as contract, if it has a manifest.
    pub contract: Option<String>,
    /// Its manifest, if it has one without faults.
    pub manifest: Option<Manifest>,
    /// What it imports: nothing, in a plugin.
    pub imports: Vec<String>,
    /// Imports that are mere names of types and bring nothing in.
    pub type_names: Vec<String>,
    /// What it exports.
    pub exports: Vec<Export>,
    /// Why it would be refused, as far as can be told without compiling it.
    pub refusal: Option<Refusal>,
}

/// Looks into a file, also into one that would be refused.
pub fn inspect(bytes: &[u8]) -> Inspection {
    let (found, outcome) = anatomy::read(bytes);
    let (manifest, refusal) = match outcome.and_then(|()| check(&found)) {
        Ok((manifest, _)) => (Some(manifest), None),
        Err(refusal) => {
            (manifest_text(&found).ok().and_then(|text| manifest::read(text).ok()), Some(refusal))
        }
    };
    Inspection {
        digest: Digest::of(bytes),
        bytes: bytes.len(),
        contract: manifest_text(&found).ok().and_then(manifest::contract),
        manifest,
        imports: found.imports,
        type_names: found.type_names,
        exports: found.exports,
        refusal,
    }
}

/// Everything that can be refused without a compiler.
fn check(found: &Anatomy<'_>) -> Result<(Manifest, Contract), Refusal> {
    if !found.imports.is_empty() {
        return Err(Refusal::Imports { names: found.imports.clone() });
    }
    let text = manifest_text(found)?;
    let contract = match manifest::contract(text) {
        Some(written) => Contract::find(&written).ok_or(Refusal::UnknownContract { found: written })?,
        // The faults will say that it is missing.
        None => Contract::V1,
    };
    let manifest = manifest::read(text).map_err(|faults| Refusal::Manifest { faults })?;
    contract.check_exports(&found.exports)?;
    Ok((manifest, contract))
}

fn manifest_text<'a>(found: &Anatomy<'a>) -> Result<&'a str, Refusal> {
    let bytes = match found.manifests.as_slice() {
        [] => return Err(Refusal::NoManifest),
        [one] => one,
        many => return Err(Refusal::ManyManifests { count: many.len() }),
    };
    str::from_utf8(bytes).map_err(|cause| {
        let fault = Fault {
            line: 1,
            column: cause.valid_up_to() + 1,
            says: "the manifest is no UTF-8 text".to_owned(),
        };
        Refusal::Manifest { faults: vec![fault] }
    })
}
