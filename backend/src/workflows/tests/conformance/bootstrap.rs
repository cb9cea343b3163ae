use super::*;

pub(super) fn fresh_lab() -> Lab {
    let mut machines = lab::machines();
    // What was there before must be there afterwards.
    machines[1].files.insert(
        "/etc/rancher/k3s/config.yaml".to_owned(),
        "node-label:\n- zone=a\n".to_owned(),
    );
    machines[2]
        .files
        .insert("/usr/local/bin/k3s".to_owned(), "an older k3s".to_owned());
    Lab::new(machines, &lab::inventory().clusters[0])
}

pub(super) fn bootstrap() -> Example {
    Example {
        workflow: "bootstrap",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("version", lab::text("v1.33.5+k3s1")),
            ("sans", lab::list(&["api.example.org"])),
            ("server_args", lab::list(&["--disable traefik"])),
        ]),
        inventory: lab::inventory(),
        lab: fresh_lab,
        counted: false,
    }
}

/// Old k3s on the hosts, and a clean-up first.
fn bootstrap_after_clean_up() -> Example {
    let mut inputs = bootstrap().inputs;
    inputs.insert("clean_up".to_owned(), FieldValue::Bool(true));
    Example {
        inputs,
        lab: old_lab,
        ..bootstrap()
    }
}

fn old_lab() -> Lab {
    let lab = fresh_lab();
    lab.world.set_up(
        HostId(3),
        "k3s.service",
        "server --cluster-init --node-name node3",
    );
    lab
}

/// Nothing is downloaded: all lies on the hosts.
fn bootstrap_air_gapped() -> Example {
    let mut example = bootstrap();
    example.inputs.remove("version");
    example.inputs.extend(lab::inputs(&[
        ("source", lab::text("air_gapped")),
        ("script_path", lab::text("/opt/k3s/install.sh")),
        ("binary_path", lab::text("/opt/k3s/k3s")),
        ("images_path", lab::text("/opt/k3s/images.tar.zst")),
    ]));
    let lab = || {
        let lab = fresh_lab();
        for n in 1..=4 {
            lab.world.change(HostId(n), |host| {
                for (name, text) in [
                    ("k3s", "k3s v1.33.5+k3s1"),
                    ("install.sh", "#!/bin/sh"),
                    ("images.tar.zst", "images"),
                ] {
                    host.files
                        .insert(format!("/opt/k3s/{name}"), text.to_owned());
                }
            });
        }
        lab
    };
    Example { lab, ..example }
}

conforms! {
    bootstrap_bare: bootstrap(),
    bootstrap_from_files: bootstrap_air_gapped(),
    bootstrap_cleaned: bootstrap_after_clean_up(),
}

// The one with a clean-up passes every point of the one without.
survives_death! {
    bootstrap_survives_death_at_each_point: bootstrap_after_clean_up(),
}

/// The checks above see what they are for.
#[tokio::test(start_paused = true)]
async fn without_its_probe_it_does_not_survive() {
    let mutilated = survives(&counted(bootstrap()), &|kind| {
        layer(kind, NoProbe::default())
    })
    .await;
    assert!(mutilated.is_err(), "nobody noticed");
}

#[tokio::test(start_paused = true)]
async fn without_undoing_what_failed_it_leaves_something_behind() {
    let mutilated = unwinds(&bootstrap(), &|kind, failed| {
        layer(kind, NoUndoOfFailed { failed })
    })
    .await;
    assert!(mutilated.is_err(), "nobody noticed");
}

#[tokio::test(start_paused = true)]
async fn without_asking_what_is_undone_a_killed_unwinding_does_it_again() {
    let mutilated = survives_unwinding(&counted(bootstrap()), &|kind, _| {
        layer(kind, NoProbeUndone::default())
    })
    .await;
    assert!(mutilated.is_err(), "nobody noticed");
}

#[tokio::test(start_paused = true)]
async fn without_undoing_what_failed_a_killed_unwinding_leaves_something_behind() {
    let mutilated = survives_unwinding(&counted(bootstrap()), &|kind, failed| {
        layer(kind, NoUndoOfFailed { failed })
    })
    .await;
    assert!(mutilated.is_err(), "nobody noticed");
}

/// Without flannel no node is Ready before a network plugin is installed: that is not waited for.
#[tokio::test(start_paused = true)]
async fn bootstrap_and_join_without_flannel() {
    let args = || lab::list(&["--flannel-backend=none"]);
    let mut example = bootstrap();
    example.inputs.insert("server_args".to_owned(), args());
    let ((world, _), _) = completes(&example).await.unwrap();
    assert_eq!(world.clusters[0].nodes.len(), 4);
}
