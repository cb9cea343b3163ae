//! A lab's hosts kept as they are, and set back to that: an image of every disk, below which the lab's own images
//! lie. Setting back makes the machines anew, so nothing of what happened to them stays, and takes seconds.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::spec::{HOSTS, SERVICES, Spec};
use super::{Lab, TimeScale, image};
use crate::cmd::cmd;
use crate::hash::{hex, sha256};
use crate::paths;

/// The images' label that says whose they are.
const OWNER: &str = "coxswain.lab.saved";
/// Time a host has to end its services.
const POWER_OFF: &str = "60";
/// In the folder of what is saved, written last: what it was made from.
const INPUTS: &str = "inputs";

impl Lab {
    /// Powers all hosts off, as a person would, and keeps their disks. What was kept before goes.
    ///
    /// # Errors
    /// The lab is not up, or the engine refuses.
    pub(crate) fn save(&self) -> Result<()> {
        let inputs = self.inputs()?;
        self.forget_images()?;
        cmd("docker")
            .args(["stop", "--time", POWER_OFF])
            .args(HOSTS.map(|host| self.container(host.name)))
            .timeout(180)
            .quiet()?;
        for host in HOSTS {
            let container = self.container(host.name);
            let state = cmd("docker")
                .args(["inspect", "--format", "{{.State.ExitCode}}", &container])
                .read()?;
            // Killed when its time was over: its databases may not be whole.
            if state == "137" {
                bail!("{} did not power off within {POWER_OFF} s", host.name);
            }
            cmd("docker")
                .args(["commit", "--change"])
                .arg(format!("LABEL {OWNER}={}", self.owner()))
                .arg(container)
                .arg(self.saved_image(host.name))
                .timeout(300)
                .quiet()?;
        }
        let folder = self.saved();
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(INPUTS), inputs).with_context(|| folder.display().to_string())
    }

    /// Throws the hosts away, whatever became of them, and powers on what [`Lab::save`] kept; waits until each
    /// one answers. Files to install from must lie ready ([`Lab::prepare`]).
    ///
    /// # Errors
    /// Nothing is kept, or a host does not come up.
    pub(crate) fn restore(&self, scale: TimeScale) -> Result<Spec> {
        if !self.saved().join(INPUTS).exists() {
            bail!("nothing is saved of lab {}", self.project);
        }
        let disks: BTreeMap<&str, _> = HOSTS
            .iter()
            .map(|host| (host.name, json!({ "image": self.saved_image(host.name) })))
            .collect();
        fs::create_dir_all(&self.dir)?;
        fs::write(self.disks(), json!({ "services": disks }).to_string())?;
        scale.write(&self.dir)?;
        self.compose()
            .arg("--file")
            .arg(paths::root().join("docker-compose.yml"))
            .arg("--file")
            .arg(self.disks())
            .words("up --detach --no-build --force-recreate --timeout 0")
            .args(HOSTS.map(|host| host.name))
            .args(SERVICES)
            .timeout(180)
            .quiet()?;
        self.ready(None)
    }

    /// Drops what was saved if the stand-in, the images or the panel's database have changed since.
    ///
    /// The panel itself does not count: data that an older one has written is what it finds in the field too.
    ///
    /// # Errors
    /// The engine refuses, or [`Lab::prepare`] was not called.
    pub(crate) fn drop_if_stale(&self) -> Result<()> {
        let folder = self.saved();
        let fresh = fs::read_to_string(folder.join(INPUTS)).is_ok_and(|kept| {
            self.inputs().is_ok_and(|inputs| kept == inputs)
                && HOSTS.iter().all(|host| {
                    cmd("docker")
                        .args(["image", "inspect", &self.saved_image(host.name)])
                        .succeeds()
                })
        });
        if !fresh {
            self.forget_images()?;
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
        }
        Ok(())
    }

    /// Where tests keep what belongs to the saved hosts, such as the panel's data.
    fn saved(&self) -> PathBuf {
        paths::target().join("lab-saved").join(&self.project)
    }

    /// The compose file that names the saved disks.
    fn disks(&self) -> PathBuf {
        self.dir.join("saved.json")
    }

    /// Work trees on one machine share the engine.
    fn owner(&self) -> String {
        let place = format!("{} {}", paths::target().display(), self.project);
        sha256(place.as_bytes())[..16].to_owned()
    }

    fn saved_image(&self, host: &str) -> String {
        format!("coxswain-lab-saved:{}-{host}", self.owner())
    }

    fn forget_images(&self) -> Result<()> {
        let ids = cmd("docker")
            .args(["image", "ls", "--quiet", "--filter"])
            .arg(format!("label={OWNER}={}", self.owner()))
            .read()?;
        if ids.is_empty() {
            return Ok(());
        }
        cmd("docker")
            .args(["image", "rm", "--force"])
            .args(ids.split_whitespace())
            .quiet()
    }

    /// What the saved state was made from; another network would mean other addresses.
    fn inputs(&self) -> Result<String> {
        let mut sum = Sha256::new();
        for file in ["k3s.sha256", "install.sh"] {
            let file = self.dir.join("files").join(file);
            sum.update(fs::read(&file).with_context(|| file.display().to_string())?);
        }
        let mut migrations = fs::read_dir(paths::root().join("migrations"))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>>>()?;
        migrations.sort();
        for file in migrations {
            sum.update(fs::read(&file).with_context(|| file.display().to_string())?);
        }
        sum.update(fs::read(paths::root().join("docker-compose.yml"))?);
        for name in ["node", "lb"] {
            sum.update(image::inputs_of(name).context("no image: `cargo xtask lab build`")?);
        }
        sum.update(&self.net);
        Ok(hex(&sum.finalize()))
    }
}
