//! The contracts that this host speaks, one module for each frozen folder of `wit/`.
//!
//! A second major version is a second module and one more variant here; it converts its own rows to and from
//! those of `ftagent_core::question`, so that nothing else has to know.

mod v1;

use ftagent_core::question::Answer;
use ftagent_core::question::Batch;
use wasmtime::StoreLimits;
use wasmtime::component::Instance;
use wasmtime::component::InstancePre;

use crate::anatomy::Export;
use crate::refusal::Refusal;

/// The contracts by their names, for people.
pub(crate) const KNOWN: &str = "\"1\"";

/// A major version of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contract {
    /// `wit/v1`.
    V1,
}

impl Contract {
    /// The contract that a manifest names.
    pub fn find(written: &str) -> Option<Self> {
        match written {
            "1" => Some(Self::V1),
            _ => None,
        }
    }

    /// Its major version.
    pub const fn major(self) -> u16 {
        match self {
            Self::V1 => 1,
        }
    }

    /// Checks the names of what a component exports, before it is compiled. Types are checked at its first start.
    pub(crate) fn check_exports(self, exports: &[Export]) -> Result<(), Refusal> {
        let name = match self {
            Self::V1 => v1::CLASSIFY,
        };
        let says = match exports.iter().find(|export| export.name == name) {
            Some(export) if export.kind == "func" => return Ok(()),
            Some(export) => format!("`{name}` is no function but {}", export.kind),
            None => format!("it exports no function `{name}`"),
        };
        Err(Refusal::Contract { contract: self.major(), says })
    }

    /// Finds the exported function in a new instance.
    pub(crate) fn function(self, store: &mut Store, instance: &Instance) -> wasmtime::Result<Classify> {
        match self {
            Self::V1 => v1::function(store, instance).map(Classify::V1),
        }
    }
}

/// Gives back the memory of an answer that nobody needs any more, for the next one on this thread.
pub(crate) fn recycle(answer: Answer) {
    v1::recycle(answer);
}

/// What belongs to an instance beside its memory: the bounds of that memory.
pub(crate) type Store = wasmtime::Store<StoreLimits>;

/// A linked component.
pub(crate) type Pre = InstancePre<StoreLimits>;

/// The function that judges, of one instance.
pub(crate) enum Classify {
    V1(v1::Function),
}

impl Classify {
    /// Asks. The answer is as long as the plugin made it and is not checked yet.
    pub(crate) fn call(&self, store: &mut Store, batch: &Batch) -> wasmtime::Result<Answer> {
        match self {
            Self::V1(function) => v1::call(function, store, batch),
        }
    }
}
