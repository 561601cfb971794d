//! `countersign`: from a commit to countersigned production.
//!
//! A file a verb in `verbs`, a file a process in `processes`. This file reads the command line and prints faults.

mod addresses;
mod alarms;
mod blob_place;
mod charter_file;
mod clock;
mod confine;
mod demo;
mod evidence;
mod executor;
mod fault;
mod founding;
mod http;
mod identity;
mod layout;
mod log_client;
mod log_store;
mod page;
mod processes;
mod progress;
mod say;
mod serve;
mod settings;
mod spoken;
mod status;
mod submission;
mod supervise;
mod verbs;
mod view;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    fault::Fault,
    identity::RoleUser,
    verbs::{Flags, Format},
};

/// From a commit to countersigned production. Nothing reaches production on one signature, and anyone can check
/// afterwards why it did.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Flags,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(verbs::init::Args),
    Up(verbs::up::Args),
    Down(verbs::down::Args),
    Import(verbs::import::Args),
    Export(verbs::export::Args),
    Ship(verbs::ship::Args),
    Demo(verbs::demo::Args),
    Witness(verbs::witness::Args),
    Check(verbs::check::Args),
    Propose(verbs::propose::Args),
    Approve(verbs::approve::Args),
    Reject(verbs::reject::Args),
    Release(verbs::release::Args),
    Rollback(verbs::rollback::Args),
    Versions(verbs::versions::Args),
    Retire(verbs::retire::Args),
    Report(verbs::report::Args),
    Load(verbs::load::Args),
    Halt(verbs::halt::Args),
    Resume(verbs::resume::Args),
    Status(verbs::status::Args),
    Why(verbs::why::Args),
    Trace(verbs::trace::Args),
    Log(verbs::log::Args),
    About(verbs::about::Args),
    Audit(verbs::audit::Args),
    Proof(verbs::proof::Args),
    Bundle(verbs::bundle::Args),
    Verify(verbs::verify::Args),
    Attestations(verbs::attestations::Args),
    Attest(verbs::attest::Args),
    Except(verbs::except::Args),
    Alarms(verbs::alarms::Args),
    Acknowledge(verbs::acknowledge::Args),
    Silence(verbs::silence::Args),
    Charter(verbs::charter::Args),
    Withdraw(verbs::withdraw::Args),
    Erase(verbs::erase::Args),
    Value(verbs::value::Args),
    /// A process of `up`
    #[command(hide = true)]
    Process(ProcessArgs),
    /// An executor of `up`
    #[command(hide = true)]
    Executor(ExecutorArgs),
}

#[derive(Debug, clap::Args)]
struct ProcessArgs {
    role: String,
    #[arg(long)]
    charter: model::Digest,
    /// For `watch`: tell only that it is silent
    #[arg(long)]
    stand_in: bool,
}

#[derive(Debug, clap::Args)]
struct ExecutorArgs {
    role: String,
    /// `components` or `sandbox`
    what: String,
    #[arg(long)]
    charter: model::Digest,
    /// End every component of the role instead, and remove what they leave
    #[arg(long)]
    purge: bool,
}

/// For verbs that tell what they do as they do it: in JSON, one document a line.
fn said(out: &mut dyn Write, format: Format) -> spoken::Spoken<'_> {
    spoken::Spoken::new(out, format == Format::Json)
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .init();
    let mut out = std::io::stdout().lock();
    let outcome = run(&cli, &mut out).and_then(|()| {
        use fault::Because as _;
        out.flush().because(fault::Kind::Unavailable, "the output is closed")
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            complain(&fault, cli.common.format);
            ExitCode::from(fault.kind().exit_code())
        }
    }
}

fn run(cli: &Cli, out: &mut dyn Write) -> Result<(), Fault> {
    let common = &cli.common;
    match &cli.verb {
        Verb::Init(args) => verbs::init::run(args, common, &mut said(out, common.format)),
        Verb::Up(args) => verbs::up::run(args, common, &mut said(out, common.format)),
        Verb::Down(args) => verbs::down::run(args, common, &mut said(out, common.format)),
        Verb::Export(args) => verbs::export::run(args, common, out),
        Verb::Import(args) => verbs::import::run(args, common, out),
        Verb::Ship(args) => verbs::ship::run(args, common, out),
        Verb::Demo(args) => verbs::demo::run(args, common, &mut said(out, common.format)),
        Verb::Witness(args) => verbs::witness::run(args, common, &mut said(out, common.format)),
        Verb::Check(args) => verbs::check::run(args, common, out),
        Verb::Propose(args) => verbs::propose::run(args, common, out),
        Verb::Approve(args) => verbs::approve::run(args, common, out),
        Verb::Reject(args) => verbs::reject::run(args, common, out),
        Verb::Release(args) => verbs::release::run(args, common, out),
        Verb::Rollback(args) => verbs::rollback::run(args, common, out),
        Verb::Versions(args) => verbs::versions::run(args, common, out),
        Verb::Retire(args) => verbs::retire::run(args, common, out),
        Verb::Report(args) => verbs::report::run(args, common, out),
        Verb::Load(args) => verbs::load::run(args, common, out),
        Verb::Halt(args) => verbs::halt::run(args, common, out),
        Verb::Resume(args) => verbs::resume::run(args, common, out),
        Verb::Status(args) => verbs::status::run(args, common, out),
        Verb::Why(args) => verbs::why::run(args, common, out),
        Verb::Trace(args) => verbs::trace::run(args, common, out),
        Verb::Log(args) => verbs::log::run(args, common, out),
        Verb::About(args) => verbs::about::run(args, common, out),
        Verb::Audit(args) => verbs::audit::run(args, common, out),
        Verb::Proof(args) => verbs::proof::run(args, common, out),
        Verb::Bundle(args) => verbs::bundle::run(args, common, out),
        Verb::Verify(args) => verbs::verify::run(args, common, out),
        Verb::Attestations(args) => verbs::attestations::run(args, common, out),
        Verb::Attest(args) => verbs::attest::run(args, common, out),
        Verb::Except(args) => verbs::except::run(args, common, out),
        Verb::Alarms(args) => verbs::alarms::run(args, common, out),
        Verb::Acknowledge(args) => verbs::acknowledge::run(args, common, out),
        Verb::Silence(args) => verbs::silence::run(args, common, out),
        Verb::Charter(args) => verbs::charter::run(args, common, out),
        Verb::Withdraw(args) => verbs::withdraw::run(args, common, out),
        Verb::Erase(args) => verbs::erase::run(args, common, out),
        Verb::Value(args) => verbs::value::run(args, common, out),
        Verb::Process(args) => process(args, common),
        Verb::Executor(args) => executor(args, common),
    }
}

fn process(args: &ProcessArgs, common: &Flags) -> Result<(), Fault> {
    let role = role(&args.role)?;
    let start = processes::Start::read(&common.dir, role, args.charter)?;
    match role {
        RoleUser::Log => processes::log::run(start),
        RoleUser::Gate => processes::gate::run(start),
        RoleUser::Front => processes::front::run(start),
        RoleUser::Edge => processes::edge::run(start),
        RoleUser::Agent => processes::agent::run(start),
        RoleUser::Builder => processes::builder::run(start),
        RoleUser::Tester => processes::tester::run(start),
        RoleUser::Watch if args.stand_in => processes::watch::stand_in(&start),
        RoleUser::Watch => processes::watch::run(start),
        other => Err(Fault::new(fault::Kind::Usage, format!("`{other}` is not started by `up`"))),
    }
}

fn role(name: &str) -> Result<RoleUser, Fault> {
    RoleUser::ALL
        .into_iter()
        .find(|r| r.name() == name)
        .ok_or_else(|| Fault::new(fault::Kind::Usage, format!("`{name}` is not a process")))
}

fn executor(args: &ExecutorArgs, common: &Flags) -> Result<(), Fault> {
    let role = role(&args.role)?;
    let layout = common.layout();
    let charter = charter_file::read(&layout, Some(args.charter))?;
    let settings = settings::Settings::read(&layout)?;
    match args.what.as_str() {
        executor::COMPONENTS if args.purge => executor::purge(&layout, &settings, role),
        processes::workshop::SANDBOX if args.purge => processes::workshop::purge(&layout, role),
        executor::COMPONENTS => executor::run_components(&layout, &settings, role, charter),
        processes::workshop::SANDBOX => processes::workshop::run_executor(&layout, role),
        other => Err(Fault::new(fault::Kind::Usage, format!("`{other}` is not what an executor does"))),
    }
}

/// Says what went wrong on standard error: the whole chain, then what to do.
fn complain(fault: &Fault, format: Format) {
    let mut err = std::io::stderr().lock();
    let written = match format {
        Format::Text => {
            let hint = fault.hint_text().map(|h| format!("\nhint: {h}")).unwrap_or_default();
            writeln!(err, "error: {}{hint}", fault.message())
        }
        Format::Json => {
            let trouble = serde_json::json!({
                "error": fault.message(), "kind": fault.kind().name(), "hint": fault.hint_text(),
            });
            writeln!(err, "{trouble}")
        }
    };
    // There is nowhere left to complain to.
    drop(written);
}
