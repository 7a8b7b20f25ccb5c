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
    /// Check a configuration, or print the default one
    #[command(subcommand)]
    Config(ConfigCommand),
    /// List every route of the server
    Routes {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct QuickstartPlace {
    /// The data folder [default: /var/lib/roost for root, ~/.local/share/roost otherwise]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read the configuration and the environment, and say what is wrong
    Check {
        /// The configuration (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every key with its default and its comment
    Default,
}
