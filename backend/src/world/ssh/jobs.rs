//! Remote jobs: transient systemd units that outlive the connection and the panel. The scripts stand beside.

use std::time::Duration;

use coxswain_k3s::install::PROXIES;
use coxswain_wire::HostId;
use zeroize::Zeroizing;

use super::super::{
    DeathCause, JobId, JobRead, JobSpec, JobStart, JobStatus, RemoteCommand, Result, Script,
    WorldError,
};
use super::{Ssh, loader};

macro_rules! job_script {
    ($name:literal) => {
        Script {
            name: $name,
            text: concat!(
                include_str!("scripts/job_lib.sh"),
                include_str!(concat!("scripts/", $name, ".sh"))
            ),
        }
    };
}

const START: Script = job_script!("job_start");
const STATUS: Script = job_script!("job_status");
const LIST: Script = job_script!("job_list");
const READ: Script = job_script!("job_read");
const STOP: Script = job_script!("job_stop");
const REMOVE: Script = job_script!("job_remove");
const RUNNER: &str = include_str!("scripts/job_runner.sh");

/// Status of [`START`] for a job that was claimed before.
const CLAIMED: i32 = 17;
/// For commands that answer at once. With the remote grace still under the minute that `job_lib.sh` counts on.
const TIMEOUT: Duration = Duration::from_secs(30);
/// systemd waits 10 s between asking and killing.
const STOP_TIMEOUT: Duration = Duration::from_secs(45);
/// Room for the two lines before the bytes in the answer of [`READ`].
const READ_HEADER: usize = 256;
/// Names the environment of a job may not use: the runner's own, and those that change what its words mean.
const RESERVED: [&str; 6] = ["HOME", "IFS", "LC_ALL", "PATH", "ENV", "PS4"];

fn command(script: Script, job: JobId) -> RemoteCommand {
    RemoteCommand::script(script)
        .arg(job.to_string())
        .sudo()
        .timeout(TIMEOUT)
}

impl Ssh {
    pub(in super::super) async fn job_start(
        &self,
        host: HostId,
        job: JobId,
        spec: &JobSpec,
    ) -> Result<JobStart> {
        let file = job_file(spec)?;
        let command = command(START, job)
            .arg(spec.runtime_max.as_secs().max(1).to_string())
            .arg(file.len().to_string())
            .arg(RUNNER)
            .stdin(file.as_bytes());
        let output = self.run(host, command).await?;
        if output.status == CLAIMED {
            return Ok(JobStart::AlreadyClaimed);
        }
        let boot_id = output.ok(START.name)?.text().trim().to_owned();
        Ok(JobStart::Started { boot_id })
    }

    pub(in super::super) async fn job_status(&self, host: HostId, job: JobId) -> Result<JobStatus> {
        let output = self
            .run(host, command(STATUS, job))
            .await?
            .ok(STATUS.name)?;
        status(output.text().trim())
    }

    pub(in super::super) async fn job_read(
        &self,
        host: HostId,
        job: JobId,
        offset: u64,
        max: usize,
        wait: Duration,
    ) -> Result<JobRead> {
        let command = command(READ, job)
            .arg(offset.to_string())
            .arg(max.to_string())
            .arg((wait.as_millis() / 100).to_string())
            .timeout(TIMEOUT + wait)
            .max_output(max.saturating_add(READ_HEADER));
        let output = self.run(host, command).await?.ok(READ.name)?;
        let odd = || WorldError::Unexpected {
            what: READ.name.to_owned(),
            detail: "no header".to_owned(),
        };
        let mut parts = output.stdout.splitn(3, |b| *b == b'\n');
        let mut next = || parts.next().ok_or_else(odd);
        let (state, sizes, bytes) = (next()?, next()?, next()?);
        let sizes = String::from_utf8_lossy(sizes);
        let mut sizes = sizes.split_ascii_whitespace().map(str::parse::<u64>);
        let mut size = || {
            sizes
                .next()
                .and_then(std::result::Result::ok)
                .ok_or_else(odd)
        };
        Ok(JobRead {
            status: status(&String::from_utf8_lossy(state))?,
            size: size()?,
            dropped: size()?,
            bytes: bytes.to_vec(),
        })
    }

    pub(in super::super) async fn job_stop(&self, host: HostId, job: JobId) -> Result<()> {
        self.run(host, command(STOP, job).timeout(STOP_TIMEOUT))
            .await?
            .ok(STOP.name)?;
        Ok(())
    }

    pub(in super::super) async fn job_remove(&self, host: HostId, job: JobId) -> Result<()> {
        self.run(host, command(REMOVE, job))
            .await?
            .ok(REMOVE.name)?;
        Ok(())
    }

    pub(in super::super) async fn jobs(&self, host: HostId) -> Result<Vec<(JobId, JobStatus)>> {
        let command = RemoteCommand::script(LIST).sudo().timeout(TIMEOUT);
        let output = self.run(host, command).await?.ok(LIST.name)?;
        let mut found = Vec::new();
        for line in output.text().lines() {
            let (name, state) = line.split_once(' ').unwrap_or((line, ""));
            // A folder with another name is none of ours.
            if let Ok(job) = name.parse::<JobId>() {
                found.push((job, status(state)?));
            }
        }
        found.sort_by_key(|(job, _)| *job);
        Ok(found)
    }
}

/// A job's environment has only names that it may.
pub(in super::super) fn check_names(spec: &JobSpec) -> Result<()> {
    let open = spec.env.iter().map(|(name, _)| name);
    let secret = spec.secret_env.iter().map(|(name, _)| name);
    open.chain(secret).try_for_each(|name| check_name(name))
}

/// What the runner reads: environment, parameters, script, each a line of the loader's notation.
fn job_file(spec: &JobSpec) -> Result<Zeroizing<String>> {
    check_names(spec)?;
    let mut secret = Vec::with_capacity(spec.secret_env.len());
    for (name, value) in &spec.secret_env {
        let value = std::str::from_utf8(value.expose())
            .map_err(|_| bad_env(name, "its value is not UTF-8"))?;
        secret.push((name.as_str(), value));
    }
    let all: Vec<(&str, &str)> = spec
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(secret)
        .collect();
    let mut text = Zeroizing::new(String::new());
    loader::line(&mut text, &all.len().to_string())?;
    for (name, value) in all {
        let assignment = Zeroizing::new(format!("{name}={value}"));
        loader::line(&mut text, &assignment)?;
    }
    loader::line(&mut text, &spec.args.len().to_string())?;
    for arg in &spec.args {
        loader::line(&mut text, arg)?;
    }
    loader::line(&mut text, spec.script.text)?;
    Ok(text)
}

fn bad_env(name: &str, detail: &str) -> WorldError {
    WorldError::InvalidInput {
        what: format!("environment variable {name}"),
        detail: detail.to_owned(),
    }
}

/// Upper case, and what the installer keeps of a proxy: the runner's own variables are lower case.
fn check_name(name: &str) -> Result<()> {
    if PROXIES.contains(&name) {
        return Ok(());
    }
    let plain = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    if !plain {
        return Err(bad_env(name, "only A-Z, 0-9 and _ are allowed"));
    }
    if RESERVED.contains(&name) {
        return Err(bad_env(name, "this one is set by the panel"));
    }
    Ok(())
}

fn status(text: &str) -> Result<JobStatus> {
    let died = |cause| Ok(JobStatus::Died { cause });
    match text.split_once(' ').unwrap_or((text, "")) {
        ("absent", _) => Ok(JobStatus::Absent),
        ("running", _) => Ok(JobStatus::Running),
        ("exited", code) => match code.trim().parse() {
            Ok(code) => Ok(JobStatus::Exited { code }),
            Err(_) => odd(text),
        },
        ("died", "rebooted") => died(DeathCause::HostRebooted),
        ("died", "stopped") => died(DeathCause::Stopped),
        ("died", "timeout") => died(DeathCause::RanTooLong),
        ("died", "never") => died(DeathCause::NeverStarted),
        ("died", result) => died(DeathCause::Unit {
            result: result.to_owned(),
        }),
        _ => odd(text),
    }
}

fn odd(text: &str) -> Result<JobStatus> {
    Err(WorldError::Unexpected {
        what: "job status".to_owned(),
        detail: format!("{text:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Secret;

    const NOTHING: Script = Script {
        name: "nothing",
        text: "true",
    };

    #[test]
    fn states_are_read() {
        assert_eq!(status("absent").unwrap(), JobStatus::Absent);
        assert_eq!(status("running").unwrap(), JobStatus::Running);
        assert_eq!(status("exited 3").unwrap(), JobStatus::Exited { code: 3 });
        assert_eq!(
            status("died rebooted").unwrap(),
            JobStatus::Died {
                cause: DeathCause::HostRebooted
            }
        );
        let oom = DeathCause::Unit {
            result: "oom-kill".to_owned(),
        };
        assert_eq!(
            status("died oom-kill").unwrap(),
            JobStatus::Died { cause: oom }
        );
        assert!(status("").is_err());
        assert!(status("exited x").is_err());
    }

    #[test]
    fn environment_cannot_change_the_runner() {
        let spec = || JobSpec::new(NOTHING, Duration::from_secs(1));
        for name in ["PATH", "IFS", "id", "A B", "", "1A", "A=B", "all_proxy"] {
            assert!(job_file(&spec().env(name, "x")).is_err(), "{name:?}");
        }
        for name in PROXIES {
            assert!(job_file(&spec().env(name, "x")).is_ok(), "{name:?}");
        }
        let file = job_file(
            &spec()
                .env("A", "x y")
                .secret_env("K3S_TOKEN", Secret::new("t\nu"))
                .arg("z"),
        )
        .unwrap();
        assert_eq!(
            file.as_str(),
            "p2\npA=x y\neK3S_TOKEN=t\\nu\np1\npz\nptrue\n"
        );
    }
}
