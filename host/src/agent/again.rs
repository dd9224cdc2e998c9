//! How a life ends without a gap in protection: what stands in the kernel stays, and the next life adopts it.
//!
//! ```text
//! SIGTERM, SIGINT  everything is withdrawn                               `systemctl stop`
//! SIGUSR1          everything stays, the process ends                    `systemctl restart`, an upgrade
//! SIGHUP           everything stays, the program file is begun anew      `systemctl reload`
//!                  in the same process, if it and the configuration are sound
//! ```
//!
//! Whatever stays ends by itself within 11 s if no next life comes. A life that ends by a failure leaves it, too: the
//! service unit begins another at once.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use anyhow::ensure;

use crate::config::Config;

/// What becomes of what stands in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// It is withdrawn.
    Withdraw,
    /// It stays for a next process.
    Leave,
    /// It stays for the next life of this process.
    Again,
}

/// The program file and the arguments that this life was begun with.
pub(super) struct Again {
    /// As it was called at the start: a file that was replaced since has another number, but still this name.
    program: PathBuf,
    config: Option<PathBuf>,
}

impl Again {
    /// To be asked for at the start, before anybody can have replaced the file.
    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("failed to find the program's own file")?;
        Ok(Self { program, config: config.file.clone() })
    }

    /// Whether the file that is there now runs and likes the configuration that is there now.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let mut check = Command::new(&self.program);
        if let Some(file) = &self.config {
            check.arg("--config").arg(file);
        }
        let checked = check.args(["config", "check"]).output();
        let checked = checked.with_context(|| format!("failed to run {}", self.program.display()))?;
        let says = String::from_utf8_lossy(&checked.stderr);
        ensure!(checked.status.success(), "{}", says.trim_end());
        Ok(())
    }

    /// Begins the next life; returns only why that failed.
    pub(super) fn begin(&self) -> anyhow::Error {
        let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        let error = Command::new(&self.program).args(arguments).exec();
        anyhow::Error::from(error).context(format!("failed to begin {} anew", self.program.display()))
    }
}

/// Tells whoever started this as a service how it is: `READY=1`, `RELOADING=1`, `STOPPING=1` (sd_notify(3)). Without
/// a service there is nobody to tell.
pub(super) fn tell_service(how: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let told = UnixDatagram::unbound().and_then(|socket| {
        let address = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&path)?,
        };
        socket.send_to_addr(how.as_bytes(), &address)
    });
    if let Err(error) = told {
        tracing::warn!("the service's socket does not take `{how}`: {error}");
    }
}
