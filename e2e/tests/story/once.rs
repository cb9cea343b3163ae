//! Each installer ran exactly once: systemd's journal on the host is the witness.

use anyhow::{Result, ensure};

use super::gate::Run;
use super::{SERVERS, Story};

pub(crate) async fn installers(story: &Story, run: &Run) -> Result<()> {
    for server in SERVERS {
        let step = run.install_on(server)?;
        let look = "journalctl -q --no-pager -o cat -b _PID=1 | grep -E '^Start(ed|ing) coxswain-' || true";
        let said = story.lab.ssh(server, look).await?;
        let job = format!("{}-{}-1", run.id, step + 1);
        let unit = format!("coxswain-{}-{}-", run.id, step + 1);
        let starts: Vec<&str> = said
            .lines()
            .filter(|line| line.starts_with("Started") && line.contains(&unit))
            .collect();
        ensure!(
            starts.len() == 1,
            "starts of the installer's job on {server}: {starts:?} in {said}"
        );
        ensure!(
            starts[0].contains(&format!("coxswain-{job}.service")),
            "on {server}: {}",
            starts[0]
        );
        let left = story
            .lab
            .ssh(
                server,
                "ls -A /var/lib/coxswain/jobs /run/coxswain 2>/dev/null || true",
            )
            .await?;
        ensure!(
            !left.contains(&job),
            "the job's files stay on {server}: {left}"
        );
    }
    Ok(())
}
