//! The snapshots a server takes by itself: by default at midnight and noon, five kept (facts B.4).

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use anyhow::Context as _;
use croner::Cron;
use jiff::{SignedDuration, Zoned};

use super::{Job, manage, retention, save};
use crate::cli::flags::Flags;
use crate::logging;
use crate::settings::Settings;

/// When no schedule is given.
const DEFAULT: &str = "0 */12 * * *";
/// Base name of scheduled snapshots.
const NAME: &str = "etcd-snapshot";

/// What a server was told about its snapshots.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    expression: String,
    name: String,
    retention: usize,
    directory: PathBuf,
}

impl Plan {
    /// From the flags of a server; none with `--etcd-disable-snapshots`.
    ///
    /// # Errors
    /// When the retention is no number.
    pub(crate) fn new(settings: &Settings, flags: &Flags) -> anyhow::Result<Option<Self>> {
        if flags.switch("etcd-disable-snapshots") {
            return Ok(None);
        }
        let text = |name: &str, default: &str| flags.value(name).unwrap_or(default).to_owned();
        Ok(Some(Self {
            expression: text("etcd-snapshot-schedule-cron", DEFAULT),
            name: text("etcd-snapshot-name", NAME),
            retention: retention(flags, "etcd-snapshot-retention")?,
            directory: match flags.value("etcd-snapshot-dir") {
                Some(path) => settings.paths.at(path),
                None => settings.paths.snapshots(),
            },
        }))
    }
}

/// When to act.
#[derive(Debug)]
enum Times {
    /// At the times of an expression of five fields.
    Cron(Box<Cron>),
    /// In steps, as `@every 30m` says.
    Every(Duration),
}

impl Times {
    fn parse(text: &str) -> anyhow::Result<Self> {
        if let Some(step) = text.strip_prefix("@every ") {
            let step: SignedDuration = step.trim().parse().context("@every")?;
            return Ok(Self::Every(step.unsigned_abs().max(Duration::from_secs(1))));
        }
        Ok(Self::Cron(Box::new(Cron::from_str(text)?)))
    }

    fn next(&self, now: &Zoned) -> anyhow::Result<Duration> {
        match self {
            Self::Every(step) => Ok(*step),
            Self::Cron(cron) => {
                let next = cron.find_next_occurrence(now, false)?;
                Ok(now.duration_until(&next).unsigned_abs())
            }
        }
    }
}

/// Takes snapshots until the task is dropped. One that fails is logged, the next one is taken all the same.
pub(crate) async fn run(settings: Settings, node: String, plan: Plan) {
    let times = match Times::parse(&plan.expression) {
        Ok(times) => times,
        Err(error) => {
            logging::error(format!(
                "invalid snapshot schedule {}: {error:#}",
                plan.expression
            ));
            return;
        }
    };
    let job = Job {
        settings,
        directory: plan.directory,
        node,
        name: plan.name,
        retention: plan.retention,
        words: Vec::new(),
    };
    loop {
        match times.next(&Zoned::now()) {
            Ok(wait) => tokio::time::sleep(wait).await,
            Err(error) => {
                logging::error(format!("no further snapshot: {error:#}"));
                return;
            }
        }
        if let Err(error) = once(&job).await {
            logging::error(format!("{error:#}"));
        }
    }
}

async fn once(job: &Job) -> anyhow::Result<()> {
    save::take(job).await?;
    manage::retain(job)?;
    save::reconcile(job, &save::api(job)?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let now: Zoned = "2026-11-27T11:30:00[UTC]".parse().unwrap();
        let next = |text: &str| Times::parse(text).unwrap().next(&now).unwrap().as_secs();
        assert_eq!(next(DEFAULT), 1800);
        assert_eq!(next("*/5 * * * *"), 300);
        assert_eq!(next("@every 1h30m"), 5400);
        assert_eq!(next("@daily"), 12 * 3600 + 1800);
        assert!(Times::parse("every now and then").is_err());
    }
}
