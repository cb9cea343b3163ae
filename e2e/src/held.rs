//! A job of the panel that is held on its host while it installs k3s: time for a test to kill the panel or to
//! change something, however fast the machine is.

use std::time::Duration;

use anyhow::Result;

use crate::lab::Lab;

/// Waits until the installer of a job of the panel runs, and holds it there: a stopped process is still
/// a running job. Prints the job's name.
const HOLD: &str = r#"
for ((tries = 0; tries < 40000; tries++)); do
    for output in /var/lib/coxswain/jobs/*/output; do
        [ -f "$output" ] && grep -q '^coxswain: running the installer' "$output" || continue
        job=${output%/output}
        systemctl kill --signal=STOP "coxswain-${job##*/}.service"
        if [ -e "$job/exit" ]; then echo "the installer ended before it was held" >&2; exit 3; fi
        echo "${job##*/}"
        exit 0
    done
    sleep 0.02
done
echo "no installer came" >&2
exit 4
"#;

/// Waits for an installer on a host and holds it. Gives the job's name: run, step and attempt.
///
/// # Errors
/// None came in time.
pub async fn installer(lab: &Lab, host: &str, patience: Duration) -> Result<String> {
    let job = lab.ssh_within(host, HOLD, patience).await?;
    Ok(job.trim().to_owned())
}

/// Lets a held job go on.
///
/// # Errors
/// It is not there any more.
pub async fn release(lab: &Lab, host: &str, job: &str) -> Result<()> {
    let script = format!("systemctl kill --signal=CONT coxswain-{job}.service");
    lab.ssh(host, &script).await.map(drop)
}
