//! `BENCHMARKS.md`: what was measured goes between two marks, the words around them stay.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::machine;
use super::memory::{Memory, Reading};
use super::page::Asset;
use super::rounds::{Contender, Contest, median};
use super::start::Starts;
use super::{LOOKS, SERVERS};

const BEGIN: &str = "<!-- measured: written by `cargo xtask bench` -->";
const END: &str = "<!-- end of what is measured -->";
/// With less idle time before the contest the report warns.
const IDLE_ENOUGH: f64 = 0.9;

const ANSIBLE_GOAL: f64 = 25.0;
const MEMORY_GOAL: f64 = 40.0;
const START_GOAL: f64 = 200.0;
const PAGE_GOAL: f64 = 250.0;

/// Everything that one run of the bench found.
pub(crate) struct Results {
    /// The machine's idle share before the contest, from 0 to 1
    pub(crate) idle: f64,
    pub(crate) contest: Contest,
    pub(crate) memory: Memory,
    pub(crate) starts: Starts,
    pub(crate) page: Vec<Asset>,
}

/// Puts the results into the file, whose marks must be there, and shows them.
pub(crate) fn write(file: &Path, results: &Results) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let (before, rest) = text.split_once(BEGIN).context("no mark in the report")?;
    let (_, after) = rest.split_once(END).context("no end mark in the report")?;
    let measured = render(results)?;
    println!("{measured}");
    std::fs::write(file, format!("{before}{BEGIN}\n\n{measured}\n{END}{after}"))
        .with_context(|| file.display().to_string())
}

fn render(results: &Results) -> Result<String> {
    let parts = [
        circumstances(results)?,
        goals(results)?,
        contest(&results.contest),
        starts(&results.starts),
        memory(&results.memory),
        page(&results.page),
    ];
    Ok(parts.join("\n"))
}

fn circumstances(results: &Results) -> Result<String> {
    let idle = results.idle * 100.0;
    let warning = if results.idle < IDLE_ENOUGH {
        " **That is too little: other work made every time longer. The ratios are of one run and still compare.**"
    } else {
        ""
    };
    Ok(format!(
        "Measured on {} on {}. Before the contest the machine was {idle:.0} % idle, with the lab up.{warning}\n",
        jiff::Zoned::now().strftime("%Y-%m-%d"),
        machine::describe()?,
    ))
}

/// One line of the first table.
struct Goal {
    what: String,
    goal: String,
    reached: String,
    met: bool,
}

fn goals(results: &Results) -> Result<String> {
    let contest = &results.contest;
    let panel = contest.median(Contender::SideBySide);
    let times_as_fast = |who| contest.median(who) / panel;
    let memory = results.memory.worked.rss.max(results.memory.fresh.rss);
    let start = median(&results.starts.first).max(median(&results.starts.again));
    let size = results.page.iter().map(|asset| asset.sent).sum::<usize>() as f64 / 1024.0;
    let steps = format!("{LOOKS} read-only durable steps on {} hosts", SERVERS.len());
    let goals = [
        Goal {
            what: format!("{steps}, against a shell loop over warm connections"),
            goal: "not slower".to_owned(),
            reached: format!("{:.1} × as fast", times_as_fast(Contender::Loop)),
            met: times_as_fast(Contender::Loop) >= 1.0,
        },
        Goal {
            what: format!("{steps}, against Ansible"),
            goal: format!("{ANSIBLE_GOAL:.0} × as fast"),
            reached: format!("{:.0} × as fast", times_as_fast(Contender::Ansible)),
            met: times_as_fast(Contender::Ansible) >= ANSIBLE_GOAL,
        },
        Goal {
            what: "Memory (RSS) while watching one cluster of three servers".to_owned(),
            goal: format!("{MEMORY_GOAL:.0} MB"),
            reached: format!("{memory:.1} MB"),
            met: memory <= MEMORY_GOAL,
        },
        Goal {
            what: "From the start of the process to the first page".to_owned(),
            goal: format!("{START_GOAL:.0} ms"),
            reached: format!("{start:.0} ms"),
            met: start <= START_GOAL,
        },
        Goal {
            what: "First load of the page, in brotli".to_owned(),
            goal: format!("{PAGE_GOAL:.0} KiB"),
            reached: format!("{size:.1} KiB"),
            met: size <= PAGE_GOAL,
        },
    ];
    let mut out = "| what | goal | reached | met |\n|---|---|---|---|\n".to_owned();
    for Goal {
        what,
        goal,
        reached,
        met,
    } in goals
    {
        let met = if met { "yes" } else { "**no**" };
        writeln!(out, "| {what} | {goal} | {reached} | {met} |")?;
    }
    Ok(out)
}

fn contest(contest: &Contest) -> String {
    let mut out = format!(
        "### {LOOKS} looks\n\n| who | median | fastest – slowest | against the panel |\n|---|---|---|---|\n"
    );
    let panel = contest.median(Contender::SideBySide);
    for who in Contender::ALL {
        let times = contest.times(who);
        out += &format!(
            "| {} | {:.2} s | {} | {:.1} |\n",
            title(who),
            median(times),
            span(times, 2, "s"),
            median(times) / panel
        );
    }
    out
}

fn title(who: Contender) -> &'static str {
    match who {
        Contender::SideBySide => "**panel**, one stage of steps side by side",
        Contender::OneByOne => "panel, a stage for each step",
        Contender::Loop => "shell loop, `ssh` over warm connections",
        Contender::Loops => "shell loops, one a host, side by side",
        Contender::Pyinfra => "pyinfra, each look on all hosts at a time",
        Contender::Ansible => "Ansible, a task for each look",
        Contender::AnsibleGrouped => "Ansible, each task on all hosts at a time",
    }
}

fn starts(starts: &Starts) -> String {
    let row = |what: &str, times: &[f64]| {
        format!(
            "| {what} | {:.0} ms | {} |\n",
            median(times),
            span(times, 0, "ms")
        )
    };
    format!(
        "### Start\n\n| on | median | fastest – slowest |\n|---|---|---|\n{}{}",
        row("an empty folder", &starts.first),
        row("data of a panel that was killed", &starts.again)
    )
}

fn memory(memory: &Memory) -> String {
    let row = |what: &str, reading: Reading| {
        format!(
            "| {what} | {:.1} MB | {:.1} MB |\n",
            reading.rss, reading.pss
        )
    };
    format!(
        "### Memory\n\n| process | RSS | PSS |\n|---|---|---|\n{}{}",
        row("has just bootstrapped the cluster", memory.worked),
        row("fresh, has only watched", memory.fresh)
    )
}

fn page(assets: &[Asset]) -> String {
    let mut out = "### First load\n\n| file | as sent | brotli |\n|---|---|---|\n".to_owned();
    for asset in assets {
        let brotli = if asset.brotli { "yes" } else { "no" };
        let size = asset.sent as f64 / 1024.0;
        out += &format!("| `{}` | {size:.1} KiB | {brotli} |\n", asset.path);
    }
    out
}

fn span(values: &[f64], digits: usize, unit: &str) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{least:.digits$} – {most:.digits$} {unit}")
}
