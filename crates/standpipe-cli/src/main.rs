//! Which exit code?
//!
//! The command line is read, made a plan and run; whatever comes of it is a code, or a death by the signal that
//! ended the run.
//!
//! # Knows / never knows
//! Knows what to call and what its answer means. Never knows work.
#![deny(unsafe_code)] // but for one file: `exec/outset`

use std::process::ExitCode;

mod command;
mod view;
mod end;
mod exec;
mod watch;
mod transform;
mod plan;
mod args;
mod size;
mod exit;

use args::{Display, Environment, Request, Typed, UsageError};
use exit::Exit;
use plan::Plan;
use view::View;

fn main() -> ExitCode {
    exec::stdio::keep_closed();
    let environment = Environment::look();
    let asked = args::parse(std::env::args_os().skip(1), &environment);
    let exit = match asked {
        Ok(Request::Run(typed)) => command::begin::begin(*typed, &environment),
        Ok(Request::Check(typed)) => {
            match plan(*typed, &environment).map(|plan| command::check::check(&plan)) {
                Ok(Ok(text)) => print(&text),
                Ok(Err(exit)) => exit,
                Err(error) => refuse(error),
            }
        }
        Ok(Request::Doctor(asked)) => command::doctor::doctor(&asked),
        Ok(Request::Observe(observed)) => command::observe::observe(&observed),
        Ok(Request::Print(text)) => print(&text),
        Ok(Request::Version(detail)) => print(&command::version::version(detail)),
        Ok(Request::Nothing) => {
            view::print_on_stderr(&args::short_help());
            Exit::Standpipe
        }
        Err(error) => refuse(error),
    };
    if let Some(signal) = exit.raise() {
        command::die_of(signal);
    }
    ExitCode::from(exit.code())
}

fn plan(typed: Typed, environment: &Environment) -> Result<Plan, UsageError> {
    Plan::new(typed.load()?, environment)
}

fn refuse(error: UsageError) -> Exit {
    View::on_stderr(&Display::default(), None).report(&error.into());
    Exit::Standpipe
}

fn print(text: &str) -> Exit {
    match view::print(text) {
        Ok(()) => Exit::Success,
        // A reader that saw enough is no failure of the help.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Success,
        Err(_) => Exit::Standpipe,
    }
}
