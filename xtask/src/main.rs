//! Development commands: `cargo xtask help` lists them.
//!
//! This is a program and its own only user; it needs nothing but the standard library, so that a
//! check never waits for a dependency.

mod bench_peers;
mod check;
mod clients;
mod codegen;
mod golden;
mod json;
mod kafka;
mod readme;
mod tidy;
mod torture;
mod workspace;

use std::env;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  test [--quick]              run every check; never writes the tree
  bench-peers [pipeline] [--quick] [--rows NAME,..]
                              how fast we are beside Apache Kafka, or beside Kafka Streams alone
  clients --bootstrap H:P     run the real clients there; [--only python|java] [--case TEXT]
  compare --bootstrap H:P --oracle H:P    raw requests to a broker and to Apache Kafka
  oracle --bootstrap H:P --program MILLSTREAM [--seed N]
                              the same records through pipelines and through Kafka Streams
  codegen [--check]           generate the messages of the protocol from their schema files
  fix                         format the sources and generate what is generated
  golden                      write the golden files of the protocol with Kafka's own classes
  kafka start [DIR] [PORT]    start Apache Kafka; prints its pid and address as JSON
  kafka stop [DIR]            stop it
  kafka jars                  fetch its jars; prints their folder
  kafka java CLASS [ARG..]    run a class of its jars, such as a console tool
  readme                      run the commands of the README
  torture [--rounds N] [--seed S] [--broker | --kafka] [--release]
                              kill broker and pipeline while records flow, then check it all
  tidy                        check the rules of the house (STYLE.md)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[&str]) -> Result<(), String> {
    env::set_current_dir(workspace::root()).map_err(|error| error.to_string())?;
    match words {
        ["codegen"] => codegen::run(false),
        ["codegen", "--check"] => codegen::run(true),
        ["tidy"] => tidy::run(),
        ["test"] => check::run(false),
        ["test", "--quick"] => check::run(true),
        ["compare", "--bootstrap", bootstrap, "--oracle", oracle] => {
            clients::compare(bootstrap, oracle, "")
        }
        ["compare", "--bootstrap", bootstrap, "--oracle", oracle, "--case", scripts] => {
            clients::compare(bootstrap, oracle, scripts)
        }
        ["oracle", "--bootstrap", bootstrap, "--program", program] => {
            clients::oracle(bootstrap, program.as_ref(), "1")
        }
        ["oracle", "--bootstrap", bootstrap, "--program", program, "--seed", seed] => {
            clients::oracle(bootstrap, program.as_ref(), seed)
        }
        ["bench-peers", rest @ ..] => bench_peers::run(rest),
        ["clients", rest @ ..] => clients::run(rest),
        ["fix"] => {
            workspace::run(workspace::cargo().args(["fmt", "--all"]))?;
            codegen::run(false)
        }
        ["golden"] => golden::run(),
        ["readme"] => readme::run(),
        ["kafka", rest @ ..] => kafka::run(rest),
        ["torture", rest @ ..] => torture::run(rest),
        ["help"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(format!("what is wanted?\n\n{HELP}")),
    }
}
