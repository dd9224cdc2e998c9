//! From the configuration to whoever tells people, and back to what `ftagent status` says of them.

use ftagent_alert::Alerts;
use ftagent_alert::Settings;
use ftagent_alert::Told;
use ftagent_alert::Webhook;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::exit::Exit;
use crate::exit::Failure;

/// The telling end, and the task behind it, which ends when all telling ends are gone.
pub(super) type Telling = Option<(Alerts, JoinHandle<()>)>;

/// Starts telling people, if anybody is to be told.
pub(super) fn start(config: &Config) -> Result<Telling, Failure> {
    let alert = &config.alert;
    let webhook = alert.webhook.as_ref();
    let settings = Settings {
        webhook: webhook.map(|url| Webhook { url: url.clone(), secret_file: alert.secret_file.clone() }),
        exec: alert.exec.clone(),
        severity_min: alert.min_severity,
        names: alert.names,
        node: alert.node.clone(),
        state_dir: config.state_dir.clone(),
        ..Settings::default()
    };
    ftagent_alert::start(&settings).map_err(|error| {
        let hint = "see `[alert]` in the configuration: `ftagent config show`";
        Failure::new(Exit::Usage, error).hint(hint)
    })
}

/// What is wrong with the receivers.
pub(super) fn problems(alerts: &Alerts) -> Vec<String> {
    let told = alerts.told();
    let mut problems: Vec<_> = told.iter().filter_map(problem).collect();
    let lost = alerts.lost_full();
    if lost > 0 {
        problems.push(format!("{lost} changes of incidents were told to nobody: too many at once"));
    }
    problems
}

fn problem(told: &Told) -> Option<String> {
    let trouble = told.trouble.as_deref()?;
    let probed = if told.open { "; it is probed once a minute" } else { "" };
    Some(format!("{}: {trouble}; {} notices wait{probed}", told.receiver, told.waiting))
}
