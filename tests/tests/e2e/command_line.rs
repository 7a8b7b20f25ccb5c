//! Every command with every option that README promises.

use std::fs;

use roost_tests::{Quickstart, cli::Cli, scratch, turn};

/// The commands of README's table, without their arguments: `roost user add NAME [--admin]` is `user add`.
fn promised() -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).expect("README.md");
    let table =
        readme.split("## The command line").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a table");
    let mut commands = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `roost ")) {
        let cell = row.split('|').nth(1).expect("a cell");
        let mut group = "";
        for (i, code) in cell.split('`').skip(1).step_by(2).enumerate() {
            let words: Vec<&str> = code
                .trim_start_matches("roost ")
                .split(' ')
                .take_while(|it| it.starts_with(char::is_lowercase))
                .collect();
            // `user lock NAME`, `unlock NAME`: the second one is `user unlock`.
            match words[..] {
                [first, ..] if i == 0 => {
                    group = if words.len() > 1 { first } else { "" };
                    commands.push(words.join(" "));
                }
                _ => commands.push(format!("{group} {}", words.join(" ")).trim().to_owned()),
            }
        }
    }
    commands
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_takes_every_option_that_is_promised() {
    let _turn = turn::shared().await;
    let quickstart = Quickstart::start().await;
    let data = quickstart.data().to_string_lossy().into_owned();
    // The same server by a configuration: the data folder without `database.url` is a quickstart's.
    let config = scratch::path("config.toml");
    fs::write(&config, format!("server_name = \"localhost\"\ndata_dir = \"{data}\"\n")).expect("a configuration");
    let config = config.to_string_lossy().into_owned();
    let backup = |options: usize| scratch::path(&format!("backup-{options}")).to_string_lossy().into_owned();

    let promised = promised();
    assert!(promised.len() >= 17 && promised.contains(&"user unlock".to_owned()), "{promised:?}");
    let options: [&[&str]; 4] = [
        &["--data-dir", &data],
        &["--config", &config],
        &["--data-dir", &data, "--json"],
        &["--config", &config, "--json"],
    ];
    for (i, options) in options.into_iter().enumerate() {
        let (cli, json) = (Cli::with(options), options.contains(&"--json"));
        let (user, token, file) = (format!("user{i}"), format!("token{i}"), backup(i));
        let mut tried: Vec<String> = Vec::new();
        for (words, arguments, input, code) in [
            ("user add", vec![user.as_str(), "--password-stdin"], "a fine password\n", 0),
            ("user password", vec![&user, "--password-stdin"], "a finer password\n", 0),
            ("user list", vec![], "", 0),
            ("user lock", vec![&user], "", 0),
            ("user unlock", vec![&user], "", 0),
            ("user suspend", vec![&user], "", 0),
            ("user unsuspend", vec![&user], "", 0),
            ("user promote", vec![&user], "", 0),
            ("user demote", vec![&user], "", 0),
            ("user devices", vec![&user], "", 0),
            ("user log-out", vec![&user], "", 0),
            ("user deactivate", vec![&user], "", 0),
            ("token add", vec![&token], "", 0),
            ("token list", vec![], "", 0),
            ("token revoke", vec![&token], "", 0),
            ("media missing", vec![], "", 0),
            ("media forget", vec!["nothing"], "", 1),
            ("backup", vec![&file], "", 0),
            // The folder is in use: refused, and understood.
            ("restore", vec![&file], "", 1),
            ("doctor", vec![], "", -1),
            ("log", vec!["info"], "", 0),
            ("version", vec![], "", 0),
            ("routes", vec![], "", 0),
            ("config check", vec![], "", 0),
            ("config default", vec![], "", 0),
        ] {
            let all: Vec<&str> = words.split(' ').chain(arguments).collect();
            let printed = cli.run_with_input(&all, input).await;
            // What the doctor finds depends on the machine.
            let expected = if code < 0 { printed.code.filter(|code| *code < 2) } else { Some(code) };
            assert_eq!(printed.code, expected, "roost {all:?} {options:?}: {}{}", printed.out, printed.err);
            if json && code <= 0 {
                let value = serde_json::from_str::<serde_json::Value>(&printed.out);
                assert!(
                    value.is_ok_and(|it| !it.is_null()),
                    "roost {all:?} {options:?} printed no JSON: {}",
                    printed.out
                );
            }
            tried.push(words.to_owned());
        }
        for command in &promised {
            assert!(tried.contains(command), "`roost {command}` stands in README, and nobody tried it");
        }
    }
    let defaults = Cli::with(&["--json"]).run(&["config", "default"]).await.json();
    let listen = defaults.as_array().and_then(|keys| keys.iter().find(|key| key["key"] == "http.listen"));
    assert_eq!(listen.map(|key| &key["default"]), Some(&serde_json::json!(["127.0.0.1:8008"])), "{defaults}");
}
