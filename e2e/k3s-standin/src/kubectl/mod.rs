//! `kubectl`, as far as the lab's workflows and people use it: words, messages and exit statuses of the real one.

mod args;
mod change;
mod client;
mod delete;
mod get;
mod jsonpath;
mod kubeconfig;
mod print;
mod yaml;

use std::process::ExitCode;

pub(crate) use print::aligned;

use args::{Args, Parsed};
use client::Kube;

use crate::cli::runtime;
use crate::output;
use crate::settings::Settings;
use crate::version::{API_GO_VERSION, BUILD_DATE, go_arch, release};

/// A failure as kubectl prints it on stderr, with exit status 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint(pub(crate) String);

impl Complaint {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What a command ends with.
type Outcome = Result<(), Complaint>;

/// Runs kubectl.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Complaint(text)) => {
            output::error_line(text);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome {
    let settings =
        Settings::from_env().map_err(|error| Complaint::new(format!("error: {error:#}")))?;
    let Parsed { verb, args } = args::parse(arguments)?;
    let Some(verb) = verb else {
        output::line("kubectl controls the Kubernetes cluster manager.");
        return Ok(());
    };
    if verb == "version" && args.switch("client") {
        output::line(client_version());
        return Ok(());
    }
    let runtime = runtime().map_err(|error| Complaint::new(format!("error: {error:#}")))?;
    let outcome = runtime.block_on(command(&settings, &verb, &args));
    runtime.shutdown_background();
    outcome
}

async fn command(settings: &Settings, verb: &str, args: &Args) -> Outcome {
    let kube = Kube::open(settings, args)?;
    match verb {
        "get" => get::run(&kube, args).await,
        "delete" => delete::run(&kube, args).await,
        "create" => change::create(&kube, args).await,
        "apply" => change::apply(&kube, args).await,
        "scale" => change::scale(&kube, args).await,
        "cordon" => change::cordon(&kube, args, true).await,
        "uncordon" => change::cordon(&kube, args, false).await,
        "label" => change::metadata(&kube, args, "labels", "labeled").await,
        "annotate" => change::metadata(&kube, args, "annotations", "annotated").await,
        "version" => version(&kube, args).await,
        other => Err(Complaint::new(format!(
            "error: unknown command \"{other}\" for \"kubectl\"\nRun 'kubectl --help' for usage."
        ))),
    }
}

fn client_version() -> String {
    let release = release();
    let (minor, version, commit) = (release.minor, &release.name, &release.commit);
    format!(
        "Client Version: version.Info{{Major:\"1\", Minor:\"{minor}\", GitVersion:\"{version}\", GitCommit:\"{commit}\", GitTreeState:\"clean\", BuildDate:\"{BUILD_DATE}\", GoVersion:\"{API_GO_VERSION}\", Compiler:\"gc\", Platform:\"linux/{}\"}}",
        go_arch()
    )
}

async fn version(kube: &Kube, args: &Args) -> Outcome {
    let server = kube.get("/version", false).await?;
    let field = |name: &str| server[name].as_str().unwrap_or_default().to_owned();
    if args.switch("short") {
        output::line(format!(
            "Client Version: {}\nServer Version: {}",
            release().name,
            field("gitVersion")
        ));
        return Ok(());
    }
    output::line(client_version());
    output::line(format!(
        "Server Version: version.Info{{Major:\"{}\", Minor:\"{}\", GitVersion:\"{}\", GitCommit:\"{}\", GitTreeState:\"{}\", BuildDate:\"{}\", GoVersion:\"{}\", Compiler:\"{}\", Platform:\"{}\"}}",
        field("major"),
        field("minor"),
        field("gitVersion"),
        field("gitCommit"),
        field("gitTreeState"),
        field("buildDate"),
        field("goVersion"),
        field("compiler"),
        field("platform"),
    ));
    Ok(())
}
