//! What operators blocked and allowed by hand, as MessagePack: first the version of the form, then the form.

use std::path::Path;
use std::path::PathBuf;

use ftagent_api::views::Ruling;
use ipnet::IpNet;
use serde::Deserialize;
use serde::Serialize;

use super::file;

/// Version of the file's form; another version is not read.
const VERSION: u32 = 1;

/// One network that somebody ruled on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) network: IpNet,
    pub(crate) ruling: Ruling,
    /// In seconds since 1970, because it must hold over a reboot; none until it is taken back.
    pub(crate) ends_unix_seconds: Option<u64>,
}

/// Reads them. A file that cannot be read is set aside: the text is the warning.
pub(crate) fn read(state_dir: &Path) -> Result<Vec<Block>, String> {
    file::read_form(&path(state_dir), VERSION).map(Option::unwrap_or_default)
}

/// Writes them, all or none.
pub(crate) fn write(state_dir: &Path, blocks: &[Block]) -> anyhow::Result<()> {
    file::write_form(&path(state_dir), VERSION, &blocks)
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("blocks.mp")
}
