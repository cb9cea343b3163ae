//! The part of a form that says which k3s is installed, from where and with which arguments.

use coxswain_k3s::install::{Release, Source, check_extra_args};
use coxswain_k3s::names::{AbsPath, Channel, HttpUrl, K3sVersion, San};
use coxswain_wire::Field;

pub(super) use super::fields::text;
use super::fields::{choice, list, only_if, preset, required};
use super::form::Form;
use super::nodes::Nodes;

/// Where k3s's own installer is published.
const INSTALLER: &str = "https://get.k3s.io";

/// The fields. With `exact` there is no channel to follow: joiners must not differ from the cluster.
pub(super) fn fields(exact: bool) -> Vec<Field> {
    let source = choice(
        "source",
        "Where k3s comes from",
        "Online: each host downloads the installer and k3s. Air-gapped: both lie on each host already, nothing is downloaded.",
        &[("online", "Online"), ("air_gapped", "Air-gapped")],
    );
    let help = "The hosts fetch the installer script from here.";
    let installer = text("installer_url", "Installer address", help, INSTALLER);
    let mut version = text(
        "version",
        "Version",
        "Exactly this release of k3s. Empty: the newest of the channel.",
        "v1.33.5+k3s1",
    );
    if exact {
        "Exactly this release of k3s. Empty: the one that the cluster's servers run now."
            .clone_into(&mut version.help);
    }
    let channel = text(
        "channel",
        "Channel",
        "Used when no version is given: stable, latest, or a minor version like v1.33.",
        "stable",
    );
    let mut fields = vec![
        preset("online", source),
        only_if("source", "online", required(preset(INSTALLER, installer))),
        only_if("source", "online", version),
    ];
    if !exact {
        fields.push(only_if("source", "online", preset("stable", channel)));
    }
    let on_the_hosts = [
        required(text(
            "script_path",
            "Installer script",
            "Path on each host.",
            "/opt/k3s/install.sh",
        )),
        required(text(
            "binary_path",
            "k3s binary",
            "Path on each host.",
            "/opt/k3s/k3s",
        )),
        text(
            "images_path",
            "Images archive",
            "Path on each host; placed where k3s looks for it. Empty: the images come from a registry of your own.",
            "/opt/k3s/k3s-airgap-images-amd64.tar.zst",
        ),
    ];
    fields.extend(on_the_hosts.map(|field| only_if("source", "air_gapped", field)));
    fields
}

/// A field for arguments of k3s.
pub(super) fn args_field(name: &str, label: &str, placeholder: &str) -> Field {
    list(
        name,
        label,
        "One flag an entry, e.g. --disable=traefik. They stand in the world-readable unit file: no secrets.",
        placeholder,
    )
}

/// A field for further names of the API's certificate.
pub(super) fn sans_field() -> Field {
    list(
        "sans",
        "More names for the API's certificate",
        "DNS names and IP addresses. The cluster's endpoint and the load balancer's address are added by themselves, the nodes' own by k3s.",
        "api.example.org",
    )
}

/// Reads [`fields`]; without a version the channel's newest.
pub(super) fn source(form: &mut Form) -> Option<Source> {
    source_or(form, |form| {
        form.parsed::<Channel>("channel").map(Release::Channel)
    })
}

/// Reads [`fields`] for a joiner; without a version the one that the cluster's servers run.
pub(super) fn source_like(form: &mut Form, cluster: Option<&Nodes>) -> Option<Source> {
    source_or(form, |form| match cluster?.version() {
        Ok(version) => supported(form, version).map(Release::Version),
        Err(why) => {
            form.refuse("version", why);
            None
        }
    })
}

fn source_or(
    form: &mut Form,
    unnamed: impl FnOnce(&mut Form) -> Option<Release>,
) -> Option<Source> {
    match form.text("source")? {
        "online" => {
            let installer_url: Option<HttpUrl> = form.parsed("installer_url");
            let release = match form.text("version") {
                Some(_) => form
                    .parsed::<K3sVersion>("version")
                    .and_then(|v| supported(form, v))
                    .map(Release::Version),
                None => unnamed(form),
            };
            Some(Source::Online {
                installer_url: installer_url?,
                release: release?,
            })
        }
        _ => {
            let script_path: Option<AbsPath> = form.parsed("script_path");
            let binary_path: Option<AbsPath> = form.parsed("binary_path");
            let images = form.text("images_path").is_some();
            let images_archive: Option<AbsPath> = form.parsed("images_path");
            if images && images_archive.is_none() {
                return None;
            }
            Some(Source::AirGap {
                script_path: script_path?,
                binary_path: binary_path?,
                images_archive,
            })
        }
    }
}

fn supported(form: &mut Form, version: K3sVersion) -> Option<K3sVersion> {
    if version.is_supported() {
        return Some(version);
    }
    form.refuse(
        "version",
        format!("{version} is too old: {}.", oldest_supported()),
    );
    None
}

/// Which one is the oldest, in words.
pub(super) fn oldest_supported() -> String {
    let (major, minor) = K3sVersion::OLDEST;
    format!("v{major}.{minor} is the oldest k3s that is supported")
}

/// Reads a field of [`args_field`], split into words: `--flag value` may be one entry.
pub(super) fn args(form: &mut Form, field: &str, agent: bool) -> Vec<String> {
    let words: Vec<String> = form
        .list(field)
        .iter()
        .flat_map(|entry| match entry.split_once(char::is_whitespace) {
            Some((flag, value)) if flag.starts_with('-') && !flag.contains('=') => {
                vec![flag.to_owned(), value.trim().to_owned()]
            }
            Some(_) | None => vec![entry.clone()],
        })
        .collect();
    if let Err(e) = check_extra_args(&words, agent) {
        form.refuse(field, format!("{e}."));
    }
    words
}

/// Reads [`sans_field`].
pub(super) fn sans(form: &mut Form) -> Vec<San> {
    let mut sans = Vec::new();
    for text in form.list("sans") {
        match text.parse::<San>() {
            Ok(san) => sans.push(san),
            Err(e) => form.refuse("sans", format!("{e}.")),
        }
    }
    sans
}
