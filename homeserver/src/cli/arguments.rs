//! What may be written after `roost`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A Matrix homeserver.
#[derive(Debug, Parser)]
#[command(name = "roost", version, disable_help_subcommand = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start a server at once, with a private PostgreSQL in its data folder
    Quickstart(QuickstartPlace),
    /// Start a server from a configuration file
    Serve {
        /// The configuration (TOML); `roost config default` prints one
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Make, list, lock and end accounts
    #[command(subcommand)]
    User(UserCommand),
    /// Registration tokens: whoever has one may make an account
    #[command(subcommand)]
    Token(TokenCommand),
    /// Find media whose files are lost, and forget them
    #[command(subcommand)]
    Media(MediaCommand),
    /// Check a configuration, or print the default one
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write database, media and signing key into one file, while the server runs or not
    Backup {
        /// The file to write; it must not be there yet
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Make a new server of a backup: in a new data folder, or in an empty database and a new media folder
    Restore {
        /// What `roost backup` wrote
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Look at everything that a server needs, and say what to do where something is wrong
    Doctor {
        #[command(flatten)]
        place: Place,
    },
    /// Set how much all nodes log, from now on and over restarts
    Log {
        /// "error", "warn", "info", "debug", "trace", by part ("info,roost::sync=debug"), or "default": as configured
        level: String,
        #[command(flatten)]
        place: Place,
    },
    /// Print the version of this program, and of the database's schema that it knows; they are the same for every server
    Version {
        #[command(flatten)]
        place: Place,
    },
    /// List every route that this program knows; they are the same for every server
    Routes {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(super) struct QuickstartPlace {
    /// The data folder [default: /var/lib/roost for root, ~/.local/share/roost otherwise]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Which server a command is for, and how it answers.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The server's configuration
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    pub config: Option<PathBuf>,
    /// The data folder of a server without configuration [default: /var/lib/roost for root, ~/.local/share/roost otherwise]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make an account
    Add {
        /// The part of the user id before the colon
        name: String,
        /// Make it an administrator
        #[arg(long)]
        admin: bool,
        /// Read the password from standard input instead of the terminal
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Set a new password and log all devices out
    Password {
        name: String,
        /// Read the password from standard input instead of the terminal
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// List all accounts
    List {
        #[command(flatten)]
        place: Place,
    },
    /// End an account for good
    Deactivate {
        name: String,
        /// Ask that the user's messages be hidden from those who join later
        #[arg(long)]
        erase: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Shut an account out; its devices stay
    Lock {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Let a locked account in again
    Unlock {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Let an account read, and do little else
    Suspend {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// End a suspension
    Unsuspend {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Make an existing account an administrator
    Promote {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Make an administrator an ordinary account
    Demote {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// List an account's devices, with when and from where they were seen last
    Devices {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Log an account's devices out
    LogOut {
        name: String,
        /// Only this one
        device: Option<String>,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum MediaCommand {
    /// List media whose files are lost
    Missing {
        #[command(flatten)]
        place: Place,
    },
    /// Forget a medium whose file is lost
    Forget {
        /// The medium's ID, or its mxc:// address
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Add a registration token and print it
    Add {
        /// The token; a random one if it is left out
        token: Option<String>,
        /// How many accounts may be made with it [default: any number]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        uses: Option<u16>,
        /// How many days it is good for [default: for ever]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
        #[command(flatten)]
        place: Place,
    },
    /// List all registration tokens
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a registration token
    Revoke {
        token: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read the configuration and the environment, and say what is wrong
    Check {
        #[command(flatten)]
        place: Place,
    },
    /// Print every key with its default and its comment; it is the same for every server
    Default {
        #[command(flatten)]
        place: Place,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// All commands that have none below them, with their words.
    fn leaves(command: &clap::Command, words: &str, found: &mut Vec<(String, clap::Command)>) {
        if !command.has_subcommands() {
            found.push((words.to_owned(), command.clone()));
        }
        for below in command.get_subcommands() {
            leaves(below, format!("{words} {}", below.get_name()).trim(), found);
        }
    }

    #[test]
    fn every_command_takes_a_place_and_answers_in_json() {
        let mut found = Vec::new();
        leaves(&Arguments::command(), "", &mut found);
        assert!(found.len() > 15, "{}", found.len());
        for (words, command) in found.iter().filter(|(words, _)| !matches!(words.as_str(), "quickstart" | "serve")) {
            for option in ["config", "data_dir", "json"] {
                assert!(command.get_arguments().any(|it| it.get_id() == option), "`roost {words}` takes no {option}");
            }
        }
    }
}
